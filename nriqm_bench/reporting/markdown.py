"""Markdown for a merge request or a CI summary: failures first, details folded."""

from __future__ import annotations

import html
from collections.abc import Sequence

from nriqm_bench.reporting import downstream, summary
from nriqm_bench.reporting.schema import Gate, Run

# A comment on GitHub holds 65 536 characters, the least of those who show Markdown.
LIMIT = 65_000

# Failed cases told one by one, at most.
FAILURES = 100


def render(run: Run, limit: int = LIMIT) -> str:
    """The run as GitHub-flavoured Markdown of at most `limit` characters where that can be.

    The decision, what failed and the gates always stay; folded parts that do not fit are left out
    from the last on, and the text says which.
    """
    shown = _always(run)
    left_out = []
    room = limit - len("\n\n".join(shown)) - 400
    for title, body in _folded(run):
        part = f"<details><summary>{_text(title)}</summary>\n\n{body}\n\n</details>"
        room -= len(part) + 2
        if room >= 0:
            shown.append(part)
        else:
            left_out.append(title)
    if left_out:
        shown.append(
            f"Left out, to stay below {limit} characters: {_text(left_out[0])}"
            f"{f' and {len(left_out) - 1} more tables' if left_out[1:] else ''}. "
            "The other forms of the report hold them."
        )
    return "\n\n".join(shown) + "\n"


def _always(run: Run) -> list[str]:
    parts = [_decision(run)]
    if failed := summary.failures(run):
        parts.append("### Failed cases")
        parts.append(
            "\n".join(
                f"- **{_text(row.case)}**, {_text(summary.metric_name(row, run))} on "
                f"{_text(row.source)}: {_text(row.reason)}"
                for row in failed[:FAILURES]
            )
        )
        if len(failed) > FAILURES:
            parts.append(f"and {len(failed) - FAILURES} more")
    if run.gates:
        several = len({g.generator for g in run.gates}) > 1
        parts.append("### Gates")
        parts.append(
            _table(
                (*(["generator"] if several else []), *_GATE),
                [(*([g.generator] if several else []), *_gate(g)) for g in _failed_first(run)],
            )
        )
        told = [
            f"- {f'{_text(g.generator)}: ' if several else ''}{_text(g.name)}: {_text(g.reason)}"
            for g in run.gates
            if g.verdict != "pass"
        ]
        parts += ["\n".join(told)] if told else []
    parts.append("\n".join(f"- {name}: {_text(told)}" for name, told in summary.on_trial(run)))
    if run.rows:
        parts[-1] += f"\n- cases: {summary.counts(run)}"
    if run.notes:
        parts.append("\n".join(f"- note: {_text(note)}" for note in run.notes))
    return parts


def _folded(run: Run) -> list[tuple[str, str]]:
    """Titles and bodies of what is folded, what matters most first."""
    parts = []
    if run.downstream:
        told = "\n".join(f"- {line}" for line in (*downstream.EXPLAINED, downstream.cost(run)))
        table = _table(downstream.header(run), downstream.table(run))
        parts.append((downstream.title(run), f"{table}\n\n{told}"))
    if known := summary.blind_spots(run, names=False):
        told = "\n".join(f"- {_text(', '.join(where))}: {_text(why)}" for why, where in known)
        parts.append(("Known blind spots (how many metrics)", told))
    for matrix in summary.matrices(run):
        rows = [
            (
                label,
                *("" if r is None else f"{summary.effect(r.effect)} {r.verdict}" for r in cells),
            )
            for label, cells in zip(matrix.labels, matrix.cells, strict=True)
        ]
        table = _table(("case", *matrix.metrics), rows)
        parts.append((matrix.title, f"{table}\n\n{summary.EXPLAINED[0]}."))
    for over, space, ranked in downstream.rankings(run):
        lines = [
            (
                row.metric,
                downstream.tau(row),
                downstream.interval(row),
                summary.number(row.p, 2),
            )
            for row in ranked
        ]
        said = f"{downstream.AGREEMENT}; {downstream.caution(ranked)}."
        table = _table(("metric", "tau", "95 %", "p"), lines)
        parts.append(
            (f"{downstream.ranking_title(over, ranked)}, in {space}", f"{table}\n\n{said}")
        )
    return parts


_GATE = ("gate", "metric", "value", "floor", "limit", "verdict")


def _gate(gate: Gate) -> tuple[str, ...]:
    return (
        gate.name,
        f"{gate.metric} ({gate.extractor})",
        summary.number(gate.value),
        f"{summary.number(gate.floor_mean)} ± {summary.number(gate.floor_sd, 2)}",
        summary.threshold(gate),
        "**FAIL**" if gate.verdict == "fail" else gate.verdict,
    )


def _failed_first(run: Run) -> list[Gate]:
    return sorted(run.gates, key=lambda gate: (gate.generator, gate.verdict != "fail"))


def _decision(run: Run) -> str:
    decided = summary.decisions(run)
    if not decided:
        return f"## nriqm_bench: {summary.counts(run) or 'nothing was run'}"
    lines = [
        f"## {'✅ RELEASE' if released else '❌ DO NOT RELEASE'} {_text(name)}\n\n{_text(why)}"
        for name, released, why in decided
    ]
    return "\n\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_text, line))} |" for line in lines)


def _text(text: str) -> str:
    """Words that others wrote: no markup, no cell's end, and nobody is called by an @."""
    found = html.escape(text, quote=False)
    for mark in "|@[`":
        found = found.replace(mark, f"&#{ord(mark)};")
    return " ".join(found.split())
