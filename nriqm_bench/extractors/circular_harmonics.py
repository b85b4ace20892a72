"""Circular harmonics: how an image varies around its centre, however it is turned or mirrored."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nriqm_bench.extractors.images import as_tensor, in_batches

_VERSION = 1

# Longest side of the grid to which images are averaged, and the SD of the Gaussian that follows,
# in its pixels: what a rotation's interpolation does to single pixels is gone.
_GRID = 64
_SMOOTHING = 1.0

_RINGS = 16
_HARMONICS = 16
# Places on each ring. The outermost are 1.6 pixels apart, which the smoothing has room for.
_ANGLES = 128

# Volumes are averaged to so many slabs along their first axis, in which slices turn together.
_SLABS = 8


class CircularHarmonics:
    """Magnitudes of the first 16 angular Fourier coefficients on 16 rings around the centre.

    Turning an image shifts what lies on a ring, which changes the phases of its coefficients and
    not their magnitudes; mirroring it conjugates them. So copies that were turned, flipped (along
    any axis) or shifted stay near their originals, without a search and without finding a pose
    first. Noise and blur shrink as the image is averaged to 64 pixels and smoothed; brightness is
    divided out. Coefficient m counts m times (0 once): how a ring varies tells heads apart, its
    mean hardly does.

    The rings lie around the centroid of the squared brightness, out to half of the longer side. Of
    a volume they lie around one axis, in 8 slabs along the first spatial axis; rotations within
    the slices are seen through, others are not. Nothing is trained.

    Parameters
    ----------
    device
        Accepted like every extractor's; all is done on the CPU.

    Source: circular harmonic expansion, Hsu and Arsenault 1982, Applied Optics 21, 4016-4019.
    """

    name = "circular-harmonics"
    dim = _RINGS * _HARMONICS

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def key(self) -> str:
        """Name and version."""
        return f"{self.name}:{_VERSION}"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, C * 256)`` float32 of length 1 (volumes: 8 times).

        Volumes of fewer than 8 slices have one slab a slice. Black images give zeros.
        """
        tensor = as_tensor(images)
        scale = _GRID / max(tensor.shape[-2:])
        height, width = (max(1, round(side * scale)) for side in tensor.shape[-2:])
        if tensor.ndim == 5:
            grid = min(_SLABS, tensor.shape[2]), height, width
            pooled = functional.adaptive_avg_pool3d(tensor, grid).flatten(1, 2)
        else:
            pooled = functional.adaptive_avg_pool2d(tensor, (height, width))
        return in_batches(pooled, _magnitudes, "cpu")


def _magnitudes(pooled: torch.Tensor) -> torch.Tensor:
    """``(n, layers, height, width)`` to ``(n, layers * 256)`` of length 1."""
    height, width = pooled.shape[2:]
    smooth = _smoother(height) @ pooled.double() @ _smoother(width).T
    coefficients = torch.fft.rfft(_rings(smooth), dim=-1)[..., :_HARMONICS]
    weights = torch.arange(_HARMONICS).clamp(min=1) * torch.full((_HARMONICS,), math.sqrt(2))
    weights[0] = 1
    found = (coefficients.abs() * weights).flatten(1)
    return functional.normalize(found, dim=1)


def _rings(smooth: torch.Tensor) -> torch.Tensor:
    """``(n, layers, rings, angles)`` brightness around the centroid; edges continue outwards."""
    height, width = smooth.shape[2:]
    y, x = (torch.arange(side).double() - (side - 1) / 2 for side in (height, width))
    # Squared, so that the anatomy decides and not the background.
    mass = smooth.square().sum(dim=1)
    total = mass.sum(dim=(1, 2))
    total = torch.where(total > 0, total, 1)
    centre_y, centre_x = (mass.sum(2) @ y) / total, (mass.sum(1) @ x) / total
    radii = (torch.arange(_RINGS).double()[:, None] + 0.5) * max(height, width) / (2 * _RINGS)
    angles = torch.arange(_ANGLES).double() * (2 * math.pi / _ANGLES)
    place_y = centre_y[:, None, None] + radii * angles.sin()
    place_x = centre_x[:, None, None] + radii * angles.cos()
    grid = torch.stack([place_x * 2 / width, place_y * 2 / height], dim=-1)
    return functional.grid_sample(smooth, grid, padding_mode="border", align_corners=False)


def _smoother(side: int) -> torch.Tensor:
    """``(side, side)`` weights of a Gaussian, of which what lies beyond the edges is left out."""
    place = torch.arange(side).double()
    weights = torch.exp(-((place[:, None] - place) ** 2) / (2 * _SMOOTHING**2))
    return weights / weights.sum(dim=1, keepdim=True)
