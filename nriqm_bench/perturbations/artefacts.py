"""Artefacts of the whole image."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.perturbation import perturbation


@perturbation("blur", unit="px", range=(0.0, 64.0))
def blur(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Gaussian smoothing of standard deviation `level` pixels along every spatial axis.

    Edges are continued by their outermost value, so that a uniform image stays as it is.
    """
    sigma = (0, 0, *[level] * len(images.spatial))
    return images.replace(images=ndimage.gaussian_filter(images.images, sigma, mode="nearest"))
