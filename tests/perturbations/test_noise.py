"""Noise has the moments that its formula gives, and one field for all levels."""

from __future__ import annotations

import numpy as np
import pytest

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet

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
