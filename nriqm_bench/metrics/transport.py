"""Optimal transport distances between two sets of features."""

from __future__ import annotations

import math

import numpy as np

from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.sample import Float64, Sample

# Projected values held at once.
_BLOCK = 1 << 22


@metric(
    "sliced-wasserstein",
    higher_is_better=False,
    min_samples=1,
    range=(0.0, math.inf),
    invariant=("translation",),
    symmetric=True,
    sees=("shift", "spread", "modes"),
)
def sliced_wasserstein(
    real: Sample,
    fake: Sample,
    *,
    projections: int = 500,
    p: float = 2.0,
    rng: np.random.Generator | None = None,
) -> float:
    """Sliced Wasserstein distance: the mean over random directions of the one-dimensional one.

    ``(mean over directions of W_p(projected real, projected fake)^p)^(1 / p)``; each W_p is exact,
    also for samples of different sizes.

    Parameters
    ----------
    projections
        How many directions, uniform on the sphere.
    p
        The order p >= 1.
    rng
        The source of the directions; None takes the same ones at each call.

    Direction: lower is better. Range: [0, inf); 0 for equal samples. For one dimension it is the
    Wasserstein distance itself. Invariant under a common translation, exchange and the order of
    rows; under rotation but for the choice of directions. Scales with the features. Biased upwards
    for small samples.

    Needs 1 row each. Cost: ``projections (n + m) (d + log n)``.

    Interval: blocks of rows left out.

    Source: Rabin et al. 2012; Bonneel et al. 2015, section 2.
    """
    if not isinstance(projections, int) or projections < 1:
        raise ValueError(f"projections was {projections!r}, must be a whole number >= 1")
    if not (isinstance(p, int | float) and 1 <= p < math.inf):
        raise ValueError(f"p was {p!r}, must be a number >= 1")
    rng = np.random.default_rng(0) if rng is None else rng
    if real.dim == 1:
        projections = 1
    centre = real.mean
    x, y = real.array - centre, fake.array - centre
    step = max(1, _BLOCK // max(len(x), len(y)))
    total = []
    for start in range(0, projections, step):
        directions = rng.normal(size=(min(step, projections - start), real.dim))
        directions /= np.sqrt(np.square(directions).sum(1, keepdims=True))
        total.append(float(_transport(directions @ x.T, directions @ y.T, p).sum()))
    return float((math.fsum(total) / projections) ** (1 / p))


def _transport(a: Float64, b: Float64, p: float) -> Float64:
    """``W_p^p`` of each row of `a` to that of `b`: the quantile functions' distance."""
    a, b = np.sort(a, axis=1), np.sort(b, axis=1)
    n, m = a.shape[1], b.shape[1]
    # Quantiles change at multiples of 1 / n and 1 / m; in whole numbers, of m and of n.
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    widths = np.diff(edges) / (n * m)
    gap = np.abs(a[:, edges[:-1] // m] - b[:, edges[:-1] // n])
    return np.asarray((gap**p if p != 2 else np.square(gap)) @ widths)
