"""Lesions grow, shrink, move, vanish and tilt; nothing else changes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.lesion import REACH, RIM, radius

SIGMA = 0.01
SHAPES = [(96, 96), (40, 44, 44)]
MOVES = ["lesion-growth", "lesion-shrinkage", "lesion-displacement"]
LEVELS = dict.fromkeys(MOVES, (0.1, 0.4, 0.8)) | {
    "lesion-removal": (0.5, 1.0),
    "lesion-tilt": (0.1, 0.3, 0.5),
}
RADIUS = {2: 9, 3: 5}


def away(shape, centre):
    at = np.moveaxis(np.indices(shape), 0, -1)
    return np.linalg.norm(at - np.array(centre), axis=-1)


def pictures(shape, n=4):
    """A smooth body with noise in it; no lesion; then one with a core; then two."""
    middle = np.array(shape) / 2
    r = RADIUS[len(shape)]
    rng = np.random.default_rng(0)
    body = np.clip(0.46 * min(shape) - away(shape, middle), 0, 1)
    masks = np.zeros((n, *shape), np.uint8)
    for i in range(1, n):
        spot = middle.copy()
        spot[-1] += 2 if i == 1 else -r - 3
        masks[i][away(shape, spot) <= r] = 2
        masks[i][away(shape, spot) <= r / 2] = 1
        if i > 1:
            spot[-1] += 2 * r + 8
            masks[i][away(shape, spot) <= 0.7 * r] = 2
    patches = np.stack([ndimage.gaussian_filter(rng.standard_normal(shape), 3) for _ in masks])
    images = (0.4 + 0.05 * patches / patches.std() + 0.3 * (masks > 0) - 0.2 * (masks == 1)) * body
    noise = SIGMA * rng.standard_normal(images.shape)
    return ImageSet(
        np.clip(images + noise, 0, 1)[:, None].astype(np.float32),
        masks,
        subjects=[f"s{i // 2}" for i in range(n)],
    )


@pytest.fixture(scope="module", params=SHAPES, ids=["2-D", "3-D"])
def images(request):
    return pictures(request.param)


def damaged(name, images, level, seed=0):
    return perturbations.get(name)(images, level, np.random.default_rng(seed))


def from_outline(mask):
    return ndimage.distance_transform_edt(mask == 0)


@pytest.mark.parametrize("name", LEVELS)
def test_outside_the_band_every_bit_stays_and_inside_not(images, name):
    level = LEVELS[name][1]
    out = damaged(name, images, level)
    own = radius(int((images.masks[1] > 0).sum()), images.images.ndim - 2)
    band = {"lesion-removal": RIM, "lesion-tilt": 0}.get(name, level * (own + 1) + REACH * own)
    for i in (1, 2, 3):
        far = from_outline(images.masks[i]) > band
        assert far.any()
        assert np.array_equal(out.images[i, 0][far], images.images[i, 0][far])
        assert np.array_equal(out.masks[i][far], images.masks[i][far])
        near = images.masks[i] > 0
        assert (out.images[i, 0][near] != images.images[i, 0][near]).mean() > 0.5


@pytest.mark.parametrize("name", LEVELS)
def test_images_without_a_lesion_come_back_as_they_were(images, name):
    out = damaged(name, images, LEVELS[name][-1])
    assert np.array_equal(out.images[0], images.images[0])
    healthy = images.replace(masks=np.zeros_like(images.masks))
    assert damaged(name, healthy, LEVELS[name][-1]).fingerprint() == healthy.fingerprint()


@pytest.mark.parametrize("name", LEVELS)
def test_more_is_worse(images, name):
    change = [
        np.square(damaged(name, images, level).images - images.images).sum()
        for level in LEVELS[name]
    ]
    assert change[0] > 0
    assert all(a < b for a, b in pairwise(change))


@pytest.mark.parametrize(("name", "sign"), [("lesion-growth", 1), ("lesion-shrinkage", -1)])
@pytest.mark.parametrize("level", [0.2, 0.5, 0.8])
def test_radius_changes_by_the_level(images, name, sign, level):
    out = damaged(name, images, level)
    ndim = images.images.ndim - 2
    for label in (1, 2):
        before, after = ((m.masks[1] >= label).sum() for m in (images, out))
        # Half a voxel on the outline, of the core as of the whole.
        assert radius(int(after), ndim) == pytest.approx(
            (1 + sign * level) * radius(int(before), ndim), abs=0.5
        )
    middle = ndimage.center_of_mass(images.masks[1] > 0)
    assert ndimage.center_of_mass(out.masks[1] > 0) == pytest.approx(middle, abs=0.5)


@pytest.mark.parametrize("name", MOVES)
def test_picture_and_mask_move_together(images, name):
    """Where the mask says lesion afterwards, the brightness is that of a lesion."""
    out = damaged(name, images, 0.4)
    bright = ndimage.gaussian_filter(out.images[1, 0], 0.7) > 0.55
    outline = ndimage.binary_dilation(out.masks[1] == 2) & (out.masks[1] == 0)
    rim = (out.masks[1] == 2) & (ndimage.distance_transform_edt(out.masks[1] == 2) > 1)
    assert bright[rim].mean() > 0.95
    beyond = ndimage.binary_dilation(outline, iterations=2) & (from_outline(out.masks[1]) > 2)
    assert bright[beyond].mean() < 0.1


@pytest.mark.parametrize("level", [0.3, 1.0])
def test_displacement_is_the_share_of_the_radius(images, level):
    out = damaged("lesion-displacement", images, level)
    # Labels move by whole voxels.
    before, after = (np.array(ndimage.center_of_mass(m.masks[1] > 0)) for m in (images, out))
    own = radius(int((images.masks[1] > 0).sum()), len(before))
    assert np.linalg.norm(after - before) == pytest.approx(
        level * own, abs=0.5 * np.sqrt(len(before))
    )
    assert (out.masks[1] > 0).sum() == pytest.approx((images.masks[1] > 0).sum(), rel=0.1)


def test_slices_of_a_subject_move_in_one_direction():
    images = pictures((96, 96)).replace(subjects=None)
    images = images[[1, 1, 1, 1]]
    own = shifts_of(images, damaged("lesion-displacement", images, 1.0))
    assert len(np.unique(own.round(), axis=0)) == 4
    images = images.replace(subjects=["a", "a", "b", "b"])
    shared = shifts_of(images, damaged("lesion-displacement", images, 1.0))
    assert np.array_equal(shared[0], shared[1])
    assert np.array_equal(shared[2], shared[3])
    assert not np.allclose(shared[0], shared[2], atol=1)


def shifts_of(images, out):
    before, after = (
        np.array([ndimage.center_of_mass(m > 0) for m in s.masks]) for s in (images, out)
    )
    return after - before


def test_displaced_lesions_stay_within_the_body():
    """Near the edge of a body, of the directions drawn those along it are taken."""
    shape = (96, 96)
    mask = (away(shape, (48, 15)) <= 8).astype(np.uint8)
    body = np.clip(43 - away(shape, (48, 48)), 0, 1)
    picture = ((0.4 + 0.3 * mask) * body).astype(np.float32)
    images = ImageSet(np.repeat(picture[None, None], 12, 0), np.repeat(mask[None], 12, 0))
    out = damaged("lesion-displacement", images, 1.0)
    assert all((body[m > 0] > 0.5).mean() > 0.9 for m in out.masks)
    sideways = np.abs(shifts_of(images, out)) @ [-1, 1]
    assert (sideways < 2).mean() > 0.8


@pytest.mark.parametrize("name", MOVES)
def test_outline_of_the_body_stays(name):
    shape = (96, 96)
    mask = (away(shape, (48, 18)) <= 9).astype(np.uint8)
    body = away(shape, (48, 48)) < 42
    mask[~body] = 0
    picture = ((0.4 + 0.3 * mask) * body).astype(np.float32)
    out = damaged(name, ImageSet(picture[None, None], mask[None]), 0.8)
    # What is beyond counts as background from where even a smoothed image is dark.
    beyond = ~ndimage.binary_dilation(body, iterations=3)
    assert np.array_equal(out.images[0, 0][beyond], picture[beyond])
    assert not out.masks[0][beyond].any()
    inner = ndimage.binary_erosion(body, iterations=3)
    assert out.images[0, 0][inner].min() > 0.3
    assert out.masks[0].any()


def test_removed_lesions_leave_no_trace(images):
    """Neither brightness nor noise tells where a lesion was, and no rim is left."""
    out = damaged("lesion-removal", images, 1.0)
    assert not out.masks.any()
    for i in (1, 2, 3):
        hole = from_outline(images.masks[i]) <= RIM
        around = (from_outline(images.masks[i]) <= 12) & ~hole
        middle = np.array(images.spatial) / 2
        inner = away(images.spatial, middle) < 0.46 * min(images.spatial) - 3
        # The edge of the body is no noise.
        around, hole = around & inner, hole & inner
        found = out.images[i, 0]
        smooth = ndimage.gaussian_filter(found, 1)
        assert smooth[hole].max() < smooth[around].max() + 0.06
        assert smooth[hole].min() > 0.2
        assert found[hole].mean() == pytest.approx(found[around].mean(), abs=0.06)
        fine = found - ndimage.gaussian_filter(found, 1.5)
        assert fine[hole].std() == pytest.approx(fine[around].std(), rel=0.2)
        edge = np.abs(from_outline(images.masks[i]) - RIM) <= 1.5
        edge &= inner
        assert fine[edge].std() == pytest.approx(fine[around].std(), rel=0.35)


def test_removed_lesion_is_painted_with_the_other_side():
    """A pattern that both sides share comes back under the lesion."""
    y, x = np.indices((96, 96))
    x = np.abs(x - 47.5)
    pattern = 0.4 + 0.1 * np.sin(x / 3) * np.sin(y / 4)
    noise = SIGMA * np.random.default_rng(0).standard_normal((96, 96))
    mask = (away((96, 96), (50, 26)) <= 10).astype(np.uint8)
    images = ImageSet((pattern + noise + 0.3 * mask)[None, None].astype(np.float32), mask[None])
    found = damaged("lesion-removal", images, 1.0).images[0, 0]
    inside = mask > 0
    assert np.corrcoef(found[inside], pattern[inside])[0, 1] > 0.95
    assert np.abs(ndimage.gaussian_filter(found - pattern, 1)[inside]).max() < 0.05


def test_lesions_across_the_middle_and_lesions_that_fill_the_image():
    """No clean donor lies opposite, or there is nothing at all to copy."""
    rng = np.random.default_rng(0)
    masks = np.zeros((3, 64, 64), np.uint8)
    masks[0, 16:48, 10:54] = 1
    masks[1, 5:60, 5:60] = 1
    masks[2] = 1
    pictures = 0.4 + 0.3 * masks + SIGMA * rng.standard_normal(masks.shape)
    images = ImageSet(pictures[:, None].astype(np.float32), masks)
    out = damaged("lesion-removal", images, 1.0)
    for i in (0, 1):
        assert ndimage.gaussian_filter(out.images[i, 0], 2).max() < 0.45
        assert out.images[i, 0].std() == pytest.approx(SIGMA, rel=0.3)
    assert np.array_equal(out.images[2], images.images[2])
    assert not out.masks.any()


def test_removal_is_nested_and_by_subject():
    images = pictures((96, 96))[[1] * 20]
    images = images.replace(subjects=[f"s{i // 2}" for i in range(20)])
    gone = [
        ~damaged("lesion-removal", images, level).masks.any(axis=(1, 2))
        for level in (0.1, 0.25, 0.5, 1.0)
    ]
    assert [int(g.sum()) for g in gone] == [2, 6, 10, 20]
    assert all((a <= b).all() for a, b in pairwise(gone))
    assert all(np.array_equal(g[::2], g[1::2]) for g in gone)
    single = damaged("lesion-removal", images.replace(subjects=None), 0.25)
    assert (~single.masks.any(axis=(1, 2))).sum() == 5


def test_tilt_is_a_ramp_of_mean_zero(images):
    mask = images.masks
    flat = ImageSet(np.full(images.images.shape, 0.5, np.float32), mask)
    out = damaged("lesion-tilt", flat, 0.4)
    inside = mask[1] > 0
    change = out.images[1, 0] / 0.5 - 1
    assert not change[~inside].any()
    assert change[inside].mean() == pytest.approx(0, abs=1e-6)
    assert 0.2 < change.max() <= 0.45
    assert -0.45 <= change.min() < -0.2
    outline = inside & (ndimage.distance_transform_edt(inside) <= 1)
    assert np.abs(change[outline]).max() < 0.4 * 0.2
    deep = ndimage.distance_transform_edt(inside) > 3
    at = np.argwhere(deep)
    slope, rest, *_ = np.linalg.lstsq(
        np.column_stack([at, np.ones(len(at))]), change[deep], rcond=None
    )
    assert np.linalg.norm(slope[:-1]) == pytest.approx(0.4 / RADIUS[inside.ndim], rel=0.1)
    assert float(rest[0]) < 1e-9
    assert np.array_equal(out.masks, mask)


def test_brightness_is_clipped():
    mask = (away((48, 48), (24, 24)) <= 10).astype(np.uint8)
    out = damaged("lesion-tilt", ImageSet(np.full((1, 1, 48, 48), 0.95), mask[None]), 0.5)
    assert out.images.max() == 1


def test_specks_and_lines_are_lesions_too():
    masks = np.zeros((2, 40, 40), np.uint8)
    masks[0, 20, 20] = 1
    masks[1, 20, 10:24] = 1
    images = ImageSet(0.4 + 0.3 * masks[:, None].astype(np.float32), masks)
    for name in LEVELS:
        out = damaged(name, images, LEVELS[name][-1])
        assert np.isfinite(out.images).all()
    grown = damaged("lesion-growth", images, 1.0).masks
    assert (grown[0] > 0).any()
    assert (grown[1] > 0).any(axis=0).sum() == pytest.approx(28, abs=2)


def test_every_channel_moves():
    images = pictures((96, 96))
    two = images.replace(images=np.repeat(images.images, 2, axis=1))
    for name in LEVELS:
        out = damaged(name, two, LEVELS[name][-1]).images
        # Where no donor is found, each channel has its own noise.
        slack = 8 * SIGMA if name == "lesion-removal" else 0
        assert np.abs(out[:, 0] - out[:, 1]).max() <= slack
