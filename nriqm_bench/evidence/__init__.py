"""When is a change of a metric real? Curves, noise floors, expectations and verdicts: numbers only.

Nothing here knows images, torch or pytest: a `Curve` is made of levels and values, judged against
a `Floor`, and answers an `Expectation` with a `Verdict` that is true or false and reads as a
sentence.
"""

from __future__ import annotations

from nriqm_bench.evidence.agreement import Agreement, kendall
from nriqm_bench.evidence.curve import Curve
from nriqm_bench.evidence.expectations import (
    Expectation,
    bell,
    converges,
    degrades,
    flat,
    improves,
    linear,
    not_better,
    outweighed,
    unspecified,
)
from nriqm_bench.evidence.floor import Floor, ShareFloor, holm
from nriqm_bench.evidence.hotelling import HotellingFloor, Means, distance
from nriqm_bench.evidence.verdict import Verdict

__all__ = [
    "Agreement",
    "Curve",
    "Expectation",
    "Floor",
    "HotellingFloor",
    "Means",
    "ShareFloor",
    "Verdict",
    "bell",
    "converges",
    "degrades",
    "distance",
    "flat",
    "holm",
    "improves",
    "kendall",
    "linear",
    "not_better",
    "outweighed",
    "unspecified",
]
