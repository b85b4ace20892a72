"""What a trustworthy metric must do under each kind of damage, and what is known to fail: the data.

Each table maps a pattern of metric names to an expectation; the first that fits counts. Sources:
"the paper" is Deo et al. 2025, "Metrics that matter", arXiv 2505.07175.
"""

from __future__ import annotations

from nriqm_bench.cases.case import BlindSpot
from nriqm_bench.evidence import Expectation, degrades, flat, not_better, outweighed, unspecified

PAPER = "Deo et al. 2025 (arXiv 2505.07175); levels are ours"
OURS = "our choice"

COPY_METRICS = (
    "authpct",
    "copy-rate",
    "ct",
    "fls",
    "fls-overfit",
    "match-rate",
    "memorisation-index",
    "mifid",
    "train-share",
)
DIVERSITY_METRICS = ("clipped-coverage", "coverage", "recall", "vendi")
REALISM_METRICS = ("clipped-density", "density", "precision", "realism", "inception-score")

# Feature spaces of the lesion or vessel alone: what happens there has no excuse of averaging.
REGION_SPACES = ("lesion*", "vessel*")

# Other images, not damaged ones: the difference of two draws has sqrt(2) times the floor's SD.
NOT_REWARDED = not_better(effect=4.25)
SAME_BUT_FOR_A_DRAW = flat(within=6.0)

_NOISE_AS_DIVERSITY = unspecified("noise can be read as diversity, so a rise is no fault")
_NOT_ABOUT_COPIES = unspecified(
    "a memorisation metric judges copying; damage moves every sample away from training images"
)
_STILL_REAL = unspecified("the images are as realistic as before")


def _all(names: tuple[str, ...], expectation: Expectation) -> dict[str, Expectation]:
    return dict.fromkeys(names, expectation)


# Damage to every image. Noise, artefacts and local defects make images less like real ones.
FIDELITY_FALLS: dict[str, Expectation] = {
    "recall": _NOISE_AS_DIVERSITY,
    "vendi": _NOISE_AS_DIVERSITY,
    **_all(COPY_METRICS, _NOT_ABOUT_COPIES),
    "*": degrades(),
}
BLURRED = FIDELITY_FALLS | {
    "vendi": unspecified("blur removes texture, which diversity may or may not count")
}
# Size, place and number differ between patients: a tumour a little larger, a head elsewhere or a
# branch fewer is as real, so only the strongest level is asked.
ANOTHER_SHAPE = FIDELITY_FALLS | {"*": degrades(rank=-1.0)}
# What describes a vessel is limited, so that the strongest throats may look alike.
ANOTHER_WIDTH = FIDELITY_FALLS | {"*": degrades(rank=0.7)}
# The same L2 energy spread over the whole image, where no reader sees it.
CONTROL: dict[str, Expectation] = {
    **_all(COPY_METRICS, _NOT_ABOUT_COPIES),
    "recall": _NOISE_AS_DIVERSITY,
    "vendi": _NOISE_AS_DIVERSITY,
    "*": outweighed(),
}

# What features of the lesion or vessel alone must do under noise of the whole image.
SEES_THROUGH_NOISE: dict[str, Expectation] = _all(
    REGION_SPACES, unspecified("features of the lesion or vessel are made to see through noise")
)

# Copies of training images, as they are or disguised: seen by memorisation, rewarded by none.
COPIES: dict[str, Expectation] = {
    **_all(COPY_METRICS, degrades()),
    # MiFID is FID until the mean distance falls below its threshold: it need not rise evenly.
    "mifid": degrades(rank=-1.0),
    "*": NOT_REWARDED,
}

# Lost diversity.
DUPLICATES: dict[str, Expectation] = {
    **_all(DIVERSITY_METRICS, degrades()),
    **_all(COPY_METRICS, unspecified("repeats of one's own images are not copies of training")),
    **_all(REALISM_METRICS, unspecified("repeats do not make an image less realistic")),
    "*": NOT_REWARDED,
}
LOST_MODES: dict[str, Expectation] = {
    **_all(DIVERSITY_METRICS, degrades()),
    **_all(REALISM_METRICS, _STILL_REAL),
    **_all(COPY_METRICS, unspecified("the images that remain are no nearer to training")),
    "*": NOT_REWARDED,
}
TRUNCATED: dict[str, Expectation] = {
    **_all(DIVERSITY_METRICS, degrades()),
    **_all(REALISM_METRICS, unspecified("typical images are the most realistic: they may rise")),
    **_all(COPY_METRICS, unspecified("the images that remain are no nearer to training")),
    "*": NOT_REWARDED,
}
SHIFTED_DENSITY: dict[str, Expectation] = {
    **_all(COPY_METRICS, unspecified("the images of the favoured site are training images")),
    **_all(
        DIVERSITY_METRICS,
        unspecified("support shrinks only where the last images of the other sites go"),
    ),
    "inception-score": _STILL_REAL,
    **_all(REALISM_METRICS, SAME_BUT_FOR_A_DRAW),
    "*": degrades(),
}


# Known blind spots.
COARSE_COUNTS = tuple(
    BlindSpot(
        metric,
        "counts of neighbours are coarse: they do not order faint damage and stop at their "
        "end, so the rank over levels may miss .9 (Raisa et al. 2025, arXiv 2505.22450)",
    )
    for metric in ("*precision", "*density", "*coverage", "realism")
)
NO_ANATOMY_IN_CLASSES = BlindSpot(
    "inception-score",
    "ImageNet's classes name no anatomy (Barratt and Sharma 2018, arXiv 1801.01973)",
)
SEEN_THROUGH = BlindSpot(
    "*",
    "brightness and contrast differ between scanners as between photographs: network features "
    "see through them, and so hardly see them",
    spared=REGION_SPACES,
)
EXTRAPOLATED = BlindSpot(
    "fid-infinity",
    "extrapolating to infinitely many images adds noise of its own, in which the order of faint "
    "damage may get lost (Chong and Forsyth 2020, arXiv 1911.07023)",
)
FAINT = (NO_ANATOMY_IN_CLASSES, EXTRAPOLATED, *COARSE_COUNTS)
AVERAGED_AWAY = BlindSpot(
    "*",
    "features of the whole image average a local change away (Deo et al. 2025); what is seen "
    "at all depends on n",
    spared=REGION_SPACES,
)
OUTWEIGHED = BlindSpot(
    "*",
    "features of the whole image weigh a change by its energy, not by its meaning: imperceptible "
    "noise outweighs a clinical change (Deo et al. 2025)",
    spared=REGION_SPACES,
)
COUNTS_UNDER_NOISE = tuple(
    BlindSpot(
        metric,
        "counts of neighbours move under noise that distances in the same space see through",
        extractor=space,
    )
    for metric in ("*precision", "*density", "*coverage")
    for space in REGION_SPACES
)
LESION_ELSEWHERE = BlindSpot(
    "*",
    "a lesion that moved is a lesion elsewhere: only its place tells, and places differ between "
    "patients",
    extractor="lesion*",
)
BRANCHES_NOT_FOUND = BlindSpot(
    "*",
    "thin branches are the ones that a segmenter does not find in the first place, so that it "
    "hardly misses them",
    extractor="vessel-found",
)
COPIES_LOOK_BETTER = BlindSpot(
    "*",
    "training images are real, so copies look better than a generator's own images "
    "(Deo et al. 2025)",
    source="generator",
)
SITES_DROWN = BlindSpot(
    "*",
    "subjects differ more than sites do: at a few dozen subjects missing sites may drown "
    "in what differs between subjects",
)
