"""Lesions as anatomy: how many pieces, how large, where in the head, how bright."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.anatomy.head import Head, head_of
from nriqm_bench.vessels import padded_box

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

NAMES = (
    "presence",
    "pieces",
    "area",
    "diameter",
    "elongation",
    "row",
    "column",
    "depth",
    "contrast",
    "dark rim",
)
# Whose spread between images is compared too: sizes and places may have the right mean alone.
SPREADS = ("area", "row", "column", "depth", "dark rim")

# What surrounds a lesion, in head diameters from its outline: beyond what a scanner blurs.
_NEAR, _FAR = 0.02, 0.08
# Of the median of the head: what is darker is air or fluid.
_DARK = 0.35


def describe(image: NDArray[np.float32], inside: Bools) -> Float64:
    """The descriptors `NAMES` of the lesions of one image, all taken together.

    presence (0 or 1); pieces (connected parts, corners touching); area (share of the head's,
    volume in space); diameter (of the disc or ball with the same longest second moment, over the
    diameter of the head); elongation (log of the longest over the shortest axis); row and column
    (of the centre, from that of the head, in its SD along each axis; in space the last two axes);
    depth (largest distance of the lesion's pixels from the outline of the head, over the largest
    there is; negative outside); contrast (median inside less the median around, mean of channels,
    on the [0, 1] scale); dark rim (share of what is around that is as dark as air or fluid: below
    .35 of the head's median). Around is what lies .02 to .08 head diameters from the outline.

    Parameters
    ----------
    image
        ``(C, *S)`` in [0, 1].
    inside
        ``(*S)`` where the lesions are.

    Returns
    -------
    numpy.ndarray
        ``(10,)`` float64. Without a lesion presence and pieces are 0 and all others NaN.
    """
    if not inside.any():
        return np.array([0.0, 0.0, *[np.nan] * (len(NAMES) - 2)])
    head = head_of(image)
    places = np.argwhere(inside)
    centre = places.mean(axis=0)
    shortest, longest = _axes(places)
    contrast, dark = _around(image, inside, head)
    return np.array(
        [
            1.0,
            float(ndimage.label(inside, np.ones((3,) * inside.ndim))[1]),
            len(places) / head.size,
            longest / head.diameter,
            np.log(longest / shortest),
            *((centre - head.centre) / head.spread)[-2:],
            float(head.depth[inside].max()),
            contrast,
            dark,
        ]
    )


def _axes(places: NDArray[Any]) -> tuple[float, float]:
    """Shortest and longest diameter of the ellipse (ellipsoid) with the lesion's second moments."""
    axes = places.shape[1]
    away = places - places.mean(axis=0)
    # A pixel has an extent of its own.
    moments = np.linalg.eigvalsh(away.T @ away / len(places) + np.eye(axes) / 12)
    found = 2 * np.sqrt((axes + 2) * moments)
    return float(found[0]), float(found[-1])


def _around(image: NDArray[np.float32], inside: Bools, head: Head) -> tuple[float, float]:
    """How much brighter the lesion is than what surrounds it, and how much of that is dark."""
    far = max(_FAR * head.diameter, 2.0)
    near = padded_box(inside, int(far) + 1)
    own = inside[near]
    away = np.zeros(own.shape) if own.all() else ndimage.distance_transform_edt(~own)
    ring = (away > _NEAR * head.diameter) & (away <= far)
    if not ring.any():
        return 0.0, 0.0
    part = image[(slice(None), *near)]
    around = part[:, ring]
    contrast = np.mean(np.median(part[:, own], axis=1) - np.median(around, axis=1))
    bright = np.median(image[:, head.depth > 0], axis=1)
    dark = np.mean(around.mean(axis=0) < _DARK * bright.mean())
    return float(contrast), float(dark)
