"""The gates over many runs: one small panel a gate, and a table beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nriqm_bench.reporting import page
from nriqm_bench.reporting.comparable import comparable
from nriqm_bench.reporting.drawings import BLUE, GREY, RED, bare, svg
from nriqm_bench.reporting.markdown import escaped, table
from nriqm_bench.reporting.schema import Gate, Run
from nriqm_bench.reporting.summary import number, threshold

# A shape each, as colours alone tell some readers nothing.
_MARKS: Mapping[str, Mapping[str, Any]] = {
    "pass": {"marker": "o", "color": BLUE, "markersize": 3},
    "fail": {"marker": "X", "color": RED, "markersize": 6.5},
    "untrusted": {"marker": "D", "color": GREY, "markersize": 4, "fillstyle": "none"},
}
EXPLAINED = (
    "Each panel: the gate's value over the runs; what fresh real images score (band: two SD of the "
    "floor) and the limit (dashed; shaded is the side that fails). Circle: pass; cross: fail; "
    "hollow diamond: untrusted, which does not decide."
)
# As many columns of panels has the drawing of all.
_COLUMNS = 3


@dataclass(frozen=True)
class History:
    """Comparable runs in order.

    Attributes
    ----------
    names, made, generators
        Of each run: its file, when it was made (empty where it does not say), what was on trial.
    gates
        By name, for each run the gate or None; with several generators in a run a name is
        ``generator: gate``.
    left_out
        Sentences: runs that were left out, and why.
    """

    names: Sequence[str]
    made: Sequence[str]
    generators: Sequence[str]
    gates: Mapping[str, Sequence[Gate | None]]
    left_out: Sequence[str] = ()


def collect(runs: Sequence[tuple[str, Run]]) -> History:
    """The runs of `runs` (name and run) that can be compared with the last, oldest first.

    They are ordered by when they were made if all say so, and else stay as they are given.

    Raises
    ------
    ValueError
        When no run has a gate.
    """
    left_out = [f"{name} was left out: it has no gates" for name, run in runs if not run.gates]
    chosen = [(name, run) for name, run in runs if run.gates]
    if not chosen:
        raise ValueError(
            "no run has a gate, so that there is no history to draw; make runs with "
            "pytest benchmarks/test_gates.py --generator CKPT --nriqm-report RUN.json"
        )
    if all(run.environment.get("made") for _, run in chosen):
        chosen.sort(key=lambda one: str(one[1].environment["made"]))
    last_name, last = chosen[-1]
    kept = []
    for name, run in chosen:
        try:
            comparable(run, last)
        except ValueError as error:
            why = str(error).partition(": ")[2].partition(";")[0]
            left_out.append(f"{name} was left out: {last_name} and it cannot be compared, {why}")
        else:
            kept.append((name, run))
    several = any(len(run.generator) > 1 for _, run in kept)
    judged = [
        {f"{g.generator}: {g.name}" if several else g.name: g for g in run.gates} for _, run in kept
    ]
    return History(
        names=[name for name, _ in kept],
        made=[str(run.environment.get("made", "")) for _, run in kept],
        generators=[", ".join(str(g.get("name")) for g in run.generator) for _, run in kept],
        gates={
            name: [found.get(name) for found in judged]
            for name in sorted({name for found in judged for name in found})
        },
        left_out=left_out,
    )


def html(found: History) -> str:
    """One self-contained page: a panel a gate, then every number."""
    panels = []
    for name, gates in found.gates.items():
        figure = Figure(figsize=(4.2, 1.9), layout="constrained")
        _panel(figure.subplots(), name, gates)
        panels.append(svg(figure, _label(name, gates)))
    sections = [
        page.Section("Gates", notes=[EXPLAINED], drawings=panels),
        page.Section(
            "Every run",
            [page.Table(_header(found), _cells(found), words=(1, 2))],
            found.left_out,
        ),
    ]
    return page.render(f"History of {len(found.names)} runs", None, sections)


def drawing(found: History) -> str:
    """All panels as one SVG file; its text is readable on light and on dark pages."""
    lines = -(-len(found.gates) // _COLUMNS)
    figure = Figure(figsize=(3.5 * _COLUMNS, 1.9 * lines), layout="constrained")
    axes = figure.subplots(lines, _COLUMNS, squeeze=False)
    for axis in axes.flat[len(found.gates) :]:
        axis.set_axis_off()
    for axis, (name, gates) in zip(axes.flat, found.gates.items(), strict=False):
        _panel(axis, name, gates)
    told = ". ".join(_label(name, gates) for name, gates in found.gates.items())
    style = (
        "<style>:root { color-scheme: light dark; color: #1c1f23; } "
        "@media (prefers-color-scheme: dark) { :root { color: #e3e6ea; } }</style>"
    )
    text = str(svg(figure, told))
    start = text.index(">") + 1
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text[:start]}{style}{text[start:]}\n'


def markdown(found: History) -> str:
    """A table with one line a run."""
    told = "".join(f"\n\n- {escaped(line)}" for line in found.left_out)
    return (
        f"## History of {len(found.names)} runs\n\n{table(_header(found), _cells(found))}{told}\n"
    )


FORMS = {"html": html, "svg": drawing, "md": markdown}


def _panel(axis: Axes, name: str, gates: Sequence[Gate | None]) -> None:
    there = [(i, gate) for i, gate in enumerate(gates, 1) if gate and gate.value is not None]
    if not there:
        axis.set_axis_off()
        return
    x = [i for i, _ in there]
    low = [g.floor_mean - 2 * g.floor_sd for _, g in there]
    high = [g.floor_mean + 2 * g.floor_sd for _, g in there]
    limits = [g.threshold for _, g in there]
    values = [g.value for _, g in there]
    shown = [*low, *high, *limits, *values]
    room = 0.08 * ((max(shown) - min(shown)) or 1.0)
    bottom, top = min(shown) - room, max(shown) + room
    # To half a run beyond both ends, so that a single run has a band too.
    ends = [x[0] - 0.5, *x, x[-1] + 0.5]
    low, high, limits = ([v[0], *v, v[-1]] for v in (low, high, limits))
    axis.fill_between(ends, low, high, alpha=0.3, color=GREY, linewidth=0)
    beyond = top if there[-1][1].direction == "above" else bottom
    axis.fill_between(ends, limits, beyond, alpha=0.12, color=RED, linewidth=0)
    axis.plot(ends, limits, color=RED, linewidth=1, linestyle=(0, (4, 2)))
    axis.plot(x, values, color=BLUE, linewidth=0.8)
    for i, gate in there:
        axis.plot([i], [gate.value], linestyle="", clip_on=False, **_MARKS[gate.verdict])
    axis.set_xlim(0.5, len(gates) + 0.5)
    axis.set_ylim(bottom, top)
    axis.set_title(f"{name}: {number(values[-1])}, {there[-1][1].verdict}", fontsize=8, loc="left")
    axis.locator_params(axis="x", integer=True, nbins=8)
    axis.locator_params(axis="y", nbins=5)
    bare(axis, 6)


def _label(name: str, gates: Sequence[Gate | None]) -> str:
    there = [(i, gate) for i, gate in enumerate(gates, 1) if gate and gate.value is not None]
    if not there:
        return f"{name}: no number in any run"
    first, last = there[0][1], there[-1][1]
    failed = [str(i) for i, gate in there if gate.verdict == "fail"]
    return (
        f"{name} over {len(there)} runs: from {number(first.value)} to {number(last.value)}, real "
        f"images {number(last.floor_mean)} ± {number(last.floor_sd, 2)}, limit {threshold(last)}; "
        + (f"failed in run {', '.join(failed)}" if failed else "never failed")
    )


def _header(found: History) -> list[str]:
    return ["", "run", "generator", *found.gates]


def _cells(found: History) -> list[list[str]]:
    rows = []
    for i, name in enumerate(found.names):
        told = f"{name} ({found.made[i]})" if found.made[i] else name
        cells = [_cell(gates[i]) for gates in found.gates.values()]
        rows.append([str(i + 1), told, found.generators[i], *cells])
    return rows


def _cell(gate: Gate | None) -> str:
    if gate is None:
        return "-"
    return f"{number(gate.value)} {'FAIL' if gate.verdict == 'fail' else gate.verdict}"
