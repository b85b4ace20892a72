"""Copies of training images, as they are (M1) and disguised (M2)."""

from __future__ import annotations

from nriqm_bench.cases.case import BlindSpot, Case
from nriqm_bench.cases.claims import (
    COPIES,
    COPIES_LOOK_BETTER,
    DIVERSITY_METRICS,
    PAPER,
)

_SHARES = (0.0, 0.05, 0.15, 0.3, 0.45, 1.0)
_QUICK_SHARES = (0.0, 0.3, 1.0)

_DISGUISES = {
    "noise-.01": "Gaussian noise of sigma .01",
    "noise-.02": "Gaussian noise of sigma .02",
    "rotation-3": "a rotation of 3 degrees",
    "rotation-5": "a rotation of 5 degrees",
    "flip": "left and right exchanged",
    "intensity": "brightness times .9 to 1.1",
    "blend": "a second training image mixed in",
    "blur": "a blur of 1 px",
}
_DISGUISED = BlindSpot(
    "*",
    "a disguise takes a copy out of the sight of some feature spaces; copying is judged in several "
    "(Deo et al. 2026, arXiv 2602.13066)",
    spared=("circular-harmonics",),
)
_BLENDED = tuple(
    BlindSpot(
        metric,
        "three tenths of another image move a blend farther from its original than many honest "
        "images are; the pixels of both are still there (docs/statistics.md, Copies)",
        extractor="circular-harmonics",
    )
    for metric in ("fls", "match-rate")
) + tuple(
    BlindSpot(
        metric,
        "a blend lies between its two images and so nearer to all others: it looks more typical",
        extractor="circular-harmonics",
    )
    for metric in ("*density", "*precision", "realism")
)
# Copying alone is asked of it by default; this is for who asks more.
_OTHER_SUBJECTS = tuple(
    BlindSpot(
        metric,
        "copies are other subjects than those they replace: of a few dozen, the training subjects "
        "may be the more diverse or typical ones in this space",
        extractor="circular-harmonics",
    )
    for metric in (*DIVERSITY_METRICS, "fid", "fid-infinity", "frd", "kid", "cmmd", "mmd-rbf")
)

TRAINING_COPIES = Case(
    name="training-copies",
    experiment="M1",
    perturbation="training-copies",
    levels=_SHARES,
    quick=_QUICK_SHARES,
    expect=COPIES,
    blind=(COPIES_LOOK_BETTER, *_OTHER_SUBJECTS),
    summary="images are replaced by training images",
    source=f"{PAPER}; shares of arXiv 2602.13066",
    evidence="P",
)


def _disguised(disguise: str) -> Case:
    return Case(
        name=f"copies-{disguise.replace('.', '')}",
        experiment="M2",
        perturbation="training-copies",
        options={"disguise": disguise},
        levels=_SHARES,
        quick=_QUICK_SHARES,
        expect=COPIES,
        blind=(_DISGUISED, *_OTHER_SUBJECTS, *(_BLENDED if disguise == "blend" else ())),
        summary=f"images are replaced by training images, disguised: {_DISGUISES[disguise]}",
        source="Deo et al. 2026 (arXiv 2602.13066), the paper's successor; shares are its own",
        evidence="C",
        held_out_only=True,
    )


COPIES_NOISE_01 = _disguised("noise-.01")
COPIES_NOISE_02 = _disguised("noise-.02")
COPIES_ROTATION_3 = _disguised("rotation-3")
COPIES_ROTATION_5 = _disguised("rotation-5")
COPIES_FLIP = _disguised("flip")
COPIES_INTENSITY = _disguised("intensity")
COPIES_BLEND = _disguised("blend")
COPIES_BLUR = _disguised("blur")
