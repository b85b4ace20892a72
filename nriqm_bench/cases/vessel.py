"""Local damage to vessels, V1, and its matched control, L4."""

from __future__ import annotations

from nriqm_bench.cases.case import Case
from nriqm_bench.cases.claims import (
    ANOTHER_SHAPE,
    ANOTHER_WIDTH,
    AVERAGED_AWAY,
    BRANCHES_NOT_FOUND,
    COARSE_COUNTS,
    FIDELITY_FALLS,
    OURS,
)
from nriqm_bench.cases.lesion import control

_DIAMETERS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.8)
_SHARES = (0.0, 0.1, 0.2, 0.4, 0.8)


def _vessel(
    name: str, summary: str, *levels: float, quick: tuple[float, ...], **changes: object
) -> Case:
    fields: dict[str, object] = {
        "name": name,
        "experiment": "V1",
        "perturbation": name,
        "levels": levels,
        "quick": quick,
        "expect": FIDELITY_FALLS,
        "blind": (AVERAGED_AWAY, *COARSE_COUNTS),
        "summary": summary,
        "source": OURS,
        "evidence": "O",
        "held_out_only": True,
        "region": "vessel",
    }
    return Case(**(fields | changes))  # type: ignore[arg-type]


STENOSIS = _vessel(
    "stenosis",
    "the widest vessels are narrowed in one place",
    *_DIAMETERS,
    quick=(0.0, 0.5, 0.8),
    expect=ANOTHER_WIDTH,
)
DILATION = _vessel(
    "dilation",
    "the widest vessels are widened in one place",
    *_DIAMETERS,
    quick=(0.0, 0.5, 0.8),
    expect=ANOTHER_WIDTH,
)
MISSING_BRANCHES = _vessel(
    "missing-branches",
    "a share of the branches is missing",
    *_SHARES,
    quick=(0.0, 0.2, 0.8),
    expect=ANOTHER_SHAPE,
    blind=(AVERAGED_AWAY, BRANCHES_NOT_FOUND, *COARSE_COUNTS),
)
GAPS = _vessel(
    "gaps", "a share of the vessel segments is interrupted", *_SHARES, quick=(0.0, 0.2, 0.8)
)
STENOSIS_CONTROL = control(STENOSIS)
