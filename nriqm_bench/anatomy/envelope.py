"""`Envelope`: within which ranges real anatomy lies, and which images are outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

# Robust SDs from the median, either way; of a normal variable 1 in 2 000 lies beyond.
WIDTH = 3.5
# From the median to the 5 % and 95 % quantiles of a normal variable, in SD.
_TO_QUANTILE = 1.645


@dataclass(frozen=True)
class Envelope:
    """The range of each descriptor in real images.

    An image is plausible when what should be there is found in it and every descriptor is in its
    range: a normal reader's "looks like anatomy", not a diagnosis.

    Attributes
    ----------
    names
        The descriptors; the first is the presence.
    low, high
        ``(k,)``: the median less and plus `WIDTH` robust SD, which are told apart on either side
        (quantiles 5 and 95 %); where quantile and median agree, the extreme of the real images.
    """

    names: tuple[str, ...]
    low: Float64
    high: Float64

    @classmethod
    def of(cls, rows: Float64, names: Sequence[str]) -> Envelope:
        """The envelope of real ``(n, k)`` descriptors.

        Raises
        ------
        ValueError
            When nothing was found in any image.
        """
        there = rows[:, 0] > 0
        if not there.any():
            raise ValueError(f"nothing was found in any of {len(rows)} real images")
        own = rows[there]
        middle, below, above = np.quantile(own, (0.5, 0.05, 0.95), axis=0)
        down, up = middle - below, above - middle
        low = np.where(down > 0, middle - WIDTH / _TO_QUANTILE * down, own.min(axis=0))
        high = np.where(up > 0, middle + WIDTH / _TO_QUANTILE * up, own.max(axis=0))
        return cls(tuple(names), low, high)

    def plausible(self, rows: Float64) -> NDArray[np.bool_]:
        """``(n,)`` of ``(n, k)`` descriptors: all in range; NaN, where nothing is found, is not."""
        return np.asarray(((rows >= self.low) & (rows <= self.high)).all(axis=1), np.bool_)

    def why(self, rows: Float64) -> dict[str, int]:
        """How many images each descriptor is out of range in, the most frequent first.

        Images in which nothing is found count under the presence alone.
        """
        absent = ~(rows[:, 0] > 0)
        there = rows[~absent]
        outside = ((there < self.low) | (there > self.high)).sum(axis=0)
        counts = {name: int(count) for name, count in zip(self.names, outside, strict=True)}
        counts[self.names[0]] += int(absent.sum())
        kept = [item for item in counts.items() if item[1]]
        return dict(sorted(kept, key=lambda item: -item[1]))
