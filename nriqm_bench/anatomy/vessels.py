"""Vessel trees as anatomy: length, branches, pieces and gaps, calibre and narrowings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from nriqm_bench.extractors.centre_lines import Lines, centre_lines, narrowing

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

NAMES = (
    "presence",
    "area",
    "length",
    "branches",
    "ends",
    "pieces",
    "gaps",
    "radius",
    "largest radius",
    "narrowing",
)
# Whose spread between images is compared too.
SPREADS = ("length", "pieces", "largest radius")

# Narrowings are searched for in as many of the widest segments, of at least so many pixels.
_WIDEST, _LEAST = 3, 5
# A free end faces a gap when another piece is nearer than this share of the frame's side.
_GAP = 0.1


def describe(image: NDArray[np.float32], mask: NDArray[Any]) -> Float64:
    """The descriptors `NAMES` of the vessels of one image.

    presence (0 or 1); area (share of the frame's pixels, volume in space); length (of the centre
    line in pixels, over the side of the frame); branches (segments between branch points); ends
    (free ends); pieces (separate trees); gaps (free ends that face another piece within a tenth of
    the frame's side); radius (mean along the line) and largest radius (95 %), in per cent of the
    side of the frame; narrowing (mean over the three widest segments, 0 none, 1 a throat that is
    closed).

    Parameters
    ----------
    image
        ``(C, *S)`` in [0, 1]; what is told is of the mask alone.
    mask
        ``(*S)`` above 0 where vessels are, 2 on a given centre line; without any 2 the line is the
        skeleton.

    Returns
    -------
    numpy.ndarray
        ``(10,)`` float64. Without vessels the first seven are 0 and the others NaN.
    """
    inside = mask > 0
    lines = centre_lines(mask) if inside.any() else None
    if lines is None or not len(lines.places):
        return np.array([*[0.0] * 7, *[np.nan] * (len(NAMES) - 7)])
    side = float(np.prod(inside.shape)) ** (1 / inside.ndim)
    padded = ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))
    deep = padded[(slice(1, -1),) * inside.ndim]
    radius = np.asarray(deep[tuple(lines.places.T)], np.float64) - 0.5
    return np.array(
        [
            1.0,
            np.count_nonzero(inside) / inside.size,
            len(lines.places) / side,
            float(len(lines.bounds) - 1),
            float(lines.ends),
            float(lines.pieces),
            float(_gaps(lines, deep, _GAP * side)),
            100 / side * float(radius.mean()),
            100 / side * float(np.quantile(radius, 0.95)),
            _narrowing(lines, radius),
        ]
    )


def _gaps(lines: Lines, deep: Float64, reach: float) -> int:
    """Free ends within `reach` of another piece; thinning takes about a radius from both."""
    tree = cKDTree(lines.line)
    tips = np.flatnonzero(lines.free)
    radius = deep[tuple(lines.line[tips].T)]
    near = tree.query_ball_point(lines.line[tips], reach + 2 * radius)
    return sum(
        bool((lines.part[own] != lines.part[tip]).any())
        for tip, own in zip(tips, near, strict=True)
    )


def _narrowing(lines: Lines, radius: Float64) -> float:
    spans = [
        slice(low, high)
        for low, high in zip(lines.bounds[:-1].tolist(), lines.bounds[1:].tolist(), strict=True)
        if high - low >= _LEAST
    ]
    spans.sort(key=lambda s: (-float(np.median(radius[s])), s.start - s.stop))
    found = [narrowing(radius[s]) for s in spans[:_WIDEST]]
    return float(np.mean(found)) if found else 0.0
