"""Centre lines of vessels cut into segments, all at once: what `vessel` reads of a mask.

`nriqm_bench.vessels.segments` prunes and roots its tree, for damage that must hit the right place;
here a thousandth of a second an image counts more.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from nriqm_bench.vessels import CENTRE_LINE

Float64 = NDArray[np.float64]
Indices = NDArray[np.intp]


class Lines(NamedTuple):
    """The voxels of a centre line, segment by segment, in order along each.

    Attributes
    ----------
    places
        ``(k, axes)`` voxels; branch points belong to no segment and are left out.
    bounds
        Segment i is ``places[bounds[i] : bounds[i + 1]]``.
    ends, pieces
        How many voxels of the line have one neighbour at most, and how many connected parts the
        whole line has.
    line, part, free
        All voxels of the line, branch points too ``(n, axes)``; the number of the connected part
        of each; and whether it has one neighbour at most.
    """

    places: Indices
    bounds: Indices
    ends: int
    pieces: int
    line: Indices
    part: Indices
    free: NDArray[np.bool_]


def centre_lines(mask: NDArray[Any]) -> Lines:
    """The segments of the centre line of a mask ``(*S)``.

    The line is label 2, thinned, or without any 2 the skeleton of all that is above 0. Segments
    run from branch point (a voxel with more than two neighbours) to branch point or end; a closed
    ring without an end is left out.
    """
    given = mask == CENTRE_LINE
    line = skeletonize(given if given.any() else mask > 0)  # type: ignore[no-untyped-call]
    places = np.argwhere(line)
    n = len(places)
    if not n:
        nothing = np.zeros(0, np.intp)
        return Lines(places, np.zeros(1, np.intp), 0, 0, places, nothing, nothing > 0)
    pairs = cKDTree(places).query_pairs(np.sqrt(mask.ndim) + 0.01, output_type="ndarray")
    degree = np.bincount(pairs.ravel(), minlength=n)
    pieces, part = csgraph.connected_components(_graph(pairs, n), directed=False)
    whole = (places, part.astype(np.intp), degree <= 1)
    kept = degree <= 2
    inner = pairs[kept[pairs].all(axis=1)]
    graph = _graph(inner, n)
    label = csgraph.connected_components(graph, directed=False)[1]
    tips = np.flatnonzero(kept & (np.bincount(inner.ravel(), minlength=n) <= 1))
    if not len(tips):
        return Lines(places[:0], np.zeros(1, np.intp), 0, int(pieces), *whole)
    # From one tip of each segment, in steps along it.
    starts = tips[np.unique(label[tips], return_index=True)[1]]
    along = csgraph.dijkstra(graph, directed=False, indices=starts, unweighted=True, min_only=True)
    reached = np.flatnonzero(kept & np.isfinite(along))
    order = reached[np.lexsort((along[reached], label[reached]))]
    bounds = np.flatnonzero(np.diff(label[order], prepend=-1, append=-1))
    ends = int(np.count_nonzero(degree <= 1))
    return Lines(places[order], bounds.astype(np.intp), ends, int(pieces), *whole)


def _graph(pairs: NDArray[Any], n: int) -> Any:
    i, j = pairs.T
    ones = np.ones(2 * len(pairs))
    return csr_array((ones, (np.r_[i, j], np.r_[j, i])), shape=(n, n))


def narrowing(values: Float64) -> float:
    """How far a segment narrows somewhere, in [0, 1]: 0 for a tube or a taper, 1 where it is gone.

    The largest ``1 - u / w``: u is the value, averaged over three voxels, and w the smaller of the
    largest values before and after. Values above the segment's upper quartile count as that, so
    that the wide mouths of a segment at its branch points are no narrowing of what lies between.
    """
    smooth = _averaged(values)
    level = np.minimum(smooth, np.quantile(smooth, 0.75))
    before, after = np.maximum.accumulate(level), np.maximum.accumulate(level[::-1])[::-1]
    sides = np.minimum(before, after)
    return float(np.clip(np.max((sides - smooth) / np.maximum(sides, 1e-6)), 0, 1))


def widening(values: Float64) -> float:
    """How far a segment widens somewhere, in [0, 2]: 0 for a tube or a taper.

    The largest ``u / w - 1`` within, as `narrowing` with largest and smallest exchanged.
    """
    smooth = _averaged(values)
    level = np.maximum(smooth, np.quantile(smooth, 0.25))
    before, after = np.minimum.accumulate(level), np.minimum.accumulate(level[::-1])[::-1]
    sides = np.maximum(before, after)
    return float(np.clip(np.max(smooth / np.maximum(sides, 1e-6)) - 1, 0, 2))


def _averaged(values: Float64) -> Float64:
    padded = np.concatenate([values[:1], values, values[-1:]])
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)
