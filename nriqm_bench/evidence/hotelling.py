"""Several statistics at once against real data: Hotelling's T squared, clustered by subject."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from nriqm_bench.evidence.floor import Floor

Float64 = NDArray[np.float64]

# Of its diagonal, added to a covariance: two statistics that say nearly the same must not divide
# by nearly nothing.
_RIDGE = 0.05


@dataclass(frozen=True)
class Means:
    """Means over images, some of which have no value, and how they vary between subjects.

    Attributes
    ----------
    mean
        ``(k,)``.
    covariance
        ``(k, k)`` of the mean, for as many images and subjects as these.
    subjects
        How many there are.
    images
        How many there are.
    """

    mean: Float64
    covariance: Float64
    subjects: int
    images: int

    @classmethod
    def of(cls, values: ArrayLike, subjects: Sequence[str]) -> Means:
        """The means of ``(n, k)`` values, NaN where an image has none, and their covariance.

        Images of one subject are alike, so that subjects are what varies: the covariance is that of
        the sums of deviations over each subject (the linearised or sandwich estimate of a ratio,
        Liang and Zeger 1986, Biometrika 73).

        Raises
        ------
        ValueError
            With fewer than two subjects.
        """
        x = np.asarray(values, dtype=np.float64)
        told = ~np.isnan(x)
        count = np.maximum(told.sum(axis=0), 1)
        mean = np.where(told, x, 0.0).sum(axis=0) / count
        _, owner = np.unique(np.asarray(subjects), return_inverse=True)
        groups = int(owner.max()) + 1
        if groups < 2:
            raise ValueError(f"the values were of {groups} subject, must be of two or more")
        sums = np.zeros((groups, x.shape[1]))
        np.add.at(sums, owner, np.where(told, x - mean, 0.0) / count)
        covariance = sums.T @ sums * (groups / (groups - 1))
        return cls(mean, np.asarray(covariance), groups, len(x))


def distance(real: Means, fake: Float64, images: int, most: float) -> float:
    """The Mahalanobis distance between the means of real images and of others: T, in SD.

    The covariance is that of the real means, and again for as many images as the others: only real
    data tell what real sets differ by. What no real image shows may still be rare: every variance
    counts one more subject, in which it is as large as can be.

    Parameters
    ----------
    real
        Of the real images.
    fake
        ``(k,)`` means of the others.
    images
        How many others there are.
    most
        How far a value can be from the mean, either way.
    """
    covariance = real.covariance * (1 + real.images / images)
    covariance = covariance + np.eye(len(fake)) * most**2 / (real.subjects * images)
    scale = np.sqrt(np.diag(covariance))
    apart = (fake - real.mean) / scale
    correlation = covariance / np.outer(scale, scale) + _RIDGE * np.eye(len(scale))
    return float(np.sqrt(max(float(apart @ np.linalg.solve(correlation, apart)), 0.0)))


@dataclass(frozen=True, repr=False)
class HotellingFloor(Floor):
    """What `distance` says of fresh real images, by its own distribution.

    With k statistics and m subjects, ``T^2 (m - k) / (k (m - 1))`` has an F distribution with k and
    ``m - k`` degrees of freedom (Hotelling 1931, Annals of Mathematical Statistics 2). `values`
    are distances over splits of real data, whose tail is no lighter than that of the formula.

    Parameters
    ----------
    statistics, subjects
        k and m; m must exceed k.
    """

    statistics: int = 1
    subjects: int = 3

    def tail(self, value: float, direction: str) -> float:
        """As `Floor.tail`, of the F distribution; only ``"above"`` has a meaning."""
        if math.isnan(value):
            raise ValueError("value was nan, must be a number to be compared with the floor")
        return float(stats.f.sf(max(value, 0.0) ** 2 / self._scale, *self._degrees))

    def threshold(self, alpha: float, direction: str) -> float:
        """As `Floor.threshold`."""
        if not 0 < alpha < 1:
            raise ValueError(f"alpha was {alpha}, must be above 0 and below 1")
        return float(np.sqrt(stats.f.isf(alpha, *self._degrees) * self._scale))

    @property
    def _degrees(self) -> tuple[int, int]:
        return self.statistics, self.subjects - self.statistics

    @property
    def _scale(self) -> float:
        k, m = self.statistics, self.subjects
        return k * (m - 1) / (m - k)
