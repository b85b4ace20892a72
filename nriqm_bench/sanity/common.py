"""Sizes, levels and helpers that the sanity checks share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nriqm_bench.sanity.check import Kind
from nriqm_bench.sanity.clouds import Floats

# Rows of each cloud, unless their number is what a check varies.
N = 1000

# Distance of the means, in SD, of clouds that must count as disjoint.
FAR = 6.0

FIDELITY: tuple[Kind, ...] = ("fidelity",)
DIVERSITY: tuple[Kind, ...] = ("diversity",)

# The dimension in which most metrics fail comes first: a cell that has failed needs no more parts.
DIMS = (64, 8, 1)


def as_levels(values: Sequence[float] | Floats) -> tuple[float, ...]:
    """Plain numbers."""
    return tuple(float(v) for v in values)


def few(count: int, about: int, *also: int) -> tuple[int, ...]:
    """About so many of the numbers below `count`, evenly spread, both ends and `also` included."""
    chosen = np.round(np.linspace(0, count - 1, about)).astype(int).tolist()
    return tuple(sorted({*chosen, *also}))
