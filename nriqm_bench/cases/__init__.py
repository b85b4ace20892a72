"""The experiments as data: what is done to the images, and what a trustworthy metric must do.

Sources: "the paper" is Deo et al. 2025, "Metrics that matter", arXiv 2505.07175. Its levels are
not public: every level here is our own choice. `evidence` says how sure we are that a case is the
paper's: C certain, P probable, O our own. What a metric must do is in `nriqm_bench.cases.claims`.
"""

from __future__ import annotations

from nriqm_bench.cases import (
    artefacts,
    diversity,
    lesion,
    memorisation,
    noise,
    shift,
    vessel,
)
from nriqm_bench.cases.artefacts import BLUR
from nriqm_bench.cases.case import HELD_OUT, BlindSpot, Case
from nriqm_bench.cases.diversity import DUPLICATION
from nriqm_bench.cases.memorisation import TRAINING_COPIES
from nriqm_bench.cases.noise import GAUSSIAN_NOISE
from nriqm_bench.registry import Registry

__all__ = [
    "BLUR",
    "DUPLICATION",
    "GAUSSIAN_NOISE",
    "HELD_OUT",
    "TRAINING_COPIES",
    "BlindSpot",
    "Case",
    "get",
    "names",
    "register",
    "registry",
]

_ROOMS = (noise, artefacts, lesion, vessel, memorisation, diversity, shift)

registry: Registry[Case] = Registry(
    "case",
    "nriqm_bench.cases",
    {
        case.name: f"{room.__name__}:{attribute}"
        for room in _ROOMS
        for attribute, case in vars(room).items()
        if isinstance(case, Case)
    },
)
get = registry.get
names = registry.names
register = registry.add
