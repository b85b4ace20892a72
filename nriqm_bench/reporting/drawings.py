"""The drawings of the HTML page: inline SVG that follows the page's colours, in light and dark."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from nriqm_bench.reporting import downstream
from nriqm_bench.reporting.schema import Agreement, Gate, Row
from nriqm_bench.reporting.summary import number

# Within this many floor SD a change is noise: the scale of every curve is linear in it.
BAND = 3.0

# Colours that are told apart by readers with any colour vision, on white and on near-black.
RED, BLUE, AMBER, GREY = "#c8452f", "#3b7dc4", "#c08a1e", "#808080"
_LINES: dict[str, dict[str, Any]] = {
    "fail": {"color": RED, "linewidth": 1.6},
    "error": {"color": RED, "linewidth": 1.6},
    "pass": {"color": BLUE, "linewidth": 0.9},
    "blind (known)": {"color": AMBER, "linewidth": 0.9, "linestyle": (0, (4, 2))},
}
_OTHERS: dict[str, Any] = {"color": "#888888", "linewidth": 0.7, "linestyle": (0, (1, 2))}

_TICKS = (-300, -30, -3, 0, 3, 10, 30, 100, 300, 1000)

# Of the small curves in tables.
_WIDTH, _HEIGHT = 120, 30


def gate(found: Gate) -> Markup:
    """Value (diamond) with its interval, limit (line, failing side shaded) and floor (2 SD)."""
    figure = Figure(figsize=(3.2, 0.5), layout="constrained")
    axis = figure.subplots()
    low, high = found.floor_mean - 2 * found.floor_sd, found.floor_mean + 2 * found.floor_sd
    shown = [low, high, found.value, found.threshold, *(found.interval or ())]
    room = 0.06 * ((max(shown) - min(shown)) or 1.0)
    left, right = min(shown) - room, max(shown) + room
    axis.set_xlim(left, right)
    axis.set_ylim(-1, 1)
    beyond = (found.threshold, right) if found.direction == "above" else (left, found.threshold)
    axis.axvspan(*beyond, alpha=0.16, color=RED, linewidth=0)
    axis.axvspan(low, high, ymin=0.2, ymax=0.8, alpha=0.35, color=GREY, linewidth=0)
    axis.axvline(found.floor_mean, ymin=0.2, ymax=0.8, color=GREY, linewidth=1)
    axis.axvline(found.threshold, color=RED, linewidth=1.4)
    if found.interval:
        axis.plot(list(found.interval), [0, 0], color=BLUE, linewidth=1.4)
    axis.plot([found.value], [0], marker="D", color=BLUE, markersize=5, clip_on=False)
    axis.set_yticks([])
    bare(axis, 6)
    axis.locator_params(axis="x", nbins=5)
    axis.spines["left"].set_visible(False)
    side = "above" if found.direction == "above" else "below"
    return svg(
        figure,
        f"{found.name}: value {number(found.value)}; fails {side} {number(found.threshold)}; real "
        f"images {number(low)} to {number(high)}",
    )


def case(rows: Sequence[Row]) -> Markup:
    """Every metric's effect along one case, a panel each feature space, floor band shaded.

    A circle marks the level from which a metric sees the damage; the first, the last and those
    that failed carry their names.
    """
    spaces = list(dict.fromkeys(row.extractor for row in rows))
    columns = min(4, len(spaces))
    lines = -(-len(spaces) // columns)
    figure = Figure(figsize=(9.6 * max(columns, 3) / 4, 1.75 * lines + 0.1), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for axis in axes.flat[len(spaces) :]:
        axis.set_axis_off()
    for axis, space in zip(axes.flat, spaces, strict=False):
        _panel(axis, [row for row in rows if row.extractor == space])
        axis.set_title(space, fontsize=7, loc="left", pad=3)
    return svg(figure, f"effect in floor SD over the levels of {rows[0].case}")


def _panel(axis: Axes, rows: Sequence[Row]) -> None:
    axis.axhspan(-BAND, BAND, alpha=0.16, color=GREY, linewidth=0)
    ordered = sorted(rows, key=lambda row: row.effect)
    named = {id(ordered[0]), id(ordered[-1])} | {id(r) for r in rows if r.verdict == "fail"}
    last = -math.inf
    for row in ordered:
        found = effects(row)
        axis.plot(range(len(found)), found, **_LINES.get(row.verdict, _OTHERS))
        seen = first_seen(row)
        if seen is not None:
            axis.plot([seen], [found[seen]], marker="o", ms=2.5, color=GREY)
        # Names that would lie over each other are left to the table.
        place = _scaled(found[-1])
        if id(row) in named and place - last > 0.25:
            axis.annotate(
                row.metric, (len(found) - 1, found[-1]), (3, -2), textcoords="offset points",
                fontsize=5.5, annotation_clip=False,
            )  # fmt: skip
            last = place
    axis.set_yscale("symlog", linthresh=BAND)
    low, high = axis.get_ylim()
    ticks = [tick for tick in _TICKS if low <= tick <= high]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xticks(range(len(rows[0].levels)), [f"{level:g}" for level in rows[0].levels])
    bare(axis, 5.5)
    axis.margins(x=0.02)


def spark(row: Row) -> Markup:
    """One curve of a table: its effect over the levels, the floor's band, and where it is seen.

    Hidden from screen readers, as the cells beside it say the same in numbers.
    """
    found = [_scaled(value) for value in effects(row)]
    low, high = min(-1.0, *found), max(1.0, *found)

    def x(i: int) -> float:
        return 3 + (_WIDTH - 6) * i / (len(found) - 1)

    def y(value: float) -> float:
        return 3 + (_HEIGHT - 6) * (high - value) / (high - low)

    points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(found))
    seen = first_seen(row)
    dot = "" if seen is None else f'<circle cx="{x(seen):.1f}" cy="{y(found[seen]):.1f}" r="2.6"/>'
    return Markup(
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f'<rect x="0" y="{y(1):.1f}" width="{_WIDTH}" height="{y(-1) - y(1):.1f}"/>'
        f'<polyline points="{points}"/>{dot}</svg>'
    )


def effects(row: Row) -> list[float]:
    """The effect at every level in floor SD, + for worse; 0 at the first."""
    change = row.values[-1] - row.values[0]
    sign = -1 if change * row.effect < 0 else 1
    return [sign * (value - row.values[0]) / row.floor_sd for value in row.values]


def first_seen(row: Row) -> int | None:
    """Where the metric begins to see the damage; None where it does not."""
    if row.detection_level is None:
        return None
    return next((i for i, v in enumerate(row.levels) if v >= row.detection_level), None)


def _scaled(effect: float) -> float:
    """An effect on the scale of the drawings: linear within the band, which is 1."""
    if abs(effect) <= BAND:
        return effect / BAND
    return math.copysign(1 + math.log10(abs(effect) / BAND), effect)


def scatter(rows: Sequence[Agreement]) -> Markup:
    """Each metric against what is downstream, a panel each; items have a colour and a shape."""
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
        bare(axis, 5)
        axis.locator_params(nbins=4)
    figure.supylabel("Dice" if rows[0].over == "generators" else "Dice lost", fontsize=7)
    figure.legend(
        list(axes.flat[0].lines),
        rows[0].items,
        loc="outside lower center",
        ncols=4,
        fontsize=6,
        frameon=False,
    )
    return svg(figure, f"metrics against Dice downstream over {rows[0].over}")


def bare(axis: Axes, size: float) -> None:
    """Short ticks with labels of `size` points, and no frame to the right and at the top."""
    axis.tick_params(labelsize=size, length=2, pad=1)
    axis.spines[["right", "top"]].set_visible(False)


def svg(figure: Figure, label: str) -> Markup:
    """A figure as inline SVG with a text for those who cannot see it.

    What is black takes the colour of the page's text, so that one drawing serves light and dark.
    Coordinates are cut to hundredths of a point, which halves the bytes.
    """
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "nriqm_bench", "svg.fonttype": "none"}):
        figure.patch.set_alpha(0)
        for axis in figure.axes:
            axis.patch.set_alpha(0)
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    text = out.getvalue()
    body = text[text.index("<svg") :]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(?<=\d\.\d\d)\d+", "", tag[0]), body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    body = body.replace("stroke: #000000", "stroke: currentColor").replace(
        "fill: #000000", "fill: currentColor"
    )
    body = body.replace('<text style="', '<text style="fill: currentColor; ')
    return Markup(body.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))
