"""Anatomy and masks move by what the level says, and noise stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.geometry import (
    elastic_field,
    rotation_field,
    structure_of,
    warp,
    warp_labels,
)


def damaged(name, images, level, seed=0):
    return perturbations.get(name)(images, level, np.random.default_rng(seed))


def noise(*shape, sigma=0.02, seed=0):
    return np.random.default_rng(seed).normal(0.5, sigma, shape).astype(np.float32)


def ball(spatial, radius, centre=None):
    centre = [(s - 1) / 2 for s in spatial] if centre is None else centre
    axes = np.ogrid[tuple(slice(0, s) for s in spatial)]
    return sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("spatial", [(48, 64), (12, 24, 32)])
def test_elastic_field_has_an_rms_length_of_one_and_is_smooth(spatial):
    field = elastic_field(spatial, np.random.default_rng(0))
    assert field.shape == (len(spatial), *spatial)
    assert np.sqrt((field**2).sum(axis=0).mean()) == pytest.approx(1)
    for axis in range(1, field.ndim):
        step = np.diff(field, axis=axis)
        # Control points are a sixth of the longest axis apart.
        assert np.sqrt((step**2).sum(axis=0).mean()) < 2 * 6 / max(spatial)
        # A cubic spline bends, but has no kinks.
        assert np.abs(np.diff(step, axis=axis)).max() < 12 * (6 / max(spatial)) ** 2


@pytest.mark.parametrize("level", [0.5, 2.0, 8.0])
def test_elastic_leaves_the_power_spectrum_of_noise(level):
    before = noise(16, 1, 96, 96)
    after = damaged("elastic", ImageSet(before), level).images
    power = [np.abs(np.fft.fft2(i - 0.5)) ** 2 for i in (before, after)]
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(96), np.fft.fftfreq(96)))
    ring = (frequency / 0.05).astype(int)
    share = [power[1][..., ring == k].sum() / power[0][..., ring == k].sum() for k in range(10)]
    assert share[1:] == pytest.approx(np.ones(9), abs=0.04)
    # Waves longer than a window of `structure_of` move, and lose power to the part that stays.
    assert share[0] == pytest.approx(1, abs=0.25)
    # Without the split, cubic splines take a good part of the highest frequencies.
    field = level * elastic_field((96, 96), np.random.default_rng(0))
    plain = ndimage.map_coordinates(before[0, 0], np.indices((96, 96)) + field, mode="mirror")
    top = (np.abs(np.fft.fft2(plain - 0.5)) ** 2)[ring >= 8].sum() / power[0][0, 0, ring >= 8].sum()
    assert top < 0.8


@pytest.mark.parametrize(("spatial", "radius"), [((64, 64), 18), ((28, 32, 32), 9)])
@pytest.mark.parametrize("sigma", [0.0, 0.02])
def test_elastic_moves_anatomy_and_mask_together(spatial, radius, sigma):
    mask = np.repeat(ball(spatial, radius)[None], 4, axis=0)
    smooth = ndimage.gaussian_filter(mask[:, None].astype(float), (0, 0, *[0.7] * len(spatial)))
    images = 0.2 + 0.5 * smooth + noise(4, 1, *spatial, sigma=sigma) - 0.5
    out = damaged("elastic", ImageSet(images, mask.astype(np.uint8)), 3.0)
    for i in range(4):
        seen = out.images[i, 0] > 0.45
        assert dice(seen, out.masks[i] > 0) > 0.93
        assert dice(out.masks[i] > 0, mask[i]) < 0.925
    assert not np.array_equal(out.masks[0], out.masks[1])


def test_warp_takes_from_x_plus_displacement():
    y, x = np.indices((40, 40))
    image = (0.8 * np.exp(-((y - 18) ** 2 + (x - 22) ** 2) / 32)).astype(np.float32)
    displacement = np.zeros((2, 40, 40))
    displacement[0], displacement[1] = -3, 2
    expected = np.roll(image, (3, -2), (0, 1))
    assert warp(image, displacement) == pytest.approx(expected, abs=2e-3)
    labels = (image > 0.4).astype(np.uint8)
    assert np.array_equal(warp_labels(labels, displacement), (expected > 0.4).astype(np.uint8))


def test_warp_of_half_a_pixel_follows_a_smooth_curve():
    x = np.arange(64)
    wave = np.broadcast_to(0.5 + 0.3 * np.sin(2 * np.pi * x / 16), (64, 64)).astype(np.float32)
    displacement = np.zeros((2, 64, 64))
    displacement[1] = 0.5
    expected = 0.5 + 0.3 * np.sin(2 * np.pi * (x + 0.5) / 16)
    assert warp(wave, displacement)[32, 6:-6] == pytest.approx(expected[6:-6], abs=1e-3)


@pytest.mark.parametrize("spatial", [(64, 64), (20, 32, 32)])
def test_structure_takes_noise_off_flat_ground_and_leaves_an_image_without_noise(spatial):
    flat = noise(*spatial)
    # What is left are the means of the windows, whose SD falls with their size.
    assert structure_of(flat).std() < 0.1 * flat.std()
    clean = ndimage.gaussian_filter(ball(spatial, 9).astype(np.float32), 1.5)
    assert structure_of(clean) == pytest.approx(clean, abs=5e-3)
    assert not structure_of(np.zeros(spatial, np.float32)).any()


def test_structure_keeps_edges_out_of_the_noise():
    edges = 0.2 + 0.3 * ndimage.gaussian_filter(ball((64, 64), 18).astype(np.float32), 0.7)
    rest = [
        edges + grain - structure_of((edges + grain).astype(np.float32)) - grain
        for grain in noise(10, 64, 64) - 0.5
    ]
    # The part of the edge that stays behind, noise averaged out, against the edge itself.
    assert np.abs(np.mean(rest, axis=0)).max() < 0.25 * 0.3
    assert np.mean(rest, axis=0).std() < 0.07 * edges.std()


@pytest.mark.parametrize("degrees", [5.0, -90.0])
@pytest.mark.parametrize("depth", [(), (3,)])
def test_rotation_field_turns_slices_around_their_centre(degrees, depth):
    field = rotation_field((*depth, 41, 41), degrees)
    mask = np.broadcast_to(ball((41, 41), 4, (20, 32)), (*depth, 41, 41)).astype(np.uint8)
    moved = warp_labels(mask, field)
    angle = np.deg2rad(degrees)
    # What is shown at x comes from x turned by the angle, so the disc goes the other way.
    at = ndimage.center_of_mass(moved)[-2:]
    assert at == pytest.approx((20 + 12 * np.sin(angle), 20 + 12 * np.cos(angle)), abs=0.3)
    if depth:
        assert not field[0].any()


@pytest.mark.parametrize("spatial", [(16, 20), (5, 16, 20)])
def test_translation_moves_pixels_unchanged_in_four_directions(spatial):
    images = ImageSet(
        noise(24, 2, *spatial), np.random.default_rng(1).integers(0, 4, (24, *spatial))
    )
    out = damaged("translation", images, 3.0)
    directions = set()
    for before, after, old, new in zip(
        images.images, out.images, images.masks, out.masks, strict=True
    ):
        for axis in (-2, -1):
            size = before.shape[axis]
            front, back = np.arange(size - 3), np.arange(3, size)
            for source, target in ((front, back), (back, front)):
                if np.array_equal(after.take(target, axis), before.take(source, axis)):
                    directions.add((axis, int(target[0])))
                    assert np.array_equal(new.take(target, axis), old.take(source, axis))
                    # What comes in is the image mirrored at its edge.
                    edge = np.arange(3) if target[0] else np.arange(size - 3, size)
                    assert np.array_equal(after.take(edge, axis), before.take(edge[::-1], axis))
                    break
    assert len(directions) == 4


def test_every_image_is_translated_by_the_whole_level():
    point = np.zeros((12, 1, 33, 33), np.float32)
    point[..., 16, 16] = 1
    out = damaged("translation", ImageSet(point), 7.0).images
    places = np.argwhere(out[:, 0] == 1)
    assert len(places) == 12
    assert (np.abs(places[:, 1:] - 16).sum(axis=1) == 7).all()


@pytest.mark.parametrize("level", [0.5, 1.25])
def test_parts_of_a_pixel_are_refused(level):
    with pytest.raises(
        ValueError, match=f"translation was {level:g}, must be a whole number of px"
    ):
        damaged("translation", ImageSet(noise(1, 1, 8, 8)), level)


def test_images_without_masks_stay_without():
    for name in ("elastic", "translation"):
        assert damaged(name, ImageSet(noise(2, 1, 16, 16)), 1.0).masks is None
