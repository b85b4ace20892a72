"""Whether anatomy is distributed as in real images: means and spreads of descriptors, together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.evidence import Means, distance

Float64 = NDArray[np.float64]

# Standardised descriptors count at most this much: one odd image must not rule a set.
_MOST = 3.0


@dataclass(frozen=True)
class Comparison:
    """How far apart descriptors are.

    Attributes
    ----------
    distance
        Mahalanobis, over all means and spreads, in SD of real sets of that many images.
    statistics, subjects
        How many means and spreads there are, and subjects of real images.
    name, shift
        The mean or spread that is farthest off, alone, and by how many SD of real *images*.
    real, fake
        The mean of that descriptor in its own unit.
    """

    distance: float
    statistics: int
    subjects: int
    name: str
    shift: float
    real: float
    fake: float


def compare(
    real: Float64,
    subjects: Sequence[str],
    fake: Float64,
    names: Sequence[str],
    spreads: Sequence[str] = (),
) -> Comparison:
    """Compare the descriptors of other images with those of real ones.

    Each descriptor is standardised by mean and SD of the real images that have it, and cut at 3;
    a spread is the mean of its square.

    Parameters
    ----------
    real, fake
        ``(n, k)`` and ``(m, k)`` descriptors, NaN where there is nothing to describe.
    subjects
        ``(n,)`` whose the real images are: images of one subject are alike.
    names, spreads
        The descriptors in order, and those whose spread is compared.
    """
    there = ~np.isnan(real)
    count = np.maximum(there.sum(axis=0), 1)
    centre = np.where(there, real, 0.0).sum(axis=0) / count
    scale = np.sqrt(np.where(there, np.square(real - centre), 0.0).sum(axis=0) / count)
    squared = [list(names).index(name) for name in spreads]

    def standard(rows: Float64) -> Float64:
        # Where real images do not vary at all, any difference is as large as can be.
        units = (rows - centre) / np.maximum(scale, 1e-9)
        units = np.clip(np.where(np.abs(rows - centre) < 1e-9, 0.0, units), -_MOST, _MOST)
        return np.concatenate([units, np.square(units[:, squared])], axis=1)

    means = Means.of(standard(real), subjects)
    other = standard(fake)
    told = ~np.isnan(other)
    # Where no fake image has anything to describe nothing is compared but the presence.
    own = np.where(told, other, 0.0).sum(axis=0) / np.maximum(told.sum(axis=0), 1)
    own = np.where(told.any(axis=0), own, means.mean)
    shifts = own - means.mean
    errors = np.sqrt(np.diag(means.covariance) + _MOST**2 / (means.subjects * means.images))
    worst = int(np.argmax(np.abs(shifts) / errors))
    at = worst if worst < len(names) else squared[worst - len(names)]
    kept = fake[~np.isnan(fake[:, at]), at]
    return Comparison(
        distance=distance(means, own, len(fake), _MOST),
        statistics=len(shifts),
        subjects=means.subjects,
        name=names[at] if worst < len(names) else f"spread of {names[at]}",
        shift=float(shifts[worst]),
        real=float(centre[at]),
        fake=float(kept.mean()) if len(kept) else float("nan"),
    )
