"""Repeats, dropped kinds, shifted and truncated sets: how many, which, nested over levels."""

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


LEVELS = st.floats(0, 1)


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
