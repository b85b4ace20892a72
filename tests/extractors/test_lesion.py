"""Descriptors of lesions: discs and balls of known size, edge and ramp; noise; images without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from nriqm_bench import extractors, metrics, perturbations
from nriqm_bench.datasets.phantom_tumour import phantom_tumour
from nriqm_bench.extractors import lesion as room
from nriqm_bench.extractors.lesion import Lesion
from nriqm_bench.extractors.regions import head, median_gradient, ramp, shell_medians

AROUND, WITHIN = 0.35, 0.75


def disc(radius=14.0, edge=0.8, slope=0.0, centre=(60.0, 66.0), size=128, core=0.0):
    """A head of brightness .35 with a disc of .75 whose edge is a Gaussian's integral."""
    y, x = np.indices((size, size), dtype=np.float64)
    away = np.hypot(y - centre[0], x - centre[1])
    inside = away < radius
    image = np.where(np.hypot(y - 63.5, x - 63.5) < 55, AROUND, 0.0)
    bright = WITHIN + slope * (y - centre[0])
    image = image + (bright - image) * stats.norm.sf((away - radius) / edge)
    if core:
        image[np.hypot(y - centre[0] - 3, x - centre[1]) < core] = 0.45
    return image.astype(np.float32)[None, None], inside.astype(np.uint8)[None]


def columns(image, mask):
    """The descriptors by name, in their own units; `position` and `slope` of the last axis."""
    found = Lesion()(image, masks=mask)[0].astype(np.float64)
    axes = mask.ndim - 1
    names = [*list(room._GEOMETRY)[:-1], *["position"] * axes]
    names += [*list(room._INTENSITY)[:-1], *["slope"] * axes]
    assert len(names) == len(found)
    table = room._GEOMETRY | room._INTENSITY
    return {
        name: table[name][0] + value * table[name][1] / table[name][2]
        for name, value in zip(names, found, strict=True)
    }


def noisy(image, sigma, seed=0):
    noise = np.random.default_rng(seed).standard_normal(image.shape).astype(np.float32)
    return np.clip(image + sigma * noise, 0, 1)


@pytest.mark.parametrize("radius", [8, 14, 20])
def test_a_disc_has_its_size_shape_and_contrast(radius):
    found = columns(*disc(radius))
    assert found["presence"] == pytest.approx(1)
    assert found["size"] == pytest.approx(np.sqrt(np.pi) * radius, rel=0.03)
    assert found["spread"] == pytest.approx(0, abs=0.02)
    assert found["elongation"] == pytest.approx(0, abs=0.02)
    assert found["contrast"] == pytest.approx(WITHIN - AROUND, abs=0.01)
    assert found["ramp"] == pytest.approx(0, abs=0.002)


def test_an_ellipse_is_elongated_by_the_ratio_of_its_axes():
    y, x = np.indices((128, 128))
    mask = (((y - 60) / 12) ** 2 + ((x - 64) / 24) ** 2 < 1).astype(np.uint8)[None]
    found = columns(np.full((1, 1, 128, 128), 0.5, np.float32), mask)
    assert found["elongation"] == pytest.approx(np.log(2), abs=0.02)
    assert found["spread"] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("edge", [0.6, 1.0, 2.0])
def test_the_step_is_that_of_the_edge(edge):
    """Half a pixel on either side of an edge of known width, and one and a half."""
    found = columns(*disc(20, edge))
    for away, name in ((0.5, "step 1"), (1.5, "step 2")):
        expected = (WITHIN - AROUND) * (1 - 2 * stats.norm.sf(away / edge))
        assert found[name] == pytest.approx(expected, abs=0.06)


def test_a_ramp_is_recovered_despite_a_dark_core_off_the_middle():
    slope = 0.008
    image, mask = disc(14, slope=slope, core=6)
    found = columns(image, mask)
    # Less its outermost pixel the disc's SD along an axis is half its radius.
    expected = slope * np.sqrt((13 / 2) ** 2 + 1)
    assert found["ramp"] == pytest.approx(expected, rel=0.15)
    assert found["gradient"] == pytest.approx(expected, rel=0.3)
    assert columns(*disc(14, core=6))["ramp"] < expected / 4
    least_squares = np.polyfit(np.argwhere(mask[0])[:, 0], image[0, 0][mask[0] > 0], 1)[0]
    assert abs(least_squares - slope) > 0.2 * slope


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_noise_moves_descriptors_by_less_than_blunt_tilted_or_lost_outlines_do(sigma):
    clean, mask = disc(slope=0.004)
    lesion = Lesion()
    base = lesion(clean, masks=mask)
    grain = list(room._GEOMETRY).index("position") + 2 + list(room._INTENSITY).index("grain")

    def moved(image, m=mask):
        return np.linalg.norm(np.delete((lesion(image, masks=m) - base)[0], grain))

    noise = np.median([moved(noisy(clean, sigma, seed)) for seed in range(9)])
    assert moved(disc(slope=0.004, edge=2.2)[0]) > 1.5 * noise
    assert moved(disc(slope=0.02)[0]) > 1.5 * noise
    assert moved(clean, np.zeros_like(mask)) > 1.5 * noise


def test_an_image_without_a_lesion_is_one_fixed_row():
    rng = np.random.default_rng(0)
    images = rng.random((2, 1, 64, 64)).astype(np.float32)
    found = Lesion()(images, masks=np.zeros((2, 64, 64), np.uint8))
    np.testing.assert_array_equal(found[0], found[1])
    assert found.shape == (2, Lesion.dim)
    assert np.count_nonzero(found[0]) == 2
    assert (found[0, :2] < -2 * 0.5).all()


def test_position_is_relative_to_the_head():
    image, mask = disc(centre=(70.0, 50.0))
    moved = np.roll(image, (5, -6), (2, 3)), np.roll(mask, (5, -6), (1, 2))
    a, b = Lesion()(image, masks=mask), Lesion()(*moved)
    np.testing.assert_allclose(a, b, atol=0.05)
    other = Lesion()(*disc(centre=(50.0, 70.0)))
    assert np.abs(a - other).max() > 0.3


def test_the_head_is_found_in_noise():
    y, x = np.indices((128, 128))
    image = np.where(((y - 70) / 50) ** 2 + ((x - 60) / 40) ** 2 < 1, 0.5, 0).astype(np.float32)
    for sigma in (0, 0.1, 0.2):
        centre, spread = head(noisy(image, sigma))
        np.testing.assert_allclose(centre, (70, 60), atol=1)
        np.testing.assert_allclose(spread, (27, 22), atol=1.5)


@pytest.mark.parametrize(
    "mask",
    [np.ones((16, 16)), np.eye(16) * 0 + (np.arange(16) == 3), np.pad([[1]], ((2, 13), (5, 10)))],
    ids=["everything", "a line", "one pixel"],
)
def test_odd_masks_give_finite_rows(mask):
    image = np.random.default_rng(1).random((1, 1, 16, 16)).astype(np.float32)
    for x in (image, np.zeros_like(image), np.ones_like(image)):
        assert np.isfinite(Lesion()(x, masks=mask[None].astype(np.uint8))).all()


def test_volumes_and_channels():
    z, y, x = np.indices((32, 48, 48))
    mask = (np.sqrt((z - 15) ** 2 + (y - 24) ** 2 + (x - 20) ** 2) < 9).astype(np.uint8)[None]
    image = np.where(mask, 0.8, 0.4).astype(np.float32)[:, None]
    found = columns(image, mask)
    assert found["size"] == pytest.approx(9 * np.cbrt(4 / 3 * np.pi), rel=0.02)
    assert found["spread"] == pytest.approx(0, abs=0.02)
    assert found["contrast"] == pytest.approx(0.4, abs=0.01)
    lesion = Lesion()
    one = lesion(image, masks=mask)
    three = lesion(image.repeat(3, axis=1), masks=mask)
    assert three.shape[1] == 7 + 3 * (one.shape[1] - 7)
    np.testing.assert_array_equal(three[:, 7:29], three[:, 29:51])
    np.testing.assert_array_equal(three[:, :29], one)


def test_rows_do_not_depend_on_company_and_labels_count_alike():
    part = phantom_tumour(6, seed=5)
    lesion = Lesion()
    found = lesion(part.images, masks=part.masks)
    assert found.dtype == np.float32
    alone = [lesion(part.images[[i]], masks=part.masks[[i]]) for i in (5, 2)]
    np.testing.assert_array_equal(np.concatenate(alone), found[[5, 2]])
    np.testing.assert_array_equal(lesion(part.images, masks=(part.masks > 0) * 7), found)


def test_what_whole_images_hide_is_seen():
    """Of the damage that whole-image FID takes for noise of sigma .015, at 30 subjects."""
    reference, held_out = (phantom_tumour(120, part=p) for p in ("reference", "held-out"))
    lesion, fid = Lesion(), metrics.get("fid")
    real = lesion(reference.images, masks=reference.masks)

    def distance(name="", level=0.0):
        one = held_out
        if name:
            one = perturbations.get(name)(held_out, level, np.random.default_rng(0))
        return fid(real, lesion(one.images, masks=one.masks))

    base = distance()
    noise = distance("gaussian-noise", 0.1) - base
    assert distance("boundary-blur", 2.0) - base > 3 * abs(noise)


def test_what_is_missing_or_does_not_fit_is_said():
    images = np.zeros((2, 1, 8, 8), np.float32)
    lesion = extractors.open("lesion")
    assert lesion.needs == frozenset({"masks"})
    with pytest.raises(ValueError, match="'lesion' needs masks, and these images have none"):
        lesion(images)
    with pytest.raises(ValueError, match=r"masks had shape \(2, 9, 8\), must be \(2, 8, 8\)"):
        lesion(images, masks=np.zeros((2, 9, 8), np.uint8))
    with pytest.raises(ValueError, match="masks had dtype float64"):
        lesion(images, masks=np.zeros((2, 8, 8)))
    with pytest.raises(ValueError, match="takes no argument"):
        extractors.open("lesion:big")


def test_medians_of_shells_pass_by_clipping_and_thin_shells():
    rng = np.random.default_rng(0)
    distance = rng.uniform(-2, 3, 20000)
    level = np.select([distance <= -1, distance <= 0, distance <= 1], [0.9, 0.6, 0.3], 0.1)
    values = np.clip(level + rng.normal(0, 0.3, 20000), 0, 1).astype(np.float32)
    edges = np.array([-2.0, -1, 0, 1])
    np.testing.assert_allclose(shell_medians(values, distance, edges), [0.9, 0.6, 0.3], atol=0.03)
    few = np.array([-1.5, -0.5, *[0.5] * 9])
    shells = shell_medians(np.linspace(0, 1, 11, dtype=np.float32), few, edges)
    np.testing.assert_allclose(shells, [0.6] * 3, atol=1e-6)
    assert (shell_medians(values[:0], distance[:0], edges) == 0).all()


def test_a_ramp_that_most_points_lie_on():
    rng = np.random.default_rng(0)
    where = rng.normal(size=(500, 2))
    values = 0.5 + where @ [0.05, -0.02] + rng.normal(0, 0.01, 500)
    values[where[:, 0] > 1] -= 0.3
    slopes, noise = ramp(where - where.mean(0), values)
    np.testing.assert_allclose(slopes, [0.05, -0.02], atol=0.005)
    assert 0.008 < noise < 0.02


def test_the_median_gradient_ignores_steps():
    y = np.arange(40, dtype=np.float32)[:, None] * np.float32(0.01) + np.zeros((1, 30), np.float32)
    y[20:] -= 0.5
    inside = np.ones(y.shape, bool)
    np.testing.assert_allclose(median_gradient(y, inside, 3), [0.01, 0], atol=1e-6)
    assert (median_gradient(y, inside & False, 3) == 0).all()


def test_blurred_noise_is_no_lesion_texture():
    """Texture that noise hardly touches: the range of a smoothed inside, not of its pixels."""
    clean, mask = disc(16)
    blobs = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(clean.shape), 3)
    coarse = np.clip(clean + (0.08 / blobs.std() * blobs).astype(np.float32), 0, 1)
    fine = noisy(clean, 0.08)
    assert columns(coarse, mask)["range"] > 2 * columns(fine, mask)["range"]
