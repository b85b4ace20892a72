"""Local damage to vessels, V1, and its matched control, L4."""

from __future__ import annotations

from nriqm_bench.cases.case import Case
from nriqm_bench.cases.claims import AVERAGED_AWAY, COARSE_COUNTS, FIDELITY_FALLS, OURS
from nriqm_bench.cases.lesion import control

_DIAMETERS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8)
_SHARES = (0.0, 0.1, 0.2, 0.4, 0.8)


def _vessel(name: str, summary: str, *levels: float, quick: tuple[float, ...]) -> Case:
    return Case(
        name=name,
        experiment="V1",
        perturbation=name,
        levels=levels,
        quick=quick,
        expect=FIDELITY_FALLS,
        blind=(AVERAGED_AWAY, *COARSE_COUNTS),
        summary=summary,
        source=OURS,
        evidence="O",
        held_out_only=True,
        region="vessel",
    )


STENOSIS = _vessel(
    "stenosis", "the widest vessels are narrowed in one place", *_DIAMETERS, quick=(0.0, 0.5, 0.8)
)
DILATION = _vessel(
    "dilation", "the widest vessels are widened in one place", *_DIAMETERS, quick=(0.0, 0.5, 0.8)
)
MISSING_BRANCHES = _vessel(
    "missing-branches", "a share of the branches is missing", *_SHARES, quick=(0.0, 0.2, 0.8)
)
GAPS = _vessel(
    "gaps", "a share of the vessel segments is interrupted", *_SHARES, quick=(0.0, 0.2, 0.8)
)
STENOSIS_CONTROL = control(STENOSIS)
