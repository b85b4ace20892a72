"""The published table for the four classical metrics, cell by cell.

Source: the authors' repository DPBayes/position-fidelity-diversity-metrics-flawed, commit 09d0db3,
printed output of ``plotting/print_pass_fail_tables.ipynb`` (tables ``fidelity-pass-fails`` and
``diversity-pass-fails``), whose code also made the tables of Raisa et al. 2025 (arXiv 2505.22450).
Precision and recall have k = 3, density and coverage the least k whose expected coverage of equal
distributions is above .95, which is 5; distances up to and including the radius count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nriqm_bench.sanity.check import Kind
from nriqm_bench.sanity.judging import Cell

METRICS = ("precision", "density", "recall", "coverage")

SOURCE = "Raisa et al. 2025 (arXiv 2505.22450), tables of the authors' repository"

# Failed cells of 30. L and H (passed as a low or high diversity metric) are no failures.
FAILED = {"precision": 19, "density": 12, "recall": 21, "coverage": 17}

_TABLE = """
mean-difference              D1  T T T T
mean-difference              D4  F T F T
mean-difference-outlier      D1  F T F T
mean-difference-outlier      D4  F F F T
spread-difference            D1  T T H F
spread-difference            D4  F F F F
simultaneous-mode-dropping   D1  T F F T
simultaneous-mode-dropping   D4  F T F T
sequential-mode-dropping     D1  T T T T
sequential-mode-dropping     D4  F T F T
mode-dropping-invention      D1  T T T F
mode-dropping-invention      D4  T T T F
sphere-surface               D1  F F F F
sphere-surface               D4  F F F F
cube-overlap                 D1  F F F F
cube-overlap                 D3  F F F F
cube-overlap-fake-size       D1  F F F F
cube-overlap-fake-size       D2  T T F F
sphere-torus                 D1  T T F F
sphere-torus                 D4  T T T F
one-mode-against-two         D1  T T F F
one-mode-against-two         D4  F T F T
scaling-one-dimension        D4  F T T T
scaling-one-dimension        D5  F T F T
mean-difference-pareto       D1  T T T T
mean-difference-pareto       D4  F T T T
one-disjoint-dimension       D1  F F F F
one-disjoint-dimension       D4  F F F F
discrete-against-continuous  D1  F F F F
discrete-against-continuous  D4  F F F F
"""

_ROWS = [line.split() for line in _TABLE.strip().splitlines()]

# (check, desideratum) to metric to T, F, L or H.
PUBLISHED: dict[tuple[str, str], dict[str, str]] = {
    (check, cell): dict(zip(METRICS, marks, strict=True)) for check, cell, *marks in _ROWS
}


# The share of runs of ten repeats that fail, among such runs drawn from 100 repeats. Rare repeats,
# in which a far outlier has a huge ball, make these means, so that ten without one look sure of
# themselves: these cells always count as on a threshold.
CHANCE: dict[tuple[str, str, str], float] = {
    ("mean-difference-pareto", "D4", "precision"): 0.51,
    ("mean-difference-pareto", "D4", "recall"): 0.34,
    ("scaling-one-dimension", "D4", "precision"): 0.27,
    ("scaling-one-dimension", "D4", "recall"): 0.22,
    ("scaling-one-dimension", "D5", "precision"): 0.20,
    ("scaling-one-dimension", "D5", "recall"): 0.31,
}


@dataclass(frozen=True)
class Comparison:
    """How the cells of one metric and check compare with the published ones.

    `differ` holds a sentence for each cell that comes out differently, `by_chance` one for each
    that does so on a threshold.
    """

    differ: tuple[str, ...]
    by_chance: tuple[str, ...]


def mark(check: str, desideratum: str, metric: str, kind: Kind) -> str:
    """The published mark of a cell (T, F, L or H); empty where there is none."""
    from nriqm_bench.sanity.measuring import kinds

    row = PUBLISHED.get((check, desideratum), {})
    return row[metric] if metric in row and kinds(metric) == (kind,) else ""


def compare(check: str, metric: str, kind: Kind, cells: Mapping[str, Cell]) -> Comparison:
    """Compare measured cells with the published ones; without any, nothing differs."""
    differ, by_chance = [], []
    for desideratum, cell in cells.items():
        expected = mark(check, desideratum, metric, kind)
        if expected in ("", cell.mark):
            continue
        told = (
            f"{metric} in {check}, {desideratum}: was {cell.mark}, published {expected}; "
            f"{cell.sentence}; {cell.margin:+.3f} from the threshold, standard error "
            f"{cell.error:.3f}"
        )
        share = CHANCE.get((check, desideratum, metric))
        if share is not None:
            told += f"; {share:.0%} of runs fail"
        if cell.on_threshold or share is not None:
            by_chance.append(f"on a threshold: {told}")
        else:
            differ.append(told)
    return Comparison(tuple(differ), tuple(by_chance))
