"""Where the body is in an image, as far as local damage must know it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Background is darker than this share of an image's bright values.
_DARK = 0.1


def tissue(image: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """``(*S)`` whether a voxel of an image ``(C, *S)`` belongs to the body; dark holes do."""
    mean = ndimage.gaussian_filter(image.mean(axis=0), 1.0, mode="nearest")
    bright = mean > _DARK * np.percentile(mean, 99)
    return np.asarray(ndimage.binary_fill_holes(bright), np.bool_)


def depth(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance to the nearest voxel outside; infinite where there is none."""
    if inside.all():
        return np.full(inside.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(inside), np.float64)
