"""`parametrize_with_checks`: every check of every metric as a pytest case of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nriqm_bench import metrics
from nriqm_bench.metrics.metric import Metric
from nriqm_bench.testing.report import reasons
from nriqm_bench.testing.select import checks_for

if TYPE_CHECKING:
    import pytest

Reasons = Mapping[str, str]


def parametrize_with_checks(
    subjects: Iterable[Any],
    *,
    expected_failures: Reasons | Mapping[str, Reasons] | None = None,
) -> pytest.MarkDecorator:
    """A pytest decorator that calls a test with ``metric`` and ``check`` for each that applies.

    Parameters
    ----------
    subjects
        Registered names, `Metric`s, functions, torchmetrics or MONAI metrics. What does not say
        its direction is made a metric first: ``as_metric(mine, higher_is_better=False)``.
    expected_failures
        ``{check: reason}`` for all of them, or ``{name of the metric: {check: reason}}``. Such
        cases are marked xfail, strictly: one that passes fails the run.

    Raises
    ------
    TypeError
        When `subjects` is a single name, or one of them is no metric.
    KeyError
        When an unknown check or metric is named.
    ValueError
        When an expected failure has no reason, or is of a check that applies to none of them.

    Examples
    --------
    >>> from nriqm_bench.testing import parametrize_with_checks
    >>> @parametrize_with_checks(["fid", "kid"])
    ... def test_metric(metric, check):
    ...     check(metric)
    """
    import pytest

    if isinstance(subjects, str):
        raise TypeError(f"subjects was {subjects!r}, must be a list of metrics")
    chosen = [metrics.get(s) if isinstance(s, str) else metrics.as_metric(s) for s in subjects]
    expected = _by_metric(expected_failures or {}, chosen)
    unused = {(name, check) for name, found in expected.items() for check in found}
    used: set[str] = set()
    cases = []
    names = Counter[str]()
    for metric in chosen:
        names[metric.name] += 1
        nth = f"-{names[metric.name]}" if names[metric.name] > 1 else ""
        for check in checks_for(metric):
            reason = expected[metric.name].get(check.__name__)
            marks = []
            if reason is not None:
                unused.discard((metric.name, check.__name__))
                used.add(check.__name__)
                marks.append(pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError))
            name = f"{metric.name}{nth}-{check.__name__.removeprefix('check_')}"
            cases.append(pytest.param(metric, check, id=name, marks=marks))
    if not _is_nested(expected_failures or {}):
        unused = {(metric, check) for metric, check in unused if check not in used}
    if unused:
        metric_name, check_name = min(unused)
        raise ValueError(
            f"expected_failures named {check_name!r} for {metric_name!r}, must name checks that "
            "apply to it"
        )
    return pytest.mark.parametrize(("metric", "check"), cases)


def _is_nested(given: Mapping[str, Any]) -> bool:
    return any(isinstance(v, Mapping) for v in given.values())


def _by_metric(given: Mapping[str, Any], chosen: list[Metric]) -> dict[str, dict[str, str]]:
    names = [m.name for m in chosen]
    if not _is_nested(given):
        return {name: reasons(given) for name in names}
    from nriqm_bench.registry import UnknownName, unknown

    for name, found in given.items():
        if name not in names:
            raise UnknownName(unknown("metric on trial", name, names))
        if not isinstance(found, Mapping):
            raise ValueError(
                f"expected_failures[{name!r}] was {found!r}, must be {{check: reason}} as the rest"
            )
    return {name: reasons(given.get(name)) for name in names}
