"""Release gates for one generator: each compares with what fresh real data score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from nriqm_bench import cases, metrics
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.evidence import Curve, holm
from nriqm_bench.experiment import PIXELS, Lab
from nriqm_bench.reporting import Gate

# A perfect generator is blocked in at most this share of runs, over all calibrated gates.
FALSE_ALARM = 0.05

# Fidelity has no floor to hide behind: no trained generator is real data. Beyond this sigma of
# Gaussian noise the images are damaged for any reader.
FIDELITY_SIGMA = 0.2


@dataclass(frozen=True)
class GateSpec:
    """What one gate looks at, and the case its metric must pass before it may decide."""

    name: str
    metric: str
    direction: str
    trial: Case
    space: str | None = None


SPECS = (
    GateSpec("memorisation", "train-share", "above", cases.TRAINING_COPIES),
    GateSpec("memorisation-pixels", "train-share", "above", cases.TRAINING_COPIES, space=PIXELS),
    GateSpec("diversity", "vendi", "below", cases.DUPLICATION),
    GateSpec("fidelity", "fid", "above", cases.GAUSSIAN_NOISE),
)
NAMES = tuple(spec.name for spec in SPECS)


def available(lab: Lab) -> tuple[str, ...]:
    """The gates of this run: those whose metric was asked for."""
    return tuple(spec.name for spec in SPECS if spec.metric in lab.metrics_in(_space(lab, spec)))


def unreadable(lab: Lab, generator: str, name: str) -> str:
    """Why a gate has nothing to look at: what the images lack for its space; empty if nothing."""
    spec = next(spec for spec in SPECS if spec.name == name)
    space = _space(lab, spec)
    lacking = lab.unreadable(generator, space)
    return lacking and f"{generator} images have no {lacking}, which {space} needs"


def judge(lab: Lab, generator: str, name: str) -> Gate:
    """The outcome of one gate for one generator.

    The calibrated gates (memorisation, diversity) form one family: Holm's correction keeps the
    chance that fresh real data fail any of them at `FALSE_ALARM`. A gate whose metric did not
    pass its trial in this run is `untrusted` and does not decide.
    """
    spec = next(spec for spec in SPECS if spec.name == name)
    space = _space(lab, spec)
    if name == "fidelity":
        return _fidelity(lab, generator, spec, space)
    floor = lab.floors(space)[spec.metric]
    value = _score(lab, generator, spec)
    alpha, thresholds = _family(lab, generator)[name], dict(lab.settings.gates)
    threshold = thresholds.get(name, floor.threshold(alpha, spec.direction))
    beyond = value > threshold if spec.direction == "above" else value < threshold
    trusted, why = _trial(lab, spec, space)
    tail = floor.tail(value, spec.direction)
    reason = (
        f"{spec.metric} in {space} is {value:.4g}; fresh real images score "
        f"{floor.mean:.4g} +- {floor.sd:.2g} and are {spec.direction} {value:.4g} with "
        f"probability {tail:.2g}; the limit is {threshold:.4g}"
    )
    return Gate(
        name=name,
        metric=spec.metric,
        extractor=space,
        value=value,
        interval=_interval(spec, value, floor.sd, lab.settings.n),
        threshold=threshold,
        floor_mean=floor.mean,
        floor_sd=floor.sd,
        trusted=trusted,
        verdict="untrusted" if not trusted else "fail" if beyond else "pass",
        reason=reason if trusted else why,
        generator=generator,
        direction=spec.direction,
        pairs=_pairs(lab, generator, space) if name.startswith("memorisation") else [],
    )


def _fidelity(lab: Lab, generator: str, spec: GateSpec, space: str) -> Gate:
    """How far from real, as the sigma of noise and of blur that moves real images as far."""
    distance = _score(lab, generator, spec)
    noise = lab.curve(cases.GAUSSIAN_NOISE, HELD_OUT, space, spec.metric)
    blur = lab.curve(cases.BLUR, HELD_OUT, space, spec.metric)
    sigma, off_scale = _equivalent(noise, distance)
    width, off_blur = _equivalent(blur, distance)
    floor = np.asarray([_equivalent(noise, value)[0] for value in noise.floor.values])
    threshold = dict(lab.settings.gates).get(spec.name, FIDELITY_SIGMA)
    trusted, why = _trial(lab, spec, space)
    failed = off_scale or sigma > threshold
    reason = (
        f"{spec.metric} in {space} is {distance:.4g}, as far from real as noise of sigma "
        f"{'more than ' if off_scale else ''}{sigma:.3g} or blur of "
        f"{'more than ' if off_blur else ''}{width:.2g} px; the limit is sigma {threshold:g}"
    )
    return Gate(
        name=spec.name,
        metric=spec.metric,
        extractor=space,
        value=sigma,
        interval=None,
        threshold=threshold,
        floor_mean=float(floor.mean()),
        floor_sd=float(floor.std(ddof=1)),
        trusted=trusted,
        verdict="untrusted" if not trusted else "fail" if failed else "pass",
        reason=reason if trusted else why,
        generator=generator,
        direction=spec.direction,
        pairs=[],
    )


def _equivalent(curve: Curve, value: float) -> tuple[float, bool]:
    """The level of `curve` at which it reaches `value`, and whether that is off its scale."""
    risen = np.maximum.accumulate(curve.values)
    keep = np.concatenate([[True], np.diff(risen) > 0])
    level = np.interp(value, risen[keep], np.asarray(curve.levels)[keep])
    return float(level), bool(value > risen[-1])


def _family(lab: Lab, generator: str) -> dict[str, float]:
    """For each calibrated gate the level it is held against, after Holm's correction."""
    names = set(available(lab)) - {"fidelity"}
    specs = [spec for spec in SPECS if spec.name in names]
    tails = [
        lab.floors(_space(lab, spec))[spec.metric].tail(
            _score(lab, generator, spec), spec.direction
        )
        for spec in specs
    ]
    return {
        spec.name: level for spec, (_, level) in zip(specs, holm(tails, FALSE_ALARM), strict=True)
    }


def _trial(lab: Lab, spec: GateSpec, space: str) -> tuple[bool, str]:
    """Whether the gate's metric passed its own sensitivity case on held-out images."""
    expectation = spec.trial.expectation(spec.metric, extractor=space)
    if not expectation.specified:
        return False, f"does not decide: nothing is asked of {spec.metric} in {space}"
    verdict = lab.curve(spec.trial, HELD_OUT, space, spec.metric).meets(expectation)
    return bool(verdict), f"does not decide: {verdict}"


def _score(lab: Lab, generator: str, spec: GateSpec) -> float:
    return lab.scores(spec.trial, generator, _space(lab, spec), 0.0)[spec.metric]


def _space(lab: Lab, spec: GateSpec) -> str:
    return spec.space or lab.main


def _interval(spec: GateSpec, value: float, sd: float, n: int) -> list[float]:
    """95 %: Wilson's for a share, otherwise two floor SD."""
    if spec.metric != "train-share":
        return [value - 1.96 * sd, value + 1.96 * sd]
    z2 = 1.96**2
    centre = (value + z2 / (2 * n)) / (1 + z2 / n)
    half = 1.96 / (1 + z2 / n) * math.sqrt(value * (1 - value) / n + z2 / (4 * n * n))
    return [centre - half, centre + half]


def _pairs(lab: Lab, generator: str, space: str) -> list[dict[str, Any]]:
    """The samples nearest to training images, relative to their nearest reference image."""
    subjects = lab.subjects("train")
    found = metrics.nearest_pairs(
        lab.sample(generator, space), lab.sample("train", space), lab.sample("reference", space)
    )
    return [{**pair, "train_subject": subjects[pair["train"]]} for pair in found]
