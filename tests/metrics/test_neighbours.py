"""Precision, recall, density and coverage against their definitions, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics
from nriqm_bench.metrics import Sample, neighbours_pass

FAMILY = ("precision", "recall", "density", "coverage")
DEFAULTS = {
    "precision": (3, True),
    "recall": (3, True),
    "density": (5, False),
    "coverage": (5, False),
}


def distances(a, b):
    return np.array([[np.sqrt(np.sum((x - y) ** 2)) for y in b] for x in a])


def radii(a, k):
    own = distances(a, a)
    return np.array([np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(own)])


def oracle(name, real, fake, k, inclusive):
    within = np.less_equal if inclusive else np.less
    between = distances(real, fake)
    if name == "recall":
        return within(between, radii(fake, k)[None, :]).any(1).mean()
    inside = within(between, radii(real, k)[:, None])
    if name == "precision":
        return inside.any(0).mean()
    if name == "density":
        return inside.sum(0).mean() / k
    return within(between.min(1), radii(real, k)).mean()


def clouds(n=60, m=45, d=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) * 1.1 + 0.7


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("seed", range(3))
def test_published_defaults(name, seed):
    x, y = clouds(seed=seed)
    value = metrics.get(name)(x, y)
    assert value == pytest.approx(oracle(name, x, y, *DEFAULTS[name]), abs=1e-12)
    assert 0.1 < value < 1


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("ties", ["strict", "inclusive"])
def test_ties_on_a_lattice(name, k, ties):
    rng = np.random.default_rng(k)
    x, y = rng.integers(0, 5, (30, 2)), rng.integers(1, 6, (25, 2))
    expected = oracle(name, x, y, k, ties == "inclusive")
    assert metrics.get(name)(x, y, k=k, ties=ties) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", FAMILY)
def test_the_two_kinds_of_ties_differ_on_a_line(name):
    x = np.arange(6.0)[:, None]
    strict, inclusive = (metrics.get(name)(x, x + 1, k=1, ties=t) for t in ("strict", "inclusive"))
    assert strict < inclusive


def test_hand_counted_on_a_line():
    real, fake = np.array([[0.0], [1], [3], [7]]), np.array([[0.5], [2], [9], [20]])
    # Radii with k = 1: real 1 1 2 4; fake 1.5 1.5 7 11.
    value = {name: metrics.get(name)(real, fake, k=1, ties="inclusive") for name in FAMILY}
    assert value == {"precision": 0.75, "recall": 1.0, "density": 1.25, "coverage": 1.0}


def test_expected_coverage_of_equal_distributions():
    n, m, k = 20, 15, 3
    rng = np.random.default_rng(0)
    draws = [
        metrics.get("coverage")(rng.random((n, 2)), rng.random((m, 2)), k=k) for _ in range(300)
    ]
    i = np.arange(k)
    expected = 1 - np.prod((n - 1 - i) / (n + m - 1 - i))
    assert np.mean(draws) == pytest.approx(expected, abs=4 * np.std(draws) / np.sqrt(300))


def test_identity():
    x, _ = clouds()
    assert metrics.get("precision")(x, x) == 1
    assert metrics.get("recall")(x, x) == 1
    assert metrics.get("coverage")(x, x) == 1
    # Every row is in its own ball and in those of its neighbours but, being strict, not the k-th.
    assert metrics.get("density")(x, x) == pytest.approx(1, abs=1e-12)
    assert metrics.get("density")(x, x, ties="inclusive") == pytest.approx(6 / 5, abs=1e-12)


def test_disjoint_clouds_score_zero():
    x, y = clouds()
    for name in FAMILY:
        assert metrics.get(name)(x, y + 1000) == 0


def test_dropping_a_mode_costs_recall_and_coverage_only():
    rng = np.random.default_rng(0)
    mode = np.repeat([0.0, 50.0], 50)[:, None]
    real, full = (rng.normal(size=(100, 3)) + mode for _ in range(2))
    half = rng.normal(size=(100, 3))
    for name in ("recall", "coverage"):
        assert metrics.get(name)(real, half) <= 0.5 < metrics.get(name)(real, full)
    for name in ("precision", "density"):
        assert metrics.get(name)(real, half) == pytest.approx(
            metrics.get(name)(real, full), abs=0.2
        )


lattice = arrays(np.float64, (8, 2), elements=st.integers(-2, 2))


@settings(max_examples=40, deadline=None)
@given(lattice, lattice, st.permutations(range(8)), st.sampled_from(FAMILY), st.booleans())
def test_order_shift_and_scale_do_not_matter(x, y, order, name, inclusive):
    ties = "inclusive" if inclusive else "strict"
    metric = metrics.get(name)
    value = metric(x, y, k=3, ties=ties)
    assert value == pytest.approx(oracle(name, x, y, 3, inclusive), abs=1e-12)
    assert metric(x[order], y[order[::-1]], k=3, ties=ties) == value
    assert metric(4 * x + 8, 4 * y + 8, k=3, ties=ties) == value


def test_rotation_does_not_matter():
    x, y = clouds()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    for name in FAMILY:
        assert metrics.get(name)(x @ turn, y @ turn) == metrics.get(name)(x, y)


def test_one_pass_serves_the_whole_family(monkeypatch):
    x, y = (Sample(a) for a in clouds())
    passes = []
    original = neighbours_pass._count
    monkeypatch.setattr(neighbours_pass, "_count", lambda *a: passes.append(a) or original(*a))
    shared = metrics.evaluate(FAMILY, x, y)
    assert len(passes) == 1
    assert shared == {name: metrics.get(name)(x.rows, y.rows) for name in FAMILY}
    assert metrics.evaluate(FAMILY, x, y) == shared
    assert len(passes) == 1 + len(FAMILY)


@pytest.mark.parametrize(
    ("name", "options", "sizes", "message"),
    [
        ("precision", {}, (3, 9), "real had 3 rows, must have more than k = 3 for precision"),
        ("recall", {}, (9, 3), "fake had 3 rows, must have more than k = 3 for recall"),
        ("density", {}, (5, 9), "real had 5 rows, must have more than k = 5 for density"),
        ("coverage", {"k": 9}, (9, 9), "real had 9 rows, must have more than k = 9"),
        ("coverage", {}, (9, 1), "fake had 1 row, must have at least 2 for coverage"),
        ("precision", {"k": 0}, (9, 9), "k was 0, must be a whole number >= 1"),
        ("precision", {"k": 2.5}, (9, 9), r"k was 2\.5, must be a whole number"),
        ("density", {"ties": "loose"}, (9, 9), "ties was 'loose', must be 'strict' or 'inclusive'"),
    ],
)
def test_says_what_is_wrong(name, options, sizes, message):
    n, m = sizes
    x, y = clouds(n, m)
    with pytest.raises(ValueError, match=message):
        metrics.get(name)(x, y, **options)
    with pytest.raises(ValueError, match=message):
        metrics.evaluate([name], x, y, options={name: options})


def test_as_few_rows_as_the_option_needs():
    x, y = clouds(2, 2)
    for name in FAMILY:
        expected = oracle(name, x, y, 1, DEFAULTS[name][1])
        assert metrics.get(name)(x, y, k=1) == pytest.approx(expected)
