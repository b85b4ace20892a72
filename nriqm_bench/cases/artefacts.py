"""Artefacts of every image, A1."""

from __future__ import annotations

from nriqm_bench.cases.case import Case
from nriqm_bench.cases.claims import (
    ANOTHER_SHAPE,
    BLURRED,
    FAINT,
    FIDELITY_FALLS,
    OURS,
    SEEN_THROUGH,
)


def _artefact(name: str, summary: str, *levels: float, **changes: object) -> Case:
    """Five strengths; the quick look takes the third and the last."""
    fields: dict[str, object] = {
        "name": name,
        "experiment": "A1",
        "perturbation": name,
        "levels": (0.0, *levels),
        "quick": (0.0, levels[-3], levels[-1]),
        "expect": FIDELITY_FALLS,
        "blind": FAINT,
        "summary": summary,
        "source": OURS,
        "evidence": "O",
        "held_out_only": True,
    }
    return Case(**(fields | changes))  # type: ignore[arg-type]


BLUR = _artefact(
    "blur",
    "every image is smoothed by a Gaussian",
    *(0.4, 0.6, 1.0, 2.0),
    quick=(0.0, 1.0, 2.0),
    expect=BLURRED,
    held_out_only=False,
)
BIAS_FIELD = _artefact(
    "bias-field",
    "a smooth field brightens and darkens every image",
    *(0.2, 0.4, 0.6, 0.75, 0.9),
    blind=(*FAINT, SEEN_THROUGH),
)
GIBBS = _artefact(
    "gibbs", "high spatial frequencies are cut off: ringing", 0.2, 0.35, 0.5, 0.65, 0.8
)
SPIKE = _artefact(
    "spike", "one wrong sample of k-space lays stripes over every image", 0.02, 0.05, 0.1, 0.2, 0.4
)
GHOSTING = _artefact(
    "ghosting", "ghosts of the head repeat along the phase-encoding axis", 0.05, 0.1, 0.2, 0.3, 0.5
)
MOTION = _artefact(
    "motion", "the head moves between the segments of k-space", 0.5, 1.0, 2.0, 3.0, 4.0
)
GAMMA = _artefact(
    "gamma",
    "grey values follow a power law",
    *(0.2, 0.4, 0.6, 0.9, 1.2),
    blind=(*FAINT, SEEN_THROUGH),
)
ELASTIC = _artefact("elastic", "the anatomy is deformed smoothly", 1.0, 2.0, 3.0, 5.0, 8.0)
TRANSLATION = _artefact(
    "translation", "every image is shifted", 2.0, 4.0, 8.0, 16.0, 24.0, expect=ANOTHER_SHAPE
)
