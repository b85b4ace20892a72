"""The pixels themselves, averaged to a small grid: sees through noise and blur, misses a flip."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nriqm_bench.extractors.images import as_tensor


class Pixels:
    """Area averages on a `size` x `size` grid, flattened channel by channel.

    Noise of an image shrinks by the number of pixels averaged, so a disguised copy stays near its
    original. Volumes are averaged to ``size/2`` along each of their three axes.

    Parameters
    ----------
    device
        Accepted like every extractor's; the averages are taken on the CPU.
    size
        Side of the grid.
    """

    name = "pixels"

    def __init__(self, device: str = "cpu", *, size: int = 32) -> None:
        if size < 2:
            raise ValueError(f"size was {size}, must be at least 2")
        self.device = device
        self.size = size
        self.dim = size * size

    def key(self) -> str:
        """Name, grid and version."""
        return f"{self.name}:{self.size}:1"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, C * size^2)`` float32 (volumes: ``(size/2)^3``)."""
        tensor = as_tensor(images)
        if tensor.ndim == 4:
            small = functional.adaptive_avg_pool2d(tensor, self.size)
        else:
            small = functional.adaptive_avg_pool3d(tensor, self.size // 2)
        return np.ascontiguousarray(torch.flatten(small, 1).numpy())
