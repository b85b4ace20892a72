"""The boundary of lesions is damaged, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.lesion import BAND


def disc(radius=12, size=64):
    y, x = np.indices((size, size))
    return ((y - size // 2) ** 2 + (x - size // 2) ** 2 <= radius**2).astype(np.uint8)


def distance(mask):
    """Pixels from the nearest pixel that touches another label."""
    edge = np.zeros(mask.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            edge |= np.roll(mask, (dy, dx), (0, 1)) != mask
    return ndimage.distance_transform_edt(~edge)


@pytest.fixture
def images():
    """Noise; noise with a bright disc; noise with a disc in a ring."""
    masks = np.stack([np.zeros((64, 64), np.uint8), disc(), disc(20) + disc(8)])
    noise = np.random.default_rng(0).random((3, 1, 64, 64), np.float32)
    return ImageSet(0.3 * noise + 0.3 * masks[:, None].astype(np.float32), masks)


def blurred(images, level):
    return perturbations.get("boundary-blur")(images, level, np.random.default_rng(0))


@pytest.mark.parametrize("level", [0.5, 2.0, 16.0])
def test_outside_the_band_pixels_are_bit_identical_and_inside_they_change(images, level):
    out = blurred(images, level)
    for before, after, mask in zip(
        images.images[1:], out.images[1:], images.masks[1:], strict=True
    ):
        far = distance(mask)
        assert np.array_equal(before[:, far >= BAND], after[:, far >= BAND])
        near = far < BAND - 1
        assert (before[:, near] != after[:, near]).mean() > 0.9


def test_images_without_a_lesion_come_back_as_they_were(images):
    out = blurred(images, 8.0)
    assert np.array_equal(out.images[0], images.images[0])
    assert np.array_equal(out.masks, images.masks)


def test_outlines_between_labels_count(images):
    """The disc of label 2 lies deeper inside label 1 than the band is wide."""
    change = np.abs(blurred(images, 2.0).images - images.images)[2, 0]
    inner = distance(disc(8)) < 2
    assert distance(disc(20))[inner].min() > BAND
    assert change[inner].max() > 0.1


def test_outline_itself_is_blurred_in_full(images):
    out = blurred(images, 3.0)
    full = ndimage.gaussian_filter(images.images[1, 0], 3.0, mode="nearest")
    edge = distance(images.masks[1]) == 0
    assert out.images[1, 0][edge] == pytest.approx(full[edge], abs=1e-6)


def test_there_is_no_seam_at_the_edge_of_the_band():
    y, x = np.indices((64, 64))
    picture = (0.2 + 0.004 * x + 0.002 * y + 0.3 * disc()).astype(np.float32)
    images = ImageSet(picture[None, None], disc()[None])
    inside = distance(disc()) < BAND

    def jump(image):
        """The largest step between neighbours of which one is in the band."""
        return max(
            np.abs(np.diff(image, axis=axis))[np.diff(inside, axis=axis)].max() for axis in (0, 1)
        )

    def change(level):
        return blurred(images, level).images[0, 0] - picture

    assert jump(picture + change(2.0)) <= jump(picture) * 1.05
    # So much blur reaches far beyond the band, and a band of weight 1 throughout would show.
    assert jump(change(8.0)) < 0.1 * np.abs(change(8.0)).max()
    hard = np.where(inside, ndimage.gaussian_filter(picture, 8.0, mode="nearest") - picture, 0)
    assert jump(hard) > 0.5 * np.abs(hard).max()


def test_more_blur_takes_more_of_the_edge():
    images = ImageSet((0.2 + 0.5 * disc())[None, None].astype(np.float32), disc()[None])
    steps = [
        np.abs(np.diff(blurred(images, level).images[0, 0, 32])).max()
        for level in (0.0, 1.0, 2.0, 4.0)
    ]
    assert all(a > b for a, b in pairwise(steps))
    assert steps[0] == pytest.approx(0.5)


def test_every_channel_is_blurred_and_volumes_have_a_band_in_depth():
    mask = np.zeros((1, 24, 24, 24), np.uint8)
    mask[:, 9:15, 9:15, 9:15] = 1
    image = np.repeat(mask[:, None] * np.float32(0.5), 2, axis=1)
    out = blurred(ImageSet(image, mask), 2.0).images
    assert np.array_equal(out[:, 0], out[:, 1])
    assert out[0, 0, 8, 12, 12] > 0.05
    assert not out[0, 0, 0].any()
