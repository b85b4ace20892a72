"""A small self-contained HTML page of tables and drawings, in the style of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

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
    return fill(
        "page.html.jinja", title=title, verdict=verdict, sections=sections, explained=explained
    )


def fill(name: str, **given: Any) -> str:
    """A template of this package with its values; `css` is the style of all pages."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nriqm_bench.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    css = files("nriqm_bench.reporting").joinpath("templates", "page.css")
    return environment.get_template(name).render(
        given, css=Markup(css.read_text(encoding="utf-8").strip())
    )
