"""Kernels over all pairs of rows of two samples, block by block; never a matrix of all pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.sample import Float64

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
    between = math.fsum(_total(kernels.xy(i, j)) for i in steps(n) for j in steps(m)) / (n * m)
    return math.fsum((within_x, within_y, -2 * between))


class Variances(NamedTuple):
    """What the variance of `mmd` is made of: by row of each side, and by pair about these."""

    x: float
    y: float
    xx: float
    yy: float
    xy: float

    def of_mean(self, n: int, m: int) -> float:
        """The variance of `mmd` of n and m rows."""
        pairs = 2 * self.xx / n**2 + 2 * self.yy / m**2 + 4 * self.xy / (n * m)
        # For equal distributions the estimated parts of the rows are about 0, of either sign.
        return max(4 * self.x / n + 4 * self.y / m + pairs, pairs / 2)


def mmd_variances(kernels: Kernels) -> Variances:
    """The components of the variance of `mmd`, which hold for equal distributions too.

    With h(x) the mean kernel of a row with its own side less that with the other side, the first
    component is the variance of h less what sampling noise adds to it; it is 0 when the
    distributions are equal, where the pairs alone count.

    Source: Hoeffding 1948; Serfling 1980, section 5.2.1; both orders as in Sutherland et al. 2017
    (arXiv 1611.04488), equation 5.
    """
    n, m = kernels.n, kernels.m
    rows_x, _, square_xx = _marginals(kernels.xx, n, n, own=True)
    rows_y, _, square_yy = _marginals(kernels.yy, m, m, own=True)
    across_x, across_y, square_xy = _marginals(kernels.xy, n, m, own=False)
    xx = max(0.0, square_xx - 2 * _mean_square(rows_x) + float(rows_x.mean()) ** 2)
    yy = max(0.0, square_yy - 2 * _mean_square(rows_y) + float(rows_y.mean()) ** 2)
    xy = square_xy - _mean_square(across_x) - _mean_square(across_y)
    xy = max(0.0, xy + float(across_x.mean()) ** 2)
    x = float(np.var(rows_x - across_x, ddof=1)) - xx / n - xy / m
    y = float(np.var(rows_y - across_y, ddof=1)) - yy / m - xy / n
    return Variances(x, y, xx, yy, xy)


def mmd_spread(kernels: Kernels, scale: float = 1.0) -> Spread:
    """The spread of `mmd` as a U-statistic."""
    n, m = kernels.n, kernels.m
    variance = mmd_variances(kernels).of_mean(n, m)
    return Spread(m, scale * math.sqrt(variance), n + m - 2)


def _mean_square(values: Float64) -> float:
    return float(np.square(values).mean())


def self_similarity_gap(kernel: Block, n: int) -> float:
    """How much more similar a row is to itself than to another row of its sample, on average."""
    own = math.fsum(float(np.trace(kernel(i, i))) for i in steps(n)) / n
    return own - _sum_symmetric(kernel, n, diagonal=False) / (n * (n - 1))


def _sum_symmetric(kernel: Block, n: int, *, diagonal: bool) -> float:
    total = []
    for i in steps(n):
        for j in steps(n):
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
    for i in steps(n):
        for j in steps(m):
            values = np.asarray(kernel(i, j), dtype=np.float64)
            if own and i == j:
                np.fill_diagonal(values, 0)
            rows[i] += values.sum(1)
            columns[j] += values.sum(0)
            squares.append(float(np.square(values).sum()))
    others = m - 1 if own else m
    return rows / others, columns / (n - 1 if own else n), math.fsum(squares) / (n * others)


def steps(n: int) -> list[slice]:
    """The rows in parts, of which a part against a part makes a block."""
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
