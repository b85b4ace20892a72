"""The site mix gate: do samples look as if they came from the sites in the right shares?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from nriqm_bench import cases
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.dealing import Rows
from nriqm_bench.evidence import HotellingFloor, Means, distance
from nriqm_bench.gates.spec import Finding, GateSpec
from nriqm_bench.imagery import PARTS, pooled
from nriqm_bench.provenance import rng_for

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

Float64 = NDArray[np.float64]

# Ridge, as a share of the mean squared length of the centred features.
_RIDGE = 0.1
# Scores of a ridge classifier are near 0 and 1: so much steeper, their softmax is near them too.
_STEEP = 6.0
# More subjects than sites, for Hotelling's distance to mean something.
_SPARE = 10
# Subjects are left out in so many parts, so that real images are classified as samples are.
_FOLDS = 5
# The trial's damage must be beyond what real sets exceed once in twenty runs.
_OFTEN = 0.05


def missing(lab: Lab, generator: str, spec: GateSpec) -> str:
    """Why there are no sites to tell apart."""
    for part in PARTS:
        if len(set(lab.sites(part))) < 2:
            return f"{spec.name} needs images of two sites or more, and {part} images have not"
    subjects, sites = (len(set(pooled(names))) for names in (lab.subjects, lab.sites))
    if subjects < sites + _SPARE:
        return f"{spec.name} needs {sites + _SPARE} real subjects or more, and there are {subjects}"
    return ""


def measure(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The distance of the mean site probabilities of samples from those of real images."""
    space = spec.space(lab)
    told = _mix(lab, space, generator)
    gap = {site: told["fake"][site] - told["real"][site] for site in told["real"]}
    worst = max(gap, key=lambda site: abs(gap[site]))
    variation = 0.5 * sum(map(abs, gap.values()))
    return Finding(
        value=told["distance"],
        floor=_floor(lab, space, told),
        told=(
            f"the mix of sites, as a linear classifier in {space} sees it, lies "
            f"{told['distance']:.3g} SD of real sets from that of real images (total variation "
            f"{variation:.2g}); most of all {worst}, {told['fake'][worst]:.2g} of the samples "
            f"against {told['real'][worst]:.2g}"
        ),
    )


def trial(lab: Lab, spec: GateSpec) -> tuple[bool, str]:
    """Whether the same statistic sees half of the sites replaced, in held-out images."""
    case, level = cases.get("density-shift"), 1.0
    if lacking := lab.missing(case, HELD_OUT):
        return False, f"{HELD_OUT} images have no {lacking}, which {case.name} needs"
    space = spec.space(lab)
    told = _mix(lab, space, HELD_OUT, case, level)
    value, limit = told["distance"], _floor(lab, space, told).threshold(_OFTEN, spec.direction)
    return value > limit, (
        f"{spec.metric} of held-out images after {case.name} of {level:g} was {value:.3g}, must "
        f"be above {limit:.3g}"
    )


class Classifier:
    """Site probabilities from features: one against all by ridge regression, and a softmax.

    Parameters
    ----------
    features, sites
        ``(n, d)`` and ``(n,)``.
    """

    def __init__(self, features: NDArray[Any], sites: Sequence[str]) -> None:
        x = np.asarray(features, dtype=np.float64)
        self.sites, owner = np.unique(np.asarray(sites), return_inverse=True)
        self._centre = x.mean(axis=0)
        away = x - self._centre
        target = np.eye(len(self.sites))[owner]
        self._prior = target.mean(axis=0)
        gram = away @ away.T
        ridge = _RIDGE * max(float(np.trace(gram)) / len(x), 1e-12)
        dual = np.linalg.solve(gram + ridge * np.eye(len(x)), target - self._prior)
        self._weights = away.T @ dual

    def __call__(self, features: NDArray[Any]) -> Float64:
        """``(m, d)`` features to ``(m, sites)`` probabilities."""
        scores = (np.asarray(features, np.float64) - self._centre) @ self._weights + self._prior
        found: Float64 = special.softmax(_STEEP * scores, axis=1)
        return found


def left_out(features: Float64, sites: Sequence[str], subjects: Sequence[str]) -> Float64:
    """The site probabilities of real images, each by a classifier that saw none of its subject."""
    _, owner = np.unique(np.asarray(subjects), return_inverse=True)
    # In the order of a shuffle that depends on how many there are alone.
    fold = rng_for("site folds", int(owner.max()) + 1).permutation(owner.max() + 1)[owner] % _FOLDS
    names = np.asarray(sites)
    every = np.unique(names)
    found = np.zeros((len(features), len(every)))
    for k in range(_FOLDS):
        own = fold == k
        if not own.any():
            continue
        classify = Classifier(features[~own], names[~own].tolist())
        found[np.ix_(own, np.isin(every, classify.sites))] = classify(features[own])
    return found


def _mix(
    lab: Lab, space: str, source: str, case: Case | None = None, level: float = 0.0
) -> Mapping[str, Any]:
    def compute() -> dict[str, Any]:
        clean = _cleaner(lab, space)
        pool, sites, subjects = _pool(lab, space, clean)
        classify = Classifier(pool, sites)
        real = left_out(pool, sites, subjects)
        fake = classify(clean(lab.features(source, space, case, level))).mean(axis=0)
        # The last probability follows from the others.
        means = Means.of(real[:, :-1], subjects)
        return {
            "real": dict(zip(classify.sites.tolist(), real.mean(axis=0).tolist(), strict=True)),
            "fake": dict(zip(classify.sites.tolist(), fake.tolist(), strict=True)),
            "distance": distance(means, fake[:-1], lab.settings.n, 1.0),
            "statistics": len(fake) - 1,
            "subjects": means.subjects,
        }

    recipe = {"sites": lab.recipe(source, case, level)} | _against(lab, space)
    value: Mapping[str, Any] = lab.store.value(recipe, compute)
    return value


def _floor(lab: Lab, space: str, told: Mapping[str, Any]) -> HotellingFloor:
    @cache
    def seen() -> tuple[Float64, NDArray[np.str_]]:
        pool, sites, subjects = _pool(lab, space, _cleaner(lab, space))
        return left_out(pool, sites, subjects)[:, :-1], np.asarray(subjects)

    def apart(real: Rows, fake: Rows) -> float:
        told, owner = seen()
        means = Means.of(told[real], owner[real].tolist())
        return distance(means, told[fake].mean(axis=0), len(fake), 1.0)

    values = lab.over_splits({"sites floor": _against(lab, space)}, apart)
    return HotellingFloor(tuple(values), statistics=told["statistics"], subjects=told["subjects"])


def _cleaner(lab: Lab, space: str) -> Callable[[NDArray[Any]], Float64]:
    """Features without the directions in which noise and blur move held-out images.

    Sites differ in noise and sharpness, and so do generators: a generator that is a little noisy
    must not be taken for one that knows the noisy sites alone.
    """
    still = lab.features(HELD_OUT, space)
    moves = [
        (lab.features(HELD_OUT, space, case, level) - still).mean(axis=0, dtype=np.float64)
        for case in (cases.GAUSSIAN_NOISE, cases.BLUR)
        for level in lab.levels(case)[1:]
    ]
    _, size, directions = np.linalg.svd(np.stack(moves), full_matrices=False)
    gone = directions[size > 1e-6 * max(size[0], 1e-300)]

    def clean(features: NDArray[Any]) -> Float64:
        x = np.asarray(features, dtype=np.float64)
        return np.asarray(x - (x @ gone.T) @ gone)

    return clean


def _pool(
    lab: Lab, space: str, clean: Callable[[NDArray[Any]], Float64]
) -> tuple[Float64, list[str], list[str]]:
    """Features, sites and subjects of all real images."""
    features = clean(np.concatenate([lab.features(part, space) for part in PARTS]))
    return features, pooled(lab.sites), pooled(lab.subjects)


def _against(lab: Lab, space: str) -> dict[str, Any]:
    return {
        "space": lab.extractor(space).key(),
        "parts": [lab.recipe(part) for part in PARTS],
        "quick": lab.settings.quick,
    }
