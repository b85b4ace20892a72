"""Memorisation: images are replaced by training images, as they are or disguised."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.geometry import rotation_field, warp, warp_labels
from nriqm_bench.perturbations.perturbation import perturbation
from nriqm_bench.perturbations.population import count, replaced_by
from nriqm_bench.registry import unknown

# Weight of the copied image in the disguise "blend".
BLEND = 0.7


@perturbation(
    "training-copies",
    unit="share",
    needs=frozenset({"train"}),
    kind="population",
    range=(0.0, 1.0),
)
def training_copies(
    images: ImageSet,
    level: float,
    rng: np.random.Generator,
    *,
    train: ImageSet,
    disguise: str = "none",
) -> ImageSet:
    """A share `level` of the images is replaced by training images.

    Which ones, and by which, follows from two permutations: the replacements of a lower level are
    among those of a higher one, and no training image is used twice before each was used once.

    Parameters
    ----------
    disguise
        What is done to the copies, the same to the same copy at every level:

        - ``none``;
        - ``noise-.01``, ``noise-.02``: Gaussian noise of this SD;
        - ``rotation-3``, ``rotation-5``: degrees within the slices, the sense drawn for each
          copy; masks turn along, the noise stays in place;
        - ``flip``: left and right (the last axis) swapped, masks too;
        - ``intensity``: times a factor drawn from .9 to 1.1 for each copy;
        - ``blend``: .7 of the copy and .3 of another training image; labels are the copy's;
        - ``blur``: Gaussian smoothing of SD 1 px.

    Raises
    ------
    ValueError
        For an unknown disguise, or a blend with a single training image.
    """
    if disguise not in DISGUISES:
        raise ValueError(unknown("disguise", disguise, DISGUISES))
    n = len(images)
    chosen = rng.permutation(n)[: count(level, n)]
    order = rng.permutation(len(train))
    picks = order[np.arange(len(chosen)) % len(train)]
    if disguise == "none" or not len(chosen):
        return replaced_by(images, chosen, train, picks)
    copies = DISGUISES[disguise](train, picks, rng)
    return replaced_by(images, chosen, copies, np.arange(len(chosen)))


def _noise(
    train: ImageSet, picks: NDArray[np.intp], rng: np.random.Generator, *, sigma: float
) -> ImageSet:
    copies = train.images[picks]
    copies += np.float32(sigma) * rng.standard_normal(copies.shape, dtype=np.float32)
    return train[picks].replace(images=np.clip(copies, 0, 1, out=copies))


def _rotation(
    train: ImageSet, picks: NDArray[np.intp], rng: np.random.Generator, *, degrees: float
) -> ImageSet:
    copies = train[picks]
    fields = [rotation_field(train.spatial, degrees * sense) for sense in (-1, 1)]
    senses = (rng.random(len(picks)) < 0.5).astype(int)
    images = np.empty_like(copies.images)
    masks = None if copies.masks is None else np.empty_like(copies.masks)
    for i, sense in enumerate(senses.tolist()):
        for c, channel in enumerate(copies.images[i]):
            images[i, c] = warp(channel, fields[sense])
        if masks is not None and copies.masks is not None:
            masks[i] = warp_labels(copies.masks[i], fields[sense])
    return copies.replace(images=np.clip(images, 0, 1, out=images), masks=masks)


def _flip(train: ImageSet, picks: NDArray[np.intp], rng: np.random.Generator) -> ImageSet:
    copies = train[picks]
    masks = None if copies.masks is None else copies.masks[..., ::-1].copy()
    return copies.replace(images=copies.images[..., ::-1].copy(), masks=masks)


def _intensity(train: ImageSet, picks: NDArray[np.intp], rng: np.random.Generator) -> ImageSet:
    copies = train.images[picks]
    factor = rng.uniform(0.9, 1.1, len(picks)).astype(np.float32)
    copies *= factor.reshape((-1,) + (1,) * (copies.ndim - 1))
    return train[picks].replace(images=np.clip(copies, 0, 1, out=copies))


def _blend(train: ImageSet, picks: NDArray[np.intp], rng: np.random.Generator) -> ImageSet:
    if len(train) < 2:
        raise ValueError("the disguise 'blend' needs at least two training images, and has one")
    step = 1 + (rng.random(len(picks)) * (len(train) - 1)).astype(np.intp)
    second = train.images[(picks + step) % len(train)]
    copies = np.float32(BLEND) * train.images[picks] + np.float32(1 - BLEND) * second
    return train[picks].replace(images=np.clip(copies, 0, 1, out=copies))


def _blur(train: ImageSet, picks: NDArray[np.intp], rng: np.random.Generator) -> ImageSet:
    sigma = (0, 0, *[1.0] * len(train.spatial))
    copies = ndimage.gaussian_filter(train.images[picks], sigma, mode="nearest")
    return train[picks].replace(images=copies)


Disguise = Callable[[ImageSet, NDArray[np.intp], np.random.Generator], ImageSet]

# ``(train, picks, rng) -> copies``: the training images at `picks`, disguised. What is drawn for
# one copy does not depend on how many follow.
DISGUISES: dict[str, Disguise] = {
    "none": lambda train, picks, rng: train[picks],
    "noise-.01": partial(_noise, sigma=0.01),
    "noise-.02": partial(_noise, sigma=0.02),
    "rotation-3": partial(_rotation, degrees=3.0),
    "rotation-5": partial(_rotation, degrees=5.0),
    "flip": _flip,
    "intensity": _intensity,
    "blend": _blend,
    "blur": _blur,
}
