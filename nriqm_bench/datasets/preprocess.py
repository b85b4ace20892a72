"""`Preprocess`: from raw intensities of any size to [0, 1] at one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Preprocess:
    """What is done to real images before they are compared.

    Parameters
    ----------
    size
        Height and width afterwards, in pixels; None keeps them.
    percentiles
        Intensities below the first and above the second percentile of a file's voxels are clipped
        to them, then the range is brought to [0, 1].
    fit
        ``"resize"``: pad to a square with zeros, then resample (antialiased bilinear; masks: the
        nearest label). ``"crop"``: the central `size` x `size` pixels, padded where there are
        fewer; nothing is resampled.

    Raises
    ------
    ValueError
        For settings out of range.
    """

    size: int | None = None
    percentiles: tuple[float, float] = (1.0, 99.0)
    fit: Literal["resize", "crop"] = "resize"

    def __post_init__(self) -> None:
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(
                f"percentiles were {self.percentiles}, must be two rising numbers within 0 to 100"
            )
        if self.fit not in ("resize", "crop"):
            raise ValueError(f"fit was {self.fit!r}, must be 'resize' or 'crop'")
        if self.size is not None and self.size < 1:
            raise ValueError(f"size was {self.size}, must be at least 1 pixel")

    @classmethod
    def paper(cls) -> Preprocess:
        """The setting of the paper under test: the central 192 x 192 pixels, not resampled."""
        return cls(192, fit="crop")

    @property
    def name(self) -> str:
        """One phrase for the report."""
        low, high = self.percentiles
        verb = {"resize": "resized", "crop": "cropped"}[self.fit]
        size = "" if self.size is None else f", {verb} to {self.size} px"
        return f"clipped to percentiles {low:g} to {high:g}{size}"

    def key(self) -> str:
        """The identity of the result for the cache."""
        low, high = self.percentiles
        return f"preprocess:1:{low!r}:{high!r}:{self.fit}:{self.size}"

    def rescale(self, volume: NDArray[Any]) -> NDArray[np.float32]:
        """One file's intensities, of any shape, clipped and brought to [0, 1].

        Raises
        ------
        ValueError
            When they are not finite, or so uniform that both percentiles are one value.
        """
        values = np.asarray(volume, np.float32)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinity, must be finite; repair it or leave it out")
        low, high = (float(v) for v in np.percentile(values, self.percentiles))
        if not low < high:
            raise ValueError(
                f"its percentiles {self.percentiles[0]:g} and {self.percentiles[1]:g} are both "
                f"{low:g}: a constant image has no contrast to compare; leave it out"
            )
        scaled: NDArray[np.float32] = (np.clip(values, low, high) - np.float32(low)) / np.float32(
            high - low
        )
        return np.clip(scaled, 0, 1, out=scaled)

    def images(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Images ``(..., height, width)`` in [0, 1] at `size`; the same array if they have it."""
        return self._fitted(images, masks=False)

    def masks(self, masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Labels ``(..., height, width)`` at `size`, in step with the images."""
        return self._fitted(masks, masks=True)

    def spacing(self, spacing: tuple[float, float], shape: tuple[int, int]) -> tuple[float, float]:
        """Millimetres per pixel after fitting images of `shape` that had `spacing`."""
        if self.size is None or self.fit == "crop":
            return spacing
        factor = max(shape) / self.size
        return spacing[0] * factor, spacing[1] * factor

    def _fitted(self, array: NDArray[Any], *, masks: bool) -> NDArray[Any]:
        height, width = array.shape[-2:]
        if self.size is None or height == width == self.size:
            return array
        if self.fit == "crop":
            return _centred(array, self.size)
        return _resampled(_centred(array, max(height, width)), self.size, masks=masks)


def _centred(array: NDArray[Any], side: int) -> NDArray[Any]:
    """The last two axes cut or zero-padded about their centre to `side`."""
    out = np.zeros((*array.shape[:-2], side, side), array.dtype)
    target: list[slice] = []
    source: list[slice] = []
    for length in array.shape[-2:]:
        kept = min(length, side)
        target.append(slice((side - kept) // 2, (side - kept) // 2 + kept))
        source.append(slice((length - kept) // 2, (length - kept) // 2 + kept))
    out[..., target[0], target[1]] = array[..., source[0], source[1]]
    return out


def _resampled(array: NDArray[Any], size: int, *, masks: bool) -> NDArray[Any]:
    import torch
    from torch.nn import functional

    side = array.shape[-1]
    stack = torch.from_numpy(np.ascontiguousarray(array).reshape(-1, 1, side, side))
    if masks:
        out = functional.interpolate(stack, (size, size), mode="nearest-exact")
    else:
        out = functional.interpolate(
            stack, (size, size), mode="bilinear", align_corners=False, antialias=True
        ).clamp(0, 1)
    resampled: NDArray[Any] = out.numpy().reshape(*array.shape[:-2], size, size)
    return resampled
