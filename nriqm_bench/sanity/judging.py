"""From repeated curves to the cells of the table: passed or failed, and how near to a threshold.

The outcome is that of the mean curve, as published. Its uncertainty is the jackknife over repeats:
the standard error of the room that the tightest criterion has left. Two independent means of as
many repeats differ by sqrt(2) of these, so a cell whose room is below `NEAR` = 3 of them (2 SD of
such a difference, rounded up) can come out either way by chance: it is *on a threshold*.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.sanity.check import Check, Criterion, Kind
from nriqm_bench.sanity.criteria import Judgement, holds

Floats = NDArray[np.float64]
Outcome = Literal["pass", "fail", "open"]

NEAR = 3.0

SURE = 0.995
LEAST = 3


@dataclass(frozen=True)
class Sweep:
    """What a metric gave along one part: levels, and ``(repeats, levels)`` values."""

    levels: tuple[float, ...]
    values: Floats

    @property
    def mean(self) -> Floats:
        """``(levels,)`` means over repeats."""
        return np.asarray(self.values.mean(axis=0), dtype=np.float64)


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Parameters
    ----------
    passed
        Whether the mean curves meet all criteria in all parts.
    on_threshold
        Whether chance decides: see the module.
    margin, error
        Room that the tightest criterion has left (negative: missed by so much), in units of the
        metric, and its standard error; the error is NaN after one repeat.
    reading
        ``"low"`` or ``"high"`` where a diversity metric may be either and passes as this one.
    sentence
        The part and what the tightest criterion found there.
    """

    passed: bool
    on_threshold: bool
    margin: float
    error: float
    reading: str
    sentence: str

    @property
    def mark(self) -> str:
        """T, F, L (passed as a low metric) or H (as a high one), as in the published table."""
        return (self.reading[:1].upper() or "T") if self.passed else "F"


@dataclass(frozen=True)
class _Room:
    """The room that one part leaves under one reading."""

    margin: float
    error: float
    repeats: int
    sentence: str
    decides_reading: bool

    def outcome(self, errors: Callable[[int], float]) -> Outcome:
        if not abs(self.margin) > errors(self.repeats) * self.error:
            return "open"
        return "pass" if holds(self.margin) else "fail"


def judge(check: Check, kind: Kind, sweeps: Mapping[str, Sweep]) -> dict[str, Cell]:
    """The cells of one metric, judged as one of `kind`, by desideratum.

    Parameters
    ----------
    check
        The check.
    kind
        ``"fidelity"`` or ``"diversity"``.
    sweeps
        By the name of the part. Parts may be missing: the cell is then that of the others.

    Raises
    ------
    ValueError
        When there is no sweep, one lacks a level that a criterion reads, or a cell has no criterion
        for this kind.
    """
    if not sweeps:
        raise ValueError(f"sweeps were none, must be those of a part of {check.name}")
    return {name: _cell(_rooms(check, name, kind, sweeps)) for name in check.cells}


def outcome(check: Check, desideratum: str, kind: Kind, sweeps: Mapping[str, Sweep]) -> Outcome:
    """Whether a cell passes or fails beyond doubt, or is still open.

    Beyond doubt is a t test of the room of every part at the one-sided level 1 - `SURE`, on
    `LEAST` repeats or more.
    """
    return _outcome(_rooms(check, desideratum, kind, sweeps), _beyond_doubt)


def _beyond_doubt(repeats: int) -> float:
    from scipy.stats import t

    return float(t.ppf(SURE, repeats - 1)) if repeats >= LEAST else float("inf")


def _by_chance(repeats: int) -> float:
    return NEAR


def _outcome(rooms: Mapping[str, list[_Room]], errors: Callable[[int], float]) -> Outcome:
    found = []
    for of_reading in rooms.values():
        parts = [room.outcome(errors) for room in of_reading]
        sure_pass = all(part == "pass" for part in parts)
        found.append("fail" if "fail" in parts else "pass" if sure_pass else "open")
    if "pass" in found:
        return "pass"
    return "fail" if set(found) == {"fail"} else "open"


def _cell(rooms: Mapping[str, list[_Room]]) -> Cell:
    tightest = {name: min(found, key=lambda r: r.margin) for name, found in rooms.items()}
    reading = max(tightest, key=lambda name: tightest[name].margin)
    chosen = tightest[reading]
    return Cell(
        passed=holds(chosen.margin),
        on_threshold=_outcome(rooms, _by_chance) == "open",
        margin=chosen.margin,
        error=chosen.error,
        reading=reading if any(room.decides_reading for room in rooms[reading]) else "",
        sentence=chosen.sentence,
    )


def _rooms(
    check: Check, desideratum: str, kind: Kind, sweeps: Mapping[str, Sweep]
) -> dict[str, list[_Room]]:
    """What each part leaves, under each reading: one reading must hold for all of them."""
    found: dict[str, list[_Room]] = {"low": [], "high": []}
    for part, sweep in sweeps.items():
        criteria = check.criteria(desideratum, kind, part)
        if not criteria:
            continue
        whole = _tightest(criteria, sweep.levels, sweep.mean)
        rest = [
            _tightest(criteria, sweep.levels, kept.mean(axis=0)) for kept in _left_out(sweep.values)
        ]
        for reading, rooms in found.items():
            told, margin = whole[reading]
            left = np.array([each[reading][1] for each in rest])
            rooms.append(
                _Room(
                    margin,
                    _jackknife(left),
                    len(sweep.values),
                    f"{part}, {told}",
                    whole["low"][1] != whole["high"][1],
                )
            )
    if not found["low"]:
        raise ValueError(
            f"{desideratum} of {check.name} had no criterion for {kind} in {', '.join(sweeps)}, "
            "must have one"
        )
    return found


def _tightest(
    criteria: tuple[Criterion, ...], levels: tuple[float, ...], mean: Floats
) -> dict[str, tuple[str, float]]:
    judged: list[tuple[Criterion, Judgement]] = [(c, c.judge(levels, mean)) for c in criteria]
    found = {}
    for reading in ("low", "high"):
        c, j = min(judged, key=lambda pair: getattr(pair[1], reading))
        found[reading] = (f"{c.name}: {j.sentence}", float(getattr(j, reading)))
    return found


def _left_out(values: Floats) -> list[Floats]:
    n = len(values)
    return [np.delete(values, i, axis=0) for i in range(n)] if n > 1 else []


def _jackknife(left: Floats) -> float:
    n = len(left)
    return float(np.sqrt((n - 1) / n * np.sum((left - left.mean()) ** 2))) if n else float("nan")
