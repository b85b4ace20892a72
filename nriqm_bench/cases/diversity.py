"""Lost diversity: repeats (M3), missing kinds of image (D1), truncation (D3)."""

from __future__ import annotations

from nriqm_bench.cases.case import Case
from nriqm_bench.cases.claims import (
    COARSE_COUNTS,
    DUPLICATES,
    LOST_MODES,
    OURS,
    PAPER,
    SITES_DROWN,
    TRUNCATED,
)

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_QUICK_SHARES = (0.0, 0.5, 1.0)

DUPLICATION = Case(
    name="internal-duplication",
    experiment="M3",
    perturbation="internal-duplication",
    levels=(0.0, 0.25, 0.5, 0.75, 0.9),
    quick=(0.0, 0.5, 0.9),
    expect=DUPLICATES,
    summary="images are replaced by repeats of other images of the same set",
    source=PAPER,
    evidence="P",
)
MODE_DROP = Case(
    name="mode-drop",
    experiment="D1",
    perturbation="mode-drop",
    levels=_SHARES,
    quick=_QUICK_SHARES,
    expect=LOST_MODES,
    blind=(SITES_DROWN,),
    summary="images of some sites are replaced by repeats of the other sites'",
    source="our choice of mode; mode collapse is the paper's",
    evidence="P",
    held_out_only=True,
)
LESION_MODE_DROP = Case(
    name="lesion-mode-drop",
    experiment="D1",
    perturbation="lesion-mode-drop",
    levels=_SHARES,
    quick=_QUICK_SHARES,
    expect=LOST_MODES,
    blind=(SITES_DROWN,),
    summary="images of large tumours are replaced by repeats of those of smaller ones",
    source="our choice of mode; mode collapse is the paper's",
    evidence="P",
    held_out_only=True,
    region="lesion",
)
TRUNCATION = Case(
    name="truncation",
    experiment="D3",
    perturbation="truncation",
    levels=(0.0, 0.3, 0.6, 0.8, 0.9),
    quick=(0.0, 0.6, 0.9),
    expect=TRUNCATED,
    blind=COARSE_COUNTS,
    summary="untypical images are replaced by repeats of typical ones",
    source=OURS,
    evidence="O",
    held_out_only=True,
)
