"""Copies, repeats and dropped kinds: how many, which, and nested over levels."""

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


@given(level=LEVELS, n=st.integers(1, 30), seed=st.integers(0, 9))
def test_duplication_leaves_the_stated_number_of_distinct_images(level, n, seed):
    out = numbers(damaged("internal-duplication", numbered(n), level, seed))
    assert len(out) == n
    stay = out == np.arange(n)
    assert set(out) == set(out[stay])
    assert abs((~stay).sum() - level * n) <= 0.5 + 1e-9 or stay.sum() == 1


def test_duplication_at_one_leaves_a_single_image():
    assert len(set(numbers(damaged("internal-duplication", numbered(20), 1.0)))) == 1


@given(low=LEVELS, high=LEVELS, seed=st.integers(0, 9))
def test_images_that_stay_are_nested(low, high, seed):
    low, high = sorted((low, high))
    few = set(numbers(damaged("internal-duplication", numbered(20), low, seed)))
    fewer = set(numbers(damaged("internal-duplication", numbered(20), high, seed)))
    assert fewer <= few


def test_duplicates_bring_their_labels():
    images = numbered(20, subjects=[f"s{i}" for i in range(20)])
    out = damaged("internal-duplication", images, 0.6)
    assert out.subjects.tolist() == [f"s{i}" for i in numbers(out)]


SITES = [f"site-{'aabbbcccdd'[i % 10]}" for i in range(40)]


def dropped(level, seed=0, **context):
    out = damaged("mode-drop", numbered(40, sites=SITES), level, seed, **context)
    assert out.sites.tolist() == [SITES[i] for i in numbers(out)]
    return out


def test_no_image_of_the_dropped_sites_is_left_at_one():
    # a and b hold 8 and 12 of 40: a alone is less than two fifths.
    assert set(dropped(1.0).sites) == {"site-c", "site-d"}
    assert set(dropped(1.0, sites=["site-d"]).sites) == {"site-a", "site-b", "site-c"}


@pytest.mark.parametrize(("level", "left"), [(0.5, 10), (0.25, 15), (0.01, 20)])
def test_share_of_the_dropped_sites_is_exact(level, left):
    out = dropped(level)
    gone = np.isin(SITES, ["site-a", "site-b"])
    assert np.isin(out.sites, ["site-a", "site-b"]).sum() == left
    # Those of the other sites stay where they are.
    assert np.array_equal(numbers(out)[~gone], np.arange(40)[~gone])


def test_dropped_images_are_nested():
    stay = [
        set(numbers(dropped(level))[np.isin(dropped(level).sites, ["site-a", "site-b"])])
        for level in (0.25, 0.5, 0.75)
    ]
    assert stay[0] > stay[1] > stay[2]


def test_two_sites_lose_one_and_a_big_first_site_is_enough():
    images = numbered(10, sites=["x"] * 2 + ["y"] * 8)
    assert set(damaged("mode-drop", images, 1.0).sites) == {"y"}
    images = numbered(10, sites=["x"] * 4 + ["y"] * 3 + ["z"] * 3)
    assert set(damaged("mode-drop", images, 1.0).sites) == {"y", "z"}


@pytest.mark.parametrize(
    ("sites", "context", "told"),
    [
        (["x"] * 4, {}, r"found 0 images to drop and 4 to keep"),
        (["x"] * 4, {"sites": ["x"]}, r"found 4 images to drop and 0 to keep"),
        (["x", "x", "y", "y"], {"sites": ["q"]}, r"of sites \['q'\] found 0 .*\['x', 'y'\]"),
    ],
)
def test_sites_that_leave_nothing_are_refused(sites, context, told):
    with pytest.raises(ValueError, match=told):
        damaged("mode-drop", numbered(4, sites=sites), 0.5, **context)
