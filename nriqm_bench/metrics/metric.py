"""`Metric`: a function with its direction and its needs as data, called in one way."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from nriqm_bench.images import as_image_set
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
    samples
        Whether the function takes `Sample`s, which share statistics, instead of float64 arrays.
    checks_rows
        Whether the function itself says how many rows its options need; two are asked for before.
    builtin
        Whether the metric belongs to this package.
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
        given = {"real": real, "fake": fake, "train": train}
        arrays = self._arrays(given)
        extra = self._accepted({"train": arrays["train"], "rng": rng}, options)
        value = self.function(arrays["real"], arrays["fake"], **extra)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"metric {self.name!r} returned {type(value).__name__}, must return one number"
            ) from None

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
            if isinstance(value, Sample) and not self.samples:
                # A copy: what a function does to its arrays is not the caller's affair.
                value = value.array.copy()
            found[name] = value
        return found

    def _check_rows(self, name: str, n: int) -> None:
        least = min(2, self.min_samples) if self.checks_rows else self.min_samples
        if n < least:
            raise ValueError(
                f"{name} had {n} row{'s' * (n != 1)}, must have at least {least} for {self.name}"
            )

    def _accepted(self, plain: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
        parameters = _parameters(self.function)
        names = {p.name for p in parameters}
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
        if wrong := [] if open_ended else sorted(set(options) - set(self.options)):
            valid = ", ".join(sorted(self.options)) or "none"
            raise TypeError(f"{self.name} has no option {wrong[0]!r}; its options: {valid}")
        return {k: v for k, v in plain.items() if k in names} | dict(options)


def metric(
    name: str,
    *,
    higher_is_better: bool,
    needs: Needs = "features",
    min_samples: int = 2,
    needs_train: bool = False,
    needs_real: bool = True,
    checks_rows: bool = False,
) -> Callable[[Callable[..., float]], Metric]:
    """Turn a function of `Sample`s into one of the built-in metrics; it is not registered."""

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
        )

    return decorate


def evaluate(
    names: Iterable[str | Metric],
    real: Any,
    fake: Any,
    *,
    train: Any = None,
    rng: np.random.Generator | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, float]:
    """Several metrics of the same features, which share whatever they can.

    Parameters
    ----------
    names
        Names of metrics, or metrics.
    real, fake, train
        As in a call of one metric. Pass `Sample`s to share work between calls too.
    rng
        Each metric gets its own copy in the state given, so that neither the order nor the choice
        of names changes a value; `rng` itself is left as it was.
    options
        Options by the name of the metric.

    Returns
    -------
    dict
        Name to value, in the order of `names`; each equal to what the metric alone returns.

    Raises
    ------
    KeyError
        For an unknown name.
    ValueError
        As by a call of one metric, and for options of a metric that was not asked for.
    """
    from nriqm_bench import metrics
    from nriqm_bench.metrics.neighbours import share

    asked = [metrics.get(n) if isinstance(n, str) else n for n in names]
    chosen = {name: dict(each) for name, each in (options or {}).items()}
    if wrong := sorted(set(chosen) - {m.name for m in asked}):
        raise ValueError(f"options named {wrong[0]!r}, must name metrics that are asked for")
    given = {"real": real, "fake": fake, "train": train}
    if any(m.needs != "images" for m in asked):
        given = {k: None if v is None else as_sample(v, k) for k, v in given.items()}
        share(given["real"], given["fake"], {m.name: chosen.get(m.name, {}) for m in asked})
    return {m.name: m(**given, rng=copy.deepcopy(rng), **chosen.get(m.name, {})) for m in asked}


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())
