"""The gauntlet that a metric must run before anyone believes it, and data to try it on.

Every ``check_*`` is a plain function of one metric that raises ``AssertionError`` with numbers.
`checks_for` says which apply, `check_metric` runs them, `parametrize_with_checks` makes each one a
test, and `strategies` draws samples for Hypothesis.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nriqm_bench.testing import (
        strategies as strategies,
    )
    from nriqm_bench.testing.cases import parametrize_with_checks as parametrize_with_checks
    from nriqm_bench.testing.report import CheckFailed as CheckFailed
    from nriqm_bench.testing.report import CheckResult as CheckResult
    from nriqm_bench.testing.report import CheckWarning as CheckWarning
    from nriqm_bench.testing.report import check_metric as check_metric
    from nriqm_bench.testing.select import checks as checks
    from nriqm_bench.testing.select import checks_for as checks_for
    from nriqm_bench.testing.select import why_not as why_not

_ROOM = "nriqm_bench.testing"
_LAZY = {
    "CheckFailed": "report",
    "CheckResult": "report",
    "CheckWarning": "report",
    "check_metric": "report",
    "checks": "select",
    "checks_for": "select",
    "parametrize_with_checks": "cases",
    "why_not": "select",
}

__all__ = ["strategies", *sorted(_LAZY)]


def __getattr__(name: str) -> Any:
    if name == "strategies":
        return importlib.import_module(f"{_ROOM}.strategies")
    if name in _LAZY:
        return getattr(importlib.import_module(f"{_ROOM}.{_LAZY[name]}"), name)
    if name.startswith("check_"):
        from nriqm_bench.testing.select import checks

        if name in (found := checks()):
            return found[name]
    raise AttributeError(f"module {_ROOM!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from nriqm_bench.testing.select import checks

    return sorted({*__all__, *checks()})
