"""What images are worth downstream: a segmenter trained on them and tested on real ones.

`usefulness` compares a source with equally many real images, `floor` says what such a comparison
gives between real and real, `damage` what it makes of images that are known to be wrong, and
`over_generators` and `over_perturbations` whether metrics rank them alike.
"""

from __future__ import annotations

from nriqm_bench.downstream.damage import Damage, damage, damages, trusted
from nriqm_bench.downstream.estimates import Estimate, Tested
from nriqm_bench.downstream.report import row
from nriqm_bench.downstream.training import Budget
from nriqm_bench.downstream.trial import Usefulness, floor, impossible, usefulness
from nriqm_bench.downstream.upstream import OVER, over_generators, over_perturbations, unranked

__all__ = [
    "OVER",
    "Budget",
    "Damage",
    "Estimate",
    "Tested",
    "Usefulness",
    "damage",
    "damages",
    "floor",
    "impossible",
    "over_generators",
    "over_perturbations",
    "row",
    "trusted",
    "unranked",
    "usefulness",
]
