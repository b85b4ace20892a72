"""KID against exact rational arithmetic; Gaussian kernels against full matrices; intervals."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics
from nriqm_bench.metrics import Sample, kernel, pairs
from nriqm_bench.metrics.median import median_distance

kid, mmd_rbf, cmmd = (metrics.get(name) for name in ("kid", "mmd-rbf", "cmmd"))


def exact(x, y):
    """The estimate in rational numbers, from its definition."""
    x, y = ([[Fraction(float(v)) for v in row] for row in a] for a in (x, y))
    d = len(x[0])

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / d + 1) ** 3

    def own(rows):
        return sum(k(a, b) for a, b in itertools.permutations(rows, 2)) / (
            len(rows) * (len(rows) - 1)
        )

    between = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return own(x) + own(y) - 2 * between


def clouds(n=40, m=30, d=5):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.4


def test_two_pairs_of_points():
    assert kid(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])) == pytest.approx(
        297.5, rel=1e-14
    )


def test_agrees_with_rational_arithmetic():
    x, y = clouds(9, 7)
    assert kid(x, y) == pytest.approx(float(exact(x, y)), rel=1e-12)
    assert kid(y, x) == pytest.approx(kid(x, y), rel=1e-12)


@pytest.mark.parametrize("offset", [2.0**10, 2.0**20])
def test_clouds_far_from_the_origin_lose_no_digits(offset):
    x, y = (np.round(a * 64) / 64 + offset for a in clouds(9, 7))
    truth = float(exact(x, y))
    assert kid(x, y) == pytest.approx(truth, rel=1e-11)
    naive = ((x @ y.T / 5 + 1) ** 3).mean()
    assert abs(naive) > 1e3 * abs(truth)


def test_is_unbiased_and_so_negative_for_a_sample_split_in_two():
    x = np.concatenate([np.eye(4), -np.eye(4)])
    assert kid(x, x) == pytest.approx(float(exact(x, x)), rel=1e-12)
    assert kid(x, x) < 0


@pytest.mark.parametrize("block", [1, 9, 100])
def test_blocks_do_not_matter(monkeypatch, block):
    x, y = clouds()
    whole = [metric(x, y) for metric in (kid, mmd_rbf, cmmd)]
    sds = [metric.spread(Sample(x), Sample(y)).sd for metric in (kid, mmd_rbf, cmmd)]
    monkeypatch.setattr(pairs, "BLOCK", block)
    assert [metric(x, y) for metric in (kid, mmd_rbf, cmmd)] == pytest.approx(whole, rel=1e-12)
    found = [metric.spread(Sample(x), Sample(y)).sd for metric in (kid, mmd_rbf, cmmd)]
    assert found == pytest.approx(sds, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float64, (5, 2), elements=st.integers(-3, 3)),
    arrays(np.float64, (4, 2), elements=st.integers(-3, 3)),
    st.permutations(range(5)),
)
def test_neither_order_nor_rotation_matters(x, y, order):
    value = kid(x, y)
    assert value == pytest.approx(float(exact(x, y)), abs=1e-10)
    assert kid(x[order], y) == pytest.approx(value, abs=1e-10)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert kid(x @ turn, y @ turn) == pytest.approx(value, abs=1e-10)


def test_a_subset_of_everything_is_everything():
    x, y = clouds(30, 30)
    rng = np.random.default_rng(1)
    assert kid(x, y, subsets=2, subset_size=30, rng=rng) == pytest.approx(kid(x, y), rel=1e-12)


def test_subsets_are_drawn_from_rng_and_average_to_the_whole():
    x, y = clouds(12, 12)
    first = kid(x, y, subsets=5, subset_size=4, rng=np.random.default_rng(1))
    assert first == kid(x, y, subsets=5, subset_size=4, rng=np.random.default_rng(1))
    assert first != kid(x, y, subsets=5, subset_size=4, rng=np.random.default_rng(2))
    draws = [kid(x, y, subsets=1, subset_size=6, rng=np.random.default_rng(i)) for i in range(400)]
    error = np.std(draws) / np.sqrt(len(draws))
    assert np.mean(draws) == pytest.approx(kid(x, y), abs=4 * error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subsets": 0}, "subsets was 0, must be a whole number >= 1"),
        ({"subsets": 1.5}, r"subsets was 1\.5"),
        ({"subsets": 3}, "rng was None, must be a numpy Generator"),
        (
            {"subsets": 3, "rng": np.random.default_rng(0)},
            "subset_size was 1000, must be between 2 and the rows of real, 40",
        ),
        (
            {"subsets": 3, "subset_size": 35, "rng": np.random.default_rng(0)},
            "subset_size was 35, must be between 2 and the rows of fake, 30",
        ),
        ({"subsets": 3, "subset_size": 1, "rng": np.random.default_rng(0)}, "subset_size was 1"),
    ],
)
def test_says_what_is_wrong_with_the_subsets(options, message):
    with pytest.raises(ValueError, match=message):
        kid(*clouds(), **options)


@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_products_of_many_pairs_are_float32_and_sums_are_not(monkeypatch, shift):
    r = np.random.default_rng(0)
    x, y = r.normal(size=(500, 64)), r.normal(size=(400, 64)) + shift
    whole = kid(x, y)
    monkeypatch.setattr(kernel, "_MANY", 1)
    found = kid(x, y)
    assert found != whole
    # Kernel values are near 1: for equal distributions theirs is the rounding that shows.
    assert found == pytest.approx(whole, rel=1e-6, abs=1e-8)


def distances(a, b):
    return np.array([[np.sqrt(np.sum((x - y) ** 2)) for y in b] for x in a])


def full(x, y, gram, *, biased):
    """The estimate with all matrices at once."""
    own = []
    for rows in (x, y):
        k, n = gram(rows, rows), len(rows)
        own.append(k.mean() if biased else (k.sum() - np.trace(k)) / (n * (n - 1)))
    return own[0] + own[1] - 2 * gram(x, y).mean()


def gaussian(bandwidth):
    return lambda a, b: np.exp(-(distances(a, b) ** 2) / (2 * bandwidth**2))


def median(x):
    return np.median(distances(x, x)[np.triu_indices(len(x), 1)])


ESTIMATORS = ["unbiased", "biased"]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("bandwidth", [None, 0.3, 2, 50.0])
def test_gaussian_discrepancy_by_its_definition(estimator, bandwidth):
    # 39 rows have an odd number of pairs, one of which is the median.
    x, y = clouds(39)
    gram = gaussian(median(x) if bandwidth is None else bandwidth)
    expected = full(x, y, gram, biased=estimator == "biased")
    found = mmd_rbf(x, y, bandwidth=bandwidth, estimator=estimator)
    assert found == pytest.approx(expected, rel=1e-10)


def test_gaussian_discrepancy_of_two_points():
    x, y = np.array([[0.0], [1.0]]), np.array([[3.0], [4.0]])
    # Distances 1, 1 and 2, 3, 3, 4 with s = 1.
    k = [math.exp(-(d**2) / 2) for d in range(5)]
    between = (k[2] + 2 * k[3] + k[4]) / 2
    assert mmd_rbf(x, y, bandwidth=1) == pytest.approx(2 * k[1] - between, rel=1e-13)
    assert mmd_rbf(x, y, bandwidth=1, estimator="biased") == pytest.approx(
        1 + k[1] - between, rel=1e-13
    )
    assert mmd_rbf(x, y) == mmd_rbf(x, y, bandwidth=1)


def test_far_points_have_nothing_in_common():
    x, y = np.arange(3.0)[:, None] * 1e4, np.arange(4.0)[:, None] * 1e4 + 1e6
    assert mmd_rbf(x, y, bandwidth=1) == 0
    assert mmd_rbf(x, y, bandwidth=1, estimator="biased") == pytest.approx(1 / 3 + 1 / 4)
    copies = [np.zeros((5, 1)), np.full((4, 1), 1e6)]
    assert mmd_rbf(*copies, bandwidth=1) == 2


def test_small_discrepancies_keep_their_digits():
    """With a long bandwidth the estimate is the distance of the means over its square."""
    x, y = clouds()
    gap = x.mean(0) - y.mean(0)
    found = mmd_rbf(x, y, bandwidth=1e5, estimator="biased")
    assert found == pytest.approx(gap @ gap / 1e10, rel=1e-6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_clouds_far_from_the_origin_have_the_same_gaussian_discrepancy(estimator):
    x, y = (np.round(a * 64) / 64 for a in clouds())
    value = mmd_rbf(x, y, estimator=estimator)
    assert mmd_rbf(x + 2.0**30, y + 2.0**30, estimator=estimator) == pytest.approx(value, rel=1e-11)


@settings(max_examples=25, deadline=None)
@given(
    st.permutations([[a, b] for a in range(-2, 2) for b in range(-1, 2)]),
    arrays(np.float64, (5, 2), elements=st.integers(-3, 3)),
    st.permutations(range(6)),
)
def test_what_the_gaussian_discrepancy_is_invariant_under(points, y, order):
    x = np.array(points[:6], dtype=float)
    value = mmd_rbf(x, y)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    for a, b in ((x[order], y), (x + 5, y + 5), (x @ turn, y @ turn), (3 * x, 3 * y)):
        assert mmd_rbf(a, b) == pytest.approx(value, abs=1e-12)
    assert mmd_rbf(y, x, bandwidth=1.5) == pytest.approx(mmd_rbf(x, y, bandwidth=1.5), abs=1e-14)
    assert mmd_rbf(x, y, estimator="biased") >= -1e-15
    assert mmd_rbf(x, x[order], estimator="biased") == pytest.approx(0, abs=1e-14)


# Any block below 1 / 8 of the pairs keeps them from being held: they are counted in bins first.
@pytest.mark.parametrize("block", [None, 1, 16, 80])
@pytest.mark.parametrize("n", [2, 3, 39, 42])
@pytest.mark.parametrize("kind", ["normal", "lattice", "outlier"])
def test_the_median_distance_is_exact(monkeypatch, kind, n, block):
    r = np.random.default_rng(n)
    x = r.integers(0, 4, (n, 3)).astype(float) if kind == "lattice" else r.normal(size=(n, 3))
    if kind == "outlier":
        x[0] += 500
    if block is not None:
        monkeypatch.setattr(pairs, "BLOCK", block)
    found = np.sort(distances(x, x)[np.triu_indices(n, 1)])
    assert len(found) % 2 == 1
    assert median_distance(Sample(x)) == pytest.approx(found[len(found) // 2], rel=1e-9)


@pytest.mark.parametrize("block", [None, 1])
def test_the_median_of_an_even_number_lies_between_the_middle_two(monkeypatch, block):
    if block is not None:
        monkeypatch.setattr(pairs, "BLOCK", block)
    # Of 1, 2, 3, 97, 99 and 100 the middle two lie in bins far apart.
    x = np.array([[0.0], [1.0], [3.0], [100.0]])
    found = median_distance(Sample(x))
    assert 3 < found < 97
    # Ten distances: 1 8 8 9 13, 16 17 21 29 30.
    x = np.array([[0.0], [1.0], [9.0], [17.0], [30.0]])
    assert 13 < median_distance(Sample(x)) < 16


def test_the_median_is_kept_with_the_sample():
    x, y = clouds()
    real = Sample(x)
    first = mmd_rbf(real, y)
    real.own["median distance"] *= 2
    assert mmd_rbf(real, y) == mmd_rbf(x, y, bandwidth=2 * median_distance(Sample(x)))
    assert mmd_rbf(x, y) == first


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("bandwidth", [10.0, 0.5])
def test_cmmd_by_its_definition(estimator, bandwidth):
    x, y = clouds()
    expected = 1000 * full(unit(x), unit(y), gaussian(bandwidth), biased=estimator == "biased")
    found = cmmd(x, y, bandwidth=bandwidth, estimator=estimator)
    assert found == pytest.approx(expected, rel=1e-9)


def test_cmmd_has_a_closed_form_for_two_directions():
    x, y = np.array([[2.0, 0], [5, 0]]), np.array([[0, 1.0], [0, 9]])
    # Rows of one side coincide, and are at a squared distance of 2 from the others.
    expected = 1000 * (2 - 2 * math.exp(-1 / 100))
    assert cmmd(x, y) == pytest.approx(expected, rel=1e-12)
    assert cmmd(x, y, estimator="unbiased") == pytest.approx(expected, rel=1e-12)
    assert cmmd(x, 3 * x) == 0


def test_cmmd_sees_directions_only():
    x, y = clouds()
    value = cmmd(x, y)
    r = np.random.default_rng(0)
    turn = np.linalg.qr(r.normal(size=(5, 5)))[0]
    lengths = r.uniform(0.1, 9, (40, 1))
    for a, b in ((y, x), (x * lengths, y), (x @ turn, y @ turn), (x[::-1], y[::-1])):
        assert cmmd(a, b) == pytest.approx(value, rel=1e-10)
    assert cmmd(x + 1, y + 1) != pytest.approx(value, rel=1e-2)


def test_no_distance_is_expected_of_unbiased_estimates():
    x, y = clouds()
    assert kid.estimate(x, y).floor == 0
    assert mmd_rbf.estimate(x, y).floor == 0
    assert cmmd.estimate(x, y, estimator="unbiased").floor == 0


@pytest.mark.parametrize("metric", [mmd_rbf, cmmd], ids=["mmd-rbf", "cmmd"])
def test_the_floor_of_biased_estimates_is_their_mean_for_one_distribution(metric):
    options = {"estimator": "biased"} | ({"bandwidth": 2.0} if metric is mmd_rbf else {})
    r = np.random.default_rng(0)
    found = [
        metric.estimate(r.normal(size=(20, 4)), r.normal(size=(30, 4)), **options)
        for _ in range(150)
    ]
    values, floors = np.array([(e.value, e.floor) for e in found]).T
    error = (values - floors).std() / math.sqrt(150)
    assert values.mean() == pytest.approx(floors.mean(), abs=4 * error)
    assert error < 0.08 * values.mean()


def sides(r, shift, n=60, m=45):
    return r.normal(size=(n, 3)), r.normal(size=(m, 3)) + shift


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
@pytest.mark.parametrize("metric", [kid, mmd_rbf, cmmd], ids=["kid", "mmd-rbf", "cmmd"])
def test_the_deviation_is_that_over_new_samples(metric, shift):
    """Also for equal distributions, where the first-order term of the U-statistic vanishes."""
    options = {"bandwidth": 2.0} if metric is mmd_rbf else {}
    values, variances = [], []
    for seed in range(300):
        x, y = (Sample(a) for a in sides(np.random.default_rng(seed), shift))
        values.append(metric(x, y, **options))
        variances.append(metric.spread(x, y, **options).sd ** 2)
    # A deviation from 300 values, with heavy tails, is known to about 8 %.
    assert math.sqrt(np.mean(variances)) == pytest.approx(np.std(values), rel=0.3)


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.5])
def test_intervals_of_kid_cover_the_truth(shift):
    # The mean of the unbiased estimate is the discrepancy itself, here from a large sample.
    truth = 0.0
    if shift:
        r = np.random.default_rng(1)
        truth = np.mean([kid(*sides(r, shift, 2000, 2000)) for _ in range(2)])
    found = [kid.estimate(*sides(np.random.default_rng(s), shift), level=0.9) for s in range(200)]
    assert 0.8 <= np.mean([e.low <= truth <= e.high for e in found]) <= 0.99
    assert found[0].n == 45


def test_the_smallest_samples_have_an_interval():
    for metric in (kid, mmd_rbf, cmmd):
        found = metric.estimate(np.eye(2), np.eye(2) + np.array([0, 1]))
        assert found.low <= found.value <= found.high
    constant = kid.estimate(np.ones((4, 2)), np.ones((5, 2)))
    assert (constant.low, constant.value, constant.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (mmd_rbf, {"bandwidth": 0}, "bandwidth was 0, must be a number > 0, or None"),
        (mmd_rbf, {"bandwidth": math.inf}, "bandwidth was inf, must be a number > 0"),
        (mmd_rbf, {"bandwidth": "1"}, "bandwidth was '1', must be a number > 0"),
        (mmd_rbf, {"estimator": "V"}, "estimator was 'V', must be 'unbiased' or 'biased'"),
        (cmmd, {"bandwidth": -1.0}, r"bandwidth was -1\.0, must be a number > 0"),
        (cmmd, {"bandwidth": None}, "bandwidth was None, must be a number > 0"),
        (cmmd, {"estimator": "U"}, "estimator was 'U', must be 'unbiased' or 'biased'"),
    ],
)
def test_says_what_is_wrong_with_a_gaussian_kernel(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(*clouds(), **options)


def test_rows_without_a_bandwidth_or_a_direction_are_named():
    x, y = clouds()
    same = np.ones((40, 5))
    with pytest.raises(ValueError, match="real had more than half of its pairs of rows equal"):
        mmd_rbf(same, y)
    assert mmd_rbf(same, y, bandwidth=1.0) > 0
    x[3] = 0
    with pytest.raises(ValueError, match="real held 1 of 40 rows of zeros, must have none"):
        cmmd(x, y)
    with pytest.raises(ValueError, match="fake held 1 of 40 rows of zeros, must have none"):
        cmmd(y, x)


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two_distances():
    # 1 2 3 | 97 99 100: (3 + 97) / 2, and not the root of (9 + 9409) / 2.
    assert median_distance(Sample([[0.0], [1.0], [3.0], [100.0]])) == pytest.approx(50, rel=1e-12)


def test_the_median_of_equal_rows_is_zero():
    r = np.random.default_rng(58)
    for _ in range(30):
        k, d = int(r.integers(20, 200)), int(r.integers(1, 600))
        same = np.repeat(r.normal(size=(1, d)), 4 * k, axis=0)
        assert median_distance(Sample(np.concatenate([same, r.normal(size=(k, d))]))) == 0


def test_the_median_within_one_of_two_far_clusters_keeps_its_digits():
    r = np.random.default_rng(0)
    x = r.normal(size=(60, 5)) + 1e9 * (r.integers(0, 9, (60, 1)) == 0)
    gaps = np.sqrt(np.square(x[:, None] - x).sum(-1))[np.triu_indices(60, 1)]
    middle = np.sort(gaps)[len(gaps) // 2 - 1 : len(gaps) // 2 + 1]
    assert middle[0] * (1 - 1e-12) <= median_distance(Sample(x)) <= middle[1] * (1 + 1e-12)


def test_many_equal_rows_are_named(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 4)
    with pytest.raises(ValueError, match="real had more than half of its pairs of rows equal"):
        mmd_rbf(np.full((50, 3), 0.1), np.eye(3))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_intervals_of_kid_over_subsets_cover_the_truth(shift):
    found = []
    for seed in range(200):
        r = np.random.default_rng(seed)
        x, y = r.normal(size=(200, 4)), r.normal(size=(200, 4)) + shift
        found.append(kid.estimate(x, y, subsets=4, subset_size=40, rng=r, level=0.9))
    mean = np.mean([e.value for e in found])
    assert 0.82 <= np.mean([e.low <= mean <= e.high for e in found]) <= 0.99
