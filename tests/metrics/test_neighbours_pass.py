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
    Nearest,
    Realism,
    all_nearest,
    answer,
    count_in_balls,
    nearest,
    own_neighbours,
    own_pairs,
    radii,
    smaller_half,
    squared_distances,
)
from nriqm_bench.metrics.screens import Block, Screen

PRECISIONS = ["bfloat16", "float32", "float64"]


def table(a, b):
    return np.array([[np.square(x - y).sum() for y in b] for x in a])


@pytest.fixture(params=[(p, b) for p in PRECISIONS for b in (None, 100, 1)], ids=str)
def screen(request, monkeypatch):
    """The coarsest screen, whatever the processor, and blocks of a few pairs or of all."""
    precision, block = request.param
    monkeypatch.setattr(screens, "SMALL", 0 if precision != "float64" else 1 << 62)
    monkeypatch.setattr(screens, "_coarsest", lambda: precision)
    if block is not None:
        monkeypatch.setattr(screens, "BLOCK", block)


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
    "one column": lambda r, n: r.normal(size=(n, 1)),
    "halfway between two of bfloat16": lambda r, n: (
        r.choice([-1, 1], (n, 2)) * (1 + (2 * r.integers(0, 128, (n, 2)) + 1) / 256)
    ),
}


def own_table(x):
    found = table(x, x)
    np.fill_diagonal(found, np.inf)
    return found


def brute_realism(between, within, k):
    """The least squared distance over squared radius, of the balls below the median one."""
    squared = np.sort(within, axis=1)[:, k - 1]
    root = np.sqrt(squared)
    small = root < np.median(root)
    small = small if small.any() else root <= np.median(root)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(between[small] / squared[small, None], nan=0, posinf=np.inf).min(0)


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.usefixtures("screen")
def test_equals_brute_force(kind):
    r = np.random.default_rng(0)
    x, y = CLOUDS[kind](r, 37), CLOUDS[kind](r, 29)
    a, b = Sample(x), Sample(y)
    x, y = x.astype(np.float64), y.astype(np.float64)
    between, within = table(x, y), own_table(x)

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
        radius = np.sort(own_table(x if side == "a" else y), axis=1)[:, k - 1]
        radius = radius[:, None] if side == "a" else radius[None, :]
        inside = between <= radius if inclusive else between < radius
        ball = Ball(side, k, inclusive)
        counts = count_in_balls(a, b, [ball])[ball]
        np.testing.assert_array_equal(counts.rows, inside.sum(1))
        np.testing.assert_array_equal(counts.columns, inside.sum(0))

    for side, k in (("a", 3), ("b", 2), ("a", 30)):
        turned = between if side == "a" else between.T
        expected = brute_realism(turned, own_table(x if side == "a" else y), min(k, 28))
        np.testing.assert_array_equal(answer(a, b, [Realism(side, min(k, 28))])[0], expected)


@pytest.mark.parametrize("kind", ["normal", "lattice", "many copies", "all equal"])
@pytest.mark.usefixtures("screen")
def test_all_ties_are_found(kind):
    r = np.random.default_rng(0)
    x, y = CLOUDS[kind](r, 31), CLOUDS[kind](r, 23)
    a, b = Sample(x), Sample(y)
    for found, distances, k in (
        (own_pairs(a, 4), own_table(x), 4),
        (own_pairs(a, 1), own_table(x), 1),
        (answer(a, b, [Nearest("a", 3)])[0], table(x, y), 3),
        (answer(a, b, [Nearest("b", 2)])[0], table(y, x), 2),
    ):
        expected = [
            (i, j, row[j])
            for i, row in enumerate(distances)
            for j in np.lexsort((np.arange(len(row)), row))
            if row[j] <= np.sort(row)[k - 1]
        ]
        assert list(zip(*(part.tolist() for part in found), strict=True)) == expected


def test_radii_clipped_at_the_median():
    x = np.array([[0.0], [1], [3], [7], [15], [31]])
    # Of 1, 1, 2, 4, 8 and 16 the median is 3.
    found = radii(Sample(x), 1, clipped=True)
    np.testing.assert_allclose(found, [1, 1, 4, 9, 9, 9], rtol=1e-15)
    np.testing.assert_array_equal(radii(Sample(x), 1), [1, 1, 4, 16, 64, 256])
    np.testing.assert_array_equal(smaller_half(radii(Sample(x), 1)), [0, 1, 2])
    np.testing.assert_array_equal(smaller_half(radii(Sample(x[:5]), 1)), [0, 1])
    np.testing.assert_array_equal(smaller_half(np.array([2.0, 2, 2, 5])), [0, 1, 2])
    # A median of one radius, or of two that are equal, is not rounded by taking roots.
    odd = np.random.default_rng(0).random(101)
    assert np.count_nonzero(np.minimum(odd, np.median(odd)) == np.median(odd)) == 51


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
    ratios = answer(Sample(x), Sample(y), [Realism("a", 3)])[0]
    np.testing.assert_array_equal(ratios, brute_realism(table(x, y), own_table(x), 3))
    again = answer(Sample(x[::-1]), Sample(y[order]), [Realism("a", 3)])[0]
    np.testing.assert_array_equal(again, ratios[order])


@pytest.fixture
def watched(monkeypatch):
    """Which screens are made, and of how many pairs the exact distance is taken."""
    made, refined = [], []
    exact = neighbours_pass.squared_distances

    def make(a, b, precision):
        made.append(precision)
        return Screen(a, b, precision)

    def measure(a, b, i, j):
        refined.append(len(i))
        return exact(a, b, i, j)

    monkeypatch.setattr(screens, "Screen", make)
    monkeypatch.setattr(neighbours_pass, "squared_distances", measure)
    return made, refined


@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 12), ("float32", 1.1)])
def test_a_coarse_screen_settles_most_pairs(monkeypatch, watched, precision, most):
    made, refined = watched
    monkeypatch.setattr(screens, "SMALL", 0)
    monkeypatch.setattr(screens, "_coarsest", lambda: precision)
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(400, 64))), Sample(r.normal(size=(300, 64)))
    nearest(a, b, 3)
    assert made == [precision]
    # Of 120 000 pairs, those that are needed and a few more.
    assert 3 * 400 <= sum(refined) < most * 3 * 400


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_counting_measures_few_pairs(monkeypatch, watched, precision):
    monkeypatch.setattr(screens, "SMALL", 0)
    monkeypatch.setattr(screens, "_coarsest", lambda: precision)
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(400, 64))), Sample(r.normal(size=(300, 64)))
    radii(a, 5)
    made, refined = (part.clear() or part for part in watched)
    count_in_balls(a, b, [Ball("a", 5, True)])
    assert set(made) <= {"bfloat16", "float32"}
    assert sum(refined) <= screens.OPEN * 400 * 300


def test_a_screen_that_leaves_much_open_is_refined(monkeypatch, watched):
    made, _ = watched
    monkeypatch.setattr(screens, "SMALL", 0)
    monkeypatch.setattr(screens, "_coarsest", lambda: "bfloat16")
    # So that every block has its turn: what was too coarse for one is not tried on the next.
    monkeypatch.setattr(screens, "BLOCK", 400)
    r = np.random.default_rng(0)
    x = r.normal(size=(60, 4)) + 1e7 * r.integers(0, 2, (60, 1))
    own_neighbours(Sample(x), 2)
    assert made == ["bfloat16", "float32", "float64"]


def test_few_pairs_are_screened_in_float64_at_once(watched):
    made, _ = watched
    r = np.random.default_rng(0)
    nearest(Sample(r.normal(size=(40, 4))), Sample(r.normal(size=(30, 4))))
    assert made == ["float64"]


def whole(a, b, precision):
    made = Screen(a, b, precision)
    return Block([lambda: made], slice(0, len(a)), slice(0, len(b)), False)


def all_bounds(a, b, precision):
    """Lower and upper bounds of all pairs, and the true distances in the same scale."""
    block = whole(a, b, precision)
    i, j = np.divmod(np.arange(block.size), len(b))
    lower, upper = (bound.reshape(block.shape) for bound in block.bounds(i, j))
    wide = [s.rows.astype(np.longdouble) for s in (a, b)]
    return lower, upper, table(*wide) * block.scale, block


@pytest.mark.parametrize(
    ("precision", "width"), [("bfloat16", 0.1), ("float32", 1e-3), ("float64", 1e-11)]
)
@pytest.mark.parametrize("d", [64, 700])
def test_the_bounds_hold(precision, width, d):
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(50, d)) + 3), Sample(r.normal(size=(40, d)) * 2)
    lower, upper, truth, block = all_bounds(a, b, precision)
    assert np.all(lower <= truth)
    assert np.all(truth <= upper)
    assert np.all(upper - lower < width * truth)
    assert np.all(block.gap + block.row[:, None] <= truth)


@pytest.mark.parametrize("d", [1, 2, 8])
def test_the_bounds_of_bfloat16_hold_for_few_columns(d):
    """Its unit of rounding is 2^-8: of few terms, single ones come close to it."""
    for seed in range(20):
        r = np.random.default_rng(seed)
        x = r.normal(size=(40, d))
        lower, upper, truth, block = all_bounds(
            Sample(x), Sample(x + 1e-3 * r.normal(size=x.shape)), "bfloat16"
        )
        assert np.all(lower <= truth)
        assert np.all(truth <= upper)
        assert np.all(block.gap + block.row[:, None] <= truth)


def test_the_bounds_of_bfloat16_hold_where_its_products_are_halfway():
    # 1.0625 is one of its numbers; the square, 1.12890625, is halfway between two.
    x = np.array([[1.0625], [-1.0625], [1.5], [-1.5]])
    lower, upper, truth, _ = all_bounds(Sample(x), Sample(x.copy()), "bfloat16")
    assert np.all(lower <= truth)
    assert np.all(truth <= upper)


def test_finer_screens_have_closer_bounds():
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(30, 100))), Sample(r.normal(size=(30, 100)))
    widths = []
    for precision in PRECISIONS:
        lower, upper, _, _ = all_bounds(a, b, precision)
        widths.append(float((upper - lower).max()))
    assert widths[0] > 30 * widths[1] > 30 * 1e4 * widths[2]


@pytest.mark.parametrize("precision", PRECISIONS)
@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float64, (6, 3), elements=st.floats(-1e40, 1e40)),
    arrays(np.float64, (5, 3), elements=st.floats(-1e40, 1e40)),
)
def test_the_bounds_hold_for_any_rows(precision, x, y):
    lower, upper, truth, block = all_bounds(Sample(x), Sample(y), precision)
    assert np.all(lower <= truth)
    assert np.all(truth <= upper)
    least = truth.min(1) / block.scale
    rows, columns = block.within(least.astype(np.float64) * block.scale, 0)
    found = np.full(6, np.inf)
    np.minimum.at(found, rows, truth[rows, columns].astype(np.float64))
    np.testing.assert_array_equal(found, truth.min(1).astype(np.float64))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("axis", [0, 1])
def test_thresholds_let_nothing_slip(precision, axis):
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(50, 64))), Sample(r.normal(size=(40, 64)) + 0.1)
    _, _, truth, block = all_bounds(a, b, precision)
    truth = truth.astype(np.float64)
    reach = np.partition(truth, 3, axis=1 - axis).take(3, axis=1 - axis)
    rows, columns = block.within(reach, axis)
    kept = np.zeros(block.shape, dtype=bool)
    kept[rows, columns] = True
    inside = truth <= np.expand_dims(reach, 1 - axis)
    assert np.all(kept[inside])
    assert kept.mean() < 0.6
    # And the k-th upper bound is above the k-th distance, though not by much.
    bound = block.kth(4, axis)
    assert np.all(bound >= reach)
    assert np.all(bound < 1.2 * reach)


def test_pairs_of_a_row_with_itself_are_left_out():
    a = Sample(np.random.default_rng(0).normal(size=(20, 3)))
    seen = np.zeros((20, 20), dtype=int)
    for block in screens.blocks(a, None):
        rows, columns = block.within(np.full(block.shape[0], np.inf), 0)
        far = np.isinf(block.gap[rows, columns])
        np.add.at(seen, (rows[~far] + block.i.start, columns[~far] + block.j.start), 1)
    np.testing.assert_array_equal(seen, 1 - np.eye(20, dtype=int))


def test_each_pair_is_in_one_block(monkeypatch):
    monkeypatch.setattr(screens, "BLOCK", 30)
    a, b = (Sample(np.zeros((n, 2))) for n in (23, 17))
    seen = np.zeros((23, 17), dtype=int)
    for block in screens.blocks(a, b):
        assert block.size <= 30
        seen[block.i, block.j] += 1
    np.testing.assert_array_equal(seen, 1)
    seen = np.zeros((23, 23), dtype=int)
    for block in screens.blocks(a, None):
        assert block.size <= 30
        assert block.diagonal == (block.i == block.j)
        seen[block.i, block.j] += 1
        if not block.diagonal:
            seen[block.j, block.i] += 1
    np.testing.assert_array_equal(seen, 1)


def test_one_pass_answers_everything_and_is_kept(monkeypatch):
    r = np.random.default_rng(0)
    a, b = Sample(r.normal(size=(30, 4))), Sample(r.normal(size=(25, 4)))
    asks = [
        Ball("a", 3, True),
        Nearest("b", 2),
        Ball("b", 5, False),
        Realism("a", 3),
        Ball("a", 3, True),
        Ball("a", 5, True, clipped=True),
    ]
    own_neighbours(a, 5)
    own_neighbours(b, 5)
    passes, original = [], neighbours_pass.blocks
    monkeypatch.setattr(
        neighbours_pass, "blocks", lambda *pair: passes.append(pair) or original(*pair)
    )
    found = answer(a, b, asks)
    assert passes == [(a, b)]
    assert found[0] is found[4]
    assert answer(a, b, asks[::-1])[::-1] == found
    # From the other side too: rows and columns change places.
    turned = answer(b, a, [Ball("b", 3, True), Nearest("a", 2), Realism("b", 3)])
    assert passes == [(a, b)]
    np.testing.assert_array_equal(turned[0].rows, found[0].columns)
    np.testing.assert_array_equal(turned[0].columns, found[0].rows)
    assert turned[1:] == [found[1], found[3]]
    answer(a, b, [Ball("a", 3, False)])
    assert passes == [(a, b), (a, b)]


def test_a_sample_may_be_asked_of_itself():
    x = np.random.default_rng(0).integers(0, 4, (20, 2)).astype(float)
    a = Sample(x)
    squared = np.sort(own_table(x), axis=1)[:, 2]
    inside = table(x, x) <= squared[:, None]
    by_row, by_column, (i, j, found) = answer(
        a, a, [Ball("a", 3, True), Ball("b", 3, True), Nearest("a")]
    )
    np.testing.assert_array_equal(by_row.rows, inside.sum(1))
    np.testing.assert_array_equal(by_row.columns, inside.sum(0))
    np.testing.assert_array_equal(by_column.rows, inside.sum(0))
    np.testing.assert_array_equal(by_column.columns, inside.sum(1))
    # Between two samples a row is nearest to itself (and to its copies).
    assert not found.any()
    np.testing.assert_array_equal(np.stack([i, j]), np.nonzero(table(x, x) == 0))


def test_neighbours_are_kept_and_extended():
    a = Sample(np.random.default_rng(0).normal(size=(20, 3)))
    three = own_neighbours(a, 3)
    assert own_neighbours(a, 2).squared.base is not None
    np.testing.assert_array_equal(own_neighbours(a, 5).squared[:, :3], three.squared)
    assert own_neighbours(a, 5).squared.shape == (20, 5)


def test_fewer_pairs_are_taken_from_more():
    x = np.random.default_rng(0).integers(0, 4, (30, 2)).astype(float)
    kept = Sample(x)
    own_pairs(kept, 9)
    for k in (1, 4, 9):
        for found, fresh in zip(own_pairs(kept, k), own_pairs(Sample(x), k), strict=True):
            np.testing.assert_array_equal(found, fresh)


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
