"""Intervals: Wilson's by its equation, the jackknife of a mean, coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nriqm_bench import metrics
from nriqm_bench.metrics import Estimate, Metric, Moments, Sample
from nriqm_bench.metrics.estimate import Spread, jackknife, share_interval, spread_of_mean

WHOLE = (-math.inf, math.inf)


def clouds(n=60, m=50, d=4, seed=0):
    r = np.random.default_rng(seed)
    return r.normal(size=(n, d)), r.normal(size=(m, d)) + 0.4


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (3, 7), (7, 7), (40, 1000), (1, 2)])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_wilsons_ends_are_the_shares_that_the_normal_test_just_accepts(hits, n, level):
    share, z = hits / n, stats.norm.ppf(0.5 + level / 2)
    for end in share_interval(share, n, level):
        assert (share - end) ** 2 == pytest.approx(z * z * end * (1 - end) / n, abs=1e-12)
    expected = stats.binomtest(hits, n).proportion_ci(level, method="wilson")
    assert share_interval(share, n, level) == pytest.approx(tuple(expected), abs=1e-12)


def test_an_interval_of_none_or_of_all_is_no_point():
    low, high = share_interval(0.0, 10, 0.95)
    assert low == 0
    # All of z^2 / (n + z^2), the upper root at a share of 0.
    assert high == pytest.approx(1.959963984540054**2 / (10 + 1.959963984540054**2))
    assert share_interval(1.0, 10, 0.95) == pytest.approx((1 - high, 1))


def test_a_share_between_other_ends_is_stretched():
    low, high = share_interval(0.25, 40, 0.9)
    assert Spread(40).interval(25.0, 0.9, (0.0, 100.0)) == pytest.approx((100 * low, 100 * high))
    assert Spread(40).interval(-0.5, 0.9, (-1.0, 1.0)) == pytest.approx((2 * low - 1, 2 * high - 1))


def test_a_deviation_gives_students_interval_within_the_range():
    for n, df, used in ((11, None, 10), (11, 5, 5), (1, None, 1), (3, 0, 1)):
        low, high = Spread(n, 0.5, df).interval(2.0, 0.9, WHOLE)
        expected = stats.t.interval(0.9, used, loc=2, scale=0.5)
        assert (low, high) == pytest.approx(expected, rel=1e-12)
    assert Spread(5, 10.0).interval(0.2, 0.95, (0.0, 1.0)) == (0, 1)
    assert Spread(5, 0.0).interval(0.2, 0.95, (0.0, 1.0)) == (0.2, 0.2)


def test_a_value_beyond_the_range_is_in_its_interval_all_the_same():
    low, high = Spread(9, 0.1).interval(1.5, 0.95, (0.0, 1.0))
    assert low == pytest.approx(stats.t.interval(0.95, 8, loc=1.5, scale=0.1)[0])
    assert high == 1.5


def test_an_infinite_value_has_no_width():
    assert Spread(9, 1.0).interval(math.inf, 0.95, WHOLE) == (math.inf, math.inf)
    assert Spread(9, math.inf).interval(1.0, 0.95, (0.0, 2.0)) == (0, 2)


def test_the_spread_of_a_mean():
    values = np.array([1.0, 4, 2, 9, 5])
    spread = spread_of_mean(values)
    assert (spread.n, spread.df) == (5, None)
    assert spread.sd == pytest.approx(stats.sem(values))
    assert spread_of_mean(np.array([3.0])).sd == math.inf
    assert spread_of_mean(np.array([3.0, math.inf])).sd == math.inf


@pytest.mark.parametrize("n", [2, 3, 20])
def test_leaving_out_single_rows_of_a_mean_is_exact(n):
    x = np.random.default_rng(n).normal(size=(n, 1))
    spread = jackknife(lambda fake: float(fake.array.mean()), {"fake": Sample(x)}, least=1)
    assert spread.sd == pytest.approx(stats.sem(x[:, 0]), rel=1e-10)
    assert (spread.n, spread.df) == (n, n - 1)


def test_two_samples_add_their_variances():
    x, y = np.random.default_rng(0).normal(size=(2, 20, 3))
    y = y[:15] * 2
    spread = jackknife(
        lambda real, fake: float(fake.array[:, 0].mean() - real.array[:, 0].mean()),
        {"real": Sample(x), "fake": Sample(y)},
    )
    expected = math.hypot(stats.sem(x[:, 0]), stats.sem(y[:, 0]))
    assert spread.sd == pytest.approx(expected, rel=1e-10)
    assert (spread.n, spread.df) == (15, 19 + 14)


def test_blocks_of_rows_estimate_the_same_deviation():
    # 403 rows make blocks of 20 and 21; the variance of the mean is then known to 32 % (19 df).
    r = np.random.default_rng(0)
    found = []
    for _ in range(60):
        part = {"fake": Sample(r.normal(size=(403, 1)))}
        found.append(jackknife(lambda fake: float(fake.array.mean()), part).sd ** 2)
    error = math.sqrt(2 / 19 / 60)
    assert np.mean(found) * 403 == pytest.approx(1, abs=4 * error)


def test_the_least_that_must_remain_makes_blocks_smaller():
    seen = []

    def value(fake):
        seen.append(len(fake))
        return float(fake.array.mean())

    jackknife(value, {"fake": Sample(np.arange(41.0)[:, None])}, least=39)
    # 20 blocks would take 3 rows at a time, and leave 38.
    assert min(seen) >= 39
    assert sum(41 - left for left in seen) == 41
    with pytest.raises(ValueError, match="fake had 5 rows, must have more than 5 for an interval"):
        jackknife(value, {"fake": Sample(np.arange(5.0)[:, None])}, least=5)


def test_the_jackknife_does_not_depend_on_the_order_of_rows():
    x, _ = clouds(60)
    x = np.round(x * 64)

    def value(fake):
        return float(np.median(fake.array))

    order = np.random.default_rng(3).permutation(60)
    first = jackknife(value, {"fake": Sample(x)})
    assert jackknife(value, {"fake": Sample(x[order])}) == first
    assert first.sd > 0


def test_images_are_left_out_as_rows_are():
    images = np.random.default_rng(0).random((12, 1, 3, 3))
    spread = jackknife(lambda fake: float(fake.mean()), {"fake": images})
    assert spread.sd == pytest.approx(stats.sem(images.mean((1, 2, 3))), rel=1e-10)


def test_an_estimate_has_the_value_of_a_call():
    x, y = clouds()
    for name in ("fid", "kid", "precision", "density", "sliced-wasserstein"):
        found = metrics.get(name).estimate(x, y)
        assert isinstance(found, Estimate)
        assert found.value == metrics.get(name)(x, y)
        assert found.low < found.value < found.high


def test_an_estimate_reads_as_one_line():
    assert str(Estimate(1.23456, 1, 2, 9)) == "1.235 [1, 2] (n 9)"
    assert str(Estimate(1.23456, 1, 2, 9, 0.5)) == "1.235 [1, 2] (n 9, floor 0.5)"


def test_a_higher_level_is_wider():
    x, y = clouds()
    narrow, wide = (metrics.get("fid").estimate(x, y, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("level", [0, 1, -0.5, 95])
def test_a_level_outside_0_and_1_is_refused(level):
    with pytest.raises(ValueError, match=f"level was {level}, must be a number between 0 and 1"):
        metrics.get("fid").estimate(*clouds(), level=level)


@pytest.mark.parametrize("side", ["real", "fake"])
def test_an_interval_needs_rows(side):
    given = dict(zip(("real", "fake"), clouds(), strict=True))
    batches = Moments()
    batches.update(given[side])
    given[side] = batches
    assert metrics.get("fid")(**given) > 0
    with pytest.raises(ValueError, match=f"{side} was Moments, must be rows"):
        metrics.get("fid").estimate(**given)


def test_a_metric_of_a_user_gets_the_jackknife():
    gap = Metric("gap", lambda real, fake: fake.mean() - real.mean(), higher_is_better=False)
    x, y = np.random.default_rng(0).normal(size=(2, 20, 1))
    found = gap.estimate(x, y)
    sd = math.hypot(stats.sem(x[:, 0]), stats.sem(y[:, 0]))
    low, high = stats.t.interval(0.95, 38, loc=y.mean() - x.mean(), scale=sd)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)
    assert (found.n, found.floor) == (20, None)


def test_random_metrics_are_estimated_with_the_draws_of_the_call():
    x, y = clouds()
    options = {"subsets": 2, "subset_size": 20}
    found = metrics.get("kid").estimate(x, y, rng=np.random.default_rng(4), **options)
    assert found.value == metrics.get("kid")(x, y, rng=np.random.default_rng(4), **options)


def covered(name, draw, rounds=200, **options):
    """The share of intervals, at a level of 90 %, that hold the metric's mean over all draws."""
    found = [
        metrics.get(name).estimate(*draw(np.random.default_rng(seed)), level=0.9, **options)
        for seed in range(rounds)
    ]
    mean = np.mean([e.value for e in found])
    return np.mean([e.low <= mean <= e.high for e in found])


# In 200 rounds the share itself has a deviation of 2 %.
@pytest.mark.parametrize("name", ["fid", "kid", "mmd-rbf", "cmmd"])
def test_intervals_cover_the_mean_over_new_samples(name):
    def draw(r):
        return r.normal(size=(70, 3)), r.normal(size=(50, 3)) * 0.8 + 0.7

    assert 0.82 <= covered(name, draw) <= 0.98


@pytest.mark.parametrize("name", ["precision", "realism", "clipped-density"])
def test_intervals_cover_the_mean_over_new_fake_rows(name):
    real = np.random.default_rng(99).normal(size=(80, 3))
    assert 0.82 <= covered(name, lambda r: (real, r.normal(size=(60, 3)) * 0.8 + 0.7)) <= 0.98


def test_intervals_of_recall_cover_the_mean_over_new_real_rows():
    fake = np.random.default_rng(99).normal(size=(80, 3)) * 0.8 + 0.7
    assert 0.82 <= covered("recall", lambda r: (r.normal(size=(60, 3)), fake)) <= 0.98
