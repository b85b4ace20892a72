"""Near neighbours, exactly: screens of all pairs decide most, float64 distances the rest.

One pass over the pairs of two samples answers everything that is asked of them; answers are kept
while both samples live.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics import screens
from nriqm_bench.metrics.sample import Float64, Indices, Sample
from nriqm_bench.metrics.screens import Block, blocks, rounded_up

Pairs = tuple[Indices, Indices, Float64]
Found = TypeVar("Found")


class Neighbours(NamedTuple):
    """The k nearest of each row: squared distances in rising order, and their row numbers."""

    squared: Float64
    rows: Indices


class Ball(NamedTuple):
    """The balls around the rows of one side, out to their k-th neighbour on the same side.

    With `clipped`, no ball reaches farther than the median one.
    """

    side: str
    k: int
    inclusive: bool
    clipped: bool = False


class Nearest(NamedTuple):
    """The k nearest rows of the other side, for each row of one side, with all ties."""

    side: str
    k: int = 1


class Realism(NamedTuple):
    """For each row of the other side the least squared distance over the squared radius of a ball.

    The balls are those around the rows of `side`, out to their k-th neighbour, the smaller half.
    """

    side: str
    k: int


Ask = Ball | Nearest | Realism


class Counts(NamedTuple):
    """How many pairs of a row (of a column) lie within a ball."""

    rows: Indices
    columns: Indices


def squared_distances(a: Sample, b: Sample, i: Indices, j: Indices) -> Float64:
    """The squared distances of rows `i` of `a` to rows `j` of `b`, pair by pair, in float64."""
    found = np.empty(len(i))
    # A few dozen rows at a time stay in the nearest cache.
    step = max(1, screens.BLOCK // 16 // a.dim)
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        gap = a.rows[i[part]].astype(np.float64) - b.rows[j[part]]
        found[part] = np.square(gap, out=gap).sum(axis=1)
    return found


def own_pairs(a: Sample, k: int) -> Pairs:
    """Each row and its k nearest other rows, all ties with the k-th included; ``k < len(a)``.

    Returns
    -------
    i, j, squared
        Row numbers, by rising `i`, distance and `j`, and squared distances. Kept with the sample.
    """
    kept: tuple[int, Pairs] | None = a.own.get("pairs")
    if kept is None or kept[0] < k:
        search = _Search(a, None, k, len(a))
        for block in blocks(a, None):
            search.take(block, 0)
            if not block.diagonal:
                search.take(block, 1)
        kept = a.own["pairs"] = (k, search.pairs())
        a.own.pop("neighbours", None)
    most, pairs = kept
    return pairs if most == k else _nearest_of(pairs, k, len(a))


def own_neighbours(a: Sample, k: int) -> Neighbours:
    """The k nearest other rows of each row of `a`; ``k < len(a)``. Kept with the sample."""
    kept: Neighbours | None = a.own.get("neighbours")
    if kept is None or kept.squared.shape[1] < k:
        pairs = own_pairs(a, k)
        kept = a.own["neighbours"] = _first(pairs, len(a), k)
    return Neighbours(kept.squared[:, :k], kept.rows[:, :k])


def nearest(a: Sample, b: Sample, k: int = 1) -> Neighbours:
    """The k rows of `b` nearest to each row of `a`; of equally near ones, the first."""
    return _first(answer(a, b, [Nearest("a", k)])[0], len(a), k)


def all_nearest(a: Sample, b: Sample) -> tuple[Float64, Indices, Indices]:
    """The squared distance of each row of `a` to its nearest row of `b`, and every such pair.

    Returns
    -------
    squared, i, j
        ``(len(a),)`` distances; rows ``i`` of `a` (rising) and ``j`` of `b` of all pairs at that
        distance, more than one for a row with ties. Kept for as long as both samples live.
    """
    i, j, squared = answer(a, b, [Nearest("a")])[0]
    return squared[np.searchsorted(i, np.arange(len(a)))], i, j


def count_in_balls(a: Sample, b: Sample, balls: Sequence[Ball]) -> dict[Ball, Counts]:
    """For each kind of ball, the pairs (row of `a`, row of `b`) that lie within it.

    A ball of side ``"a"`` is centred on a row of `a` and reaches to the k-th nearest other row of
    `a`; side ``"b"`` likewise.
    """
    return dict(zip(balls, answer(a, b, balls), strict=True))


def radii(a: Sample, k: int, clipped: bool = False) -> Float64:
    """Squared radii of the balls around the rows of `a`; if so asked, clipped at the median."""
    squared = own_neighbours(a, k).squared[:, k - 1]
    return np.minimum(squared, _median_of_roots(squared)) if clipped else squared


def smaller_half(squared: Float64) -> Indices:
    """The balls whose radius is below the median one; where there are none, those that equal it."""
    middle = _median_of_roots(squared)
    below = np.flatnonzero(squared < middle)
    return below if below.size else np.flatnonzero(squared <= middle)


def _median_of_roots(squared: Float64) -> float:
    """The square of the median root; of an odd number, or two equal ones, without rounding."""
    n = len(squared)
    low, high = np.partition(squared, [(n - 1) // 2, n // 2])[[(n - 1) // 2, n // 2]]
    return float(low if low == high else ((np.sqrt(low) + np.sqrt(high)) / 2) ** 2)


def answer(a: Sample, b: Sample, asks: Iterable[Ask]) -> list[Any]:
    """What is asked of the pairs of two samples, in one pass for all that is not known yet.

    Returns
    -------
    list
        `Counts` for a `Ball`; pairs ``(i, j, squared)`` for a `Nearest`, `i` of the asking side,
        sorted by it and the distance, all ties included; ``(len,)`` float64 for a `Realism`.
    """
    asks = list(asks)
    shared = a.shared_with(b)
    missing = [ask for ask in dict.fromkeys(asks) if ask not in shared]
    if missing:
        tasks = [_task(a, b, ask) for ask in missing]
        for block in blocks(a, b):
            for task in tasks:
                task.take(block)
        mirrored = b.shared_with(a)
        for ask, task in zip(missing, tasks, strict=True):
            shared[ask] = task.found()
            turned = ask._replace(side="b" if ask.side == "a" else "a")
            value = shared[ask]
            mirrored[turned] = Counts(value.columns, value.rows) if isinstance(ask, Ball) else value
    return [shared[ask] for ask in asks]


def _task(a: Sample, b: Sample, ask: Ask) -> Any:
    if isinstance(ask, Ball):
        return _Count(a, b, ask)
    if isinstance(ask, Nearest):
        return _Closest(a, b, ask)
    return _Realism(a, b, ask)


def _settled(block: Block, attempt: Callable[[], tuple[int, Found]], allowed: float) -> Found:
    """The first attempt that leaves few enough pairs open, on ever finer screens."""
    while True:
        left, found = attempt()
        if left <= allowed or block.finest:
            return found
        block.level += 1


class _Search:
    """The k nearest of each row (axis 0) or column (axis 1), from blocks in any order."""

    def __init__(self, a: Sample, b: Sample | None, k: int, n: int) -> None:
        self.a, self.b, self.k = a, b, k
        self.reach = np.full(n, np.inf)
        self.parts: list[tuple[Indices, Indices, Float64, Float64]] = []

    def take(self, block: Block, axis: int) -> None:
        mine = (block.i, block.j)[axis]
        count = block.shape[axis]

        def attempt() -> tuple[int, tuple[Indices, Indices, Float64, Float64]]:
            reach = self.reach[mine]
            full = block.shape[1 - axis] >= self.k + block.diagonal
            narrow = full and not np.isfinite(reach).all()
            if narrow:
                reach = np.minimum(reach, block.kth(self.k, axis))
            pairs = block.within(reach, axis)
            if full and len(pairs[0]) > 4 * self.k * count:
                narrow = True
                reach = np.minimum(reach, block.kth(self.k, axis))
                pairs = block.within(reach, axis)
            # The bounds of single pairs are closer than those of the block.
            lower, upper = block.bounds(*pairs)
            here, there = (pairs[axis], pairs[1 - axis])
            if narrow:
                reach = np.minimum(reach, _kth(here, upper, self.k, count))
            self.reach[mine] = reach
            kept = lower <= reach[here]
            return int(np.count_nonzero(kept)), (here[kept], there[kept], lower[kept], upper[kept])

        here, there, lower, upper = _settled(
            block, attempt, screens.OPEN * block.size + 2 * self.k * count
        )
        other = (block.j, block.i)[axis]
        self.parts.append((here + mine.start, there + other.start, lower, upper))

    def pairs(self) -> Pairs:
        i, j, lower, upper = (np.concatenate(p) for p in zip(*self.parts, strict=True))
        n = len(self.reach)
        np.minimum(self.reach, _kth(i, upper, self.k, n), out=self.reach)
        kept = lower <= self.reach[i]
        i, j = i[kept], j[kept]
        squared = squared_distances(self.a, self.a if self.b is None else self.b, i, j)
        return _nearest_of((i, j, squared), self.k, n)


def _kth(rows: Indices, values: Float64, k: int, n: int) -> Float64:
    """The k-th smallest value of each of n rows; infinite for a row that has fewer."""
    found = np.full(n, np.inf)
    if k == 1:
        np.minimum.at(found, rows, values)
        return found
    order = np.lexsort((values, rows))
    start, stop = (np.searchsorted(rows[order], np.arange(n), side) for side in ("left", "right"))
    enough = stop - start >= k
    found[enough] = values[order[start[enough] + k - 1]]
    return found


def _nearest_of(pairs: Pairs, k: int, n: int) -> Pairs:
    """Of the pairs of each row the k nearest with all ties, by row, distance and column."""
    i, j, squared = pairs
    order = np.lexsort((j, squared, i))
    i, j, squared = i[order], j[order], squared[order]
    reach = squared[np.searchsorted(i, np.arange(n)) + k - 1]
    kept = squared <= reach[i]
    return i[kept], j[kept], squared[kept]


def _first(pairs: Pairs, n: int, k: int) -> Neighbours:
    i, j, squared = pairs
    chosen = np.searchsorted(i, np.arange(n))[:, None] + np.arange(k)
    return Neighbours(squared[chosen], j[chosen])


class _Closest:
    """Answers `Nearest`."""

    def __init__(self, a: Sample, b: Sample, ask: Nearest) -> None:
        self.axis = "ab".index(ask.side)
        first, second = (a, b) if self.axis == 0 else (b, a)
        self.search = _Search(first, second, ask.k, len(first))

    def take(self, block: Block) -> None:
        self.search.take(block, self.axis)

    def found(self) -> Pairs:
        return self.search.pairs()


class _Count:
    """Answers `Ball`."""

    def __init__(self, a: Sample, b: Sample, ask: Ball) -> None:
        self.a, self.b, self.inclusive = a, b, ask.inclusive
        self.axis = "ab".index(ask.side)
        self.radii = radii((a, b)[self.axis], ask.k, ask.clipped)
        self.counts = Counts(np.zeros(len(a), dtype=np.intp), np.zeros(len(b), dtype=np.intp))

    def take(self, block: Block) -> None:
        radius = self.radii[(block.i, block.j)[self.axis]]

        def attempt() -> tuple[int, tuple[Indices, Indices, Float64, NDArray[np.bool_]]]:
            rows, columns = block.within(radius * block.scale, self.axis)
            upper = block.bounds(rows, columns)[1]
            at = radius[(rows, columns)[self.axis]]
            left = upper >= at * block.scale
            return int(np.count_nonzero(left)), (rows, columns, at, left)

        rows, columns, at, left = _settled(block, attempt, screens.OPEN * block.size)
        i, j = rows[left] + block.i.start, columns[left] + block.j.start
        exact = squared_distances(self.a, self.b, i, j)
        inside = ~left
        inside[left] = exact <= at[left] if self.inclusive else exact < at[left]
        for counts, hits, part in (
            (self.counts.rows, rows, block.i),
            (self.counts.columns, columns, block.j),
        ):
            counts[part] += np.bincount(hits[inside], minlength=part.stop - part.start)

    def found(self) -> Counts:
        return self.counts


class _Realism:
    """Answers `Realism`."""

    def __init__(self, a: Sample, b: Sample, ask: Realism) -> None:
        self.axis = "ab".index(ask.side)
        self.owner, self.other = (a, b) if self.axis == 0 else (b, a)
        self.squared = radii(self.owner, ask.k)
        self.chosen = smaller_half(self.squared)
        self.reach = np.full(len(self.other), np.inf)
        self.parts: list[tuple[Indices, Indices, Float64]] = []

    def take(self, block: Block) -> None:
        mine, others = (block.i, block.j) if self.axis == 0 else (block.j, block.i)
        inside = (self.chosen >= mine.start) & (self.chosen < mine.stop)
        balls = self.chosen[inside] - mine.start
        if not balls.size:
            return
        squared = self.squared[balls + mine.start] * block.scale

        def attempt() -> tuple[int, tuple[Indices, Indices, Float64]]:
            gap = block.gap[balls] if self.axis == 0 else block.gap[:, balls].T
            if squared.min() < 1e-20:
                gap = gap.astype(np.float64)
            fixed = block.row[balls][:, None] if self.axis == 0 else block.row[None, :]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                # Ratios to rounding; a ball of no radius gives NaN for what coincides with it.
                ratio = gap + fixed.astype(gap.dtype)
                ratio *= (1 / squared).astype(gap.dtype)[:, None]
            best = np.argmin(ratio, axis=0)
            at = np.arange(len(best))
            self._lower(self._of(block, balls[best], at)[1], squared[best], self.reach[others])
            reach = self.reach[others] * (1 + 8 * np.finfo(gap.dtype).eps)
            rows, columns = np.divmod(np.flatnonzero(~(ratio > rounded_up(reach, gap))), len(best))
            lower = self._of(block, balls[rows], columns)[0]
            with np.errstate(divide="ignore", invalid="ignore"):
                exact = np.nan_to_num(np.maximum(lower, 0) / squared[rows], nan=0.0, posinf=np.inf)
            return len(rows), (rows, columns, exact)

        rows, columns, lower = _settled(
            block, attempt, screens.OPEN * block.size + 2 * block.shape[1 - self.axis]
        )
        self.parts.append((balls[rows] + mine.start, columns + others.start, lower))

    def _of(self, block: Block, mine: Indices, others: Indices) -> tuple[Float64, Float64]:
        """Bounds of pairs by the row of the owner and the row of the other side."""
        return block.bounds(mine, others) if self.axis == 0 else block.bounds(others, mine)

    @staticmethod
    def _lower(upper: Float64, squared: Float64, reach: Float64) -> None:
        """Bring `reach` down to the ratios of some pairs."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.nan_to_num(upper / squared, nan=np.inf, posinf=np.inf)
        np.minimum(reach, ratio, out=reach)

    def found(self) -> Float64:
        i, j, lower = (np.concatenate(p) for p in zip(*self.parts, strict=True))
        kept = lower <= self.reach[j]
        i, j = i[kept], j[kept]
        squared = squared_distances(self.owner, self.other, i, j)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = squared / self.squared[i]
        least = np.full(len(self.other), np.inf)
        np.minimum.at(least, j, np.nan_to_num(ratio, nan=0.0, posinf=np.inf))
        return least
