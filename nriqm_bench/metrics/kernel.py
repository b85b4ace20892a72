"""Kernel distances (maximum mean discrepancy) between two sets of features."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.sample import Float64, Sample

# Kernel values held at once: 4 MB, so that the elementwise work stays near the cache.
BLOCK = 1 << 19

Kernel = Callable[[slice, slice], Float64]


@metric("kid", higher_is_better=False, min_samples=2)
def kid(
    real: Sample,
    fake: Sample,
    *,
    subsets: int | None = None,
    subset_size: int = 1000,
    rng: np.random.Generator | None = None,
) -> float:
    """Kernel distance with the cubic kernel ``(x.y / d + 1)^3`` (KID), over all pairs.

    The unbiased estimate of the squared maximum mean discrepancy: the mean of the kernel over all
    pairs of different real rows, plus that over fake rows, less twice the mean over all mixed
    pairs. The published code averages it over random subsets; all pairs have the same expectation
    and the least variance, and need no random numbers.

    Rows are centred first and the kernel is expanded around the centre: the terms that depend on
    one row of a pair only cancel in the estimate, and are left out, so that clouds far from the
    origin lose no digits.

    Parameters
    ----------
    subsets
        Average over this many random subsets of both samples (published: 100); None: all pairs.
    subset_size
        Rows in a subset, drawn without replacement; at most the rows there are.
    rng
        The source of the subsets; required with them.

    Direction: lower is better. Range: about 0 for one distribution, *negative values included*
    (the estimate is unbiased); unbounded above. Invariant under a common rotation and the order
    of rows; neither under translation nor under scale (the kernel has a fixed origin).

    Needs 2 rows each. Cost: ``(n + m)^2 d / 2``; blocks of pairs are kept, never all of them.

    Source: Binkowski et al. 2018 (arXiv 1801.01401), section 4; Gretton et al. 2012, equation 3.
    """
    if subsets is None:
        return _cubic_mmd(real.array, fake.array)
    if not isinstance(subsets, int) or subsets < 1:
        raise ValueError(
            f"subsets was {subsets!r}, must be a whole number >= 1, or None for all pairs"
        )
    if rng is None:
        raise ValueError("rng was None, must be a numpy Generator when subsets are drawn")
    for name, sample in (("real", real), ("fake", fake)):
        if not 2 <= subset_size <= len(sample):
            raise ValueError(
                f"subset_size was {subset_size}, must be between 2 and the rows of {name}, "
                f"{len(sample)}"
            )
    values = []
    for _ in range(subsets):
        x = real.array[rng.choice(len(real), subset_size, replace=False)]
        y = fake.array[rng.choice(len(fake), subset_size, replace=False)]
        values.append(_cubic_mmd(x, y))
    return math.fsum(values) / subsets


def _cubic_mmd(x: Float64, y: Float64) -> float:
    d = x.shape[1]
    centre = (x.mean(axis=0) + y.mean(axis=0)) / 2
    u, v = x - centre, y - centre
    at_centre = float(centre @ centre) / d + 1
    along_u, along_v = u @ centre / d, v @ centre / d

    def kernel(a: Float64, b: Float64, along_a: Float64, along_b: Float64) -> Kernel:
        def block(i: slice, j: slice) -> Float64:
            # With q the part of x.y / d + 1 without u.v: (q + s)^3 less its terms in u or v alone.
            p, r = along_a[i, None], along_b[None, j]
            s = a[i] @ b[j].T
            s /= d
            q = at_centre + p + r
            return np.asarray(3 * p * r * (at_centre + q) + s * (3 * q * (q + s) + s * s))

        return block

    n, m = len(x), len(y)
    within_x = _sum_pairs(kernel(u, u, along_u, along_u), n) / (n * (n - 1))
    within_y = _sum_pairs(kernel(v, v, along_v, along_v), m) / (m * (m - 1))
    between = _sum_grid(kernel(u, v, along_u, along_v), n, m) / (n * m)
    return math.fsum((within_x, within_y, -2 * between))


def _sum_pairs(kernel: Kernel, n: int) -> float:
    """The sum of a symmetric kernel over all ordered pairs of different rows."""
    total = []
    for i in _steps(n, math.isqrt(BLOCK)):
        for j in _steps(n, math.isqrt(BLOCK)):
            if j.start < i.start:
                continue
            values = kernel(i, j)
            if i == j:
                np.fill_diagonal(values, 0)
                total.append(float(values.sum()))
            else:
                total.append(2 * float(values.sum()))
    return math.fsum(total)


def _sum_grid(kernel: Kernel, n: int, m: int) -> float:
    """The sum of a kernel over all pairs of a row of one set and a row of another."""
    step = math.isqrt(BLOCK)
    return math.fsum(float(kernel(i, j).sum()) for i in _steps(n, step) for j in _steps(m, step))


def _steps(n: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
