"""Sanity checks of fidelity and diversity metrics on clouds of points with known answers.

Fifteen experiments by Raisa, van Breugel and van der Schaar (ICML 2025, arXiv 2505.22450): what a
fidelity or a diversity metric must give is known in each, and no metric passes all.

>>> from nriqm_bench import sanity
>>> found = sanity.run(sanity.get("mean-difference-pareto"), ["density"], repeats=2)
>>> found["density"].cells["fidelity"]["D1"].passed
True
"""

from nriqm_bench.sanity.check import DESIDERATA, KINDS, Check, Criterion, Kind, Part
from nriqm_bench.sanity.checks import CHECKS, get
from nriqm_bench.sanity.choosing import columns
from nriqm_bench.sanity.criteria import Judgement
from nriqm_bench.sanity.judging import Cell, Sweep, judge
from nriqm_bench.sanity.measuring import METRICS, OPTIONS, REPEATS, Result, kinds, run
from nriqm_bench.sanity.published import FAILED, PUBLISHED, SOURCE, Comparison, compare, mark
from nriqm_bench.sanity.table import Entry, entries, render

__all__ = [
    "CHECKS",
    "DESIDERATA",
    "FAILED",
    "KINDS",
    "METRICS",
    "OPTIONS",
    "PUBLISHED",
    "REPEATS",
    "SOURCE",
    "Cell",
    "Check",
    "Comparison",
    "Criterion",
    "Entry",
    "Judgement",
    "Kind",
    "Part",
    "Result",
    "Sweep",
    "columns",
    "compare",
    "entries",
    "get",
    "judge",
    "kinds",
    "mark",
    "render",
    "run",
]
