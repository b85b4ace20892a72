"""`Trial`: one metric, the data it is tried on, and the noise of its own that it is judged by."""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from nriqm_bench import metrics
from nriqm_bench.metrics.metric import Metric
from nriqm_bench.testing.worlds import DIM, SOUND, Defect, Draw, draw

FRESH = 8
SEEDS = 4
ROWS = {"features": 150, "logits": 200, "images": 48}

# What a broken verdict must exceed: the noise floor's standard deviations.
EFFECT = 3.0
# Rounding is what stays below this share of the floor's deviation (and of the value itself).
ROUNDING = 1e-3
RELATIVE = 1e-9


class Trial:
    """A metric on trial.

    Parameters
    ----------
    metric
        Who is on trial.
    """

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.sign = -1.0 if metric.higher_is_better else 1.0
        self.rows = max(ROWS[metric.needs], metric.min_samples)

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the samples that the metric reads."""
        read = {"real": self.metric.needs_real, "fake": True, "train": self.metric.needs_train}
        return tuple(name for name, needed in read.items() if needed)

    @property
    def is_distance(self) -> bool:
        """Whether it measures how far fake is from real: whatever differs, differs for the worse.

        Lower is better, and two samples are all it reads.
        """
        m = self.metric
        return not m.higher_is_better and m.needs_real and not m.needs_train

    def sees(self, defect: str) -> bool:
        """Whether the metric claims to notice `defect`; who claims nothing is asked everything."""
        if self.metric.sees is not None:
            return defect in self.metric.sees
        return (defect == "copies") == self.metric.needs_train

    @property
    def sees_something(self) -> bool:
        """Whether it claims to notice any defect at all."""
        return any(map(self.sees, ("shift", "spread", "modes", "copies")))

    def draw(self, seed: int, defect: Defect = SOUND, n: int | None = None, dim: int = DIM) -> Draw:
        """Samples of draw `seed`, the fake ones with a defect."""
        return draw(self.metric.needs, seed, n or self.rows, defect, dim)

    def call(self, given: Draw, rng: np.random.Generator | None = None) -> float:
        """What the metric says, whatever it raises; it is kept from writing to the terminal."""
        train = {"train": given.train} if self.metric.needs_train else {}
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return self.metric(given.real, given.fake, rng=rng, **train)

    def value(self, given: Draw, what: str = "", rng: Any = 5) -> float:
        """What the metric says of samples that it must accept; `what` tells which they are.

        Raises
        ------
        AssertionError
            When it raises, or says NaN.
        """
        source = np.random.default_rng(rng) if isinstance(rng, int) else rng
        try:
            found = self.call(given, source)
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            raise AssertionError(
                f"{self.metric.name} raised {told.rstrip('.')}, must return a number"
                f"{what and ' for ' + what} {self.signature(given)}"
            ) from error
        assert not math.isnan(found), (
            f"{self.metric.name} was nan{what and ' for ' + what}, must be a number "
            f"{self.signature(given)}"
        )
        return found

    def signature(self, given: Draw) -> str:
        """The call that was made, with the shapes of its samples."""
        shapes = ", ".join(f"{k} {tuple(np.shape(getattr(given, k)))}" for k in self.reads)
        return f"[{self.metric.name}({shapes})]"

    @cached_property
    def fresh(self) -> tuple[float, ...]:
        """The values of `FRESH` independent sound draws."""
        return tuple(self.value(self.draw(seed), "a fresh draw") for seed in range(FRESH))

    @cached_property
    def noise(self) -> float:
        """The standard deviation of the noise floor: what another sound draw changes by itself."""
        found = np.array(self.fresh)
        assert np.isfinite(found).all(), (
            f"{self.metric.name} of fresh draws was {self.told(self.fresh)}, must be finite "
            f"{self.signature(self.draw(0))}"
        )
        return float(found.std(ddof=1))

    @property
    def floor(self) -> str:
        """The noise floor in words."""
        mean = float(np.mean(self.fresh))
        return f"{FRESH} fresh draws: {mean:.4g}, SD {self.noise:.2g}"

    def told(self, values: Sequence[float]) -> str:
        """Values for a message."""
        return ", ".join(f"{v:.4g}" for v in values)

    def rounding(self, *values: float) -> float:
        """The largest difference that is put down to rounding."""
        largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
        return RELATIVE * largest + ROUNDING * self.noise

    def same(self, found: float, expected: float) -> bool:
        """Whether two values differ by rounding alone."""
        return found == expected or abs(found - expected) <= self.rounding(found, expected)

    def worse(self, after: float, before: float) -> float:
        """By how much `after` is worse than `before`; negative where it is better."""
        return 0.0 if after == before else self.sign * (after - before)

    def sweep(
        self, levels: Sequence[Any], make: Any, what: str, seeds: int = SEEDS
    ) -> list[list[float]]:
        """The values of ``make(seed, level)``, one list a seed."""
        return [[self.value(make(s, v), f"{what} {v}") for v in levels] for s in range(seeds)]

    def bad(self, seed: int, n: int | None = None, dim: int = DIM) -> Draw:
        """A draw with the clearest defect that the metric claims to notice."""
        if self.sees("shift"):
            return self.draw(seed, Defect(shift=1.0), n, dim)
        if self.sees("modes"):
            return self.draw(seed, Defect(modes=1), n, dim)
        if self.sees("copies"):
            given = self.draw(seed, n=n, dim=dim)
            return given._replace(fake=given.train)
        return self.draw(seed, Defect(spread=self._worse_spread), n, dim)

    @property
    def defect(self) -> str:
        """What `bad` is, in words."""
        told = {
            "shift": "shifted fake rows",
            "modes": "fake rows of a single mode",
            "copies": "copies of the training rows",
        }
        known = [text for name, text in told.items() if self.sees(name)]
        return known[0] if known else "fake rows of another spread"

    @cached_property
    def _worse_spread(self) -> float:
        wide, narrow = (
            self.worse(self.value(self.draw(0, Defect(spread=s))), self.fresh[0]) for s in (3, 0.2)
        )
        return 3.0 if wide >= narrow else 0.2


def put_on_trial(thing: Any) -> Trial:
    """The trial of a metric, a registered name, or anything else that can be called as a metric.

    The latest trials are kept, and with them the noise floors that checks share.
    """
    return _trial(metrics.get(thing) if isinstance(thing, str) else metrics.as_metric(thing))


@lru_cache(maxsize=64)
def _trial(metric: Metric) -> Trial:
    return Trial(metric)


def with_options(metric: Metric, options: Mapping[str, Any]) -> Metric:
    """The metric with other defaults.

    Raises
    ------
    TypeError
        For an option that the metric does not have.
    """
    parameters = inspect.signature(metric.function).parameters.values()
    wrong = sorted(set(options) - set(metric.options))
    if wrong and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        valid = ", ".join(sorted(metric.options)) or "none"
        raise TypeError(f"{metric.name} has no option {wrong[0]!r}; its options: {valid}")
    sides: dict[str, Any] = {
        side: partial(function, **options)
        for side in ("spread", "floor")
        if (function := getattr(metric, side)) is not None
    }
    return replace(metric, function=partial(metric.function, **options), **sides)
