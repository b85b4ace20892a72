"""Which metrics get a column: six by default, or those that are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from nriqm_bench.registry import UnknownName, unknown
from nriqm_bench.sanity.check import Kind
from nriqm_bench.sanity.measuring import METRICS, kinds


def columns(patterns: Iterable[str] = ("*",)) -> list[tuple[str, Kind]]:
    """The metrics that fit shell patterns, each with the kinds it is judged as.

    ``"*"`` stands for the six metrics of `METRICS` and not for every registered one, since the
    checks speak of fidelity and diversity alone. Any other pattern chooses among all metrics that
    compare features of real and fake rows and for which higher is better.

    Raises
    ------
    KeyError
        For a pattern that no metric fits, with the closest names.
    ValueError
        For one that only unsuitable metrics fit.
    """
    from nriqm_bench import metrics

    chosen: list[str] = []
    for pattern in patterns:
        if pattern == "*":
            chosen += METRICS
            continue
        known = metrics.names()
        matched = [name for name in known if fnmatchcase(name, pattern)]
        if not matched:
            raise UnknownName(unknown("metric", pattern, known))
        suited = [name for name in matched if _suited(name)]
        if not suited:
            raise ValueError(
                f"metric {pattern!r} was {', '.join(matched)}, must be one that compares features "
                "of real and fake rows, with higher better: the sanity checks judge no other"
            )
        chosen += suited
    return [(name, kind) for name in dict.fromkeys(chosen) for kind in kinds(name)]


def _suited(name: str) -> bool:
    from nriqm_bench import metrics

    metric = metrics.get(name)
    compares = metric.needs == "features" and metric.needs_real and not metric.needs_train
    return compares and metric.higher_is_better
