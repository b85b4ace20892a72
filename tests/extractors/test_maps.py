"""Maps half way up the network: peaks, averages, the same bits in any company."""

from __future__ import annotations

import numpy as np
import torch

from nriqm_bench import extractors
from nriqm_bench.extractors.efficientnet_lite0 import EfficientNetLite0

IMAGES = np.random.default_rng(0).random((11, 1, 64, 128), dtype=np.float32) * 0.3
MAPS = extractors.open("efficientnet-lite0-maps")


def test_features_do_not_depend_on_company():
    found = MAPS(IMAGES)
    assert found.shape == (11, MAPS.dim)
    assert np.array_equal(np.concatenate([MAPS(IMAGES[:3]), MAPS(IMAGES[3:])]), found)


def test_the_three_parts_are_mean_spread_and_peak_of_the_same_maps():
    with torch.inference_mode():
        maps = MAPS._maps(torch.from_numpy(IMAGES[:8]), 5).numpy().reshape(8, 112, 64)
    mean, spread, peak = np.split(MAPS(IMAGES)[:8], 3, axis=1)
    np.testing.assert_allclose(mean, maps.mean(2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(spread, maps.std(2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(peak, np.sort(maps, 2)[:, :, -2:].mean(2), rtol=1e-4, atol=1e-5)


def test_one_bright_place_moves_the_peaks_more_than_the_means():
    spot = IMAGES.copy()
    spot[:, :, 24:32, 64:72] = 1
    gap = np.abs(MAPS(spot) - MAPS(IMAGES))
    assert gap[:, 224:].mean() > 3 * gap[:, :112].mean()


def test_keys_differ_by_network_and_input_size():
    keys = {EfficientNetLite0().key(), MAPS.key(), type(MAPS)(input_size=96).key()}
    assert len(keys) == 3


def test_a_volume_is_the_mean_of_its_slices():
    volume = IMAGES[:10].reshape(1, 1, 10, 64, 128)
    mean = MAPS(IMAGES[1:9]).mean(0, dtype=np.float64)
    np.testing.assert_allclose(MAPS(volume)[0], mean, rtol=1e-5)
