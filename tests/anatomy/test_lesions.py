"""Lesions as anatomy, on discs and ellipses whose size and place are known."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import anatomy
from nriqm_bench.anatomy.head import head_of

SIDE = 96
NAMES = anatomy.names("lesion")


def disc(centre, radius, side=SIDE):
    y, x = np.mgrid[:side, :side]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def ellipse(centre, long, short, side=SIDE):
    y, x = np.mgrid[:side, :side]
    return ((y - centre[0]) / long) ** 2 + ((x - centre[1]) / short) ** 2 <= 1


HEAD = disc((48, 48), 40)


def row(mask, image=None):
    if image is None:
        image = np.where(HEAD, 0.4, 0.0) + 0.4 * mask
    found = anatomy.describe("lesion", image[None, None].astype(np.float32), mask[None])
    return dict(zip(NAMES, found[0], strict=True))


def test_a_disc_has_its_area_diameter_and_place():
    found = row(disc((58, 40), 8))
    assert found["presence"] == 1
    assert found["pieces"] == 1
    # The head is told by its smoothed brightness, a pixel or so beyond its edge.
    assert found["area"] == pytest.approx(8**2 / 40**2, rel=0.1)
    assert found["diameter"] == pytest.approx(16 / 80, rel=0.05)
    assert found["elongation"] == pytest.approx(0, abs=0.02)
    # The SD of a disc along an axis is half its radius.
    assert found["row"] == pytest.approx(10 / 20, rel=0.06)
    assert found["column"] == pytest.approx(-8 / 20, rel=0.06)
    assert found["contrast"] == pytest.approx(0.4, abs=1e-6)
    assert found["dark rim"] == 0


def test_an_ellipse_is_elongated_by_the_ratio_of_its_axes():
    found = row(ellipse((48, 48), 16, 8))
    assert found["elongation"] == pytest.approx(np.log(2), abs=0.03)
    assert found["diameter"] == pytest.approx(32 / 80, rel=0.06)


def test_pieces_are_counted_and_corners_join():
    two = disc((40, 40), 5) | disc((60, 60), 5)
    assert row(two)["pieces"] == 2
    corner = np.zeros((SIDE, SIDE), bool)
    corner[40:44, 40:44] = corner[44:48, 44:48] = True
    assert row(corner)["pieces"] == 1


def test_depth_falls_towards_the_outline_of_the_head():
    depths = [row(disc((48, 48 + r), 4))["depth"] for r in (0, 12, 24, 36)]
    assert depths == sorted(depths, reverse=True)
    assert depths[0] == pytest.approx(1, abs=0.03)
    outside = row(disc((48, 92), 3), np.where(HEAD, 0.5, 0.0))
    assert outside["depth"] < 0


def test_a_lesion_at_the_edge_of_the_head_has_a_dark_rim():
    inside, edge = row(disc((48, 48), 6)), row(disc((48, 48 + 36), 6))
    assert inside["dark rim"] == 0
    assert 0.3 < edge["dark rim"] < 0.9


def test_without_a_lesion_nothing_but_its_absence_is_told():
    found = row(np.zeros((SIDE, SIDE), bool))
    assert found["presence"] == 0
    assert found["pieces"] == 0
    assert all(np.isnan(v) for name, v in found.items() if name not in ("presence", "pieces"))


def test_neither_size_of_the_image_nor_brightness_changes_what_is_told():
    small, large = disc((58, 40), 8), np.kron(disc((58, 40), 8), np.ones((2, 2), bool))
    head = np.kron(HEAD, np.ones((2, 2), bool))
    one, other = row(small), row(large, np.where(head, 0.4, 0.0) + 0.4 * large)
    for name in ("area", "diameter", "row", "column", "depth", "contrast"):
        assert other[name] == pytest.approx(one[name], rel=0.06, abs=0.02), name
    dim = row(small, 0.5 * (np.where(HEAD, 0.4, 0.0) + 0.4 * small))
    assert dim["area"] == pytest.approx(one["area"])
    assert dim["contrast"] == pytest.approx(one["contrast"] / 2)


def test_noise_hardly_moves_what_is_told_of_a_mask():
    mask = disc((58, 40), 8)
    image = np.where(HEAD, 0.4, 0.0) + 0.4 * mask
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 0.1, image.shape), 0, 1)
    clean, other = row(mask, image), row(mask, noisy)
    for name in NAMES:
        assert other[name] == pytest.approx(clean[name], rel=0.05, abs=0.05), name


def test_volumes_are_described_too():
    z, y, x = np.mgrid[:24, :48, :48]
    head = (2 * (z - 12)) ** 2 + (y - 24) ** 2 + (x - 24) ** 2 <= 20**2
    ball = (z - 12) ** 2 + (y - 24) ** 2 + (x - 30) ** 2 <= 4**2
    image = (np.where(head, 0.4, 0.0) + 0.4 * ball).astype(np.float32)
    found = dict(
        zip(NAMES, anatomy.describe("lesion", image[None, None], ball[None])[0], strict=True)
    )
    # In so small a head the smoothed edge is a large share.
    assert found["area"] == pytest.approx(ball.sum() / head.sum(), rel=0.2)
    assert found["row"] == pytest.approx(0, abs=0.02)
    assert found["column"] > 0.3


def test_an_image_without_a_head_is_a_frame_of_its_own():
    found = head_of(np.zeros((1, 20, 30), np.float32))
    assert found.size == 600
    assert found.centre == pytest.approx([9.5, 14.5])
    assert found.depth.max() == 1
    assert found.depth.min() > 0


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"masks had shape \(1, 4, 4\), must be \(1, 8, 8\)"):
        anatomy.describe("lesion", np.zeros((1, 1, 8, 8), np.float32), np.zeros((1, 4, 4), int))
