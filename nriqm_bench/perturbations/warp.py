"""Smooth local warps that move anatomy and leave the noise where it is.

Interpolation smooths noise, and whole-image metrics see that long before they see what moved. So an
image is split into anatomy and a residual (noise and fine texture), and only the anatomy is
interpolated; tissue that is stretched or compressed keeps the noise of its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Scales of the wavelet transform; the residual holds no structure coarser than 2^SCALES voxels.
SCALES = 3
# A wavelet coefficient beyond so many noise SDs is taken for structure.
SIGNIFICANT = 4.0

_SPLINE = np.array([1, 4, 6, 4, 1], np.float32) / 16
# SD of a normal distribution over its median absolute deviation.
_MAD = 1.4826

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


def split(image: Floats) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Anatomy and residual, which add up to the image.

    An undecimated wavelet transform with B3-spline smoothing. To the anatomy belong the smooth part
    and all coefficients next to one beyond `SIGNIFICANT` noise SDs: edges, with their flanks. The
    noise is taken to be white, its SD the median absolute coefficient of the finest scale; without
    noise there is no residual.

    Parameters
    ----------
    image
        ``(*S)``, one channel.

    Source: Starck, Fadili and Murtagh 2007, IEEE Transactions on Image Processing 16 (the
    isotropic undecimated wavelet transform and its significant coefficients).
    """
    image = np.asarray(image, np.float32)
    residual = np.zeros(image.shape, np.float32)
    smooth = image
    sigma = noise_sd(image)
    for scale, gain in enumerate(_noise_gains(image.ndim)):
        coarse = _smooth(smooth, scale)
        detail = smooth - coarse
        large = np.abs(detail) > SIGNIFICANT * gain * sigma
        structure = ndimage.maximum_filter(large, (2 << scale) + 1)
        residual += np.where(structure, np.float32(0), detail)
        smooth = coarse
    return np.asarray(image - residual, np.float32), residual


def noise_sd(image: Floats, where: Bools | None = None) -> float:
    """The SD of the noise, taken to be white, from the median of the finest details.

    Parameters
    ----------
    image
        ``(*S)``, one channel.
    where
        ``(*S)``, the part to look at. Values that were clipped, or set to zero, hold no noise and
        never count.
    """
    image = np.asarray(image, np.float32)
    counted = (image > 0) & (image < 1)
    if where is not None:
        counted &= where
    if not counted.any():
        return 0.0
    detail = image - _smooth(image, 0)
    return _MAD * float(np.median(np.abs(detail[counted]))) / _noise_gains(image.ndim)[0]


def pull(
    image: NDArray[np.float32], labels: Iterable[NDArray[Any]], displacement: NDArray[np.float64]
) -> None:
    """Warp in place: what is shown at x comes from x + displacement(x).

    The anatomy is interpolated by cubic splines, the residual stays; labels take the nearest voxel.
    Where the displacement is exactly 0, every value stays as it is, bit for bit. Beyond the edge
    the outermost value continues.

    Parameters
    ----------
    image
        ``(C, *S)`` in [0, 1]; the result is clipped to that.
    labels
        Label images ``(*S)`` that move along.
    displacement
        ``(ndim, *S)`` in voxels.
    """
    moved = (displacement != 0).any(axis=0)
    if not moved.any():
        return
    at = np.argwhere(moved)
    _pull(image, labels, at, [at + displacement[:, moved].T])


def pull_fine(
    image: NDArray[np.float32],
    labels: Iterable[NDArray[Any]],
    voxels: NDArray[np.intp],
    displacement: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    """As `pull`, averaging the anatomy over each voxel: what becomes thin becomes faint.

    Parameters
    ----------
    voxels
        ``(k, ndim)``, the voxels that change; all others stay as they are.
    displacement
        Of positions ``(k, ndim)``, in voxels.
    """
    offsets = np.array(list(product((-1 / 3, 0.0, 1 / 3), repeat=voxels.shape[1])))
    # The centre comes first: labels follow it.
    offsets = offsets[np.argsort(np.abs(offsets).sum(axis=1), kind="stable")]
    points = [voxels + offset for offset in offsets]
    _pull(image, labels, voxels, [p + displacement(p) for p in points], points)


def falloff(inner: Floats, outer: Floats) -> NDArray[np.float64]:
    """Weight 1 where `inner` is 0, falling to 0 where `outer` is 0, with no slope at both ends.

    Parameters
    ----------
    inner, outer
        Distance from the region that moves in full, and distance to the edge of the band
        (0 or less beyond it).
    """
    rest = np.maximum(outer, 0)
    share = np.divide(inner, inner + rest, out=np.ones(inner.shape), where=inner + rest > 0)
    weight = np.cos(0.5 * np.pi * share) ** 2
    return np.asarray(np.where(rest > 0, weight, 0.0), np.float64)


def _pull(
    image: NDArray[np.float32],
    labels: Iterable[NDArray[Any]],
    voxels: NDArray[np.intp],
    sources: list[NDArray[np.float64]],
    points: list[NDArray[np.float64]] | None = None,
) -> None:
    """Each voxel takes the change of anatomy from `points` (or itself) to `sources`, averaged."""
    target = tuple(voxels.T)
    last = np.array(image.shape[1:]) - 1
    sources = [np.clip(s, 0, last).T for s in sources]
    for channel in image:
        anatomy, _ = split(channel)
        spline = ndimage.spline_filter(anatomy, 3, output=np.float32, mode="mirror")
        look = partial(ndimage.map_coordinates, spline, order=3, mode="mirror", prefilter=False)
        there = np.mean([look(s) for s in sources], axis=0)
        here = anatomy[target]
        if points is not None:
            here = np.mean([look(np.clip(p, 0, last).T) for p in points], axis=0)
        channel[target] = np.clip(channel[target] + (there - here), 0, 1)
    nearest = tuple(np.rint(sources[0]).astype(np.intp))
    for label in labels:
        label[target] = label[nearest]


def _smooth(image: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    kernel = np.zeros(4 * (1 << scale) + 1, np.float32)
    kernel[:: 1 << scale] = _SPLINE
    for axis in range(image.ndim):
        image = ndimage.correlate1d(image, kernel, axis, mode="mirror")
    return image


@cache
def _noise_gains(ndim: int) -> tuple[float, ...]:
    """SD of the coefficients of unit white noise at each scale.

    The transform is separable but for a difference, so that it needs three sums along one axis.
    """
    reach = 2 * ((1 << SCALES) - 1)
    fine = np.zeros(2 * reach + 1)
    fine[reach] = 1.0
    gains = []
    for scale in range(SCALES):
        kernel = np.zeros(4 * (1 << scale) + 1)
        kernel[:: 1 << scale] = _SPLINE
        coarse = np.convolve(fine, kernel, "same")
        square = (fine @ fine) ** ndim - 2 * (fine @ coarse) ** ndim + (coarse @ coarse) ** ndim
        gains.append(float(np.sqrt(square)))
        fine = coarse
    return tuple(gains)
