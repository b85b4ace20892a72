"""Failures that a user knows beforehand: a TOML file of patterns, each with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nriqm_bench.settings import SettingsError

if TYPE_CHECKING:
    from nriqm_bench.reporting import Row

TABLE = "expected-failure"
_KEYS = ("case", "metric", "extractor", "source")


@dataclass(frozen=True)
class ExpectedFailure:
    """One entry: shell patterns of where, and why.

    `source` is ``held-out`` or the name of a generator.
    """

    reason: str
    case: str = "*"
    metric: str = "*"
    extractor: str = "*"
    source: str = "*"

    def covers(self, case: str, metric: str, extractor: str, source: str) -> bool:
        """Whether this entry speaks of that case, metric, extractor and source."""
        found = (case, metric, extractor, source)
        return all(
            fnmatchcase(value, getattr(self, key)) for key, value in zip(_KEYS, found, strict=True)
        )

    def __str__(self) -> str:
        told = [f"{key} {value!r}" for key in _KEYS if (value := getattr(self, key)) != "*"]
        return ", ".join(told) or "anything"


def read(path: str | Path) -> tuple[ExpectedFailure, ...]:
    """The entries of a file::

        [[expected-failure]]
        case = "boundary-blur"      # shell patterns; what is left out fits anything
        metric = "my-*"
        reason = "it looks at the whole image"

    Raises
    ------
    SettingsError
        In one sentence: no such file, no TOML, an unknown key, or an entry without a reason.
    """
    path = Path(path)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from error
    entries = found.pop(TABLE, None)
    if found or not isinstance(entries, list):
        named = ", ".join(found) or "nothing"
        raise SettingsError(f"{path} held {named}, must hold tables [[{TABLE}]] alone")
    return tuple(_entry(entry, f"{path}, [[{TABLE}]] {i}") for i, entry in enumerate(entries, 1))


def _entry(entry: Any, where: str) -> ExpectedFailure:
    if not isinstance(entry, dict):
        raise SettingsError(f"{where} was {entry!r}, must be a table")
    for key, value in entry.items():
        if key not in (*_KEYS, "reason"):
            from nriqm_bench.registry import unknown

            raise SettingsError(f"{where}: {unknown('key', key, (*_KEYS, 'reason'))}")
        if not isinstance(value, str) or not value.strip():
            raise SettingsError(f"{where}: {key} was {value!r}, must be a non-empty text")
    if "reason" not in entry:
        raise SettingsError(f"{where} has no reason, must say why the failure is expected")
    return ExpectedFailure(**entry)


def notes(entries: Iterable[ExpectedFailure], rows: Iterable[Row]) -> list[str]:
    """One sentence about each entry that fits nothing in a run, or excuses nothing any more."""
    rows = list(rows)
    told = []
    for entry in entries:
        verdicts = {
            row.verdict
            for row in rows
            if entry.covers(row.case, row.metric, row.extractor, row.source)
        }
        if not verdicts:
            told.append(f"the expected failure of {entry} matched nothing in this run")
        elif not verdicts & {"blind (known)", "fail", "error"}:
            told.append(
                f"the expected failure of {entry} excused nothing: none of what it matched failed"
            )
    return told
