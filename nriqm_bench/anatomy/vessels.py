"""Vessel trees as anatomy: length, branches, pieces and gaps, calibre and narrowings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array, csgraph
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
    "contrast",
)
# Whose spread between images is compared too.
SPREADS = ("length", "pieces", "largest radius")

# Narrowings are searched for in as many of the widest segments, of at least so many pixels.
_WIDEST, _LEAST = 3, 5
# A free end faces a gap when another piece is nearer than this share of the frame's side.
_GAP = 0.1
# What surrounds a vessel, in pixels.
_NEAR, _FAR = 2.0, 5.0


def describe(image: NDArray[np.float32], mask: NDArray[Any]) -> Float64:
    """The descriptors `NAMES` of the vessels of one image.

    presence (0 or 1); area (share of the frame's pixels, volume in space); length (of the centre
    line in pixels, over the side of the frame); branches (segments between branch points); ends
    (free ends); pieces (separate trees); gaps (free ends that face another piece within a tenth of
    the frame's side); radius (median along the line) and largest radius (95 %), over the side of
    the frame and in per cent; narrowing (mean over the three widest segments, 0 none, 1 a throat
    that is closed); contrast (median inside less the median 2 to 5 pixels around, mean of
    channels, on the [0, 1] scale).

    Parameters
    ----------
    image
        ``(C, *S)`` in [0, 1].
    mask
        ``(*S)`` above 0 where vessels are, 2 on a given centre line; without any 2 the line is the
        skeleton.

    Returns
    -------
    numpy.ndarray
        ``(11,)`` float64. Without vessels the first seven are 0 and the others NaN.
    """
    inside = mask > 0
    lines = centre_lines(mask) if inside.any() else None
    if lines is None or not len(lines.places):
        return np.array([*[0.0] * 7, *[np.nan] * (len(NAMES) - 7)])
    side = float(np.prod(inside.shape)) ** (1 / inside.ndim)
    deep = ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))
    at = tuple(lines.places.T)
    radius = np.asarray(deep[(slice(1, -1),) * inside.ndim][at], np.float64) - 0.5
    return np.array(
        [
            1.0,
            np.count_nonzero(inside) / inside.size,
            len(lines.places) / side,
            float(len(lines.bounds) - 1),
            float(lines.ends),
            float(lines.pieces),
            float(_gaps(lines, _GAP * side)),
            *(100 / side * np.quantile(radius, (0.5, 0.95))),
            _narrowing(lines, radius),
            _contrast(image, inside),
        ]
    )


def _gaps(lines: Lines, reach: float) -> int:
    """Ends of segments that touch nothing else and have another piece within `reach`."""
    places = lines.places
    tree = cKDTree(places)
    axes = places.shape[1]
    # A branch point belongs to no segment: segments that meet in one are two pixels apart.
    label = _labels(tree, 2 * np.sqrt(axes) + 0.01)
    tips = np.concatenate([lines.bounds[:-1], lines.bounds[1:] - 1])
    count = 0
    for tip in np.unique(tips):
        near = np.asarray(tree.query_ball_point(places[tip], reach), np.intp)
        count += bool((label[near] != label[tip]).any())
    return count


def _labels(tree: cKDTree, touch: float) -> NDArray[np.intp]:
    pairs = tree.query_pairs(touch, output_type="ndarray")
    joined = coo_array((np.ones(len(pairs)), pairs.T), (tree.n, tree.n))
    return np.asarray(csgraph.connected_components(joined, directed=False)[1], np.intp)


def _narrowing(lines: Lines, radius: Float64) -> float:
    spans = [
        slice(low, high)
        for low, high in zip(lines.bounds[:-1].tolist(), lines.bounds[1:].tolist(), strict=True)
        if high - low >= _LEAST
    ]
    spans.sort(key=lambda s: (-float(np.median(radius[s])), s.start - s.stop))
    found = [narrowing(radius[s]) for s in spans[:_WIDEST]]
    return float(np.mean(found)) if found else 0.0


def _contrast(image: NDArray[np.float32], inside: Bools) -> float:
    if inside.all():
        return 0.0
    away = ndimage.distance_transform_edt(~inside)
    ring = (away > _NEAR) & (away <= _FAR)
    around = np.median(image[:, ring], axis=1) if ring.any() else np.zeros(len(image))
    return float(np.mean(np.median(image[:, inside], axis=1) - around))
