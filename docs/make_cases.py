"""Write the tables of docs/cases.md: ``python docs/make_cases.py TUMOUR.json VESSEL.json``.

Everything below the marker is replaced; what stands above it is written by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nriqm_bench import cases, perturbations
from nriqm_bench.reporting import Row, Run, from_json, summary

PAGE = Path(__file__).parent / "cases.md"
MARKER = "<!-- The rest is written by docs/make_cases.py. -->"
HELD_OUT = "held-out"


def main(paths: list[str]) -> None:
    """Replace the tables by those of the runs, the first of which also tells the shared cases."""
    runs = [from_json(Path(path).read_text(encoding="utf-8")) for path in paths]
    shown: dict[str, list[tuple[Run, list[Row]]]] = {}
    for run in runs:
        for row in run.rows:
            if row.source == HELD_OUT:
                groups = shown.setdefault(row.case, [])
                if not groups or groups[-1][0] is not run:
                    groups.append((run, []))
                groups[-1][1].append(row)
    parts = [section(name, shown[name]) for name in sorted(shown, key=_place)]
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARKER)
    PAGE.write_text(f"{head}{MARKER}\n\n" + "\n".join(parts), encoding="utf-8")


def _place(name: str) -> tuple[int, str, str]:
    experiment = cases.get(name).experiment
    return ("NALVMD".index(experiment[0]), experiment, name)


def section(name: str, groups: list[tuple[Run, list[Row]]]) -> str:
    """One case: what is done, and a table for each dataset."""
    case = cases.get(name)
    perturbation = perturbations.get(case.perturbation)
    told = case.options.get("of") or case.perturbation
    unit = perturbations.get(str(told)).unit
    levels = ", ".join(f"{level:g}" for level in case.levels)
    lines = [
        f"## {case.experiment} {name}",
        "",
        f"{case.summary[0].upper()}{case.summary[1:]}. Levels ({unit}): {levels}. "
        f"Evidence {case.evidence}; source: {case.source}.",
        "",
        f"{perturbation.summary}" if not case.control_of else f"Compared with {case.control_of}.",
        "",
    ]
    for run, rows in groups:
        lines += table(run, rows)
    reasons = {
        f"{row.metric}: {row.reason}"
        for _, rows in groups
        for row in rows
        if row.verdict == "blind (known)"
    }
    grouped: dict[str, list[str]] = {}
    for text in sorted(reasons):
        metric, _, reason = text.partition(": ")
        grouped.setdefault(reason, []).append(metric)
    for reason, metrics in grouped.items():
        lines += [f"Known blind spot ({', '.join(metrics)}): {reason}.", ""]
    return "\n".join(lines)


def table(run: Run, rows: list[Row]) -> list[str]:
    """The metrics of which something is asked, and in one line how far the others moved."""
    asked = [r for r in rows if r.verdict != "unspecified"]
    lines = [
        f"{run.dataset['spec']}, n {run.settings['n']}, seed {run.settings['seed']}:",
        "",
        "| metric | space | must | effect | sees from | as noise | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in sorted(asked, key=lambda r: (summary.spaces(run).index(r.extractor), r.metric)):
        lines.append(
            f"| {r.metric} | {r.extractor} | {r.expectation} | {summary.effect(r.effect)} | "
            f"{summary.number(r.detection_level, 2)} | {summary.as_noise(r, run)} | {r.verdict} |"
        )
    rest = [r for r in rows if r.verdict == "unspecified"]
    if rest:
        reasons = sorted({r.reason for r in rest})
        moved = ", ".join(f"{summary.metric_name(r, run)} {summary.effect(r.effect)}" for r in rest)
        lines += ["", f"Nothing is asked of: {moved} ({'; '.join(reasons)})."]
    return [*lines, ""]


if __name__ == "__main__":
    main(sys.argv[1:])
