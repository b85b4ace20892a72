"""CSV: one row a value, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io

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
)


def render(run: Run) -> str:
    """The levels and values of every row; gates have the case ``gate`` and the level empty.

    `effect` is that of the whole curve.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_HEADER)
    for row in run.rows:
        for level, value in zip(row.levels, row.values, strict=True):
            writer.writerow(
                (
                    row.source,
                    row.case,
                    row.experiment,
                    row.extractor,
                    row.metric,
                    level,
                    value,
                    row.floor_mean,
                    row.floor_sd,
                    row.effect,
                    row.verdict,
                )
            )
    for gate in run.gates:
        writer.writerow(
            (
                gate.generator,
                f"gate {gate.name}",
                "",
                gate.extractor,
                gate.metric,
                "",
                gate.value,
                gate.floor_mean,
                gate.floor_sd,
                "",
                gate.verdict,
            )
        )
    return out.getvalue()
