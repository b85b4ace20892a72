"""Smooth random fields of the phantoms: a few knots, interpolated by cubic splines."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Float32 = NDArray[np.float32]


def upsample(coarse: Float32, shape: tuple[int, ...]) -> Float32:
    """Cubic interpolation of the last ``len(shape)`` axes to `shape`."""
    out = coarse
    first = coarse.ndim - len(shape)
    for axis, size in enumerate(shape, first):
        out = np.moveaxis(np.tensordot(cubic(out.shape[axis], size), out, (1, axis)), 0, axis)
    return np.ascontiguousarray(out, dtype=np.float32)


@cache
def cubic(knots: int, size: int) -> Float32:
    """The ``(size, knots)`` matrix of cubic spline interpolation."""
    lines = [
        ndimage.zoom(line, size / knots, order=3, mode="nearest", grid_mode=True)
        for line in np.eye(knots)
    ]
    return np.asarray(np.stack(lines, axis=1), dtype=np.float32)


def strength(knots: int, size: int) -> float:
    """The SD that white noise of unit SD keeps when one axis is interpolated."""
    return float(np.sqrt((cubic(knots, size) ** 2).sum(1).mean()))
