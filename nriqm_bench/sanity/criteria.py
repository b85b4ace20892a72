"""The criteria of the sanity checks: what the mean curve of a metric must look like.

Each criterion is a pure function of levels and mean values. It returns how much room is left before
its threshold (negative: it is missed by so much), so that a cell near a threshold can be told from
one far away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Judge = Callable[[Sequence[float], Floats], "Judgement"]

# Shares of 1000 rows can fall on a threshold exactly; a rounding error must not decide then.
_ROUNDING = 1e-9

CLOSE = 0.05
FLAT = 0.05
APART = 0.2
NEAR_EXTREME = 0.1
EARLY = 0.1


@dataclass(frozen=True)
class Judgement:
    """The outcome of one criterion.

    Parameters
    ----------
    sentence
        What was found and what must be.
    low, high
        Room left, in units of the metric, when the metric is read as a low or as a high diversity
        metric (one that gives 0 or 1 to fakes that are too wide); the same number twice where the
        criterion makes no difference between the two.
    """

    sentence: str
    low: float
    high: float

    @property
    def margin(self) -> float:
        """Room left under the better of the two readings; negative when the criterion is missed."""
        return max(self.low, self.high)

    @property
    def passed(self) -> bool:
        """Whether the criterion holds."""
        return holds(self.margin)


def holds(margin: float) -> bool:
    """Whether room left is enough: not negative, but for rounding."""
    return margin >= -_ROUNDING


def close_to(target: float, at: float) -> Judge:
    """The value at level `at` is within .05 of `target`."""

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        found = _value(levels, values, at)
        return _both(
            CLOSE - abs(found - target),
            f"{found:.3f} at {at:.4g}, must be within {CLOSE} of {target:g}",
        )

    return judge


def close_to_zero_or_one(at: float) -> Judge:
    """The value at level `at` is within .05 of 0 (a low diversity metric) or of 1 (a high one)."""

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        found = _value(levels, values, at)
        return Judgement(
            f"{found:.3f} at {at:.4g}, must be within {CLOSE} of 0 or of 1",
            low=CLOSE - abs(found),
            high=CLOSE - abs(found - 1),
        )

    return judge


def bell(centre: float) -> Judge:
    """The value at `centre` is .2 above both ends, within .1 of the maximum, and an end is low.

    An end is low when it is within .1 of the minimum; one of the two is enough.
    """

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        middle, left, right = _value(levels, values, centre), float(values[0]), float(values[-1])
        low, high = float(values.min()), float(values.max())
        room = min(
            middle - max(left, right) - APART,
            NEAR_EXTREME - (high - middle),
            NEAR_EXTREME - (min(left, right) - low),
        )
        return _both(
            room,
            f"{middle:.3f} at {centre:g}, {left:.3f} and {right:.3f} at the ends, from {low:.3f} "
            f"to {high:.3f}; must be {APART} above both ends, within {NEAR_EXTREME} of the "
            f"maximum, with an end within {NEAR_EXTREME} of the minimum",
        )

    return judge


def falls(early: float | None = None) -> Judge:
    """The first value is .2 above the last, and they are within .1 of maximum and minimum.

    Parameters
    ----------
    early
        A level by which the value must have fallen by .1 already.
    """

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        room, told = _fall(float(values[0]), float(values[-1]), values, "first", "last")
        if early is not None:
            drop = float(values[0]) - _value(levels, values, early)
            room = min(room, drop - EARLY)
            told += f"; {drop:.3f} lower by {early:.3g}, must be {EARLY}"
        return _both(room, told)

    return judge


def rises() -> Judge:
    """The last value is .2 above the first, and they are within .1 of maximum and minimum."""

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        return _both(*_fall(float(values[-1]), float(values[0]), values, "last", "first"))

    return judge


def flat() -> Judge:
    """Maximum and minimum differ by .05 at most."""

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        low, high = float(values.min()), float(values.max())
        return _both(
            FLAT - (high - low),
            f"from {low:.3f} to {high:.3f}, a range of {high - low:.3f}, must be {FLAT} at most",
        )

    return judge


def settles(start: float) -> Judge:
    """From level `start` on, maximum and minimum differ by .05 at most."""

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        rest = values[np.asarray(levels, dtype=np.float64) >= start]
        if not rest.size:
            raise ValueError(f"levels ended at {levels[-1]:g}, must reach {start:g}")
        low, high = float(rest.min()), float(rest.max())
        return _both(
            FLAT - (high - low),
            f"from {low:.3f} to {high:.3f} beyond {start:g}, a range of {high - low:.3f}, must be "
            f"{FLAT} at most",
        )

    return judge


def low_or_high(low: Judge, high: Judge) -> Judge:
    """One shape for low diversity metrics, another for high ones; either will do."""

    def judge(levels: Sequence[float], values: Floats) -> Judgement:
        as_low, as_high = low(levels, values), high(levels, values)
        return Judgement(
            f"as a low metric: {as_low.sentence}; or as a high one: {as_high.sentence}",
            low=as_low.margin,
            high=as_high.margin,
        )

    return judge


def _fall(top: float, bottom: float, values: Floats, upper: str, lower: str) -> tuple[float, str]:
    low, high = float(values.min()), float(values.max())
    room = min(top - bottom - APART, NEAR_EXTREME - (high - top), NEAR_EXTREME - (bottom - low))
    return room, (
        f"{top:.3f} at the {upper} level and {bottom:.3f} at the {lower}, from {low:.3f} to "
        f"{high:.3f}; must differ by {APART}, each within {NEAR_EXTREME} of its extreme"
    )


def _both(room: float, sentence: str) -> Judgement:
    return Judgement(sentence, room, room)


def _value(levels: Sequence[float], values: Floats, at: float) -> float:
    if at not in levels:
        raise ValueError(f"levels had no {at:g}, must have it: the criterion reads its value")
    return float(values[list(levels).index(at)])
