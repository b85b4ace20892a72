"""Hotelling's distance, clustered by subject, and floors with tails, on known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nriqm_bench.evidence import Floor, HotellingFloor, Means, ShareFloor, distance

K = 5


def people(rng, subjects, each, k=K, alike=1.0):
    """Images of one subject share an offset: ``(n, k)`` values and whose they are."""
    own = alike * rng.standard_normal((subjects, k)).repeat(each, axis=0)
    values = own + rng.standard_normal((subjects * each, k))
    return values, np.repeat([f"s{i}" for i in range(subjects)], each).tolist()


def tails(alike, runs=300):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(runs):
        real = Means.of(*people(rng, 90, 4, alike=alike))
        fake, _ = people(rng, 30, 4, alike=alike)
        floor = HotellingFloor((0.0, 1.0), statistics=K, subjects=real.subjects)
        found.append(floor.tail(distance(real, fake.mean(axis=0), len(fake), 3.0), "above"))
    return np.array(found)


@pytest.mark.parametrize("alike", [0.0, 1.5])
def test_fresh_real_sets_are_as_far_as_the_tail_says(alike):
    found = tails(alike)
    assert found.min() > 1e-4
    # 300 runs: a share of .1 has an SD of .017; the ridge and the rare subject make it cautious.
    assert 0.02 < (found < 0.1).mean() < 0.15
    assert (found < 0.01).mean() < 0.03
    assert 0.35 < np.median(found) < 0.75


def test_without_subjects_the_mean_has_the_standard_error_of_a_mean():
    x = np.random.default_rng(0).standard_normal((400, 2))
    means = Means.of(x, [str(i) for i in range(400)])
    assert means.covariance == pytest.approx(np.cov(x.T) / 400, rel=1e-9)
    assert means.mean == pytest.approx(x.mean(axis=0))


def test_repeats_of_an_image_tell_no_more_than_one():
    x = np.random.default_rng(0).standard_normal((50, 2))
    subjects = [str(i) for i in range(50)]
    once, often = Means.of(x, subjects), Means.of(x.repeat(8, axis=0), np.repeat(subjects, 8))
    assert often.covariance == pytest.approx(once.covariance)
    assert (often.subjects, often.images) == (50, 400)


def test_what_is_not_told_does_not_count():
    x = np.array([[1.0, 5.0], [3.0, np.nan], [2.0, 7.0]])
    assert Means.of(x, ["a", "b", "c"]).mean == pytest.approx([2, 6])


def test_one_subject_has_no_spread():
    with pytest.raises(ValueError, match="of 1 subject, must be of two or more"):
        Means.of(np.ones((3, 1)), ["a", "a", "a"])


def test_the_distance_of_one_statistic_is_its_shift_in_standard_errors():
    x = np.random.default_rng(0).standard_normal((1000, 1))
    real = Means.of(x, [str(i) for i in range(1000)])
    error = np.sqrt(real.covariance[0, 0] * 2 + 9 / 1e6)
    found = distance(real, real.mean + 3 * error, 1000, 3.0)
    assert found == pytest.approx(3 / np.sqrt(1.05), rel=1e-6)


def test_threshold_and_tail_are_inverse():
    floor = HotellingFloor((0.0, 1.0), statistics=4, subjects=60)
    for alpha in (0.3, 0.05, 0.001):
        assert floor.tail(floor.threshold(alpha, "above"), "above") == pytest.approx(alpha)
    with pytest.raises(ValueError, match="alpha"):
        floor.threshold(1.0, "above")
    with pytest.raises(ValueError, match="nan"):
        floor.tail(float("nan"), "above")


def test_a_skewed_floor_has_its_own_tail_on_the_long_side_alone():
    values = tuple(stats.gamma(2).ppf((np.arange(200) + 0.5) / 200))
    floor = Floor(values)
    limit = floor.threshold(0.01, "above")
    assert limit == pytest.approx(stats.gamma(2).isf(0.01), rel=0.06)
    assert floor.tail(limit, "above") == pytest.approx(0.01)
    symmetric = stats.t(199)
    low = floor.mean - symmetric.isf(0.01) * floor.sd * np.sqrt(1 + 1 / 200)
    assert floor.threshold(0.01, "below") == pytest.approx(low)


def test_a_share_that_no_split_shows_is_no_alarm_at_the_first_image():
    floor = ShareFloor((0.0,) * 100, images=200, seen=600)
    assert floor.tail(1 / 200, "above") > 0.1
    assert floor.tail(20 / 200, "above") < 1e-4
    assert 1 / 200 <= floor.threshold(0.01, "above") <= 6 / 200


@pytest.mark.parametrize("direction", ["above", "below"])
def test_beyond_the_threshold_of_a_share_is_where_its_tail_is_small(direction):
    rng = np.random.default_rng(0)
    floor = ShareFloor(tuple(rng.binomial(200, 0.7, 100) / 200), images=200, seen=600)
    sign = 1 if direction == "above" else -1
    limit = floor.threshold(0.01, direction)
    assert floor.tail(limit, direction) > 0.01
    assert floor.tail(limit + sign / 200, direction) <= 0.01


def test_fresh_shares_pass_as_often_as_they_should():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        floor = ShareFloor(tuple(rng.binomial(200, 0.02, 100) / 200), images=200, seen=600)
        alarms += rng.binomial(200, 0.02) / 200 > floor.threshold(0.01, "above")
    assert alarms <= 7
