"""What every report says of the downstream task, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from nriqm_bench.reporting.schema import Agreement, Downstream, Run
from nriqm_bench.reporting.summary import number

EXPLAINED = (
    "ratio: Dice of a network trained on these images over that of one trained on equally many "
    "real ones; its 95 % interval is over test subjects",
    "with real: Dice after training on these and the real images together",
    "AUC: of a classifier that tells these images from real ones; .5 is perfect",
    "damaged images keep the masks of undamaged ones, and are compared with held-out",
)
AGREEMENT = (
    "Kendall's tau: +1 when a better score always goes with better segmentation downstream, 0 when "
    "it says nothing about it"
)


def title(run: Run) -> str:
    """What the table shows."""
    return f"Downstream: U-Nets tested on {run.downstream[0].images} real images"


def header(run: Run) -> list[str]:
    """The columns of `table`."""
    unit = run.downstream[0].unit
    return ["trained on", "Dice", "ratio", "95 %", f"HD95 {unit}", "F1", "with real", "AUC"]


def table(run: Run) -> list[list[str]]:
    """One line a training set; the first is the real images that others are compared with."""
    lines = []
    own = next((row for row in run.downstream if not row.case), None)
    if own is not None:
        lines.append(["real images", _fixed(own.real_dice[0]), _fixed(1), *[""] * 5])
    return lines + [_line(row) for row in run.downstream]


def _line(row: Downstream) -> list[str]:
    low, high = (_fixed(end, 2) for end in row.dice_ratio[1:])
    return [
        f"{row.source}, {row.case} {number(row.level)}" if row.case else row.source,
        _fixed(row.dice[0]),
        _fixed(row.dice_ratio[0]),
        f"{low}-{high}",
        number(row.hd95[0]),
        _fixed(row.f1[0]),
        "" if row.both_dice is None else _fixed(row.both_dice[0]),
        "" if row.auc is None else _fixed(row.auc[0], 2),
    ]


def _fixed(value: float, digits: int = 3) -> str:
    """A share with all its digits, so that a column lines up."""
    return f"{value:.{digits}f}".removeprefix("0")


def cost(run: Run) -> str:
    """How long the trainings took."""
    seconds = sum(row.seconds for row in run.downstream)
    steps = [step for row in run.downstream for step in row.steps]
    few, many = min(steps), max(steps)
    told = f"{few}" if few == many else f"{few} to {many}"
    return (
        f"trainings ended after {told} steps; those behind this table took {seconds:.0f} s when "
        "they were done"
    )


def rankings(run: Run) -> list[tuple[str, str, list[Agreement]]]:
    """What is ranked, the feature space, and its metrics with the best agreement first."""
    groups: dict[tuple[str, str], list[Agreement]] = {}
    for row in run.agreement:
        groups.setdefault((row.over, row.extractor), []).append(row)
    return [
        (over, space, sorted(rows, key=lambda row: (-row.tau, row.metric)))
        for (over, space), rows in groups.items()
    ]


def ranking_title(over: str, rows: Sequence[Agreement]) -> str:
    """What one ranking says."""
    return f"Metrics against Dice downstream: Kendall's tau over {len(rows[0].items)} {over}"


def tau(row: Agreement) -> str:
    """A rank correlation with its sign."""
    text = number(abs(row.tau), 2)
    return f"{'-' if row.tau < 0 else '+'}{text}"


def cells(rows: Sequence[Agreement]) -> list[list[str]]:
    """Of each metric its name, tau, interval and p."""
    return [[row.metric, tau(row), interval(row), number(row.p, 2)] for row in rows]


def interval(row: Agreement) -> str:
    """The 95 % interval of a rank correlation."""
    return f"{number(row.interval[0], 2)} to {number(row.interval[1], 2)}"


def caution(rows: Sequence[Agreement]) -> str:
    """What so few items can say at most."""
    n = len(rows[0].items)
    least = {3: "1 in 6", 4: "1 in 24"}.get(n)
    return (
        f"{n} items: a random order agrees fully {least} times, so no correlation here is evidence"
        if least
        else f"{n} items: intervals are from a bootstrap of them"
    )
