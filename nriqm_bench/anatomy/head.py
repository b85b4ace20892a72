"""Where the head is in an image, as a frame for what is in it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Float64 = NDArray[np.float64]

# SD in pixels of the average before the head is told from the air: noise averages out.
_SMOOTH = 2.0
# Of the bright values: what is darker is air. Noise of sigma .2 lifts air to about .1.
_AIR = 0.3


class Head(NamedTuple):
    """A frame of reference; the whole image where there is no head.

    Attributes
    ----------
    size
        Its pixels.
    diameter
        Of the disc or ball of that many pixels.
    centre, spread
        Mean and SD of its pixels along each axis.
    depth
        ``(*S)`` distance from its outline, over the largest: 1 in the middle, negative outside.
    """

    size: int
    diameter: float
    centre: Float64
    spread: Float64
    depth: Float64


def head_of(image: NDArray[np.floating[Any]]) -> Head:
    """The largest bright part of an image ``(C, *S)``, holes filled."""
    mean = ndimage.gaussian_filter(image.mean(axis=0), _SMOOTH, mode="nearest")
    bright = mean > max(_AIR * float(np.percentile(mean, 95)), 1e-6)
    parts, count = ndimage.label(bright)
    if count > 1:
        bright = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    inside = ndimage.binary_fill_holes(bright)
    if not inside.any():
        inside = np.ones(mean.shape, np.bool_)
    places = np.argwhere(inside)
    axes = inside.ndim
    size = len(places)
    diameter = 2 * (np.sqrt(size / np.pi) if axes == 2 else np.cbrt(0.75 * size / np.pi))
    # Beyond the frame is outside, so that a head that fills it has a depth too.
    framed = np.pad(inside, 1)
    inner = (slice(1, -1),) * axes
    away = ndimage.distance_transform_edt(framed)[inner]
    if not inside.all():
        away = away - ndimage.distance_transform_edt(~inside)
    return Head(
        size,
        float(diameter),
        places.mean(axis=0),
        np.maximum(places.std(axis=0), 0.5),
        np.asarray(away / away.max(), dtype=np.float64),
    )
