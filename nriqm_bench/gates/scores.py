"""Gates by a metric in a feature space: memorisation, diversity, and limits of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nriqm_bench import cases, metrics
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.cases.claims import COPY_METRICS, DIVERSITY_METRICS
from nriqm_bench.evidence import ShareFloor
from nriqm_bench.gates.spec import Finding, GateSpec
from nriqm_bench.imagery import PARTS
from nriqm_bench.metrics.estimate import share_interval

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

# Metrics that are a share of the samples: they count whole images, and their interval is Wilson's.
_SHARES = frozenset({"train-share", "copy-rate", "match-rate", "precision", "recall", "coverage"})


def main_space(lab: Lab) -> str:
    """The feature space that gates judge in."""
    return lab.main


def score(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The metric of a generator's samples, against the floor of real splits."""
    space = spec.space(lab)
    value = lab.scores(cases.GAUSSIAN_NOISE, generator, space, 0.0)[spec.metric]
    floor = lab.floors(space)[spec.metric]
    if spec.metric in _SHARES:
        n = lab.settings.n
        floor = ShareFloor(floor.values, images=n, seen=len(PARTS) * n)
    found = metrics.get(spec.metric)
    # Of the samples alone, compared with nothing.
    if not (found.needs_real or found.needs_train):
        floor = floor.widened(len(PARTS))
    return Finding(
        value=value,
        floor=floor,
        told=f"{spec.metric} in {space} is {value:.4g}",
        interval=interval(spec.metric, value, floor.sd, lab.settings.n),
    )


def passed_its_case(case: Case) -> Callable[[Lab, GateSpec], tuple[bool, str]]:
    """The trial of a metric: what `case` asks of it, on held-out images."""

    def trial(lab: Lab, spec: GateSpec) -> tuple[bool, str]:
        space = spec.space(lab)
        expectation = case.expectation(spec.metric, extractor=space)
        if not expectation.specified:
            return False, f"nothing is asked of {spec.metric} in {space}"
        if missing := lab.missing(case, HELD_OUT, space):
            return False, f"{HELD_OUT} images have no {missing}, which {case.name} needs"
        verdict = lab.curve(case, HELD_OUT, space, spec.metric).meets(expectation)
        return bool(verdict), str(verdict)

    return trial


def unreadable(lab: Lab, generator: str, spec: GateSpec) -> str:
    """What the images lack for the gate's feature space."""
    space = spec.space(lab)
    lacking = lab.unreadable(generator, space)
    return lacking and f"{generator} images have no {lacking}, which {space} needs"


def nearest(lab: Lab, generator: str, space: str) -> list[dict[str, Any]]:
    """The samples nearest to training images, relative to their nearest reference image."""
    subjects = lab.subjects("train")
    found = metrics.nearest_pairs(
        lab.sample(generator, space), lab.sample("train", space), lab.sample("reference", space)
    )
    return [{**pair, "train_subject": subjects[pair["train"]]} for pair in found]


def limit_of(metric: str) -> GateSpec:
    """The gate of a limit that the user sets for a metric, in the metric's own unit."""
    found = metrics.get(metric)
    case = cases.GAUSSIAN_NOISE
    if metric in COPY_METRICS:
        case = cases.TRAINING_COPIES
    elif metric in DIVERSITY_METRICS:
        case = cases.DUPLICATION
    return GateSpec(
        name=f"limit-{metric}",
        metric=metric,
        direction="below" if found.higher_is_better else "above",
        space=main_space,
        measure=score,
        trial=passed_its_case(case),
        missing=unreadable,
        range=(-math.inf, math.inf),
        unit="the metric's own",
        calibrated=False,
        pairs=nearest if metric in COPY_METRICS else None,
    )


def interval(metric: str, value: float, sd: float, n: int) -> tuple[float, float]:
    """95 %: Wilson's for a share, otherwise two floor SD."""
    if metric in _SHARES:
        return share_interval(value, n, 0.95)
    return value - 1.96 * sd, value + 1.96 * sd
