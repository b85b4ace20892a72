"""Structural similarity of pairs of images: how alike are a generator's images to each other?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.sample import Float64, Indices, shuffled

# Weights of the five scales (Wang et al. 2003, section 3.2).
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2

# Voxels filtered at once.
_BLOCK = 1 << 21


def _spread(
    real: Any,
    fake: NDArray[Any],
    *,
    pairs: int = 100,
    scales: int | None = None,
    rng: np.random.Generator | None = None,
) -> Spread:
    i, j, values = _scored(fake, pairs, scales, rng)
    # Pairs that share an image are not independent: as a U-statistic, by the mean of each image.
    total = np.bincount(i, values, len(fake)) + np.bincount(j, values, len(fake))
    count = np.bincount(i, minlength=len(fake)) + np.bincount(j, minlength=len(fake))
    mean = float(values.mean())
    influence = (total - count * mean) / len(values)
    own = float(np.square(values - mean).sum()) / len(values) ** 2
    # The squares of the images' sums count each pair's own variance twice.
    return Spread(len(fake), math.sqrt(max(float(np.square(influence).sum()) - own, own)))


@metric(
    "ms-ssim",
    higher_is_better=False,
    needs="images",
    min_samples=2,
    needs_real=False,
    range=(0.0, 1.0),
    sees=("modes",),
    spread=_spread,
)
def ms_ssim(
    real: Any,
    fake: NDArray[Any],
    *,
    pairs: int = 100,
    scales: int | None = None,
    rng: np.random.Generator | None = None,
) -> float:
    """Mean multi-scale structural similarity of pairs of fake images: high when they are alike.

    `fake` holds images ``(n, channels, height, width)`` or volumes in [0, 1]; `real` is not read.

    Parameters
    ----------
    pairs
        How many random pairs of different images (published: 100); all pairs where there are no
        more.
    scales
        How many of the five published scales; None takes as many as the smallest side allows (five
        from 161 pixels on, four from 81), with their weights divided by the weights' sum.
    rng
        The source of pairs; None takes pairs that depend on the images alone, not on their order.

    Direction: lower is better (diversity). Range: [0, 1]; 1 when all images are equal. Invariant
    under the order of images. Noise lowers it. Compare only values of equal image size.

    Needs 2 images of at least 11 pixels a side. Cost: ``pairs`` times the filtering of an image.

    Interval: of a U-statistic over images.

    Source: Wang, Simoncelli and Bovik 2003 (Asilomar), equation 7; pairs: Odena et al. 2017 (arXiv
    1610.09585), section 4.2. Windows, constants and pooling as in pytorch_msssim.
    """
    return float(_scored(fake, pairs, scales, rng)[2].mean())


def _scored(
    fake: NDArray[Any], pairs: int, scales: int | None, rng: np.random.Generator | None
) -> tuple[Indices, Indices, Float64]:
    if not isinstance(pairs, int) or pairs < 1:
        raise ValueError(f"pairs was {pairs!r}, must be a whole number >= 1")
    n = len(fake)
    order = shuffled(fake) if rng is None else np.arange(n)
    i, j = np.triu_indices(n, 1)
    if len(i) > pairs:
        rng = np.random.default_rng(0) if rng is None else rng
        chosen = rng.choice(len(i), pairs, replace=False)
        i, j = i[chosen], j[chosen]
    i, j = order[i], order[j]
    step = max(1, _BLOCK // fake[0].size)
    values = [
        ms_ssim_of_pairs(fake[i[start : start + step]], fake[j[start : start + step]], scales)
        for start in range(0, len(i), step)
    ]
    return i, j, np.concatenate(values)


def ms_ssim_of_pairs(a: Any, b: Any, scales: int | None = None) -> Float64:
    """Multi-scale structural similarity of each image of `a` with the one of `b`.

    Parameters
    ----------
    a, b
        ``(n, channels, *spatial)`` in [0, 1], two or three spatial axes.
    scales
        As in `ms_ssim`.

    Returns
    -------
    ``(n,)`` float64 in [0, 1], the mean over channels.

    Raises
    ------
    ValueError
        For shapes that differ, or images too small for the scales.
    """
    import torch
    from torch.nn import functional

    x, y = (torch.as_tensor(np.asarray(v, dtype=np.float64)) for v in (a, b))
    if x.shape != y.shape or x.ndim not in (4, 5):
        raise ValueError(
            f"b had shape {tuple(y.shape)} and a {tuple(x.shape)}, must both be "
            "(n, channels, *spatial) with two or three spatial axes"
        )
    spatial = x.ndim - 2
    weights = _weights(min(x.shape[2:]), scales)
    pool = functional.avg_pool2d if spatial == 2 else functional.avg_pool3d
    product = torch.ones(x.shape[:2], dtype=torch.float64)
    for scale, weight in enumerate(weights):
        whole, contrast = _similarity(x, y)
        last = scale == len(weights) - 1
        product *= (whole if last else contrast).clamp_min(0) ** weight
        if not last:
            padding = [side % 2 for side in x.shape[2:]]
            x, y = pool(x, 2, padding=padding), pool(y, 2, padding=padding)
    return np.asarray(product.mean(1).numpy())


def _weights(side: int, scales: int | None) -> Float64:
    most = 0
    while most < len(WEIGHTS) and side > (_WINDOW - 1) * 2**most:
        most += 1
    if not most:
        raise ValueError(f"fake had images of {side} pixels a side, must have at least {_WINDOW}")
    if scales is None:
        scales = most
    if not isinstance(scales, int) or not 1 <= scales <= len(WEIGHTS):
        raise ValueError(f"scales was {scales!r}, must be between 1 and {len(WEIGHTS)}, or None")
    if scales > most:
        raise ValueError(
            f"fake had images of {side} pixels a side, must have more than "
            f"{(_WINDOW - 1) * 2 ** (scales - 1)} for {scales} scales; give scales={most}"
        )
    chosen = np.array(WEIGHTS[:scales])
    return chosen if scales == len(WEIGHTS) else chosen / chosen.sum()


def _similarity(x: Any, y: Any) -> tuple[Any, Any]:
    """Structural similarity of images, and its part of contrast and structure, by channel."""
    import torch

    both = torch.cat([x, y, x * x, y * y, x * y])
    mean_x, mean_y, square_x, square_y, product = _smoothed(both).chunk(5)
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    contrast = (2 * (product - mean_x * mean_y) + _C2) / (variance_x + variance_y + _C2)
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return (light * contrast).flatten(2).mean(-1), contrast.flatten(2).mean(-1)


def _smoothed(images: Any) -> Any:
    """The Gaussian window's weighted mean at each place where it fits (no padding)."""
    import torch

    offsets = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    kernel = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()
    for axis in range(2, images.ndim):
        # As a product with a banded matrix: many more operations than a convolution, and faster.
        length = images.shape[axis]
        band = torch.zeros((length, length - _WINDOW + 1), dtype=torch.float64)
        for start, weight in enumerate(kernel):
            band.diagonal(-start).fill_(weight)
        images = (images.movedim(axis, -1) @ band).movedim(-1, axis)
    return images
