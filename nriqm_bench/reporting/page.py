"""A small self-contained HTML page of tables and drawings, in the style of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2
from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """Cells under a header, of which the first names its row; `words` are columns of text."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = ()


@dataclass(frozen=True)
class Section:
    """A heading, drawings (inline SVG), tables and sentences."""

    title: str
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    drawings: Sequence[Markup] = ()


def render(
    title: str,
    verdict: tuple[bool, str, str] | None,
    sections: Sequence[Section],
    explained: Sequence[str] = (),
) -> str:
    """The page; `verdict` is whether it is good, in a word, and why."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_template("page.html.jinja")).render(
        css=Markup(_template("page.css")),
        title=title,
        verdict=verdict,
        sections=sections,
        explained=explained,
    )


def _template(name: str) -> str:
    place = files("nriqm_bench.reporting").joinpath("templates", name)
    return place.read_text(encoding="utf-8").strip()
