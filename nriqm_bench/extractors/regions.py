"""What extractors that look at a part of the image share: distances, medians, the head."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.extractors.images import as_tensor

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Side of the blocks, in pixels, over which noise is averaged before the head is told from the air.
_BLOCK = 4
# Of the brightest blocks: what is darker is air. Noise of sigma .2 lifts air to about .1.
_AIR = 0.3


def images_and_masks(
    images: Any, masks: Any, extractor: str
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """Both as arrays ``(N, C, *S)`` float32 and ``(N, *S)`` integers.

    Raises
    ------
    ValueError
        When masks are missing, of another shape or no integers; for images see `as_tensor`.
    """
    x = as_tensor(images).numpy()
    if masks is None:
        raise ValueError(
            f"the extractor {extractor!r} needs masks, and these images have none; "
            f"'{extractor}-found' finds its own"
        )
    m = np.asarray(masks)
    expected = (len(x), *x.shape[2:])
    if m.shape != expected:
        raise ValueError(f"masks had shape {m.shape}, must be {expected} to fit the images")
    if m.dtype.kind not in "biu":
        raise ValueError(f"masks had dtype {m.dtype}, must be integer labels")
    return x, m


def signed_distance(inside: Bools) -> Float64:
    """Pixels to the outline, which runs between pixels: negative inside, +-.5 next to it.

    Where nothing is outside the outline is infinitely far.
    """
    if inside.all():
        return np.full(inside.shape, -np.inf)
    within = ndimage.distance_transform_edt(inside)
    without = ndimage.distance_transform_edt(~inside)
    return np.asarray(np.where(inside, 0.5 - within, without - 0.5), dtype=np.float64)


def shell_medians(
    values: NDArray[np.float32], distance: Float64, edges: Float64, least: int = 6
) -> Float64:
    """The median of `values` in each shell ``edges[i] < distance <= edges[i + 1]``.

    Noise that is clipped at 0 and 1 pulls means towards the middle, but leaves medians alone:
    clipping keeps the order of the pixels. A shell of fewer than `least` pixels takes the value of
    the next one that has as many, further out first; all are 0 when none has.
    """
    shell = np.searchsorted(edges, distance.ravel(), side="left") - 1
    kept = (shell >= 0) & (shell < len(edges) - 1)
    shell, flat = shell[kept], values.ravel()[kept]
    order = np.argsort(shell, kind="stable")
    bounds = np.searchsorted(shell[order], np.arange(len(edges)))
    flat = flat[order]
    found = np.full(len(edges) - 1, np.nan)
    for i, (low, high) in enumerate(itertools.pairwise(bounds)):
        if high - low >= least:
            found[i] = np.median(flat[low:high])
    for i in reversed(range(len(found) - 1)):
        if np.isnan(found[i]):
            found[i] = found[i + 1]
    for i in range(1, len(found)):
        if np.isnan(found[i]):
            found[i] = found[i - 1]
    return np.asarray(np.nan_to_num(found), dtype=np.float64)


def ramp(where: Float64, values: Float64) -> tuple[Float64, float]:
    """The slopes of the plane that most of `values` at `where` lie on, whatever the rest does.

    Five steps towards the least absolute deviation, then five with Tukey's weights, which are 0
    beyond 3 robust SD: a part that differs (a dark core) does not tilt the plane.

    Parameters
    ----------
    where
        ``(n, axes)`` positions about their mean, of about unit size.
    values
        ``(n,)``.

    Returns
    -------
    slopes, noise
        ``(axes,)`` change of value for one unit of position; and the robust SD of what is left.

    Source: Holland and Welsch 1977, Communications in Statistics 6 (iterative reweighting).
    """
    n, axes = where.shape
    terms = np.column_stack([np.ones(n), where])
    ridge = 1e-3 * n * np.eye(axes + 1)
    ridge[0, 0] = 1e-9 * n
    weight = np.ones(n)
    noise = 0.0
    found = np.zeros(axes + 1)
    for step in range(10):
        weighted = terms.T * (weight / weight.mean())
        found = np.linalg.solve(weighted @ terms + ridge, weighted @ values)
        left = np.abs(values - terms @ found)
        noise = float(np.median(left)) / 0.6745
        if step < 5:
            weight = 1 / np.maximum(left, 0.01)
        else:
            # Never tighter than what 8-bit images and partial volume leave.
            weight = np.clip(1 - np.square(left / (3 * max(noise, 0.03))), 0, None) ** 2 + 1e-6
    return np.asarray(found[1:], dtype=np.float64), noise


def median_gradient(values: NDArray[np.float32], inside: Bools, lag: int) -> Float64:
    """The median change of `values` over one pixel along each axis, of pairs `lag` pixels apart.

    Both pixels lie inside; pairs across an edge between two parts are the few, and do not count.
    0 along an axis with fewer than 10 pairs.
    """
    found = np.zeros(values.ndim)
    for axis in range(values.ndim):
        ahead = tuple(slice(lag if a == axis else 0, None) for a in range(values.ndim))
        back = tuple(slice(0, -lag if a == axis else None) for a in range(values.ndim))
        pairs = inside[ahead] & inside[back]
        if np.count_nonzero(pairs) >= 10:
            found[axis] = float(np.median(values[ahead][pairs] - values[back][pairs])) / lag
    return found


def head(image: NDArray[np.float32]) -> tuple[Float64, Float64]:
    """Centre and spread (SD) of the head along each axis, in pixels; of the frame, if none.

    Parameters
    ----------
    image
        ``(*S)``. The head is where averages over blocks of 4 pixels a side reach .3 of the
        brightest.
    """
    sides = [min(_BLOCK, s) for s in image.shape]
    whole = image[tuple(slice(0, s // b * b) for s, b in zip(image.shape, sides, strict=True))]
    split = [v for s, b in zip(whole.shape, sides, strict=True) for v in (s // b, b)]
    means = whole.reshape(split).mean(axis=tuple(range(1, 2 * image.ndim, 2)), dtype=np.float64)
    inside = means > max(_AIR * float(np.percentile(means, 95)), 1e-6)
    if not inside.any():
        inside[...] = True
    blocks = np.argwhere(inside) * sides + (np.array(sides) - 1) / 2
    return blocks.mean(axis=0), blocks.std(axis=0) + np.array(sides) / 2
