"""Frechet distances between the Gaussians fitted to two sets of features."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.frechet_floor import expected_distance, population_spectrum
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.moments import Moments
from nriqm_bench.metrics.sample import Float64, Indices, Sample, shuffled

_EPS = float(np.finfo(np.float64).eps)

# The fast eigenvalues are taken when they are at most this far off, as a share of the traces.
_TOLERANCE = 1e-12

Normalise = Literal["real", "joint", "none"]
Scale = Literal["log-squared", "log", "squared", "root"]


def _fid_spread(real: Sample, fake: Sample) -> Spread:
    return Spread(len(fake), frechet_sd(real, fake), len(real) + len(fake) - 2)


def _fid_floor(real: Sample | Moments, fake: Sample | Moments) -> float:
    return frechet_floor(real, len(real), len(fake))


@metric(
    "fid",
    higher_is_better=False,
    min_samples=2,
    range=(0.0, math.inf),
    invariant=("rotation", "translation"),
    symmetric=True,
    sees=("shift", "spread", "modes"),
    moments=True,
    spread=_fid_spread,
    floor=_fid_floor,
)
def fid(real: Sample | Moments, fake: Sample | Moments) -> float:
    """Frechet distance between the Gaussians fitted to real and fake features (FID).

    ``|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))`` with means m and unbiased covariances C
    (divided by n - 1, as in the published code). With factors ``C = F'F`` the last trace is the sum
    of the singular values of ``F1 F2'``, so that no matrix square root is formed, and
    rank-deficient covariances (fewer rows than columns) need no special care.

    Direction: lower is better. Range: [0, inf); exactly 0 for equal inputs up to rounding, and a
    negative rounding error is returned as 0. Invariant under a common rotation or translation of
    both samples, under exchange and under the order of rows; scales with the square of the
    features. Biased upwards for small samples: compare only values of equal n, or with the floor.

    Needs 2 rows each; takes `Moments`. Cost: ``n m d`` for the product and ``min(n, m, d)^3`` for
    the singular values; with n > d, ``n d^2`` a sample, which is shared.

    Interval: from the influence of each row on the value. Floor: the expected value for two samples
    of one Gaussian with the covariance of `real`, see `frechet_floor.expected_distance`.

    Source: Heusel et al. 2017 (arXiv 1706.08500), section 3, equation 6; Dowson and Landau 1982.
    """
    return frechet_distance(_gap(real, fake), real.factor, fake.factor, real.trace + fake.trace)


def _gap(real: Sample | Moments, fake: Sample | Moments) -> Float64:
    near1, rest1 = real.mean_parts
    near2, rest2 = fake.mean_parts
    # Near parts of far clouds are close to each other, so that their difference is exact.
    return np.asarray((near1 - near2) + (rest1 - rest2))


def frechet_distance(
    gap: Float64, factor1: Float64, factor2: Float64, traces: float | None = None
) -> float:
    """Squared Frechet distance of two Gaussians.

    Parameters
    ----------
    gap
        ``(d,)`` difference of the means.
    factor1, factor2
        ``(r, d)`` factors F of the covariances, ``C = F'F``, of any number of rows.
    traces
        ``tr(C1) + tr(C2)`` where it is known.
    """
    if traces is None:
        traces = float(np.square(factor1).sum() + np.square(factor2).sum())
    overlap = _nuclear_norm(factor1 @ factor2.T, traces)
    return max(0.0, float(np.square(gap).sum()) + (traces - 2 * overlap))


def _nuclear_norm(matrix: Float64, scale: float) -> float:
    """The sum of the singular values, to rounding of `scale`."""
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    squares = np.linalg.eigvalsh(matrix @ matrix.T)
    if squares[-1] <= 0:
        return 0.0
    # An eigenvalue is off by about eps times the largest; its root, by that over twice the root.
    off = 8 * _EPS * squares[-1]
    roots = np.sqrt(np.maximum(squares, off / 4))
    if float(np.sum(off / (2 * roots))) <= _TOLERANCE * scale:
        return float(roots.sum())
    return float(np.linalg.svd(matrix, compute_uv=False).sum())


def frechet_floor(real: Sample | Moments, n: int, m: int) -> float:
    """FID expected of n and m rows of one Gaussian with the covariance that `real` shows."""
    squares = np.square(np.linalg.svd(real.factor, compute_uv=False))
    return expected_distance(*population_spectrum(squares, real.dim, len(real)), n, m)


def frechet_sd(real: Sample, fake: Sample) -> float:
    """Standard deviation of FID, from the influence of each row (infinitesimal jackknife).

    Moving a little weight to a row y of fake changes FID by ``2 (m2 - m1).(y - m2) + |y - m2|^2 -
    (y - m2)' T (y - m2)`` less its mean, T the optimal transport map to real's Gaussian.

    Source: Efron and Stein 1981; the derivative: Rippl, Munk and Sturm 2016, theorem 2.1.
    """
    gap = _gap(fake, real)
    u, s, v = np.linalg.svd(real.factor @ fake.factor.T, full_matrices=False)
    kept = s > s[0] * _EPS * max(real.dim, len(s)) if s.size else s > 0
    left = (u[:, kept] / np.sqrt(s[kept])).T @ real.factor
    right = (v[kept].T / np.sqrt(s[kept])).T @ fake.factor
    variance = 0.0
    for sample, sign, other in ((real, -1.0, right), (fake, 1.0, left)):
        rows = sample.centred
        influence = (
            2 * sign * (rows @ gap) + np.square(rows).sum(1) - np.square(rows @ other.T).sum(1)
        )
        variance += float(influence.var(ddof=1)) / len(sample)
    return math.sqrt(variance)


@metric(
    "fid-infinity",
    higher_is_better=False,
    min_samples=20,
    invariant=("translation",),
    sees=("shift", "spread", "modes"),
)
def fid_infinity(
    real: Sample,
    fake: Sample,
    *,
    points: int = 15,
    smallest: int | None = None,
    extrapolate: Literal["fake", "both"] = "fake",
    rng: np.random.Generator | None = None,
) -> float:
    """FID extrapolated to infinitely many fake rows (FID-infinity).

    FID of random subsets of fake of rising size N is fitted by a straight line in 1 / N; the value
    is its intercept. What the finite *real* sample adds stays, as published.

    Parameters
    ----------
    points
        Sizes of subsets, evenly spaced (published: 15).
    smallest
        The smallest subset; by default a tenth of the fake rows (published: 5000 of 50000), and at
        least 10. The largest has them all.
    extrapolate
        ``"fake"`` (published) or ``"both"``: subsets of real too, of the same share.
    rng
        The source of subsets; None takes an order that depends on the rows' values alone.

    Direction: lower is better. Range: any number; may be negative by noise, which is larger than
    that of FID. Invariant under a common translation and the order of rows; under rotation when
    `rng` is given. Scales with the square of the features.

    Needs 20 rows each. Cost: that of `points` FIDs, of half the rows on average.

    Interval: blocks of rows left out. Floor: with ``"both"`` 0, else what n real rows alone add.

    Source: Chong and Forsyth 2020 (arXiv 1911.07023), section 4.1.
    """
    if not isinstance(points, int) or points < 2:
        raise ValueError(f"points was {points!r}, must be a whole number >= 2")
    if extrapolate not in ("fake", "both"):
        raise ValueError(f"extrapolate was {extrapolate!r}, must be 'fake' or 'both'")
    m = len(fake)
    least = max(10, m // 10) if smallest is None else smallest
    if not 2 <= least < m:
        raise ValueError(f"smallest was {smallest!r}, must be between 2 and the {m} fake rows")
    sizes = np.unique(np.linspace(least, m, points).astype(int))
    orders = {name: _order(sample, rng) for name, sample in (("fake", fake), ("real", real))}
    values = []
    for size in sizes:
        part = _part(fake, orders["fake"], size, rng)
        against = real
        if extrapolate == "both":
            against = _part(real, orders["real"], max(2, round(size * len(real) / m)), rng)
        values.append(fid.function(against, part))
    slope_and_intercept = np.polynomial.polynomial.polyfit(1 / sizes, values, 1)
    return float(slope_and_intercept[0])


def _order(sample: Sample, rng: np.random.Generator | None) -> Indices | None:
    return shuffled(sample) if rng is None else None


def _part(
    sample: Sample, order: Indices | None, size: int, rng: np.random.Generator | None
) -> Sample:
    if size >= len(sample):
        return sample
    if order is not None:
        return sample.take(order[:size])
    assert rng is not None
    return sample.take(rng.choice(len(sample), size, replace=False))


def _frd_spread(real: Sample, fake: Sample, **options: Any) -> Spread | None:
    if options.get("normalise", "real") != "none":
        # What each row adds to the scale of the columns is not in the formula.
        return None
    x, y = real.array, fake.array
    sd = frechet_sd(Sample(x), Sample(y))
    squared = float(fid.function(Sample(x), Sample(y)))
    scale = options.get("scale", "log-squared")
    # The first-order change of what is made of the squared distance.
    rate = {"squared": 1.0, "root": 0.5 / math.sqrt(squared) if squared else math.inf}
    rate |= {"log-squared": 1 / squared if squared else math.inf}
    rate |= {"log": rate["log-squared"] / 2}
    return Spread(len(fake), sd * rate[scale] if sd else 0.0, len(real) + len(fake) - 2)


def _frd_floor(real: Sample, fake: Sample, **options: Any) -> float:
    x, _, _ = _normalised(real, fake, options.get("normalise", "real"))
    squared = frechet_floor(Sample(x), len(real), len(fake))
    return _scaled(squared, options.get("scale", "log-squared"))


@metric(
    "frd",
    higher_is_better=False,
    min_samples=2,
    invariant=("translation", "scale"),
    sees=("shift", "spread", "modes"),
    spaces=("radiomics*",),
    spread=_frd_spread,
    floor=_frd_floor,
)
def frd(
    real: Sample,
    fake: Sample,
    *,
    scale: Scale = "log-squared",
    normalise: Normalise = "real",
) -> float:
    """Frechet radiomic distance (FRD): of radiomic features, each brought to one scale.

    The rows are radiomic features (the extractor ``radiomics``; any other features will do). Each
    column is normalised, columns that are constant in `real` are left out, and the squared Frechet
    distance d2 of the rest is reported on a logarithmic scale.

    Parameters
    ----------
    scale
        ``"log-squared"``: log d2 (the published code and values); ``"log"``: log d, half of it (the
        paper's equation 3); ``"squared"``: d2 (version 0); ``"root"``: d.
    normalise
        ``"real"``: less the mean of `real`, by its standard deviation (divided by n; published);
        ``"joint"``: minimum and maximum of both together to [0, 7.456707] (version 0); ``"none"``.

    Direction: lower is better. Range: any number, -inf for equal samples; [0, inf) for "squared"
    and "root". Invariant under translation and scale of each column and the order of rows; not
    under rotation.

    Needs 2 rows each and a column that varies in `real`. Cost: that of FID.

    Interval: blocks of rows left out; with "none" as for FID, carried to the scale. Floor: as for
    FID, of the normalised columns.

    Source: Konz, Osuala et al. 2025 (arXiv 2412.01496), section 3.3; version 0: Osuala et al. 2024
    (arXiv 2403.13890).
    """
    if scale not in ("log-squared", "log", "squared", "root"):
        raise ValueError(f"scale was {scale!r}, must be 'log-squared', 'log', 'squared' or 'root'")
    x, y, kept = _normalised(real, fake, normalise)
    if not kept:
        raise ValueError("real was constant in every column, must vary in one at least")
    first, second = Sample(x), Sample(y)
    squared = float(fid.function(first, second))
    # Less than this is rounding, whose logarithm would look like a distance.
    rounding = _TOLERANCE * (first.trace + second.trace)
    return _scaled(squared if squared > rounding else 0.0, scale)


# The largest activation of the Inception network, to which version 0 brings its features.
_INCEPTION_MAX = 7.45670747756958


def _normalised(real: Sample, fake: Sample, how: str) -> tuple[Float64, Float64, int]:
    if how not in ("real", "joint", "none"):
        raise ValueError(f"normalise was {how!r}, must be 'real', 'joint' or 'none'")
    x, y = real.array, fake.array
    if how == "none":
        return x, y, x.shape[1]
    if how == "joint":
        low = np.minimum(x.min(0), y.min(0))
        spread = np.maximum(x.max(0), y.max(0)) - low
        kept = spread > 0
        factor = _INCEPTION_MAX / spread[kept]
        return (x - low)[:, kept] * factor, (y - low)[:, kept] * factor, int(kept.sum())
    sd = np.sqrt(np.square(real.centred).mean(0))
    # A constant column has a deviation of rounding only.
    kept = sd > _EPS * np.abs(x).max(0)
    return (x - real.mean)[:, kept] / sd[kept], (y - real.mean)[:, kept] / sd[kept], int(kept.sum())


def _scaled(squared: float, scale: str) -> float:
    if scale == "squared":
        return squared
    if scale == "root":
        return math.sqrt(squared)
    log = math.log(squared) if squared > 0 else -math.inf
    return log / 2 if scale == "log" else log
