"""Diversity of one set of features, without a reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.moments import Moments
from nriqm_bench.metrics.sample import Float64, Sample, unit_rows


@metric(
    "vendi",
    higher_is_better=True,
    min_samples=1,
    needs_real=False,
    range=(1.0, math.inf),
    invariant=("rotation", "scale", "length"),
    sees=("modes",),
    moments=True,
)
def vendi(real: Sample | Moments | None, fake: Sample | Moments, *, order: float = 1.0) -> float:
    """Effective number of different fake rows (Vendi score) under the cosine kernel.

    The exponential of the entropy of the eigenvalues p of K / n, where K holds the cosines of all
    pairs of fake rows: ``exp(-sum p log p)``. `real` is not read.

    Parameters
    ----------
    order
        The order q >= 0 of the Renyi entropy (published: 1, Shannon):
        ``(sum p^q)^(1 / (1 - q))``; 0 counts the non-zero eigenvalues (the rank), ``float("inf")``
        gives 1 / max p. Small orders weigh rare kinds of rows, large ones common kinds.

    Direction: higher is better. Range: [1, min(n, d)]; 1 when all rows point the same way, n when
    they are orthogonal. Invariant under rotation and the order of rows, under the length of each
    row and under duplicating every row; not under translation. Noise can raise it.

    Needs 1 row, and no row of zeros (it has no direction); takes ``Moments(unit=True)``. Cost:
    ``n d min(n, d) + min(n, d)^3``.

    Interval: blocks of rows left out.

    Source: Friedman and Dieng 2023 (arXiv 2210.02410), definition 3.1; orders: Pasarkar and Dieng
    2023 (arXiv 2310.12952).
    """
    if not order >= 0:
        raise ValueError(f"order was {order!r}, must be a number >= 0 (inf included)")
    p = _eigenvalues(fake)
    if order == 1:
        return float(np.exp(-np.sum(p * np.log(p))))
    if np.isinf(order):
        return float(1 / p.max())
    # Relative to the largest, so that high powers do not underflow.
    top = p.max()
    total = np.log(np.sum((p / top) ** order)) + order * np.log(top)
    return float(np.exp(total / (1 - order)))


def _eigenvalues(fake: Sample | Moments) -> Float64:
    """The eigenvalues of K / n above rounding: the rest would count in entropies of low order."""
    if isinstance(fake, Moments):
        return _above_rounding(_of_moments(fake), max(fake.shape))
    if "vendi" not in fake.own:
        x = unit_rows(fake.array, "fake")
        gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x
        p = np.linalg.eigvalsh(gram / len(x))
        fake.own["vendi"] = _above_rounding(p, max(x.shape))
    kept: Float64 = fake.own["vendi"]
    return kept


def _above_rounding(p: NDArray[np.floating[Any]], size: int) -> Float64:
    p = p[p > p.max() * size * np.finfo(np.float64).eps]
    return np.asarray(p / p.sum())


def _of_moments(fake: Moments) -> Float64:
    """The second moment about 0 is the covariance plus the mean times itself."""
    if not fake.unit:
        raise ValueError("fake was Moments of rows of any length, must be Moments(unit=True)")
    n = len(fake)
    mean = fake.mean[None]
    rows = np.concatenate([fake.factor * np.sqrt((n - 1) / n), mean]) if n > 1 else mean
    return np.asarray(np.square(np.linalg.svd(rows, compute_uv=False)))
