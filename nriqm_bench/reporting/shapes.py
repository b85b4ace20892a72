"""Curves, and gates between floor and limit, drawn with characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from nriqm_bench.reporting.schema import Gate

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"

# A line, what fresh real images score, the limit, the value's interval, the value; how many
# characters are drawn.
_DRAWN, _ASCII_DRAWN, _POSITION = tuple("·░│─◆"), tuple(".=|-o"), 20


def sparkline(values: Sequence[float | None], unicode: bool = True) -> str:
    """The shape of a curve in one line; ? where a value is not finite."""
    blocks = _BLOCKS if unicode else _ASCII_BLOCKS
    known = [v for v in values if _finite(v)]
    low = min(known, default=0.0)
    span = (max(known, default=0.0) - low) or 1.0
    return "".join(
        blocks[round((v - low) / span * (len(blocks) - 1))] if _finite(v) else "?" for v in values
    )


def position(gate: Gate, unicode: bool = True) -> str:
    """Where a gate's value lies on a line on which worse is to the right.

    The floor's mean with two SD to either side, the limit, the value and its 95 % interval; nothing
    where one of them is not finite.
    """
    line, floor, limit, interval, value = _DRAWN if unicode else _ASCII_DRAWN
    sign = 1 if gate.direction == "above" else -1
    low, high = gate.interval or (gate.value, gate.value)
    places = (gate.floor_mean, gate.floor_sd, gate.threshold, gate.value, low, high)
    if not all(map(_finite, places)):
        return ""
    band = [gate.floor_mean - 2 * gate.floor_sd, gate.floor_mean + 2 * gate.floor_sd]
    shown = [sign * place for place in (*band, gate.threshold, gate.value, low, high)]
    left, span = min(shown), (max(shown) - min(shown)) or 1.0
    at = [round((place - left) / span * (_POSITION - 1)) for place in shown]
    cells = [line] * _POSITION
    for (start, end), mark in ((sorted(at[:2]), floor), (sorted(at[4:]), interval)):
        cells[start : end + 1] = [mark] * (end + 1 - start)
    # The limit is never hidden by the value: the side says whether the gate holds.
    if at[2] == at[3]:
        step = 1 if shown[3] > shown[2] else -1
        at[3] += step if 0 <= at[3] + step < _POSITION else 0
        at[2] -= step if at[2] == at[3] else 0
    cells[at[2]] = limit
    cells[at[3]] = value
    return "".join(cells)


def position_legend(unicode: bool = True) -> str:
    """What the characters of `position` mean."""
    _, floor, limit, interval, value = _DRAWN if unicode else _ASCII_DRAWN
    return (
        f"{floor} two SD around the mean of fresh real images  {limit} limit  {value} value  "
        f"{interval} its 95 % interval"
    )


def _finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
