"""Circular harmonics: known patterns, turned and mirrored images, copies against other subjects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nriqm_bench import extractors
from nriqm_bench.datasets.phantom_tumour import phantom_tumour
from nriqm_bench.metrics.copies import memorisation_indices
from nriqm_bench.metrics.matches import copy_scores
from nriqm_bench.perturbations.copies import DISGUISES

HARMONICS = extractors.open("circular-harmonics")

# Of unit rows: what float32 sums in another order leave.
ROUNDED = 1e-6


def blobs(*spatial, n=6, seed=0):
    """Bright random shapes on black that keep clear of the edges."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in spatial[-2:]), indexing="ij")
    disc = np.hypot(*axes) < 0.7
    texture = ndimage.gaussian_filter(
        rng.random((n, 1, *spatial)), (0, 0, *[min(spatial) / 16] * len(spatial))
    )
    texture -= texture.min()
    return (disc * texture / texture.max()).astype(np.float32)


def distances(a, b):
    return np.linalg.norm(a[:, None].astype(float) - b, axis=2)


def own_distance(features):
    gaps = distances(features, features)
    np.fill_diagonal(gaps, np.inf)
    return gaps.min()


@pytest.mark.parametrize("waves", [2, 3, 7])
def test_a_pattern_of_m_waves_is_found_in_coefficient_m(waves):
    y, x = np.indices((128, 128)) - 63.5
    wave = 0.5 + 0.2 * np.cos(waves * np.arctan2(y, x))
    image = np.where(np.hypot(y, x) < 63, wave, 0).astype(np.float32)[None, None]
    found = HARMONICS(image).reshape(16, 16)[3:14]
    others = np.delete(found, [0, waves, *range(2 * waves, 16, waves)], axis=1)
    assert (found[:, waves] > 8 * others.max(axis=1)).all()
    # Coefficient 0 is .5, coefficient m is .1, of two signs, and counts m times; of a wave of m / r
    # rad a pixel the smoothing leaves a Gaussian's share.
    radius = 2 * np.arange(3, 14) + 1
    expected = waves * np.sqrt(2) * 0.1 / 0.5 * np.exp(-((waves / radius) ** 2) / 2)
    assert found[:, waves] / found[:, 0] == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("spatial", [(128, 128), (96, 128), (45, 31), (10, 48, 40)])
def test_mirrored_and_quarter_turned_images_have_the_same_features(spatial):
    images = blobs(*spatial)
    found = HARMONICS(images)
    assert own_distance(found) > 0.05
    for turned in (images[..., ::-1], images[..., ::-1, :], images[..., ::-1, ::-1]):
        assert np.abs(HARMONICS(turned.copy()) - found).max() < ROUNDED
    quarter = np.rot90(images, axes=(-2, -1)).copy()
    assert np.abs(HARMONICS(quarter) - found).max() < ROUNDED


def test_shifts_by_whole_grid_pixels_are_not_seen():
    images = blobs(128, 128)
    moved = np.roll(images, (4, -6), axis=(2, 3))
    assert np.abs(HARMONICS(moved) - HARMONICS(images)).max() < 1e-3


def test_brightness_is_not_seen():
    images = blobs(64, 64)
    assert np.abs(HARMONICS(0.3 * images) - HARMONICS(images)).max() < ROUNDED


@pytest.mark.parametrize("degrees", [3, 5, 20, -73])
def test_turns_move_features_less_than_other_images_are_away(degrees):
    images = blobs(128, 128, n=12)
    found = HARMONICS(images)
    turned = ndimage.rotate(images, degrees, axes=(2, 3), reshape=False, order=3)
    moved = np.linalg.norm(HARMONICS(turned.astype(np.float32)) - found, axis=1)
    assert moved.max() < own_distance(found) / 4


@pytest.fixture(scope="module")
def subjects():
    """A slice of each of 60 training, 60 reference and 60 held-out subjects."""
    return {
        part: phantom_tumour(n=240, part=part)[np.arange(0, 240, 4)]
        for part in ("train", "reference", "held-out")
    }


@pytest.fixture(scope="module")
def spaces(subjects):
    return {part: HARMONICS(images.images) for part, images in subjects.items()}


@pytest.mark.parametrize("disguise", sorted(set(DISGUISES) - {"blend"}))
def test_a_disguised_copy_is_told_from_any_honest_image(subjects, spaces, disguise):
    train = subjects["train"]
    copies = DISGUISES[disguise](train, np.arange(20), np.random.default_rng(0))
    found = HARMONICS(copies.images)
    real, honest = spaces["reference"], spaces["held-out"]
    assert (distances(found, spaces["train"]).argmin(axis=1) == np.arange(20)).all()
    scores = copy_scores(real, found, spaces["train"])
    assert scores.min() > copy_scores(real, honest, spaces["train"]).max()
    indices = memorisation_indices(real, found, spaces["train"])
    assert indices.min() > memorisation_indices(real, honest, spaces["train"]).max()


def test_a_flipped_turned_dimmed_blurred_and_noisy_copy_is_still_found(subjects, spaces):
    train, rng = subjects["train"], np.random.default_rng(0)
    copies, picks = train, np.arange(20)
    for disguise in ("flip", "rotation-5", "intensity", "blur", "noise-.02"):
        copies = DISGUISES[disguise](copies, picks, rng)
    scores = copy_scores(spaces["reference"], HARMONICS(copies.images), spaces["train"])
    honest = copy_scores(spaces["reference"], spaces["held-out"], spaces["train"])
    assert scores.min() > honest.max()


def test_volumes_turn_about_one_axis_and_keep_the_order_of_their_slabs():
    volumes = blobs(16, 48, 48)
    found = HARMONICS(volumes)
    assert found.shape == (6, 8 * 256)
    turned = ndimage.rotate(volumes, 5, axes=(3, 4), reshape=False, order=3).astype(np.float32)
    assert np.linalg.norm(HARMONICS(turned) - found, axis=1).max() < own_distance(found) / 4
    assert np.linalg.norm(HARMONICS(volumes[:, :, ::-1].copy()) - found, axis=1).min() > 0.05


def test_a_volume_of_equal_slices_is_eight_times_the_slice():
    image = blobs(64, 64, n=2)
    volume = np.repeat(image[:, :, None], 16, axis=2)
    expected = np.tile(HARMONICS(image), 8) / np.sqrt(8)
    np.testing.assert_allclose(HARMONICS(volume), expected, atol=ROUNDED)
    assert HARMONICS(volume[:, :, :3]).shape == (2, 3 * 256)


def test_channels_share_a_centre_and_stand_side_by_side():
    grey = blobs(64, 64)
    expected = np.tile(HARMONICS(grey), 3) / np.sqrt(3)
    np.testing.assert_allclose(HARMONICS(grey.repeat(3, axis=1)), expected, atol=ROUNDED)


def test_images_without_anatomy_have_features_too():
    assert not HARMONICS(np.zeros((2, 1, 32, 32), np.float32)).any()
    (flat,) = HARMONICS(np.full((1, 1, 32, 32), 0.4, np.float32)).reshape(1, 16, 16)
    assert flat[:, 0] == pytest.approx(np.full(16, 0.25))
    assert np.abs(flat[:, 1:]).max() < ROUNDED
    for spatial in ((1, 1), (2, 3), (1, 40), (1, 4, 4)):
        found = HARMONICS(np.random.default_rng(0).random((3, 1, *spatial), dtype=np.float32))
        assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3))


def test_features_do_not_depend_on_company_and_images_stay():
    images = blobs(100, 90, n=11)
    before = images.copy()
    found = HARMONICS(images)
    assert found.dtype == np.float32
    assert found.shape == (11, HARMONICS.dim)
    assert np.array_equal(np.concatenate([HARMONICS(images[:3]), HARMONICS(images[3:])]), found)
    assert np.array_equal(images, before)
    assert HARMONICS.key() == "circular-harmonics:1"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 32, 32), np.float32), "images had shape"),
        (np.zeros((2, 1, 8, 8), np.uint8), "images had dtype"),
        (np.full((2, 1, 8, 8), np.nan, np.float32), "images held NaN"),
    ],
)
def test_what_is_no_image_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        HARMONICS(images)
