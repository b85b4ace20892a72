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

    `effect` is that of the whole curve. What segmenters found has the case ``downstream``, and
    Kendall's tau of a metric with it the case ``agreement``.
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
    for found in run.downstream:
        for name in ("dice", "dice_ratio", "hd95", "hd95_ratio", "f1", "f1_ratio"):
            case = f"downstream {found.case}".strip()
            value = getattr(found, name)[0]
            writer.writerow((found.source, case, "", "", name, found.level, value, *[""] * 4))
    for ranked in run.agreement:
        case = f"agreement {ranked.over}"
        writer.writerow(("", case, "", ranked.extractor, ranked.metric, "", ranked.tau, *[""] * 4))
    return out.getvalue()
