"""Distribution shift: another mix of sites, D2."""

from __future__ import annotations

from nriqm_bench.cases.case import Case
from nriqm_bench.cases.claims import PAPER, SHIFTED_DENSITY, SITES_DROWN

DENSITY_SHIFT = Case(
    name="density-shift",
    experiment="D2",
    perturbation="density-shift",
    levels=(0.0, 0.25, 0.5, 0.75, 1.0),
    quick=(0.0, 0.5, 1.0),
    expect=SHIFTED_DENSITY,
    blind=(SITES_DROWN,),
    summary="the mix of sites moves from about half and half to some of the sites alone",
    source=PAPER,
    evidence="P",
    held_out_only=True,
)
