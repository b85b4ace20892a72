"""Every criterion of the sanity checks on curves drawn by hand, on both sides of each threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nriqm_bench.sanity import criteria

LEVELS = (-2.0, -1.0, 0.0, 1.0, 2.0)


def judged(criterion, *values, levels=LEVELS):
    return criterion(levels, np.array(values, dtype=float))


@pytest.mark.parametrize(
    ("criterion", "values", "margin"),
    [
        pytest.param(criteria.close_to(1, 0.0), (0, 0, 0.96, 0, 0), 0.01, id="close, below"),
        pytest.param(criteria.close_to(1, 0.0), (0, 0, 1.06, 0, 0), -0.01, id="not close, above"),
        pytest.param(criteria.close_to(0.2, 2.0), (0, 0, 0, 0, 0.23), 0.02, id="close at the end"),
        pytest.param(criteria.bell(0.0), (0, 0.5, 1, 0.5, 0), 0.1, id="bell"),
        pytest.param(criteria.bell(0.0), (0.7, 0.7, 0.92, 0.7, 0.7), 0.02, id="bell, shallow"),
        pytest.param(criteria.bell(0.0), (0.7, 0.7, 0.89, 0.7, 0.7), -0.01, id="too shallow"),
        pytest.param(criteria.bell(0.0), (0, 0.5, 1, 0.9, 0.85), -0.05, id="one side too high"),
        pytest.param(criteria.bell(0.0), (0, 1, 0.88, 0.5, 0), -0.02, id="peak beside the centre"),
        pytest.param(criteria.bell(0.0), (0.3, 0, 1, 0.1, 0.4), -0.2, id="no end is low"),
        pytest.param(criteria.bell(0.0), (0.3, 0, 1, 0.5, 0.08), 0.02, id="one low end will do"),
        pytest.param(criteria.falls(), (0.9, 0.95, 0.5, 0.3, 0.3), 0.05, id="falls"),
        pytest.param(criteria.falls(), (0.3, 0.3, 0.3, 0.2, 0.15), -0.05, id="falls too little"),
        pytest.param(criteria.falls(), (0.8, 1, 0.5, 0, 0), -0.1, id="starts below the maximum"),
        pytest.param(criteria.falls(), (1, 1, 0.5, 0, 0.15), -0.05, id="ends above the minimum"),
        pytest.param(criteria.falls(), (0, 0.2, 0.5, 0.8, 1), -1.2, id="rises instead of falling"),
        pytest.param(criteria.falls(0.0), (1, 1, 0.85, 0.5, 0), 0.05, id="falls in time"),
        pytest.param(criteria.falls(0.0), (1, 1, 0.95, 0.5, 0), -0.05, id="falls too late"),
        pytest.param(criteria.rises(), (0.1, 0.1, 0.2, 0.8, 0.88), 0.1, id="rises"),
        pytest.param(criteria.rises(), (1, 0.8, 0.5, 0.2, 0), -1.2, id="falls instead of rising"),
        pytest.param(criteria.flat(), (0.5, 0.53, 0.51, 0.5, 0.5), 0.02, id="flat"),
        pytest.param(criteria.flat(), (0.5, 0.56, 0.51, 0.5, 0.5), -0.01, id="not flat"),
        pytest.param(criteria.settles(0.0), (9, 0, 0.5, 0.52, 0.5), 0.03, id="settles"),
        pytest.param(criteria.settles(0.0), (0, 0, 0.5, 0.52, 0.6), -0.05, id="does not settle"),
    ],
)
def test_room_before_the_threshold(criterion, values, margin):
    found = judged(criterion, *values)
    assert found.margin == pytest.approx(margin, abs=1e-12)
    assert found.passed == (margin > 0)
    assert found.low == found.high
    assert "must" in found.sentence


@pytest.mark.parametrize(
    ("criterion", "values"),
    [
        (criteria.close_to(1, 0.0), (0, 0, 0.95, 0, 0)),
        (criteria.close_to(0, 0.0), (1, 1, 0.05, 1, 1)),
        (criteria.bell(0.0), (0.1, 0.1, 0.3, 0.1, 0.1)),
        (criteria.falls(), (0.3, 0.3, 0.2, 0.1, 0.1)),
        (criteria.flat(), (0.15, 0.1, 0.1, 0.1, 0.1)),
    ],
)
def test_a_value_on_the_threshold_passes_in_spite_of_rounding(criterion, values):
    assert judged(criterion, *values).passed
    assert abs(judged(criterion, *values).margin) < 1e-12


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0.02, 0.03, -0.93), (0.97, -0.92, 0.02), (0.5, -0.45, -0.45)]
)
def test_zero_or_one_tells_low_from_high_metrics(value, low, high):
    found = judged(criteria.close_to_zero_or_one(2.0), 0, 0, 0, 0, value)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.passed == (max(low, high) > 0)


def test_either_shape_will_do():
    either = criteria.low_or_high(criteria.falls(), criteria.flat())
    falling, level = judged(either, 1, 0.8, 0.5, 0.2, 0), judged(either, 1, 1, 1, 1, 1)
    assert falling.passed
    assert falling.low > 0 > falling.high
    assert level.passed
    assert level.high > 0 > level.low
    assert not judged(either, 0, 0.2, 0.5, 0.8, 1).passed


def test_a_level_that_is_missing_is_named():
    with pytest.raises(ValueError, match="levels had no 5, must have it"):
        judged(criteria.bell(5.0), 0, 0, 0, 0, 0)
    with pytest.raises(ValueError, match="levels ended at 2, must reach 3"):
        judged(criteria.settles(3.0), 0, 0, 0, 0, 0)


curves = st.lists(st.floats(0, 1), min_size=5, max_size=5)


@given(curves)
def test_rising_is_falling_backwards(values):
    forwards = judged(criteria.rises(), *values)
    assert forwards.margin == pytest.approx(judged(criteria.falls(), *values[::-1]).margin)


@given(curves, st.floats(-1, 1))
def test_shapes_do_not_depend_on_the_height(values, height):
    for criterion in (criteria.bell(0.0), criteria.falls(-1.0), criteria.flat()):
        moved = judged(criterion, *(v + height for v in values))
        assert moved.margin == pytest.approx(judged(criterion, *values).margin, abs=1e-9)


@given(curves)
def test_no_curve_both_falls_and_is_flat(values):
    falls, flat = judged(criteria.falls(), *values), judged(criteria.flat(), *values)
    assert not (falls.passed and flat.passed)
