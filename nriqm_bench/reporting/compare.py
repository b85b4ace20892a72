"""Two runs side by side: what moved, in SD of the noise floor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nriqm_bench.reporting import summary
from nriqm_bench.reporting.schema import Run

# Gates worsen by chance too, and both runs are draws: a difference has root 2 times the floor's SD.
# A regression is a worsening by more than three of these.
REGRESSION = 3 * math.sqrt(2)


@dataclass(frozen=True)
class Change:
    """One gate in both runs; `effect` is the worsening in floor SD of the first run."""

    name: str
    before: float
    after: float
    effect: float
    before_verdict: str
    after_verdict: str

    @property
    def regressed(self) -> bool:
        """Worse by more than `REGRESSION` floor SD, or failing where it passed."""
        fell = self.before_verdict == "pass" and self.after_verdict == "fail"
        return fell or self.effect > REGRESSION


def comparable(before: Run, after: Run) -> None:
    """Nothing, for runs of the same data and settings.

    Raises
    ------
    ValueError
        When the runs were made with different data or settings: the sentence names them.
    """
    differing = [
        f"{name} ({before.settings.get(name)} and {after.settings.get(name)})"
        for name in ("n", "extractor", "quick", "metric")
        if before.settings.get(name) != after.settings.get(name)
    ]
    if before.dataset.get("key") != after.dataset.get("key"):
        differing.insert(0, f"dataset ({before.dataset['spec']} and {after.dataset['spec']})")
    if before.dataset.get("size") != after.dataset.get("size"):
        sizes = f"{before.dataset.get('size')} and {after.dataset.get('size')}"
        differing.append(f"size of the images ({sizes})")
    if differing:
        raise ValueError(f"the runs cannot be compared: they differ in {', '.join(differing)}")


def compare(before: Run, after: Run) -> list[Change]:
    """The gates that both runs have, by name and, where names agree, by generator.

    The gate ``regression`` is itself a comparison and left out.

    Raises
    ------
    ValueError
        As `comparable`.
    """
    comparable(before, after)
    one_each = len(before.generator) == len(after.generator) == 1
    old = {(g.name, "" if one_each else g.generator): g for g in before.gates}
    changes = []
    for gate in after.gates:
        found = old.get((gate.name, "" if one_each else gate.generator))
        if found is None or gate.name == "regression":
            continue
        sign = 1 if gate.direction == "above" else -1
        sd = found.floor_sd or gate.floor_sd or 1.0
        changes.append(
            Change(
                name=gate.name if one_each else f"{gate.generator}: {gate.name}",
                before=found.value,
                after=gate.value,
                effect=sign * (gate.value - found.value) / sd,
                before_verdict=found.verdict,
                after_verdict=gate.verdict,
            )
        )
    return changes


def render(changes: Sequence[Change]) -> list[str]:
    """The changes as lines of text."""
    if not changes:
        return ["The runs have no gate in common."]
    rows = [("gate", "before", "after", "worse by", "verdict")]
    for c in changes:
        verdict = c.after_verdict
        if c.before_verdict != c.after_verdict:
            verdict = f"{c.before_verdict} -> {c.after_verdict}"
        told = "REGRESSION, " if c.regressed else ""
        rows.append(
            (
                c.name,
                summary.number(c.before),
                summary.number(c.after),
                f"{summary.effect(c.effect)} SD",
                told + verdict,
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    return [
        "  ".join(
            cell.ljust(w) if i in (0, 4) else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
