"""Markdown for a merge request or a CI summary: failures first, details folded."""

from __future__ import annotations

from collections.abc import Sequence

from nriqm_bench.reporting import downstream, summary
from nriqm_bench.reporting.schema import Run


def render(run: Run) -> str:
    """The run as GitHub-flavoured Markdown."""
    parts = [_decision(run)]
    parts.append("\n".join(f"- {name}: {told}" for name, told in summary.on_trial(run)))
    if failed := summary.failures(run):
        parts.append("### Failed cases")
        parts.append(
            "\n".join(
                f"- **{row.case}**, {summary.metric_name(row, run)} on {row.source}: {row.reason}"
                for row in failed
            )
        )
    if run.gates:
        parts.append("### Gates")
        parts.append(
            _table(
                ("generator", "gate", "metric", "value", "floor", "limit", "verdict"),
                [
                    (
                        g.generator,
                        g.name,
                        f"{g.metric} ({g.extractor})",
                        summary.number(g.value),
                        f"{summary.number(g.floor_mean)} ± {summary.number(g.floor_sd, 2)}",
                        summary.threshold(g).replace("<", "&lt;").replace(">", "&gt;"),
                        f"**{g.verdict}**" if g.verdict == "fail" else g.verdict,
                    )
                    for g in run.gates
                ],
            )
        )
        parts += [f"{g.name}: {g.reason}" for g in run.gates if g.verdict != "pass"]
    for matrix in summary.matrices(run):
        rows = [
            (
                label,
                *("" if r is None else f"{summary.effect(r.effect)} {r.verdict}" for r in cells),
            )
            for label, cells in zip(matrix.labels, matrix.cells, strict=True)
        ]
        parts.append(
            f"<details><summary>{matrix.title}</summary>\n\n"
            f"{_table(('case', *matrix.metrics), rows)}\n\n{summary.EXPLAINED[0]}.\n\n</details>"
        )
    if run.downstream:
        parts.append(f"### {downstream.title(run)}")
        parts.append(_table(downstream.header(run), downstream.table(run)))
        parts.append(
            "\n".join(f"- {told}" for told in (*downstream.EXPLAINED, downstream.cost(run)))
        )
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
        title = f"{downstream.ranking_title(over, ranked)}, in {space}"
        said = f"{downstream.AGREEMENT}; {downstream.caution(ranked)}."
        parts.append(
            f"<details><summary>{title}</summary>\n\n"
            f"{_table(('metric', 'tau', '95 %', 'p'), lines)}\n\n{said}\n\n</details>"
        )
    if known := summary.blind_spots(run):
        told = "\n".join(f"- {', '.join(where)}: {reason}" for reason, where in known)
        parts.append(f"<details><summary>Known blind spots</summary>\n\n{told}\n\n</details>")
    if run.notes:
        parts.append("\n".join(f"- note: {note}" for note in run.notes))
    return "\n\n".join(parts) + "\n"


def _decision(run: Run) -> str:
    decided = summary.decisions(run)
    if not decided:
        return f"## nriqm_bench: {summary.counts(run) or 'nothing was run'}"
    lines = [
        f"## {'RELEASE' if released else 'DO NOT RELEASE'} {name}\n\n{why}"
        for name, released, why in decided
    ]
    return "\n\n".join(lines)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(c.replace('|', '&#124;') for c in line)} |" for line in lines)
