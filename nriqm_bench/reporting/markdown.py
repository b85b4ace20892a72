"""Markdown for a merge request or a CI summary: failures first, details folded."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from nriqm_bench.reporting import downstream, summary
from nriqm_bench.reporting.schema import Gate, Run

# A comment on GitHub holds 65 536 characters, the least of those who show Markdown.
LIMIT = 65_000

# The shares of that which the parts that are never folded may take: of more lines than fit, the
# first are told.
_DECISION, _FACTS, _NOTES = 0.1, 0.05, 0.1
_FAILED, _GATES, _REASONS = 0.25, 0.2, 0.2
_CUT = "more, to stay below the limit of a comment; the other forms of the report hold them"

# What would be read as markup, or end a cell of a table.
_MARKS = re.compile(r"[|`*~\\\[]|(?<!\w)_|_(?!\w)")
# Who or what would be called: a zero-width space lets no name follow.
_CALLS = re.compile(r"@|#(?=\d)")


def render(run: Run, limit: int = LIMIT) -> str:
    """The run as GitHub-flavoured Markdown of at most `limit` characters.

    The decision, what failed and the gates come first, each cut to its share of the room; then
    folded parts, of which those that do not fit are left out. The text says what is left out.
    """
    shown = _always(run, limit)
    left_out = []
    room = limit - len("\n\n".join(shown)) - 500
    for title, body in _folded(run):
        part = f"<details><summary>{escaped(title)}</summary>\n\n{body}\n\n</details>"
        if len(part) + 2 <= room:
            room -= len(part) + 2
            shown.append(part)
        else:
            left_out.append(title)
    if left_out:
        shown.append(
            f"Left out, to stay below {limit} characters: {escaped(left_out[0][:200])}"
            f"{f' and {len(left_out) - 1} more tables' if left_out[1:] else ''}. "
            "The other forms of the report hold them."
        )
    return "\n\n".join(shown) + "\n"


def _always(run: Run, limit: int) -> list[str]:
    parts = [_fitting(_decision(run), _DECISION * limit, "\n\n")]
    if failed := summary.failures(run):
        parts.append(f"### Failed cases ({len(failed)})")
        told = [
            f"- **{escaped(row.case)}**, {escaped(summary.metric_name(row, run))} on "
            f"{escaped(row.source)}: {escaped(row.reason)}"
            for row in failed
        ]
        parts.append(_fitting(told, _FAILED * limit))
    if run.gates:
        several = len({g.generator for g in run.gates}) > 1
        gates = summary.failed_first(run.gates)
        names = [
            f"{escaped(g.generator)}: {escaped(g.name)}" if several else escaped(g.name)
            for g in gates
        ]
        parts.append("### Gates")
        head, rule, *lines = table(
            (*(["generator"] if several else []), *_GATE),
            [(*([g.generator] if several else []), *_gate(g)) for g in gates],
        ).split("\n")
        parts.append(f"{head}\n{rule}\n{_fitting(lines, _GATES * limit)}")
        why = [
            f"- {name}: {escaped(g.reason)}"
            for name, g in zip(names, gates, strict=True)
            if g.verdict != "pass"
        ]
        parts += [_fitting(why, _REASONS * limit)] if why else []
    parts.append("### On trial")
    facts = [f"- {name}: {escaped(told)}" for name, told in summary.on_trial(run)]
    facts += [f"- cases: {summary.counts(run)}"] if run.rows else []
    parts.append(_fitting(facts, _FACTS * limit))
    if run.notes:
        parts.append(_fitting([f"- note: {escaped(note)}" for note in run.notes], _NOTES * limit))
    return parts


def _fitting(lines: Sequence[str], room: float, between: str = "\n") -> str:
    """As many of the first lines as fit, and how many more there are."""
    kept = list(lines)
    while kept and len(between.join(kept)) > room:
        kept.pop()
    left = len(lines) - len(kept)
    told = [f"\n{left} {_CUT}"] if left else []
    return between.join([*kept, *told])


def _folded(run: Run) -> list[tuple[str, str]]:
    """Titles and bodies of what is folded, what matters most first."""
    parts = []
    if run.downstream:
        told = "\n".join(f"- {line}" for line in (*downstream.EXPLAINED, downstream.cost(run)))
        found = table(downstream.header(run), downstream.table(run))
        parts.append((downstream.title(run), f"{found}\n\n{told}"))
    if known := summary.blind_spots(run, names=False):
        told = "\n".join(f"- {escaped(', '.join(where))}: {escaped(why)}" for why, where in known)
        parts.append(("Known blind spots (how many metrics)", told))
    for matrix in summary.matrices(run):
        rows = [
            (
                label,
                *("" if r is None else f"{summary.effect(r.effect)} {r.verdict}" for r in cells),
            )
            for label, cells in zip(matrix.labels, matrix.cells, strict=True)
        ]
        found = table(("case", *matrix.metrics), rows)
        parts.append((matrix.title, f"{found}\n\n{summary.EXPLAINED[0]}."))
    for over, space, ranked in downstream.rankings(run):
        said = f"{downstream.AGREEMENT}; {downstream.caution(ranked)}."
        found = table(("metric", "tau", "95 %", "p"), downstream.cells(ranked))
        parts.append(
            (f"{downstream.ranking_title(over, ranked)}, in {space}", f"{found}\n\n{said}")
        )
    return parts


_GATE = ("gate", "metric", "value", "95 %", "floor", "limit", "verdict")


def _gate(gate: Gate) -> tuple[str, ...]:
    return (
        gate.name,
        f"{gate.metric} ({gate.extractor})",
        summary.number(gate.value),
        summary.interval(gate),
        f"{summary.number(gate.floor_mean)} ± {summary.number(gate.floor_sd, 2)}",
        summary.threshold(gate),
        "❌ FAIL" if gate.verdict == "fail" else gate.verdict,
    )


def _decision(run: Run) -> list[str]:
    decided = summary.decisions(run)
    if not decided:
        return [f"## nriqm_bench: {summary.counts(run) or 'nothing was run'}"]
    return [
        f"## {'✅ RELEASE' if released else '❌ DO NOT RELEASE'} {escaped(name)}\n\n{escaped(why)}"
        for name, released, why in decided
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of words that others wrote."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(escaped, line))} |" for line in lines)


def escaped(text: str) -> str:
    """Words that others wrote: no markup, no cell's end, and nobody is called by an @.

    An @ as an entity would not do: GitHub looks for names in what is shown.
    """
    found = html.escape(" ".join(text.split()), quote=False)
    found = _CALLS.sub(lambda mark: f"{mark[0]}&#8203;", found)
    return _MARKS.sub(lambda mark: f"&#{ord(mark[0])};", found)
