"""ImageSet: what it accepts, what it refuses in which words, slices, fingerprints, joining."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nriqm_bench
from nriqm_bench.images import ImageSet, as_image_set, concatenate


def ramp(n=4, size=(6, 5), channels=1):
    shape = (n, channels, *size)
    return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def full(n=4, start=0):
    masks = np.zeros((n, 6, 5), np.int64)
    masks[:, 2:4, 1:3] = np.arange(1, n + 1)[:, None, None]
    return ImageSet(
        ramp(n),
        masks=masks,
        subjects=[f"s{start + i}" for i in range(n)],
        sites=["north", "south"] * (n // 2),
        spacing=(1, 0.5),
    )


def test_fields_are_kept_in_one_form():
    made = full()
    assert len(made) == 4
    assert made.channels == 1
    assert made.spatial == (6, 5)
    assert made.images.dtype == np.float32
    np.testing.assert_array_equal(made.images, ramp())
    assert made.masks.dtype == np.uint8
    np.testing.assert_array_equal(np.unique(made.masks), [0, 1, 2, 3, 4])
    assert made.subjects.tolist() == ["s0", "s1", "s2", "s3"]
    assert made.sites.tolist() == ["north", "south", "north", "south"]
    assert made.spacing == (1.0, 0.5)


def test_volumes_have_three_spatial_axes():
    made = ImageSet(
        ramp(2, (3, 6, 5), 2), masks=np.ones((2, 3, 6, 5), bool), spacing=np.array([2.0, 1, 1])
    )
    assert made.channels == 2
    assert made.spatial == (3, 6, 5)
    assert made.spacing == (2.0, 1.0, 1.0)
    assert made.masks.max() == 1


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_any_floating_point_becomes_float32(dtype):
    made = ImageSet(np.full((1, 1, 2, 2), 0.25, dtype))
    assert made.images.dtype == np.float32
    assert made.images.dtype.isnative
    assert np.all(made.images == 0.25)


def test_numbers_as_subjects_become_text():
    assert ImageSet(ramp(2), subjects=[7, 12]).subjects.tolist() == ["7", "12"]


def test_rounding_beyond_the_range_is_clipped():
    images = ramp().astype(np.float64)
    images[0, 0, 0, 0], images[-1, 0, -1, -1] = -9e-6, 1 + 9e-6
    made = ImageSet(images)
    assert made.images.min() == 0
    assert made.images.max() == 1


def changed(value):
    images = ramp()
    images[1, 0, 2, 3] = value
    return images


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            {"images": np.zeros((2, 1, 4, 4), np.uint8)},
            "images had dtype uint8, must be floating point in [0, 1] (integers: divide by their "
            "full scale, 8-bit images by 255)",
        ),
        ({"images": np.zeros((2, 1, 4, 4), bool)}, "images had dtype bool, must be floating"),
        ({"images": np.zeros((2, 1, 4, 4), complex)}, "images had dtype complex128, must be"),
        (
            {"images": np.zeros((2, 4, 4))},
            "images had shape (2, 4, 4), must be (n, channels, height, width) or (n, channels, "
            "depth, height, width) with nothing empty; add a missing channel axis with "
            "images[:, None]",
        ),
        ({"images": np.zeros((1, 1, 2, 2, 2, 2))}, "images had shape (1, 1, 2, 2, 2, 2), must be"),
        ({"images": np.zeros((0, 1, 4, 4))}, "images had shape (0, 1, 4, 4), must be"),
        ({"images": np.zeros((1, 0, 4, 4))}, "images had shape (1, 0, 4, 4), must be"),
        ({"images": changed(np.nan)}, "images held NaN or infinity in 1 of 4, must be finite"),
        ({"images": changed(np.inf)}, "images held NaN or infinity in 1 of 4, must be finite"),
        ({"images": changed(-np.inf)}, "images held NaN or infinity in 1 of 4, must be finite"),
        (
            {"images": changed(1.25)},
            "images ranged over [0, 1.25], must be in [0, 1]; rescale them first",
        ),
        ({"images": changed(-0.5)}, "images ranged over [-0.5, 1], must be in [0, 1]"),
        ({"images": changed(1 + 2e-5)}, "must be in [0, 1]"),
        ({"images": changed(-2e-5)}, "must be in [0, 1]"),
        ({"images": np.full((1, 1, 2, 2), 1e300)}, "images ranged over [1e+300, 1e+300], must be"),
        (
            {"masks": np.zeros((4, 1, 6, 5), int)},
            "masks had shape (4, 1, 6, 5), must be (4, 6, 5) to fit the images",
        ),
        ({"masks": np.zeros((3, 6, 5), int)}, "masks had shape (3, 6, 5), must be (4, 6, 5)"),
        ({"masks": np.zeros((4, 6, 5))}, "masks had dtype float64, must be integer labels"),
        (
            {"masks": np.full((4, 6, 5), 256)},
            "masks held labels 256 to 256, must be within 0 to 255",
        ),
        ({"masks": np.full((4, 6, 5), -1)}, "masks held labels -1 to -1, must be within 0 to 255"),
        (
            {"subjects": ["a", "b", "c"]},
            "subjects had shape (3,), must be (4,): one for each image",
        ),
        ({"sites": "here"}, "sites had shape (), must be (4,): one for each image"),
        (
            {"spacing": (1.0,)},
            "spacing was (1.0,), must be 2 positive numbers (millimetres per voxel along each "
            "spatial axis)",
        ),
        ({"spacing": (1.0, 0.0)}, "spacing was (1.0, 0.0), must be 2 positive numbers"),
        ({"spacing": (1.0, np.inf)}, "spacing was (1.0, inf), must be 2 positive numbers"),
        ({"spacing": (1.0, np.nan)}, "spacing was (1.0, nan), must be 2 positive numbers"),
        ({"spacing": (1.0, 1.0, 1.0)}, "must be 2 positive numbers"),
        ({"spacing": 1.0}, "spacing was 1.0, must be 2 positive numbers"),
        ({"spacing": ("1", "wide")}, "spacing was ('1', 'wide'), must be 2 positive numbers"),
    ],
)
def test_refused_with_one_sentence(arguments, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        ImageSet(**{"images": ramp()} | arguments)


def test_largest_label_is_kept():
    assert ImageSet(ramp(), masks=np.full((4, 6, 5), 255)).masks.max() == 255


@pytest.mark.parametrize(
    ("index", "chosen"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([3, 0, 0], [3, 0, 0]),
        (np.array([True, False, False, True]), [0, 3]),
        (np.array([-1]), [3]),
    ],
)
def test_slicing_cuts_every_field_alike(index, chosen):
    whole, cut = full(), full()[index]
    assert len(cut) == len(chosen)
    for name in ("images", "masks", "subjects", "sites"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name)[chosen])
    assert cut.spacing == whole.spacing


def test_slicing_leaves_missing_fields_missing():
    cut = ImageSet(ramp())[1:3]
    assert (cut.masks, cut.subjects, cut.sites, cut.spacing) == (None, None, None, None)


@pytest.mark.parametrize("index", [2, np.int64(2), np.zeros((2, 2), int)])
def test_only_a_slice_or_positions_index(index):
    with pytest.raises(IndexError, match="indexed by a slice or a 1-D array of positions"):
        full()[index]


def test_an_empty_choice_is_refused():
    with pytest.raises(ValueError, match="nothing empty"):
        full()[0:0]


def test_replace_validates_again():
    made = full().replace(images=1 - ramp())
    np.testing.assert_array_equal(made.images, 1 - ramp())
    assert made.subjects.tolist() == full().subjects.tolist()
    with pytest.raises(ValueError, match="masks had shape"):
        full().replace(images=ramp(4, (8, 8)))
    assert full().replace(masks=None).masks is None


def test_fields_cannot_be_assigned():
    with pytest.raises(AttributeError):
        full().images = ramp()


CHANGES = {
    "one pixel": {"images": changed(0.75)},
    "a label": {"masks": np.ones((4, 6, 5), np.uint8)},
    "no masks": {"masks": None},
    "a subject": {"subjects": ["s0", "s1", "s2", "s4"]},
    "another cut between subjects": {"subjects": ["s0s", "1", "s2", "s3"]},
    "no subjects": {"subjects": None},
    "a site": {"sites": ["north", "south", "north", "north"]},
    "sites and subjects swapped": {"sites": full().subjects, "subjects": full().sites},
    "a spacing": {"spacing": (1, 0.25)},
    "no spacing": {"spacing": None},
    "the shape": {"images": ramp().reshape(4, 1, 5, 6), "masks": None, "spacing": None},
}


@pytest.mark.parametrize("what", CHANGES)
def test_fingerprint_changes_with(what):
    assert full().replace(**CHANGES[what]).fingerprint() != full().fingerprint()


def test_fingerprint_of_a_shape_alone():
    flat = ImageSet(np.zeros((2, 1, 4, 6)))
    assert flat.fingerprint() != ImageSet(np.zeros((2, 1, 6, 4))).fingerprint()
    assert flat.fingerprint() != ImageSet(np.zeros((4, 1, 2, 6))).fingerprint()


def test_fingerprint_tells_fields_apart():
    black = ImageSet(np.zeros((1, 1, 2, 2)))
    first = black.replace(subjects=["ab"], sites=[""])
    assert first.fingerprint() != black.replace(subjects=["a"], sites=["b"]).fingerprint()


def test_fingerprint_is_of_content_alone():
    made = full()
    assert len(made.fingerprint()) == 64
    again = ImageSet(
        np.asfortranarray(made.images.astype(np.float64)),
        masks=made.masks.astype(np.int16),
        subjects=made.subjects.astype("U40"),
        sites=made.sites.tolist(),
        spacing=[1, 0.5],
    )
    assert again.fingerprint() == made.fingerprint()
    strided = ImageSet(ramp(8)[::2])
    assert strided.fingerprint() == ImageSet(ramp(8)[::2].copy()).fingerprint()


def test_fingerprint_is_the_same_in_another_process():
    script = (
        "import numpy as np; from nriqm_bench.images import ImageSet;"
        "print(ImageSet(np.zeros((1, 1, 2, 2)), subjects=['s'], spacing=(1, 2)).fingerprint())"
    )
    root = Path(nriqm_bench.__file__).parents[1]
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert told == ImageSet(np.zeros((1, 1, 2, 2)), subjects=["s"], spacing=(1, 2)).fingerprint()


@given(cut=st.integers(1, 5))
def test_concatenate_undoes_a_cut(cut):
    whole = full(6)
    joined = concatenate(whole[:cut], whole[cut:])
    assert joined.fingerprint() == whole.fingerprint()


def test_concatenate_keeps_what_every_set_has():
    joined = concatenate(full(), full(2, start=40).replace(sites=None, spacing=(2, 2)))
    assert joined.subjects.tolist() == ["s0", "s1", "s2", "s3", "s40", "s41"]
    assert joined.masks.shape == (6, 6, 5)
    assert joined.sites is None
    assert joined.spacing is None
    assert concatenate(full()).fingerprint() == full().fingerprint()


def test_concatenate_refuses_other_sizes_and_nothing():
    told = "images of shape (1, 8, 8) cannot join images of shape (1, 6, 5); bring both to one size"
    with pytest.raises(ValueError, match=re.escape(told)):
        concatenate(full(), ImageSet(ramp(2, (8, 8))))
    with pytest.raises(ValueError, match="concatenate\\(\\) was given no ImageSet"):
        concatenate()


def test_as_image_set_takes_a_set_or_an_array():
    made = full()
    assert as_image_set(made) is made
    np.testing.assert_array_equal(as_image_set(ramp()).images, ramp())
    np.testing.assert_array_equal(as_image_set(torch.from_numpy(ramp())).images, ramp())
    np.testing.assert_array_equal(as_image_set(ramp().tolist()).images, ramp())
