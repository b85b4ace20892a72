"""FID against closed forms and a float64 reference that shares no code with it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics
from nriqm_bench.metrics import Sample
from nriqm_bench.metrics.frechet import frechet_distance

fid = metrics.get("fid")


def reference(x, y):
    """By eigenvectors: tr((C1 C2)^(1/2)) = tr((S C2 S)^(1/2)) with S the root of C1."""
    m1, m2 = x.mean(0), y.mean(0)
    c1, c2 = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    values, vectors = np.linalg.eigh(c1)
    root = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ c2 @ root)
    overlap = np.sqrt(np.clip(inner, 0, None)).sum()
    return ((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * overlap


def clouds(n, m, d, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=(n, d)) + 0.5, rng.normal(size=(m, d)) @ mix


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 7), (41, 60, 40), (500, 90, 1)])
def test_agrees_with_the_covariance_formula_when_there_are_more_rows_than_columns(n, m, d):
    x, y = clouds(n, m, d)
    assert fid(x, y) == pytest.approx(reference(x, y), rel=1e-10)


@pytest.mark.parametrize(("n", "m", "d"), [(50, 40, 200), (2, 2, 5), (30, 300, 100)])
def test_agrees_with_the_nuclear_norm_when_rows_are_fewer_than_columns(n, m, d):
    x, y = clouds(n, m, d)
    a, b = (x - x.mean(0)) / np.sqrt(n - 1), (y - y.mean(0)) / np.sqrt(m - 1)
    # By eigenvalues of a product of Gram matrices in the larger of the two spaces of rows.
    gram = a @ b.T
    overlap = np.linalg.norm(gram, "nuc")
    gap = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected = gap + np.trace(a @ a.T) + np.trace(b @ b.T) - 2 * overlap
    assert fid(x, y) == pytest.approx(expected, rel=1e-10)
    assert fid(x, y) == pytest.approx(reference(x, y), rel=1e-5)


def test_the_toy_of_monai_is_four_ninths():
    x = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    y = np.array([[2.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    assert fid(y, x) == pytest.approx(4 / 9, abs=1e-12)


def test_equal_covariances_leave_the_squared_distance_of_the_means():
    x = np.random.default_rng(0).normal(size=(40, 2048))
    x -= x.mean(0)
    assert fid(x, x + 1) == pytest.approx(2048, rel=1e-12)
    assert frechet_distance(np.ones(200), np.eye(200), np.eye(200)) == pytest.approx(200)


@pytest.mark.parametrize(("n", "d"), [(30, 200), (200, 30), (50, 50), (51, 50)])
def test_of_a_sample_and_itself_is_zero(n, d):
    x, _ = clouds(n, 2, d)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    assert fid(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert fid(x, x + 1e-3) > 0


@pytest.mark.parametrize(("n", "d"), [(30, 200), (200, 30), (500, 5), (2, 3)])
@pytest.mark.parametrize("s", [0.0, 0.5, 3.0])
def test_of_a_scaled_and_shifted_copy_has_a_closed_form(n, d, s):
    x, t = clouds(n, 2, d)[0], np.linspace(-1, 2, d)
    gap = (s - 1) * x.mean(0) + t
    expected = gap @ gap + (s - 1) ** 2 * x.var(0, ddof=1).sum()
    assert fid(x, s * x + t) == pytest.approx(expected, rel=1e-11)


def test_one_dimension_is_the_difference_of_means_and_deviations():
    x, y = np.array([[0.0], [2.0]]), np.array([[1.0], [2.0], [6.0]])
    sd_x, sd_y = np.sqrt(2), np.sqrt(7)
    assert fid(x, y) == pytest.approx((1 - 3) ** 2 + (sd_x - sd_y) ** 2, rel=1e-14)


def test_independent_columns_add_up():
    rng = np.random.default_rng(3)
    q = np.linalg.qr(rng.normal(size=(60, 6)) - 0.0)[0]
    q -= q.mean(0)
    q = np.linalg.qr(q)[0]
    a, b = np.array([1, 2, 3, 0, 0, 5.0]), np.array([2, 2, 0, 1, 0, 1.0])
    expected = ((a - b) ** 2).sum() / 59
    assert fid(q * a, q * b) == pytest.approx(expected, rel=1e-12)


def test_a_direction_that_only_one_sample_has_keeps_its_digits():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 3))
    y = x * np.array([1.0, 1.0, 0.0])
    # The best map is the projection, which costs what it removes.
    expected = x[:, 2].mean() ** 2 + x[:, 2].var(ddof=1)
    # A covariance matrix with a rounded zero eigenvalue is wrong by about 1e-8 here.
    assert fid(x, y) == pytest.approx(expected, rel=1e-13)


def test_far_clouds_lose_nothing():
    x, y = clouds(60, 50, 8)
    x, y = np.round(x * 1024) / 1024, np.round(y * 1024) / 1024
    assert fid(x + 2.0**30, y + 2.0**30) == pytest.approx(fid(x, y), rel=1e-9)


def test_float32_input_is_treated_in_float64():
    x, y = (a.astype(np.float32) for a in clouds(60, 50, 8))
    assert fid(x, y) == fid(x.astype(np.float64), y.astype(np.float64))


def test_a_sample_keeps_its_factor_for_the_next_call():
    x, y = clouds(60, 50, 8)
    kept = Sample(x)
    assert fid(kept, y) == fid(x, y)
    assert kept.factor is kept.factor
    assert kept.factor.shape == (8, 8)
    np.testing.assert_allclose(kept.factor.T @ kept.factor, np.cov(x, rowvar=False), atol=1e-13)


small = arrays(np.float64, (6, 3), elements=st.floats(-4, 4, width=16))


@settings(max_examples=30, deadline=None)
@given(small, small, st.permutations(range(6)), st.integers(0, 99))
def test_neither_order_nor_rotation_nor_shift_matters(x, y, order, seed):
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    value = fid(x, y)
    assert value >= 0
    assert fid(x[order], y) == pytest.approx(value, abs=1e-10)
    assert fid(x @ rotation, y @ rotation) == pytest.approx(value, abs=1e-10)
    assert fid(x + 3, y + 3) == pytest.approx(value, abs=1e-10)
    assert fid(y, x) == pytest.approx(value, abs=1e-10)
    assert fid(2 * x, 2 * y) == pytest.approx(4 * value, abs=1e-10)


def test_much_faster_than_eigenvalues_of_the_product():
    """The route that torchmetrics takes, on a quarter of the usual width to keep the test short."""

    def seconds(call):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    x, y = clouds(125, 125, 512)
    ours = min(seconds(lambda: fid(x, y)) for _ in range(3))
    c1, c2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    assert seconds(lambda: np.linalg.eigvals(c1 @ c2)) > 5 * ours
