"""Which checks there are, and which of them a metric's tags call for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from nriqm_bench.testing.trial import Trial, put_on_trial

Check = Callable[[Any], None]

_ROOMS = ("contract", "arrays", "invariance", "sight", "attention")
_CHECKS: dict[str, tuple[Check, Callable[[Trial], str]]] = {}


def check(unless: Callable[[Trial], str]) -> Callable[[Callable[[Trial], None]], Check]:
    """Make a function of a `Trial` one of the checks.

    Parameters
    ----------
    unless
        Says why the check does not apply to a metric; empty where it does.
    """

    def decorate(function: Callable[[Trial], None]) -> Check:
        @wraps(function)
        def run(metric: Any) -> None:
            function(put_on_trial(metric))

        run.__annotations__ = {"metric": Any, "return": None}
        # Its signature is that of `run`, not of the function within.
        del run.__wrapped__
        _CHECKS[function.__name__] = (run, unless)
        return run

    return decorate


def always(trial: Trial) -> str:
    """No reason not to."""
    return ""


def unless_it_sees(defect: str) -> Callable[[Trial], str]:
    """The reason of a metric that does not claim to notice `defect`."""

    def why(trial: Trial) -> str:
        return "" if trial.sees(defect) else f"{trial.metric.name} does not claim to see {defect}"

    return why


def unless_it_sees_something(trial: Trial) -> str:
    """The reason of a metric that claims to notice nothing."""
    return "" if trial.sees_something else f"{trial.metric.name} claims to see no defect"


def unless_invariant(change: str) -> Callable[[Trial], str]:
    """The reason of a metric that does not claim to be invariant under `change`."""

    def why(trial: Trial) -> str:
        name = trial.metric.name
        return (
            ""
            if change in trial.metric.invariant
            else f"{name} claims no invariance under {change}"
        )

    return why


def unless_features(trial: Trial) -> str:
    """The reason of a metric that does not read features."""
    needs = trial.metric.needs
    return "" if needs == "features" else f"{trial.metric.name} reads {needs}, not features"


def checks() -> dict[str, Check]:
    """All checks by name, in the order in which they run.

    Examples
    --------
    >>> from nriqm_bench.testing import checks
    >>> checks()["check_shift"]("fid")
    """
    _load()
    return {name: function for name, (function, _) in _CHECKS.items()}


def why_not(metric: Any, name: str) -> str:
    """Why the check called `name` does not apply to a metric; empty where it does.

    Raises
    ------
    KeyError
        For an unknown check; the message lists the closest and the valid names.
    """
    require(name)
    return _CHECKS[name][1](put_on_trial(metric))


def checks_for(metric: Any) -> Iterator[Check]:
    """The checks that the tags of a metric call for.

    Parameters
    ----------
    metric
        A `Metric`, a registered name, or anything that `nriqm_bench.metrics.as_metric` accepts
        without further arguments.

    Yields
    ------
    callable
        ``check(metric) -> None``, named ``check_<property>``, raising ``AssertionError``.
    """
    _load()
    trial = put_on_trial(metric)
    for function, unless in list(_CHECKS.values()):
        if not unless(trial):
            yield function


def require(name: str) -> None:
    """Raise ``KeyError`` unless there is a check of this name."""
    from nriqm_bench.registry import UnknownName, unknown

    _load()
    if name not in _CHECKS:
        raise UnknownName(unknown("check", name, _CHECKS))


def _load() -> None:
    rooms = [f"nriqm_bench.testing.{room}" for room in _ROOMS]
    for room in rooms:
        importlib.import_module(room)
    # In the order of the rooms, whichever was imported first.
    places = {room: place for place, room in enumerate(rooms)}
    ordered = sorted(_CHECKS.items(), key=lambda item: places.get(item[1][0].__module__, 99))
    _CHECKS.clear()
    _CHECKS.update(ordered)
