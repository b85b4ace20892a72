"""Scores of masks against shifted squares, counted lesions and MONAI's own distance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nriqm_bench.downstream import scores


def square(at, side=8, size=32):
    mask = np.zeros((size, size), np.uint8)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = 1
    return mask


EMPTY = np.zeros((32, 32), np.uint8)


@pytest.mark.parametrize("shift", range(9))
def test_a_square_that_moves_by_k_overlaps_by_what_is_left(shift):
    truth, found = square((10, 10)), square((10, 10 + shift))
    assert scores.dice(truth, found) == pytest.approx((8 - shift) / 8)
    assert scores.dice(found, truth) == scores.dice(truth, found)


@pytest.mark.parametrize(("spacing", "unit"), [(None, 1.0), ((2.0, 0.5), 0.5), ((0.5, 2.0), 2.0)])
@pytest.mark.parametrize("shift", [0, 1, 3, 12])
def test_a_square_that_moves_by_k_is_k_away(shift, spacing, unit):
    # Farther than 5 % of the outline moves by k; an edge is 8 of its 28 pixels.
    truth, found = square((10, 4)), square((10, 4 + shift))
    assert scores.hausdorff95(truth, found, spacing) == pytest.approx(shift * unit)


def test_of_the_distance_the_farthest_five_percent_do_not_count():
    truth = np.zeros((200, 9), np.uint8)
    truth[:, 4] = 1
    found = truth.copy()
    found[:8, 8] = 1
    assert scores.hausdorff95(truth, found) == 0
    found[:60, 8] = 1
    assert scores.hausdorff95(truth, found) == 4


def test_a_border_of_the_image_is_an_outline():
    assert scores.hausdorff95(np.ones((8, 8)), square((0, 0), 8, 8)) == 0
    assert scores.hausdorff95(np.ones((9, 9)), square((0, 0), 5, 9)) == pytest.approx(
        np.percentile([np.hypot(max(i - 4, 0), max(j - 4, 0)) for i, j in border(9)], 95)
    )


def border(side):
    return [(i, j) for i in range(side) for j in range(side) if {i, j} & {0, side - 1}]


# Of a parameter that MONAI itself passes.
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
@pytest.mark.parametrize("spacing", [None, (1.6, 0.7)])
def test_distances_agree_with_monai(spacing):
    import torch
    from monai.metrics import compute_hausdorff_distance

    rng = np.random.default_rng(0)
    for _ in range(6):
        masks = [
            square(rng.integers(0, 20, 2), int(rng.integers(3, 12)))
            | square(rng.integers(0, 20, 2), int(rng.integers(3, 12)))
            for _ in range(2)
        ]
        t, f = (torch.from_numpy(m)[None, None] for m in masks)
        expected = compute_hausdorff_distance(
            f, t, include_background=True, percentile=95, spacing=spacing
        )
        assert scores.hausdorff95(*masks, spacing) == pytest.approx(float(expected), rel=1e-5)


def test_where_there_is_nothing():
    mask = square((4, 4))
    assert scores.dice(EMPTY, EMPTY) == 1
    assert scores.dice(mask, EMPTY) == scores.dice(EMPTY, mask) == 0
    assert scores.hausdorff95(EMPTY, EMPTY) == 0
    assert scores.hausdorff95(mask, EMPTY) == pytest.approx(32 * math.sqrt(2))
    assert scores.hausdorff95(EMPTY, mask, (2, 1)) == pytest.approx(math.hypot(64, 32))
    assert scores.lesions(EMPTY, EMPTY) == (0, 0, 0)
    assert scores.f1(0, 0, 0) == 1


def test_lesions_are_counted():
    truth = square((0, 0), 5) | square((0, 20), 5) | square((20, 0), 10)
    # The first whole, of the second a tenth is not reached, of the third a tenth is; one made up.
    found = square((0, 0), 5) | square((24, 24), 4)
    found[0, 20:22] = 1
    found[20, 0:10] = 1
    hit, false, missed = scores.lesions(truth, found)
    assert (hit, false, missed) == (2, 1, 1)
    assert scores.f1(hit, false, missed) == pytest.approx(4 / 6)
    assert scores.lesions(found, found) == (4, 0, 0)
    assert scores.lesions(truth, EMPTY) == (0, 0, 3)
    assert scores.lesions(EMPTY, truth) == (0, 3, 0)


def test_what_touches_by_a_corner_is_one_lesion():
    mask = np.eye(6, dtype=np.uint8)
    assert scores.lesions(mask, EMPTY[:6, :6]) == (0, 0, 1)


def test_a_blob_over_everything_finds_all_and_makes_itself_up():
    truth = square((0, 0), 4) | square((28, 28), 4)
    assert scores.lesions(truth, np.ones_like(truth)) == (2, 1, 0)


def test_labels_are_one_and_volumes_are_fine():
    truth = np.zeros((4, 8, 8), np.uint8)
    truth[1:3, 2:6, 2:6] = 3
    assert scores.dice(truth, truth > 0) == 1
    assert scores.hausdorff95(truth, np.roll(truth, 1, 0), (3, 1, 1)) == pytest.approx(3)
    assert scores.lesions(truth, truth) == (1, 0, 0)


def test_another_shape_is_refused():
    for score in (scores.dice, scores.hausdorff95, scores.lesions):
        with pytest.raises(ValueError, match=r"found had shape \(2,\), must be \(3,\)"):
            score([1, 0, 1], [1, 0])
