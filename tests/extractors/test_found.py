"""Masks that a segmenter learns to find: the same in every run, through noise, or one sentence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nriqm_bench import extractors
from nriqm_bench.extractors.found import lesion_found
from nriqm_bench.extractors.segmenter import Segmenter, _varied
from nriqm_bench.extractors.unet import without_specks
from nriqm_bench.images import ImageSet


def discs(n, seed=0, size=44):
    """Bright discs on a dim ground; every fifth image has none."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    masks = np.zeros((n, size, size), np.uint8)
    for i in range(n):
        if i % 5:
            cy, cx = rng.uniform(12, size - 12, 2)
            masks[i] = np.hypot(y - cy, x - cx) < rng.uniform(4, 9)
    images = 0.3 + 0.4 * masks + 0.02 * rng.standard_normal(masks.shape)
    return ImageSet(np.clip(images, 0, 1).astype(np.float32)[:, None], masks=masks)


def dice(a, b):
    return 2 * np.count_nonzero((a > 0) & (b > 0)) / (np.count_nonzero(a) + np.count_nonzero(b))


QUICK = {"steps": 120, "side": 32}


@pytest.fixture(scope="module")
def learnt():
    return Segmenter(lambda: discs(30), **QUICK)


def test_discs_are_found_in_noise_and_their_absence_too(learnt):
    fresh = discs(20, seed=1)
    assert dice(learnt(fresh.images), fresh.masks) > 0.8
    noise = np.random.default_rng(2).standard_normal(fresh.images.shape).astype(np.float32)
    assert dice(learnt(np.clip(fresh.images + 0.1 * noise, 0, 1)), fresh.masks) > 0.7
    assert not learnt(fresh.images)[::5].any()


def test_two_fits_give_equal_masks_whatever_the_threads_and_draws(learnt):
    fresh = discs(10, seed=3).images
    before = torch.get_num_threads()
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    try:
        torch.set_num_threads(2)
        again = Segmenter(lambda: discs(30), **QUICK)
        found = again(fresh)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(found, learnt(fresh))
    weights = [torch.cat([p.flatten() for p in s._network.parameters()]) for s in (again, learnt)]
    assert torch.equal(*weights)


def test_masks_do_not_depend_on_company(learnt):
    fresh = discs(11, seed=4).images
    found = learnt(fresh)
    np.testing.assert_array_equal(np.concatenate([learnt(fresh[:3]), learnt(fresh[3:])]), found)


def test_a_volume_is_segmented_by_its_slices(learnt):
    fresh = discs(6, seed=6)
    volume = fresh.images.reshape(1, 1, 6, 44, 44)
    assert learnt(volume).shape == (1, 6, 44, 44)
    assert dice(learnt(volume)[0], learnt(fresh.images)) > 0.98
    assert dice(learnt(volume)[0], fresh.masks) > 0.8


def test_volumes_teach_slices():
    thick = discs(24)
    volumes = ImageSet(
        thick.images.reshape(2, 1, 12, 44, 44), masks=thick.masks.reshape(2, 12, 44, 44)
    )
    fresh = discs(10, seed=1)
    taught = Segmenter(lambda: volumes, **QUICK)
    assert dice(taught(fresh.images), fresh.masks) > 0.75


def test_learning_waits_for_the_first_call_and_happens_once():
    calls = []

    def train():
        calls.append(1)
        return discs(10)

    found = extractors.get("lesion-found")(steps=2, side=16).fit("ten discs", train)
    other = extractors.get("lesion-found")(steps=2, side=16).fit("other discs", train)
    assert found.key().endswith("ten discs")
    assert found.key() != other.key()
    assert found.key() != lesion_found(steps=3, side=16).fit("ten discs", train).key()
    assert not calls
    first = found(discs(3).images)
    assert np.array_equal(found(discs(3).images), first)
    assert len(calls) == 1
    assert first.shape == (3, found.dim)


def test_features_are_those_of_the_masks_that_were_found():
    found = lesion_found(steps=20, side=32).fit("discs", lambda: discs(30))
    fresh = discs(5, seed=9).images
    lesion = extractors.open("lesion")
    expected = lesion(fresh, masks=found.segmenter(fresh))
    np.testing.assert_array_equal(found(fresh), expected)


def test_what_cannot_be_learnt_is_said():
    some = discs(4)
    with pytest.raises(ValueError, match="'lesion-found' must learn to find masks first"):
        extractors.open("lesion-found")(some.images)
    with pytest.raises(ValueError, match="training images have no masks"):
        lesion_found(**QUICK).fit("", lambda: ImageSet(some.images))(some.images)
    empty = ImageSet(some.images, masks=np.zeros_like(some.masks))
    with pytest.raises(ValueError, match="training images have empty masks"):
        lesion_found(**QUICK).fit("", lambda: empty)(some.images)
    with pytest.raises(ValueError, match="steps was 0"):
        lesion_found(steps=0).fit("", lambda: some)
    one = Segmenter(lambda: some, steps=1, side=16)
    with pytest.raises(ValueError, match="images had 3 channels, must have 1"):
        one(some.images.repeat(3, axis=1))


def test_specks_are_dropped():
    found = np.zeros((40, 40), bool)
    found[2:22, 2:22] = True
    found[30:35, 30:35] = True
    found[38, 2] = True
    kept = without_specks(found, least=12)
    assert kept.sum() == 400
    kept = without_specks(found[25:], least=12)
    assert kept.sum() == 25
    assert not without_specks(found[37:], least=12).any()


def test_what_is_varied_in_training_moves_masks_along():
    image = np.zeros((1, 16, 16), np.float32)
    image[0, 2:6, 3:9] = 0.6
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = _varied(image, (image[0] > 0.3).astype(np.float32), rng)
        assert x.min() >= 0
        assert x.max() <= 1
        assert y.sum() == 24
        assert x[0][y > 0].mean() > x[0][y == 0].mean() + 0.1
