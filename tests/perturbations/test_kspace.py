"""Ringing, spikes, ghosts and motion against what they are in k-space."""

from __future__ import annotations

import numpy as np
import pytest

import nriqm_bench.perturbations as perturbations
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.kspace import POSES, motion_poses

SPATIAL = [(32, 40), (31, 33), (12, 16, 20)]


def damaged(name, images, level, seed=0, **options):
    rng = np.random.default_rng(seed)
    return perturbations.get(name)(ImageSet(images), level, rng, **options).images


def texture(*spatial, n=2, seed=0, low=0.3, high=0.7):
    return np.random.default_rng(seed).uniform(low, high, (n, 1, *spatial)).astype(np.float32)


def spectrum(images):
    axes = tuple(range(2, images.ndim))
    return np.fft.fftshift(np.fft.fftn(images.astype(np.float64), axes=axes), axes=axes)


def radius(spatial):
    """Index distance from the middle between the samples, as MONAI counts it."""
    axes = np.ogrid[tuple(slice(0, s) for s in spatial)]
    return np.sqrt(sum((a - (s - 1) / 2) ** 2 for a, s in zip(axes, spatial, strict=True)))


@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
def test_gibbs_takes_the_stated_share_of_k_space_from_the_outside(spatial, level):
    images = texture(*spatial, low=0.45, high=0.55)
    before, after = spectrum(images), spectrum(damaged("gibbs", images, level))
    limit = np.quantile(radius(spatial), 1 - level)
    inside, outside = radius(spatial) < limit - 2, radius(spatial) > limit + 2
    # A point and its mirror image (half a step off MONAI's centre) share what is cut.
    assert np.abs(after - before)[..., inside].max(initial=0) < 1e-2
    assert np.abs(after)[..., outside].max(initial=0) < 1e-2
    # The spectrum of one bright point is flat, so its energy tells the share that is left.
    point = np.full((1, 1, *spatial), 0.5, np.float32)
    point[(0, 0, *(s // 2 for s in spatial))] = 0.9
    left = ((damaged("gibbs", point, level) - 0.5) ** 2).sum() / 0.4**2
    # Real images keep half of the energy where one point of a pair is cut.
    assert left == pytest.approx(1 - level, abs=0.06)


def test_gibbs_rings_at_an_edge():
    step = np.full((1, 1, 64, 64), 0.3, np.float32)
    step[..., 32:] = 0.7
    out = damaged("gibbs", step, 0.8)[0, 0, 32]
    # The overshoot of a truncated Fourier series is 9 % of the step on either side.
    assert out.max() - 0.7 == pytest.approx(0.09 * 0.4, rel=0.25)


@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("level", [0.05, 0.3])
def test_spike_adds_one_sinusoid_of_the_stated_amplitude(spatial, level):
    images = texture(*spatial, n=4)
    change = damaged("spike", images, level) - images
    places = set()
    for image, added in zip(images, change, strict=True):
        power = np.abs(np.fft.fftn(added[0].astype(np.float64))) ** 2
        peak = np.unravel_index(np.argmax(power), spatial)
        mirror = tuple(-p % s for p, s in zip(peak, spatial, strict=True))
        assert power[peak] + power[mirror] > 0.999 * power.sum()
        # The mean square of a sinusoid is half the square of its amplitude.
        assert np.sqrt(2 * (added**2).mean()) == pytest.approx(level * image.mean(), rel=1e-3)
        frequency = np.hypot.reduce(
            [np.fft.fftfreq(s)[p] for p, s in zip(peak, spatial, strict=True)]
        )
        assert 1 / 8 - 0.06 < frequency < 3 / 8 + 0.06
        places.add(peak)
    assert len(places) > 1


def test_spike_on_a_black_image_adds_nothing():
    assert damaged("spike", np.zeros((1, 1, 16, 16), np.float32), 0.5) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("spatial", [(32, 40), (6, 16, 20)])
@pytest.mark.parametrize("level", [0.05, 0.4])
def test_two_shots_give_a_ghost_half_a_field_of_view_away(spatial, level):
    images = texture(*spatial, low=0, high=0.7).astype(np.float64)
    ghost = np.roll(images, spatial[-2] // 2, axis=-2)
    expected = np.sqrt((1 - level**2) * images**2 + level**2 * ghost**2)
    assert damaged("ghosting", images, level) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shots", [3, 4])
def test_more_shots_give_ghosts_of_the_stated_intensity_evenly_spaced(shots):
    point = np.zeros((1, 1, 48, 8), np.float32)
    point[..., 20, 3] = 0.8
    out = damaged("ghosting", point, 0.2, shots=shots)[0, 0, :, 3]
    places = (20 + 48 // shots * np.arange(shots)) % 48
    assert out[places[1:]] == pytest.approx(np.full(shots - 1, 0.2 * 0.8), abs=1e-5)
    # No energy is added or lost.
    assert out[20] == pytest.approx(0.8 * np.sqrt(1 - (shots - 1) * 0.2**2), abs=1e-5)
    assert np.delete(out, places) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("shots", [1, 5, 2.5, "2"])
def test_other_numbers_of_shots_are_refused(shots):
    with pytest.raises(ValueError, match=r"the shots of ghosting were .*, must be 2, 3 or 4"):
        damaged("ghosting", texture(8, 8), 0.1, shots=shots)


@pytest.mark.parametrize("spatial", [(64, 64), (48, 80), (20, 24, 28)])
def test_poses_displace_by_one_pixel_rms_and_the_middle_one_not_at_all(spatial):
    poses = motion_poses(spatial, np.random.default_rng(0))
    assert not poses.shifts[POSES // 2].any()
    assert poses.turns[POSES // 2] == 0
    grid = np.stack(np.indices(spatial), axis=-1) - (np.asarray(spatial) - 1) / 2
    first, second = poses.plane
    squares = []
    for shift, turn in zip(0.1 * poses.shifts, 0.1 * poses.turns, strict=True):
        moved = grid + shift
        moved[..., first] += (np.cos(turn) - 1) * grid[..., first] - np.sin(turn) * grid[
            ..., second
        ]
        moved[..., second] += (
            np.sin(turn) * grid[..., first] + (np.cos(turn) - 1) * grid[..., second]
        )
        squares.append(((moved - grid) ** 2).sum(axis=-1).mean())
    assert np.sqrt(np.mean(squares)) == pytest.approx(0.1, rel=1e-3)
    assert (poses.shifts**2).sum(axis=1).mean() == pytest.approx(0.5)


def blob(spatial, centre, sd=2.5):
    axes = np.ogrid[tuple(slice(0, s) for s in spatial)]
    square = sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True))
    return 0.8 * np.exp(-square / (2 * sd**2))


@pytest.mark.parametrize("spatial", [(48, 56), (28, 32, 36)])
def test_motion_joins_lines_of_k_space_from_moved_anatomy(spatial):
    """A round blob that is moved rigidly is a blob elsewhere: no interpolation is needed."""
    level = 2.0
    middle = (np.asarray(spatial) - 1) / 2
    centre = middle + [3.0, -5.0, 4.0][: len(spatial)]
    poses = motion_poses(spatial, np.random.default_rng(4))
    line = np.rint(np.fft.fftfreq(spatial[-2]) * spatial[-2])
    segment = np.floor((line / spatial[-2] + 0.5) * POSES)
    space = np.zeros(spatial, complex)
    for s in range(POSES):
        turn = level * poses.turns[s]
        at = (centre - middle).copy()
        first, second = poses.plane
        at[first], at[second] = (
            np.cos(turn) * at[first] - np.sin(turn) * at[second],
            np.sin(turn) * at[first] + np.cos(turn) * at[second],
        )
        moved = np.fft.fftn(blob(spatial, middle + at + level * poses.shifts[s]))
        space[..., segment == s, :] = moved[..., segment == s, :]
    expected = np.abs(np.fft.ifftn(space))
    image = blob(spatial, centre)[None, None]
    out = damaged("motion", image, level, seed=4)[0, 0]
    assert out == pytest.approx(expected, abs=2e-3)
    assert np.abs(out - image[0, 0]).max() > 0.02


@pytest.mark.parametrize("level", [0.5, 4.0, 16.0])
def test_motion_leaves_the_spectrum_of_noise(level):
    noise = np.random.default_rng(0).normal(0.5, 0.02, (8, 1, 64, 64)).astype(np.float32)
    out = damaged("motion", noise, level)
    before, after = (np.abs(spectrum(i - i.mean())) ** 2 for i in (noise, out))
    ring = (radius((64, 64)) / 6.4).astype(int)
    share = [after[..., ring == k].sum() / before[..., ring == k].sum() for k in range(1, 6)]
    assert share == pytest.approx(np.ones(5), abs=0.05)


def test_motion_of_next_to_nothing_changes_next_to_nothing():
    images = texture(33, 32, low=0, high=1)
    assert damaged("motion", images, 1e-4) == pytest.approx(images, abs=1e-3)
