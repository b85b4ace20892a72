"""The blocked pass against brute force, whatever the precision of its screen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench.metrics import Sample, neighbours_pass, screens
from nriqm_bench.metrics.neighbours_pass import (
    Ball,
    all_nearest,
    count_in_balls,
    nearest,
    own_neighbours,
    squared_distances,
)


def table(a, b):
    return np.array([[np.square(x - y).sum() for y in b] for x in a])


@pytest.fixture(params=["float64", "float32", "float32 in small blocks"])
def screen(request, monkeypatch):
    if request.param != "float64":
        monkeypatch.setattr(screens, "SMALL", 0)
    if request.param.endswith("blocks"):
        monkeypatch.setattr(screens, "BLOCK", 100)


CLOUDS = {
    "normal": lambda r, n: r.normal(size=(n, 6)),
    "far from the origin": lambda r, n: r.normal(size=(n, 6)) + 1e5,
    "two distant clusters": lambda r, n: r.normal(size=(n, 6)) + 1e6 * r.integers(0, 2, (n, 1)),
    "lattice": lambda r, n: r.integers(0, 3, (n, 3)).astype(float),
    "many copies": lambda r, n: r.normal(size=(3, 6))[r.integers(0, 3, n)],
    "all equal": lambda r, n: np.ones((n, 2)),
    "tiny": lambda r, n: r.normal(size=(n, 6)) * 1e-150,
    "very different scales": lambda r, n: (
        r.normal(size=(n, 6)) * 10.0 ** r.integers(-30, 30, (n, 1))
    ),
    "specks between outliers": lambda r, n: np.concatenate(
        [[[1.0, 0.0], [-1.0, 0.0]], r.normal(size=(n - 2, 2)) * 1e-25]
    ),
    "float32": lambda r, n: r.normal(size=(n, 300)).astype(np.float32),
}


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.usefixtures("screen")
def test_equals_brute_force(kind):
    r = np.random.default_rng(0)
    x, y = CLOUDS[kind](r, 37), CLOUDS[kind](r, 29)
    a, b = Sample(x), Sample(y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    between, within = table(x, y), table(x, x)
    np.fill_diagonal(within, np.inf)

    found = nearest(a, b, 4)
    order = np.argsort(between, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_array_equal(found.squared, np.take_along_axis(between, order, 1))

    own = own_neighbours(a, 5)
    order = np.argsort(within, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(own.rows, order)
    np.testing.assert_array_equal(own.squared, np.sort(within, axis=1)[:, :5])

    least, i, j = all_nearest(a, b)
    np.testing.assert_array_equal(least, between.min(1))
    np.testing.assert_array_equal(
        np.stack([i, j]), np.nonzero(between == between.min(1, keepdims=True))
    )

    for side, k, inclusive in (("a", 2, True), ("a", 5, False), ("b", 3, True), ("b", 3, False)):
        owner = x if side == "a" else y
        own_table = table(owner, owner)
        np.fill_diagonal(own_table, np.inf)
        radius = np.sort(own_table, axis=1)[:, k - 1]
        radius = radius[:, None] if side == "a" else radius[None, :]
        inside = between <= radius if inclusive else between < radius
        ball = Ball(side, k, inclusive)
        counts = count_in_balls(a, b, [ball])[ball]
        np.testing.assert_array_equal(counts.rows, inside.sum(1))
        np.testing.assert_array_equal(counts.columns, inside.sum(0))


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, (9, 2), elements=st.floats(-1e3, 1e3)),
    arrays(np.float64, (7, 2), elements=st.floats(-1e3, 1e3)),
    st.permutations(range(7)),
)
def test_any_rows_in_any_order(x, y, order):
    found = nearest(Sample(x), Sample(y), 2).squared
    np.testing.assert_array_equal(found, np.sort(table(x, y), axis=1)[:, :2])
    np.testing.assert_array_equal(nearest(Sample(x), Sample(y[order]), 2).squared, found)


def test_the_coarse_screen_is_used_and_settles_most_pairs(monkeypatch):
    monkeypatch.setattr(screens, "SMALL", 0)
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(400, 64))), Sample(r.normal(size=(300, 64)))
    made, refined = [], []
    screen, exact = neighbours_pass._Screen.__init__, neighbours_pass.squared_distances

    def counted_screen(self, a, b, dtype):
        made.append(dtype)
        screen(self, a, b, dtype)

    def counted(a, b, i, j):
        refined.append(len(i))
        return exact(a, b, i, j)

    monkeypatch.setattr(neighbours_pass._Screen, "__init__", counted_screen)
    monkeypatch.setattr(neighbours_pass, "squared_distances", counted)
    nearest(a, b, 3)
    assert made == [np.float32]
    assert 3 * 400 <= sum(refined) < 4 * 400


def test_a_screen_that_leaves_much_open_is_refined(monkeypatch):
    monkeypatch.setattr(screens, "SMALL", 0)
    r = np.random.default_rng(0)
    x = r.normal(size=(60, 4)) + 1e7 * r.integers(0, 2, (60, 1))
    made = []
    screen = neighbours_pass._Screen.__init__

    def counted_screen(self, a, b, dtype):
        made.append(dtype)
        screen(self, a, b, dtype)

    monkeypatch.setattr(neighbours_pass._Screen, "__init__", counted_screen)
    own_neighbours(Sample(x), 2)
    assert made == [np.float32, np.float64]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bounds_hold(dtype):
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(50, 700)) + 3), Sample(r.normal(size=(40, 700)) * 2)
    screen = neighbours_pass._Screen(a, b, dtype)
    lower, upper = screen.bounds(0, 50)
    truth = table(a.rows, b.rows) * screen.scale
    assert np.all(lower < truth)
    assert np.all(truth < upper)
    assert np.all(upper - lower < 1e-3 * truth)


def test_neighbours_are_kept_and_extended():
    a = Sample(np.random.default_rng(0).normal(size=(20, 3)))
    three = own_neighbours(a, 3)
    assert own_neighbours(a, 2).squared.base is not None
    np.testing.assert_array_equal(own_neighbours(a, 5).squared[:, :3], three.squared)
    assert own_neighbours(a, 5).squared.shape == (20, 5)


def test_what_two_samples_share_dies_with_either():
    a = Sample(np.random.default_rng(0).normal(size=(20, 3)))
    b = Sample(np.random.default_rng(1).normal(size=(20, 3)))
    all_nearest(a, b)
    assert len(a._shared) == 1
    del b
    assert len(a._shared) == 0


def test_squared_distances_do_not_depend_on_company():
    r = np.random.default_rng(0)
    a = Sample(r.normal(size=(30, 17)).astype(np.float16))
    i, j = r.integers(0, 30, (2, 50))
    together = squared_distances(a, a, i, j)
    alone = [squared_distances(a, a, i[p : p + 1], j[p : p + 1])[0] for p in range(50)]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, squared_distances(a, a, j, i))
