"""Descriptors of vessels: tubes of known diameter, throats, gaps and branches; noise; none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nriqm_bench import extractors, metrics, perturbations
from nriqm_bench.datasets.phantom_vessel import phantom_vessel
from nriqm_bench.extractors import vessel as room
from nriqm_bench.extractors.centre_lines import centre_lines, narrowing, widening
from nriqm_bench.extractors.vessel import Vessel

SIZE, FINE = 96, 9


def tubes(diameters=(5.0, 4.0, 3.0), throat=0.0, gap=0, bright=0.8, ground=0.1):
    """Level tubes, area-averaged from a finer grid; a throat in the middle of each."""
    y, x = (np.indices((SIZE * FINE, SIZE * FINE), dtype=np.float64) + 0.5) / FINE - 0.5
    covered = np.zeros(y.shape)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for i, diameter in enumerate(diameters):
        row = 16.0 + 20 * i
        # Over three diameters, as a raised cosine.
        along = np.clip(np.abs(x - 48) / (1.5 * diameter), 0, 1)
        width = diameter * (1 - throat * np.cos(0.5 * np.pi * along) ** 2)
        covered += (np.abs(y - row) < width / 2) & (np.abs(x - 48) < 40) & (np.abs(x - 48) >= gap)
        mask[int(row), 9:88] = 2 * (np.abs(np.arange(9, 88) - 48) >= gap)
    share = covered.reshape(SIZE, FINE, SIZE, FINE).mean(axis=(1, 3))
    mask[(share >= 0.5) & (mask == 0)] = 1
    image = ground + (bright - ground) * ndimage.gaussian_filter(share, 0.4)
    return image.astype(np.float32)[None, None], mask[None]


def columns(image, mask):
    """The descriptors by name, in their own units."""
    found = Vessel()(image, masks=mask)[0].astype(np.float64)
    table = room._TREE | room._BLOOD
    assert len(found) == len(table) == Vessel.dim
    return {
        name: centre + value * spread / weight
        for (name, (centre, spread, weight)), value in zip(table.items(), found, strict=True)
    }


@pytest.mark.parametrize("bright", [0.4, 0.9])
@pytest.mark.parametrize("diameter", [1.5, 2.0, 3.3, 5.0])
def test_diameters_of_tubes_are_told_to_a_fraction_of_a_pixel(diameter, bright):
    image, _ = tubes((diameter,) * 3, bright=bright)
    over = (image[0, 0] - 0.1)[None]
    fine, coarse = (room._smooth(over[0], s)[16, 20:76] for s in (1.0, 2.0))
    found = room.tube_diameter(fine, coarse, axes=2)
    np.testing.assert_allclose(found, diameter, atol=0.4)


def test_the_diameter_of_a_tube_in_a_volume():
    z, y, _ = np.indices((32, 32, 24))
    for radius in (1.5, 2.5):
        away = np.hypot(z - 16, y - 16)
        tube = np.clip(radius + 0.5 - away, 0, 1).astype(np.float32)
        fine, coarse = (room._smooth(tube, s)[16, 16, 8:16] for s in (1.0, 2.0))
        found = room.tube_diameter(fine, coarse, axes=3)
        np.testing.assert_allclose(found, 2 * radius, atol=0.5)


def test_three_tubes_are_three_pieces_with_six_ends():
    image, mask = tubes()
    found = columns(image, mask)
    assert np.expm1(found["pieces"]) == pytest.approx(3)
    assert found["presence"] == pytest.approx(1)
    assert centre_lines(mask[0]).ends == 6
    image, mask = tubes(gap=4)
    assert np.expm1(columns(image, mask)["pieces"]) == pytest.approx(6)
    assert centre_lines(mask[0]).ends == 12


def test_a_throat_is_seen_in_the_mask_and_in_the_image():
    clean, narrow = columns(*tubes()), columns(*tubes(throat=0.5))
    for name in ("narrowing of 3", "flux narrowing of 3", "flux narrowing 2nd of 3"):
        assert clean[name] < 0.03
        assert narrow[name] > clean[name] + 0.06
    image, mask = tubes(throat=0.5)[0], tubes()[1]
    # A mask that does not show it: the image does.
    assert columns(image, mask)["narrowing of 3"] < 0.03
    assert columns(image, mask)["flux narrowing of 3"] > 0.08


def test_noise_moves_descriptors_by_less_than_throats_do():
    image, mask = tubes()
    vessel = Vessel()
    base = vessel(image, masks=mask)
    moved = []
    for seed in range(9):
        noise = np.random.default_rng(seed).standard_normal(image.shape).astype(np.float32)
        noisy = np.clip(image + np.float32(0.05) * noise, 0, 1)
        moved.append(np.linalg.norm(vessel(noisy, masks=mask) - base))
    assert np.linalg.norm(vessel(*tubes(throat=0.5)) - base) > 1.5 * np.median(moved)


def test_an_image_without_vessels_is_one_fixed_row():
    rng = np.random.default_rng(0)
    images = rng.random((2, 1, 32, 32)).astype(np.float32)
    found = Vessel()(images, masks=np.zeros((2, 32, 32), np.uint8))
    np.testing.assert_array_equal(found[0], found[1])
    assert np.flatnonzero(found[0]).tolist() == list(range(6))


@pytest.mark.parametrize(
    "mask",
    [np.ones((16, 16)), np.pad([[1]], ((2, 13), (5, 10))), np.eye(16), np.eye(16) * 2],
    ids=["everything", "one pixel", "a diagonal", "a line alone"],
)
def test_odd_masks_give_finite_rows(mask):
    image = np.random.default_rng(1).random((1, 1, 16, 16)).astype(np.float32)
    for x in (image, np.zeros_like(image), np.ones_like(image)):
        assert np.isfinite(Vessel()(x, masks=mask[None].astype(np.uint8))).all()


def test_without_a_centre_line_the_skeleton_is_it():
    image, mask = tubes()
    given = columns(image, mask)
    found = columns(image, (mask > 0).astype(np.uint8))
    assert np.expm1(found["pieces"]) == pytest.approx(3)
    assert found["widest"] == pytest.approx(given["widest"], abs=0.3)


@pytest.fixture(scope="module")
def phantoms():
    return [phantom_vessel(16, part=part) for part in ("reference", "held-out")]


def test_rows_do_not_depend_on_company(phantoms):
    part = phantoms[0][:4]
    vessel = Vessel()
    found = vessel(part.images, masks=part.masks)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(vessel(part.images[[3]], masks=part.masks[[3]]), found[[3]])


def test_volumes_and_channels():
    z, y, _ = np.indices((24, 32, 40))
    mask = (np.hypot(z - 12, y - 16) < 3).astype(np.uint8)[None]
    image = np.where(mask, 0.8, 0.2).astype(np.float32)[:, None]
    vessel = Vessel()
    one, two = vessel(image, masks=mask), vessel(image.repeat(3, axis=1), masks=mask)
    assert one.shape == (1, Vessel.dim)
    np.testing.assert_array_equal(two[:, : Vessel.dim], one)
    np.testing.assert_array_equal(two[:, 14:24], two[:, 24:34])
    found = columns(image, mask)
    assert centre_lines(mask[0]).pieces == 1
    assert found["widest"] == pytest.approx(5, abs=1)


def test_the_segments_of_a_fork():
    mask = np.zeros((21, 21), np.uint8)
    mask[10, 1:11] = 2
    steps = np.arange(1, 9)
    mask[10 - steps, 10 + steps] = 2
    mask[10 + steps, 10 + steps] = 2
    lines = centre_lines(mask)
    assert len(lines.bounds) == 4
    assert lines.ends == 3
    assert lines.pieces == 1
    for low, high in zip(lines.bounds[:-1], lines.bounds[1:], strict=True):
        steps = np.abs(np.diff(lines.places[low:high], axis=0)).max(axis=1)
        assert (steps == 1).all()
    nothing = centre_lines(np.zeros((5, 5), np.uint8))
    assert (len(nothing.places), nothing.ends, nothing.pieces) == (0, 0, 0)


def test_a_ring_has_no_segment():
    y, x = np.indices((31, 31))
    away = np.hypot(y - 15, x - 15)
    lines = centre_lines(((away > 8) & (away < 11)).astype(np.uint8))
    assert len(lines.places) == 0
    assert lines.pieces == 1


def test_narrowing_is_that_of_throats_and_not_of_tapers_or_mouths():
    tube = np.full(40, 2.0)
    assert narrowing(tube) == widening(tube) == 0
    assert narrowing(np.linspace(3, 1, 40)) == pytest.approx(0, abs=1e-9)
    mouths = tube.copy()
    mouths[:3] = mouths[-3:] = 4
    assert narrowing(mouths) == pytest.approx(0, abs=1e-9)
    throat = tube.copy()
    throat[18:22] = 1
    assert narrowing(throat) == pytest.approx(0.5)
    assert widening(throat) == pytest.approx(0, abs=1e-9)
    assert widening(4 - throat) == pytest.approx(0.5)
    assert narrowing(np.where(np.arange(40) // 4 == 5, 0, tube)) == 1


def test_a_stenosis_is_seen_that_whole_images_hide(phantoms):
    reference, held_out = phantoms
    vessel, fid = Vessel(), metrics.get("fid")
    real = vessel(reference.images, masks=reference.masks)

    def distance(name="", level=0.0):
        one = held_out
        if name:
            one = perturbations.get(name)(held_out, level, np.random.default_rng(0))
        return fid(real, vessel(one.images, masks=one.masks))

    base = distance()
    assert distance("stenosis", 0.5) - base > 3 * abs(distance("gaussian-noise", 0.1) - base)


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match=r"'vessel' needs masks.*'vessel-found' finds its own"):
        extractors.open("vessel")(np.zeros((1, 1, 8, 8), np.float32))
    found = extractors.open("vessel-found")
    assert (found.name, found.dim) == ("vessel-found", Vessel.dim)
    assert "vessel" in found.key()
