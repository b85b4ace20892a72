"""The noise floor: what a metric says when fresh real images take the generator's place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

# Below this share of its own size a spread is rounding, not evidence.
_ROUNDING = 1e-9


@dataclass(frozen=True, repr=False)
class Floor:
    """The values of one metric over repeated splits of real data at the sample size on trial.

    Parameters
    ----------
    values
        At least two finite values, one a split.

    Raises
    ------
    ValueError
        When there are fewer than two values or one is not finite.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        values = tuple(float(v) for v in self.values)
        if len(values) < 2 or not all(math.isfinite(v) for v in values):
            raise ValueError(
                f"a floor needs at least two finite values, one a real split; got {len(values)} "
                f"of which {sum(not math.isfinite(v) for v in values)} not finite"
            )
        object.__setattr__(self, "values", values)

    def __repr__(self) -> str:
        return f"<floor {self.mean:.4g} +- {self.sd:.2g} over {len(self.values)} real splits>"

    @cached_property
    def mean(self) -> float:
        """The mean over the splits."""
        return float(np.mean(self.values))

    @cached_property
    def sd(self) -> float:
        """The standard deviation over the splits (ddof 1), never below rounding."""
        return max(float(np.std(self.values, ddof=1)), _ROUNDING * max(1.0, abs(self.mean)))

    def tail(self, value: float, direction: str) -> float:
        """The chance that fresh real data score at least as far out as `value`, one-sided.

        The predictive t distribution of one more split: ``(value - mean) / (sd sqrt(1 + 1/s))``
        with ``s - 1`` degrees of freedom.

        Parameters
        ----------
        value
            The score on trial.
        direction
            ``"above"`` when large values are bad, ``"below"`` when small ones are.

        Raises
        ------
        ValueError
            When `value` is NaN, which would pass every test, or `direction` is another word.
        """
        if math.isnan(value):
            raise ValueError("value was nan, must be a number to be compared with the floor")
        t = (value - self.mean) / (self.sd * math.sqrt(1 + 1 / len(self.values)))
        return float(stats.t.sf(t if _sign(direction) > 0 else -t, len(self.values) - 1))

    def threshold(self, alpha: float, direction: str) -> float:
        """The value whose `tail` is `alpha`: fresh real data pass it once in 1 / `alpha` runs.

        Raises
        ------
        ValueError
            When `alpha` is not inside (0, 1) or `direction` is another word.
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha was {alpha}, must be above 0 and below 1")
        t = float(stats.t.isf(alpha, len(self.values) - 1))
        return self.mean + _sign(direction) * t * self.sd * math.sqrt(1 + 1 / len(self.values))


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[tuple[bool, float]]:
    """Holm's step-down test: for each p-value, is it rejected, and the level it was held against.

    The chance of one or more false rejections over the whole family is at most `alpha`, whatever
    the dependence (Holm 1979, Scandinavian Journal of Statistics 6).

    Raises
    ------
    ValueError
        When a p-value is not within [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p_values were {list(p_values)}, must all be within [0, 1]")
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    result: list[tuple[bool, float]] = [(False, alpha)] * len(p_values)
    rejecting = True
    level = alpha
    for rank, i in enumerate(order):
        if rejecting:
            level = alpha / (len(p_values) - rank)
            rejecting = p_values[i] <= level
        result[i] = (rejecting, level)
    return result


def _sign(direction: str) -> int:
    if direction not in ("above", "below"):
        raise ValueError(f"direction was {direction!r}, must be 'above' or 'below'")
    return 1 if direction == "above" else -1
