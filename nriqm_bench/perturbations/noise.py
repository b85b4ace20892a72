"""Noise: Gaussian and Rician (sigma on the [0, 1] scale) and Poisson (photons at intensity 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, pdtr

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.perturbation import perturbation

_UNIT = "sigma"

# Means up to this are inverted by summing probabilities, larger ones by the expansion.
_SMALL_MEAN = 12.0
# From here on one count is a hundredth of what float32 resolves, and the expansion is enough.
_LARGE_MEAN = 1e9
# Photons at the least level: beyond them the noise is under the resolution of float32.
_LEAST = 1e-8


@perturbation("gaussian-noise", unit=_UNIT, range=(0.0, 1.0))
def gaussian_noise(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """White Gaussian noise of standard deviation `level`, clipped to [0, 1].

    The noise field is the same at every level, scaled.
    """
    noise = rng.standard_normal(images.images.shape, dtype=np.float32)
    noise *= np.float32(level)
    noise += images.images
    return images.replace(images=np.clip(noise, 0, 1, out=noise))


@perturbation("rician-noise", unit=_UNIT, range=(0.0, 1.0))
def rician_noise(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """The noise of magnitude images, ``sqrt((I + a)^2 + b^2)`` with a, b of SD `level`, clipped.

    In an empty background its mean is ``level sqrt(pi / 2)``; in bright tissue it is Gaussian.

    Source: Gudbjartsson and Patz 1995, Magnetic Resonance in Medicine 34.
    """
    real = rng.standard_normal(images.images.shape, dtype=np.float32)
    imaginary = rng.standard_normal(images.images.shape, dtype=np.float32)
    real *= np.float32(level)
    real += images.images
    imaginary *= np.float32(level)
    magnitude = np.hypot(real, imaginary, out=real)
    return images.replace(images=np.clip(magnitude, 0, 1, out=magnitude))


@perturbation("poisson-noise", unit="1/sqrt(photons)", range=(0.0, 1.0))
def poisson_noise(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Counting noise, ``Poisson(I N) / N`` with ``N = level^-2`` photons at intensity 1, clipped.

    The mean is I and the variance ``I level^2``, so the level is the standard deviation in white
    areas: .01 stands for 10^4 photons, .1 for 100. Black stays black. One uniform number a pixel
    is turned into a count by the exact inverse of the Poisson distribution at every level: a
    pixel that is too bright at one level is too bright at all.
    """
    photons = max(level, _LEAST) ** -2
    out = np.empty_like(images.images)
    for i, image in enumerate(images.images):
        u = rng.random(image.shape)
        out[i] = poisson_quantile(u, image * photons) / photons
    return images.replace(images=np.clip(out, 0, 1, out=out))


def poisson_quantile(
    u: NDArray[np.float64], mean: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """The smallest count k with ``P(Poisson(mean) <= k) >= u``, elementwise and exact.

    `scipy.stats.poisson.ppf` gives the same, some hundred times more slowly.

    Parameters
    ----------
    u
        In [0, 1); 0 counts as the least number above it.
    mean
        Of the same shape, not negative.

    Notes
    -----
    For small means the probabilities are summed. For larger ones the count is the whole part of
    an expansion around the normal quantile; where that lies within its error of a whole number,
    the distribution function decides. Source: Giles 2016, ACM Transactions on Mathematical
    Software 42, Algorithm 955, equation for Q_N2 and its error. "Exact" is up to the rounding of
    float64, which shows only where u is within about 1e-12 of 1, and for means below 10^9.
    """
    # The uniform numbers are multiples of 2^-53.
    u = np.maximum(u, 2.0**-54).ravel()
    flat = mean.astype(np.float64).ravel()
    count = np.zeros(flat.size)
    large = flat > _SMALL_MEAN
    count[large] = _expanded(u[large], flat[large])
    summed = np.flatnonzero(~large & (u > np.exp(-np.minimum(flat, _SMALL_MEAN))))
    count[summed] = _summed(u[summed], flat[summed])
    return count.reshape(mean.shape)


def _summed(u: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of which it is known that they are at least 1."""
    count = np.zeros(len(u))
    pending = np.arange(len(u))
    term = np.exp(-mean)
    total = term.copy()
    k = 0
    while len(pending):
        k += 1
        term = term * mean / k
        total = total + term
        # Where rounding keeps the sum below u, no further term counts.
        done = (total >= u) | ((term < 1e-18) & (k > mean))
        count[pending[done]] = k
        left = np.flatnonzero(~done)
        pending, u, mean = pending[left], u[left], mean[left]
        term, total = term[left], total[left]
    return count


def _expanded(u: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    w: NDArray[np.float64] = ndtri(u)
    square = w * w
    root = np.sqrt(mean)
    value = mean + root * w + (2 + square) / 6 - w * (2 + square) / (72 * root)
    count: NDArray[np.float64] = np.floor(value)
    # Twice the published error, since further terms are left out.
    error = (4 + 2 * square + square * square) / (80 * mean) + 1e-12 * mean
    fraction = value - count
    near = (fraction < error) | (fraction > 1 - error)
    close = np.flatnonzero(near & (mean < _LARGE_MEAN))
    count[close] = _walked(count[close], u[close], mean[close])
    return count


def _walked(
    count: NDArray[np.float64], u: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The quantile by single steps from a count nearby."""
    count = np.maximum(count, 0)
    for step in (-1, 1):
        moving = np.arange(len(count))
        while len(moving):
            here, at, of = count[moving], u[moving], mean[moving]
            far = (here > 0) & (pdtr(here - 1, of) >= at) if step < 0 else pdtr(here, of) < at
            moving = moving[far]
            count[moving] += step
    return count
