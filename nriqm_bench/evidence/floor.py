"""The noise floor: what a metric says when fresh real images take the generator's place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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

    def widened(self, parts: int) -> Floor:
        """The floor of a score of one set alone, from splits into so many parts of one pool.

        Parts of a pool differ less from its mean than a fresh set does: their variance is short of
        the share 1 / parts of the pool that each is, and the pool's mean varies by as much again.
        So deviations from the mean grow by ``sqrt((parts + 1) / (parts - 1))``. Scores against a
        reference need no such thing: it varies along with the split.

        Raises
        ------
        ValueError
            For fewer than two parts.
        """
        if parts < 2:
            raise ValueError(f"parts was {parts}, must be at least 2")
        factor = math.sqrt((parts + 1) / (parts - 1))
        wide = tuple(self.mean + factor * (value - self.mean) for value in self.values)
        return replace(self, values=wide)

    def tail(self, value: float, direction: str) -> float:
        """The chance that fresh real data score at least as far out as `value`, one-sided.

        The predictive t distribution of one more split: ``(value - mean) / (sd sqrt(1 + 1/s))``
        with ``s - 1`` degrees of freedom; or, where that is heavier, Pearson's type III (gamma)
        with the splits' own skewness: distances and small shares have a long tail on one side.

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
        sign = _sign(direction)
        t = sign * (value - self.mean) / (self.sd * math.sqrt(1 + 1 / len(self.values)))
        light = float(stats.t.sf(t, len(self.values) - 1))
        return max(light, float(stats.pearson3.sf(t, self._skew(sign)))) if t > 0 else light

    def threshold(self, alpha: float, direction: str) -> float:
        """The value whose `tail` is `alpha`: fresh real data pass it once in 1 / `alpha` runs.

        Raises
        ------
        ValueError
            When `alpha` is not inside (0, 1) or `direction` is another word.
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha was {alpha}, must be above 0 and below 1")
        sign = _sign(direction)
        t = float(stats.t.isf(alpha, len(self.values) - 1))
        if t > 0:
            t = max(t, float(stats.pearson3.isf(alpha, self._skew(sign))))
        return self.mean + sign * t * self.sd * math.sqrt(1 + 1 / len(self.values))

    def _skew(self, sign: int) -> float:
        """The splits' skewness towards the bad side; none where it is rounding or negative."""
        if float(np.std(self.values, ddof=1)) < self.sd:
            return 0.0
        return max(sign * float(stats.skew(self.values)), 0.0)


@dataclass(frozen=True, repr=False)
class ShareFloor(Floor):
    """The floor of a share of images: counts are whole, so that its tail is at least binomial.

    Parameters
    ----------
    images
        In each set.
    seen
        Real images over all splits that are not repeats: what the share is known from.
    """

    images: int = 1
    seen: int = 1

    def tail(self, value: float, direction: str) -> float:
        """As `Floor.tail`; at least the beta-binomial chance of so many of `images`.

        The share of all real images is known from `seen` of them (Jeffreys' prior): that none of
        them has a property does not make the first sample that has it an alarm. Images of one
        subject are alike: both numbers shrink by how much the splits vary beyond the binomial.
        """
        found = super().tail(value, direction)
        # From the bad side: the share that is bad.
        bad = value if _sign(direction) > 0 else 1 - value
        mean = self.mean if _sign(direction) > 0 else 1 - self.mean
        binomial = max(mean * (1 - mean), 1 / self.seen) / self.images
        alike = max(self.sd**2 / binomial, 1.0)
        n, known = max(round(self.images / alike), 1), self.seen / alike
        least = math.ceil(bad * n - 1e-9)
        a, b = mean * known + 0.5, (1 - mean) * known + 0.5
        return max(found, float(stats.betabinom.sf(least - 1, n, a, b)))

    def threshold(self, alpha: float, direction: str) -> float:
        """As `Floor.threshold`: the last share that is not beyond, of so many images."""
        super().threshold(alpha, direction)
        shares = np.arange(self.images + 1) / self.images
        ordered = shares if _sign(direction) > 0 else shares[::-1]
        low, high = 0, self.images
        # The tail falls along the way: bisection.
        while low < high:
            middle = (low + high) // 2
            if self.tail(float(ordered[middle]), direction) > alpha:
                low = middle + 1
            else:
                high = middle
        return float(ordered[max(low - 1, 0)])


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
