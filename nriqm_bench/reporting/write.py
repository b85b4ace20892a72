"""Writing a run to a file in the form that its suffix names."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from nriqm_bench.reporting.schema import Run, to_json

_FORMS = {".json": "json", ".md": "markdown", ".html": "html", ".csv": "csv_table"}


def renderer(suffix: str) -> Callable[[Run], str]:
    """What turns a run into text of that suffix; an unknown one raises `ValueError`."""
    if suffix not in _FORMS:
        raise ValueError(f"a report's file ended in {suffix!r}, must end in {', '.join(_FORMS)}")
    if suffix == ".json":
        return to_json
    found: Callable[[Run], str] = import_module(f"nriqm_bench.reporting.{_FORMS[suffix]}").render
    return found


def write(run: Run, path: Path) -> None:
    """Write `run` to `path`, whole or not at all.

    Raises
    ------
    ValueError
        For a suffix other than .json, .md, .html and .csv.
    OSError
        When the folder cannot be made or written.
    """
    save(renderer(path.suffix)(run), path)


def save(text: str, path: Path) -> None:
    """Write `text` to `path`, whole or not at all; `OSError` when it cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8", newline="")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
