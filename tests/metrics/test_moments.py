"""Moments from batches against those of all rows at once."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nriqm_bench import metrics
from nriqm_bench.metrics import Moments


def moments(*batches, **options):
    made = Moments(**options)
    for batch in batches:
        made.update(batch)
    return made


def cloud(n=200, d=6, seed=0):
    r = np.random.default_rng(seed)
    return r.normal(size=(n, d)) @ r.normal(size=(d, d)) + 3


def exact(rows):
    """Mean and unbiased covariance in rational numbers."""
    rows = [[Fraction(float(v)) for v in row] for row in rows]
    n, d = len(rows), len(rows[0])
    mean = [sum(row[j] for row in rows) / n for j in range(d)]
    return np.array(mean, dtype=float), np.array(
        [
            [
                float(sum((r[i] - mean[i]) * (r[j] - mean[j]) for r in rows) / (n - 1))
                for j in range(d)
            ]
            for i in range(d)
        ]
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_batches_of_any_size_give_the_moments_of_all_rows(cuts, backwards):
    x = cloud()
    batches = np.split(x, sorted(cuts))
    found = moments(*(batches[::-1] if backwards else batches))
    assert len(found) == 200
    assert found.shape == (200, 6)
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-11, atol=1e-13)
    assert found.trace == pytest.approx(np.trace(np.cov(x.T)), rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(3000, 4), (1500, 700), (40, 700)])
def test_more_rows_than_wait_to_be_merged(n, d):
    x = np.random.default_rng(0).normal(size=(n, d))
    found = moments(*np.array_split(x, 11))
    np.testing.assert_allclose(found.mean, x.mean(0), atol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(x.T), atol=1e-12)
    assert found.factor.shape[1] == d


def test_memory_is_that_of_some_square_arrays():
    found = Moments()
    for seed in range(40):
        found.update(cloud(100, 3, seed))
        held = sum(len(part) for part in found._waiting) + len(found._factor)
        assert held <= 2 * 512 + 3
    assert len(found) == 4000


def test_agrees_with_rational_arithmetic_far_from_the_origin():
    x = np.round(cloud(30, 3) * 64) / 64 + 2.0**30
    mean, covariance = exact(x)
    found = moments(x[:4], x[4:5], x[5:])
    np.testing.assert_allclose(found.mean, mean, rtol=1e-15)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-11)
    # A sum of squares, 2^60, keeps no digit of a variance near 1.
    naive = (x.T @ x) / 30 - np.outer(x.mean(0), x.mean(0))
    assert np.abs(naive - covariance).max() > 1


def test_batches_that_are_far_from_each_other():
    x = np.round(cloud(30, 3) * 64) / 64 + 2.0**26 * (np.arange(30) > 11)[:, None]
    mean, covariance = exact(x)
    found = moments(x[:12], x[12:])
    np.testing.assert_allclose(found.mean, mean, rtol=1e-14)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-14)


@pytest.mark.parametrize("sizes", [(0, 60), (25, 35), (60, 0)])
def test_merging_is_as_good_as_taking_in(sizes):
    x = cloud(60)
    first, second = moments(x[: sizes[0]]), moments(x[60 - sizes[1] :])
    kept = second.mean.copy() if sizes[1] else None
    first.merge(second)
    assert len(first) == 60
    np.testing.assert_allclose(first.covariance, np.cov(x.T), rtol=1e-11, atol=1e-13)
    assert len(second) == sizes[1]
    if kept is not None:
        np.testing.assert_array_equal(second.mean, kept)


def test_merging_with_itself_counts_every_row_twice():
    x = cloud(30)
    found = moments(x)
    found.merge(found)
    np.testing.assert_allclose(found.covariance, np.cov(np.concatenate([x, x]).T), rtol=1e-11)


def test_what_was_merged_goes_on_alone():
    x = cloud(60)
    first, second = Moments(), moments(x[:20])
    first.merge(second)
    first.update(x[20:])
    np.testing.assert_allclose(first.covariance, np.cov(x.T), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(second.covariance, np.cov(x[:20].T), rtol=1e-11, atol=1e-13)


def test_later_changes_of_a_batch_do_not_matter():
    x = cloud(50)
    batch, found = x.copy(), Moments()
    found.update(batch)
    batch[:] = 0
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-11, atol=1e-13)


def test_any_float_dtype():
    x = cloud(50).astype(np.float32)
    expected = moments(x.astype(np.float64)).covariance
    for same in (x, torch.tensor(x, requires_grad=True), x.tolist()):
        np.testing.assert_allclose(moments(same).covariance, expected, rtol=1e-13)


@pytest.mark.parametrize(("n", "d"), [(90, 5), (30, 80), (2, 3)])
def test_fid_of_moments_is_fid_of_rows(n, d):
    x, y = np.random.default_rng(0).normal(size=(2, n, d))
    y = 0.7 * y + 0.2
    fid = metrics.get("fid")
    expected = fid(x, y)
    a, b = moments(x[:1], x[1:]), moments(y)
    assert fid(a, b) == pytest.approx(expected, rel=1e-10)
    assert fid(a, y) == pytest.approx(expected, rel=1e-10)
    assert fid(x, b) == pytest.approx(expected, rel=1e-10)
    assert metrics.evaluate(["fid"], a, y) == {"fid": pytest.approx(expected, rel=1e-10)}


def test_unit_rows_lose_their_length():
    x = cloud(40)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    found = moments(x * np.arange(1, 41)[:, None], unit=True)
    np.testing.assert_allclose(found.mean, unit.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(unit.T), rtol=1e-9, atol=1e-15)


def test_says_what_it_holds():
    found = Moments()
    assert (repr(found), len(found), found.dim) == ("Moments(0 x 0)", 0, 0)
    found.update(np.zeros((0, 3)))
    assert len(found) == 0
    found.update(cloud(5))
    assert repr(found) == "Moments(5 x 6)"


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (np.zeros(6), r"pictures had shape \(6,\), must be \(n, d\)"),
        (np.zeros((2, 5)), r"pictures had shape \(2, 5\), must be \(n, 6\) like the batches"),
        (np.full((2, 6), np.nan), "pictures held NaN or infinity in 2 of 2 rows"),
    ],
)
def test_a_bad_batch_is_left_out_whole(batch, message):
    found = moments(cloud(10), name="pictures")
    with pytest.raises(ValueError, match=message):
        found.update(batch)
    assert len(found) == 10
    np.testing.assert_allclose(found.covariance, np.cov(cloud(10).T), rtol=1e-11, atol=1e-13)


def test_too_few_rows_and_other_widths_are_named():
    empty, one = Moments("pictures"), moments(np.ones((1, 6)), name="pictures")
    with pytest.raises(ValueError, match="pictures had 0 rows, must have at least 1"):
        _ = empty.mean
    for few in (empty, one):
        with pytest.raises(
            ValueError, match=rf"pictures had {len(few)} rows, must have at least 2"
        ):
            _ = few.covariance
    np.testing.assert_array_equal(one.mean, np.ones(6))
    with pytest.raises(ValueError, match="other had 3 columns, must have 6"):
        one.merge(moments(np.ones((2, 3))))
    with pytest.raises(ValueError, match="other had unit=True, must have unit=False"):
        one.merge(Moments(unit=True))
    with pytest.raises(ValueError, match="held 1 of 2 rows of zeros"):
        Moments(unit=True).update(np.eye(2, 6) * [[1], [0]])
    with pytest.raises(ValueError, match=r"fake had shape \(9, 5\), must be \(n, 6\) like real"):
        metrics.get("fid")(moments(cloud(10)), moments(cloud(9, 5)))
    with pytest.raises(ValueError, match="real had 1 row, must have at least 2 for fid"):
        metrics.get("fid")(one, cloud(9))
