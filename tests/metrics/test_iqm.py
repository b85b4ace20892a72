"""Image quality measures: closed forms, scikit-image, and what they make of phantoms."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import threshold_otsu
from skimage.measure import blur_effect

from nriqm_bench import datasets, metrics, perturbations
from nriqm_bench.metrics.iqm import classes, iqm_values, otsu_threshold

NAMES = ("snr", "cnr", "cjv", "efc", "fber", "blur")


@pytest.fixture(scope="module")
def phantoms():
    return datasets.get("phantom-tumour")(n=12)


def tissues(n=1, noise=0.02, background=0.1, side=96, seed=0):
    """A square of two tissues, .6 and .85, on a background, with normal noise of known size."""
    image = np.full((side, side), background)
    image[16:80, 16:48], image[16:80, 48:80] = 0.6, 0.85
    drawn = image + noise * np.random.default_rng(seed).normal(size=(n, 1, side, side))
    return np.clip(drawn, 0, 1)


def test_otsu_is_that_of_scikit_image(phantoms):
    for image in phantoms.images[:, 0].astype(np.float64):
        assert otsu_threshold(image.ravel()) == pytest.approx(threshold_otsu(image), abs=1e-12)


def test_the_classes_are_the_tissues():
    found = classes(tissues()[0, 0])
    assert len(found.foreground) == 64 * 64
    assert len(found.dark) == len(found.bright) == 64 * 32
    assert found.dark.mean() == pytest.approx(0.6, abs=0.002)
    assert found.bright.mean() == pytest.approx(0.85, abs=0.002)


@pytest.mark.parametrize("noise", [0.01, 0.02, 0.03])
def test_ratios_to_a_known_noise(noise):
    x = tissues(8, noise)
    assert metrics.get("snr")(None, x) == pytest.approx(0.725 / noise, rel=0.05)
    assert metrics.get("cnr")(None, x) == pytest.approx(0.25 / noise, rel=0.05)
    assert metrics.get("cjv")(None, x) == pytest.approx(2 * noise / 0.25, rel=0.05)
    assert metrics.get("cjv")(None, x, robust=True) == pytest.approx(2 * noise / 0.25, rel=0.08)


def test_noise_of_the_background_of_a_magnitude_image():
    rng = np.random.default_rng(0)
    clean = tissues(8, 0.0, background=0.0)
    x = np.hypot(clean + 0.02 * rng.normal(size=clean.shape), 0.02 * rng.normal(size=clean.shape))
    assert metrics.get("snr")(None, x, noise="background") == pytest.approx(0.725 / 0.02, rel=0.05)
    assert metrics.get("cnr")(None, x, noise="background") == pytest.approx(0.25 / 0.02, rel=0.05)


def test_energies_of_two_levels():
    x = np.full((1, 1, 10, 10), 0.1)
    x[..., :5] = 0.8
    assert metrics.get("fber")(None, x) == pytest.approx(64, rel=1e-6)
    x[0, 0, 0, 9] = 0.3
    assert metrics.get("fber")(None, x, average="median") == pytest.approx(64, rel=1e-6)
    assert metrics.get("fber")(None, x) == pytest.approx(0.64 / ((49 * 0.01 + 0.09) / 50), rel=1e-6)


def test_entropy_of_a_constant_image_of_one_voxel_and_of_a_part():
    efc = metrics.get("efc")
    assert efc(None, np.full((1, 1, 8, 8), 0.3)) == pytest.approx(1, rel=1e-12)
    one = np.zeros((1, 1, 8, 8))
    one[0, 0, 3, 4] = 0.7
    assert efc(None, one) == 0
    part = np.zeros((1, 1, 16, 16))
    part[..., :4, :4] = 0.5
    # 16 of 256 voxels: 16 * (1 / 4) log 4 over 16 log 16.
    assert efc(None, part) == pytest.approx(4 * np.log(4) / (16 * np.log(16)), rel=1e-12)


@pytest.mark.parametrize("size", [9, 11])
def test_blur_is_that_of_scikit_image(phantoms, size):
    found = iqm_values("blur", phantoms.images, size=size)
    expected = [blur_effect(x.astype(np.float64), h_size=size) for x in phantoms.images[:, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    volume = np.random.default_rng(0).random((1, 1, 12, 14, 16))
    assert iqm_values("blur", volume)[0] == pytest.approx(blur_effect(volume[0, 0]), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "damage", "rises"),
    [
        ("snr", "gaussian-noise", False),
        ("cnr", "gaussian-noise", False),
        ("fber", "gaussian-noise", False),
        ("cjv", "gaussian-noise", True),
        ("efc", "gaussian-noise", True),
        ("blur", "blur", True),
    ],
)
def test_damage_moves_the_measure_its_way(phantoms, name, damage, rises):
    levels = (0.05, 0.1) if damage == "gaussian-noise" else (1, 2)
    rng = np.random.default_rng
    images = [phantoms, *(perturbations.get(damage)(phantoms, v, rng(0)) for v in levels)]
    values = [metrics.get(name)(None, x.images) for x in images]
    assert (np.diff(values) > 0 if rises else np.diff(values) < 0).all()
    assert metrics.get(name).higher_is_better is not rises


@pytest.mark.parametrize("name", NAMES)
def test_a_set_has_the_mean_over_its_images(phantoms, name):
    each = iqm_values(name, phantoms.images)
    assert each.shape == (12,)
    one = metrics.get(name)
    assert one(None, phantoms.images) == pytest.approx(each.mean(), rel=1e-14)
    assert each[3] == pytest.approx(one(None, phantoms.images[[3]]), rel=1e-14)
    two = np.concatenate([phantoms.images[:6], phantoms.images[6:]], axis=1)
    halves = (each[:6] + each[6:]) / 2
    np.testing.assert_allclose(iqm_values(name, two), halves, rtol=1e-12)
    found = one.estimate(None, phantoms.images)
    assert found.low < found.value < found.high
    assert found.n == 12


@pytest.mark.parametrize("name", ["snr", "cjv", "efc", "fber"])
def test_scale_of_intensities_does_not_matter(name):
    x = np.abs(tissues(2))
    assert metrics.get(name)(None, x / 2) == pytest.approx(metrics.get(name)(None, x), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_volumes_are_read_too(name):
    volume = np.repeat(np.abs(tissues(1, side=96))[:, :, None], 12, axis=2)
    volume = volume * 0.9 + 0.01 * np.random.default_rng(0).random(volume.shape)
    assert np.isfinite(metrics.get(name)(None, volume))


def constant_second():
    return np.concatenate([tissues(), np.full((1, 1, 96, 96), 0.5)])


def skull_stripped():
    x = np.zeros((1, 1, 64, 64))
    inside = np.random.default_rng(0).random((32, 32))
    x[..., 16:48, 16:48] = 0.5 + 0.2 * (np.arange(32) > 15) + 0.02 * inside
    return x


@pytest.mark.parametrize(
    ("name", "images", "options", "told"),
    [
        ("snr", constant_second(), {}, "image 1 was constant"),
        ("cjv", constant_second(), {}, "image 1 was constant"),
        ("fber", constant_second(), {}, "image 1 was constant"),
        ("blur", constant_second(), {}, "image 1 had no edges"),
        ("efc", np.zeros((1, 1, 9, 9)), {}, "image 0 was 0 everywhere"),
        ("fber", skull_stripped(), {}, "image 0 had a background of zeros"),
        ("snr", skull_stripped(), {"noise": "background"}, "give noise='detail'"),
        ("cnr", tissues(), {"noise": "air"}, "noise='air', must be 'detail' or 'background'"),
        ("fber", tissues(), {"average": "mode"}, "must be 'mean' or 'median'"),
        ("blur", np.random.default_rng(0).random((1, 1, 3, 9)), {}, "at least 4 pixels a side"),
    ],
)
def test_what_cannot_be_measured_is_named(name, images, options, told):
    with pytest.raises(ValueError, match=told):
        metrics.get(name)(None, images, **options)


def test_skull_stripped_images_have_a_noise_all_the_same():
    assert np.isfinite(metrics.get("snr")(None, skull_stripped()))
    assert np.isfinite(metrics.get("cnr")(None, skull_stripped()))


def test_an_unknown_measure_is_named():
    with pytest.raises(KeyError, match="no image quality measure 'psnr'"):
        iqm_values("psnr", tissues())


def test_images_of_a_wrong_shape_are_named():
    with pytest.raises(ValueError, match=r"images had shape \(4, 9\)"):
        iqm_values("efc", np.ones((4, 9)))
