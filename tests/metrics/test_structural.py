"""MS-SSIM against a direct evaluation of its definition, and against pytorch_msssim."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from nriqm_bench import metrics
from nriqm_bench.metrics.structural import WEIGHTS, ms_ssim_of_pairs

ms_ssim = metrics.get("ms-ssim")


REFERENCE = [((1, 1, 176, 176), 0.8543199811922646), ((1, 3, 191, 205), 0.8465561853587779)]


def pair(shape, noise=0.2, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.random(shape)
    return a, np.clip(a + noise * rng.normal(size=shape), 0, 1)


def direct(x, y, weights):
    """One channel, from the definition: scipy's correlation in place of matrix products."""
    at = np.arange(11) - 5
    window = np.exp(-(at**2) / 4.5)
    window /= window.sum()

    def smooth(image):
        for axis in range(image.ndim):
            image = ndimage.correlate1d(image, window, axis)
        return image[tuple(slice(5, side - 5) for side in image.shape)]

    value = 1.0
    for scale, weight in enumerate(weights):
        mx, my = smooth(x), smooth(y)
        vx, vy, vxy = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
        contrast = (2 * vxy + 9e-4) / (vx + vy + 9e-4)
        whole = contrast * (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
        last = scale == len(weights) - 1
        value *= max(0, (whole if last else contrast).mean()) ** weight
        if not last:
            x, y = halved(x), halved(y)
    return value


def halved(image):
    """Means of two by two pixels; an odd side is padded by zeros on both ends."""
    image = np.pad(image, [(side % 2, side % 2) for side in image.shape])
    for axis in range(image.ndim):
        end = image.shape[axis] // 2 * 2
        even, odd = (image.take(range(start, end, 2), axis) for start in (0, 1))
        image = (even + odd) / 2
    return image


@pytest.mark.parametrize("shape", [(176, 176), (191, 205), (163, 256)])
def test_equals_the_definition(shape):
    a, b = pair((2, 1, *shape))
    expected = [direct(a[i, 0], b[i, 0], WEIGHTS) for i in range(2)]
    np.testing.assert_allclose(ms_ssim_of_pairs(a, b), expected, rtol=1e-12)


def test_volumes_equal_the_definition():
    a, b = pair((1, 1, 24, 30, 27))
    weights = np.array(WEIGHTS[:2]) / sum(WEIGHTS[:2])
    expected = direct(a[0, 0], b[0, 0], weights)
    np.testing.assert_allclose(ms_ssim_of_pairs(a, b), [expected], rtol=1e-12)


def test_channels_are_averaged():
    a, b = pair((1, 3, 180, 180))
    each = [ms_ssim_of_pairs(a[:, [c]], b[:, [c]])[0] for c in range(3)]
    assert ms_ssim_of_pairs(a, b)[0] == pytest.approx(np.mean(each), rel=1e-14)


@pytest.mark.parametrize(("shape", "expected"), REFERENCE)
def test_values_of_pytorch_msssim(shape, expected):
    # Computed with pytorch_msssim 1.0.0, ms_ssim(a, b, data_range=1), whose window is float32.
    a, b = pair(shape)
    assert ms_ssim_of_pairs(a, b)[0] == pytest.approx(expected, abs=1e-6)


def test_side_by_side_with_pytorch_msssim():
    peer, torch = pytest.importorskip("pytorch_msssim"), pytest.importorskip("torch")
    a, b = pair((3, 2, 170, 201), noise=0.05)
    theirs = peer.ms_ssim(torch.tensor(a), torch.tensor(b), data_range=1, size_average=False)
    np.testing.assert_allclose(ms_ssim_of_pairs(a, b), theirs.numpy(), atol=1e-5)


def test_the_metric_is_the_mean_over_all_pairs():
    images = np.random.default_rng(1).random((4, 1, 40, 40))
    each = [
        ms_ssim_of_pairs(images[[i]], images[[j]])[0]
        for i, j in itertools.combinations(range(4), 2)
    ]
    assert ms_ssim(None, images) == pytest.approx(np.mean(each), rel=1e-6)


def test_equal_images_are_alike_and_noise_is_not():
    rng = np.random.default_rng(2)
    one = rng.random((1, 1, 64, 64))
    assert ms_ssim(None, np.repeat(one, 5, axis=0)) == pytest.approx(1, abs=1e-9)
    assert ms_ssim(None, rng.random((5, 1, 64, 64))) < 0.5


def test_random_pairs_depend_on_the_images_not_on_their_order():
    rng = np.random.default_rng(3)
    images = rng.random((12, 1, 32, 32)).astype(np.float32)
    value = ms_ssim(None, images, pairs=20)
    assert ms_ssim(None, images[rng.permutation(12)], pairs=20) == pytest.approx(value, rel=1e-12)
    everything = ms_ssim(None, images)
    assert value != everything
    assert value == pytest.approx(everything, rel=0.2)
    drawn = [ms_ssim(None, images, pairs=20, rng=np.random.default_rng(s)) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("side", "scales"), [(161, 5), (160, 4), (81, 4), (80, 3), (21, 2), (11, 1)]
)
def test_small_images_take_fewer_scales(side, scales):
    a, b = pair((1, 1, side, side))
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    expected = direct(a[0, 0], b[0, 0], weights)
    assert ms_ssim_of_pairs(a, b)[0] == pytest.approx(expected, rel=1e-3 if scales == 5 else 1e-12)
    assert ms_ssim_of_pairs(a, b, scales)[0] == ms_ssim_of_pairs(a, b)[0]


@pytest.mark.parametrize(
    ("shape", "options", "told"),
    [
        ((3, 1, 128, 128), {"scales": 5}, "128 pixels a side, must have more than 160 .*scales=4"),
        ((3, 1, 10, 40), {}, "10 pixels a side, must have at least 11"),
        ((3, 1, 40, 40), {"scales": 0}, "scales was 0, must be between 1 and 5"),
        ((3, 1, 40, 40), {"pairs": 0}, "pairs was 0, must be a whole number >= 1"),
        ((1, 1, 40, 40), {}, "fake had 1 row, must have at least 2"),
    ],
)
def test_bad_input_is_named(shape, options, told):
    with pytest.raises(ValueError, match=told):
        ms_ssim(None, np.random.default_rng(0).random(shape), **options)


def test_the_interval_holds_the_mean_of_new_images():
    rng = np.random.default_rng(4)

    def draw():
        return ndimage.gaussian_filter(rng.random((14, 1, 24, 24)), (0, 0, 2, 2)) * 2 % 1

    found = [ms_ssim.estimate(None, draw(), level=0.9) for _ in range(60)]
    mean = np.mean([e.value for e in found])
    assert all(e.low <= e.value <= e.high for e in found)
    assert np.mean([e.low <= mean <= e.high for e in found]) >= 0.75
    assert found[0].n == 14
