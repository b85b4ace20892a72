"""Clipped density and coverage against their definitions, and the calibration against betabinom."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import betabinom

from nriqm_bench import metrics
from nriqm_bench.metrics import Sample
from nriqm_bench.metrics.clipped import expected_shares

density = metrics.get("clipped-density")
coverage = metrics.get("clipped-coverage")


def distances(a, b):
    return np.array([[np.sqrt(np.sum((x - y) ** 2)) for y in b] for x in a])


def radii(a, k):
    return np.array([np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(distances(a, a))])


def brute_density(real, fake, k):
    """Each point's count of balls over k, at most 1: fake rows by what real rows have."""
    reach = radii(real, k)
    reach = np.minimum(reach, np.median(reach))
    ours = (distances(real, fake) <= reach[:, None]).sum(0)
    theirs = [
        sum(np.sqrt(np.sum((x - y) ** 2)) <= reach[i] for i, x in enumerate(real) if i != j)
        for j, y in enumerate(real)
    ]
    return np.minimum(ours / k, 1).mean() / np.minimum(np.array(theirs) / k, 1).mean()


def brute_mean(real, fake, k):
    held = (distances(real, fake) < radii(real, k)[:, None]).sum(1)
    return np.minimum(held / k, 1).mean()


def brute_table(n, m, k):
    """The mean of min(X, k) / k by the distribution of X, for each number of good rows."""
    x = np.arange(m + 1)
    return np.array([np.minimum(x, k) @ betabinom.pmf(x, g, k, n - k) / k for g in x])


def clouds(n=60, m=45, d=4, seed=0):
    r = np.random.default_rng(seed)
    return r.normal(size=(n, d)), r.normal(size=(m, d)) * 1.1 + 0.5


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m"), [(60, 45), (41, 80), (6, 6)])
def test_density_by_its_definition(n, m, k):
    x, y = clouds(n, m, seed=k)
    expected = brute_density(x, y, k)
    assert density(x, y, k=k, clip=False) == pytest.approx(expected, rel=1e-12)
    assert density(x, y, k=k) == pytest.approx(min(expected, 1), rel=1e-12)


lattice = arrays(np.float64, (8, 2), elements=st.integers(-2, 2))


@settings(max_examples=40, deadline=None)
@given(lattice, lattice, st.permutations(range(8)), st.integers(1, 7))
def test_edges_are_inside_the_balls_of_density_only(x, y, order, k):
    assert density(x, y, k=k, clip=False) == pytest.approx(brute_density(x, y, k), rel=1e-12)
    assert coverage(x, y, k=k, calibration="none") == pytest.approx(brute_mean(x, y, k), abs=1e-12)
    for metric in (density, coverage):
        assert metric(x[order], y[order[::-1]], k=k) == pytest.approx(
            metric(x, y, k=k), rel=1e-12, abs=1e-12
        )


def test_counted_by_hand_on_a_line():
    real = np.array([[0.0], [1], [3], [7], [15]])
    fake = np.array([[2.0], [5], [11], [0.5], [100]])
    # Radii 1 1 2 4 8, clipped at 2 to 1 1 2 2 2: balls [-1, 1] [0, 2] [1, 5] [5, 9] [13, 17].
    # Counts of fake rows: 2 2 0 2 0, clipped at k: 3 of 5. Real rows lie in balls of others:
    # 0 in [0, 2]; 1 in [-1, 1] and [1, 5]; 3, 7 and 15 in none.
    assert density(real, fake, k=1, clip=False) == pytest.approx((3 / 5) / (2 / 5), rel=1e-14)
    assert density(real, fake, k=1) == 1
    # Coverage does not clip balls, (-1, 1) (0, 2) (1, 5) (3, 11) (7, 23), nor counts edges: the
    # first holds .5, the second .5, the third 2, the fourth 5 and the last 11.
    assert coverage(real, fake, k=1, calibration="none") == 1
    assert coverage(real, fake[[0, 1]], k=1, calibration="none") == 2 / 5


def test_outliers_do_not_widen_the_balls():
    x, y = clouds(60, 45)
    far = np.concatenate([x, 100 + 30 * np.eye(4)])
    unreal = y + 60
    assert metrics.get("density")(far, unreal) > 0.01
    assert density(far, unreal) == 0


@pytest.mark.parametrize(("n", "m", "k"), [(20, 15, 5), (7, 30, 5), (50, 40, 1), (9, 12, 8)])
def test_the_calibration_is_the_beta_binomial(n, m, k):
    np.testing.assert_allclose(expected_shares(n, m, k), brute_table(n, m, k), atol=1e-12)


def test_the_calibration_of_many_rows_rises_from_0_towards_1():
    found = expected_shares(5000, 8000, 5)
    assert found[0] == pytest.approx(0, abs=1e-15)
    assert np.all(np.diff(found) > 0)
    x = np.arange(8001)
    expected = np.minimum(x, 5) @ betabinom.pmf(x, 8000, 5, 4995) / 5
    assert found[-1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "k"), [(4, 3, 2), (5, 4, 1), (4, 4, 3)])
def test_the_calibration_is_exact_over_all_ways_to_name_the_rows(n, m, k):
    # Rows of one distribution are exchangeable: which of them are real is any choice of n.
    rows = np.random.default_rng(0).normal(size=(n + m, 2))
    found = []
    for chosen in itertools.combinations(range(n + m), n):
        real = rows[list(chosen)]
        fake = np.delete(rows, chosen, axis=0)
        found.append(coverage(real, fake, k=k, calibration="none"))
    assert np.mean(found) == pytest.approx(expected_shares(n, m, k)[-1], rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "m", "k"), [(60, 45, 5), (30, 50, 2), (8, 6, 5)])
def test_coverage_by_its_definition(n, m, k, seed):
    x, y = clouds(n, m, seed=seed)
    mean, table = brute_mean(x, y, k), brute_table(n, m, k)
    assert coverage(x, y, k=k, calibration="none") == pytest.approx(mean, rel=1e-12)
    # The first number of good rows, of at least k, that is expected to do as well.
    first = next((g for g in range(k, m + 1) if table[g] >= mean), m + 1) if mean > 0 else 0
    assert coverage(x, y, k=k) == pytest.approx(first / (m + 1), abs=1e-12)
    # In between, the line from one whole number to the next.
    between = coverage(x, y, k=k, calibration="interpolated")
    at = min(int(between * m), m - 1)
    if mean < table[-1]:
        share = between * m - at
        assert (1 - share) * table[at] + share * table[at + 1] == pytest.approx(mean, rel=1e-9)
    else:
        assert between == 1


@pytest.mark.parametrize("seed", range(3))
def test_good_rows_among_bad_ones_are_counted(seed):
    r = np.random.default_rng(seed)
    real, good = r.normal(size=(400, 3)), r.normal(size=(400, 3))
    for share in (0.25, 0.5, 0.75):
        fake = np.where(np.arange(400)[:, None] < share * 400, good, 1e3)
        assert coverage(real, fake) == pytest.approx(share, abs=0.1)
        assert density(real, fake) == pytest.approx(share, abs=0.1)


def test_identical_and_disjoint_samples():
    x, y = clouds()
    assert density(x, x) == 1
    assert coverage(x, x) > 0.8
    for metric in (density, coverage):
        assert metric(x, y + 1000) == 0
        assert metric.estimate(x, y + 1000).low == 0
    assert coverage(x, y + 1000, calibration="interpolated") == 0


def test_a_mean_that_the_table_holds_is_not_rounded_up_to_the_next():
    # The share that a ball holds is uniform, so that one of two good rows is in it half the time.
    np.testing.assert_allclose(expected_shares(2, 2, 1), [0, 1 / 2, 2 / 3], rtol=1e-12)
    real, fake = np.array([[0.0], [1.0]]), np.array([[-0.5], [9.0]])
    assert coverage(real, fake, k=1, calibration="none") == 0.5
    assert coverage(real, fake, k=1) == pytest.approx(1 / 3)
    assert coverage(real, fake, k=1, calibration="interpolated") == pytest.approx(1 / 2)


def test_neither_rotation_nor_scale_matters():
    x, y = clouds()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    for metric in (density, coverage):
        assert metric(3 * x @ turn + 5, 3 * y @ turn + 5) == pytest.approx(metric(x, y), rel=1e-9)


def test_the_interval_of_density_is_that_of_the_mean_of_its_rows():
    x, y = clouds(60, 45)
    reach = radii(x, 5)
    reach = np.minimum(reach, np.median(reach))
    rows = np.minimum((distances(x, y) <= reach[:, None]).sum(0) / 5, 1)
    value = density(x, y, clip=False)
    sd = rows.std(ddof=1) / np.sqrt(45) * value / rows.mean()
    spread = density.spread(Sample(x), Sample(y))
    assert (spread.n, spread.sd) == (45, pytest.approx(sd, rel=1e-10))


def test_the_interval_of_coverage_is_carried_through_the_calibration():
    x, y = clouds(200, 150)
    table = brute_table(200, 150, 5)
    rows = np.minimum((distances(x, y) < radii(x, 5)[:, None]).sum(1) / 5, 1)
    sem = rows.std(ddof=1) / np.sqrt(200)
    # The calibration of a little more and a little less: its slope, to the curvature of the table.
    near = np.interp(rows.mean() + np.array([-1, 1]) * 0.02, table, np.arange(151) / 150)
    expected = sem * (near[1] - near[0]) / 0.04
    spread = coverage.spread(Sample(x), Sample(y))
    assert (spread.n, spread.sd) == (200, pytest.approx(expected, rel=0.1))


def test_the_interval_without_calibration_is_that_of_the_mean():
    x, y = clouds(60, 45)
    rows = np.minimum((distances(x, y) < radii(x, 5)[:, None]).sum(1) / 5, 1)
    spread = coverage.spread(Sample(x), Sample(y), calibration="none")
    assert spread.sd == pytest.approx(rows.std(ddof=1) / np.sqrt(60), rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_intervals_of_coverage_cover_the_mean_over_new_samples(shift):
    found = []
    for seed in range(150):
        r = np.random.default_rng(seed)
        x, y = r.normal(size=(80, 3)), r.normal(size=(60, 3)) + shift
        found.append(coverage.estimate(x, y, level=0.9))
    mean = np.mean([e.value for e in found])
    # Overlapping balls make the rows dependent: some intervals are too short.
    assert 0.7 <= np.mean([e.low <= mean <= e.high for e in found]) <= 0.99


@pytest.mark.parametrize(
    ("metric", "options", "sizes", "message"),
    [
        (density, {}, (5, 9), "real had 5 rows, must have more than k = 5"),
        (coverage, {}, (5, 9), "real had 5 rows, must have more than k = 5"),
        (coverage, {}, (9, 4), "fake had 4 rows, must have at least k = 5 for clipped-coverage"),
        (density, {"k": 0}, (9, 9), "k was 0, must be a whole number >= 1"),
        (coverage, {"k": 2.5}, (9, 9), r"k was 2\.5, must be a whole number >= 1"),
        (coverage, {"k": True}, (9, 9), "k was True, must be a whole number >= 1"),
        (
            coverage,
            {"calibration": "some"},
            (9, 9),
            "calibration was 'some', must be 'published', 'interpolated' or 'none'",
        ),
    ],
)
def test_says_what_is_wrong(metric, options, sizes, message):
    x, y = clouds(*sizes)
    with pytest.raises(ValueError, match=message):
        metric(x, y, **options)
    with pytest.raises(ValueError, match=message):
        metrics.evaluate([metric.name], x, y, options={metric.name: options})
