"""What there is, kind by kind: one line each for people, fields for programs."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

# Of each kind what programs are told beside the line, where a thing has it.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "metrics": ("higher_is_better", "needs", "needs_train", "min_samples", "range"),
    "extractors": ("gives", "needs"),
    "perturbations": ("unit", "range", "kind", "needs"),
    "datasets": (),
    "generators": (),
    "cases": ("experiment", "perturbation", "levels", "region", "held_out_only"),
    "gates": ("metric", "direction", "unit", "limit", "range"),
}
KINDS = tuple(FIELDS)


def listing(kind: str) -> dict[str, dict[str, Any]]:
    """Each thing of a kind by name: its ``summary``, and what `FIELDS` names, as JSON types.

    Parameters
    ----------
    kind
        One of `KINDS`; what the user registered is listed too.
    """
    return {
        name: {"summary": _summary(kind, thing)}
        | {field: _plain(getattr(thing, field)) for field in FIELDS[kind] if hasattr(thing, field)}
        for name, thing in _things(kind)
    }


def render(kinds: Mapping[str, Mapping[str, Mapping[str, Any]]], width: int = 80) -> list[str]:
    """Kinds, names and lines, wrapped to `width` columns."""
    lines = []
    for kind, things in kinds.items():
        lines.append(kind)
        column = max(map(len, things), default=0) + 4
        for name, told in things.items():
            lines += textwrap.wrap(
                told["summary"],
                max(width, column + 20),
                initial_indent=f"  {name:{column - 2}}",
                subsequent_indent=" " * column,
            )
    return lines


def _things(kind: str) -> list[tuple[str, Any]]:
    if kind == "gates":
        from nriqm_bench.gates import SPECS

        return [(spec.name, spec) for spec in SPECS]
    room = import_module(f"nriqm_bench.{kind}")
    return [(name, room.get(name)) for name in room.names()]


def _summary(kind: str, thing: Any) -> str:
    found = getattr(thing, "summary", None)
    if kind == "gates":
        found = f"{thing.metric}: {thing.unit}; fails {thing.direction} its limit"
    elif not isinstance(found, str):
        documented: Callable[..., Any] | type = thing
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
            documented = type(thing)
        found = (inspect.getdoc(documented) or "").partition("\n")[0]
    if kind == "generators":
        found = found.partition("; None")[0]
    return found.replace("`", "").rstrip(".")


def _plain(value: Any) -> Any:
    """JSON types; what is infinite has no number there."""
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
