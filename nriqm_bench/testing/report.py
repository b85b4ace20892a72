"""`check_metric`: run the checks that apply, and report on them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from nriqm_bench import metrics
from nriqm_bench.metrics.metric import Metric, Needs
from nriqm_bench.testing.select import checks, require, why_not
from nriqm_bench.testing.trial import with_options

Status = Literal["passed", "failed", "expected", "xpass", "skipped"]
OnFail = Literal["raise", "warn", "collect"]


class CheckFailed(AssertionError):
    """A metric failed a check, or passed one that it was expected to fail."""


class CheckWarning(UserWarning):
    """What `CheckFailed` says, as a warning."""


@dataclass(frozen=True)
class CheckResult:
    """What one check said of one metric.

    Parameters
    ----------
    metric, check
        Their names.
    status
        ``"passed"``; ``"failed"``; ``"expected"``, failed as it was expected to; ``"xpass"``, did
        not fail though it was expected to; ``"skipped"``, does not apply.
    sentence
        The evidence; the reason of an expected failure with it; why a check does not apply.
    """

    metric: str
    check: str
    status: Status
    sentence: str = ""

    @property
    def ok(self) -> bool:
        """Whether the result is as it should be."""
        return self.status not in ("failed", "xpass")

    def __str__(self) -> str:
        return f"{self.metric} {self.check} {self.status}{self.sentence and ': ' + self.sentence}"


def check_metric(
    metric: Any,
    *,
    on_fail: OnFail = "raise",
    expected_failures: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    higher_is_better: bool | None = None,
    needs: Needs = "features",
    min_samples: int = 2,
    needs_train: bool = False,
) -> list[CheckResult]:
    """Run every check that the tags of a metric call for.

    Parameters
    ----------
    metric
        A registered name, a `Metric`, a function ``(real, fake) -> float``, a
        ``torchmetrics.Metric`` (instance or class) or a MONAI metric.
    on_fail
        ``"raise"``: all failures in one `CheckFailed`; ``"warn"``: each as a `CheckWarning`;
        ``"collect"``: they are in the list.
    expected_failures
        ``{check: reason}``, what the metric is by nature not able to do.
    options
        Options of the metric, as in a call. Its `min_samples` is that of its defaults: where
        options need other numbers of rows, hand over the metric with that field replaced.
    higher_is_better, needs, min_samples, needs_train
        As `nriqm_bench.metrics.as_metric` takes them; ignored for a name and for a `Metric`.

    Returns
    -------
    list of CheckResult
        One for each check there is, in the order in which they ran. When `check_runs`, the first,
        fails, the others are skipped.

    Raises
    ------
    CheckFailed
        An ``AssertionError``: when a check fails, or an expected failure does not happen.
    KeyError
        When `expected_failures` names no check, or the metric's name is unknown.
    ValueError
        For an unknown `on_fail`, or an expected failure without a reason.
    TypeError
        For what cannot be called as a metric, or does not say whether higher is better.

    Examples
    --------
    >>> from nriqm_bench.testing import check_metric
    >>> results = check_metric("fid", on_fail="collect")
    >>> [str(r) for r in results if not r.ok]
    []
    """
    if on_fail not in get_args(OnFail):
        raise ValueError(f"on_fail was {on_fail!r}, must be one of {', '.join(get_args(OnFail))}")
    expected = reasons(expected_failures)
    if isinstance(metric, str):
        subject = metrics.get(metric)
    else:
        subject = metrics.as_metric(
            metric,
            higher_is_better=higher_is_better,
            needs=needs,
            min_samples=min_samples,
            needs_train=needs_train,
        )
    if options:
        subject = with_options(subject, options)
    results: list[CheckResult] = []
    for name in checks():
        if results and results[0].status == "failed":
            told = f"not tried: {results[0].check} failed"
            results.append(CheckResult(subject.name, name, "skipped", told))
        else:
            results.append(_run(subject, name, expected.get(name)))
    wrong = [r for r in results if not r.ok]
    if on_fail == "warn":
        for result in wrong:
            warnings.warn(str(result), CheckWarning, stacklevel=2)
    if on_fail == "raise" and wrong:
        raise CheckFailed("\n".join(map(str, wrong)))
    return results


def reasons(expected_failures: Mapping[str, str] | None) -> dict[str, str]:
    """The expected failures of one metric, each known and with its reason."""
    found = dict(expected_failures or {})
    for name, reason in found.items():
        require(name)
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(
                f"expected_failures[{name!r}] was {reason!r}, must be the reason in words"
            )
    return found


def _run(metric: Metric, name: str, reason: str | None) -> CheckResult:
    if why := why_not(metric, name):
        if reason is None:
            return CheckResult(metric.name, name, "skipped", why)
        told = f"does not apply ({why}), must fail as expected: {reason}"
        return CheckResult(metric.name, name, "xpass", told)
    try:
        checks()[name](metric)
    except AssertionError as failure:
        if reason is None:
            return CheckResult(metric.name, name, "failed", str(failure))
        return CheckResult(metric.name, name, "expected", f"{reason} ({failure})")
    if reason is None:
        return CheckResult(metric.name, name, "passed")
    return CheckResult(metric.name, name, "xpass", f"passed, must fail as expected: {reason}")
