"""Anatomy gates: is what a segmenter finds plausible, and is it distributed as in real images?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench import anatomy, cases
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.dealing import Rows
from nriqm_bench.evidence import Floor, HotellingFloor, ShareFloor
from nriqm_bench.gates.spec import Finding, GateSpec
from nriqm_bench.imagery import PARTS, pooled
from nriqm_bench.metrics.estimate import share_interval

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

Float64 = NDArray[np.float64]

# A segmenter finds a little less in the samples of a good generator than in real images: so much of
# what it finds plausible there is asked for, however exactly real images can be told.
TOLERANCE = 0.8
# Hotelling's distance needs more subjects than statistics; a few more, to mean something.
_SPARE = 10

# The damage that must be seen on held-out images, and how strong.
_TRIALS = {"lesion": ("lesion-removal", 1.0), "vessel": ("gaps", 0.8)}
# It must be beyond what real sets exceed once in twenty runs.
_OFTEN = 0.05


def found(lab: Lab) -> str:
    """What is looked at: the descriptors of the masks that are found."""
    return f"{lab.dataset.region} anatomy"


def missing(lab: Lab, generator: str, spec: GateSpec) -> str:
    """Why there is no anatomy to look at."""
    lacking = lab.unreadable(generator, f"{lab.dataset.region}-found")
    if lacking:
        return (
            f"{spec.name} needs masks of the training images, from which a segmenter learns to "
            f"find a {lab.dataset.region}, and those of {lab.dataset.spec} have none"
        )
    subjects = len(set(pooled(lab.subjects)))
    least = _statistics(lab.dataset.region) + _SPARE
    if spec.metric == "mahalanobis" and subjects < least:
        return f"{spec.name} needs {least} real subjects or more, and there are {subjects}"
    if not _masked(lab):
        return f"{spec.name} needs masks that show a {lab.dataset.region}, and all are empty"
    if not (_pool(lab)[:, 0] > 0).any():
        return f"the segmenter finds no {lab.dataset.region} in any real image"
    return ""


def plausible(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The share of samples whose anatomy lies in the envelope of real anatomy."""
    told = _plausible(lab, generator)
    floor = _share_floor(lab)
    why = ", ".join(f"{name} {count}" for name, count in list(told["why"].items())[:3])
    return Finding(
        value=told["share"],
        floor=floor,
        told=(
            f"{told['share']:.3g} of the samples show a {lab.dataset.region} within the ranges of "
            f"real ones{f' (out of range or absent: {why})' if why else ''}"
        ),
        interval=share_interval(told["share"], lab.settings.n, 0.95),
        tolerance=TOLERANCE * floor.mean,
    )


def distributed(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The distance of all descriptors' means and spreads from those of real images."""
    told = _distance(lab, generator)
    return Finding(
        value=told["distance"],
        floor=_distance_floor(lab, told),
        told=(
            f"the {lab.dataset.region}s that are found lie {told['distance']:.3g} SD of real sets "
            f"from real ones; farthest off is the {told['name']}, by {told['shift']:+.2f} SD of "
            f"real images (mean {_number(told['fake'])} against {_number(told['real'])})"
        ),
    )


def trial(lab: Lab, spec: GateSpec) -> tuple[bool, str]:
    """Whether the same statistic sees damaged anatomy in held-out images."""
    name, level = _TRIALS[lab.dataset.region]
    case = cases.get(name)
    if lacking := lab.missing(case, HELD_OUT):
        return False, f"{HELD_OUT} images have no {lacking}, which {name} needs"
    if spec.metric == "mahalanobis":
        told = _distance(lab, HELD_OUT, case, level)
        value, floor = told["distance"], _distance_floor(lab, told)
        limit = floor.threshold(_OFTEN, spec.direction)
        seen = value > limit
    else:
        value, shares = _plausible(lab, HELD_OUT, case, level)["share"], _share_floor(lab)
        limit = min(shares.threshold(_OFTEN, spec.direction), TOLERANCE * shares.mean)
        seen = value < limit
    return seen, (
        f"{spec.metric} of held-out images after {name} of {level:g} was {value:.3g}, must be "
        f"{spec.direction} {limit:.3g}"
    )


def rows(lab: Lab, source: str, case: Case | None = None, level: float = 0.0) -> Float64:
    """``(n, k)`` descriptors of what is found in a source, NaN where nothing is."""
    finder = _finder(lab)
    return finder.rows(lab.described(source, finder, case, level))


def _finder(lab: Lab) -> anatomy.Finder:
    region = lab.dataset.region
    return anatomy.Finder(region, lab.extractor(f"{region}-found"))


def _masked(lab: Lab) -> bool:
    """Whether any training mask shows anything, from which a segmenter could learn."""

    def compute() -> bool:
        masks = lab.images("train").masks
        return masks is not None and bool(masks.any())

    return bool(lab.store.value({"masked": lab.recipe("train")}, compute))


def _statistics(region: str) -> int:
    return len(anatomy.names(region)) + len(anatomy.spreads(region))


def _plausible(
    lab: Lab, source: str, case: Case | None = None, level: float = 0.0
) -> Mapping[str, Any]:
    def compute() -> dict[str, Any]:
        real, own = _pool(lab), rows(lab, source, case, level)
        envelope = anatomy.Envelope.of(real, anatomy.names(lab.dataset.region))
        return {"share": float(envelope.plausible(own).mean()), "why": envelope.why(own)}

    recipe = {"plausible": lab.recipe(source, case, level)} | _against(lab)
    value: Mapping[str, Any] = lab.store.value(recipe, compute)
    return value


def _share_floor(lab: Lab) -> Floor:
    names = anatomy.names(lab.dataset.region)

    pool = _pool(lab)

    def share(real: Rows, fake: Rows) -> float:
        envelope = anatomy.Envelope.of(pool[real], names)
        return float(envelope.plausible(pool[fake]).mean())

    values = lab.over_splits({"plausible floor": _against(lab)}, share)
    n = lab.settings.n
    return ShareFloor(tuple(values), images=n, seen=len(PARTS) * n).widened(len(PARTS))


def _distance(
    lab: Lab, source: str, case: Case | None = None, level: float = 0.0
) -> Mapping[str, Any]:
    def compute() -> dict[str, Any]:
        found = _compare(lab, _pool(lab), pooled(lab.subjects), rows(lab, source, case, level))
        told = {f: getattr(found, f) for f in ("distance", "statistics", "subjects", "name")}
        numbers = {f: getattr(found, f) for f in ("shift", "real", "fake")}
        return told | {k: v if np.isfinite(v) else None for k, v in numbers.items()}

    recipe = {"anatomy": lab.recipe(source, case, level)} | _against(lab)
    value: Mapping[str, Any] = lab.store.value(recipe, compute)
    return value


def _distance_floor(lab: Lab, told: Mapping[str, Any]) -> Floor:
    pool, subjects = _pool(lab), np.asarray(pooled(lab.subjects))

    def apart(real: Rows, fake: Rows) -> float:
        return _compare(lab, pool[real], subjects[real], pool[fake]).distance

    values = lab.over_splits({"anatomy floor": _against(lab)}, apart)
    return HotellingFloor(tuple(values), statistics=told["statistics"], subjects=told["subjects"])


def _compare(
    lab: Lab, real: Float64, subjects: Sequence[str] | NDArray[np.str_], fake: Float64
) -> anatomy.Comparison:
    region = lab.dataset.region
    return anatomy.compare(
        real, list(subjects), fake, anatomy.names(region), anatomy.spreads(region)
    )


def _pool(lab: Lab) -> Float64:
    return np.concatenate([rows(lab, part) for part in PARTS])


def _against(lab: Lab) -> dict[str, Any]:
    return {"finder": _finder(lab).key(), "parts": [lab.recipe(part) for part in PARTS]}


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
