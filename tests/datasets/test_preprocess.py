"""Preprocessing: percentiles, padding, resampling and cropping, in step with masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nriqm_bench.datasets.preprocess import Preprocess


def test_percentiles_are_clipped_and_the_rest_is_linear():
    values = np.arange(101, dtype=np.float64).reshape(1, 101)
    expected = np.clip((values - 1) / 98, 0, 1)
    assert Preprocess().rescale(values) == pytest.approx(expected, abs=1e-6)
    assert Preprocess(percentiles=(0, 100)).rescale(values) == pytest.approx(values / 100, abs=1e-6)


@given(
    scale=st.floats(1e-3, 1e4),
    shift=st.floats(-1e3, 1e3),
    seed=st.integers(0, 99),
)
def test_scanner_units_do_not_matter(scale, shift, seed):
    values = np.random.default_rng(seed).random((4, 9, 9)) * 7
    rescaled = Preprocess().rescale(values * scale + shift * scale)
    assert rescaled.dtype == np.float32
    assert rescaled == pytest.approx(Preprocess().rescale(values), abs=2e-3)
    assert rescaled.min() == 0
    assert rescaled.max() == pytest.approx(1, abs=1e-3)


def test_the_given_array_is_not_modified():
    values = np.random.default_rng(0).random((4, 4), np.float32)
    before = values.copy()
    Preprocess(8).images(Preprocess().rescale(values))
    assert np.array_equal(values, before)


def test_constant_and_nearly_empty_images_are_refused():
    with pytest.raises(ValueError, match=r"percentiles 1 and 99 are both 3: a constant image"):
        Preprocess().rescale(np.full((5, 5), 3))
    almost = np.zeros((20, 20))
    almost[0, 0] = 1
    with pytest.raises(ValueError, match="a constant image"):
        Preprocess().rescale(almost)
    assert Preprocess(percentiles=(0, 100)).rescale(almost).max() == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    values = np.arange(9.0)
    values[4] = bad
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        Preprocess().rescale(values)


def test_images_of_the_size_are_the_same_array():
    images = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    masks = np.ones((2, 8, 8), np.uint8)
    assert Preprocess(8).images(images) is images
    assert Preprocess(8).masks(masks) is masks
    assert Preprocess().images(images[..., :5]).shape == (2, 1, 8, 5)


@pytest.mark.parametrize("size", [3, 8, 13])
def test_a_constant_square_stays_constant(size):
    fitted = Preprocess(size).images(np.full((1, 2, 6, 6), 0.25, np.float32))
    assert fitted.shape == (1, 2, size, size)
    assert fitted == pytest.approx(np.full_like(fitted, 0.25), abs=1e-6)


def test_shrinking_keeps_the_mean_and_does_not_alias():
    lines = np.zeros((1, 1, 32, 32), np.float32)
    lines[..., ::4] = 1
    shrunk = Preprocess(8).images(lines)
    # Samples of the image, two columns wide, would miss every line.
    assert shrunk[..., 1:-1] == pytest.approx(np.full((1, 1, 8, 6), 0.25), abs=0.1)
    assert shrunk.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "rows", "columns"), [((4, 8), (2, 6), (0, 8)), ((8, 3), (0, 8), (2, 5))]
)
def test_padding_to_a_square_is_centred_and_keeps_the_aspect(shape, rows, columns):
    images = Preprocess(16).images(np.ones((1, 1, *shape), np.float32))
    masks = Preprocess(16).masks(np.full((1, *shape), 2, np.uint8))
    inside = np.zeros((16, 16), bool)
    inside[2 * rows[0] : 2 * rows[1], 2 * columns[0] : 2 * columns[1]] = True
    assert np.array_equal(masks[0] == 2, inside)
    assert np.array_equal(images[0, 0] > 0.5, inside)


def test_masks_keep_their_labels_and_follow_the_image():
    masks = np.zeros((2, 9, 9), np.uint8)
    masks[:, 2:6, 3:7] = 200
    images = (masks[:, None] > 0).astype(np.float32)
    for size in (6, 9, 20):
        fitted = Preprocess(size).masks(masks)
        assert set(np.unique(fitted)) <= {0, 200}
        near = Preprocess(size).images(images)[:, 0] > 0.5
        assert (near == (fitted > 0)).mean() > 0.95


@pytest.mark.parametrize(("shape", "factor"), [((8, 8), 0.5), ((8, 4), 0.5), ((32, 10), 2.0)])
def test_spacing_follows_the_resize(shape, factor):
    assert Preprocess(16).spacing((1.0, 3.0), shape) == (factor, 3 * factor)
    assert Preprocess().spacing((1.0, 3.0), shape) == (1.0, 3.0)
    assert Preprocess(16, fit="crop").spacing((1.0, 3.0), shape) == (1.0, 3.0)


def test_crop_takes_the_centre_and_pads_what_lacks():
    image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8) / 64
    assert np.array_equal(Preprocess(4, fit="crop").images(image), image[..., 2:6, 2:6])
    wide = Preprocess(12, fit="crop").images(image)
    assert np.array_equal(wide[..., 2:10, 2:10], image)
    assert wide.sum() == pytest.approx(image.sum())
    mixed = Preprocess(8, fit="crop").masks(np.ones((1, 4, 16), np.uint8))
    assert mixed[0].tolist() == [[0] * 8] * 2 + [[1] * 8] * 4 + [[0] * 8] * 2


def test_the_setting_of_the_paper_crops_to_192():
    paper = Preprocess.paper()
    image = np.random.default_rng(0).random((1, 1, 240, 240), np.float32)
    assert np.array_equal(paper.images(image), image[..., 24:216, 24:216])
    assert paper.name == "clipped to percentiles 1 to 99, cropped to 192 px"
    assert Preprocess().name == "clipped to percentiles 1 to 99"


def test_settings_that_differ_have_different_keys():
    settings = [
        Preprocess(),
        Preprocess(128),
        Preprocess(128, (0.5, 99)),
        Preprocess(128, (1, 99.5)),
        Preprocess(128, fit="crop"),
    ]
    assert len({s.key() for s in settings}) == len(settings)
    assert Preprocess(128).key() == Preprocess(128, (1.0, 99.0)).key()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"percentiles": (99, 1)}, "percentiles were"),
        ({"percentiles": (-1, 99)}, "percentiles were"),
        ({"percentiles": (1, 101)}, "percentiles were"),
        ({"fit": "stretch"}, "fit was 'stretch', must be 'resize' or 'crop'"),
        ({"size": 0}, "size was 0, must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        Preprocess(**settings)
