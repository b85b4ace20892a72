"""Kendall's tau against hand-computed values and SciPy, and what few items cannot say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nriqm_bench.evidence import kendall


def rng():
    return np.random.default_rng(0)


def test_by_hand():
    # Of six pairs five agree.
    found = kendall([1, 2, 3, 4], [1, 2, 4, 3], rng())
    assert found.tau == pytest.approx((5 - 1) / 6)
    # Orders of four with at most one inversion: 1 + 3 of 24.
    assert found.p == pytest.approx(4 / 24)
    assert (found.low, found.high) == (-1, 1)
    assert found.n == 4


@pytest.mark.parametrize("n", [2, 3, 5, 8, 30])
def test_agrees_with_scipy_with_ties_and_without(n):
    draw = np.random.default_rng(n)
    for ties in (0, 3):
        x, y = draw.standard_normal((2, n))
        if ties:
            x, y = np.round(x), np.round(y)
        expected = stats.kendalltau(x, y)
        found = kendall(x, y, rng())
        if np.isfinite(expected.statistic):
            assert found.tau == pytest.approx(expected.statistic)
        else:
            assert found.tau == 0


@pytest.mark.parametrize("n", [3, 5, 7])
def test_exact_chance_is_scipys(n):
    draw = np.random.default_rng(n)
    x, y = draw.standard_normal((2, n))
    expected = stats.kendalltau(x, y, method="exact", alternative="greater").pvalue
    assert kendall(x, y, rng()).p == pytest.approx(expected)


def test_random_orders_of_many_items_come_near():
    draw = np.random.default_rng(3)
    x = draw.standard_normal(12)
    y = x + draw.standard_normal(12)
    expected = stats.kendalltau(x, y, method="exact", alternative="greater").pvalue
    assert kendall(x, y, rng()).p == pytest.approx(expected, abs=0.01)


def test_three_items_prove_nothing():
    found = kendall([1, 2, 3], [1, 2, 3], rng())
    assert found.tau == 1
    assert found.p == pytest.approx(1 / 6)
    assert (found.low, found.high) == (-1, 1)


def test_what_tells_nothing_apart_agrees_with_nothing():
    found = kendall([2, 2, 2, 2, 2], [1, 2, 3, 4, 5], rng())
    assert (found.tau, found.p) == (0, 1)
    assert (found.low, found.high) == (-1, 1)


def test_intervals_hold_what_is_there_and_shrink():
    draw = np.random.default_rng(1)
    widths = []
    for n in (8, 60):
        x = draw.standard_normal(n)
        found = kendall(x, x + 0.7 * draw.standard_normal(n), rng())
        assert found.low < found.tau < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0]
    assert found.p < 0.01


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1, 2, 3]), ([1], [1]), ([1, np.nan], [1, 2]), ([[1, 2]], [[1, 2]])]
)
def test_what_cannot_be_ranked(x, y):
    with pytest.raises(ValueError, match="two rows of equally many finite numbers"):
        kendall(x, y, rng())
