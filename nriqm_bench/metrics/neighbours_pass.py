"""Exact near neighbours in blocks: a fast screen by matrix products, then float64 for the few left.

Every squared distance that decides something is the plain float64 sum of (x - y)^2 over columns.
Matrix products only rule pairs out: each block of approximate distances comes with a bound on its
rounding error, and whatever the bound leaves open is computed again. Results therefore do not
depend on the precision of the screen, the size of the blocks, or the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nriqm_bench.metrics.sample import Float64, Sample

Indices = NDArray[np.intp]
Bound = NDArray[np.floating[Any]]

# Pairs held at once: 16 MB a float64 block, small enough to stay out of swap beside the features.
BLOCK = 1 << 21

# Up to this many pairs a float64 screen costs little and leaves fewer pairs open.
SMALL = 1 << 24

# Where float32 leaves more than this share of a block open, float64 is the cheaper screen.
_OPEN = 0.02


class Neighbours(NamedTuple):
    """The k nearest of each row: squared distances in rising order, and their row numbers."""

    squared: Float64
    rows: Indices


class Ball(NamedTuple):
    """The balls around the rows of one side, out to their k-th neighbour on the same side."""

    side: str
    k: int
    inclusive: bool


class Counts(NamedTuple):
    """How many pairs of a row (of a column) lie within a ball."""

    rows: Indices
    columns: Indices


def squared_distances(a: Sample, b: Sample, i: Indices, j: Indices) -> Float64:
    """The squared distances of rows `i` of `a` to rows `j` of `b`, pair by pair, in float64."""
    found = np.empty(len(i))
    step = max(1, BLOCK // a.dim)
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        gap = a.rows[i[part]].astype(np.float64) - b.rows[j[part]]
        found[part] = np.square(gap, out=gap).sum(axis=1)
    return found


def own_neighbours(a: Sample, k: int) -> Neighbours:
    """The k nearest other rows of each row of `a`; ``k < len(a)``. Kept with the sample."""
    kept: Neighbours | None = a.own.get("neighbours")
    if kept is None or kept.squared.shape[1] < k:
        kept = _first(_near(a, None, k), len(a), k)
        a.own["neighbours"] = kept
    return Neighbours(kept.squared[:, :k], kept.rows[:, :k])


def nearest(a: Sample, b: Sample, k: int = 1) -> Neighbours:
    """The k rows of `b` nearest to each row of `a`; of equally near ones, the first."""
    return _first(_near(a, b, k), len(a), k)


def all_nearest(a: Sample, b: Sample) -> tuple[Float64, Indices, Indices]:
    """The squared distance of each row of `a` to its nearest row of `b`, and every such pair.

    Returns
    -------
    squared, i, j
        ``(len(a),)`` distances; rows ``i`` of `a` (rising) and ``j`` of `b` of all pairs at that
        distance, more than one for a row with ties. Kept for as long as both samples live.
    """
    shared = a.shared_with(b)
    if "nearest" not in shared:
        i, j, squared = _near(a, b, 1)
        shared["nearest"] = (squared[np.searchsorted(i, np.arange(len(a)))], i, j)
    found: tuple[Float64, Indices, Indices] = shared["nearest"]
    return found


def count_in_balls(a: Sample, b: Sample, balls: Sequence[Ball]) -> dict[Ball, Counts]:
    """For each kind of ball, the pairs (row of `a`, row of `b`) that lie within it.

    A ball of side ``"a"`` is centred on a row of `a` and reaches to the k-th nearest other row of
    `a`; side ``"b"`` likewise. All kinds are counted in one pass, and kept while both samples live.
    """
    shared = a.shared_with(b)
    missing = [ball for ball in dict.fromkeys(balls) if ball not in shared]
    if missing:
        shared.update(_count(a, b, missing))
    return {ball: shared[ball] for ball in balls}


def _first(pairs: tuple[Indices, Indices, Float64], n: int, k: int) -> Neighbours:
    i, j, squared = pairs
    order = np.lexsort((j, squared, i))
    start = np.searchsorted(i[order], np.arange(n))
    chosen = order[start[:, None] + np.arange(k)]
    return Neighbours(squared[chosen], j[chosen])


def _near(a: Sample, b: Sample | None, k: int) -> tuple[Indices, Indices, Float64]:
    """Pairs among which are the k nearest of each row with all their ties, at exact distances."""
    other = a if b is None else b
    parts: list[tuple[Indices, Indices, Float64]] = []
    for block in _blocks(a, b):

        def near(lower: Bound, upper: Bound) -> NDArray[np.bool_]:
            return np.asarray(lower <= np.partition(upper, k - 1, axis=1)[:, k - 1, None])

        _, left = block.screen(near, k)
        rows, j = np.nonzero(left)
        squared = squared_distances(a, other, rows + block.start, j)
        order = np.lexsort((squared, rows))
        first = np.searchsorted(rows, np.arange(len(left)))
        reach = squared[order][first + k - 1]
        kept = squared <= reach[rows]
        parts.append((rows[kept] + block.start, j[kept], squared[kept]))
    i, j, squared = (np.concatenate(p) for p in zip(*parts, strict=True))
    return i, j, squared


def _count(a: Sample, b: Sample, balls: Sequence[Ball]) -> dict[Ball, Counts]:
    sides = {"a": a, "b": b}
    deepest = {s: max((ball.k for ball in balls if ball.side == s), default=0) for s in sides}
    radii = {s: own_neighbours(sides[s], k).squared for s, k in deepest.items() if k}
    found = {
        ball: Counts(np.zeros(len(a), dtype=np.intp), np.zeros(len(b), dtype=np.intp))
        for ball in balls
    }
    for block in _blocks(a, b):
        for ball in balls:
            radius = radii[ball.side][:, ball.k - 1]
            reach = radius[block.start : block.stop, None] if ball.side == "a" else radius[None, :]
            scaled = reach * block.scale

            def edge(lower: Bound, upper: Bound, at: Float64 = scaled) -> NDArray[np.bool_]:
                return np.asarray((lower <= at) & (upper >= at))

            upper, left = block.screen(edge, 0)
            inside = np.asarray(upper < scaled)
            rows, columns = np.nonzero(left)
            exact = squared_distances(a, b, rows + block.start, columns)
            at = np.broadcast_to(reach, inside.shape)[rows, columns]
            inside[rows, columns] = exact <= at if ball.inclusive else exact < at
            found[ball].rows[block.start : block.stop] += inside.sum(axis=1)
            found[ball].columns[:] += inside.sum(axis=0)
    return found


class _Screen:
    """Bounds on all squared distances (times `scale`) between two samples, by matrix products."""

    def __init__(self, a: Sample, b: Sample | None, dtype: DTypeLike) -> None:
        other = a if b is None else b
        centre = a.mean if b is None else (a.mean + b.mean) / 2
        extremes = [end - centre for s in (a, other) for end in (s.rows.min(0), s.rows.max(0))]
        largest = float(np.abs(extremes).max())
        # A power of two scales without rounding; the limits keep its square finite.
        exponent = int(np.clip(-np.frexp(largest * a.dim**0.5)[1], -500, 500))
        self.scale = 2.0 ** (2 * exponent)
        self.left, self.left_norm = _scaled(a, centre, 2.0**exponent, dtype)
        self.right, norm = self.left, self.left_norm
        if b is not None:
            self.right, norm = _scaled(b, centre, 2.0**exponent, dtype)
        self.right_norm = norm.T
        # Worst case of a dot product of d terms, of rounding to `dtype`, and of the exact sum.
        unit, d = float(np.finfo(dtype).eps) / 2, a.dim
        self.relative = 1.1 * ((d + 32) * unit + (2 * d + 16) * 2.0**-53)
        self.absolute = d * (float(np.finfo(dtype).tiny) * 2 + 2.0**-1070 * self.scale)

    def bounds(self, start: int, stop: int) -> tuple[Bound, Bound]:
        norms = self.left_norm[start:stop] + self.right_norm
        middle = norms - 2 * (self.left[start:stop] @ self.right.T)
        norms *= self.relative
        norms += self.absolute
        return middle - norms, middle + norms


def _scaled(
    sample: Sample, centre: Float64, factor: float, dtype: DTypeLike
) -> tuple[Bound, Bound]:
    """Rows and their squared norms (as a column) about `centre`, times `factor`."""
    rows = sample.rows - centre
    rows *= factor
    norms = np.einsum("ij,ij->i", rows, rows)[:, None]
    return rows.astype(dtype, copy=False), norms.astype(dtype, copy=False)


class _Block:
    """Some rows against all columns, screened as precisely as the question needs."""

    def __init__(self, screens: Sequence[Callable[[], _Screen]], start: int, stop: int, own: bool):
        self.start, self.stop, self.own = start, stop, own
        self._screens = screens
        self._bounds: list[tuple[Bound, Bound]] = []
        self.scale = screens[0]().scale

    def screen(
        self, undecided: Callable[[Bound, Bound], NDArray[np.bool_]], k: int
    ) -> tuple[Bound, NDArray[np.bool_]]:
        """Upper bounds, and which pairs are `undecided` by the bounds."""
        for level in range(len(self._screens)):
            lower, upper = self._level(level)
            left = undecided(lower, upper)
            if np.count_nonzero(left) <= _OPEN * left.size + 2 * k * len(left):
                break
        return upper, left

    def _level(self, level: int) -> tuple[Bound, Bound]:
        if level == len(self._bounds):
            lower, upper = self._screens[level]().bounds(self.start, self.stop)
            if self.own:
                rows = np.arange(len(lower))
                lower[rows, rows + self.start] = upper[rows, rows + self.start] = np.inf
            self._bounds.append((lower, upper))
        return self._bounds[level]


def _blocks(a: Sample, b: Sample | None) -> Iterator[_Block]:
    columns = len(a if b is None else b)
    fine = cache(lambda: _Screen(a, b, np.float64))
    coarse = cache(lambda: _Screen(a, b, np.float32))
    screens = [fine] if len(a) * columns <= SMALL else [coarse, fine]
    step = max(1, BLOCK // columns)
    for start in range(0, len(a), step):
        yield _Block(screens, start, min(start + step, len(a)), own=b is None)
