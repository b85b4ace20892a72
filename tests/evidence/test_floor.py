"""The noise floor against closed forms of the t distribution, and its false alarms simulated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nriqm_bench.evidence import Floor, holm

values = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=12)


def test_mean_and_sd_are_the_sample_s():
    floor = Floor((2, 4, 4, 6))
    assert floor.values == (2.0, 4.0, 4.0, 6.0)
    assert floor.mean == 4
    assert floor.sd == pytest.approx(math.sqrt(8 / 3), rel=1e-15)
    assert repr(floor) == "<floor 4 +- 1.6 over 4 real splits>"


@pytest.mark.parametrize(
    ("constant", "least"), [(0.0, 1e-9), (0.1, 1e-9), (-5e3, 5e-6), (5e3, 5e-6)]
)
def test_a_constant_floor_has_the_spread_of_rounding(constant, least):
    floor = Floor((constant,) * 7)
    assert floor.sd == pytest.approx(least, rel=1e-6)
    assert math.isfinite(floor.tail(constant, "above"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((1.0,), "got 1 of which 0 not finite"),
        ((), "got 0 of which 0 not finite"),
        ((1.0, math.nan, 2.0), "got 3 of which 1 not finite"),
        ((math.inf, -math.inf), "got 2 of which 2 not finite"),
    ],
)
def test_refused_with_the_numbers(given, told):
    with pytest.raises(ValueError, match=f"^a floor needs at least two finite values.*{told}$"):
        Floor(given)


def test_tail_of_two_splits_is_a_cauchy_s():
    # With 1 degree of freedom t is Cauchy: P(T > t) = 1/2 - atan(t) / pi. Here sd = sqrt 2.
    floor = Floor((-1, 1))
    t = 5 / (math.sqrt(2) * math.sqrt(1.5))
    assert floor.tail(5, "above") == pytest.approx(0.5 - math.atan(t) / math.pi, rel=1e-12)
    assert floor.tail(5, "below") == pytest.approx(0.5 + math.atan(t) / math.pi, rel=1e-12)


def test_tail_of_three_splits_by_its_closed_form():
    # With 2 degrees of freedom P(T > t) = 1/2 - t / (2 sqrt(2 + t^2)). Here mean 10, sd 1.
    t = 3 / math.sqrt(4 / 3)
    expected = 0.5 - t / (2 * math.sqrt(2 + t * t))
    assert Floor((9, 10, 11)).tail(13, "above") == pytest.approx(expected, rel=1e-12)
    assert Floor((9, 10, 11)).tail(7, "below") == pytest.approx(expected, rel=1e-12)


def test_threshold_of_two_splits_is_a_cauchy_quantile():
    reach = math.tan(math.pi * 0.45) * math.sqrt(2) * math.sqrt(1.5)
    assert Floor((-1, 1)).threshold(0.05, "above") == pytest.approx(reach, rel=1e-12)
    assert Floor((-1, 1)).threshold(0.05, "below") == pytest.approx(-reach, rel=1e-12)


def test_tail_is_the_one_sided_p_value_of_a_two_sample_t_test():
    # One more split against s of them: SciPy pools the variances, which one value cannot change.
    drawn = np.random.default_rng(4).normal(50, 3, 20)
    found = stats.ttest_ind([57.0], drawn, equal_var=True, alternative="greater").pvalue
    assert Floor(tuple(drawn)).tail(57, "above") == pytest.approx(found, rel=1e-10)


@given(values, st.floats(0.001, 0.5), st.sampled_from(["above", "below"]))
def test_threshold_is_the_inverse_of_tail(drawn, alpha, direction):
    floor = Floor(tuple(drawn))
    at = floor.threshold(alpha, direction)
    assert floor.tail(at, direction) == pytest.approx(alpha, rel=1e-4)
    beyond = at + (1 if direction == "above" else -1) * floor.sd
    assert floor.tail(beyond, direction) < alpha


@given(values, st.floats(-200, 200))
def test_the_two_tails_sum_to_one_or_more(drawn, value):
    """More where the splits are skewed: the heavier of two tails is taken on either side."""
    floor = Floor(tuple(drawn))
    both = floor.tail(value, "above") + floor.tail(value, "below")
    assert 1 - 1e-12 <= both <= 1.5
    even = Floor((*drawn, *(2 * floor.mean - v for v in drawn)))
    symmetric = even.tail(value, "above") + even.tail(value, "below")
    assert symmetric == pytest.approx(1, abs=1e-6)


@given(values, st.floats(-200, 200))
def test_mirrored_values_swap_the_tails(drawn, value):
    floor, mirrored = Floor(tuple(drawn)), Floor(tuple(-v for v in drawn))
    assert mirrored.tail(-value, "below") == pytest.approx(floor.tail(value, "above"), rel=1e-9)
    assert mirrored.threshold(0.05, "below") == pytest.approx(
        -floor.threshold(0.05, "above"), rel=1e-9, abs=1e-9
    )


def false_alarms(splits, trials, direction, seed):
    drawn = np.random.default_rng(seed).normal(7, 2, (trials, splits + 1))
    tails = [Floor(tuple(row[1:])).tail(row[0], direction) for row in drawn]
    return np.mean(np.asarray(tails) < 0.05)


@pytest.mark.parametrize("direction", ["above", "below"])
def test_false_alarms_of_100_splits_are_5_percent(direction):
    trials = 2000
    error = math.sqrt(0.05 * 0.95 / trials)
    assert false_alarms(100, trials, direction, 1) == pytest.approx(0.05, abs=3 * error)


def test_false_alarms_of_3_splits_are_5_percent_too():
    # A normal tail instead of t's would alarm in 12 % here, a t without sqrt(1 + 1/s) in 6.4 %.
    trials = 6000
    error = math.sqrt(0.05 * 0.95 / trials)
    assert false_alarms(3, trials, "above", 2) == pytest.approx(0.05, abs=3 * error)


@pytest.mark.parametrize("direction", ["over", "", None, 1])
def test_unknown_direction_is_refused(direction):
    told = "^direction was .*, must be 'above' or 'below'$"
    with pytest.raises(ValueError, match=told):
        Floor((1, 2)).tail(1, direction)
    with pytest.raises(ValueError, match=told):
        Floor((1, 2)).threshold(0.05, direction)


def test_nan_is_refused_since_it_would_pass_every_test():
    with pytest.raises(ValueError, match=r"^value was nan, must be a number"):
        Floor((1, 2)).tail(math.nan, "above")
    assert Floor((1, 2)).tail(math.inf, "above") == 0


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 2, math.nan])
def test_alpha_is_a_share(alpha):
    with pytest.raises(ValueError, match=r"^alpha was .*, must be above 0 and below 1$"):
        Floor((1, 2)).threshold(alpha, "above")


@pytest.mark.parametrize(
    ("p_values", "rejected", "levels"),
    [
        ([0.04], [True], [0.05]),
        ([0.05], [True], [0.05]),
        ([0.051], [False], [0.05]),
        # Sorted .005 .01 .03 .04 against .05/4 .05/3 .05/2 .05/1: stops at the third.
        (
            [0.01, 0.04, 0.03, 0.005],
            [True, False, False, True],
            [0.05 / 3, 0.025, 0.025, 0.0125],
        ),
        # The first fails, so that nothing is rejected though the others pass their own level.
        ([0.02, 0.024, 0.03], [False, False, False], [0.05 / 3] * 3),
        # All fall, each at its own level.
        ([0.05, 0.01, 0.025], [True, True, True], [0.05, 0.05 / 3, 0.025]),
        ([], [], []),
    ],
)
def test_holm_by_hand(p_values, rejected, levels):
    found = holm(p_values)
    assert [was for was, _ in found] == rejected
    assert [level for _, level in found] == pytest.approx(levels, rel=1e-12)


def test_holm_scales_with_alpha():
    assert holm([0.04, 0.06], alpha=0.1) == [(True, 0.05), (True, 0.1)]
    assert holm([0.04, 0.06]) == [(False, 0.025), (False, 0.025)]


shares = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(shares)
def test_holm_rejects_exactly_what_is_within_its_level(p_values):
    for p, (rejected, level) in zip(p_values, holm(p_values), strict=True):
        assert rejected == (p <= level)
        assert 0.05 / len(p_values) <= level <= 0.05


@given(shares, st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order(p_values, random):
    order = list(range(len(p_values)))
    random.shuffle(order)
    found = holm(p_values)
    for i, (rejected, _) in zip(order, holm([p_values[i] for i in order]), strict=True):
        assert rejected == found[i][0]


@given(shares)
def test_holm_rejects_whatever_bonferroni_does(p_values):
    for p, (rejected, _) in zip(p_values, holm(p_values), strict=True):
        assert rejected or p > 0.05 / len(p_values)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_holm_keeps_the_family_wise_error(shared):
    # Independent nulls: exactly 1 - (1 - alpha/m)^m. Correlated ones: below alpha.
    rng, trials, m = np.random.default_rng(3), 6000, 5
    common, own = rng.normal(size=(trials, 1)), rng.normal(size=(trials, m))
    tails = stats.norm.sf(math.sqrt(shared) * common + math.sqrt(1 - shared) * own)
    wrong = np.mean([any(rejected for rejected, _ in holm(list(row))) for row in tails])
    error = math.sqrt(0.05 * 0.95 / trials)
    assert wrong <= 0.05 + 3 * error
    if shared == 0:
        assert wrong == pytest.approx(1 - (1 - 0.05 / m) ** m, abs=3 * error)


@pytest.mark.parametrize("p", [-0.01, 1.01, math.nan])
def test_holm_refuses_what_is_no_probability(p):
    with pytest.raises(
        ValueError, match=r"^p_values were \[0.5, .*\], must all be within \[0, 1\]"
    ):
        holm([0.5, p])


def test_a_widened_floor_covers_fresh_sets_and_not_the_parts_of_a_pool():
    rng = np.random.default_rng(0)
    z = []
    for _ in range(400):
        pool = rng.standard_normal(90)
        parts = [pool[rng.permutation(90)[:30]].mean() for _ in range(60)]
        floor = Floor(tuple(parts)).widened(3)
        z.append((rng.standard_normal(30).mean() - floor.mean) / floor.sd)
    assert np.std(z) == pytest.approx(1, abs=0.12)
    with pytest.raises(ValueError, match="parts was 1"):
        floor.widened(1)
