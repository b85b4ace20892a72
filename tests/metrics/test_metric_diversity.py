"""The Vendi score against kernels whose eigenvalues are known."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import metrics
from nriqm_bench.metrics import Moments

vendi = metrics.get("vendi")


def rows_with_cosines(kernel):
    return np.linalg.cholesky(np.array(kernel, dtype=float))


def test_of_the_published_example():
    rows = rows_with_cosines([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    assert vendi(None, rows) == pytest.approx(2.157300483, abs=5e-10)
    p = np.array([1.9, 0.1, 1]) / 3
    assert vendi(None, rows) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-13)


@pytest.mark.parametrize("order", [0.1, 0.5, 2, 3.5, 50])
def test_orders(order):
    rows = rows_with_cosines([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    p = np.array([1.9, 0.1, 1]) / 3
    assert vendi(None, rows, order=order) == pytest.approx(
        (p**order).sum() ** (1 / (1 - order)), rel=1e-12
    )


def test_order_zero_is_the_rank_and_order_infinity_the_largest_share():
    r = np.random.default_rng(0)
    rows = r.normal(size=(40, 3)) @ r.normal(size=(3, 20))
    assert vendi(None, rows, order=0) == pytest.approx(3, rel=1e-12)
    lines = rows_with_cosines([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    assert vendi(None, lines, order=float("inf")) == pytest.approx(3 / 1.9, rel=1e-13)
    assert vendi(None, lines, order=1e6) == pytest.approx(3 / 1.9, rel=1e-5)


def test_orders_fall():
    rows = np.random.default_rng(0).normal(size=(30, 5)) + 1
    values = [vendi(None, rows, order=q) for q in (0, 0.5, 1, 2, np.inf)]
    assert values == sorted(values, reverse=True)
    assert vendi(None, rows, order=1 + 1e-7) == pytest.approx(values[2], rel=1e-5)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_counts_orthogonal_rows(n):
    assert vendi(None, np.eye(9)[:n] * np.arange(1, n + 1)[:, None]) == pytest.approx(n, rel=1e-13)
    assert vendi(None, np.ones((n, 3))) == 1


@pytest.mark.parametrize(("n", "d"), [(30, 8), (8, 30)])
def test_equals_the_kernel_formula_in_either_space(n, d):
    x = np.random.default_rng(0).normal(size=(n, d)) + 0.5
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    p = np.linalg.eigvalsh(unit @ unit.T / n)
    p = p[p > 1e-12]
    assert vendi(None, x) == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-10)


def test_invariances():
    r = np.random.default_rng(0)
    x = r.normal(size=(20, 6)) + 0.5
    turn = np.linalg.qr(r.normal(size=(6, 6)))[0]
    value = vendi(None, x)
    for same in (x[::-1], x @ turn, x * r.uniform(0.1, 9, (20, 1)), np.concatenate([x, x])):
        assert vendi(None, same) == pytest.approx(value, rel=1e-12)
    assert vendi(None, x + 1) < value
    assert vendi(x[:4], x) == value


def test_long_and_short_rows_keep_their_direction():
    x = np.array([[1e-200, 0.0], [0.0, 1e49]])
    assert vendi(None, x) == pytest.approx(2, rel=1e-13)


def moments(*batches, unit=True):
    made = Moments(unit=unit)
    for batch in batches:
        made.update(batch)
    return made


@pytest.mark.parametrize("order", [0, 0.5, 1.0, 2, np.inf])
@pytest.mark.parametrize(("n", "d"), [(60, 6), (8, 30), (1, 5), (2, 3)])
def test_batches_give_the_score_of_all_rows(n, d, order):
    x = np.random.default_rng(0).normal(size=(n, d)) + 0.5
    expected = vendi(None, x, order=order)
    assert vendi(None, moments(x), order=order) == pytest.approx(expected, rel=1e-9)
    found = moments(*np.array_split(x, 3)) if n > 2 else moments(x)
    assert vendi(None, found, order=order) == pytest.approx(expected, rel=1e-9)


def test_batches_of_known_scores():
    assert vendi(None, moments(np.eye(5)[:4], 7 * np.eye(5)[4:])) == pytest.approx(5, rel=1e-12)
    assert vendi(None, moments(np.ones((9, 3)), 2 * np.ones((4, 3)))) == pytest.approx(1, rel=1e-9)
    rows = rows_with_cosines([[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]])
    assert vendi(None, moments(rows)) == pytest.approx(2.157300483, abs=5e-10)


def test_moments_must_be_of_unit_rows():
    with pytest.raises(ValueError, match=r"fake was Moments of rows of any length, must be Mom"):
        vendi(None, moments(np.eye(3), unit=False))
    with pytest.raises(ValueError, match="fake was Moments, must be rows: an interval needs each"):
        vendi.estimate(None, moments(np.eye(3)))
    with pytest.raises(ValueError, match="fake had 0 rows, must have at least 1 for vendi"):
        vendi(None, Moments(unit=True))


def test_says_what_is_wrong():
    with pytest.raises(ValueError, match="fake held 1 of 3 rows of zeros, must have none"):
        vendi(None, np.array([[1.0, 0], [0, 0], [0, 1]]))
    with pytest.raises(ValueError, match="order was -1, must be a number >= 0"):
        vendi(None, np.eye(3), order=-1)
    with pytest.raises(ValueError, match="order was nan"):
        vendi(None, np.eye(3), order=np.nan)
