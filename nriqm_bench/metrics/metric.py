"""`Metric`: a function with its direction and its needs as data, called in one way."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from nriqm_bench.images import as_image_set
from nriqm_bench.metrics.estimate import Estimate, Spread, jackknife
from nriqm_bench.metrics.moments import Moments
from nriqm_bench.metrics.sample import Sample, as_sample

Needs = Literal["features", "logits", "images"]


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric: call it as ``metric(real, fake, *, train=None, rng=None, **options) -> float``.

    Parameters
    ----------
    name
        What it is registered as.
    function
        ``(real, fake) -> float``; ``train``, ``rng`` and options are handed over by keyword when
        the function's signature takes them.
    higher_is_better
        The direction.
    needs
        What the arrays hold: ``"features"``, ``"logits"`` (both ``(n, d)``) or ``"images"``
        (``(n, channels, *spatial)`` in [0, 1]).
    min_samples
        The fewest rows of each array for which the metric is defined, at its default options.
    needs_train
        Whether a call must bring the training set.
    needs_real
        Whether `real` is read; where it is not, it may be None.
    moments
        Whether a `Moments` may stand for an array of features.
    samples
        Whether the function takes `Sample`s, which share statistics, instead of float64 arrays.
    checks_rows
        Whether the function itself says how many rows its options need; two are asked for before.
    builtin
        Whether the metric belongs to this package.
    range
        The least and the largest value there can be.
    invariant
        What common change of all samples leaves the value as it is: any of ``"rotation"``,
        ``"translation"``, ``"scale"`` (and ``"length"``, of each row on its own).
    symmetric
        Whether real and fake may change places.
    sees
        What it must notice, of ``"shift"``, ``"spread"``, ``"modes"`` and ``"copies"`` (see
        `nriqm_bench.testing`); None where its author does not say.
    spaces
        Patterns of the extractors whose features it is made for; empty for any.
    spread
        ``(real, fake, ...) -> Spread``, called as `function` is: how uncertain the value is.
        Without it, or where it returns None, blocks of rows are left out in turn.
    floor
        ``(real, fake, ...) -> float``, called as `function` is: the value expected at these sizes
        when real and fake rows come from one distribution.
    """

    name: str
    function: Callable[..., Any]
    higher_is_better: bool
    needs: Needs = "features"
    min_samples: int = 2
    needs_train: bool = False
    needs_real: bool = True
    samples: bool = False
    checks_rows: bool = False
    builtin: bool = False
    moments: bool = False
    range: tuple[float, float] = (-math.inf, math.inf)
    invariant: tuple[str, ...] = ()
    symmetric: bool = False
    sees: tuple[str, ...] | None = None
    spaces: tuple[str, ...] = ()
    spread: Callable[..., Spread | None] | None = None
    floor: Callable[..., float | None] | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(
                f"the function of metric {self.name!r} was {type(self.function).__name__}, "
                "must be callable as (real, fake) -> float"
            )
        try:
            inspect.signature(self.function).bind_partial(None, None)
        except (TypeError, ValueError):
            raise TypeError(
                f"the function of metric {self.name!r} cannot be called with two arrays, must be "
                "callable as (real, fake) -> float; wrap it in one that is"
            ) from None
        if not isinstance(self.higher_is_better, bool):
            raise TypeError(
                f"higher_is_better of metric {self.name!r} was {self.higher_is_better!r}, "
                "must be True or False"
            )
        if self.needs not in get_args(Needs):
            raise ValueError(
                f"needs of metric {self.name!r} was {self.needs!r}, must be one of "
                f"{', '.join(get_args(Needs))}"
            )
        if not isinstance(self.min_samples, int) or self.min_samples < 1:
            raise ValueError(
                f"min_samples of metric {self.name!r} was {self.min_samples!r}, must be at least 1"
            )
        object.__setattr__(self, "__doc__", inspect.getdoc(self.function))

    @property
    def summary(self) -> str:
        """The first line of the function's docstring; empty when it has none."""
        return (self.__doc__ or "").strip().partition("\n")[0]

    @property
    def options(self) -> dict[str, Any]:
        """The options that the function names beyond its two arrays, with their defaults."""
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = _parameters(self.function)
        arrays = [p.name for p in parameters if p.kind in positional][:2]
        return {
            p.name: None if p.default is p.empty else p.default
            for p in parameters
            if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
            and p.name not in (*arrays, "train", "rng")
        }

    def __call__(
        self,
        real: Any,
        fake: Any,
        *,
        train: Any = None,
        rng: np.random.Generator | None = None,
        **options: Any,
    ) -> float:
        """The value of the metric.

        Parameters
        ----------
        real, fake, train
            ``(n, d)``, ``(m, d)`` and ``(t, d)`` NumPy or torch arrays of any float dtype, or
            `Sample`s (images for a metric that needs images).
        rng
            The source of random numbers, for metrics that draw.
        **options
            What the metric's own docstring lists.

        Raises
        ------
        ValueError
            For wrong shapes, NaN, too few rows or a missing `train`; the message names the
            argument.
        TypeError
            For an unknown option, or a function that does not return one number.
        """
        arrays = self._arrays({"real": real, "fake": fake, "train": train})
        return self._value(arrays, self._accepted(self.function, rng, options))

    def estimate(
        self,
        real: Any,
        fake: Any,
        *,
        train: Any = None,
        rng: np.random.Generator | None = None,
        level: float = 0.95,
        blocks: bool = False,
        **options: Any,
    ) -> Estimate:
        """The value with a confidence interval, and what equal distributions would give.

        Parameters
        ----------
        real, fake, train, rng, **options
            As in a call.
        level
            The confidence level, in (0, 1).
        blocks
            Whether the interval comes from blocks of rows left out in turn, of every sample,
            whatever the metric's own is. It takes up to 60 evaluations, and in few columns it holds
            the mean more often than binomial intervals, which take the other sample as given.

        Returns
        -------
        Estimate
            ``(value, low, high, n, floor)``. The interval is the binomial one for shares of rows,
            that of the U-statistic for kernel distances, of the mean for averages over rows, and
            of the influence of each row or of blocks of rows left out in turn for the rest;
            docs/metrics.md says which metric has which.

        Raises
        ------
        ValueError, TypeError
            As by a call; also for a `level` outside (0, 1) and samples too small for an interval.
        """
        if not 0 < level < 1:
            raise ValueError(f"level was {level!r}, must be a number between 0 and 1")
        arrays = self._arrays({"real": real, "fake": fake, "train": train})
        if wrong := [name for name, value in arrays.items() if isinstance(value, Moments)]:
            raise ValueError(
                f"{wrong[0]} was Moments, must be rows: an interval needs each of them"
            )
        extra = self._accepted(self.function, rng, options)
        value = self._value(arrays, copy.deepcopy(extra))
        own = None if blocks or self.spread is None else self.spread
        spread = None if own is None else self._side(own, arrays, rng, options)
        if spread is None:
            spread = self._jackknife(arrays, extra)
        low, high = spread.interval(value, level, self.range)
        floor = None if self.floor is None else self._side(self.floor, arrays, rng, options)
        return Estimate(value, low, high, spread.n, floor)

    def _value(self, arrays: Mapping[str, Any], extra: Mapping[str, Any]) -> float:
        takes = {p.name for p in _parameters(self.function)}
        given = {"train": arrays["train"]} if "train" in takes else {}
        value = self.function(
            self._handed(arrays["real"]),
            self._handed(arrays["fake"]),
            **{k: self._handed(v) for k, v in given.items()},
            **extra,
        )
        try:
            return float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"metric {self.name!r} returned {type(value).__name__}, must return one number"
            ) from None

    def _handed(self, value: Any) -> Any:
        # A copy: what a function does to its arrays is not the caller's affair.
        return value.array.copy() if isinstance(value, Sample) and not self.samples else value

    def _side(
        self,
        function: Callable[..., Any],
        arrays: Mapping[str, Any],
        rng: Any,
        options: Mapping[str, Any],
    ) -> Any:
        """What a companion of the function says of the same samples and options."""
        extra = self._accepted(function, copy.deepcopy(rng), options)
        if "train" in {p.name for p in _parameters(function)}:
            extra["train"] = arrays["train"]
        return function(arrays["real"], arrays["fake"], **extra)

    def _jackknife(self, arrays: Mapping[str, Any], extra: Mapping[str, Any]) -> Spread:
        read = {"fake": True, "real": self.needs_real, "train": self.needs_train}
        parts = {k: v for k, v in arrays.items() if read[k] and v is not None}
        rest = {k: v for k, v in arrays.items() if k not in parts}

        def value(**given: Any) -> float:
            return self._value({**rest, **given}, copy.deepcopy(extra))

        return jackknife(value, parts, self.min_samples)

    def _arrays(self, given: Mapping[str, Any]) -> dict[str, Any]:
        required = {"fake": True, "real": self.needs_real, "train": self.needs_train}
        found: dict[str, Any] = {}
        width: tuple[str, tuple[int, ...]] | None = None
        for name in ("real", "fake", "train"):
            if given[name] is None:
                if required[name]:
                    rows = "images" if self.needs == "images" else "an (n, d) array"
                    raise ValueError(f"{name} was None, must be {rows}: {self.name} reads it")
                found[name] = None
                continue
            if self.needs == "images":
                value: Any = as_image_set(given[name]).images
            elif isinstance(given[name], Moments):
                value = given[name]
                if not self.moments:
                    raise ValueError(f"{name} was Moments, must be rows: {self.name} reads each")
            else:
                value = as_sample(given[name], name)
            self._check_rows(name, len(value))
            if width is None:
                width = (name, value.shape[1:])
            elif value.shape[1:] != width[1]:
                raise ValueError(
                    f"{name} had shape {value.shape}, must be "
                    f"({', '.join(['n', *map(str, width[1])])}) like {width[0]}"
                )
            found[name] = value
        return found

    def _check_rows(self, name: str, n: int) -> None:
        least = min(2, self.min_samples) if self.checks_rows else self.min_samples
        if n < least:
            raise ValueError(
                f"{name} had {n} row{'s' * (n != 1)}, must have at least {least} for {self.name}"
            )

    def _accepted(
        self, function: Callable[..., Any], rng: Any, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The options, checked against the metric's own, and `rng` where `function` takes it."""
        parameters = _parameters(self.function)
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if wrong := [] if open_ended else sorted(set(options) - set(self.options)):
            valid = ", ".join(sorted(self.options)) or "none"
            raise TypeError(f"{self.name} has no option {wrong[0]!r}; its options: {valid}")
        takes = {p.name for p in _parameters(function)}
        return ({"rng": rng} if "rng" in takes else {}) | dict(options)


def metric(
    name: str,
    *,
    higher_is_better: bool,
    needs: Needs = "features",
    min_samples: int = 2,
    needs_train: bool = False,
    needs_real: bool = True,
    checks_rows: bool = False,
    moments: bool = False,
    range: tuple[float, float] = (-math.inf, math.inf),
    invariant: tuple[str, ...] = (),
    symmetric: bool = False,
    sees: tuple[str, ...] = (),
    spaces: tuple[str, ...] = (),
    spread: Callable[..., Spread | None] | None = None,
    floor: Callable[..., float | None] | None = None,
) -> Callable[[Callable[..., float]], Metric]:
    """Turn a function of `Sample`s into one of the built-in metrics; it is not registered.

    The arguments are the fields of `Metric`.
    """

    def decorate(function: Callable[..., float]) -> Metric:
        return Metric(
            name,
            function,
            higher_is_better=higher_is_better,
            needs=needs,
            min_samples=min_samples,
            needs_train=needs_train,
            needs_real=needs_real,
            samples=True,
            checks_rows=checks_rows,
            builtin=True,
            moments=moments,
            range=range,
            invariant=invariant,
            symmetric=symmetric,
            sees=sees,
            spaces=spaces,
            spread=spread,
            floor=floor,
        )

    return decorate


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())
