"""An image and its signed distances as one picture of coarse positions, for networks to make.

Each block of 2 x 2 pixels is one position: a quarter of the work, and nothing is lost.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from nriqm_bench.generators.architectures.signed_distances import PARTS

BLOCK = 2
# Of an image and its distances, and of a position of them.
CHANNELS = 1 + len(PARTS)
PLANES = CHANNELS * BLOCK**2


def join(images: Tensor, distances: Tensor) -> Tensor:
    """``(n, 4, height, width)`` in [-1, 1] of images in [0, 1] and their signed distances."""
    return torch.cat([2 * images - 1, distances], 1)


def part(joint: Tensor) -> tuple[Tensor, Tensor]:
    """Images ``(n, 1, height, width)`` and signed distances ``(n, 3, ...)`` of what was joined."""
    return (joint[:, :1] + 1) / 2, joint[:, 1:]


def fold(joint: Tensor) -> Tensor:
    """Pixels to positions, ``(n, 16, height / 2, width / 2)``."""
    return F.pixel_unshuffle(joint, BLOCK)


def unfold(positions: Tensor) -> Tensor:
    """Positions to pixels: the opposite of `fold`."""
    return F.pixel_shuffle(positions, BLOCK)
