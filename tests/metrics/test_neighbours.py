"""Precision, recall, density, coverage and realism against their definitions, pair by pair."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from nriqm_bench import metrics
from nriqm_bench.metrics import Sample, neighbours_pass
from nriqm_bench.metrics.neighbours import expected_coverage, realism_scores

realism = metrics.get("realism")
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
    x, y, t = (Sample(a) for a in (*clouds(), clouds(seed=1)[0]))
    everything = (*FAMILY, "realism", "clipped-density", "clipped-coverage", "train-share")
    passes = []
    original = neighbours_pass.blocks
    monkeypatch.setattr(
        neighbours_pass, "blocks", lambda a, b: passes.append((a, b)) or original(a, b)
    )
    shared = metrics.evaluate(everything, x, y, train=t)
    # Each pair of samples once, within real and within fake included.
    assert len(passes) == 4
    assert {frozenset(p) - {None} for p in passes} == {
        frozenset(p) for p in ((x,), (y,), (x, y), (y, t))
    }
    alone = {n: metrics.get(n)(x.rows, y.rows, train=t.rows) for n in everything}
    assert shared == alone
    done = len(passes)
    assert metrics.evaluate(everything, x, y, train=t) == shared
    assert len(passes) == done


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


def brute_realism(real, fake, k):
    """The largest radius over distance, of the balls below the median radius."""
    reach, between = radii(real, k), distances(real, fake)
    middle = np.median(reach)
    kept = reach < middle if (reach < middle).any() else reach <= middle
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = reach[kept, None] / between[kept]
    # A row that coincides with a real one is as realistic as can be, whatever the ball.
    return np.where(between[kept] == 0, np.inf, ratios).max(0)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize(("n", "m"), [(60, 45), (61, 4), (8, 80)])
def test_realism_by_its_definition(n, m, k):
    x, y = clouds(n, m, seed=k)
    expected = brute_realism(x, y, k)
    np.testing.assert_allclose(realism_scores(Sample(x), Sample(y), k), expected, rtol=1e-12)
    assert realism(x, y, k=k) == pytest.approx(expected.mean(), rel=1e-12)


def test_realism_counted_by_hand():
    real, fake = np.array([[0.0], [1], [3], [7]]), np.array([[0.5], [2], [9], [-4]])
    # Radii with k = 1: 1 1 2 4, the median 1.5: the balls around 0 and 1 count, of radius 1.
    scores = realism_scores(Sample(real), Sample(fake), 1)
    np.testing.assert_allclose(scores, [2, 1, 1 / 8, 1 / 4], rtol=1e-14)
    assert realism(real, fake, k=1) == pytest.approx(3.375 / 4, rel=1e-14)
    assert realism(real, fake, k=1) == realism(real, fake[::-1], k=1)


def test_balls_that_are_all_equal_all_count():
    real = np.arange(6.0)[:, None]
    np.testing.assert_allclose(
        realism_scores(Sample(real), Sample([[7.0], [2.5]]), 1), [1 / 2, 2], rtol=1e-14
    )


def test_a_fake_row_that_is_a_real_row_is_realistic_without_limit():
    x, y = clouds()
    small = np.argsort(radii(x, 3))[0]
    y[4] = x[small]
    assert realism(x, y) == math.inf
    found = realism.estimate(x, y)
    assert (found.low, found.value, found.high) == (math.inf, math.inf, math.inf)
    # Copies of a row have a ball of no radius, which says nothing of other rows.
    copies = np.concatenate([np.zeros((4, 2)), [[5.0, 0], [0, 9], [9, 9], [50, 50], [20, 90]]])
    scores = realism_scores(Sample(copies), Sample([[0.0, 0], [1, 1], [5, 1]]), 3)
    np.testing.assert_allclose(scores, brute_realism(copies, [[0.0, 0], [1, 1], [5, 1]], 3))
    assert scores[0] == math.inf


@settings(max_examples=60, deadline=None)
@given(lattice, lattice, st.permutations(range(8)), st.integers(1, 7))
def test_realism_with_ties_and_copies(x, y, order, k):
    expected = brute_realism(x, y, k)
    found = realism_scores(Sample(x), Sample(y), k)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_array_equal(realism_scores(Sample(x[order]), Sample(y), k), found)
    np.testing.assert_allclose(realism_scores(Sample(8 * x - 4), Sample(8 * y - 4), k), found)


def test_realism_above_one_is_to_be_within_a_ball():
    x, y = clouds()
    reach = radii(x, 3)
    kept = reach < np.median(reach)
    inside = (distances(x, y) <= reach[:, None])[kept].any(0)
    np.testing.assert_array_equal(realism_scores(Sample(x), Sample(y), 3) >= 1, inside)


@pytest.mark.parametrize(("n", "m", "k"), [(4, 3, 1), (4, 3, 2), (5, 3, 4), (3, 6, 2)])
def test_what_is_expected_is_exact_over_all_ways_to_name_the_rows(n, m, k):
    """Rows of one distribution are exchangeable: which of them are real is any choice of n."""
    rows = np.random.default_rng(0).normal(size=(n + m, 2))
    found = {"coverage": [], "density": []}
    for chosen in itertools.combinations(range(n + m), n):
        real, fake = rows[list(chosen)], np.delete(rows, chosen, axis=0)
        for name, values in found.items():
            values.append(metrics.get(name)(real, fake, k=k))
    assert np.mean(found["coverage"]) == pytest.approx(expected_coverage(n, m, k), rel=1e-12)
    assert np.mean(found["density"]) == pytest.approx(1, rel=1e-12)


def test_expected_coverage_of_many_rows():
    assert expected_coverage(6, 1, 5) == pytest.approx(5 / 6, rel=1e-14)
    assert expected_coverage(10**6, 10**6, 5) == pytest.approx(1 - 0.5**5, abs=1e-5)
    assert expected_coverage(10**9, 1, 1) == pytest.approx(1e-9, rel=1e-8)


def test_floors():
    x, y = clouds(60, 45)
    assert metrics.get("coverage").estimate(x, y).floor == expected_coverage(60, 45, 5)
    assert metrics.get("coverage").estimate(x, y, k=2).floor == expected_coverage(60, 45, 2)
    assert metrics.get("density").estimate(x, y).floor == 1
    assert metrics.get("precision").estimate(x, y).floor is None


def wilson(share, n):
    """The shares that the normal test at 95 % just accepts."""
    z = 1.959963984540054
    return np.sort(np.roots([1 + z * z / n, -2 * share - z * z / n, share * share]))


@pytest.mark.parametrize(("name", "n"), [("precision", 45), ("recall", 60), ("coverage", 60)])
def test_the_interval_of_a_share_is_that_of_its_rows(name, n):
    x, y = clouds(60, 45)
    found = metrics.get(name).estimate(x, y)
    assert found.n == n
    np.testing.assert_allclose([found.low, found.high], wilson(found.value, n), rtol=1e-9)
    # Options reach the interval too.
    found = metrics.get(name).estimate(x, y, k=1, ties="strict")
    np.testing.assert_allclose([found.low, found.high], wilson(found.value, n), rtol=1e-9)


def test_the_interval_of_realism_is_that_of_a_mean_over_fake_rows():
    x, y = clouds(60, 45)
    spread = realism.spread(Sample(x), Sample(y), k=5)
    assert spread.n == 45
    expected = brute_realism(x, y, 5).std(ddof=1) / np.sqrt(45)
    assert spread.sd == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [2, 5])
def test_the_interval_of_density_is_that_of_a_mean_over_pairs(k):
    # Which real row each ball belongs to and which fake row lies in it both vary.
    x, y = clouds(60, 45)
    inside = (distances(x, y) < radii(x, k)[:, None]) * 60 / k
    expected = math.hypot(stats.sem(inside.mean(0)), stats.sem(inside.mean(1)))
    spread = metrics.get("density").spread(Sample(x), Sample(y), k=k)
    assert spread.n == 45
    assert spread.sd == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_intervals_of_density_cover_the_mean_over_new_samples(shift):
    found = []
    for seed in range(200):
        r = np.random.default_rng(seed)
        x, y = r.normal(size=(80, 8)), r.normal(size=(60, 8)) + shift
        found.append(metrics.get("density").estimate(x, y, level=0.9))
    mean = np.mean([e.value for e in found])
    assert 0.75 <= np.mean([e.low <= mean <= e.high for e in found]) <= 0.98


def test_realism_says_what_is_wrong():
    x, y = clouds(9, 9)
    with pytest.raises(ValueError, match="real had 3 rows, must have more than k = 3 for realism"):
        realism(x[:3], y)
    with pytest.raises(ValueError, match="k was 0, must be a whole number >= 1"):
        realism(x, y, k=0)
    with pytest.raises(ValueError, match=r"k was 2\.5, must be a whole number >= 1"):
        metrics.evaluate(["realism"], x, y, options={"realism": {"k": 2.5}})
