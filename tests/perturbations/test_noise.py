"""Noise has the moments that its formula gives, and one field for all levels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import poisson

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.noise import poisson_quantile

SIZE = (8, 1, 64, 64)


def grey(value):
    return ImageSet(np.full(SIZE, value, np.float32))


def damaged(name, value, level, seed=0):
    out = perturbations.get(name)(grey(value), level, np.random.default_rng(seed))
    return out.images.astype(np.float64)


@pytest.mark.parametrize("name", ["gaussian-noise", "rician-noise"])
@pytest.mark.parametrize("level", [0.01, 0.05])
def test_standard_deviation_is_the_level_on_mid_grey(name, level):
    out = damaged(name, 0.5, level)
    assert out.std() == pytest.approx(level, rel=0.03)
    # The Rician mean lies above the signal by sigma^2 / (2 signal).
    bias = level**2 if name == "rician-noise" else 0
    assert out.mean() == pytest.approx(0.5 + bias, abs=4 * level / np.sqrt(out.size))


@pytest.mark.parametrize("level", [0.02, 0.1])
def test_rician_background_is_rayleigh(level):
    out = damaged("rician-noise", 0, level)
    assert out.mean() == pytest.approx(level * np.sqrt(np.pi / 2), rel=0.02)
    assert out.std() == pytest.approx(level * np.sqrt(2 - np.pi / 2), rel=0.03)
    assert out.min() >= 0


def test_gaussian_background_is_clipped_and_not_rayleigh():
    out = damaged("gaussian-noise", 0, 0.1)
    assert (out == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert out.mean() == pytest.approx(0.1 / np.sqrt(2 * np.pi), rel=0.03)


@pytest.mark.parametrize("name", ["gaussian-noise", "rician-noise"])
def test_results_stay_in_range_at_the_highest_level(name):
    out = damaged(name, 0.9, 1.0)
    assert out.min() >= 0
    assert out.max() == 1


def test_noise_field_is_one_scaled_over_levels():
    low = damaged("gaussian-noise", 0.5, 0.01) - 0.5
    high = damaged("gaussian-noise", 0.5, 0.04) - 0.5
    assert high == pytest.approx(4 * low, abs=1e-6)
    # Both parts of the Rician noise, read off an empty background.
    low = damaged("rician-noise", 0, 0.01)
    assert damaged("rician-noise", 0, 0.04) == pytest.approx(4 * low, abs=1e-6)


@pytest.mark.parametrize("name", ["gaussian-noise", "rician-noise"])
def test_noise_is_white_and_new_with_every_seed(name):
    noise = damaged(name, 0.5, 0.05) - 0.5
    for axis in (0, 2, 3):
        ahead, behind = np.delete(noise, 0, axis), np.delete(noise, -1, axis)
        assert abs(np.corrcoef(ahead.ravel(), behind.ravel())[0, 1]) < 0.03
    other = damaged(name, 0.5, 0.05, seed=1) - 0.5
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.03


@pytest.mark.parametrize("value", [0.02, 0.3, 0.6])
@pytest.mark.parametrize("level", [0.01, 0.03, 0.1])
def test_poisson_mean_is_the_image_and_its_variance_the_image_over_the_photons(value, level):
    out = damaged("poisson-noise", value, level)
    error = level * np.sqrt(value / out.size)
    assert out.mean() == pytest.approx(value, abs=4 * error)
    assert out.var() == pytest.approx(value * level**2, rel=0.04)


def test_few_photons_are_counted_and_distributed_as_poisson():
    """Four photons at intensity 1, two on mid grey; four and more are clipped to white."""
    out = damaged("poisson-noise", 0.5, 0.5)
    counts = out * 4
    assert counts == pytest.approx(np.rint(counts), abs=1e-6)
    expected = [*poisson.pmf(range(4), 2.0), poisson.sf(3, 2.0)]
    observed = np.bincount(np.rint(counts).astype(int).ravel(), minlength=5) / out.size
    assert observed == pytest.approx(expected, abs=4 * 0.5 / np.sqrt(out.size))


def test_black_has_no_photons_and_the_least_level_changes_nothing_visible():
    assert not damaged("poisson-noise", 0, 1.0).any()
    for level in (1e-300, 1e-9):
        assert damaged("poisson-noise", 0.7, level) == pytest.approx(np.float32(0.7), abs=1e-6)


def test_a_pixel_too_bright_at_one_level_is_too_bright_at_all():
    fields = [damaged("poisson-noise", 0.5, level) - 0.5 for level in (0.01, 0.03, 0.1)]
    for low, high in pairwise(fields):
        assert np.corrcoef(low.ravel(), high.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("top", [1.0, 12.0, 13.0, 40.0, 300.0, 1e4, 1e6])
def test_poisson_quantile_is_that_of_scipy(top):
    rng = np.random.default_rng(0)
    mean = rng.uniform(0, top, 4000)
    u = rng.random(4000)
    # Both tails too.
    u[:1000] **= 6
    u[1000:2000] = 1 - u[1000:2000] ** 6
    u = u.clip(1e-12, 1 - 1e-9)
    assert np.array_equal(poisson_quantile(u, mean), poisson.ppf(u, mean))


def test_poisson_quantile_jumps_where_the_distribution_function_does():
    mean = np.repeat([0.5, 3.0, 11.9, 12.1, 60.0], 40)
    k = np.tile(np.arange(40), 5)
    steps = poisson.cdf(k, mean)
    inner = (steps > 1e-8) & (steps < 1 - 1e-6)
    below, above = steps[inner] * (1 - 1e-9), steps[inner] * (1 + 1e-9)
    assert np.array_equal(poisson_quantile(below, mean[inner]), k[inner])
    assert np.array_equal(poisson_quantile(above, mean[inner]), k[inner] + 1)
    assert not poisson_quantile(np.zeros(2), np.array([0.0, 5.0])).any()
