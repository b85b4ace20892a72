"""What every report says in words and numbers, whatever it looks like."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nriqm_bench.reporting.schema import Gate, Row, Run

# One letter a verdict, so that a matrix cell needs no colour.
MARKS = {
    "pass": "+",
    "fail": "F",
    "error": "E",
    "blind (known)": "b",
    "unspecified": ".",
    "saturated": "s",
    "skipped": "-",
}
MARK_LEGEND = "+ pass  F fail  b blind (known)  . unspecified  s saturated  - skipped  E error"

EXPLAINED = (
    "effect: change from first to last level in SD of the metric on fresh real images; + is worse",
    "sees from: smallest level with an effect of 3",
    "as noise: sigma of Gaussian noise that worsens the metric as far",
)


@dataclass(frozen=True)
class Matrix:
    """Cases by metrics for one source and feature space; a cell is the row, or None.

    Metrics of which more is asked come first.
    """

    source: str
    space: str
    cases: list[str]
    experiments: list[str]
    metrics: list[str]
    cells: list[list[Row | None]]

    @property
    def title(self) -> str:
        """What the table shows."""
        return f"Sensitivity on {self.source} in {self.space}: effect in floor SD"

    @property
    def labels(self) -> list[str]:
        """Each case with its experiment."""
        return [f"{e} {c}" for e, c in zip(self.experiments, self.cases, strict=True)]


def number(value: float | None, digits: int = 3) -> str:
    """A number as short as `digits` significant ones allow; - for None."""
    if value is None:
        return "-"
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-4 <= abs(value) < 1e5:
        text = f"{value:.0f}"
    return text.replace("-0.", "-.").removeprefix("0") if text.startswith(("0.", "-0.")) else text


def effect(value: float | None) -> str:
    """An effect with its sign, one decimal below 10, a thousand at most; - for none."""
    if value is None or math.isnan(value):
        return "-"
    if abs(value) < 0.05:
        return "+0.0"
    if abs(value) >= 999.5:
        return ">+999" if value > 0 else "<-999"
    return f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"


def as_noise(row: Row, run: Run) -> str:
    """The noise equivalent; at the largest sigma measured it is a lower bound."""
    if row.noise_equivalent is None:
        return "-"
    levels = run.settings.get("noise_levels") or [float("inf")]
    bound = ">=" if row.noise_equivalent >= max(levels) else ""
    return bound + number(row.noise_equivalent, 2)


def spaces(run: Run) -> list[str]:
    """The feature spaces of the rows, the main one first."""
    asked = [str(e) for e in run.settings.get("extractor", ())]
    found = dict.fromkeys(row.extractor for row in run.rows)
    return sorted(found, key=lambda e: (asked.index(e) if e in asked else len(asked), e))


def _looked_at(run: Run) -> list[str]:
    """The feature spaces of the rows; where there are none, those that were asked for."""
    asked = [str(e) for e in run.settings.get("extractor", ())]
    return spaces(run) or asked or ["-"]


def main_space(run: Run) -> str:
    """The first feature space that was asked for."""
    return _looked_at(run)[0]


def metric_name(row: Row, run: Run) -> str:
    """The metric, with its feature space where that is not the main one."""
    main = spaces(run)
    return row.metric if not main or row.extractor == main[0] else f"{row.metric} @{row.extractor}"


def matrices(run: Run) -> list[Matrix]:
    """The sensitivity matrix of each source and feature space, held-out images first."""
    found = []
    sources = dict.fromkeys(row.source for row in run.rows)
    for source in sorted(sources, key=lambda s: (s != "held-out", s)):
        for space in spaces(run):
            rows = [r for r in run.rows if (r.source, r.extractor) == (source, space)]
            if rows:
                found.append(_matrix(source, space, rows))
    return found


def _matrix(source: str, space: str, rows: Sequence[Row]) -> Matrix:
    at = {(r.case, r.metric): r for r in rows}
    cases = {r.case: r.experiment for r in rows}
    asked = Counter(r.metric for r in rows if r.verdict != "unspecified")
    metrics = sorted({r.metric for r in rows}, key=lambda m: (-asked[m], m))
    cells = [[at.get((c, m)) for m in metrics] for c in cases]
    return Matrix(source, space, list(cases), list(cases.values()), metrics, cells)


def failures(run: Run) -> list[Row]:
    """The rows that failed or broke."""
    return [row for row in run.rows if row.verdict in ("fail", "error")]


def blind_spots(run: Run, names: bool = True) -> list[tuple[str, list[str]]]:
    """Each reason of a known blind spot, with the cases that it explains.

    Of each case the metrics, by name or (`names` False) how many.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for row in run.rows:
        if row.verdict == "blind (known)":
            case = row.case if row.source == "held-out" else f"{row.case} on {row.source}"
            found.setdefault(row.reason, {}).setdefault(case, []).append(metric_name(row, run))
    return [
        (reason, [f"{c} ({_listed(m) if names else len(m)})" for c, m in cases.items()])
        for reason, cases in found.items()
    ]


def counts(run: Run) -> str:
    """How many rows had each verdict."""
    found = [(v, sum(r.verdict == v for r in run.rows)) for v in MARKS]
    return ", ".join(f"{n} {verdict}" for verdict, n in found if n)


def decisions(run: Run) -> list[tuple[str, bool, str]]:
    """For each generator with gates: its name, whether it may be released, and why.

    Untrusted gates are named and count among the gates, but decide nothing.
    """
    found = []
    for generator in dict.fromkeys(gate.generator for gate in run.gates):
        gates = [g for g in run.gates if g.generator == generator]
        failed = [g.name for g in gates if g.verdict == "fail"]
        passed = sum(g.verdict == "pass" for g in gates)
        untrusted = [g.name for g in gates if g.verdict == "untrusted"]
        if failed:
            why = f"{len(failed)} of {len(gates)} gates failed: {_listed(failed)}"
        elif passed:
            why = f"{passed} of {len(gates)} gates passed"
        else:
            why = f"none of {len(gates)} gates could decide"
        if untrusted:
            why += f"; untrusted: {_listed(untrusted)}"
        found.append((generator, bool(passed) and not failed, why))
    return found


def properties(run: Run) -> list[tuple[str, str]]:
    """What a JUnit report says of the whole run."""
    decided = [
        (f"decision_{name}", f"{'RELEASE' if released else 'DO NOT RELEASE'}: {why}")
        for name, released, why in decisions(run)
    ]
    settings = [(name, str(run.settings.get(name))) for name in ("n", "seed")]
    version = ("version", str(run.environment.get("nriqm-bench")))
    return [*decided, ("dataset", str(run.dataset.get("spec"))), *settings, version]


def on_trial(run: Run) -> list[tuple[str, str]]:
    """Names and values of the header lines."""
    names = [str(g.get("describe") or g.get("name")) for g in run.generator]
    dataset = str(run.dataset.get("describe") or run.dataset.get("spec"))
    s = run.settings
    size = run.dataset.get("size")
    told = [("generator", n) for n in names] or [
        ("generator", "none given; held-out real images stand in")
    ]
    return [
        *told,
        ("dataset", f"{dataset}{f', {size} x {size}' if size else ''}"),
        (
            "settings",
            f"n {s.get('n')}, seed {s.get('seed')}, features {', '.join(_looked_at(run))}",
        ),
    ]


def failed_first(gates: Sequence[Gate]) -> list[Gate]:
    """Gates that failed, then those that could not decide, then those that passed."""
    order = ("fail", "untrusted")
    return sorted(gates, key=lambda g: order.index(g.verdict) if g.verdict in order else len(order))


def threshold(gate: Gate) -> str:
    """The limit as it is read: at most, or at least."""
    return f"{'<=' if gate.direction == 'above' else '>='} {number(gate.threshold)}"


def interval(gate: Gate) -> str:
    """The 95 % interval of a gate's value; empty where there is none."""
    return "" if gate.interval is None else " to ".join(map(number, gate.interval))


def pair_line(pair: object) -> str:
    """One copy pair in words."""
    p = dict(pair) if isinstance(pair, dict) else {}
    ratio = f", {number(p.get('ratio'), 2)} of that to real" if p.get("ratio") is not None else ""
    return (
        f"sample {p.get('fake')}: {number(p.get('train_distance'))} from training image "
        f"{p.get('train')} ({p.get('train_subject')}){ratio}"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
