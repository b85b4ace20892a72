"""Noise: Gaussian and Rician, sigma in units of the [0, 1] scale."""

from __future__ import annotations

import numpy as np

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.perturbation import perturbation

_UNIT = "sigma"


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
