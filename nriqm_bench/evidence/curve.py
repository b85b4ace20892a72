"""`Curve`: one metric over the rising levels of one perturbation, in units of its noise floor."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nriqm_bench.evidence import expectations
from nriqm_bench.evidence.expectations import Expectation
from nriqm_bench.evidence.floor import Floor
from nriqm_bench.evidence.verdict import Verdict


@dataclass(frozen=True, repr=False)
class Curve:
    """One metric at the rising levels of one perturbation, and what it says on real data.

    Parameters
    ----------
    levels
        Strictly increasing; the first is the undamaged state, usually 0.
    values
        The metric at each level.
    floor
        The metric's noise floor at the same sample size.
    higher_is_better
        The direction of the metric.
    metric, perturbation, unit
        Names, for the sentences.
    noise
        The metric's own curve under Gaussian noise of the same images, for `noise_equivalent`.
    local
        The metric's own curve under the local damage of which this is the control.

    Raises
    ------
    ValueError
        When levels do not increase, lengths differ or a value is not finite.
    """

    levels: tuple[float, ...]
    values: tuple[float, ...]
    floor: Floor
    higher_is_better: bool
    metric: str = "metric"
    perturbation: str = "level"
    unit: str = ""
    noise: Curve | None = None
    local: Curve | None = None

    def __post_init__(self) -> None:
        levels = tuple(float(level) for level in self.levels)
        values = tuple(float(value) for value in self.values)
        if len(levels) < 2 or len(levels) != len(values):
            raise ValueError(
                f"a curve had {len(levels)} levels and {len(values)} values, must have equally "
                "many and at least two"
            )
        rising = all(a < b for a, b in itertools.pairwise(levels))
        if not rising or not all(math.isfinite(level) for level in levels):
            raise ValueError(f"levels were {levels}, must be finite and increase strictly")
        if not all(math.isfinite(v) for v in values):
            raise ValueError(f"the values of {self.metric} were {values}, must be finite")
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "values", values)

    def __repr__(self) -> str:
        return f"<curve of {self.subject}: {self.effect:+.1f} floor SD>"

    @cached_property
    def effects(self) -> NDArray[np.float64]:
        """``(value(level) - value(first level)) / sd_floor``, signed so that + means worse."""
        values = np.asarray(self.values, dtype=np.float64)
        worse = values[0] - values if self.higher_is_better else values - values[0]
        effects: NDArray[np.float64] = worse / self.floor.sd
        return effects

    @property
    def effect(self) -> float:
        """The effect at the last level, in floor SD; + means worse."""
        return float(self.effects[-1])

    @cached_property
    def rank(self) -> float:
        """Spearman's rank correlation of level and worsening; 0 when nothing moves."""
        if np.ptp(self.effects) == 0:
            return 0.0
        # Rounded, since SciPy's 0.9999999999999999 would miss an expected rank of 1.
        return round(float(stats.spearmanr(self.levels, self.effects).statistic), 12)

    @property
    def detection_level(self) -> float | None:
        """The smallest level that worsens the metric by 3 floor SD; None when none does."""
        return self.detects(3.0)

    def detects(self, effect: float) -> float | None:
        """The smallest level that worsens the metric by `effect` floor SD; None when none does."""
        seen = np.flatnonzero(self.effects >= effect)
        return self.levels[seen[0]] if len(seen) else None

    @property
    def noise_equivalent(self) -> float | None:
        """The noise equivalent of the last level: see `equivalent`."""
        return self.equivalent(self.levels[-1])

    def equivalent(self, level: float) -> float | None:
        """The sigma of Gaussian noise that worsens the metric as far as one level does.

        Read off `noise` by linear interpolation: the smallest sigma at which noise reaches as
        far, even where more noise falls back again; 0 when the level does not worsen the metric,
        the largest sigma measured when it exceeds the whole noise curve. None when there is no
        noise curve, or neither noise nor the level worsens the metric by 3 floor SD: then both are
        within the floor and nothing is measured.

        Raises
        ------
        ValueError
            For a level that was not measured.
        """
        if level not in self.levels:
            raise ValueError(f"level was {level:g}, must be one of {self.levels}")
        own = float(self.effects[self.levels.index(level)])
        if self.noise is None or (self.noise.detection_level is None and own < 3.0):
            return None
        effect = (own * self.floor.sd) / self.noise.floor.sd
        return self.noise._level(effect)[0]

    def level_at(self, value: float) -> tuple[float, bool]:
        """The smallest level at which the metric is as bad as `value`, and whether none is.

        By linear interpolation, as in `equivalent`: the first level for a value no worse than
        there, the last for one that is worse than all (and then True).
        """
        worse = self.values[0] - value if self.higher_is_better else value - self.values[0]
        return self._level(worse / self.floor.sd)

    def _level(self, effect: float) -> tuple[float, bool]:
        """Where the curve first worsens by `effect` floor SD, and whether it nowhere does."""
        if effect <= 0:
            return self.levels[0], False
        reached = np.flatnonzero(self.effects >= effect)
        if len(reached) == 0:
            return self.levels[-1], True
        step = slice(reached[0] - 1, reached[0] + 1)
        return float(np.interp(effect, self.effects[step], self.levels[step])), False

    def meets(self, expectation: Expectation) -> Verdict:
        """Whether the curve is as `expectation` says; the verdict's text holds the numbers."""
        return expectation.judge(self)

    def degrades(self, effect: float = 3.0, rank: float = 0.9, strictly: bool = False) -> Verdict:
        """See `nriqm_bench.evidence.degrades`."""
        return self.meets(expectations.degrades(effect, rank, strictly))

    def improves(self, effect: float = 3.0, rank: float = 0.9) -> Verdict:
        """See `nriqm_bench.evidence.improves`."""
        return self.meets(expectations.improves(effect, rank))

    def flat(self, within: float = 3.0) -> Verdict:
        """See `nriqm_bench.evidence.flat`."""
        return self.meets(expectations.flat(within))

    def not_better(self, effect: float = 3.0) -> Verdict:
        """See `nriqm_bench.evidence.not_better`."""
        return self.meets(expectations.not_better(effect))

    def linear(self, r2: float = 0.9) -> Verdict:
        """See `nriqm_bench.evidence.linear`."""
        return self.meets(expectations.linear(r2))

    def bell(self, rise: float = 3.0) -> Verdict:
        """See `nriqm_bench.evidence.bell`."""
        return self.meets(expectations.bell(rise))

    def converges(self, to: float, within: float) -> Verdict:
        """See `nriqm_bench.evidence.converges`."""
        return self.meets(expectations.converges(to, within))

    def outweighed(self, unseen: float = 3.0) -> Verdict:
        """See `nriqm_bench.evidence.outweighed`."""
        return self.meets(expectations.outweighed(unseen))

    @property
    def subject(self) -> str:
        """The curve in words, for a sentence: which metric under what."""
        return f"{self.metric} under {self.perturbation} {self.span}"

    @property
    def span(self) -> str:
        """First and last level with their unit."""
        return f"{self.levels[0]:g} to {self.levels[-1]:g}{' ' if self.unit else ''}{self.unit}"
