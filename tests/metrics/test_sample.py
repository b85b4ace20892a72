"""What samples share: triangles with the same Gram matrix, orders by value, rows of length 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench.metrics import Sample
from nriqm_bench.metrics.sample import as_rows, shuffled, triangle, unit_rows


@pytest.mark.parametrize(("n", "d"), [(5, 9), (9, 9), (30, 9), (400, 300), (301, 300), (900, 256)])
def test_a_triangle_has_the_gram_matrix_of_the_rows(n, d):
    x = np.random.default_rng(0).normal(size=(n, d))
    found = triangle(x)
    assert found.shape == (min(n, d), d)
    np.testing.assert_allclose(found.T @ found, x.T @ x, atol=1e-12 * n)
    if n > d:
        np.testing.assert_array_equal(found, np.triu(found))


def with_singular_values(n, values, seed=0):
    r = np.random.default_rng(seed)
    d = len(values)
    left, right = np.linalg.qr(r.normal(size=(n, d)))[0], np.linalg.qr(r.normal(size=(d, d)))[0]
    return (left * values) @ right.T


@pytest.mark.parametrize("d", [8, 300])
@pytest.mark.parametrize("decades", [2, 8, 11])
def test_small_singular_values_keep_their_digits(d, decades):
    values = np.logspace(0, -decades, d)
    found = np.linalg.svd(triangle(with_singular_values(2 * d, values)), compute_uv=False)
    # The rows themselves are rounded to 1e-16 of the largest; a Gram matrix would lose all below
    # 1e-8 of it.
    np.testing.assert_allclose(found, values, rtol=1e-9, atol=3e-15)


def test_a_wide_gram_matrix_without_full_rank():
    x = np.random.default_rng(0).normal(size=(500, 7)) @ np.ones((7, 300))
    found = triangle(x)
    assert found.shape == (300, 300)
    np.testing.assert_allclose(found.T @ found, x.T @ x, rtol=1e-11)
    np.testing.assert_array_equal(triangle(np.zeros((400, 300))), np.zeros((300, 300)))


rows = arrays(np.float64, (12, 2), elements=st.floats(-9, 9))


@settings(max_examples=40, deadline=None)
@given(rows, st.permutations(range(12)))
def test_the_shuffled_order_depends_on_values_alone(x, order):
    first, second = shuffled(Sample(x)), shuffled(Sample(x[order]))
    assert sorted(first) == list(range(12))
    np.testing.assert_array_equal(x[first], x[order][second])


def test_the_shuffled_order_does_not_depend_on_dtype_or_sign_of_zero():
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float16)
    x[:9, 0] = 0
    order = shuffled(Sample(x))
    y = x.astype(np.float64)
    y[:9, 0] = -0.0
    np.testing.assert_array_equal(shuffled(Sample(y)), order)
    np.testing.assert_array_equal(shuffled(y.astype(np.float32)), order)
    np.testing.assert_array_equal(shuffled(torch.tensor(x).float().numpy()), order)


def test_the_shuffled_order_looks_random():
    places = np.argsort(shuffled(np.arange(4000.0)[:, None]))
    # Rank correlation with the values has a deviation of 1 / sqrt(n); so has that of neighbours.
    assert abs(np.corrcoef(places, np.arange(4000))[0, 1]) < 4 / np.sqrt(4000)
    assert abs(np.corrcoef(places[:-1], places[1:])[0, 1]) < 4 / np.sqrt(4000)
    halves = np.bincount((places < 2000) * 2 + (np.arange(4000) < 2000), minlength=4)
    np.testing.assert_allclose(halves, 1000, atol=4 * np.sqrt(4000 / 16))


def test_images_are_shuffled_whole():
    images = np.random.default_rng(0).random((20, 1, 4, 4))
    order = shuffled(images)
    np.testing.assert_array_equal(images[order], images[::-1][shuffled(images[::-1])])
    np.testing.assert_array_equal(order, shuffled(images.reshape(20, 16)))


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e45])
def test_unit_rows(scale):
    x = np.random.default_rng(0).normal(size=(30, 5))
    expected = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = unit_rows(x * scale, "fake")
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=0)
    np.testing.assert_allclose(np.square(found).sum(1), 1, rtol=1e-15)
    assert unit_rows(x.astype(np.float32), "fake").dtype == np.float64


def test_unit_rows_of_long_float32_rows_do_not_overflow():
    x = np.full((2, 4), 3e38, dtype=np.float32)
    np.testing.assert_allclose(unit_rows(x, "fake"), 0.5, rtol=1e-15)


def test_a_row_of_zeros_has_no_direction():
    with pytest.raises(ValueError, match="train held 2 of 3 rows of zeros, must have none"):
        unit_rows(np.array([[0.0, 0], [1, 0], [0, 0]]), "train")


def test_some_rows_are_a_sample_of_their_own():
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    whole, other = Sample(x), Sample(x)
    kept = (whole.mean, whole.factor, whole.array)
    whole.own["what"] = whole.shared_with(other)["what"] = "ever"
    part = whole.take(np.array([4, 2, 2]))
    np.testing.assert_array_equal(part.rows, x[[4, 2, 2]])
    assert part.rows.dtype == np.float32
    np.testing.assert_allclose(part.mean, x[[4, 2, 2]].mean(0), rtol=1e-6)
    assert part.own == {}
    assert part.shared_with(other) == {}
    assert whole.mean is kept[0]
    assert whole.own == {"what": "ever"}


def test_what_two_samples_share_is_theirs():
    a, b, c = (Sample(np.eye(2)) for _ in range(3))
    a.shared_with(b)["x"] = 1
    assert a.shared_with(b) == {"x": 1}
    assert a.shared_with(c) == {}
    assert b.shared_with(a) == {}


def test_statistics_of_a_sample():
    x = np.random.default_rng(0).normal(size=(40, 5)) + 7
    sample = Sample(x)
    np.testing.assert_allclose(sample.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(sample.centred, x - x.mean(0), atol=1e-14)
    assert sample.trace == pytest.approx(np.trace(np.cov(x.T)), rel=1e-13)
    np.testing.assert_allclose(sample.factor.T @ sample.factor, np.cov(x.T), atol=1e-13)


def test_the_mean_is_taken_by_parts(monkeypatch):
    # More columns than fit one part, and a number of rows that is no multiple of it.
    x = np.random.default_rng(0).normal(size=(11, 1 << 17)).astype(np.float32)
    np.testing.assert_allclose(Sample(x).mean, x.astype(np.float64).mean(0), atol=1e-15)


def test_rows_are_kept_in_their_dtype_and_integers_are_not():
    assert as_rows(np.ones((2, 2), dtype=np.float32), "x").dtype == np.float32
    assert as_rows(np.ones((2, 2), dtype=np.uint8), "x").dtype == np.float64
    x = np.ones((2, 2))
    assert as_rows(x, "x") is x
