"""Kernel distances (maximum mean discrepancy) between two sets of features."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.median import median_distance
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.pairs import (
    Block,
    Kernels,
    SquaredDistances,
    mmd,
    mmd_spread,
    mmd_variances,
    self_similarity_gap,
)
from nriqm_bench.metrics.sample import Float64, Sample, unit_rows

Estimator = Literal["unbiased", "biased"]

# From this many pairs on, products of rows are taken in float32 (see `kid`).
_MANY = 1 << 26


def _kid_spread(
    real: Sample,
    fake: Sample,
    *,
    subsets: int | None = None,
    subset_size: int = 1000,
    **_: Any,
) -> Spread:
    kernels = _cubic(real.array, fake.array)
    n, m = kernels.n, kernels.m
    variances = mmd_variances(kernels)
    variance = variances.of_mean(n, m)
    if subsets is not None:
        # The mean over subsets varies about that over all pairs by what each subset leaves out.
        variance += (variances.of_mean(subset_size, subset_size) - variance) / subsets
    return Spread(m, math.sqrt(variance), n + m - 2)


def _no_distance(real: Sample, fake: Sample, **_: Any) -> float:
    return 0.0


@metric(
    "kid",
    higher_is_better=False,
    min_samples=2,
    invariant=("rotation",),
    symmetric=True,
    sees=("shift", "spread", "modes"),
    spread=_kid_spread,
    floor=_no_distance,
)
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
    origin lose no digits. Terms that are linear in a product of rows are summed exactly. Products
    are float64; from 2^26 pairs on (8192 x 8192) they are float32 with float64 sums, which moves
    the value by less than 1e-6 of itself.

    Parameters
    ----------
    subsets
        Average over this many random subsets of both samples (published: 100); None: all pairs.
    subset_size
        Rows in a subset, drawn without replacement; at most the rows there are.
    rng
        The source of the subsets; required with them.

    Direction: lower is better. Range: about 0 for one distribution, *negative values included*
    (the estimate is unbiased); unbounded above. Invariant under a common rotation, under exchange
    and the order of rows; neither under translation nor under scale (the kernel has a fixed
    origin).

    Needs 2 rows each. Cost: ``(n + m)^2 d / 2``; blocks of pairs are kept, never all of them.

    Interval: the variance of the U-statistic. Floor: 0.

    Source: Binkowski et al. 2018 (arXiv 1801.01401), section 4; Gretton et al. 2012, equation 3.
    """
    if subsets is None:
        return mmd_cubic(real.array, fake.array)
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
        values.append(mmd_cubic(x, y))
    return math.fsum(values) / subsets


def mmd_cubic(x: Float64, y: Float64) -> float:
    """The unbiased discrepancy of two arrays under the cubic kernel."""
    return mmd(_cubic(x, y))


def _cubic(x: Float64, y: Float64) -> Kernels:
    n, m, d = len(x), len(y), x.shape[1]
    centre = (x.mean(axis=0) + y.mean(axis=0)) / 2
    u, v = x - centre, y - centre
    at_centre = float(centre @ centre) / d + 1
    along_u, along_v = u @ centre / d, v @ centre / d
    dtype = np.float32 if n * m >= _MANY else np.float64
    left: dict[str, NDArray[Any]] = {"u": u.astype(dtype, copy=False), "v": v.astype(dtype)}

    def kernel(a: str, b: str, along_a: Float64, along_b: Float64) -> Block:
        def block(i: slice, j: slice) -> NDArray[np.floating[Any]]:
            # With q the part of x.y / d + 1 without u.v: (q + s)^3 less its terms in u or v alone.
            p, r = along_a[i, None], along_b[None, j]
            s: Any = left[a][i] @ left[b][j].T
            s /= d
            q = at_centre + p + r
            return np.asarray(3 * p * r * (at_centre + q) + s * (3 * q * (q + s) + s * s))

        return block

    return Kernels(
        n,
        m,
        kernel("u", "u", along_u, along_u),
        kernel("v", "v", along_v, along_v),
        kernel("u", "v", along_u, along_v),
    )


def _gaussian(x: Float64, y: Float64, bandwidth: float) -> Kernels:
    """``exp(-|x - y|^2 / (2 bandwidth^2)) - 1``: the 1 cancels, and small distances keep digits."""
    distances = SquaredDistances(x, y)

    def kernel(a: str, b: str) -> Block:
        squared = distances.block(a, b)

        def block(i: slice, j: slice) -> Float64:
            found = squared(i, j)
            found /= -2 * bandwidth**2
            return np.asarray(np.expm1(found, out=found))

        return block

    return Kernels(len(x), len(y), kernel("x", "x"), kernel("y", "y"), kernel("x", "y"))


def _rbf_kernels(real: Sample, fake: Sample, bandwidth: float | None) -> Kernels:
    if bandwidth is None:
        bandwidth = median_distance(real)
        if bandwidth == 0:
            raise ValueError(
                "real had more than half of its pairs of rows equal, must have different rows, or "
                "bandwidth must be given"
            )
    if not (isinstance(bandwidth, int | float) and 0 < bandwidth < math.inf):
        raise ValueError(f"bandwidth was {bandwidth!r}, must be a number > 0, or None")
    return _gaussian(real.array, fake.array, float(bandwidth))


def _is_biased(estimator: str) -> bool:
    if estimator not in ("unbiased", "biased"):
        raise ValueError(f"estimator was {estimator!r}, must be 'unbiased' or 'biased'")
    return estimator == "biased"


def _rbf_spread(real: Sample, fake: Sample, *, bandwidth: float | None = None, **_: Any) -> Spread:
    return mmd_spread(_rbf_kernels(real, fake, bandwidth))


def _rbf_floor(
    real: Sample,
    fake: Sample,
    *,
    bandwidth: float | None = None,
    estimator: Estimator = "unbiased",
) -> float:
    if not _is_biased(estimator):
        return 0.0
    kernels = _rbf_kernels(real, fake, bandwidth)
    return self_similarity_gap(kernels.xx, kernels.n) * (1 / kernels.n + 1 / kernels.m)


@metric(
    "mmd-rbf",
    higher_is_better=False,
    min_samples=2,
    range=(-2.0, 2.0),
    invariant=("rotation", "translation", "scale"),
    sees=("shift", "spread", "modes"),
    spread=_rbf_spread,
    floor=_rbf_floor,
)
def mmd_rbf(
    real: Sample,
    fake: Sample,
    *,
    bandwidth: float | None = None,
    estimator: Estimator = "unbiased",
) -> float:
    """Squared maximum mean discrepancy with the Gaussian kernel ``exp(-|x - y|^2 / (2 s^2))``.

    Parameters
    ----------
    bandwidth
        The length s; None takes the median distance between two real rows, so that all fake samples
        are measured with one kernel.
    estimator
        ``"unbiased"`` (pairs of different rows) or ``"biased"`` (a row with itself included, never
        negative).

    Direction: lower is better. Range: [-2, 2]; about 0 for one distribution, *negative values
    included* when unbiased. Invariant under a common rotation or translation and the order of rows,
    with the default bandwidth also under a common scale; under exchange when the bandwidth is
    given.

    Needs 2 rows each. Cost: ``(n + m)^2 d / 2``, and ``n^2 d / 2`` for the median (twice beyond
    4 million pairs); blocks of pairs are kept, never all of them.

    Interval: the variance of the U-statistic, the bandwidth taken as given. Floor: 0; biased,
    ``(1 / n + 1 / m) (1 - mean kernel of two real rows)``.

    Source: Gretton et al. 2012 (JMLR 13), equations 3 and 5; median: its section 8.
    """
    biased = _is_biased(estimator)
    return mmd(_rbf_kernels(real, fake, bandwidth), biased=biased)


# The published code multiplies by this to make values readable.
_CMMD_SCALE = 1000.0


def _cmmd_kernels(real: Sample, fake: Sample, bandwidth: float) -> Kernels:
    if not (isinstance(bandwidth, int | float) and 0 < bandwidth < math.inf):
        raise ValueError(f"bandwidth was {bandwidth!r}, must be a number > 0")
    return _gaussian(_unit(real, "real"), _unit(fake, "fake"), float(bandwidth))


def _unit(sample: Sample, name: str) -> Float64:
    if "unit rows" not in sample.own:
        sample.own["unit rows"] = unit_rows(sample.array, name)
    kept: Float64 = sample.own["unit rows"]
    return kept


def _cmmd_spread(real: Sample, fake: Sample, *, bandwidth: float = 10.0, **_: Any) -> Spread:
    return mmd_spread(_cmmd_kernels(real, fake, bandwidth), _CMMD_SCALE)


def _cmmd_floor(
    real: Sample, fake: Sample, *, bandwidth: float = 10.0, estimator: Estimator = "biased"
) -> float:
    if not _is_biased(estimator):
        return 0.0
    kernels = _cmmd_kernels(real, fake, bandwidth)
    gap = self_similarity_gap(kernels.xx, kernels.n)
    return _CMMD_SCALE * gap * (1 / kernels.n + 1 / kernels.m)


@metric(
    "cmmd",
    higher_is_better=False,
    min_samples=2,
    range=(-2 * _CMMD_SCALE, 2 * _CMMD_SCALE),
    invariant=("rotation", "scale", "length"),
    symmetric=True,
    sees=("shift", "modes"),
    spread=_cmmd_spread,
    floor=_cmmd_floor,
)
def cmmd(
    real: Sample,
    fake: Sample,
    *,
    bandwidth: float = 10.0,
    estimator: Estimator = "biased",
) -> float:
    """1000 times the squared Gaussian maximum mean discrepancy of rows of unit length (CMMD).

    Each row is brought to length 1 first, as published for CLIP embeddings.

    Parameters
    ----------
    bandwidth
        The length s of ``exp(-|x - y|^2 / (2 s^2))`` (published: 10).
    estimator
        ``"biased"`` (the published code: a row with itself included) or ``"unbiased"``.

    Direction: lower is better. Range: [0, 2000], with "unbiased" about 0 for one distribution,
    *negative values included*. Invariant under a common rotation, the length of each row, exchange
    and the order of rows; not under translation.

    Needs 2 rows each, none of zeros. Cost: ``(n + m)^2 d / 2``; blocks of pairs are kept.

    Interval: the variance of the U-statistic. Floor: ``1000 (1 / n + 1 / m) (1 - mean kernel of two
    real rows)``; unbiased, 0.

    Source: Jayasumana et al. 2024 (arXiv 2401.09603), section 4, and the authors' code.
    """
    biased = _is_biased(estimator)
    return _CMMD_SCALE * mmd(_cmmd_kernels(real, fake, bandwidth), biased=biased)
