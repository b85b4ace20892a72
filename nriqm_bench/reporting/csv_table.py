"""CSV: one row a value, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from nriqm_bench.reporting.schema import Run

_HEADER = (
    "source",
    "case",
    "experiment",
    "extractor",
    "metric",
    "level",
    "value",
    "floor_mean",
    "floor_sd",
    "effect",
    "verdict",
    "threshold",
    "direction",
    "low",
    "high",
)


def render(run: Run) -> str:
    """One line a value, with the columns of `_HEADER`; what a line has none of is empty.

    Of a row: every level and its value; `effect` and `verdict` are those of the whole curve. Of a
    gate (case ``gate NAME``): its value, the `threshold` and the `direction` in which it fails, and
    `low` and `high` of the value's 95 % interval. What segmenters found has the case
    ``downstream``, with the intervals of its values, and Kendall's tau of a metric with it the case
    ``agreement``. A text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    lines = [*_rows(run), *_gates(run), *_downstream(run)]
    out = io.StringIO()
    writer = csv.DictWriter(out, _HEADER, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: harmless(value) for name, value in line.items()} for line in lines)
    return out.getvalue()


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    names = ("source", "case", "experiment", "extractor", "metric", "floor_mean", "floor_sd")
    for row in run.rows:
        shared = {name: getattr(row, name) for name in (*names, "effect", "verdict")}
        for level, value in zip(row.levels, row.values, strict=True):
            yield shared | {"level": level, "value": value}


def _gates(run: Run) -> Iterator[dict[str, Any]]:
    names = ("extractor", "metric", "value", "floor_mean", "floor_sd", "verdict", "threshold")
    for gate in run.gates:
        low, high = gate.interval or ("", "")
        yield {name: getattr(gate, name) for name in (*names, "direction")} | {
            "source": gate.generator,
            "case": f"gate {gate.name}",
            "low": low,
            "high": high,
        }


def _downstream(run: Run) -> Iterator[dict[str, Any]]:
    for found in run.downstream:
        for name in ("dice", "dice_ratio", "hd95", "hd95_ratio", "f1", "f1_ratio"):
            value, low, high = getattr(found, name)
            yield {
                "source": found.source,
                "case": f"downstream {found.case}".strip(),
                "metric": name,
                "level": found.level,
                "value": value,
                "low": low,
                "high": high,
            }
    for ranked in run.agreement:
        yield {
            "case": f"agreement {ranked.over}",
            "extractor": ranked.extractor,
            "metric": ranked.metric,
            "value": ranked.tau,
            "low": ranked.interval[0],
            "high": ranked.interval[1],
        }


def harmless(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{value}" if formula else value
