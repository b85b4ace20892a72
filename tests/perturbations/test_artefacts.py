"""Blur against the Gaussian profile."""

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
