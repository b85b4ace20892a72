"""Curves by hand: effects, rank, detection level, noise equivalent, and what is refused."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nriqm_bench.evidence import Curve, Floor

LEVELS = (0.0, 0.1, 0.2, 0.4)


def floor(sd=1.0, mean=0.0):
    """A floor whose mean and sd are exactly these."""
    return Floor((mean - sd, mean, mean + sd))


def curve(values, higher_is_better=False, levels=None, sd=1.0, **rest):
    levels = LEVELS[: len(values)] if levels is None else levels
    return Curve(levels, tuple(values), floor(sd), higher_is_better, **rest)


def test_effects_are_in_floor_sd_from_the_first_level():
    found = curve([10, 11, 14, 30], sd=2)
    np.testing.assert_allclose(found.effects, [0, 0.5, 2, 10], rtol=1e-14)
    assert found.effect == pytest.approx(10)
    assert found.effects.dtype == np.float64


def test_a_plus_means_worse_in_both_directions():
    falling = (0.9, 0.8, 0.5, 0.1)
    np.testing.assert_allclose(curve(falling, True, sd=0.1).effects, [0, 1, 4, 8], atol=1e-12)
    np.testing.assert_allclose(curve(falling, False, sd=0.1).effects, [0, -1, -4, -8], atol=1e-12)
    assert curve(falling, True, sd=0.1).rank == 1
    assert curve(falling, False, sd=0.1).rank == -1


def test_the_floor_s_mean_does_not_matter_to_effects():
    near = Curve((0, 1), (5, 9), floor(2, mean=5), False)
    far = Curve((0, 1), (5, 9), floor(2, mean=500), False)
    assert near.effect == pytest.approx(far.effect) == pytest.approx(2)


numbers = st.floats(-100, 100).map(lambda x: round(x, 3))


@given(
    st.lists(numbers, min_size=4, max_size=4),
    st.lists(numbers, min_size=3, max_size=6, unique=True),
    st.floats(0.5, 50),
    st.floats(-100, 100),
    st.booleans(),
    st.booleans(),
)
def test_effects_do_not_depend_on_the_metric_s_unit(values, splits, scale, shift, better, mirror):
    scale = -scale if mirror else scale
    first = Curve(LEVELS, tuple(values), Floor(tuple(splits)), better)
    second = Curve(
        LEVELS,
        tuple(scale * v + shift for v in values),
        Floor(tuple(scale * v + shift for v in splits)),
        better != mirror,
    )
    np.testing.assert_allclose(second.effects, first.effects, rtol=1e-5, atol=1e-5)


def test_rank_by_hand():
    # Ranks 1 3 2 4 against 1 2 3 4: 1 - 6 (0 + 1 + 1 + 0) / (4 * 15) = .8
    assert curve([0, 2, 1, 9]).rank == pytest.approx(0.8)
    # Ties share their ranks 2.5 2.5: the correlation of 1 2 3 4 and 1 2.5 2.5 4 is 4.5 / sqrt(22.5)
    assert curve([0, 2, 2, 9]).rank == pytest.approx(4.5 / math.sqrt(5 * 4.5))
    assert curve([9, 2, 1, 0]).rank == -1


def test_a_perfect_rank_is_1_exactly():
    for n in range(2, 12):
        rising = tuple(float(i) ** 1.5 for i in range(n))
        found = Curve(tuple(range(n)), rising, floor(), False)
        assert found.rank == 1.0
        assert found.degrades(effect=0.1, rank=1.0)


def test_a_curve_that_does_not_move_has_rank_0():
    assert curve([0.1, 0.1, 0.1]).rank == 0
    assert curve([0.1, 0.1, 0.1]).effect == 0


def test_detection_level_is_the_first_beyond_3_sd():
    assert curve([0, 2.9, 3.0, 9]).detection_level == 0.2
    assert curve([0, 2.9, 2.99, 2.999]).detection_level is None
    assert curve([0, 4, 1, 9]).detection_level == 0.1
    assert curve([0, -4, -5, -9]).detection_level is None
    assert curve([0, -4, -5, -9], higher_is_better=True).detection_level == 0.1


def test_detects_takes_any_effect():
    found = curve([0, 2, 5, 9])
    assert found.detects(2) == 0.1
    assert found.detects(5.5) == 0.4
    assert found.detects(9.5) is None


def noise(values, levels=None, sd=1.0, higher_is_better=False):
    return curve(values, higher_is_better, levels, sd)


@pytest.mark.parametrize(
    ("moved", "equivalent"),
    [
        (10, 0.1),  # on a measured level
        (5, 0.05),  # half way up the first step
        (15, 0.125),  # a quarter of the step from 10 to 30
        (40, 0.3),  # half way from 30 to 50 at .2 and .4
        (50, 0.4),  # exactly the largest
        (51, 0.4),  # beyond: the largest sigma measured
        (0, 0.0),  # does not move
        (-5, 0.0),  # improves
    ],
)
def test_noise_equivalent_by_hand(moved, equivalent):
    found = curve([100, 100 + moved], noise=noise([100, 110, 130, 150]))
    assert found.noise_equivalent == pytest.approx(equivalent, abs=1e-12)


def test_noise_equivalent_is_a_float_or_none():
    assert curve([0, 1]).noise_equivalent is None
    for moved in (-1, 0, 5, 100):
        found = curve([0, moved], noise=noise([0, 10])).noise_equivalent
        assert type(found) is float


def test_noise_equivalent_of_noise_is_its_own_level():
    own = noise([0, 10, 30, 50])
    for i in (1, 2, 3):
        cut = curve(own.values[: i + 1], levels=own.levels[: i + 1], noise=own)
        assert cut.noise_equivalent == pytest.approx(own.levels[i])


@pytest.mark.parametrize(
    ("moved", "equivalent"),
    [
        (2.5, 0.05),
        (5, 0.1),  # the first time noise reaches 5, not the second
        (6, 0.2 + 0.2 * 3 / 7),  # on the step from 3 at .2 to 10 at .4
        (10, 0.4),
        (11, 0.4),
    ],
)
def test_noise_equivalent_on_a_noise_curve_with_a_dip(moved, equivalent):
    found = curve([0, moved], noise=noise([0, 5, 3, 10]))
    assert found.noise_equivalent == pytest.approx(equivalent)


def test_noise_equivalent_where_noise_turns_back():
    turning = noise([0, 10, 8, 4])
    assert curve([0, 10], noise=turning).noise_equivalent == pytest.approx(0.1)
    assert curve([0, 9.9], noise=turning).noise_equivalent == pytest.approx(0.099)
    assert curve([0, 10.1], noise=turning).noise_equivalent == 0.4


def test_noise_equivalent_where_noise_first_improves():
    assert curve([0, 4], noise=noise([0, -4, 4, 8])).noise_equivalent == pytest.approx(0.2)
    assert curve([0, 2], noise=noise([0, -4, 4, 8])).noise_equivalent == pytest.approx(0.175)


def test_no_noise_equivalent_where_noise_never_worsens():
    assert curve([0, 1], noise=noise([0, -1, -2, -3])).noise_equivalent is None
    assert curve([0, 1], noise=noise([0, 1, 2, 2.9])).noise_equivalent is None
    assert curve([0, 1], noise=noise([0, 1, 2, 3])).noise_equivalent == pytest.approx(0.1)


def test_noise_equivalent_of_a_metric_that_falls():
    own = noise([0.9, 0.7, 0.5, 0.1], higher_is_better=True, sd=0.1)
    found = curve([0.9, 0.8], higher_is_better=True, noise=own)
    assert found.noise_equivalent == pytest.approx(0.05)


@given(st.floats(0.5, 20), st.floats(0.5, 16), st.floats(0.01, 49))
def test_noise_equivalent_does_not_depend_on_either_floor(sd, noise_sd, moved):
    found = curve([0, moved], sd=sd, noise=noise([0, 10, 30, 50], sd=noise_sd))
    expected = np.interp(moved, [0, 10, 30, 50], LEVELS)
    assert found.noise_equivalent == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("levels", "values", "told"),
    [
        ((0,), (1,), "a curve had 1 levels and 1 values, must have equally many and at least two"),
        ((0, 1), (1, 2, 3), "a curve had 2 levels and 3 values, must have equally many"),
        ((0, 1, 1), (1, 2, 3), "levels were (0.0, 1.0, 1.0), must be finite and increase strictly"),
        ((0, 2, 1), (1, 2, 3), "levels were (0.0, 2.0, 1.0), must be finite and increase strictly"),
        ((0, math.nan), (1, 2), "levels were (0.0, nan), must be finite and increase strictly"),
        ((0, math.inf), (1, 2), "levels were (0.0, inf), must be finite and increase strictly"),
        ((0, 1), (1, math.nan), "the values of fid were (1.0, nan), must be finite"),
        ((0, 1), (-math.inf, 1), "the values of fid were (-inf, 1.0), must be finite"),
    ],
)
def test_refused_with_one_sentence(levels, values, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        Curve(levels, values, floor(), False, metric="fid")


def test_numpy_numbers_become_floats():
    found = Curve(np.arange(3), np.float32([1, 2, 4]), floor(), np.False_)
    assert found.levels == (0.0, 1.0, 2.0)
    assert all(type(v) is float for v in (*found.levels, *found.values))


def test_a_curve_is_told_in_words():
    found = curve([0, 4], metric="fid", perturbation="blur", unit="px")
    assert found.subject == "fid under blur 0 to 0.1 px"
    assert repr(found) == "<curve of fid under blur 0 to 0.1 px: +4.0 floor SD>"
    assert curve([0, 4], metric="fid", perturbation="copies").span == "0 to 0.1"


EACH = {
    "degrades": ((), [0, 4, 5, 9], [0, 1, 2, 2.9]),
    "improves": ((), [0, -4, -5, -9], [0, -1, -2, -2.9]),
    "flat": ((), [0, 1, -1, 0], [0, 4, -4, 0]),
    "not_better": ((), [0, 9, 9, 9], [0, -4, 0, 0]),
    "linear": ((), [0, 1, 2, 4], [0, 4, -4, 0]),
    "bell": ((4,), [0, -1, -4.5, 0], [0, -1, -3.5, 0]),
    "converges": ((8, 0.5), [0, 1, 2, 8.5], [8, 8, 8, 8.6]),
}


@pytest.mark.parametrize("name", EACH)
def test_a_curve_answers_each_expectation_as_meets_does(name):
    from nriqm_bench.evidence import expectations

    arguments, good, bad = EACH[name]
    for values, met in ((good, True), (bad, False)):
        found = curve(values)
        verdict = getattr(found, name)(*arguments)
        assert bool(verdict) is met, str(verdict)
        assert verdict == found.meets(getattr(expectations, name)(*arguments))


@pytest.mark.parametrize(
    ("name", "arguments", "values"),
    [
        ("degrades", {"effect": 1, "rank": 1, "strictly": True}, [0, 0.2, 0.4, 1]),
        ("degrades", {"effect": 1, "rank": 0.7}, [0, 2, 1, 1.5]),
        ("improves", {"effect": 1, "rank": 0.5}, [0, -2, -1, -1.5]),
        ("flat", {"within": 10}, [0, 4, -8, 0]),
        ("not_better", {"effect": 9}, [0, -8, 0, 0]),
        ("linear", {"r2": 0.5}, [0, 4, 3, 6]),
    ],
)
def test_a_curve_hands_its_arguments_on(name, arguments, values):
    from nriqm_bench.evidence import expectations

    found = curve(values)
    expected = found.meets(getattr(expectations, name)(**arguments))
    assert getattr(found, name)(**arguments) == expected
    assert expected.sentence != getattr(found, name)().sentence


def test_the_level_of_a_value_is_where_the_curve_first_gets_there():
    floor = Floor((1.0, 3.0))
    rising = Curve(levels=(0, 1, 2), values=(0, 10, 5), floor=floor, higher_is_better=False)
    assert rising.level_at(5) == (pytest.approx(0.5), False)
    assert rising.level_at(-3) == (0, False)
    assert rising.level_at(11) == (2, True)
    falling = Curve(levels=(0, 1, 2), values=(1, 0.5, 0.1), floor=floor, higher_is_better=True)
    assert falling.level_at(0.3)[0] == pytest.approx(1.5)
    assert falling.level_at(0.05) == (2, True)
