"""`Estimate`: a metric's value with an interval, and the value that equal distributions give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nriqm_bench.metrics.sample import Float64, Indices, Sample, shuffled

GROUPS = 20


@dataclass(frozen=True)
class Estimate:
    """A value with its uncertainty.

    Parameters
    ----------
    value
        The value of the metric, as a call returns it.
    low, high
        The ends of the confidence interval: where the metric's mean over new samples of the *same
        sizes* lies. A bias that depends on n (FID has one) is not removed: see `floor`.
    n
        How many rows (for KID and MS-SSIM, the rows whose pairs) the value averages over.
    floor
        What the metric is expected to be at these sizes when real and fake rows come from one
        distribution; None where no formula is known. It is the value to compare with, not 0.
    """

    value: float
    low: float
    high: float
    n: int
    floor: float | None = None

    def __str__(self) -> str:
        floor = "" if self.floor is None else f", floor {self.floor:.4g}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}] (n {self.n}{floor})"


@dataclass(frozen=True)
class Spread:
    """How uncertain a value is: as a share of n rows, or by its standard deviation.

    Parameters
    ----------
    n
        Rows that the value averages over.
    sd
        Standard deviation of the value; None for a share of n rows (the binomial has its own).
    df
        Degrees of freedom of `sd`; by default n - 1.
    size
        How many independent rows a binomial share is as good as, where that is not n.
    """

    n: int
    sd: float | None = None
    df: int | None = None
    size: float | None = None

    def interval(self, value: float, level: float, ends: tuple[float, float]) -> tuple[float, ...]:
        """Lower and upper end about `value`, within the range `ends` of the metric."""
        # An option may lift a limit (clip=False): the value itself is always in.
        ends = (min(ends[0], value), max(ends[1], value))
        if self.sd is None:
            low, high = share_interval(
                (value - ends[0]) / (ends[1] - ends[0]), self.size or self.n, level
            )
            return ends[0] + low * (ends[1] - ends[0]), ends[0] + high * (ends[1] - ends[0])
        if not math.isfinite(value):
            return value, value
        from scipy import special

        df = max(1, self.n - 1 if self.df is None else self.df)
        reach = float(special.stdtrit(df, 0.5 + level / 2)) * self.sd
        return max(ends[0], value - reach), min(ends[1], value + reach)


def share_interval(share: float, n: float, level: float) -> tuple[float, float]:
    """Wilson's interval of a binomial share: sensible at 0 and 1, where the normal one is a point.

    Source: Wilson 1927; recommended by Brown, Cai and DasGupta 2001.
    """
    from scipy import special

    z = float(special.ndtri(0.5 + level / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def share_of_fake(real: Sample | None, fake: Sample, **_: Any) -> Spread:
    """The spread of a share of the fake rows."""
    return Spread(len(fake))


def spread_of_mean(values: Float64) -> Spread:
    """The spread of the mean of independent rows."""
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return Spread(n, math.inf)
    return Spread(n, float(values.std(ddof=1)) / math.sqrt(n))


def jackknife(value: Callable[..., float], parts: dict[str, Any], least: int = 2) -> Spread:
    """The spread of any function of samples, by leaving out one block of one sample at a time.

    Parameters
    ----------
    value
        Takes the samples by the names in `parts`.
    parts
        `Sample`s or arrays of images.
    least
        The rows that must remain.

    Raises
    ------
    ValueError
        When a sample is too small to leave out anything.

    Source: Efron and Tibshirani 1993, chapter 11; blocks: Shao and Tu 1995, section 2.3.
    """
    variance, df = 0.0, 0
    for name, part in parts.items():
        n = len(part)
        if n <= least:
            raise ValueError(f"{name} had {n} rows, must have more than {least} for an interval")
        groups = min(GROUPS, n)
        while n - -(-n // groups) < least:
            groups += 1
        blocks = np.array_split(shuffled(part), groups)
        found = np.array([value(**{**parts, name: _without(part, rows)}) for rows in blocks])
        variance += (groups - 1) * float(found.var())
        df += groups - 1
    return Spread(len(parts["fake"]), math.sqrt(variance), df)


def _without(part: Any, rows: Indices) -> Any:
    left = np.delete(np.arange(len(part)), rows)
    return part.take(left) if isinstance(part, Sample) else part[left]
