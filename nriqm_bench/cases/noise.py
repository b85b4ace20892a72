"""Noise of every image, N1 to N3."""

from __future__ import annotations

from nriqm_bench.cases.case import Case
from nriqm_bench.cases.claims import FAINT, FIDELITY_FALLS, PAPER, SEES_THROUGH_NOISE

_SIGMAS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_QUICK_SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2)

GAUSSIAN_NOISE = Case(
    name="gaussian-noise",
    experiment="N1",
    perturbation="gaussian-noise",
    levels=_SIGMAS,
    quick=_QUICK_SIGMAS,
    expect=FIDELITY_FALLS,
    elsewhere=SEES_THROUGH_NOISE,
    blind=FAINT,
    summary="white Gaussian noise is added to every image",
    source=PAPER,
    evidence="P",
)
POISSON_NOISE = Case(
    name="poisson-noise",
    experiment="N2",
    perturbation="poisson-noise",
    levels=(0.0, 0.01, 0.02, 0.03, 0.05, 0.1),
    quick=(0.0, 0.03, 0.1),
    expect=FIDELITY_FALLS,
    blind=FAINT,
    summary="every pixel is drawn from a Poisson distribution: 10 000 to 100 photons at white",
    source=PAPER,
    evidence="P",
    held_out_only=True,
)
RICIAN_NOISE = Case(
    name="rician-noise",
    experiment="N3",
    perturbation="rician-noise",
    levels=_SIGMAS,
    quick=_QUICK_SIGMAS,
    expect=FIDELITY_FALLS,
    blind=FAINT,
    summary="the magnitude noise of MR images is added to every image",
    source=PAPER,
    evidence="P",
)
