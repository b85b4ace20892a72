"""How much of each voxel a tree of vessels fills: partial volume without supersampling.

A vessel's cross-section is a disc; a voxel averages over its volume and the scanner over its point
spread. Both together are taken as a Gaussian of variance ``voxel^2 / 12 + spread^2``, that of the
box along any direction plus that of the point spread. The profile across the vessel is then the
noncentral chi-squared distribution ``P(chi'^2(2, (d / s)^2) <= (r / s)^2)`` at distance d from the
centre line of a vessel of radius r, whose integral over the plane is pi r^2 however thin it is.
The sum over voxels is that integral as far as the blur is sampled: to 5 % at worst for a point
spread of 3/8 voxel (a thin vessel along an axis through the middle of voxels), to 1 % for 1/2.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nriqm_bench.datasets.phantom_arteries import Tree
from nriqm_bench.vessels import CENTRE_LINE, VESSEL

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_REACH = 3.0  # SDs of the blur beyond which nothing is seen
_STEPS, _FINE = 20, 80  # table entries for each SD of distance and of radius
_WIDEST = 16.0  # SDs, the widest radius in the table


class Rendered(NamedTuple):
    """What a tree does to a volume.

    `coverage` is the share of each voxel that is blood; `signal` the same weighted by the blood's
    brightness; `labels` have 1 in vessels and 2 on their centre lines.
    """

    coverage: Float32
    signal: Float32
    labels: NDArray[np.uint8]


def render_tree(
    tree: Tree,
    shape: tuple[int, int, int],
    voxel: float,
    spread: float = 0.0,
    brightness: list[Float64] | None = None,
) -> Rendered:
    """Vessels in a volume ``(depth, height, width)`` of cubic voxels.

    Parameters
    ----------
    tree
        Its points in mm along (depth, height, width) from the centre of the first voxel.
    shape, voxel
        Voxels along each axis, and their edge in mm.
    spread
        The SD of the point spread in mm.
    brightness
        One array a segment, the blood's brightness at its points; 1 everywhere if None.

    Raises
    ------
    ValueError
        For a radius beyond 16 SDs of the blur, such as 3.7 mm without point spread on 0.8 mm.
    """
    if brightness is None:
        brightness = [np.ones(len(s.points)) for s in tree.segments]
    start = np.concatenate([s.points[:-1] for s in tree.segments]) / voxel
    stop = np.concatenate([s.points[1:] for s in tree.segments]) / voxel
    radius = np.concatenate([(s.radius[:-1] + s.radius[1:]) / 2 for s in tree.segments]) / voxel
    bright = np.concatenate([(b[:-1] + b[1:]) / 2 for b in brightness])
    blur = float(np.sqrt(1 / 12 + (spread / voxel) ** 2))
    if radius.max() > _WIDEST * blur:
        raise ValueError(
            f"a vessel had a radius of {radius.max() * voxel:.3g} mm, must be at most "
            f"{_WIDEST * blur * voxel:.3g} mm for voxels of {voxel:g} mm"
        )
    margin = radius + _REACH * blur + 1
    limits = np.asarray(shape) - 1
    low = np.minimum(start, stop) + margin[:, None] >= 0
    high = np.maximum(start, stop) - margin[:, None] <= limits
    near = (low & high).all(1)
    coverage = np.zeros(int(np.prod(shape)), np.float32)
    signal = np.zeros_like(coverage)
    labels = np.zeros(coverage.shape, np.uint8)
    # Pieces whose boxes of voxels are alike are drawn at once.
    extent = np.abs(stop - start).max(1) / 2 + radius + _REACH * blur
    boxes = np.ceil(extent).astype(np.intp)
    for half in np.unique(boxes[near]):
        chosen = near & (boxes == half)
        at, depth, inside = _profile(
            start[chosen], stop[chosen], radius[chosen], int(half), blur, shape
        )
        weight = np.repeat(bright[chosen].astype(np.float32), (2 * int(half) + 1) ** 3)
        seen = (depth > 1e-3) & (at >= 0)
        np.maximum.at(coverage, at[seen], depth[seen])
        np.maximum.at(signal, at[seen], depth[seen] * weight[seen])
        labels[at[inside & (at >= 0)]] = VESSEL
    labels = labels.reshape(shape)
    _draw_lines(labels, start[near], stop[near])
    return Rendered(coverage.reshape(shape), signal.reshape(shape), labels)


def _profile(
    start: Float64,
    stop: Float64,
    radius: Float64,
    half: int,
    blur: float,
    shape: tuple[int, int, int],
) -> tuple[NDArray[np.intp], Float32, NDArray[np.bool_]]:
    """Flat voxel indices (-1 outside), coverage and being within the radius, piece by piece."""
    side = np.arange(-half, half + 1)
    box = np.stack(np.meshgrid(side, side, side, indexing="ij"), -1).reshape(-1, 3)
    corner = np.rint((start + stop) / 2).astype(np.intp)
    origin = (corner - start).astype(np.float32)
    axis = (stop - start).astype(np.float32)
    square = np.maximum((axis**2).sum(1), 1e-12)
    offset = box.astype(np.float32)
    # |p - a|^2 and (p - a).u of all voxels of all pieces, by products of small matrices.
    lead = (origin * axis).sum(1)[:, None] + axis @ offset.T
    gap = (origin**2).sum(1)[:, None] + 2 * origin @ offset.T + (offset**2).sum(1)
    t = np.clip(lead / square[:, None], 0, 1)
    gap = np.maximum(gap - t * (2 * lead - t * square[:, None]), 0)
    distance = np.sqrt(gap)
    inside = distance <= radius[:, None].astype(np.float32)
    table = _table()
    r = np.rint(radius / blur * _FINE).astype(np.intp)
    d = np.rint(distance * np.float32(_STEPS / blur)).astype(np.intp)
    np.minimum(d, table.shape[1] - 1, out=d)
    depth = table.ravel()[(r[:, None] * table.shape[1]) + d]
    inner = ((corner - half >= 0) & (corner + half < np.asarray(shape))).all(1)
    flat = (corner @ np.array([shape[1] * shape[2], shape[2], 1]))[:, None] + box @ np.array(
        [shape[1] * shape[2], shape[2], 1]
    )
    voxels = corner[~inner, None] + box
    flat[~inner] = np.where(
        ((voxels >= 0) & (voxels < np.asarray(shape))).all(-1), flat[~inner], -1
    )
    return flat.ravel(), depth.ravel(), inside.ravel()


@cache
def _table() -> Float32:
    """Coverage by radius and distance, in units of the blur's SD over `_FINE` and `_STEPS`."""
    r = np.arange(round(_WIDEST * _FINE) + 1) / _FINE
    d = np.arange(round((_WIDEST + _REACH) * _STEPS) + 1) / _STEPS
    table = special.chndtr(r[:, None] ** 2, 2, d[None] ** 2)
    table[:, -1] = 0
    return np.nan_to_num(table).astype(np.float32)


def _draw_lines(labels: NDArray[np.uint8], start: Float64, stop: Float64) -> None:
    """Mark the voxels on the lines from `start` to `stop`."""
    steps = np.linspace(0, 1, 5)[:, None, None]
    voxels = np.rint(start + steps * (stop - start)).astype(np.intp).reshape(-1, 3)
    voxels = voxels[((voxels >= 0) & (voxels < np.asarray(labels.shape))).all(1)]
    labels[tuple(voxels.T)] = CENTRE_LINE
