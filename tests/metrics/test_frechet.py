"""Frechet distances against closed forms and a float64 reference that shares no code with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics
from nriqm_bench.metrics import Sample
from nriqm_bench.metrics.frechet import frechet_distance, frechet_floor, frechet_sd

fid, frd = metrics.get("fid"), metrics.get("frd")
fid_infinity = metrics.get("fid-infinity")


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


def orthogonal(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


@pytest.mark.parametrize("ends", [(1.0, 0.5), (1.0, 1e-3), (1.0, 1e-9), (1.0, 1e-15)])
@pytest.mark.parametrize("d", [5, 80])
def test_covariances_with_common_axes_whatever_their_condition(ends, d):
    """Fast eigenvalues where they are exact enough, singular values where they are not."""
    s1, s2 = np.geomspace(*ends, d), np.geomspace(*ends[::-1], d)
    axes = orthogonal(d, 0).T
    expected = ((s1 - s2) ** 2).sum()
    found = frechet_distance(
        np.zeros(d),
        orthogonal(d, 1) @ (s1[:, None] * axes),
        orthogonal(d, 2) @ (s2[:, None] * axes),
    )
    assert found == pytest.approx(expected, abs=1e-11 * (s1 @ s1 + s2 @ s2))


@pytest.mark.parametrize("rank", [1, 3, 39])
def test_a_product_without_full_rank(rank):
    d = 40
    axes = orthogonal(d, 0).T
    s1, s2 = np.arange(1.0, d + 1), np.ones(d)
    s1[rank:] = 0
    s2[: rank // 2] = 0
    found = frechet_distance(
        np.zeros(d),
        orthogonal(d, 1) @ (s1[:, None] * axes),
        orthogonal(d, 2) @ (s2[:, None] * axes),
    )
    assert found == pytest.approx(((s1 - s2) ** 2).sum(), rel=1e-12)
    assert frechet_distance(np.ones(d), 0 * axes, axes) == pytest.approx(2 * d, rel=1e-14)


@pytest.mark.parametrize("decades", [0, 3, 9])
@pytest.mark.parametrize(("n", "d"), [(700, 300), (301, 300), (120, 300)])
def test_many_columns_of_any_condition(n, d, decades):
    """From 256 columns on the factor is that of Cholesky where the columns allow it."""
    r = np.random.default_rng(0)
    scales = np.logspace(0, -decades, d)
    x = r.normal(size=(n, d)) * scales @ orthogonal(d, 1)
    gap = np.linspace(-1, 1, d)
    expected = gap @ gap + 0.25 * x.var(0, ddof=1).sum()
    assert fid(x, 0.5 * (x - x.mean(0)) + x.mean(0) + gap) == pytest.approx(expected, rel=1e-11)
    # To 1e-11 of the traces.
    assert fid(x, r.permutation(x)) <= 1e-11 * 2 * x.var(0, ddof=1).sum()
    y = r.normal(size=(n, d)) * scales @ orthogonal(d, 2)
    # The reference takes roots of eigenvalues, which are rounded to 1e-16 of the largest.
    loose = 1e-11 if decades == 0 and n == 700 else 1e-6
    assert fid(x, y) == pytest.approx(reference(x, y), rel=loose)


def one_dimension(r, n, mean, sd):
    return r.normal(size=(n, 1)) * sd + mean


def test_the_deviation_of_one_dimension_has_a_closed_form():
    """Of (m1 - m2)^2 + (s1 - s2)^2, by the deviations of mean and standard deviation."""
    r = np.random.default_rng(0)
    n, m = 4000, 3000
    x, y = one_dimension(r, n, 0, 1), one_dimension(r, m, 1.5, 2)
    # For Gaussians the two are independent, with variances s^2 / n and s^2 / (2 n).
    variance = sum(
        4 * 1.5**2 * s**2 / size + 4 * (1 - 2) ** 2 * s**2 / (2 * size)
        for s, size in ((1, n), (2, m))
    )
    assert frechet_sd(Sample(x), Sample(y)) == pytest.approx(math.sqrt(variance), rel=0.05)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 50, 3), (50, 40, 60)])
def test_the_deviation_is_that_of_leaving_out_each_row(n, m, d):
    x, y = clouds(n, m, d)
    variance = 0.0
    for rows, value in ((x, lambda part: fid(part, y)), (y, lambda part: fid(x, part))):
        left_out = [value(np.delete(rows, i, axis=0)) for i in range(len(rows))]
        variance += (len(rows) - 1) * np.var(left_out)
    assert frechet_sd(Sample(x), Sample(y)) == pytest.approx(math.sqrt(variance), rel=0.1)


def test_the_deviation_is_that_over_new_samples():
    values, sds = [], []
    for seed in range(300):
        r = np.random.default_rng(seed)
        x, y = r.normal(size=(80, 4)), 1.4 * r.normal(size=(60, 4)) + 0.5
        values.append(fid(x, y))
        sds.append(frechet_sd(Sample(x), Sample(y)))
    # A deviation from 300 values is itself known to 4 %.
    assert np.sqrt(np.mean(np.square(sds))) == pytest.approx(np.std(values), rel=0.2)


def test_the_deviation_of_a_sample_and_itself_is_zero():
    x, _ = clouds(50, 2, 4)
    assert frechet_sd(Sample(x), Sample(x)) == pytest.approx(0, abs=1e-6)
    assert frechet_sd(Sample(np.ones((5, 3))), Sample(np.ones((4, 3)))) == 0
    constant = fid.estimate(np.zeros((5, 3)), np.ones((4, 3)))
    assert (constant.low, constant.value, constant.high) == (3, 3, 3)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 40, 5), (30, 30, 48), (200, 100, 20)])
def test_the_floor_is_what_new_samples_of_one_gaussian_give(n, m, d):
    scales = np.geomspace(1, 0.05, d)
    r = np.random.default_rng(0)
    values = [
        fid(r.normal(size=(n, d)) * scales, r.normal(size=(m, d)) * scales) for _ in range(150)
    ]
    floors = [
        fid.estimate(r.normal(size=(n, d)) * scales, r.normal(size=(m, d)) + 5).floor
        for _ in range(25)
    ]
    error = math.hypot(np.std(values) / math.sqrt(150), np.std(floors) / math.sqrt(25))
    # The plug-in is biased by a few per cent for samples this small.
    assert np.mean(floors) == pytest.approx(np.mean(values), abs=0.06 * np.mean(values) + 3 * error)


def test_the_floor_of_other_sizes():
    x, _ = clouds(100, 2, 6)
    sample = Sample(x)
    assert frechet_floor(sample, 100, 100) == fid.estimate(x, x[::-1]).floor
    assert frechet_floor(sample, 10**7, 10**7) < 1e-4
    assert frechet_floor(sample, 50, 100) == pytest.approx(frechet_floor(sample, 100, 50), rel=1e-9)
    assert frechet_floor(Sample(2 * x), 50, 100) == pytest.approx(
        4 * frechet_floor(sample, 50, 100), rel=1e-9
    )


def test_infinity_of_two_sizes_is_a_line_through_two_points():
    """With subsets of m - 1 and m rows, one row is left out: which one, a search tells."""
    x, y = clouds(30, 24, 3)
    whole = reference(x, y)
    candidates = np.array(
        [24 * whole - 23 * reference(x, np.delete(y, i, axis=0)) for i in range(24)]
    )
    seen = set()
    for seed in range(6):
        value = fid_infinity(x, y, points=2, smallest=23, rng=np.random.default_rng(seed))
        at = int(np.abs(candidates - value).argmin())
        assert value == pytest.approx(candidates[at], rel=1e-8)
        seen.add(at)
    assert len(seen) > 1
    value = fid_infinity(x, y, points=2, smallest=23)
    assert np.abs(candidates - value).min() < 1e-8 * abs(value)


def test_infinity_takes_off_what_finite_samples_add():
    r = np.random.default_rng(0)
    # Of N(0, I) and N(c, 4 I) in 6 dimensions, c of length 1: 1 + 6 (2 - 1)^2.
    draws = [
        (r.normal(size=(60, 6)), 2 * r.normal(size=(60, 6)) + [1, 0, 0, 0, 0, 0])
        for _ in range(120)
    ]
    both = np.array([fid_infinity(x, y, extrapolate="both") for x, y in draws])
    one = np.array([fid_infinity(x, y) for x, y in draws])
    plain = np.array([fid(x, y) for x, y in draws])
    assert both.mean() == pytest.approx(7, abs=4 * both.std() / math.sqrt(120))
    # The finite real sample still adds to the published one, and both samples to plain FID.
    for less, more in ((both, one), (one, plain)):
        assert (more - less).mean() > 4 * (more - less).std() / math.sqrt(120)


def test_infinity_of_one_distribution_leaves_what_the_real_rows_add():
    r = np.random.default_rng(0)
    many = r.normal(size=(20000, 5))
    reals = [r.normal(size=(50, 5)) for _ in range(100)]
    expected = [fid(x, many) for x in reals]
    found = [fid_infinity(x, r.normal(size=(60, 5))) for x in reals]
    error = math.hypot(np.std(found), np.std(expected)) / 10
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=4 * error)


@pytest.mark.parametrize("extrapolate", ["fake", "both"])
def test_infinity_does_not_depend_on_the_order_of_rows(extrapolate):
    x, y = clouds(70, 60, 4)
    value = fid_infinity(x, y, extrapolate=extrapolate)
    order = np.random.default_rng(1).permutation(60)
    assert fid_infinity(x[::-1], y[order], extrapolate=extrapolate) == pytest.approx(
        value, rel=1e-10
    )
    assert fid_infinity(x, y, extrapolate=extrapolate) == value


def test_infinity_draws_from_rng():
    x, y = clouds(70, 60, 4)
    first = fid_infinity(x, y, rng=np.random.default_rng(1))
    assert first == fid_infinity(x, y, rng=np.random.default_rng(1))
    assert first != fid_infinity(x, y, rng=np.random.default_rng(2))
    turn = orthogonal(4, 0)
    assert fid_infinity(x @ turn, y @ turn, rng=np.random.default_rng(1)) == pytest.approx(
        first, rel=1e-9
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, "points was 1, must be a whole number >= 2"),
        ({"points": 3.0}, r"points was 3\.0, must be a whole number >= 2"),
        ({"extrapolate": "real"}, "extrapolate was 'real', must be 'fake' or 'both'"),
        ({"smallest": 1}, "smallest was 1, must be between 2 and the 30 fake rows"),
        ({"smallest": 30}, "smallest was 30, must be between 2 and the 30 fake rows"),
    ],
)
def test_infinity_says_what_is_wrong(options, message):
    x, y = clouds(40, 30, 3)
    with pytest.raises(ValueError, match=message):
        fid_infinity(x, y, **options)
    with pytest.raises(ValueError, match="real had 19 rows, must have at least 20"):
        fid_infinity(x[:19], y)


def radiomic(n=50, m=40, seed=0):
    """Columns of very different scales, one of them constant."""
    r = np.random.default_rng(seed)
    scales = np.array([1e-3, 1, 1e4, 7])
    x, y = r.normal(size=(n, 4)) * scales + 5 * scales, r.normal(size=(m, 4)) * scales * 1.3
    x[:, 3] = y[:, 3] = 0.1
    return x, y


def test_radiomic_distance_by_its_definition():
    x, y = radiomic()
    mean, sd = x.mean(0)[:3], x.std(0)[:3]
    squared = reference((x[:, :3] - mean) / sd, (y[:, :3] - mean) / sd)
    assert frd(x, y) == pytest.approx(math.log(squared), rel=1e-9)
    assert frd(x, y, scale="log") == pytest.approx(math.log(math.sqrt(squared)), rel=1e-9)
    assert frd(x, y, scale="squared") == pytest.approx(squared, rel=1e-9)
    assert frd(x, y, scale="root") == pytest.approx(math.sqrt(squared), rel=1e-9)
    plain = reference(x, y)
    assert frd(x, y, scale="squared", normalise="none") == pytest.approx(plain, rel=1e-9)


def test_radiomic_distance_of_version_0_brings_both_to_one_range():
    x, y = radiomic()
    both = np.concatenate([x, y])[:, :3]
    low, high = both.min(0), both.max(0)
    u, v = ((a[:, :3] - low) / (high - low) * 7.45670747756958 for a in (x, y))
    found = frd(x, y, scale="squared", normalise="joint")
    assert found == pytest.approx(reference(u, v), rel=1e-9)


def test_a_column_that_is_constant_in_real_alone():
    x, y = radiomic()
    y[:, 3] += np.arange(len(y))
    assert frd(x, y) == pytest.approx(frd(x[:, :3], y[:, :3]), rel=1e-12)
    assert frd(x, y, normalise="joint") > frd(x[:, :3], y[:, :3], normalise="joint")


def test_radiomic_distances_do_not_depend_on_units():
    x, y = radiomic()
    factor, shift = np.array([1e5, 3, 0.01, 2]), np.array([9.0, -1e3, 1e4, 1])
    for normalise in ("real", "joint"):
        value = frd(x, y, normalise=normalise)
        assert frd(x * factor + shift, y * factor + shift, normalise=normalise) == pytest.approx(
            value, rel=1e-8
        )
        assert frd(x[::-1], y[::-1], normalise=normalise) == pytest.approx(value, rel=1e-10)


def test_radiomic_distance_of_equal_samples_is_far_below_any_other():
    x, y = radiomic()
    assert frd(x, x) < -25 < frd(x, y)
    assert frd(x, x, scale="root") < 1e-5
    assert frd(np.eye(2), np.eye(2), scale="squared") == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("scale", ["log-squared", "log", "root"])
def test_the_deviation_of_radiomic_distances_is_carried_to_the_scale(scale):
    # Many rows, so that the change of scale is straight over the width of the interval.
    x, y = radiomic(20000, 20000)
    squared = frd.estimate(x, y, scale="squared")
    carry = {"log-squared": np.log, "log": lambda v: np.log(v) / 2, "root": np.sqrt}[scale]
    found = frd.estimate(x, y, scale=scale)
    assert found.value == pytest.approx(carry(squared.value), rel=1e-9)
    expected = carry(squared.high) - carry(squared.low)
    assert found.high - found.low == pytest.approx(expected, rel=0.02)


def test_intervals_of_radiomic_distances_cover_the_mean_over_new_samples():
    found = []
    for seed in range(150):
        r = np.random.default_rng(seed)
        x, y = r.normal(size=(80, 3)), 1.4 * r.normal(size=(60, 3)) + 1
        found.append(frd.estimate(x, y, normalise="none", level=0.9))
    mean = np.mean([e.value for e in found])
    assert 0.82 <= np.mean([e.low <= mean <= e.high for e in found]) <= 0.98


def test_the_floor_of_radiomic_distances_is_that_of_their_columns():
    x, y = radiomic(200, 100)
    sd = x.std(0)[:3]
    expected = frechet_floor(Sample(x[:, :3] / sd), 200, 100)
    assert frd.estimate(x, y, scale="squared").floor == pytest.approx(expected, rel=1e-9)
    assert frd.estimate(x, y).floor == pytest.approx(math.log(expected), rel=1e-9)
    assert frd.estimate(x, y, scale="log").floor == pytest.approx(math.log(expected) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "loud"}, "scale was 'loud', must be 'log-squared', 'log', 'squared' or 'root'"),
        ({"normalise": "fake"}, "normalise was 'fake', must be 'real', 'joint' or 'none'"),
    ],
)
def test_radiomic_distances_say_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        frd(*radiomic(), **options)
    with pytest.raises(ValueError, match="real was constant in every column, must vary in one"):
        frd(np.full((9, 2), 0.1), radiomic()[1][:, :2])


def test_frd_of_equal_samples_is_minus_infinity():
    for seed in range(8):
        x = np.random.default_rng(seed).normal(size=(50, 6))
        assert frd(x, x) == -np.inf
