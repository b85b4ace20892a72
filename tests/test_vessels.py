"""Segments of vessel trees whose shape is known."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench.vessels import lumens, padded_box, segments


def tube(shape, start, end, radius, tip=None):
    """Share of each voxel that a straight tube (tapered to `tip`, round ends) covers, about."""
    at = np.moveaxis(np.indices(shape), 0, -1).astype(float)
    start, end = np.array(start, float), np.array(end, float)
    axis = end - start
    along = np.clip((at - start) @ axis / (axis @ axis), 0, 1)
    away = np.linalg.norm(at - start - along[..., None] * axis, axis=-1)
    return np.clip(radius + (((tip or radius) - radius) * along) - away + 0.5, 0, 1)


def mask_of(*tubes):
    return (np.maximum.reduce(tubes) >= 0.5).astype(np.uint8)


@pytest.fixture
def tree():
    """A trunk from the left frame that parts into a twig and a branch that parts again."""
    shape = (128, 128)
    return mask_of(
        tube(shape, (60, 0), (64, 50), 6),
        tube(shape, (64, 50), (20, 90), 4),
        tube(shape, (64, 50), (95, 90), 3.5),
        tube(shape, (95, 90), (90, 120), 1.5),
        tube(shape, (95, 90), (118, 100), 1.5),
    )


def test_tree_has_its_branches_and_twigs(tree):
    found = segments(tree)
    assert len(found) == 5
    assert sum(s.terminal for s in found) == 3
    trunk = max(found, key=lambda s: np.median(s.radius))
    assert not trunk.terminal
    assert np.median(trunk.radius) == pytest.approx(6, abs=0.5)
    assert sorted(np.median(s.radius) for s in found if s.terminal) == pytest.approx(
        [1.5, 1.5, 4], abs=0.6
    )


def test_segments_are_paths_on_the_centre_line(tree):
    for s in segments(tree):
        steps = np.abs(np.diff(s.coords, axis=0)).max(axis=1)
        assert (steps == 1).all()
        assert len(np.unique(s.coords, axis=0)) == len(s.coords) == len(s.radius)
        assert (tree[tuple(s.coords.T)] > 0).all()


@pytest.mark.parametrize("width", [1, 2, 5, 8])
def test_radius_is_half_the_width_of_a_straight_vessel_that_crosses_the_frame(width):
    mask = np.zeros((30, 80), np.uint8)
    mask[10 : 10 + width] = 1
    (only,) = segments(mask)
    assert not only.terminal
    # At the frame the skeleton may fork towards a corner.
    middle = only.radius[np.abs(only.coords[:, 1] - 40) < 30]
    assert middle == pytest.approx(np.full(59, width / 2), abs=0.51)


def test_tube_that_ends_in_the_frame_is_a_twig():
    (only,) = segments(mask_of(tube((40, 60), (20, 10), (20, 50), 3)))
    assert only.terminal


def test_given_centre_line_is_followed():
    mask = np.zeros((30, 80), np.uint8)
    mask[8:20] = 1
    mask[10, 5:70] = 2
    (only,) = segments(mask)
    assert (only.coords[:, 0] == 10).all()
    assert sorted(only.coords[:, 1].tolist()) == list(range(5, 70))
    assert only.radius == pytest.approx(np.full(65, 2.5))


def test_closed_loop_is_one_segment():
    y, x = np.indices((60, 60)) - 30
    (ring,) = segments((np.abs(np.hypot(y, x) - 20) < 3).astype(np.uint8))
    assert not ring.terminal
    assert len(ring.coords) == pytest.approx(2 * np.pi * 20, rel=0.15)


def test_volume_that_floats_in_the_frame_has_a_root():
    shape = (48, 64, 64)
    found = segments(
        mask_of(
            tube(shape, (24, 10, 32), (24, 32, 32), 4),
            tube(shape, (24, 32, 32), (38, 50, 20), 2),
            tube(shape, (24, 32, 32), (12, 52, 46), 2),
        )
    )
    assert len(found) == 3
    root = max(found, key=lambda s: np.median(s.radius))
    assert not root.terminal
    assert sum(s.terminal for s in found) == 2


def test_empty_mask_has_no_segments():
    assert segments(np.zeros((8, 8, 8), np.uint8)) == []


def test_padded_box_stops_at_the_frame():
    inside = np.zeros((10, 20), bool)
    inside[0:3, 8:10] = True
    assert padded_box(inside, 4) == (slice(0, 7), slice(4, 14))


@pytest.mark.parametrize("radius", [2.2, 3.3, 4.7])
@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5])
def test_lumens_are_finer_than_a_voxel(radius, offset):
    """In a plane and in space, however the axis lies between voxels."""
    for shape in ((40, 70), (26, 26, 50)):
        at = [s // 2 + offset for s in shape[:-1]]
        mask = mask_of(tube(shape, (*at, 0), (*at, shape[-1] - 1), radius))
        found = segments(mask)
        (lumen,) = lumens(mask, found)
        inner = np.abs(found[0].coords[:, -1] - shape[-1] / 2) < 12
        assert lumen.radius[inner] == pytest.approx(np.full(inner.sum(), radius), abs=0.5)
        middle = np.broadcast_to(at, (inner.sum(), len(at)))
        assert lumen.centre[inner, :-1] == pytest.approx(middle, abs=0.51)


def test_lumen_of_a_taper_and_at_a_branch(tree):
    shape = (40, 90)
    mask = mask_of(tube(shape, (20, 0), (20, 89), 6, 3))
    (lumen,) = lumens(mask, segments(mask))
    order = np.argsort(lumen.centre[:, 1])
    along = np.interp([20, 45, 70], lumen.centre[order, 1], lumen.radius[order])
    assert along == pytest.approx([6 - 3 * x / 89 for x in (20, 45, 70)], abs=0.4)
    for s, lumen in zip(segments(tree), lumens(tree, segments(tree)), strict=True):
        assert lumen.radius.max() <= s.radius.max() + 1.25
    assert lumens(np.zeros((8, 8), np.uint8), []) == []
