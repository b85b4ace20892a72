"""Frechet distances between the Gaussians fitted to two sets of features."""

from __future__ import annotations

import numpy as np

from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.sample import Float64, Sample


@metric("fid", higher_is_better=False, min_samples=2)
def fid(real: Sample, fake: Sample) -> float:
    """Frechet distance between the Gaussians fitted to real and fake features (FID).

    ``|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2))`` with means m and unbiased covariances C
    (divided by n - 1, as in the published code). With factors ``C = F'F`` the last trace is the sum
    of the singular values of ``F1 F2'``, so that neither a covariance nor a matrix square root is
    formed, and rank-deficient covariances (fewer rows than columns) need no special care.

    Direction: lower is better. Range: [0, inf); exactly 0 for equal inputs up to rounding, and a
    negative rounding error is returned as 0. Invariant under a common rotation or translation of
    both samples and under the order of rows; scales with the square of the features.
    Biased upwards for small samples: compare only values of equal n.

    Needs 2 rows each. Cost: ``n m d`` for the product and ``min(n, m, d)^3`` for the singular
    values; with n > d, one QR decomposition a sample, which is shared.

    Source: Heusel et al. 2017 (arXiv 1706.08500), section 3, equation 6; Dowson and Landau 1982.
    """
    near1, rest1 = real.mean_parts
    near2, rest2 = fake.mean_parts
    # Near parts of far clouds are close to each other, so that their difference is exact.
    gap = (near1 - near2) + (rest1 - rest2)
    return frechet_distance(gap, real.factor, fake.factor, real.trace + fake.trace)


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
    overlap = float(np.linalg.svd(factor1 @ factor2.T, compute_uv=False).sum())
    return max(0.0, float(np.square(gap).sum()) + (traces - 2 * overlap))
