"""What images are worth downstream: a segmenter trained on them and tested on real ones.

`usefulness` compares a source with equally many real images, `floor` says what such a comparison
gives between real and real, `damage` what it makes of images that are known to be wrong.
"""

from __future__ import annotations

from nriqm_bench.downstream.estimates import Estimate, Tested
from nriqm_bench.downstream.training import Budget
from nriqm_bench.downstream.trial import Usefulness, floor, impossible, usefulness

__all__ = [
    "Budget",
    "Estimate",
    "Tested",
    "Usefulness",
    "floor",
    "impossible",
    "usefulness",
]
