"""Vessel trees as masks show them: the pieces of the centre line between branch points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array, csgraph
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

VESSEL, CENTRE_LINE = 1, 2

# Pruning a spur can turn its branch point into an ordinary voxel and bare the next spur.
_PRUNINGS = 3

# How much the distance to the outside may fall short of the radius, in voxels.
_SLACK = 1.25

Indices = NDArray[np.intp]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Segment(NamedTuple):
    """A piece of a vessel between two branch points, or between a branch point and an end.

    Attributes
    ----------
    coords
        ``(k, ndim)`` voxels of the centre line, in order along the vessel; branch points
        themselves belong to no segment.
    radius
        ``(k,)`` float64, of the vessel there, in voxels.
    terminal
        Whether it is a twig: an end is free within the frame, and it is not a tree's root.
    """

    coords: Indices
    radius: Floats
    terminal: bool


class Lumen(NamedTuple):
    """``(k, ndim)`` centres and ``(k,)`` radii along a segment, float64, in voxels."""

    centre: Floats
    radius: Floats


def segments(mask: NDArray[Any]) -> list[Segment]:
    """The segments of all vessels in a mask, in the order of their first voxels in memory.

    Parameters
    ----------
    mask
        ``(H, W)`` or ``(D, H, W)`` labels: 0 background, 1 vessel, 2 centre line. Without any 2
        the centre line is the skeleton of the mask.

    Returns
    -------
    list of Segment
        Empty for an empty mask. The radius is the distance to the nearest voxel outside the
        vessel less half a voxel: that of a straight tube w voxels wide, w odd, is w / 2, and half a
        voxel less for an even w (`lumens` is finer and needs more of the vessel). Beyond the frame
        nothing is outside, so that a vessel that leaves it keeps its radius. Of a tree with branch
        points none of whose ends leaves the frame, the widest free end is the root. Side twigs of
        the centre line that do not get out of their parent's lumen are artefacts of thinning and
        left out.
    """
    mask = np.asarray(mask)
    inside = mask > 0
    if not inside.any():
        return []
    box = padded_box(inside, 1)
    distance = ndimage.distance_transform_edt(inside[box])
    line = _centre_line(mask[box])
    voxels = np.argwhere(line)
    radius = distance[line] - 0.5
    for _ in range(_PRUNINGS):
        spurs = _spurs(voxels, radius)
        if not spurs.any():
            break
        voxels, radius = voxels[~spurs], radius[~spurs]
    voxels = voxels + [s.start for s in box]
    graph = _Graph(voxels)
    chains = graph.chains()
    # Thinning shortens a vessel by up to its radius, so an end that near to the frame leaves it.
    margin = np.minimum(voxels, np.array(mask.shape) - 1 - voxels).min(axis=1)
    leaves = graph.ends & (margin <= np.ceil(radius))
    free = graph.ends & ~leaves
    roots = _roots(graph, chains, radius, leaves)
    return [
        Segment(voxels[chain], radius[chain], bool(free[chain[[0, -1]]].any() and i not in roots))
        for i, chain in enumerate(chains)
    ]


def lumens(
    mask: NDArray[Any], found: list[Segment], of: Sequence[int] | None = None
) -> list[Lumen]:
    """The centre and the radius of the lumen along segments, finer than a voxel.

    Each voxel of the mask belongs to the nearest voxel of a centre line. Area per length and centre
    of gravity are averaged along the segment by a Gaussian of its radius. At branch points, where
    voxels of others are among them, the segment's own radius is the limit.

    Parameters
    ----------
    mask
        That the segments were found in.
    found
        All its segments: one left out would leave its voxels to its neighbours.
    of
        Which of them to measure, by their position in `found`. None: all.
    """
    if not found:
        return []
    inside = np.argwhere(np.asarray(mask) > 0)
    line = np.concatenate([s.coords for s in found])
    owner = cKDTree(line).query(inside)[1]
    count = np.bincount(owner, minlength=len(line)).astype(np.float64)
    sums = [np.bincount(owner, axis, minlength=len(line)) for axis in inside.T]
    total = np.stack(sums, axis=1)
    out = []
    start = np.cumsum([0, *(len(s.coords) for s in found)])
    for i in range(len(found)) if of is None else of:
        segment, own = found[i], slice(start[i], start[i + 1])
        smooth = partial(
            ndimage.gaussian_filter1d,
            sigma=max(1.0, float(np.median(segment.radius))),
            axis=0,
            mode="nearest",
        )
        size = smooth(count[own])
        centre = smooth(total[own]) / size[:, None]
        course = smooth(segment.coords.astype(np.float64))
        length = np.linalg.norm(np.gradient(course, axis=0), axis=1) if len(course) > 1 else 1.0
        area = size / np.maximum(length, 0.5)
        radius = area / 2 if mask.ndim == 2 else np.sqrt(area / np.pi)
        out.append(Lumen(centre, np.minimum(radius, smooth(segment.radius) + _SLACK)))
    return out


def padded_box(inside: Bools, margin: int) -> tuple[slice, ...]:
    """The smallest box that holds all of `inside`, and up to `margin` voxels more on every side."""
    box = []
    for axis, size in enumerate(inside.shape):
        others = tuple(a for a in range(inside.ndim) if a != axis)
        at = np.flatnonzero(inside.any(axis=others))
        box.append(slice(max(0, int(at[0]) - margin), min(size, int(at[-1]) + 1 + margin)))
    return tuple(box)


class _Graph:
    """Voxels of a centre line, two being joined when they touch by a face, an edge or a corner."""

    def __init__(self, voxels: Indices) -> None:
        n, ndim = voxels.shape
        pairs = cKDTree(voxels).query_pairs(np.sqrt(ndim) + 0.01, output_type="ndarray")
        self.n = n
        self.pairs: Indices = pairs.astype(np.intp)
        self.degree = np.bincount(self.pairs.ravel(), minlength=n)
        self.branch_points = self.degree >= 3
        self.ends = self.degree <= 1

    def components(self, keep: Bools) -> Indices:
        """``(n,)`` number of the connected piece of the voxels in `keep` that each belongs to."""
        pairs = self.pairs[keep[self.pairs].all(axis=1)]
        joined = coo_array((np.ones(len(pairs)), pairs.T), (self.n, self.n))
        return np.asarray(csgraph.connected_components(joined, directed=False)[1], np.intp)

    def chains(self) -> list[Indices]:
        """The indices of the voxels of each segment, from one end to the other."""
        keep = ~self.branch_points
        pairs = self.pairs[keep[self.pairs].all(axis=1)]
        near: list[list[int]] = [[] for _ in range(self.n)]
        for a, b in pairs.tolist():
            near[a].append(b)
            near[b].append(a)
        label = self.components(keep)
        starts: dict[int, int] = {}
        # Ends first: a closed loop has none and starts at its first voxel.
        for i in sorted(np.flatnonzero(keep).tolist(), key=lambda i: len(near[i]) > 1):
            starts.setdefault(int(label[i]), i)
        return [_walk(start, near) for start in sorted(starts.values())]


def _walk(start: int, near: list[list[int]]) -> Indices:
    chain, seen = [start], {start}
    while step := [i for i in near[chain[-1]] if i not in seen]:
        chain.append(step[0])
        seen.add(step[0])
    return np.array(chain, np.intp)


def _centre_line(mask: NDArray[Any]) -> Bools:
    """One voxel thin; a given line is thinned too, since a drawn one may have thick corners."""
    given = mask == CENTRE_LINE
    vessel = given if given.any() else mask > 0
    line = _thinned(vessel)
    # In space, thinning makes straight vessels of even width vanish altogether; with one voxel more
    # on one side they are of odd width.
    touching = np.ones((3,) * mask.ndim, np.bool_)
    pieces, count = ndimage.label(vessel, touching)
    lost = np.setdiff1d(np.arange(1, count + 1), pieces[line])
    if len(lost):
        part = np.isin(pieces, lost)
        thick = ndimage.binary_dilation(part, touching[(slice(2),) * mask.ndim])
        line |= _thinned(np.asarray(thick, np.bool_)) & part
    return line


def _thinned(vessel: Bools) -> Bools:
    return np.asarray(skeletonize(vessel), np.bool_)  # type: ignore[no-untyped-call]


def _spurs(voxels: Indices, radius: Floats) -> Bools:
    """The voxels of twigs that end within the lumen of the vessel they branch off."""
    graph = _Graph(voxels)
    branch = np.flatnonzero(graph.branch_points)
    if not len(branch):
        return np.zeros(len(voxels), np.bool_)
    piece = graph.components(~graph.branch_points)
    ends = np.flatnonzero(graph.ends)
    # With two free ends a piece is a vessel of its own.
    tips = ends[np.bincount(piece[ends], minlength=len(voxels))[piece[ends]] == 1]
    gap, at = cKDTree(voxels[branch]).query(voxels[tips])
    return np.isin(piece, piece[tips[gap <= radius[branch[at]] + 1]])


def _roots(graph: _Graph, chains: list[Indices], radius: Floats, leaves: Bools) -> set[int]:
    """The widest twig of each branched tree that nowhere leaves the frame."""
    tree = graph.components(np.ones(graph.n, bool))
    whole = set(tree[graph.branch_points].tolist()) - set(tree[leaves].tolist())
    widest: dict[int, int] = {}
    for i, chain in enumerate(chains):
        number = int(tree[chain[0]])
        if number in whole and graph.ends[chain[[0, -1]]].any():
            other = widest.setdefault(number, i)
            if np.median(radius[chain]) > np.median(radius[chains[other]]):
                widest[number] = i
    return set(widest.values())
