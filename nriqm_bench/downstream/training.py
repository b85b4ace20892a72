"""One training of the downstream task: a U-Net on images and masks, and its test on real ones."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.downstream import scores
from nriqm_bench.extractors import unet

if TYPE_CHECKING:
    from nriqm_bench.images import ImageSet
    from nriqm_bench.settings import Settings

# Part of every cache key: raise it when the same images would give other scores.
VERSION = 1

Floats = NDArray[np.float32]

# What must not change what is found varies in training: how often, and how far at most. Contrast is
# an exponent of e, sigma of blur in pixels, noise in SD of the image, gamma an exponent of e.
_CONTRAST = 0.1
_BLUR, _SIGMA = 0.2, (0.5, 1.5)
_NOISY, _NOISE = 0.3, 0.3
_CURVED, _GAMMA = 0.3, 0.3
# Pixels of the smallest piece that counts as found.
_LEAST = 12
# Images that a check looks at at once.
_CHUNK = 16


@dataclass(frozen=True)
class Budget:
    """What the downstream task may cost; the same for every training, whatever the images.

    Parameters
    ----------
    steps
        Steps of one training, at most.
    batch, side
        Crops a step, and their side in pixels, rounded down to a multiple of 8.
    rate
        The highest learning rate.
    validation
        The share of the training images, by subject, that early stopping looks at.
    every, patience
        Steps between two looks at the validation images, and after how many without progress
        training stops. They begin after half of the steps: before, the rate is high and what a look
        sees is chance. The weights of all looks are averaged.
    seeds
        Trainings of each set, which differ in first weights, batches and augmentation; scores are
        their means. Two sets of images share all three.
    redeals
        How often real images are dealt anew for the floor, at two trainings each.
    """

    steps: int = 150
    batch: int = 6
    side: int = 96
    rate: float = 5e-3
    validation: float = 0.2
    every: int = 15
    patience: int = 3
    seeds: int = 1
    redeals: int = 2

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch": 2, "side": unet.MULTIPLE, "every": 1, "patience": 1}
        for name, low in {**least, "seeds": 1, "redeals": 1}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} was {getattr(self, name)}, must be at least {low}")
        if not 0 <= self.validation < 1 or not self.rate > 0:
            raise ValueError(
                f"validation was {self.validation:g} and rate {self.rate:g}, must be within "
                "[0, 1) and above 0"
            )

    @classmethod
    def of(cls, settings: Settings) -> Budget:
        """The default, or with ``--nriqm-quick`` less than half of it."""
        return cls(steps=60, redeals=1) if settings.quick else cls()


@dataclass(frozen=True, eq=False)
class Trained:
    """A network, and how its training went.

    Attributes
    ----------
    network
        With the mean weights of all looks, which is steadier than any one of them (Izmailov et al.
        2018, arXiv 1803.05407); without validation those of the last step.
    steps
        Steps done before training ended.
    validation
        The loss at each look.
    """

    network: torch.nn.Module
    steps: int
    validation: list[float]


def learn(images: ImageSet, budget: Budget, seed: int, show: unet.Show = list) -> Trained:
    """A U-Net that learnt to find what is above 0 in the masks of `images`.

    Crops are flipped, and of some contrast, blur, noise and gamma vary. Two sets that are trained
    on with one seed share first weights and everything that is drawn: images are drawn by their
    rank, so that equally many are drawn in the same order.

    Parameters
    ----------
    images
        ``(n, channels, height, width)`` with masks; every image is brought to mean 0 and SD 1.
    budget
        How long and in what portions.
    seed
        Of everything that is drawn.
    show
        ``iterable -> iterable``, wrapped around the steps.

    Raises
    ------
    ValueError
        For volumes, or images without masks.
    """
    if images.masks is None or images.images.ndim != 4:
        have = "no masks" if images.masks is None else f"{images.images.ndim - 2} spatial axes"
        raise ValueError(f"the images had {have}, must be 2-D with a mask each to learn from")
    rng = np.random.default_rng(seed)
    x, y = standardised(images.images), (images.masks > 0).astype(np.float32)
    rows, kept = _apart(images, budget.validation, rng)
    watch = _Watch(x[kept], y[kept], budget) if len(kept) else None
    last = 0

    def check(step: int, network: torch.nn.Module) -> bool:
        nonlocal last
        last = step
        return watch is not None and watch.enough(step, network)

    network = unet.train(
        images.channels,
        lambda: _batch(x, y, rows, budget, rng),
        steps=budget.steps,
        seed=seed,
        rate=budget.rate,
        # At least a pixel in a hundred: what is never there is learnt soon enough.
        share=float(np.clip(y[rows].mean(), 0.01, 0.5)),
        check=check,
        show=show,
    )
    if watch is not None:
        network.load_state_dict(watch.mean())
    return Trained(network, last, [] if watch is None else watch.seen)


def evaluate(
    network: torch.nn.Module, images: ImageSet, device: str = "cpu"
) -> dict[str, list[Any]]:
    """Scores of `network` on each of `images`: ``dice hd95 hit false missed``, in their order.

    Pieces of fewer than 12 pixels, or less than a tenth of an image's largest, count as not found.
    The distance is in millimetres where the spacing is known, else in pixels; the last three count
    lesions as `nriqm_bench.downstream.scores.lesions` does.
    """
    assert images.masks is not None
    found = unet.segment(network.to(device), torch.from_numpy(standardised(images.images)), device)
    table: dict[str, list[Any]] = {"dice": [], "hd95": [], "hit": [], "false": [], "missed": []}
    for truth, guess in zip(images.masks, found, strict=True):
        guess = unet.without_specks(guess, _LEAST)
        hit, false, missed = scores.lesions(truth, guess)
        table["dice"].append(scores.dice(truth, guess))
        table["hd95"].append(scores.hausdorff95(truth, guess, images.spacing))
        table["hit"].append(hit)
        table["false"].append(false)
        table["missed"].append(missed)
    return table


def trial(
    train: ImageSet,
    real: ImageSet,
    budget: Budget,
    seed: int,
    device: str = "cpu",
    show: unet.Show = list,
) -> dict[str, Any]:
    """`learn` on one set and `evaluate` on another, as JSON types, with steps and seconds."""
    started = time.perf_counter()
    trained = learn(train, budget, seed, show)
    return {
        **evaluate(trained.network, real, device),
        "steps": trained.steps,
        "validation": trained.validation,
        "seconds": time.perf_counter() - started,
    }


def standardised(images: Floats) -> Floats:
    """Every image ``(n, channels, *spatial)`` with mean 0 and SD 1 over channels and pixels."""
    axes = tuple(range(1, images.ndim))
    sd = np.maximum(images.std(axis=axes, keepdims=True), 1e-6)
    result: Floats = (images - images.mean(axis=axes, keepdims=True)) / sd
    return result.astype(np.float32)


class _Watch:
    """Early stopping: whether to go on, and the mean of the weights that it saw."""

    def __init__(self, images: Floats, masks: Floats, budget: Budget) -> None:
        self.images, self.masks = torch.from_numpy(images), torch.from_numpy(masks)
        self.budget = budget
        self.seen: list[float] = []
        self._sum: dict[str, torch.Tensor] = {}

    def enough(self, step: int, network: torch.nn.Module) -> bool:
        """Look at the network where a look is due; True when nothing got better for long."""
        half, last = 2 * step <= self.budget.steps, step == self.budget.steps
        if not last and (half or step % self.budget.every):
            return False
        self.seen.append(self._loss(network))
        for name, value in network.state_dict().items():
            self._sum[name] = self._sum.get(name, 0) + value.double()
        return len(self.seen) - 1 - int(np.argmin(self.seen)) >= self.budget.patience

    def mean(self) -> dict[str, torch.Tensor]:
        """The mean weights of all looks."""
        return {name: total / len(self.seen) for name, total in self._sum.items()}

    def _loss(self, network: torch.nn.Module) -> float:
        network.eval()
        # Not through the extractors' pool, which would be made here with the one thread of now.
        with torch.inference_mode():
            starts = range(0, len(self.images), _CHUNK)
            parts = [unet.logits(network, self.images[s : s + _CHUNK]) for s in starts]
        network.train()
        return float(unet.loss(torch.cat(parts), self.masks))


def _apart(
    images: ImageSet, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to train on and to validate with, apart by subject; one subject validates nothing."""
    n = len(images)
    owner = np.arange(n)
    if images.subjects is not None:
        _, owner = np.unique(images.subjects, return_inverse=True)
    order = rng.permutation(owner.max() + 1)
    place = np.argsort(order)[owner]
    # Whole subjects until the share is reached, but never all of them.
    counts = np.bincount(place)
    taken = min(int(np.searchsorted(np.cumsum(counts), share * n)) + 1, len(counts) - 1)
    kept = place < (taken if share > 0 else 0)
    return np.flatnonzero(~kept), np.flatnonzero(kept)


def _batch(
    x: Floats, y: Floats, rows: NDArray[np.intp], budget: Budget, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Crops, every other one about a pixel of the mask, flipped and varied.

    The same numbers are drawn whatever the images, so that two sets stay in step.
    """
    size = [min(budget.side, s) // unet.MULTIPLE * unet.MULTIPLE for s in y.shape[1:]]
    images = np.empty((budget.batch, x.shape[1], *size), np.float32)
    masks = np.empty((budget.batch, *size), np.float32)
    for k in range(budget.batch):
        which, spot, *free = rng.random(4)
        flips = rng.random(2) < 0.5
        i = rows[int(which * len(rows))]
        room = [full - s for full, s in zip(y.shape[1:], size, strict=True)]
        corner = [int(u * (r + 1)) for u, r in zip(free, room, strict=True)]
        inside = np.flatnonzero(y[i]) if k % 2 == 0 else np.empty(0, np.intp)
        if len(inside):
            at = np.unravel_index(inside[int(spot * len(inside))], y[i].shape)
            corner = [
                int(np.clip(int(a) - int(u * s), 0, r))
                for a, u, s, r in zip(at, free, size, room, strict=True)
            ]
        cut = tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))
        axes = tuple(axis for axis in (0, 1) if flips[axis])
        crop = x[i][(slice(None), *cut)]
        images[k] = _varied(np.flip(crop, tuple(axis + 1 for axis in axes)), rng)
        masks[k] = np.flip(y[i][cut], axes)
    return images, masks


def _varied(crop: Floats, rng: np.random.Generator) -> Floats:
    """Another contrast; at times blur, noise and a power law of the grey values."""
    contrast, (blur, sigma, noisy, noise, curved, gamma) = rng.normal(0, _CONTRAST), rng.random(6)
    if blur < _BLUR:
        width = _SIGMA[0] + sigma * (_SIGMA[1] - _SIGMA[0])
        crop = ndimage.gaussian_filter(crop, (0, width, width), mode="nearest")
    if noisy < _NOISY:
        drawn = rng.standard_normal(crop.shape, dtype=np.float32)
        crop = crop + np.float32(_NOISE * noise) * drawn
    if curved < _CURVED:
        low, high = crop.min(), crop.max()
        power = np.exp(_GAMMA * (2 * gamma - 1))
        crop = (high - low) * ((crop - low) / max(high - low, 1e-6)) ** power + low
    result: Floats = (crop * np.exp(contrast)).astype(np.float32)
    return result
