"""Where the tumour phantom's voxels lie: a few slices apart from each other, or a whole volume.

A grid says how far apart voxels are and draws random fields on them. Slices know their neighbours
little, a volume is continuous; apart from that the phantom treats both alike.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets.phantom_fields import cubic, strength, upsample

Float32 = NDArray[np.float32]

WIDTH = 128  # pixels of a slice, in which the point spread of a site is given


class Grid(Protocol):
    """What the phantom asks of its voxels, ``(slices, size, size)``."""

    slices: int
    size: int
    top: float  # percentile that is brought to 1

    def heights(
        self, rng: np.random.Generator, low: float, high: float, gap: float, pixel: float
    ) -> Float32:
        """The slices' heights in mm, ``(slices,)``."""
        ...

    def warp(self, rng: np.random.Generator, knots: int) -> Float32:
        """Three smooth fields ``(3, slices, size, size)`` of about unit SD."""
        ...

    def field(self, rng: np.random.Generator, knots: int) -> Float32:
        """A random field with that many knots across the image."""
        ...

    def bias(self, rng: np.random.Generator) -> Float32:
        """A field that varies slowly over the whole image."""
        ...

    def spread(self, sharpness: float) -> tuple[float, float, float]:
        """The point spread's SD in voxels, from that in pixels of a slice."""
        ...

    def inner(self) -> int:
        """The slices at either end in which no tumour is centred."""
        ...


class Slices:
    """Four slices of 128 x 128, `gap` apart."""

    slices = 4
    size = WIDTH
    top = 99.0

    def heights(
        self, rng: np.random.Generator, low: float, high: float, gap: float, pixel: float
    ) -> Float32:
        """From a lowest one anywhere between `low` and where the highest is at `high`."""
        lowest = rng.uniform(low, high - gap * (self.slices - 1))
        found: Float32 = lowest + gap * np.arange(self.slices, dtype=np.float32)
        return found

    def warp(self, rng: np.random.Generator, knots: int) -> Float32:
        """Alike between slices."""
        coarse = rng.standard_normal((3, 2, knots, knots)).astype(np.float32)
        weight = np.linspace(0, 0.6, self.slices, dtype=np.float32)[None, :, None, None]
        mixed = coarse[:, :1] * np.sqrt(1 - weight**2) + coarse[:, 1:] * weight
        return np.asarray(self._upsample(mixed) * 1.5, dtype=np.float32)

    def field(self, rng: np.random.Generator, knots: int) -> Float32:
        """Each slice its own: they are too far apart for texture to go on."""
        return self._upsample(rng.standard_normal((self.slices, knots, knots)).astype(np.float32))

    def bias(self, rng: np.random.Generator) -> Float32:
        """The same in all slices."""
        return self._upsample(rng.standard_normal((1, 4, 4)).astype(np.float32))

    def spread(self, sharpness: float) -> tuple[float, float, float]:
        """Within slices only."""
        return (0, sharpness, sharpness)

    def inner(self) -> int:
        """A tumour may be centred in any."""
        return 0

    def _upsample(self, coarse: Float32) -> Float32:
        rows, columns = cubic(coarse.shape[-2], self.size), cubic(coarse.shape[-1], self.size)
        return np.asarray(rows @ coarse @ columns.T, dtype=np.float32)


class Volume:
    """40 x 96 x 96 cubic voxels over the field of view of a slice."""

    slices = 40
    size = 96
    # Tumours fill less of a volume than of slices through brain; 99 would cut them deeper.
    top = 99.5

    def heights(
        self, rng: np.random.Generator, low: float, high: float, gap: float, pixel: float
    ) -> Float32:
        """About the middle of where slices lie, as far apart as voxels within a slice."""
        middle = (low + high) / 2 + rng.normal(0, gap / 2)
        step = pixel * WIDTH / self.size
        found: Float32 = middle + step * (
            np.arange(self.slices, dtype=np.float32) - (self.slices - 1) / 2
        )
        return found

    def warp(self, rng: np.random.Generator, knots: int) -> Float32:
        """Continuous in space."""
        return self._draw(rng, (3,), knots) * np.float32(1.5)

    def field(self, rng: np.random.Generator, knots: int) -> Float32:
        """Continuous in space, as strong as in a slice."""
        return self._draw(rng, (), knots)

    def bias(self, rng: np.random.Generator) -> Float32:
        """Continuous in space, as strong as in a slice."""
        return self._draw(rng, (), 4)

    def spread(self, sharpness: float) -> tuple[float, float, float]:
        """The same along all axes."""
        return (sharpness * self.size / WIDTH,) * 3

    def inner(self) -> int:
        """A tumour is centred where most of it lies in the volume."""
        return self.slices // 5

    def _draw(self, rng: np.random.Generator, lead: tuple[int, ...], knots: int) -> Float32:
        deep = max(round(knots * self.slices / self.size), 2)
        coarse = rng.standard_normal((*lead, deep, knots, knots)).astype(np.float32)
        found = upsample(coarse, (self.slices, self.size, self.size))
        # Interpolation along the third axis would weaken it once more.
        return found / np.float32(strength(deep, self.slices))
