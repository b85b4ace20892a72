"""Sliced Wasserstein against scipy's one-dimensional distance, matchings and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln
from scipy.stats import wasserstein_distance

from nriqm_bench import metrics
from nriqm_bench.metrics import transport

swd = metrics.get("sliced-wasserstein")


def column(*values):
    return np.array(values, dtype=float)[:, None]


def clouds(n=40, m=30, d=4, seed=0):
    r = np.random.default_rng(seed)
    return r.normal(size=(n, d)), 1.2 * r.normal(size=(m, d)) + 0.4


@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 5), (1, 6), (30, 45), (2, 1)])
def test_one_dimension_of_order_one_is_that_of_scipy(n, m):
    x, y = clouds(n, m, 1)
    assert swd(x, y, p=1) == pytest.approx(wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-12)
    assert swd(y, x, p=1.0) == pytest.approx(swd(x, y, p=1), rel=1e-12)


def matched(x, y, p):
    """W_p by the best matching of as many copies of each row as make the numbers equal."""
    size = math.lcm(len(x), len(y))
    x, y = np.repeat(x, size // len(x)), np.repeat(y, size // len(y))
    cost = np.abs(x[:, None] - y) ** p
    return (cost[linear_sum_assignment(cost)].sum() / size) ** (1 / p)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
@pytest.mark.parametrize(("n", "m"), [(6, 6), (6, 4), (3, 7), (1, 5), (9, 2)])
def test_one_dimension_of_any_order_is_the_best_matching(n, m, p):
    x, y = clouds(n, m, 1, seed=n)
    assert swd(x, y, p=p) == pytest.approx(matched(x[:, 0], y[:, 0], p), rel=1e-11)


def test_by_hand():
    # Half of the mass at 0 goes 1 far, half 3: root of (1 + 9) / 2.
    assert swd(column(0), column(1, 3)) == pytest.approx(math.sqrt(5), rel=1e-14)
    assert swd(column(0, 0, 0), column(1, 3), p=1) == pytest.approx(2, rel=1e-14)
    # Thirds against halves: 0 to 0 (1/3), 1 to 0 (1/6), 1 to 6 (1/6), 2 to 6 (1/3).
    assert swd(column(0, 1, 2), column(0, 6)) == pytest.approx(
        math.sqrt((1 + 25) / 6 + 16 / 3), rel=1e-14
    )


@pytest.mark.parametrize("d", [2, 3, 10])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_shift_has_a_closed_form(d, p):
    """Each slice moves by |shift . direction|, of which the p-th moment on the sphere is known."""
    x, _ = clouds(20, 1, d)
    shift = np.arange(1.0, d + 1)
    length = np.linalg.norm(shift)
    moment = math.exp(gammaln((p + 1) / 2) + gammaln(d / 2) - gammaln(0.5) - gammaln((p + d) / 2))
    second = math.exp(
        gammaln((2 * p + 1) / 2) + gammaln(d / 2) - gammaln(0.5) - gammaln((2 * p + d) / 2)
    )
    count = 20000
    error = math.sqrt((second - moment**2) / count) / moment / p
    value = swd(x, x + shift, projections=count, p=p)
    assert value == pytest.approx(length * moment ** (1 / p), rel=4 * error)


def test_two_points_in_the_plane():
    # From one row to one row the direction alone matters: the mean of cos^2 is 1 / 2.
    value = swd(np.array([[0.0, 0]]), np.array([[3.0, 4]]), projections=20000)
    assert value == pytest.approx(5 / math.sqrt(2), rel=0.01)


@pytest.mark.parametrize("rng", [None, 3])
def test_of_a_sample_and_itself_is_zero(rng):
    x, y = clouds()
    rng = None if rng is None else np.random.default_rng(rng)
    assert swd(x, x, rng=rng) == 0
    assert swd(x, np.concatenate([x, x]), rng=rng) == 0
    assert swd(x, y, rng=rng) > 0.1


def test_the_directions_come_from_rng():
    x, y = clouds()
    first = swd(x, y, projections=5, rng=np.random.default_rng(1))
    assert first == swd(x, y, projections=5, rng=np.random.default_rng(1))
    assert first != swd(x, y, projections=5, rng=np.random.default_rng(2))
    assert swd(x, y) == swd(x, y)
    assert swd(x, y) == pytest.approx(swd(x, y, rng=np.random.default_rng(5)), rel=0.1)


def test_blocks_of_directions_do_not_matter(monkeypatch):
    x, y = clouds()
    whole = swd(x, y)
    monkeypatch.setattr(transport, "_BLOCK", 130)
    assert swd(x, y) == pytest.approx(whole, rel=1e-13)


small = arrays(np.float64, (6, 3), elements=st.floats(-4, 4, width=16))


@settings(max_examples=30, deadline=None)
@given(small, small, st.permutations(range(6)))
def test_order_shift_exchange_and_scale(x, y, order):
    value = swd(x, y, projections=20)
    assert value >= 0
    assert swd(x[order], y, projections=20) == pytest.approx(value, abs=1e-12)
    assert swd(y, x, projections=20) == pytest.approx(value, abs=1e-12)
    assert swd(x + 2.0**20, y + 2.0**20, projections=20) == pytest.approx(value, abs=1e-9)
    assert swd(3 * x, 3 * y, projections=20) == pytest.approx(3 * value, abs=1e-12)


def test_a_single_row_each_has_no_interval_but_a_value():
    assert swd(column(1), column(4)) == 3
    with pytest.raises(ValueError, match="real had 1 rows, must have more than 1 for an interval"):
        swd.estimate(column(1), column(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projections": 0}, "projections was 0, must be a whole number >= 1"),
        ({"projections": 2.5}, r"projections was 2\.5, must be a whole number >= 1"),
        ({"p": 0.5}, r"p was 0\.5, must be a number >= 1"),
        ({"p": math.inf}, "p was inf, must be a number >= 1"),
        ({"p": "2"}, "p was '2', must be a number >= 1"),
    ],
)
def test_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        swd(*clouds(), **options)
