"""Kernels over all pairs of rows of two samples, block by block; never a matrix of all pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.sample import Float64, Sample

# Kernel values held at once: 4 MB, so that the elementwise work stays near the cache.
BLOCK = 1 << 19

Block = Callable[[slice, slice], NDArray[np.floating[Any]]]


@dataclass(frozen=True)
class Kernels:
    """A symmetric kernel between the rows of two samples.

    Parameters
    ----------
    n, m
        Rows of the two samples.
    xx, yy, xy
        Kernel values of a block of rows and a block of columns.
    """

    n: int
    m: int
    xx: Block
    yy: Block
    xy: Block


def mmd(kernels: Kernels, *, biased: bool = False) -> float:
    """Squared maximum mean discrepancy, unbiased or (pairs of a row and itself included) biased.

    Source: Gretton et al. 2012 (JMLR 13), equations 3 and 5.
    """
    n, m = kernels.n, kernels.m
    within_x = _sum_symmetric(kernels.xx, n, diagonal=biased) / (n * (n if biased else n - 1))
    within_y = _sum_symmetric(kernels.yy, m, diagonal=biased) / (m * (m if biased else m - 1))
    between = math.fsum(_total(kernels.xy(i, j)) for i in _steps(n) for j in _steps(m)) / (n * m)
    return math.fsum((within_x, within_y, -2 * between))


def mmd_spread(kernels: Kernels, scale: float = 1.0) -> Spread:
    """The spread of `mmd` as a U-statistic, whether or not the two distributions are equal.

    With h(x) the mean kernel of a row with its own side less that with the other side, the variance
    is ``4 var(h) / n`` for each side, less what sampling noise in h counts twice:
    ``2 s_xx / n^2 + 2 s_yy / m^2 + 4 s_xy / (n m)`` with s the variance of the kernel about its row
    and column means. When the distributions are equal, var(h) is that noise alone.

    Source: Hoeffding 1948; Serfling 1980, section 5.2.1; both orders as in Sutherland et al. 2017
    (arXiv 1611.04488), equation 5.
    """
    n, m = kernels.n, kernels.m
    rows_x, _, square_xx = _marginals(kernels.xx, n, n, own=True)
    rows_y, _, square_yy = _marginals(kernels.yy, m, m, own=True)
    across_x, across_y, square_xy = _marginals(kernels.xy, n, m, own=False)
    first = 4 * float(np.var(rows_x - across_x, ddof=1)) / n
    first += 4 * float(np.var(rows_y - across_y, ddof=1)) / m
    s_xx = max(0.0, square_xx - 2 * _mean_square(rows_x) + float(rows_x.mean()) ** 2)
    s_yy = max(0.0, square_yy - 2 * _mean_square(rows_y) + float(rows_y.mean()) ** 2)
    s_xy = square_xy - _mean_square(across_x) - _mean_square(across_y)
    s_xy = max(0.0, s_xy + float(across_x.mean()) ** 2)
    twice = 2 * s_xx / n**2 + 2 * s_yy / m**2 + 4 * s_xy / (n * m)
    return Spread(m, scale * math.sqrt(max(first - twice, first / 2)), n + m - 2)


def _mean_square(values: Float64) -> float:
    return float(np.square(values).mean())


def self_similarity_gap(kernel: Block, n: int) -> float:
    """How much more similar a row is to itself than to another row of its sample, on average."""
    own = math.fsum(float(np.trace(kernel(i, i))) for i in _steps(n)) / n
    return own - _sum_symmetric(kernel, n, diagonal=False) / (n * (n - 1))


def _sum_symmetric(kernel: Block, n: int, *, diagonal: bool) -> float:
    total = []
    for i in _steps(n):
        for j in _steps(n):
            if j.start < i.start:
                continue
            values = kernel(i, j)
            if i == j and not diagonal:
                np.fill_diagonal(values, 0)
            total.append(_total(values) * (1 if i == j else 2))
    return math.fsum(total)


def _total(values: NDArray[np.floating[Any]]) -> float:
    return float(values.sum(dtype=np.float64))


def _marginals(kernel: Block, n: int, m: int, *, own: bool) -> tuple[Float64, Float64, float]:
    """Mean of each row, of each column, and of all squares; without the diagonal of `own` pairs."""
    rows, columns, squares = np.zeros(n), np.zeros(m), []
    for i in _steps(n):
        for j in _steps(m):
            values = np.asarray(kernel(i, j), dtype=np.float64)
            if own and i == j:
                np.fill_diagonal(values, 0)
            rows[i] += values.sum(1)
            columns[j] += values.sum(0)
            squares.append(float(np.square(values).sum()))
    others = m - 1 if own else m
    return rows / others, columns / (n - 1 if own else n), math.fsum(squares) / (n * others)


def _steps(n: int) -> list[slice]:
    step = math.isqrt(BLOCK)
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


class SquaredDistances:
    """Squared distances of the rows of two samples, about their common centre."""

    def __init__(self, x: Float64, y: Float64) -> None:
        centre = (x.mean(0) + y.mean(0)) / 2
        self._sides = {"x": x - centre, "y": y - centre}
        self._norms = {k: np.einsum("ij,ij->i", v, v) for k, v in self._sides.items()}

    def block(self, a: str, b: str) -> Callable[[slice, slice], Float64]:
        """Distances of side `a` to side `b`, by blocks; no rounding takes them below 0."""
        left, right, norm_a, norm_b = (
            self._sides[a],
            self._sides[b],
            self._norms[a],
            self._norms[b],
        )

        def distances(i: slice, j: slice) -> Float64:
            found = left[i] @ right[j].T
            found *= -2
            found += norm_a[i, None]
            found += norm_b[None, j]
            if a == b and i == j:
                np.fill_diagonal(found, 0)
            return np.asarray(np.maximum(found, 0, out=found))

        return distances


def median_distance(sample: Sample) -> float:
    """The median distance between two different rows of a sample; kept with it."""
    if "median distance" not in sample.own:
        sample.own["median distance"] = math.sqrt(_median_square(sample))
    return float(sample.own["median distance"])


def _median_square(sample: Sample) -> float:
    n = len(sample)
    pairs = n * (n - 1) // 2
    low, high = (pairs - 1) // 2, pairs // 2
    distances = SquaredDistances(sample.array, sample.array).block("x", "x")

    def blocks() -> Iterator[Float64]:
        for i in _steps(n):
            for j in _steps(n):
                if i.start < j.start:
                    yield distances(i, j).ravel()
                elif i == j:
                    yield distances(i, j)[np.triu_indices(i.stop - i.start, 1)]

    if pairs <= 8 * BLOCK:
        found = np.partition(np.concatenate(list(blocks())), [low, high])
        return float((found[low] + found[high]) / 2)
    # Too many to keep: count them in bins, then keep those of the bins with the middle ranks.
    top = 4 * float(np.square(sample.centred).sum(1).max())
    edges = np.linspace(0, top, (1 << 16) + 1)
    width = top / (1 << 16)
    counts = np.zeros(1 << 16, dtype=np.int64)
    for block in blocks():
        bins = np.minimum((block / width).astype(np.int64), (1 << 16) - 1)
        counts += np.bincount(bins, minlength=1 << 16)
    below = np.concatenate([[0], np.cumsum(counts)])
    first = int(np.searchsorted(below, low, side="right")) - 1
    last = int(np.searchsorted(below, high, side="right")) - 1
    inside = []
    for block in blocks():
        bins = np.minimum((block / width).astype(np.int64), (1 << 16) - 1)
        inside.append(block[(bins >= first) & (bins <= last)])
    del edges
    ranks = [low - int(below[first]), high - int(below[first])]
    middle = np.partition(np.concatenate(inside), ranks)[ranks]
    return float(middle.mean())
