"""Vessels of known course and diameter, narrowed, widened, interrupted or cut off."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.vessel import REACH, RIM
from nriqm_bench.vessels import segments

GROUND, BRIGHT, SIGMA = 0.2, 0.8, 0.01
LEVELS = {
    "stenosis": (0.2, 0.5, 0.8),
    "dilation": (0.2, 0.5, 0.8),
    "missing-branches": (0.3, 0.6, 1.0),
    "gaps": (0.3, 0.6, 1.0),
}


def tube(shape, start, end, radius, tip=None):
    """Share of each voxel that a straight tube (tapered to `tip`, round ends) covers, about."""
    at = np.moveaxis(np.indices(shape), 0, -1).astype(float)
    start, end = np.array(start, float), np.array(end, float)
    axis = end - start
    along = np.clip((at - start) @ axis / (axis @ axis), 0, 1)
    away = np.linalg.norm(at - start - along[..., None] * axis, axis=-1)
    return np.clip(radius + ((tip or radius) - radius) * along - away + 0.5, 0, 1)


def picture(covered, sigma=0.0, seed=0):
    noise = sigma * np.random.default_rng(seed).standard_normal(covered.shape)
    image = GROUND + (BRIGHT - GROUND) * covered + noise
    masks = (covered >= 0.5).astype(np.uint8)
    return ImageSet(np.clip(image, 0, 1)[None, None].astype(np.float32), masks[None])


def trees():
    """A trunk from the frame that parts into branches and twigs."""
    shape = (96, 128)
    parts = [
        tube(shape, (48, 0), (50, 50), 6, 5),
        tube(shape, (50, 50), (20, 100), 4, 3),
        tube(shape, (50, 50), (76, 90), 3.5, 2.5),
        tube(shape, (76, 90), (70, 122), 2),
        tube(shape, (76, 90), (90, 116), 2),
        tube(shape, (38, 70), (12, 66), 2),
    ]
    return picture(np.maximum.reduce(parts), SIGMA)


def volume():
    shape = (36, 48, 72)
    parts = [
        tube(shape, (18, 24, 0), (18, 24, 36), 4),
        tube(shape, (18, 24, 36), (28, 12, 64), 2),
        tube(shape, (18, 24, 36), (10, 36, 66), 2),
    ]
    return picture(np.maximum.reduce(parts), SIGMA)


@pytest.fixture(scope="module", params=[trees, volume], ids=["2-D", "3-D"])
def images(request):
    return request.param()


def damaged(name, images, level, seed=0, **options):
    return perturbations.get(name)(images, level, np.random.default_rng(seed), **options)


def width(image, column):
    """Diameter of the lumen that crosses a column: the light in it, by area."""
    light = (image[..., column] - GROUND).sum() / (BRIGHT - GROUND)
    return light if image.ndim == 2 else 2 * np.sqrt(light / np.pi)


@pytest.mark.parametrize("radius", [3.0, 4.5])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    ("name", "factor"),
    [("stenosis", 0.75), ("stenosis", 0.5), ("stenosis", 0.2), ("dilation", 1.3), ("dilation", 2)],
)
def test_diameter_in_the_middle_is_what_the_level_says(name, factor, radius, ndim):
    shape = (64, 101) if ndim == 2 else (48, 48, 61)
    middle = [s / 2 - 0.3 for s in shape[:-1]]
    covered = tube(shape, (*middle, 0), (*middle, shape[-1] - 1), radius)
    images = picture(covered)
    before = images.images[0, 0]
    after = damaged(name, images, abs(factor - 1), count=1).images[0, 0]
    throat = shape[-1] // 2
    expected = factor * width(before, throat)
    assert width(after, throat) == pytest.approx(expected, rel=0.05, abs=0.35)
    # A raised cosine three diameters long: half the change at a quarter of it from its middle.
    flank = throat + round(1.5 * radius)
    assert width(after, flank) == pytest.approx(
        (1 + (factor - 1) / 2) * width(before, flank), abs=0.6
    )
    end = throat + round(3 * radius) + 2
    assert np.array_equal(after[..., end:], before[..., end:])
    mask = damaged(name, images, abs(factor - 1), count=1).masks[0]
    across = np.count_nonzero(mask[..., throat])
    across = across if ndim == 2 else 2 * np.sqrt(across / np.pi)
    assert across == pytest.approx(factor * 2 * radius, abs=1.1)


def test_narrow_throats_are_faint():
    """Less than a voxel of lumen is less than a voxel's brightness."""
    images = picture(tube((64, 101), (31.7, 0), (31.7, 100), 3))
    throats = [damaged("stenosis", images, level).images[0, 0, :, 50] for level in (0.7, 0.9)]
    assert throats[0].max() > throats[1].max()
    assert throats[1].max() < 0.85 * BRIGHT
    assert throats[1].sum() > GROUND * 64 + 0.2 * (BRIGHT - GROUND)


def test_oblique_and_curved_vessels_narrow_too():
    y, x = np.indices((96, 96))
    ring = np.clip(4.5 - np.abs(np.hypot(y - 90, x - 48) - 55), 0, 1)
    images = picture(ring)
    after = damaged("stenosis", images, 0.6, count=1).images[0, 0]
    light = [(i[20:50, 48] - GROUND).sum() for i in (images.images[0, 0], after)]
    assert light[1] / light[0] == pytest.approx(0.4, abs=0.07)
    oblique = picture(tube((96, 96), (10, 0), (85, 95), 4))
    after = damaged("stenosis", oblique, 0.6, count=1).images[0, 0]
    lost = ((oblique.images[0, 0] - after).sum(axis=0) / (BRIGHT - GROUND))[40:56].max()
    assert lost == pytest.approx(0.6 * 8 * np.hypot(75, 95) / 95, rel=0.15)


@pytest.mark.parametrize("name", LEVELS)
def test_outside_the_band_every_bit_stays(images, name):
    level = LEVELS[name][1]
    out = damaged(name, images, level)
    changed = out.images[0, 0] != images.images[0, 0]
    vessel = images.masks[0] > 0
    gap = ndimage.distance_transform_edt(~vessel)
    widest = max(s.radius.max() for s in segments(images.masks[0]))
    band = (REACH - 1) * (widest + 1.25) + 1 if name in ("stenosis", "dilation") else RIM
    assert changed.any()
    assert gap[changed].max() <= band
    assert changed[vessel].mean() < 0.6


@pytest.mark.parametrize("name", LEVELS)
def test_images_without_a_vessel_come_back_as_they_were(images, name):
    bare = images.replace(masks=np.zeros_like(images.masks))
    assert damaged(name, bare, LEVELS[name][-1]).fingerprint() == bare.fingerprint()


@pytest.mark.parametrize("name", LEVELS)
def test_more_is_worse(images, name):
    change = [
        np.square(damaged(name, images, level).images - images.images).sum()
        for level in LEVELS[name]
    ]
    assert change[0] > 0
    assert all(a <= b for a, b in pairwise(change))
    assert change[-1] > change[0]


def test_the_widest_vessels_are_chosen():
    shape = (100, 100)
    rows = [(12, 2), (35, 5), (62, 3), (86, 4)]
    images = picture(np.maximum.reduce([tube(shape, (y, 0), (y, 99), r) for y, r in rows]))

    def hit(count):
        out = damaged("stenosis", images, 0.5, count=count)
        rows_changed = (out.images != images.images)[0, 0].any(axis=1)
        return {y for y, _ in rows if rows_changed[y - 1 : y + 2].any()}

    assert hit(1) == {35}
    assert hit(2) == {35, 86}
    assert hit(9) == {12, 35, 62, 86}
    with pytest.raises(ValueError, match="count was 0, must be a whole number >= 1"):
        hit(0)


@pytest.mark.parametrize("name", ["stenosis", "dilation"])
def test_centre_line_and_continuity_stay(images, name):
    """With a centre line given, it is where it was, and however narrow the vessel is one."""
    line = np.concatenate([s.coords for s in segments(images.masks[0])])
    masks = images.masks.copy()
    masks[(0, *line.T)] = 2
    out = damaged(name, images.replace(masks=masks), 0.9).masks
    assert np.array_equal(out == 2, masks == 2)
    assert ((out > 0).sum() > (masks > 0).sum()) == (name == "dilation")
    full = np.ones((3,) * out[0].ndim)
    assert ndimage.label(out[0], full)[1] == ndimage.label(masks[0], full)[1]
    bare = damaged(name, images, 0.9).masks
    assert ndimage.label(bare[0], full)[1] == ndimage.label(images.masks[0], full)[1]


def test_missing_branches_are_painted_like_their_surroundings(images):
    out = damaged("missing-branches", images, 1.0)
    gone = (images.masks[0] > 0) & (out.masks[0] == 0)
    twigs = [s for s in segments(images.masks[0]) if s.terminal and np.median(s.radius) < 3]
    assert all(gone[tuple(s.coords.T)].mean() > 0.6 for s in twigs)
    assert not (out.masks[0][images.masks[0] == 0]).any()
    # Next to what stays there is its partial volume.
    clear = gone & (ndimage.distance_transform_edt(out.masks[0] == 0) > 4)
    found = out.images[0, 0][clear]
    assert found.mean() == pytest.approx(GROUND, abs=0.02)
    assert found.max() < GROUND + 8 * SIGMA
    assert found.std() == pytest.approx(SIGMA, rel=0.4)
    trunk = max(segments(images.masks[0]), key=lambda s: np.median(s.radius))
    assert (out.masks[0][tuple(trunk.coords.T)] > 0).all()


def test_gaps_interrupt(images):
    out = damaged("gaps", images, 1.0)
    full = np.ones((3,) * out.masks[0].ndim)
    before, after = (ndimage.label(m.masks[0], full)[1] for m in (images, out))
    long = [s for s in segments(images.masks[0]) if len(s.coords) >= 4 * 2 * np.median(s.radius)]
    assert long
    assert after >= before + len(long) - 1
    for s in long:
        middle = s.coords[len(s.coords) // 2]
        assert out.images[0, 0][tuple(middle)] == pytest.approx(GROUND, abs=6 * SIGMA)
        assert out.masks[0][tuple(s.coords[1])] > 0


@pytest.mark.parametrize("name", ["missing-branches", "gaps"])
def test_what_goes_is_nested_and_drawn(images, name):
    gone = [damaged(name, images, level).masks == 0 for level in LEVELS[name]]
    assert all((a <= b).all() for a, b in pairwise(gone))
    assert gone[0].sum() < gone[-1].sum()
    draws = {damaged(name, images, 0.3, seed).fingerprint() for seed in range(6)}
    assert len(draws) > 1


def test_noise_is_not_smoothed(images):
    """Within the band, what a stenosis does to the fine structure is nothing."""
    out = damaged("stenosis", images, 0.5)
    changed = (out.images != images.images)[0, 0]
    flat = changed & (ndimage.distance_transform_edt(images.masks[0] == 0) > 3)
    assert flat.sum() > 50
    fine = [i.images[0, 0] - ndimage.gaussian_filter(i.images[0, 0], 1) for i in (images, out)]
    assert fine[1][flat].std() == pytest.approx(fine[0][flat].std(), rel=0.05)


def test_a_vessel_of_two_pixels_has_no_middle_to_narrow():
    mask = np.zeros((1, 24, 24), np.uint8)
    mask[0, 10, 10:12] = 1
    given = ImageSet((0.2 + 0.5 * mask[:, None]).astype(np.float32), masks=mask)
    found = damaged("stenosis", given, 0.8)
    assert np.array_equal(found.images, given.images)
    assert np.array_equal(found.masks, mask)
