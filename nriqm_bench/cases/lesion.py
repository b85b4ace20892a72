"""Local damage to lesions, L1 to L3, and the matched control, L4."""

from __future__ import annotations

from nriqm_bench.cases.case import Case
from nriqm_bench.cases.claims import (
    ANOTHER_SHAPE,
    AVERAGED_AWAY,
    COARSE_COUNTS,
    CONTROL,
    COUNTS_UNDER_NOISE,
    FIDELITY_FALLS,
    LESION_ELSEWHERE,
    OURS,
    OUTWEIGHED,
    PAPER,
)

_RADII = (0.0, 0.1, 0.25, 0.5, 1.0)


def _local(name: str, experiment: str, summary: str, *levels: float, **changes: object) -> Case:
    fields: dict[str, object] = {
        "name": name,
        "experiment": experiment,
        "perturbation": name,
        "levels": levels,
        "quick": (0.0, levels[-2], levels[-1]),
        "expect": FIDELITY_FALLS,
        "blind": (AVERAGED_AWAY, *COARSE_COUNTS),
        "summary": summary,
        "source": PAPER,
        "evidence": "P",
        "held_out_only": True,
        "region": "lesion",
    }
    return Case(**(fields | changes))  # type: ignore[arg-type]


BOUNDARY_BLUR = _local(
    "boundary-blur", "L1", "only the boundary of each tumour is smoothed", 0.0, 1.0, 2.0, 4.0
)
LESION_TILT = _local(
    "lesion-tilt",
    "L2",
    "brightness rises from one side of each tumour to the other",
    *(0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    quick=(0.0, 0.3, 0.5),
)
LESION_GROWTH = _local(
    "lesion-growth",
    "L3",
    "each tumour grows",
    *_RADII,
    expect=ANOTHER_SHAPE,
    source=OURS,
    evidence="O",
)
LESION_SHRINKAGE = _local(
    "lesion-shrinkage",
    "L3",
    "each tumour shrinks",
    *(0.0, 0.1, 0.25, 0.5, 0.8),
    expect=ANOTHER_SHAPE,
    source=OURS,
    evidence="O",
)
LESION_DISPLACEMENT = _local(
    "lesion-displacement",
    "L3",
    "each tumour moves",
    *_RADII,
    expect=ANOTHER_SHAPE,
    blind=(AVERAGED_AWAY, LESION_ELSEWHERE, *COARSE_COUNTS),
    source=OURS,
    evidence="O",
)
LESION_REMOVAL = _local(
    "lesion-removal",
    "L3",
    "the tumours of a share of the subjects are replaced by tissue",
    *_RADII,
    quick=(0.0, 0.25, 1.0),
    source=OURS,
    evidence="O",
)


def control(local: Case) -> Case:
    """The case that spends the L2 energy of a local one over the whole image."""
    return _local(
        f"{local.name}-control",
        "L4",
        f"the L2 energy of {local.name} is spread over the whole image as white noise",
        *local.levels,
        quick=local.quick,
        perturbation="matched-control",
        options={"of": local.perturbation, "options": dict(local.options)},
        expect=CONTROL,
        blind=(OUTWEIGHED, *COUNTS_UNDER_NOISE),
        control_of=local.name,
        region=local.region,
        source=OURS,
        evidence="O",
    )


BOUNDARY_BLUR_CONTROL = control(BOUNDARY_BLUR)
LESION_TILT_CONTROL = control(LESION_TILT)
LESION_DISPLACEMENT_CONTROL = control(LESION_DISPLACEMENT)
LESION_REMOVAL_CONTROL = control(LESION_REMOVAL)
