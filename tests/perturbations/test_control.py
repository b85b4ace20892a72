"""The matched control spends the energy of local damage, all of it, everywhere."""

from __future__ import annotations

import numpy as np
import pytest

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet

LOCAL = {
    "boundary-blur": 2.0,
    "lesion-growth": 0.5,
    "lesion-removal": 1.0,
    "lesion-tilt": 0.3,
    "blur": 1.0,
}


@pytest.fixture
def images():
    """Bright lesions in grey tissue before a black background, where half of the noise is cut."""
    y, x = np.indices((64, 64))
    masks = np.stack([np.hypot(y - 30, x - 26 - 4 * i) < 2 * i for i in range(5)]).astype(np.uint8)
    body = np.hypot(y - 32, x - 32) < 28
    rng = np.random.default_rng(0)
    pictures = (0.4 * body + 0.5 * masks) + 0.01 * body * rng.standard_normal((5, 64, 64))
    return ImageSet(pictures[:, None].clip(0, 1).astype(np.float32), masks, subjects=list("aabbc"))


def controlled(images, level, seed=0, **options):
    return perturbations.get("matched-control")(
        images, level, np.random.default_rng(seed), **options
    )


def energy(a, b):
    return np.square(a.images.astype(float) - b.images).sum(axis=(1, 2, 3))


@pytest.mark.parametrize("of", LOCAL)
def test_energy_is_that_of_the_local_damage(images, of):
    out = controlled(images, LOCAL[of], of=of)
    local = perturbations.get(of)(images, LOCAL[of], np.random.default_rng(0))
    assert energy(local, images).max() > 0
    assert energy(out, images) == pytest.approx(energy(local, images), rel=0.01)
    assert np.array_equal(out.masks, images.masks)
    assert np.array_equal(out.subjects, images.subjects)


def test_noise_is_everywhere_and_images_without_a_lesion_have_none(images):
    out = controlled(images, 2.0)
    assert np.array_equal(out.images[0], images.images[0])
    change = (out.images - images.images)[4, 0]
    assert images.masks[4].any()
    for quarter in (change[:32, :32], change[:32, 32:], change[32:, :32], change[32:, 32:]):
        assert np.square(quarter).mean() == pytest.approx(np.square(change).mean(), rel=0.3)


def test_field_is_the_same_at_every_level(images):
    bright = images.replace(images=0.5 * images.images + 0.25)
    a, b = (controlled(bright, level, of="lesion-tilt").images for level in (0.1, 0.2))
    first, second = (x[3:] - bright.images[3:] for x in (a, b))
    scale = (first * second).sum() / np.square(first).sum()
    assert scale == pytest.approx(2, rel=0.02)
    assert np.abs(second - scale * first).max() < 0.05 * np.abs(second).max()
    assert not np.array_equal(a, controlled(bright, 0.1, of="lesion-tilt", seed=1).images)


def test_options_reach_the_local_damage(images):
    @perturbations.register("brighter", range=(0.0, 1.0))
    def brighter(images, level, rng, *, fold=1.0):
        return images.replace(images=np.clip(images.images + level * fold, 0, 1))

    try:
        plain = controlled(images, 0.01, of="brighter")
        fold = controlled(images, 0.01, of="brighter", options={"fold": 2.0})
        assert energy(fold, images) == pytest.approx(4 * energy(plain, images), rel=0.03)
    finally:
        perturbations.unregister("brighter")


def test_more_than_clipping_leaves_room_for_ends_somewhere():
    """Half of white voxels can only be lowered; black for white cannot be matched by noise."""
    masks = np.ones((1, 8, 8), np.uint8)

    @perturbations.register("blacken", range=(0.0, 1.0))
    def blacken(images, level, rng):
        return images.replace(images=np.zeros_like(images.images))

    try:
        out = controlled(ImageSet(np.ones((1, 1, 8, 8), np.float32), masks), 1.0, of="blacken")
        assert 0.3 < np.mean(out.images < 0.01) < 0.7
    finally:
        perturbations.unregister("blacken")


def test_levels_and_names_are_those_of_the_local_damage(images):
    with pytest.raises(ValueError, match="the level of lesion-tilt was 2, must be 0 to 1"):
        controlled(images, 2.0, of="lesion-tilt")
    with pytest.raises(KeyError, match="did you mean 'lesion-growth'"):
        controlled(images, 0.5, of="lesion-grow")
    for of in ("matched-control", "mode-drop"):
        with pytest.raises(ValueError, match=f"of was '{of}', must be a perturbation of single"):
            controlled(images, 0.5, of=of)
    with pytest.raises(ValueError, match="matched-control needs masks"):
        controlled(images.replace(masks=None), 0.5)


def test_energy_is_that_of_damage_that_draws_for_each_image():
    """Which of the bars is interrupted is drawn, and must be drawn alike."""
    masks = np.zeros((4, 64, 64), np.uint8)
    for row in range(8, 60, 10):
        masks[:, row : row + 3, 6:58] = 1
    rng = np.random.default_rng(0)
    widths = rng.uniform(0.3, 0.8, (4, 1, 64, 1))
    pictures = 0.1 + masks[:, None] * widths + 0.01 * rng.standard_normal((4, 1, 64, 64))
    bars = ImageSet(pictures.clip(0, 1).astype(np.float32), masks)
    local = perturbations.get("gaps")(bars, 0.4, np.random.default_rng(5))
    found = energy(controlled(bars, 0.4, seed=5, of="gaps"), bars)
    assert np.ptp(energy(local, bars)) > 0.1
    assert found == pytest.approx(energy(local, bars), rel=0.01)
