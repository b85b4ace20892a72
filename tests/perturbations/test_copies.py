"""Copies of training images: how many, which, nested over levels, and their disguises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet


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
