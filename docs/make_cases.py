"""Write the tables of docs/cases.md: ``python docs/make_cases.py TUMOUR.json VESSEL.json``.

Everything below the marker is replaced; what stands above it is written by hand, but for the tables
of G1, which ``python docs/make_cases.py --downstream ZOO.json PERTURBED.json`` replaces.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nriqm_bench import cases, metrics, perturbations
from nriqm_bench.evidence import Curve, Floor
from nriqm_bench.reporting import Agreement, Row, Run, downstream, from_json, summary

PAGE = Path(__file__).parent / "cases.md"
MARKER = "<!-- The rest is written by docs/make_cases.py. -->"
G1, G1_END = "<!-- G1 is written by docs/make_cases.py --downstream. -->", "<!-- End of G1. -->"
HELD_OUT = "held-out"
WHOLE = "efficientnet-lite0"
NEIGHBOURS = ("fid", "kid", "precision", "recall", "density", "coverage")
DEFECTS = (
    ("boundary blurred by 2 px", "boundary-blur", 2.0),
    ("boundary blurred by 4 px", "boundary-blur", 4.0),
    ("tumours tilted by 30 %", "lesion-tilt", 0.3),
    ("tumours tilted by 50 %", "lesion-tilt", 0.5),
    ("tumours moved by their radius", "lesion-displacement", 1.0),
    ("25 % of tumours removed", "lesion-removal", 0.25),
    ("all tumours removed", "lesion-removal", 1.0),
    ("stenosis of 50 %", "stenosis", 0.5),
    ("stenosis of 70 %", "stenosis", 0.7),
    ("20 % of branches missing", "missing-branches", 0.2),
    ("20 % of segments interrupted", "gaps", 0.2),
)


def main(paths: list[str]) -> None:
    """Replace the tables by those of the runs, the first of which also tells the shared cases."""
    if paths[:1] == ["--downstream"]:
        upstream(paths[1:])
        return
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
    parts.insert(0, "\n".join(equivalents(runs)))
    PAGE.write_text(f"{head}{MARKER}\n\n" + "\n".join(parts), encoding="utf-8")


def upstream(paths: list[str]) -> None:
    """Replace the tables of G1: what was found downstream, and how metrics rank it."""
    lines: list[str] = []
    for path in paths:
        run = from_json(Path(path).read_text(encoding="utf-8"))
        told = f"{run.dataset['spec']}, {run.dataset['size']} x {run.dataset['size']}"
        lines += [f"{told}, n {run.settings['n']}, seed {run.settings['seed']}:", ""]
        lines += _table(downstream.header(run), downstream.table(run))
        for over in dict.fromkeys(row.over for row in run.agreement):
            lines += agreement([row for row in run.agreement if row.over == over])
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(G1)
    _, _, tail = rest.partition(G1_END)
    PAGE.write_text(f"{head}{G1}\n\n" + "\n".join(lines) + f"\n{G1_END}{tail}", encoding="utf-8")


def agreement(rows: list[Agreement]) -> list[str]:
    """Each metric's values in the first space, and its rank correlation in every space."""
    spaces = list(dict.fromkeys(row.extractor for row in rows))
    spaces.sort(key=lambda space: (space != WHOLE, space))
    at = {(row.metric, row.extractor): row for row in rows}
    first = {row.metric: row for row in rows if row.extractor == spaces[0]}
    items = next(iter(first.values())).items
    order = sorted(first, key=lambda metric: (-first[metric].tau, metric))
    order += sorted({row.metric for row in rows} - set(first))
    told = "worsened by" if rows[0].over == "perturbations" else "value of"
    lines = []
    for metric in order:
        row = first.get(metric)
        same = row is not None and list(row.items) == list(items)
        cells = [summary.number(v) for v in row.values] if same else ["-"] * len(items)
        taus = [at.get((metric, space)) for space in spaces]
        lines.append([metric, *cells, *("" if t is None else _tau(t) for t in taus)])
    of = [f"{told} {item}" for item in items]
    note = f"{downstream.AGREEMENT}; in brackets p. {downstream.caution(rows)}."
    return [*_table(["metric", *of, *(f"tau in {s}" for s in spaces)], lines), note, ""]


def _tau(row: Agreement) -> str:
    return f"{downstream.tau(row)} ({summary.number(row.p, 2)})"


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def _place(name: str) -> tuple[int, str, str]:
    experiment = cases.get(name).experiment
    return ("NALVMD".index(experiment[0]), experiment, name)


def equivalents(runs: list[Run]) -> list[str]:
    """The table of defects: effect and noise equivalent by metric and feature space."""
    columns = [(WHOLE, metric) for metric in NEIGHBOURS]
    columns += [("region", "fid"), ("region-found", "fid"), (f"{WHOLE}-maps", "fid")]
    head = [m if space == WHOLE else f"{m}, {space}" for space, m in columns]
    lines = [
        "## Local defects in equivalents of noise",
        "",
        "Effect in floor SD / noise equivalent; `region` is `lesion` or `vessel`.",
        "",
        f"| defect | {' | '.join(head)} |",
        f"|{'---|' * (len(head) + 1)}",
    ]
    for told, name, level in DEFECTS:
        case = cases.get(name)
        run = next(run for run in runs if any(row.case == name for row in run.rows))
        cells = []
        for space, metric in columns:
            space = space.replace("region", case.region)
            curve = curve_of(run, name, space, metric)
            effect = curve.effects[curve.levels.index(level)]
            sigma = curve.equivalent(level)
            bound = ">=" if sigma == max(curve.noise.levels) else ""
            cells.append(f"{summary.effect(effect)} / {bound}{summary.number(sigma, 2)}")
        lines.append(f"| {told} | {' | '.join(cells)} |")
    return [*lines, ""]


def curve_of(run: Run, case: str, space: str, metric: str) -> Curve:
    """The curve of a row, with that of noise."""

    def made(name: str, noise: Curve | None) -> Curve:
        row = next(
            r
            for r in run.rows
            if (r.case, r.extractor, r.metric, r.source) == (name, space, metric, HELD_OUT)
        )
        # Two values of the row's mean and SD.
        half = row.floor_sd / 2**0.5
        return Curve(
            tuple(row.levels),
            tuple(row.values),
            Floor((row.floor_mean - half, row.floor_mean + half)),
            metrics.get(metric).higher_is_better,
            noise=noise,
        )

    return made(case, made("gaussian-noise", None))


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
    for reason, blind in grouped.items():
        lines += [f"Known blind spot ({', '.join(blind)}): {reason}.", ""]
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
