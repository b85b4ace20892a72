"""HTML: one self-contained page, readable without JavaScript, in light and dark."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from importlib.resources import files

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from nriqm_bench.reporting import downstream, summary
from nriqm_bench.reporting.schema import Agreement, Gate, Row, Run

_WORDS = {"pass": "good", "fail": "bad", "error": "bad", "blind (known)": "blind"}


def render(run: Run) -> str:
    """The run as one HTML page; equal runs give equal pages."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = files("nriqm_bench.reporting").joinpath("run.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        run=run,
        s=summary,
        decisions=summary.decisions(run),
        failures=summary.failures(run),
        matrices=summary.matrices(run),
        curves=[(title, _curves(rows)) for title, rows in _grouped(run)],
        d=downstream,
        rankings=[(*ranking, _scatter(ranking[2])) for ranking in downstream.rankings(run)],
        gate_bar=_gate_bar,
        word=lambda verdict: _WORDS.get(verdict, "plain"),
        provenance=json.dumps(
            {
                "environment": dict(run.environment),
                "dataset": dict(run.dataset),
                "generator": [dict(g) for g in run.generator],
                "settings": dict(run.settings),
            },
            indent=1,
        ),
    )


def _grouped(run: Run) -> list[tuple[str, list[Row]]]:
    """The curves of which something is asked, by case and source."""
    groups: dict[str, list[Row]] = {}
    for row in run.rows:
        if row.verdict != "unspecified":
            groups.setdefault(f"{row.experiment} {row.case}, {row.source}", []).append(row)
    return list(groups.items())


def _curves(rows: Sequence[Row]) -> Markup:
    """Each metric's effect along one case, feature space by feature space; 3 floor SD shaded."""
    spaces = list(dict.fromkeys(row.extractor for row in rows))
    longest = max(sum(row.extractor == space for row in rows) for space in spaces)
    lines = -(-len(spaces) // 2)
    height = max(2.0, 0.13 * longest + 0.5)
    figure = Figure(figsize=(9.6, height * lines), layout="constrained")
    axes = figure.subplots(lines, 2, squeeze=False)
    for axis in axes.flat[len(spaces) :]:
        axis.set_axis_off()
    for axis, space in zip(axes.flat, spaces, strict=False):
        shown = [row for row in rows if row.extractor == space]
        # From the worst downwards, so that the legend stands as the curves end.
        for row in sorted(shown, key=lambda row: -row.effect):
            sign = -1 if (row.values[-1] - row.values[0]) * row.effect < 0 else 1
            effects = [sign * (v - row.values[0]) / row.floor_sd for v in row.values]
            label = f"{row.metric}: {row.verdict}"
            axis.plot(range(len(effects)), effects, marker="o", ms=2, linewidth=1, label=label)
        axis.axhspan(-3, 3, alpha=0.15, color="gray", linewidth=0)
        axis.set_yscale("symlog", linthresh=3)
        axis.set_title(space, fontsize=8)
        axis.set_xticks(range(len(shown[0].levels)), [f"{v:g}" for v in shown[0].levels])
        axis.tick_params(labelsize=6)
        axis.legend(fontsize=5, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return _svg(figure, f"effect in floor SD over the levels of {rows[0].case}")


def _gate_bar(gate: Gate) -> Markup:
    """Floor (mean and 2 SD), limit and value of a gate on one line."""
    figure = Figure(figsize=(2.6, 0.42), layout="constrained")
    axis = figure.subplots()
    low, high = gate.floor_mean - 2 * gate.floor_sd, gate.floor_mean + 2 * gate.floor_sd
    axis.axvspan(low, high, alpha=0.3, color="gray", linewidth=0)
    axis.axvline(gate.threshold, color="#c33", linewidth=1.4)
    axis.plot([gate.value], [0], marker="D", color="#2673c4", markersize=6, clip_on=False)
    axis.set_yticks([])
    axis.tick_params(labelsize=6)
    for side in ("left", "right", "top"):
        axis.spines[side].set_visible(False)
    return _svg(figure, f"value {gate.value:.3g}, limit {gate.threshold:.3g}, floor shaded")


def _scatter(rows: Sequence[Agreement]) -> Markup:
    """Each metric against what is downstream, a panel each; items are told apart by colour."""
    columns = min(6, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(9.6, 1.5 * lines + 0.5), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis in axes.flat[len(rows) :]:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, rows, strict=False):
        for k, (value, found) in enumerate(zip(row.values, row.downstream, strict=True)):
            axis.plot([value], [found], marker="os^Dv<>P"[k % 8], color=f"C{k % 10}", ms=4, ls="")
        axis.set_title(f"{row.metric} {downstream.tau(row)}", fontsize=7)
        axis.tick_params(labelsize=5)
    figure.supylabel("Dice" if rows[0].over == "generators" else "Dice lost", fontsize=7)
    figure.legend(
        list(axes.flat[0].lines),
        rows[0].items,
        loc="outside lower center",
        ncols=4,
        fontsize=6,
        frameon=False,
    )
    return _svg(figure, f"metrics against Dice downstream over {rows[0].over}")


def _svg(figure: Figure, label: str) -> Markup:
    """The figure as an inline SVG that follows the page's colours."""
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "nriqm_bench", "svg.fonttype": "none"}):
        figure.patch.set_alpha(0)
        for axis in figure.axes:
            axis.patch.set_alpha(0)
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    text = out.getvalue()
    body = text[text.index("<svg") :]
    # Labels and axes in the page's text colour, so that one drawing serves light and dark.
    body = body.replace("stroke: #000000", "stroke: currentColor").replace(
        "fill: #000000", "fill: currentColor"
    )
    body = body.replace('<text style="', '<text style="fill: currentColor; ')
    return Markup(body.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))
