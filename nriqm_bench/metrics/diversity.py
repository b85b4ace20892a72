"""Diversity of one set of features, without a reference."""

from __future__ import annotations

import numpy as np

from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.sample import Float64, Sample


@metric("vendi", higher_is_better=True, min_samples=1, needs_real=False)
def vendi(real: Sample | None, fake: Sample, *, order: float = 1.0) -> float:
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

    Needs 1 row, and no row of zeros (it has no direction). Cost: ``n d min(n, d) + min(n, d)^3``.

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


def _eigenvalues(fake: Sample) -> Float64:
    """The eigenvalues of K / n above rounding: the rest would count in entropies of low order."""
    if "vendi" not in fake.own:
        x = fake.array
        length = np.abs(x).max(axis=1, keepdims=True)
        if zeros := int(np.count_nonzero(length == 0)):
            raise ValueError(
                f"fake held {zeros} of {len(x)} rows of zeros, must have none: "
                "the cosine kernel needs rows with a direction"
            )
        x = x / length
        x /= np.sqrt(np.square(x).sum(axis=1, keepdims=True))
        gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x
        p = np.linalg.eigvalsh(gram / len(x))
        p = p[p > p.max() * max(x.shape) * np.finfo(np.float64).eps]
        fake.own["vendi"] = p / p.sum()
    kept: Float64 = fake.own["vendi"]
    return kept
