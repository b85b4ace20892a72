"""What a sanity check is: parts that draw clouds, and criteria by desideratum and kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.sanity.criteria import Judge

Floats = NDArray[np.float64]
Kind = Literal["fidelity", "diversity"]
Draw = Callable[[np.random.Generator, Any], Floats]

KINDS: tuple[Kind, Kind] = ("fidelity", "diversity")

DESIDERATA = {
    "D1": "purpose: it measures what it says",
    "D2": "hyperparameters: sizes of samples and the like matter little",
    "D3": "data: it needs no more of it than there is",
    "D4": "bounds: its lowest and highest values are known and reached",
    "D5": "invariance: changes that do not matter leave it as it is",
}


@dataclass(frozen=True)
class Criterion:
    """One requirement on the curve of a part.

    Parameters
    ----------
    name
        What it asks for.
    judge
        A function from `nriqm_bench.sanity.criteria`.
    kinds
        The kinds of metric it applies to.
    part
        The part it applies to; all when empty.
    """

    name: str
    judge: Judge = field(repr=False)
    kinds: tuple[Kind, ...] = KINDS
    part: str = ""


@dataclass(frozen=True)
class Part:
    """One sweep: a cloud of real rows and one of fake rows at each level.

    Parameters
    ----------
    name
        What sets it apart from the other parts, such as its dimension.
    levels
        The published levels, rising.
    few
        Which of them a short run takes: the ends, and all that a criterion reads.
    real, fake
        ``(rng, level) -> (n, d)``.
    one_real
        Whether the real cloud is drawn once for all levels (`real` then ignores the level).
    """

    name: str
    levels: tuple[float, ...]
    few: tuple[int, ...]
    real: Draw = field(repr=False)
    fake: Draw = field(repr=False)
    one_real: bool = True

    def clouds(
        self, rng: np.random.Generator, chosen: tuple[int, ...] | None = None
    ) -> Iterator[tuple[int, Floats, Floats]]:
        """The clouds of one repeat: number of the level, real rows, fake rows.

        The clouds of a level do not depend on which others are chosen. A real cloud that levels
        share is the same array each time.

        Parameters
        ----------
        rng
            The source of random numbers.
        chosen
            Numbers of levels; all by default.
        """
        first, *streams = rng.spawn(1 + len(self.levels))
        shared = self.real(first, self.levels[0]) if self.one_real else None
        for i in range(len(self.levels)) if chosen is None else chosen:
            level, stream = self.levels[i], streams[i]
            real = self.real(stream, level) if shared is None else shared
            yield i, real, self.fake(stream, level)


@dataclass(frozen=True)
class Check:
    """One sanity check.

    Parameters
    ----------
    name, title
        Its name here, and a title of at most 21 characters for tables.
    summary
        What is done and what must happen, in a sentence.
    parts
        Its sweeps; a metric must meet the criteria in all of them.
    cells
        Desideratum (``"D1"`` ...) to criteria: each is one cell of the table.
    heavy_tailed
        Whether rare repeats decide the mean, so that a few repeats say nothing of its error.
    """

    name: str
    title: str
    summary: str
    parts: tuple[Part, ...]
    cells: Mapping[str, tuple[Criterion, ...]]
    heavy_tailed: bool = False

    def criteria(self, desideratum: str, kind: Kind, part: str) -> tuple[Criterion, ...]:
        """The criteria of one cell that a metric of `kind` must meet in one part."""
        return tuple(
            c for c in self.cells[desideratum] if kind in c.kinds and (not c.part or c.part == part)
        )
