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


def with_lesions(areas, size=8):
    """Numbered images with a lesion of so many pixels each."""
    n = len(areas)
    masks = (np.arange(size * size) < np.asarray(areas)[:, None]).reshape(n, size, size)
    values = np.broadcast_to((np.arange(n) / 1000)[:, None, None, None], (n, 1, size, size))
    # Every label above 0 is lesion.
    return ImageSet(values.copy(), masks * np.where(np.arange(size) % 2, 1, 3))


AREAS = [0, 5, 40, 0, 12, 33, 7, 50, 21, 0, 3, 60, 18]


def test_no_image_with_a_large_lesion_is_left_at_one():
    """Ten lesions: the four largest go, the images without one stay."""
    images = with_lesions(AREAS)
    out = numbers(damaged("lesion-mode-drop", images, 1.0))
    large = {2, 5, 7, 11}
    assert large.isdisjoint(out)
    stay = [i for i in range(len(AREAS)) if i not in large]
    assert out[stay].tolist() == stay


@pytest.mark.parametrize(("level", "left"), [(0.25, 3), (0.5, 2), (0.75, 1)])
def test_share_of_the_large_lesions_is_exact_and_nested(level, left):
    images = with_lesions(AREAS)
    out = numbers(damaged("lesion-mode-drop", images, level))
    stay = {2, 5, 7, 11} & set(out)
    assert len(stay) == left
    more = numbers(damaged("lesion-mode-drop", images, min(1.0, level + 0.25)))
    assert {2, 5, 7, 11} & set(more) < stay


def test_masks_follow_the_images_that_stand_in():
    images = with_lesions(AREAS)
    out = damaged("lesion-mode-drop", images, 1.0)
    assert np.count_nonzero(out.masks, axis=(1, 2)).tolist() == [AREAS[i] for i in numbers(out)]


@pytest.mark.parametrize(("areas", "found"), [([0, 0, 0], 0), ([0, 9, 0], 1)])
def test_too_few_lesions_are_refused(areas, found):
    with pytest.raises(ValueError, match=f"found {found} of 3 images with a lesion, needs"):
        damaged("lesion-mode-drop", with_lesions(areas), 0.5)


def shifted(level, seed=0, n_train=40, sites=SITES):
    train = numbered(n_train, 500, sites=[f"site-{'abcd'[i % 4]}" for i in range(n_train)])
    return damaged("density-shift", numbered(len(sites), sites=sites), level, seed, train=train)


@pytest.mark.parametrize(("level", "moved"), [(0.25, 5), (0.5, 10), (1.0, 20)])
def test_density_goes_the_share_of_the_way_to_the_favoured_sites(level, moved):
    """The first sites by name that hold half of the images: a with 8 of 40 and b with 12."""
    out = shifted(level)
    assert np.isin(out.sites, ["site-a", "site-b"]).sum() == 20 + moved
    new = numbers(out) >= 500
    assert new.sum() == moved
    # Training images of these sites, none twice while there are enough, and the rest in place.
    assert set((numbers(out)[new] - 500) % 4) <= {0, 1}
    assert np.array_equal(numbers(out)[~new], np.arange(40)[~new])
    assert len(set(numbers(out)[new])) == moved


def test_training_images_return_evenly_where_they_are_too_few():
    new = numbers(shifted(1.0, n_train=8))
    _, counts = np.unique(new[new >= 500], return_counts=True)
    assert (len(counts), counts.sum(), np.ptp(counts)) == (4, 20, 0)


def test_shifted_images_are_nested():
    few, many = (numbers(shifted(level)) for level in (0.25, 0.5))
    assert np.array_equal(few[few >= 500], many[few >= 500])
    # Another seed replaces other images, by others.
    other = numbers(shifted(0.25, seed=1))
    assert not np.array_equal(few >= 500, other >= 500)
    assert set(few[few >= 500]) != set(other[other >= 500])


def test_density_shift_without_a_site_to_shift_to_is_refused():
    with pytest.raises(ValueError, match="found only 'x' among the sites"):
        shifted(0.5, sites=["x"] * 8)
    with pytest.raises(ValueError, match="no training image of q; theirs are of site-a, site-b, "):
        shifted(0.5, sites=["q"] * 8 + ["z"])
    with pytest.raises(ValueError, match="needs training images with sites"):
        damaged("density-shift", numbered(4, sites=["a", "a", "b", "b"]), 0.5, train=numbered(4))


def spread(n=20, size=20, seed=0):
    """Images around mid grey, the last ones farther from it; sizes that 8 does not divide."""
    rng = np.random.default_rng(seed)
    patterns = rng.choice([-1, 1], (n, 1, 3, 3)).repeat(8, 2).repeat(8, 3)[..., :size, :size]
    fine = rng.choice([-0.1, 0.1], (n, 1, size, size))
    far = np.arange(1, n + 1)[:, None, None, None] / n
    # Half of the images are mirrored in grey, so that the mean is mid grey.
    patterns[1::2] = -patterns[::2]
    return ImageSet(0.5 + 0.2 * far * patterns + fine)


def which(out, images):
    flat = images.images.reshape(len(images), -1)
    return [
        int(np.flatnonzero((flat == o).all(axis=1))[0]) for o in out.images.reshape(len(out), -1)
    ]


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_truncation_replaces_the_least_typical_by_the_typical(level):
    images = spread()
    out = which(damaged("truncation", images, level), images)
    kept = round(20 * (1 - level))
    # Neighbours in order may change places by the fine pattern, not by more.
    gone = [i for i in range(20) if out[i] != i]
    assert len(gone) == 20 - kept
    assert min(gone) >= kept - 3
    assert set(out) <= set(range(20)) - set(gone)


def test_truncation_narrows_the_set_and_leaves_one_image_at_last():
    images = spread()
    spreads = [
        damaged("truncation", images, level).images.var(axis=0).mean() for level in (0, 0.3, 0.6)
    ]
    assert spreads[0] > spreads[1] > spreads[2]
    assert len(set(which(damaged("truncation", images, 1.0), images))) == 1


def test_typical_is_judged_by_area_averages_and_not_by_fine_patterns():
    """Checkerboards average to grey; one image a little darker throughout is less typical."""
    board = np.indices((16, 16)).sum(axis=0) % 2
    images = np.full((6, 1, 16, 16), 0.5)
    images[:2, 0] = np.where(board, 0.1, 0.9), np.where(board, 0.9, 0.1)
    images[5] = 0.45
    out = damaged("truncation", ImageSet(images), 0.17).images
    assert np.array_equal(out[:5], images[:5].astype(np.float32))
    assert not (out[5] == np.float32(0.45)).any()


def test_volumes_are_truncated_too():
    volumes = np.random.default_rng(0).random((6, 1, 9, 10, 17), np.float32)
    volumes[2] *= 0.2
    out = which(damaged("truncation", ImageSet(volumes), 0.17), ImageSet(volumes))
    assert out[2] != 2
    assert [o for i, o in enumerate(out) if i != 2] == [0, 1, 3, 4, 5]


def test_the_smaller_squares_at_the_edge_count_by_their_mean():
    images = np.full((8, 1, 20, 20), 0.5)
    images[3, :, :8, :8] = 0.6
    images[6, :, 16:, 16:] = 0.62
    out = damaged("truncation", ImageSet(images), 1 / 8).images
    assert np.array_equal(out[3], images[3].astype(np.float32))
    assert not (out[6] == np.float32(0.62)).any()
