"""Copies of training images: how many, which, nested over levels, and their disguises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.copies import DISGUISES


def numbered(n, offset=0, **fields):
    """Images that show their number."""
    values = (np.arange(n) + offset) / 1000
    return ImageSet(np.broadcast_to(values[:, None, None, None], (n, 1, 4, 4)).copy(), **fields)


def numbers(images):
    return np.rint(images.images[:, 0, 0, 0] * 1000).astype(int)


def damaged(name, images, level, seed=0, **context):
    return perturbations.get(name)(images, level, np.random.default_rng(seed), **context)


def copies(level, n=20, train=30, seed=0):
    out = damaged("training-copies", numbered(n), level, seed, train=numbered(train, 500))
    return numbers(out)


LEVELS = st.floats(0, 1)


@given(level=LEVELS, n=st.integers(1, 30), seed=st.integers(0, 9))
def test_share_of_copies_is_exact_and_the_rest_stays_in_place(level, n, seed):
    out = copies(level, n=n, seed=seed)
    copied = out >= 500
    assert abs(copied.sum() - level * n) <= 0.5 + 1e-9
    assert np.array_equal(out[~copied], np.arange(n)[~copied])


def test_every_image_is_a_copy_at_one_and_none_twice_before_each_once():
    assert sorted(copies(1.0, n=20, train=20).tolist()) == list(range(500, 520))
    assert len(set(copies(1.0, n=20, train=30).tolist())) == 20
    _, counts = np.unique(copies(1.0, n=20, train=6), return_counts=True)
    assert sorted(counts.tolist()) == [3, 3, 3, 3, 4, 4]


@given(low=LEVELS, high=LEVELS, seed=st.integers(0, 9))
def test_copies_of_a_lower_level_are_among_those_of_a_higher_one(low, high, seed):
    low, high = sorted((low, high))
    few, many = copies(low, seed=seed), copies(high, seed=seed)
    assert np.array_equal(few[few >= 500], many[few >= 500])


def test_copies_differ_with_the_seed():
    assert not np.array_equal(copies(0.5, seed=0), copies(0.5, seed=1))


def test_copies_bring_their_labels_where_both_have_them():
    masks = np.ones((20, 4, 4), np.uint8)
    train = numbered(
        20, 500, masks=2 * masks, subjects=[f"t{i}" for i in range(20)], spacing=(1, 1)
    )
    images = numbered(20, masks=masks, spacing=(2, 2))
    out = damaged("training-copies", images, 0.5, train=train)
    copied = numbers(out) >= 500
    assert (out.masks[copied] == 2).all()
    assert (out.masks[~copied] == 1).all()
    assert out.subjects[copied].tolist() == [f"t{i - 500}" for i in numbers(out)[copied]]
    assert set(out.subjects[~copied]) == {"unknown"}
    assert out.spacing == (2.0, 2.0)


def test_copies_work_where_only_one_side_has_masks():
    masks = np.ones((20, 4, 4), np.uint8)
    out = damaged("training-copies", numbered(20), 0.5, train=numbered(20, 500, masks=masks))
    assert (numbers(out) >= 500).sum() == 10
    assert out.masks is None


def test_copies_of_another_size_are_refused():
    train = ImageSet(np.zeros((5, 1, 8, 8)))
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\) cannot join .* \(1, 4, 4\)"):
        damaged("training-copies", numbered(5), 0.5, train=train)


def disguised(disguise, train, level=1.0, n=None, seed=0):
    """Copies in place of white images, and which training image each was made of."""
    n = len(train) if n is None else n
    images = train[np.arange(n) % len(train)]
    images = images.replace(images=np.ones_like(images.images))
    rng = np.random.default_rng(seed)
    out = perturbations.get("training-copies")(images, level, rng, train=train, disguise=disguise)
    sources = [int(name[1:]) for name in out.subjects]
    return out, train[sources]


def training(*spatial, n=12, seed=0):
    """Smooth random images with an off-centre lesion each, named by their number."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, *spatial), np.uint8)
    masks[(..., slice(4, 9), slice(spatial[-1] - 8, spatial[-1] - 4))] = 1
    images = ndimage.gaussian_filter(rng.random((n, 1, *spatial)), (0, 0, *[2] * len(spatial)))
    images += 0.3 * masks[:, None]
    return ImageSet(images, masks, subjects=[f"s{i}" for i in range(n)])


@pytest.mark.parametrize("spatial", [(24, 32), (5, 24, 32)])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copy_has_the_same_disguise_at_every_level(disguise, spatial):
    train = training(*spatial)
    few, _ = disguised(disguise, train, 0.25, n=16)
    many, _ = disguised(disguise, train, 1.0, n=16)
    copied = (few.images != 1).any(axis=tuple(range(1, few.images.ndim)))
    assert copied.sum() == 4
    assert np.array_equal(few.images[copied], many.images[copied])
    assert np.array_equal(few.masks[copied], many.masks[copied])


@pytest.mark.parametrize("disguise", sorted(set(DISGUISES) - {"none"}))
def test_every_disguised_copy_differs_from_its_original(disguise):
    train = training(24, 32)
    out, source = disguised(disguise, train)
    change = np.abs(out.images - source.images).reshape(len(out), -1)
    assert (change.max(axis=1) > 0.01).all()


def test_no_disguise_is_the_default_and_a_plain_copy():
    train = training(24, 32)
    out, source = disguised("none", train)
    assert np.array_equal(out.images, source.images)
    assert np.array_equal(out.masks, source.masks)
    plain = damaged("training-copies", train, 0.5, train=train)
    named = damaged("training-copies", train, 0.5, train=train, disguise="none")
    assert named.fingerprint() == plain.fingerprint()


@pytest.mark.parametrize("sigma", ["noise-.01", "noise-.02"])
def test_noise_has_the_stated_standard_deviation(sigma):
    grey = ImageSet(np.full((20, 1, 40, 40), 0.5), subjects=[f"s{i}" for i in range(20)])
    out, _ = disguised(sigma, grey)
    assert out.images.std() == pytest.approx(float(sigma[6:]), rel=0.03)
    assert np.corrcoef(out.images[0].ravel(), out.images[1].ravel())[0, 1] < 0.1


def test_flip_swaps_left_and_right_with_the_mask():
    out, source = disguised("flip", training(5, 24, 32))
    assert np.array_equal(out.images, source.images[..., ::-1])
    assert np.array_equal(out.masks, source.masks[..., ::-1])


def test_intensity_multiplies_by_up_to_a_tenth():
    train = ImageSet(np.full((60, 1, 4, 4), 0.5), subjects=[f"s{i}" for i in range(60)])
    factor = disguised("intensity", train)[0].images / 0.5
    assert np.ptp(factor, axis=(1, 2, 3)).max() == 0
    assert 0.9 <= factor.min() < 0.92
    assert 1.08 < factor.max() <= 1.1
    bright = train.replace(images=np.ones_like(train.images))
    assert disguised("intensity", bright)[0].images.max() == 1


def test_blend_mixes_in_three_tenths_of_another_training_image():
    train = numbered(8, 500, subjects=[f"s{i}" for i in range(8)])
    seconds = set()
    for seed in range(10):
        out, source = disguised("blend", train, seed=seed)
        rest = (out.images - 0.7 * source.images)[:, 0, 0, 0] / 0.3 * 1000 - 500
        second = np.rint(rest).astype(int)
        assert rest == pytest.approx(second, abs=0.01)
        first = [int(name[1:]) for name in out.subjects]
        assert (second != first).all()
        seconds |= set(((second - first) % 8).tolist())
    assert seconds == set(range(1, 8))


def test_blend_of_one_image_is_refused():
    with pytest.raises(ValueError, match="'blend' needs at least two training images, and has one"):
        disguised("blend", numbered(1, 500, subjects=["s0"]))


def test_blur_is_that_of_one_pixel():
    out, source = disguised("blur", training(5, 24, 32))
    expected = perturbations.get("blur")(source, 1.0, np.random.default_rng(0))
    assert out.images == pytest.approx(expected.images, abs=1e-6)


@pytest.mark.parametrize("degrees", [3, 5])
@pytest.mark.parametrize("depth", [(), (3,)])
def test_rotation_turns_image_and_mask_by_the_stated_angle_in_either_sense(degrees, depth):
    """A round lesion 20 pixels right of the centre is seen 20 sin(angle) above or below."""
    size = 65
    y, x = np.indices((size, size))
    blob = np.exp(-((y - 32) ** 2 + (x - 52) ** 2) / 18)
    images = np.broadcast_to(0.8 * blob, (16, 1, *depth, size, size))
    masks = np.broadcast_to(blob > 0.5, (16, *depth, size, size)).astype(np.uint8)
    train = ImageSet(images, masks, subjects=[f"s{i}" for i in range(16)])
    out, _ = disguised(f"rotation-{degrees}", train)
    angle = np.deg2rad(degrees)
    senses = []
    for image, mask in zip(out.images[:, 0], out.masks, strict=True):
        at = np.array(ndimage.center_of_mass(image)[-2:]) - 32
        assert at[1] == pytest.approx(20 * np.cos(angle), abs=0.1)
        assert abs(at[0]) == pytest.approx(20 * np.sin(angle), abs=0.1)
        assert ndimage.center_of_mass(mask)[-2:] == pytest.approx(tuple(at + 32), abs=0.4)
        senses.append(at[0] > 0)
    assert 2 <= sum(senses) <= 14


def test_copies_without_masks_can_be_disguised():
    train = training(24, 32)
    for disguise in DISGUISES:
        assert disguised(disguise, train.replace(masks=None))[0].masks is None


def test_an_unknown_disguise_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown disguise 'rotation-4'.*'rotation-[35]'.*flip"):
        disguised("rotation-4", training(24, 32))


def test_a_level_too_low_for_any_copy_leaves_the_images():
    train = training(24, 32)
    for disguise in DISGUISES:
        out, _ = disguised(disguise, train, 0.01)
        assert (out.images == 1).all()
