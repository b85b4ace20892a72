"""Comparisons as text, Markdown, HTML, JSON and CSV: pure views of `Comparison`."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from nriqm_bench.reporting.compare import LEVEL, Change, Comparison
from nriqm_bench.reporting.csv_table import harmless
from nriqm_bench.reporting.markdown import escaped, table
from nriqm_bench.reporting.summary import effect, number

GATES = ("gate", "before", "after", "worse by", "what it means")
ROWS = ("case", "metric", "before", "after", "what it means")
DOWNSTREAM = ("downstream", "before", "after", "less by", "")

_CSV = (
    *("generator", "what", "name", "before", "after", "effect", "low", "high"),
    *("before_verdict", "after_verdict", "word", "regressed"),
)

EXPLAINED = (
    "worse by: in SD of the noise floor, with the half width of its 95 % interval; a regression is "
    f"beyond chance at {100 * LEVEL:g} % over all gates of a generator (Holm)"
)
_OF_ROWS = "; before and after of a case: its effect in floor SD"

# Rows whose verdict changed by chance are many: so many are listed.
_SHOWN = 12
_WORDS = {
    "regression": "REGRESSION",
    "gone": "REGRESSION: gone",
    "improvement": "better",
    "flipped": "chance",
}


def verdict(found: Sequence[Comparison]) -> tuple[bool, str]:
    """Whether anything regressed, and one sentence that says what."""
    told = []
    for one in found:
        name = f"{one.title}: " if len(found) > 1 else ""
        told += [f"{name}{worse(c)}" for c in one.gates if c.regressed]
        rows = [c for c in one.rows if c.regressed]
        told += [
            f"{name}{c.case}, {c.metric} in {c.extractor} on {c.source} ({c.before_verdict} -> "
            f"{c.after_verdict}, effect {effect(c.before)} -> {effect(c.after)})"
            for c in rows[:3]
        ]
        told += [f"{name}{len(rows) - 3} rows more"] if len(rows) > 3 else []
    if told:
        return True, f"REGRESSION: {'; '.join(told)}"
    counts = [
        (sum(c.effect is not None for one in found for c in one.gates), "gate"),
        (sum(one.compared_rows for one in found), "row"),
    ]
    told = [f"{n} {what}{'s' * (n != 1)}" for n, what in counts if n]
    undecided = [c.name for one in found for c in one.gates if c.word == "undecided"]
    return False, (
        f"NO REGRESSION: {' and '.join(told) or 'nothing'} compared"
        + (f"; undecided: {', '.join(undecided)}" if undecided else "")
    )


def text(found: Sequence[Comparison], width: int = 80, unicode: bool = True) -> str:
    """Tables of at most `width` characters, and the sentence of `verdict` at the end."""
    lines: list[str] = []

    def wrapped(told: str) -> None:
        lines.extend(textwrap.wrap(told, width, subsequent_indent="  "))

    for one in found:
        lines += [one.title, ("─" if unicode else "-") * min(len(one.title), width)]
        for _, header, rows in tables(one):
            lines += [*_columns(header, rows, width), ""]
        for told in notes(one):
            wrapped(told)
        if lines[-1]:
            lines.append("")
    wrapped(explained(found))
    lines.append("")
    wrapped(verdict(found)[1])
    out = "\n".join(lines) + "\n"
    return out if unicode else out.replace("±", "+-").encode("ascii", "replace").decode()


def markdown(found: Sequence[Comparison]) -> str:
    """GitHub-flavoured Markdown, for a comment on a merge request: verdict first, rows folded."""
    word, _, why = verdict(found)[1].partition(": ")
    parts = [f"## {word}", why]
    for one in found:
        parts.append(f"### {escaped(one.title)}")
        for name, header, rows in tables(one):
            shown = table(header, rows)
            if name == ROWS[0]:
                told = f"{len(one.rows)} of {one.compared_rows} rows have another verdict"
                shown = f"<details><summary>{told}</summary>\n\n{shown}\n\n</details>"
            parts.append(shown)
        if told_ := notes(one):
            parts.append("\n".join(f"- {escaped(told)}" for told in told_))
    return "\n\n".join([*parts, f"{explained(found)}."]) + "\n"


def html(found: Sequence[Comparison]) -> str:
    """One self-contained page."""
    from nriqm_bench.reporting import page

    bad, told = verdict(found)
    word, _, why = told.partition(": ")
    sections = []
    for one in found:
        blocks = [page.Table(header, rows, _words(header)) for _, header, rows in tables(one)]
        sections.append(page.Section(one.title, blocks, notes(one)))
    return page.render(
        "Comparison of runs", (not bad, word, why), sections, [f"{explained(found)}."]
    )


def as_json(found: Sequence[Comparison]) -> str:
    """The comparisons as JSON: the fields of `Comparison`, and whether each regressed."""
    told = [{"regressed": one.regressed} | asdict(one) for one in found]
    return json.dumps({"level": LEVEL, "comparisons": told}, indent=1, ensure_ascii=False) + "\n"


def as_csv(found: Sequence[Comparison]) -> str:
    """One row a gate, row with another verdict or Dice coefficient."""
    lines: list[Sequence[Any]] = [_CSV]
    for one in found:
        for what, changes in (("gate", one.gates), ("downstream", one.downstream)):
            for c in changes:
                numbers = (c.before, c.after, c.effect, c.low, c.high)
                words = (c.before_verdict, c.after_verdict, c.word, c.regressed)
                lines.append((one.title, what, c.name, *numbers, *words))
        for r in one.rows:
            name = f"{r.case} {r.metric} {r.extractor} {r.source}"
            words = (r.before_verdict, r.after_verdict, r.word, r.regressed)
            lines.append((one.title, "row", name, r.before, r.after, "", "", "", *words))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(map(harmless, line) for line in lines)
    return out.getvalue()


FORMS = {"md": markdown, "html": html, "json": as_json, "csv": as_csv}


def explained(found: Sequence[Comparison]) -> str:
    """What the columns say."""
    shown = any(name == ROWS[0] for one in found for name, _, _ in tables(one))
    return EXPLAINED + (_OF_ROWS if shown else "")


def worse(c: Change) -> str:
    """A gate's name, values and difference with its interval, in words."""
    if c.effect is None or c.low is None or c.high is None:
        return f"{c.name} (it decided before, and is not judged any more)"
    return (
        f"{c.name} ({number(c.before)} -> {number(c.after)}, worse by {effect(c.effect)} floor SD, "
        f"95 % {effect(c.low)} to {effect(c.high)})"
    )


def tables(one: Comparison) -> list[tuple[str, Sequence[str], list[Sequence[str]]]]:
    """Name, header and cells of what there is to show, gates that regressed first."""
    ordered = sorted(one.gates, key=lambda c: not c.regressed)
    alone = len({c.extractor for c in one.rows}) == 1
    rows = [
        (
            c.case if c.source == "held-out" else f"{c.case} on {c.source}",
            c.metric if alone else f"{c.metric} @{c.extractor}",
            effect(c.before),
            effect(c.after),
            _meaning(c.word if c.regressed else "", f"{c.before_verdict} -> {c.after_verdict}"),
        )
        for c in one.rows
        if c.regressed or c.after_verdict in ("error", "fail") or c.before_verdict == "fail"
    ]
    found: list[tuple[str, Sequence[str], list[Sequence[str]]]] = [
        (GATES[0], GATES, [_cells(c) for c in ordered]),
        (ROWS[0], ROWS, list(rows[:_SHOWN])),
        (DOWNSTREAM[0], DOWNSTREAM, [_cells(c, number) for c in one.downstream]),
    ]
    return [table for table in found if table[2]]


def notes(one: Comparison) -> list[str]:
    """What the tables do not say, in sentences."""
    told = []
    if not one.gates:
        told.append("the runs have no gates")
    shown = [c for c in one.rows if "fail" in (c.before_verdict, c.after_verdict)]
    if one.rows:
        told.append(
            f"{len(one.rows)} of {one.compared_rows} rows have another verdict, "
            f"{len(shown)} of them with a failure before or after"
        )
    if one.vanished:
        more = f" and {len(one.vanished) - 6} cases more" if len(one.vanished) > 6 else ""
        told.append(f"not run any more: {', '.join(one.vanished[:6])}{more}")
    if one.named:
        told.append(f"also differing: {', '.join(one.named)}")
        if any(name.startswith("seed") for name in one.named):
            told.append("other seeds mean other images, which widens every interval")
    return told


def _cells(c: Change, told: Callable[[float], str] = effect) -> Sequence[str]:
    by = "-"
    if c.effect is not None and c.high is not None:
        by = f"{told(c.effect)} ± {told(c.high - c.effect).removeprefix('+')}"
    return (c.name, number(c.before), number(c.after), by, _meaning(c.word, c.turned))


def _meaning(word: str, turned: str) -> str:
    told = _WORDS.get(word, word)
    return ", ".join(part for part in (told, turned) if part and part != "none")


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Aligned; names and words to the left, and the longest of the names is cut."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    left = _words(header)
    over = sum(widths) + 2 * (len(widths) - 1) - width
    for i in left[:-1]:
        cut = max(min(over, widths[i] - 14), 0)
        widths[i] -= cut
        over -= cut

    def cell(told: str, i: int) -> str:
        if len(told) > widths[i]:
            told = f"{told[: widths[i] - 1]}~"
        return told.ljust(widths[i]) if i in left else told.rjust(widths[i])

    return ["  ".join(cell(c, i) for i, c in enumerate(row)).rstrip() for row in table]


def _words(header: Sequence[str]) -> tuple[int, ...]:
    """The columns that hold text."""
    return (0, 1, 4) if header is ROWS else (0, 4)
