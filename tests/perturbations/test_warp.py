"""Warps move the anatomy and leave the noise: its spectrum, and what metrics make of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import nriqm_bench.datasets as datasets
import nriqm_bench.extractors as extractors
import nriqm_bench.metrics as metrics
from nriqm_bench.perturbations.warp import _noise_gains, _smooth, falloff, noise_sd, pull, split

SIGMA = 0.02
SIZE = 128


def noise(*spatial, seed=0):
    rng = np.random.default_rng(seed)
    return (0.5 + SIGMA * rng.standard_normal((1, *spatial))).astype(np.float32)


def bump(amplitude, size=SIZE, reach=50):
    """A smooth shift along the last axis about the middle, and where it is not 0."""
    y, x = np.indices((size, size)) - size / 2
    away = np.hypot(y, x)
    weight = np.where(away < reach, np.cos(0.5 * np.pi * away / reach) ** 2, 0)
    return np.stack([0 * weight, amplitude * weight])


def swirl(amplitude):
    u = bump(1.0)[1]
    y, x = np.indices((SIZE, SIZE)) - SIZE / 2
    return amplitude / 10 * np.stack([-x * u, y * u])


def magnify(amplitude):
    u = bump(1.0)[1]
    y, x = np.indices((SIZE, SIZE)) - SIZE / 2
    return -amplitude / 15 * np.stack([y * u, x * u])


def spectrum(image):
    """Mean power in rings of frequency, of the inner part of an image."""
    part = image[40:88, 40:88]
    power = np.abs(np.fft.fft2(part - part.mean())) ** 2
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(48), np.fft.fftfreq(48)))
    rings = [(low, low + 0.1) for low in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    return np.array([power[(f >= low) & (f < high)].mean() for low, high in rings])


FIELDS = [bump(0.5), bump(3.3), bump(10.0), swirl(5.0), magnify(5.0)]


@pytest.mark.parametrize("field", FIELDS, ids=["half", "shift", "far", "swirl", "magnify"])
def test_noise_keeps_its_spectrum(field):
    image = noise(SIZE, SIZE)
    out = image.copy()
    pull(out, [], field)
    assert not np.array_equal(out, image)
    assert spectrum(out[0]) == pytest.approx(spectrum(image[0]), rel=0.03)
    assert out[0].std() == pytest.approx(image[0].std(), rel=0.01)
    # Interpolation of the whole image, even by cubic splines, would not.
    at = np.indices((SIZE, SIZE)) + field
    whole = ndimage.map_coordinates(image[0], at, order=3, mode="mirror")
    assert spectrum(whole)[-1] < 0.8 * spectrum(image[0])[-1]


def test_volume_keeps_its_noise():
    image = noise(24, 40, 40)
    z, y, x = np.indices((24, 40, 40))
    weight = np.exp(-((z - 12.0) ** 2 + (y - 20) ** 2 + (x - 20) ** 2) / 60)
    out = image.copy()
    pull(out, [], np.stack([1.5 * weight, 2.5 * weight, 0 * weight]))
    inner = (0, slice(8, 16), slice(14, 26), slice(14, 26))
    assert out[inner].std() == pytest.approx(image[inner].std(), rel=0.02)


@pytest.mark.parametrize("spatial", [(64, 64), (24, 24, 24)])
def test_parts_add_up_and_flat_noise_is_all_residual(spatial):
    image = noise(*spatial)[0]
    anatomy, residual = split(image)
    assert anatomy + residual == pytest.approx(image, abs=1e-6)
    assert residual.std() == pytest.approx(SIGMA, rel=0.05)
    assert anatomy.std() < 0.15 * SIGMA
    assert noise_sd(image) == pytest.approx(SIGMA, rel=0.1)
    assert noise_sd(np.zeros(spatial)) == 0


def test_edges_are_anatomy():
    """Of a step of 25 noise SDs next to nothing stays behind when the anatomy moves."""
    step = np.zeros((64, 64), np.float32)
    step[:, 32:] = 25 * SIGMA
    _, residual = split(0.2 + step + noise(64, 64)[0] - 0.5)
    profile = residual.mean(axis=0)
    assert np.abs(profile).max() < 0.7 * SIGMA
    assert residual.std() < 1.1 * SIGMA


def test_image_without_noise_is_all_anatomy():
    _, residual = split(np.pad(np.full((20, 20), 0.7, np.float32), 12))
    assert residual == pytest.approx(np.zeros((44, 44)), abs=1e-6)


@pytest.mark.parametrize("spatial", [(256, 256), (48, 48, 48)])
def test_gains_are_those_of_white_noise(spatial):
    """With all coefficients in the residual, each scale adds what the formula says."""
    white = np.random.default_rng(0).standard_normal(spatial).astype(np.float32)
    found = []
    for scale in range(3):
        coarse = _smooth(white, scale)
        found.append((white - coarse).std())
        white = coarse
    assert found == pytest.approx(_noise_gains(len(spatial)), rel=0.1)


def test_no_net_displacement_leaves_every_bit():
    """There and back composed is a displacement of zero; rounding of one must not show either."""
    image = noise(SIZE, SIZE)
    out = image.copy()
    there = bump(3.3)
    pull(out, [], there - there)
    assert np.array_equal(out, image)
    pull(out, [], there + 1e-9 - there)
    assert out == pytest.approx(image, abs=1e-6)


def test_whole_voxels_are_moved_exactly():
    rng = np.random.default_rng(0)
    picture = ndimage.gaussian_filter(rng.random((48, 48)), 2).astype(np.float32)[None]
    labels = rng.integers(0, 4, (48, 48)).astype(np.uint8)
    out, moved = picture.copy(), labels.copy()
    field = np.zeros((2, 48, 48))
    field[1, 10:30, 10:30] = 5
    # Smooth as it is, the picture has no noise but in name.
    anatomy, residual = split(picture[0])
    pull(out, [moved], field)
    expected = anatomy[10:30, 15:35] + residual[10:30, 10:30]
    assert out[0, 10:30, 10:30] == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(moved[10:30, 10:30], labels[10:30, 15:35])
    still = np.ones((48, 48), bool)
    still[10:30, 10:30] = False
    assert np.array_equal(out[0][still], picture[0][still])
    assert np.array_equal(moved[still], labels[still])


def test_beyond_the_frame_the_edge_continues():
    ramp = np.tile(np.linspace(0.2, 0.8, 32, dtype=np.float32), (32, 1))[None]
    field = np.zeros((2, 32, 32))
    field[1, :, 20:] = 40
    labels = np.tile(np.arange(32, dtype=np.uint8), (32, 1))
    out = ramp.copy()
    pull(out, [labels], field)
    assert out[0, :, 20:] == pytest.approx(np.full((32, 12), 0.8), abs=0.02)
    assert (labels[:, 20:] == 31).all()


def test_falloff_is_smooth_at_both_ends():
    inner = np.linspace(0, 10, 1001)
    weight = falloff(inner, 10 - inner)
    slope = np.diff(weight) / 0.01
    assert weight[0] == 1
    assert weight[-1] == 0
    assert (slope <= 0).all()
    assert slope[[0, -1]] == pytest.approx([0, 0], abs=5e-3)
    assert falloff(np.array([0.0, 3.0]), np.array([-1.0, 0.0])).tolist() == [0, 0]


# What metrics make of the machinery ------------------------------------------------------------

N = 48


@pytest.fixture(scope="module")
def scale():
    """Images, and how many floor SDs the FID is moved when they are replaced."""
    source = datasets.get("phantom-tumour")
    held = source(5 * N, part="held-out")
    extract = extractors.get("efficientnet-lite0")()
    fid = metrics.get("fid")
    real = extract(source(N, part="reference").images)
    features = extract(held.images)
    floor = [fid(real, features[i : i + N]) for i in range(0, 5 * N, N)]
    sd = float(np.std(floor, ddof=1))
    return held[:N], lambda images: (fid(real, extract(images)) - floor[0]) / sd


def test_resampling_alone_moves_no_metric(scale):
    """Lesions shifted by 1.5 pixels with what is around them, and back again."""
    held, effect = scale
    out = held.images.copy()
    x = np.arange(SIZE)
    for image, mask in zip(out, held.masks, strict=True):
        if not mask.any():
            continue
        middle = np.argwhere(mask > 0).mean(axis=0).astype(int) - SIZE // 2
        there = np.roll(bump(1.5, reach=35), middle, axis=(1, 2))
        back = np.stack([np.interp(x, x + row, x) - x for row in there[1]])
        pull(image, [], there)
        pull(image, [], np.stack([0 * back, np.where(np.abs(back) > 1e-6, back, 0)]))
    assert not np.array_equal(out, held.images)
    assert abs(effect(out)) < 0.3
    half = 0.5 * (held.images + np.roll(held.images, 1, axis=-1))
    assert effect(half) > 1
