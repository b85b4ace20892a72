"""Controls: as much change as local damage makes, but spread over the whole image."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.perturbation import perturbation

# The energy is met within this share of it.
_TOLERANCE = 1e-3
# Clipping takes from the noise, so that its scale is found in steps; each goes most of the way.
_STEPS = 100


@perturbation(
    "matched-control",
    unit="as the local damage",
    needs=frozenset({"masks"}),
    range=(0.0, 32.0),
)
def matched_control(
    images: ImageSet,
    level: float,
    rng: np.random.Generator,
    *,
    of: str = "boundary-blur",
    options: Mapping[str, Any] | None = None,
) -> ImageSet:
    """White Gaussian noise all over each image, of the energy that local damage has at `level`.

    The energy is the sum of squared differences to the image as it was, after clipping to [0, 1],
    and is met within 1 % in each image; where there is nothing to damage, nothing changes. The
    noise field is the same at every level, scaled. Masks stay.

    A metric that weighs what matters clinically moves at least as far for the local damage as for
    this control.

    Parameters
    ----------
    of
        The name of the local damage; `level` is in its unit and must be in its range.
    options
        Of the local damage.

    Raises
    ------
    KeyError
        For an unknown `of`.
    ValueError
        For an `of` that does not alter single images, and whatever it refuses.
    """
    from nriqm_bench.perturbations import get

    local = get(of)
    if local.kind != "image" or local.name == "matched-control":
        raise ValueError(
            f"of was {of!r}, must be a perturbation of single images other than matched-control"
        )
    # Apart, so that the noise does not depend on how much the local damage draws, and the damage is
    # the one that the same state of `rng` gives alone.
    damaged = local(images, level, copy.deepcopy(rng), **(options or {}))
    (field,) = rng.spawn(1)
    out = images.images.copy()
    for image, changed in zip(out, damaged.images, strict=True):
        noise = field.standard_normal(image.shape, dtype=np.float32)
        energy = _energy(changed, image)
        if energy > 0:
            image[:] = _noisy(image, noise, energy)
    return images.replace(images=out)


def _noisy(
    image: NDArray[np.float32], noise: NDArray[np.float32], energy: float
) -> NDArray[np.float32]:
    """The image with noise scaled to `energy`, or to as near as clipping lets it get."""
    scale = float(np.sqrt(energy / _energy(noise, np.float32(0))))
    for _ in range(_STEPS):
        found = np.clip(image + np.float32(scale) * noise, 0, 1)
        ratio = energy / max(_energy(found, image), 1e-30)
        if abs(ratio - 1) < _TOLERANCE:
            break
        scale *= np.sqrt(ratio)
    return np.asarray(found, np.float32)


def _energy(a: NDArray[np.float32], b: NDArray[np.float32] | np.float32) -> float:
    return float(np.square(a - b, dtype=np.float64).sum())
