"""What FID is expected to be for two finite samples of one distribution, without simulation."""

from __future__ import annotations

import math

import numpy as np

from nriqm_bench.metrics.sample import Float64

_NODES = 200
_GRID = 90


def expected_distance(eigenvalues: Float64, weights: Float64, n: int, m: int) -> float:
    """Expected squared Frechet distance of n and m rows of one Gaussian.

    Parameters
    ----------
    eigenvalues, weights
        The different eigenvalues of the covariance and how many times each occurs (the weights sum
        to d; they need not be whole).
    n, m
        Rows of the two samples, at least 2 each.

    Returns
    -------
    float
        ``tr(C) (1 / n + 1 / m + 2) - 2 E tr((C1 C2)^(1/2))``, the expectation to leading order in
        1 / d for any ratios of d to n and m, plus the term of next order. Within 1 % of simulation
        from d = 8 on and 3 % below (docs/statistics.md).

    Notes
    -----
    Sample covariances ``C1 = C^(1/2) W1 C^(1/2)`` have independent Wishart matrices W, which are
    free of C and each other in the limit, so the S-transform of ``C1 C2`` is that of ``C^2`` over
    ``(1 + c1 z) (1 + c2 z)`` with ``c = d / (n - 1)``. With ``F(v) = mean(l^2 v / (1 + l^2 v))``
    over the eigenvalues l, ``E tr((C1 C2)^(1/2)) / d`` is the integral of
    ``2 / pi sqrt((1 - c1 F) (1 - c2 F) / v) dF`` from 0 to ``min(1, 1 / c1, 1 / c2)``. The next
    order is that of real (not complex) numbers, ``tr(C) (1 / (n - 1) + 1 / (m - 1)) / 4`` for n far
    above d, which fades as d passes n.

    Source: S-transform of Wishart matrices: Marchenko and Pastur 1967, Voiculescu 1987; the
    integral is worked out for this package.
    """
    d = float(weights.sum())
    share = weights / d
    trace = float(weights @ eigenvalues)
    if trace == 0:
        return 0.0
    c1, c2 = d / (n - 1), d / (m - 1)
    positive = eigenvalues > 0
    squares, mass = np.square(eigenvalues[positive]), share[positive]
    top = min(float(mass.sum()), 1 / c1, 1 / c2)
    nodes, steps = np.polynomial.legendre.leggauss(_NODES)
    # F = top sin^2(t) takes the singular ends off the integrand.
    t = (nodes + 1) * math.pi / 4
    f = top * np.sin(t) ** 2
    df = top * np.sin(2 * t) * steps * math.pi / 4
    v = _solve(squares, mass, f)
    integrand = np.sqrt(np.maximum(0, (1 - c1 * f) * (1 - c2 * f)) / v)
    overlap = d * 2 / math.pi * float(integrand @ df)
    wide = d * float(share @ np.sqrt(eigenvalues)) ** 2 / float(share @ eigenvalues)
    next_order = sum(trace / 4 / (k - 1) / (1 + 0.3 * (wide / (k - 1)) ** 2) for k in (n, m))
    return trace * (1 / n + 1 / m) + 2 * (trace - overlap) + next_order


def _solve(squares: Float64, mass: Float64, f: Float64) -> Float64:
    """v with ``sum(mass * squares v / (1 + squares v)) = f``, by halving in the logarithm."""
    low = np.full(len(f), -45 - math.log(squares.max()))
    high = np.full(len(f), 45 - math.log(squares.min()))
    for _ in range(90):
        middle = (low + high) / 2
        scaled = np.exp(middle)[:, None] * squares
        below = (scaled / (1 + scaled)) @ mass < f
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray(np.exp((low + high) / 2))


def population_spectrum(sample: Float64, d: int, n: int) -> tuple[Float64, Float64]:
    """Eigenvalues of the covariance that a sample of n rows comes from.

    The eigenvalues of a sample covariance spread wider than those of the covariance itself. The
    Marchenko-Pastur equation ties their transforms; a mixture of eigenvalues on a grid is fitted to
    it by non-negative least squares.

    Parameters
    ----------
    sample
        Eigenvalues of the unbiased sample covariance, largest first; zeros may be left out.
    d, n
        Columns and rows of the sample.

    Returns
    -------
    eigenvalues, weights
        ``(g,)`` each; the weights sum to d.

    Source: the equation: Silverstein 1995; fitting a mixture to it: El Karoui 2008 (Annals of
    Statistics 36), section 3.
    """
    from scipy.optimize import nnls

    if not sample.size or sample[0] <= 0:
        return np.zeros(1), np.full(1, float(d))
    found = sample[sample > sample[0] * 1e-12]
    if n > 50 * d:
        zeros = d - len(found)
        return np.append(found, 0.0), np.append(np.ones(len(found)), float(zeros))
    c = d / (n - 1)
    t = np.logspace(-2, 6, 80) / found[0]
    scaled = t[:, None] * found
    f = (scaled / (1 + scaled)).sum(1) / d
    v = t * (1 - c * f)
    rising = np.concatenate([[True], np.diff(v) > 1e-9 * v[:-1]]) & (1 - c * f > 1e-6)
    v, f = v[rising], f[rising]
    grid = np.logspace(-7, 0.05, _GRID) * found[0]
    scaled = v[:, None] * grid
    trace = found.sum() / d
    # The trace is known best, the number of columns for certain; the transform, to about 1 / d.
    matrix = np.vstack([scaled / (1 + scaled) / f[:, None], 1e3 * grid / trace, np.full(_GRID, 10)])
    target = np.concatenate([np.ones(len(f)), [1e3, 10]])
    weights, _ = nnls(matrix, target)
    weights *= d / weights.sum()
    return grid * (found.sum() / float(weights @ grid)), weights
