"""Blur against the Gaussian profile, the bias field against its extremes, gamma as a power law."""

from __future__ import annotations

import numpy as np
import pytest

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet


def blurred(images, level):
    out = perturbations.get("blur")(ImageSet(images), level, np.random.default_rng(0))
    return out.images


@pytest.mark.parametrize("level", [1.0, 2.5])
def test_point_becomes_a_gaussian(level):
    point = np.zeros((1, 1, 41, 41), np.float32)
    point[..., 20, 20] = 1
    radius = np.arange(41) - 20
    profile = np.exp(-(radius**2) / (2 * level**2))
    expected = np.outer(profile, profile) / profile.sum() ** 2
    assert blurred(point, level)[0, 0] == pytest.approx(expected, abs=1e-4)


def test_point_spreads_along_every_axis_of_a_volume_but_not_over_images_or_channels():
    points = np.zeros((2, 2, 15, 15, 15), np.float32)
    points[0, 0, 7, 7, 7] = 1
    out = blurred(points, 1.0)
    assert out[0, 0, 7, 7, 5] == out[0, 0, 7, 5, 7] == out[0, 0, 5, 7, 7] > 0.001
    assert not out[1].any()
    assert not out[0, 1].any()


@pytest.mark.parametrize("level", [0.5, 3.0, 20.0])
def test_constant_image_is_unchanged_up_to_its_edges(level):
    out = blurred(np.full((1, 1, 16, 16), 0.7, np.float32), level)
    assert out == pytest.approx(np.full_like(out, 0.7), abs=1e-6)


def test_blur_composes_like_variances():
    image = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    twice = blurred(blurred(image, 3.0), 4.0)[..., 24:40, 24:40]
    assert twice == pytest.approx(blurred(image, 5.0)[..., 24:40, 24:40], abs=2e-3)


def damaged(name, images, level, seed=0):
    return perturbations.get(name)(ImageSet(images), level, np.random.default_rng(seed)).images


@pytest.mark.parametrize("spatial", [(40, 48), (12, 16, 20)])
@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
def test_bias_field_has_exactly_the_stated_extremes(spatial, level):
    out = damaged("bias-field", np.full((3, 1, *spatial), 0.4, np.float32), level) / 0.4
    axes = tuple(range(1, out.ndim))
    assert out.min(axis=axes) == pytest.approx(np.full(3, 1 - level), abs=1e-5)
    assert out.max(axis=axes) == pytest.approx(np.full(3, 1 + level), abs=1e-5)


@pytest.mark.parametrize("spatial", [(40, 48), (12, 16, 20)])
def test_bias_field_is_a_polynomial_of_degree_three_that_scales_with_the_level(spatial):
    flat = np.full((2, 1, *spatial), 0.4, np.float32)
    field = damaged("bias-field", flat, 0.5).astype(np.float64)
    for axis in range(2, field.ndim):
        # Fourth differences of a cubic are 0; its second differences are not.
        assert np.abs(np.diff(field, 4, axis=axis)).max() < 2e-6
        assert np.abs(np.diff(field, 2, axis=axis)).max() > 1e-5
    low = damaged("bias-field", flat, 0.1)
    assert field - 0.4 == pytest.approx(5 * (low - 0.4), abs=2e-6)
    assert not np.allclose(field[0], field[1], atol=0.05)


@pytest.mark.parametrize("spatial", [(16, 16), (6, 8, 8)])
@pytest.mark.parametrize("level", [0.2, 0.7])
def test_gamma_is_a_power_law_in_either_direction(spatial, level):
    images = np.random.default_rng(0).random((20, 1, *spatial), np.float32)
    axes = tuple(range(1, images.ndim))
    low, high = images.min(axis=axes, keepdims=True), images.max(axis=axes, keepdims=True)
    out = damaged("gamma", images, level)
    unit = ((images - low) / (high - low)).astype(np.float64)
    darker, brighter = (low + (high - low) * unit ** np.exp(sign * level) for sign in (1, -1))
    is_darker = np.isclose(out, darker, atol=1e-5).all(axis=axes)
    is_brighter = np.isclose(out, brighter, atol=1e-5).all(axis=axes)
    assert (is_darker ^ is_brighter).all()
    assert 4 <= is_darker.sum() <= 16


def test_gamma_leaves_black_white_and_uniform_images():
    images = np.random.default_rng(0).random((2, 1, 16, 16), np.float32)
    images[0, 0, 0, 0], images[0, 0, 0, 1] = 0, 1
    images[1] = 0.3
    out = damaged("gamma", images, 0.7)
    assert out[0, 0, 0, :2] == pytest.approx([0, 1], abs=1e-6)
    assert out[1] == pytest.approx(images[1], abs=1e-6)
