"""Small heads with tumours, and what writes them as scanners and archives do."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from scipy import ndimage

SHAPE = (40, 44, 20)
MM = (1.0, 1.0, 2.0)


def head(seed=0, shape=SHAPE, tumour=(8, 13)):
    """A head in RAS order, as a scanner stores it (0 to about 1000), and its labels 1, 2, 4.

    It differs along every axis and between seeds; `tumour`: the slices that show the lesion.
    """
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, s) for s in shape), indexing="ij")
    inside = (x / 0.8) ** 2 + ((y + 0.1 * x) / 0.85) ** 2 + (z / 1.4) ** 2 < 1
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    data = np.where(inside, 500 + 150 * x + 80 * y + 400 * texture, 0)
    labels = np.zeros(shape, np.uint8)
    low, high = tumour
    labels[22:32, 24:36, low:high] = 2
    labels[24:30, 26:34, low:high] = 4
    labels[26:28, 28:32, low:high] = 1
    labels[~inside] = 0
    data = np.where(labels > 0, data + 250, data)
    return np.rint(np.clip(data, 0, 1500)).astype(np.int16), labels


def save(path, data, *, mm=MM, codes="RAS", slope=None, inter=0.0):
    """Write a RAS array as NIfTI with its axes running as `codes` say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*mm, 1.0])
    affine[:3, 3] = (-18.5, -25, 11)
    image = nibabel.Nifti1Image(data, affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(codes)
    )
    image = image.as_reoriented(turn)
    if slope is not None:
        # With a slope of its own, nibabel writes the numbers as they are.
        image.header.set_slope_inter(slope, inter)
    nibabel.save(image, path)
    return path


def seen(array):
    """RAS (x, y, z) as slices with the front at the top and the left at the left."""
    return array.transpose(2, 1, 0)[:, ::-1]


def unit(array):
    """Clipped to its percentiles 1 and 99 and brought to [0, 1]."""
    low, high = np.percentile(array.astype(np.float32), (1, 99))
    return np.clip((array - low) / (high - low), 0, 1)


class Heads:
    """The functions above, for tests to use as one fixture."""

    head = staticmethod(head)
    save = staticmethod(save)
    seen = staticmethod(seen)
    unit = staticmethod(unit)
    shape = SHAPE
    mm = MM


@pytest.fixture
def heads():
    return Heads


PARTS = ("train", "reference", "held-out")


@pytest.fixture
def split_apart():
    """The images of all parts of a dataset; no two parts share a subject."""

    def split(load, *args, **options):
        found = {part: load(*args, part=part, **options) for part in PARTS}
        subjects = [set(f.subjects.tolist()) for f in found.values()]
        assert sum(map(len, subjects)) == len(set.union(*subjects))
        return found

    return split
