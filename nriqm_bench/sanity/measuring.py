"""Run metrics through a sanity check: clouds, values, and as many repeats as a cell needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nriqm_bench.sanity.check import KINDS, Check, Kind, Part
from nriqm_bench.sanity.clouds import units
from nriqm_bench.sanity.judging import Cell, Sweep, judge, outcome

METRICS = (
    "precision",
    "density",
    "recall",
    "coverage",
    "clipped-density",
    "clipped-coverage",
)

# The authors take distances up to and including the radius for all four; k is our default too.
OPTIONS = {"density": {"ties": "inclusive"}, "coverage": {"ties": "inclusive"}}

REPEATS = 10

_KIND: dict[str, Kind] = {
    "precision": "fidelity",
    "density": "fidelity",
    "clipped-density": "fidelity",
    "recall": "diversity",
    "coverage": "diversity",
    "clipped-coverage": "diversity",
}


def kinds(name: str) -> tuple[Kind, ...]:
    """What a metric is judged as: fidelity or diversity; both for one that we do not know."""
    return (_KIND[name],) if name in _KIND else KINDS


@dataclass(frozen=True)
class Result:
    """What one metric did in one check.

    Parameters
    ----------
    check, metric
        Their names.
    sweeps
        Part to `Sweep`; parts are missing when the cells had failed already.
    cells
        Kind to desideratum to `Cell`.
    """

    check: str
    metric: str
    sweeps: dict[str, Sweep] = field(repr=False)
    cells: dict[Kind, dict[str, Cell]]


def run(
    check: Check,
    names: Iterable[str] = METRICS,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    every_level: bool = False,
    until_sure: bool = True,
) -> dict[str, Result]:
    """Put metrics through one check.

    Parameters
    ----------
    check
        One of `CHECKS`, or one of your own.
    names
        Registered metrics of features.
    seed
        Seed of every draw: clouds depend on it, the check, the part, the repeat and the level.
    repeats
        How many times each part is drawn (published: 10); at least 1.
    every_level
        All published levels instead of a few of them.
    until_sure
        Stop a part before `repeats` when its cells are beyond doubt, and leave out parts of cells
        that have failed already. False, or a heavy-tailed check: all repeats of all parts.

    Returns
    -------
    dict
        Name of the metric to its `Result`.

    Raises
    ------
    KeyError
        For an unknown metric.
    ValueError
        For `repeats` below 1, or what a metric refuses.
    """
    if repeats < 1:
        raise ValueError(f"repeats was {repeats}, must be at least 1")
    wanted = list(dict.fromkeys(names))
    found: dict[str, dict[str, Sweep]] = {name: {} for name in wanted}
    for part in check.parts:
        for repeat in range(repeats):
            every = not until_sure or check.heavy_tailed
            left = [n for n in wanted if every or _needs(check, n, found[n], part)]
            if left:
                rng = _rng(seed, check.name, part.name, repeat)
                _extend(found, part, _values(part, left, rng, every_level), every_level)
    return {
        name: Result(
            check.name, name, sweeps, {kind: judge(check, kind, sweeps) for kind in kinds(name)}
        )
        for name, sweeps in found.items()
    }


def _needs(check: Check, name: str, sweeps: dict[str, Sweep], part: Part) -> bool:
    """Whether another repeat of `part` can still change a cell of this metric."""
    here = {part.name: sweeps[part.name]} if part.name in sweeps else {}
    for kind in kinds(name):
        for cell in check.cells:
            if sweeps and outcome(check, cell, kind, sweeps) == "fail":
                continue
            if not here or outcome(check, cell, kind, here) == "open":
                return True
    return False


def _values(
    part: Part, names: Sequence[str], rng: np.random.Generator, every_level: bool
) -> dict[str, list[float]]:
    from nriqm_bench.metrics import Sample, evaluate

    options = {name: OPTIONS[name] for name in names if name in OPTIONS}
    found: dict[str, list[float]] = {name: [] for name in names}
    last = None
    for _, real, fake in part.clouds(rng, None if every_level else part.few):
        if real is not last:
            last, (mean, sd) = real, units(real)
            sample = Sample((real - mean) / sd, "real")
        values = evaluate(names, sample, Sample((fake - mean) / sd, "fake"), options=options)
        for name, value in values.items():
            found[name].append(value)
    return found


def _extend(
    found: dict[str, dict[str, Sweep]],
    part: Part,
    values: dict[str, list[float]],
    every_level: bool,
) -> None:
    chosen = range(len(part.levels)) if every_level else part.few
    levels = tuple(part.levels[i] for i in chosen)
    for name, row in values.items():
        before = found[name].get(part.name)
        new = np.asarray(row, dtype=np.float64)[None]
        rows = new if before is None else np.concatenate([before.values, new])
        found[name][part.name] = Sweep(levels, rows)


def _rng(seed: int, *axes: object) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, (seed, *axes))).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
