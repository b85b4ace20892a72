"""`Segmenter`: a small U-Net that learns the masks of training images and finds them in others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.extractors import unet
from nriqm_bench.extractors.images import as_tensor

if TYPE_CHECKING:
    from nriqm_bench.images import ImageSet

# Part of the key: raise it when the same training images would give other masks.
VERSION = 1

_BATCH = 12
# Noise in training, as far as a reader could still outline something.
_NOISE = 0.25
# A volume's slices that training sees at most.
_SLICES = 16

Floats = NDArray[np.float32]
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


class Segmenter:
    """What is above 0 in the masks of training images, found in any image.

    A U-Net of four levels (16, 32, 64 and 128 channels; 200 000 weights) on slices; those of
    volumes, along the first spatial axis, are segmented one by one. It is trained on crops that
    are flipped, dimmed, blurred and made noisy, and whose lesions are tilted, so that none of that
    hides them. Training and result are the same bits on one machine for equal training images,
    whatever the number of threads. 500 steps take about 25 s of one core.

    Source: Ronneberger et al. 2015 (arXiv 1505.04597), in MONAI's form with residual units.

    Parameters
    ----------
    train
        Gives the training images; called when masks are asked for first.
    device
        ``cpu``, ``cuda`` or ``cuda:0``.
    steps
        Steps of training, of 12 crops each.
    side
        Side of the crops in pixels, rounded down to a multiple of 8.
    seed
        Of the first weights and of everything that is drawn in training.
    least
        A found piece of fewer pixels than this, or less than a tenth of the largest, is dropped.

    Attributes
    ----------
    progress
        ``(iterable, description, total) -> iterable``, wrapped around the steps of training; None
        for nothing.
    """

    def __init__(
        self,
        train: Callable[[], ImageSet],
        device: str = "cpu",
        *,
        steps: int = 500,
        side: int = 96,
        seed: int = 0,
        least: int = 12,
    ) -> None:
        if steps < 1 or side < unet.MULTIPLE:
            raise ValueError(f"steps was {steps} and side {side}, must be at least 1 and 8")
        self._train = train
        self.device = device
        self.steps, self.side, self.seed, self.least = steps, side, seed, least
        self.progress: Progress | None = None
        self._network: torch.nn.Module | None = None
        self._channels = 0

    def key(self) -> str:
        """The version and all options."""
        return f"unet-{VERSION}:{self.steps}:{self.side}:{self.seed}:{self.least}"

    def __call__(self, images: Any) -> NDArray[np.uint8]:
        """``(N, C, *S)`` in [0, 1] to masks ``(N, *S)`` of 0 and 1; learns at the first call.

        Raises
        ------
        ValueError
            When the training images have no masks or empty ones, or other channels.
        """
        x = as_tensor(images)
        if self._network is None:
            self._network = self._learn(self._train())
        network = self._network
        slices = x.movedim(2, 1).flatten(0, 1) if x.ndim == 5 else x
        channels = int(slices.shape[1])
        if channels != self._channels:
            raise ValueError(
                f"images had {channels} channels, must have {self._channels} as those in training"
            )
        found = unet.segment(network, slices, self.device)
        found = found.reshape(len(x), *x.shape[2:])
        return np.stack([unet.without_specks(f, self.least) for f in found]).astype(np.uint8)

    def _show(self, steps: Iterable[int]) -> Iterable[int]:
        if self.progress is None:
            return steps
        return self.progress(steps, "training the segmenter", self.steps)

    def _learn(self, train: ImageSet) -> torch.nn.Module:
        if train.masks is None or not train.masks.any():
            have = "no masks" if train.masks is None else "empty masks"
            raise ValueError(f"a segmenter learns from masks, and the training images have {have}")
        images, masks = _slices(train)
        self._channels = images.shape[1]
        rng = np.random.default_rng(self.seed)
        network = unet.train(
            self._channels,
            lambda: _batch(images, masks, self.side, rng),
            steps=self.steps,
            seed=self.seed,
            show=self._show,
        )
        return network.to(self.device)


def _slices(train: ImageSet) -> tuple[Floats, NDArray[np.float32]]:
    """Training images and masks in 2-D; of volumes, evenly spaced slices."""
    assert train.masks is not None
    images, masks = train.images, (train.masks > 0).astype(np.float32)
    if masks.ndim == 4:
        count = min(_SLICES, masks.shape[1])
        chosen = np.linspace(0, masks.shape[1] - 1, count).round().astype(int)
        images = np.moveaxis(images[:, :, chosen], 2, 1).reshape(-1, *_after(images, 3))
        masks = masks[:, chosen].reshape(-1, *masks.shape[2:])
    return images, masks


def _after(images: Floats, axis: int) -> tuple[int, ...]:
    return (images.shape[1], *images.shape[axis:])


def _batch(
    images: Floats, masks: Floats, side: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Crops with everything changed that must not change what is found."""
    size = [min(side, s) // unet.MULTIPLE * unet.MULTIPLE for s in masks.shape[1:]]
    x = np.empty((_BATCH, images.shape[1], *size), np.float32)
    y = np.empty((_BATCH, *size), np.float32)
    for k in range(_BATCH):
        i = int(rng.integers(len(images)))
        corner = _corner(masks[i], size, rng, about=k % 2 == 0)
        cut = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        x[k], y[k] = _varied(images[i][(slice(None), *cut)], masks[i][cut], rng)
    return x, y


def _corner(mask: Floats, size: list[int], rng: np.random.Generator, about: bool) -> list[int]:
    """Where a crop begins: around a pixel of the mask, or anywhere."""
    inside = np.flatnonzero(mask) if about else np.empty(0, np.intp)
    room = [full - s for full, s in zip(mask.shape, size, strict=True)]
    if not len(inside):
        return [int(rng.integers(r + 1)) for r in room]
    spot = np.unravel_index(inside[int(rng.integers(len(inside)))], mask.shape)
    return [
        int(np.clip(int(at) - int(rng.integers(s)), 0, r))
        for at, s, r in zip(spot, size, room, strict=True)
    ]


def _varied(image: Floats, mask: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Flips, ramps (of everything, of what is in the mask), brightness, blur, clipped noise."""
    for axis in (0, 1):
        if rng.random() < 0.5:
            image, mask = np.flip(image, axis + 1), np.flip(mask, axis)
    if rng.random() < 0.3:
        sigma = float(rng.uniform(0.3, 2.5))
        image = ndimage.gaussian_filter(image, (0, sigma, sigma), mode="nearest")
    image = image * np.exp(_plane(rng, np.ones_like(mask), 0.1) + np.float32(rng.normal(0, 0.08)))
    if rng.random() < 0.3 and mask.any():
        image = image * np.where(mask > 0, np.exp(_plane(rng, mask, 0.3)), 1)
    if rng.random() < 0.5:
        sigma = float(_NOISE * rng.random() ** 2)
        image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image, 0, 1), mask


def _plane(rng: np.random.Generator, mask: Floats, sd: float) -> Floats:
    """A linear ramp that is 0 in the middle of `mask`; `sd` is that of its value at the ends."""
    total = np.zeros(mask.shape, np.float32)
    for axis, slope in enumerate(rng.normal(0, sd, 2)):
        at = np.flatnonzero(mask.any(axis=1 - axis))
        middle, half = (at[0] + at[-1]) / 2, max((at[-1] - at[0]) / 2, 1)
        line = np.clip((np.arange(mask.shape[axis]) - middle) / half, -1, 1) * slope
        total += line.astype(np.float32)[:, None] if axis == 0 else line.astype(np.float32)
    return total
