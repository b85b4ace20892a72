"""A small U-Net and its training: what the segmenter and the downstream task have in common."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from nriqm_bench.extractors.images import in_batches

# Four levels halve the side three times.
MULTIPLE = 8
CHANNELS = (16, 32, 64, 128)
RATE = 3e-3

Floats = NDArray[np.float32]
# One batch: images (batch, channels, height, width) and masks (batch, height, width) of 0 and 1.
Draw = Callable[[], tuple[Floats, Floats]]
# Of the steps done and the network in training: whether to stop.
Check = Callable[[int, torch.nn.Module], bool]
Show = Callable[[Iterable[int]], Iterable[int]]


def train(
    channels: int,
    draw: Draw,
    *,
    steps: int,
    seed: int,
    rate: float = RATE,
    share: float = 0.5,
    check: Check | None = None,
    show: Show = list,
) -> torch.nn.Module:
    """A U-Net that learnt from the batches of `draw`, on the CPU.

    Four levels of 16, 32, 64 and 128 channels with residual units and batch normalisation, 200 000
    weights; AdamW with a one-cycle rate; cross entropy and one less the Dice
    coefficient of the batch. One thread and seeded first weights: the same batches give the same
    bits, whatever the number of threads.

    Source: Ronneberger et al. 2015 (arXiv 1505.04597), in MONAI's form.

    Parameters
    ----------
    channels
        Of the images.
    draw
        Gives one batch; called once a step.
    steps
        At most so many; the rate falls to nothing over them.
    seed
        Of the first weights.
    rate
        The highest of the one-cycle rate.
    share
        Of the pixels, how many the first weights take for inside. .5 leaves them as drawn; near the
        share of the masks a small lesion is learnt some 60 steps sooner.
    check
        Called after each step with the number of steps and the network; True ends the training.
    show
        ``iterable -> iterable``, wrapped around the steps.

    Returns
    -------
    torch.nn.Module
        ``(n, channels, height, width)`` to logits ``(n, 1, height, width)``; sides must be
        multiples of 8. Ready to predict, without gradients.
    """
    # On the CPU and in one thread, whatever device looks at images: the same weights anywhere.
    with alone(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = _unet(channels)
        if share != 0.5:
            _begin(network, share)
        optimiser = torch.optim.AdamW(network.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 2))
        for step in show(range(1, steps + 1)):
            x, y = draw()
            crops = torch.from_numpy(x)
            # A third faster on a CPU than channels first.
            found = network(crops.contiguous(memory_format=torch.channels_last))
            error = loss(found[:, 0], torch.from_numpy(y))
            optimiser.zero_grad()
            torch.autograd.backward(error)
            optimiser.step()
            schedule.step()
            if check is not None and check(step, network):
                break
    return network.eval().requires_grad_(False)


def segment(network: torch.nn.Module, images: torch.Tensor, device: str) -> NDArray[np.bool_]:
    """What `network` finds in `images` ``(n, channels, height, width)``: ``(n, height, width)``."""
    return in_batches(images, lambda batch: logits(network, batch), device) > 0


def without_specks(found: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """One image's mask without pieces of fewer than `least` pixels or a tenth of the largest."""
    pieces, count = ndimage.label(found, structure=np.ones((3,) * found.ndim))
    if not count:
        return found
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = sizes >= max(least, sizes.max() / 10)
    return np.asarray(kept[pieces], dtype=np.bool_)


def logits(network: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """What `network` says of images ``(n, channels, *S)`` of any size, pixel by pixel."""
    height, width = batch.shape[2:]
    pads = (0, -width % MULTIPLE, 0, -height % MULTIPLE)
    found: torch.Tensor = network(functional.pad(batch, pads, mode="replicate"))
    return found[:, 0, :height, :width]


def _unet(channels: int) -> torch.nn.Module:
    from monai.networks.nets import UNet

    network: torch.nn.Module = UNet(
        spatial_dims=2,
        in_channels=channels,
        out_channels=1,
        channels=CHANNELS,
        strides=(2, 2, 2),
        num_res_units=1,
        norm="batch",
    )
    return network


def _begin(network: torch.nn.Module, share: float) -> None:
    """Let the last bias say that a pixel is inside with probability `share`."""
    last = [bias for name, bias in network.named_parameters() if name.endswith("bias")][-1]
    with torch.no_grad():
        last.fill_(math.log(share / (1 - share)))


@contextmanager
def alone() -> Iterator[None]:
    """One thread: sums of gradients in one order, whatever the machine's number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cross entropy of pixels, and one less the Dice coefficient of the whole batch."""
    found = torch.sigmoid(logits)
    dice = (2 * (found * target).sum() + 1) / (found.sum() + target.sum() + 1)
    return functional.binary_cross_entropy_with_logits(logits, target) + 1 - dice
