"""Which images belong together when something is drawn for a subject, not for an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.images import ImageSet


def subjects(images: ImageSet) -> NDArray[np.intp]:
    """``(n,)`` number of each image's subject, counted by name; without subjects, of the image."""
    if images.subjects is None:
        return np.arange(len(images))
    return np.unique(images.subjects, return_inverse=True)[1].reshape(-1)


def nested_share(
    candidates: NDArray[np.intp], level: float, rng: np.random.Generator
) -> NDArray[np.intp]:
    """A share `level` of the candidates: those of a lower level are among those of a higher one."""
    order = rng.permutation(candidates)
    return order[: min(len(order), int(np.floor(level * len(order) + 0.5)))]
