"""May two runs be compared, and what differs between them that may have moved a number?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nriqm_bench.reporting.schema import Run


def comparable(before: Run, after: Run) -> None:
    """Nothing, for runs of the same data and settings; another seed is allowed.

    Raises
    ------
    ValueError
        When the runs were made with different data or settings: one sentence names them all.
    """
    pairs: list[tuple[str, Any, Any]] = []
    if before.dataset.get("key") != after.dataset.get("key"):
        pairs.append(("dataset", _dataset(before), _dataset(after)))
    names = ("n", "extractor", "quick", "metric")
    pairs += [(name, before.settings.get(name), after.settings.get(name)) for name in names]
    pairs.append(("size of the images", before.dataset.get("size"), after.dataset.get("size")))
    differing = [f"{name} ({_told(a)} and {_told(b)})" for name, a, b in pairs if a != b]
    if differing:
        raise ValueError(
            f"the runs cannot be compared: they differ in {', '.join(differing)}; make one of them "
            "again with what the other was made with"
        )


def differences(before: Run, after: Run) -> list[str]:
    """What may have moved a number though the runs can be compared, in words."""
    pairs: list[tuple[str, Any, Any]] = [
        ("schema version", before.schema_version, after.schema_version)
    ]
    for told, one, other, left_out in (
        ("", before.settings, after.settings, ("extractor_keys",)),
        ("", before.environment, after.environment, ("made",)),
        ("weights of ", _weights(before), _weights(after), ()),
    ):
        # A run of an earlier version may not say it.
        keys = [key for key in one if key in other and key not in left_out]
        pairs += [(f"{told}{key}", one[key], other[key]) for key in keys]
    return [f"{name} ({_told(a)} and {_told(b)})" for name, a, b in pairs if a != b]


def _weights(run: Run) -> Mapping[str, Any]:
    found = run.settings.get("extractor_keys")
    return found if isinstance(found, Mapping) else {}


def _dataset(run: Run) -> str:
    return str(run.dataset.get("describe") or run.dataset.get("spec"))


def _told(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
