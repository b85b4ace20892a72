"""HTML: one self-contained page, readable without JavaScript, in light and dark."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from nriqm_bench.reporting import downstream, drawings, page, summary
from nriqm_bench.reporting.schema import Gate, Picture, Row, Run

MARKS = {
    "pass": "✓",
    "fail": "✗",
    "error": "E",
    "blind (known)": "b",
    "unspecified": "·",
    "saturated": "s",
    "skipped": "-",
}

# How dark a cell of the heat map is: from this effect on.
_STEPS = ((100.0, "h5"), (30.0, "h4"), (12.0, "h3"), (6.0, "h2"), (3.0, "h1"))

_TONES = {"pass": "good", "fail": "bad", "error": "bad", "blind (known)": "warn"}
_BASE64 = re.compile(r"[A-Za-z0-9+/]+=*")


@dataclass(frozen=True)
class _Case:
    """All curves of one case, with what is shown of it."""

    case: str
    experiment: str
    levels: str
    told: str
    failed: bool
    strip: Picture | None
    drawing: Markup | None
    groups: list[tuple[str, list[Row]]]


def render(run: Run) -> str:
    """The run as one HTML page; equal runs give equal pages."""
    failures = summary.failures(run)
    gates_failed = any(gate.verdict == "fail" for gate in run.gates)
    curves = _curves(run)
    shown = {c.case for c in curves}
    parts = {
        kind: [p for p in run.pictures if p.kind == kind] for kind in ("samples", "copies", "strip")
    }
    given = {
        "run": run,
        "s": summary,
        "d": downstream,
        "draw": drawings,
        "made": _made(run),
        "decisions": summary.decisions(run),
        "gates": _by_generator(run),
        "gates_failed": gates_failed,
        "failures": failures,
        "anything_failed": bool(failures) or gates_failed,
        "samples": parts["samples"],
        "copies": parts["copies"],
        # Of cases without curves, as when gates alone were run.
        "strips": [p for p in parts["strip"] if p.case not in shown],
        "matrices": summary.matrices(run),
        "curves": curves,
        "rankings": [
            (*ranking, drawings.scatter(ranking[2])) for ranking in downstream.rankings(run)
        ],
        "blind_spots": summary.blind_spots(run),
        "marks": MARKS,
        "steps": [
            (f"-{drawings.BAND:g} and below", "better"),
            *((f"from {least:g}", step) for least, step in reversed(_STEPS)),
        ],
        "heat": _heat,
        "tone": lambda verdict: _TONES.get(verdict, "plain"),
        "pairs": _files,
    }
    return page.fill("run.html.jinja", **given, contents=_contents(given))


def _made(run: Run) -> str:
    """When, and of which commit; empty for runs that do not say."""
    made, revision = (run.environment.get(name) for name in ("made", "revision"))
    return f"{made}{f', of commit {revision}' if revision else ''}" if made else ""


def _contents(given: dict[str, object]) -> list[tuple[str, str]]:
    """Anchor and title of the sections that the page has."""
    run = given["run"]
    assert isinstance(run, Run)
    sections = (
        ("gates", "Gates", run.gates),
        ("copies", "Copies", given["copies"]),
        ("failed", "Failed cases", given["failures"]),
        ("samples", "Samples", given["samples"]),
        ("sensitivity", "Sensitivity", given["matrices"]),
        ("cases", "Curves", given["curves"]),
        ("damage", "Damage", given["strips"]),
        ("downstream", "Downstream", run.downstream or run.agreement),
        ("blind", "Blind spots", given["blind_spots"]),
        ("provenance", "Provenance", True),
    )
    return [(anchor, title) for anchor, title, there in sections if there]


def _by_generator(run: Run) -> list[tuple[str, list[Gate]]]:
    """Each generator's gates, those that failed first."""
    names = dict.fromkeys(gate.generator for gate in run.gates)
    ordered = sorted(run.gates, key=lambda gate: gate.verdict != "fail")
    return [(name, [g for g in ordered if g.generator == name]) for name in names]


def _curves(run: Run) -> list[_Case]:
    strips = {picture.case: picture for picture in run.pictures if picture.kind == "strip"}
    spaces = summary.spaces(run)
    found = []
    for case in dict.fromkeys(row.case for row in run.rows):
        rows = [row for row in run.rows if row.case == case]
        told = Counter(row.verdict for row in rows)
        groups: dict[tuple[str, str], list[Row]] = {}
        for source in dict.fromkeys(row.source for row in rows):
            for space in spaces:
                chosen = [r for r in rows if (r.source, r.extractor) == (source, space)]
                if chosen:
                    groups[source, space] = chosen
        asked = [row for row in rows if row.source == "held-out" and row.verdict != "unspecified"]
        found.append(
            _Case(
                case=case,
                experiment=rows[0].experiment,
                levels=", ".join(summary.number(level) for level in rows[0].levels),
                told=", ".join(f"{told[v]} {v}" for v in MARKS if told[v]),
                failed=bool(told["fail"] + told["error"]),
                strip=strips.get(case),
                drawing=drawings.case(asked) if asked else None,
                groups=[(f"on {s} in {e}", chosen) for (s, e), chosen in groups.items()],
            )
        )
    return found


def _heat(row: Row) -> str:
    """The classes of a cell of the heat map."""
    if row.effect <= -drawings.BAND:
        step = "better"
    else:
        step = next((name for least, name in _STEPS if row.effect >= least), "h0")
    return f"{step} bad" if row.verdict in ("fail", "error") else step


def _files(picture: Picture) -> Sequence[tuple[str, str]]:
    """Labels and files, without what is no file: a run may come from anywhere."""
    return [
        (label, file)
        for label, file in zip(picture.labels, picture.images, strict=False)
        if _BASE64.fullmatch(file)
    ]
