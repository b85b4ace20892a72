"""What every extractor does before its own work: check, choose slices, fix the batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Convolutions pick their algorithm by the batch: with one fixed size the features of an image are
# the same bits whatever came with it. Eight was the fastest on two cores.
BATCH = 8

# A volume is seen through this many evenly spaced slices along its first spatial axis.
SLICES = 8


def as_tensor(images: Any) -> torch.Tensor:
    """`images` as a float32 tensor ``(N, C, *S)`` on the CPU.

    Raises
    ------
    ValueError
        Unless it is 4-D or 5-D floating point with 1 or 3 channels, not empty and finite.
    """
    tensor = torch.as_tensor(images).detach().cpu()
    if not tensor.is_floating_point():
        raise ValueError(f"images had dtype {tensor.dtype}, must be floating point in [0, 1]")
    if tensor.ndim not in (4, 5) or 0 in tensor.shape or tensor.shape[1] not in (1, 3):
        raise ValueError(
            f"images had shape {tuple(tensor.shape)}, must be (n, 1 or 3 channels, height, width) "
            "or (n, 1 or 3 channels, depth, height, width)"
        )
    tensor = tensor.float()
    if not torch.isfinite(tensor).all():
        raise ValueError("images held NaN or infinity, must be finite")
    return tensor


def in_batches(
    images: torch.Tensor, run: Callable[[torch.Tensor], torch.Tensor], device: str
) -> NDArray[np.float32]:
    """`run` on whole batches of `BATCH` 2-D images, the last one padded; float32 rows come back.

    On the CPU every batch is one thread's work, several batches at a time: faster than several
    threads in one convolution, unharmed by other processes, and the same bits for any number of
    threads.
    """

    def features(start: int) -> torch.Tensor:
        batch = images[start : start + BATCH]
        kept = len(batch)
        if kept < BATCH:
            batch = torch.cat([batch, batch.new_zeros(BATCH - kept, *batch.shape[1:])])
        with torch.inference_mode():
            return run(batch.to(device)).float().cpu()[:kept]

    starts = range(0, len(images), BATCH)
    parts = map(features, starts) if device != "cpu" else _pool().map(features, starts)
    return torch.cat(list(parts)).numpy()


@cache
def _pool() -> ThreadPoolExecutor:
    """As many threads as torch was told to use, each of which uses one."""
    threads = torch.get_num_threads()
    ready = threading.Barrier(threads + 1)

    def begin() -> None:
        torch.get_num_threads()  # Takes over the common setting, which must not happen later.
        torch.set_num_threads(1)
        ready.wait()

    pool = ThreadPoolExecutor(threads, "features")
    begun = [pool.submit(begin) for _ in range(threads)]
    ready.wait()
    for each in begun:
        each.result()
    # The setting is each thread's own, but new threads begin with the last one that was made.
    torch.set_num_threads(threads)
    return pool


def over_slices(
    images: torch.Tensor, extract: Callable[[torch.Tensor], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Features of 2-D images; of a volume the mean over `SLICES` evenly spaced slices."""
    if images.ndim == 4:
        return extract(images)
    depth = images.shape[2]
    count = min(SLICES, depth)
    chosen = torch.linspace(0, depth - 1, count + 2).round().long()[1:-1]
    slices = images[:, :, chosen].movedim(2, 1).flatten(0, 1)
    features = extract(slices).reshape(len(images), count, -1)
    mean: NDArray[np.float32] = features.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean
