"""Release gates for one generator: each compares with what fresh real data score."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from nriqm_bench import cases, metrics
from nriqm_bench.evidence import holm
from nriqm_bench.experiment import HARMONICS, PIXELS
from nriqm_bench.gates import anatomy, downstream, fidelity, regression, scores, sites
from nriqm_bench.gates.spec import Finding, GateSpec
from nriqm_bench.registry import unknown
from nriqm_bench.reporting import Gate
from nriqm_bench.settings import SettingsError

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

__all__ = ["FALSE_ALARM", "NAMES", "SPECS", "available", "check", "judge", "unreadable"]

# What all calibrated gates together are held at, so that a perfect generator is blocked in fewer
# than 5 % of runs. Floors are estimated from finitely many real images, which chance may have made
# unlike others: at 2 % three of 60 perfect generators were blocked (docs/statistics.md).
FALSE_ALARM = 0.005

_copying = partial(
    GateSpec,
    metric="train-share",
    direction="above",
    measure=scores.score,
    trial=scores.passed_its_case(cases.TRAINING_COPIES),
    missing=scores.unreadable,
    unit="share of samples",
    pairs=scores.nearest,
)

SPECS: tuple[GateSpec, ...] = (
    _copying(name="memorisation", space=scores.main_space),
    _copying(name="memorisation-pixels", space=lambda lab: PIXELS),
    # Of the metrics of copying the one that sees few copies, and takes nothing else for one:
    # docs/statistics.md.
    _copying(name="memorisation-disguised", metric="match-rate", space=lambda lab: HARMONICS),
    GateSpec(
        name="diversity",
        metric="vendi",
        direction="below",
        space=scores.main_space,
        measure=scores.score,
        trial=scores.passed_its_case(cases.DUPLICATION),
        missing=scores.unreadable,
        range=(1.0, math.inf),
        unit="effective number of different samples",
    ),
    GateSpec(
        name="fidelity",
        metric="fid",
        direction="above",
        space=scores.main_space,
        measure=fidelity.measure,
        trial=scores.passed_its_case(cases.GAUSSIAN_NOISE),
        missing=scores.unreadable,
        unit="sigma of the noise that takes real images as far",
        calibrated=False,
        limit=fidelity.LIMIT,
    ),
    GateSpec(
        name="anatomy",
        metric="plausible-share",
        direction="below",
        space=anatomy.found,
        measure=anatomy.plausible,
        trial=anatomy.trial,
        missing=anatomy.missing,
        unit="share of samples",
        needs_metric=False,
    ),
    GateSpec(
        name="anatomy-distribution",
        metric="mahalanobis",
        direction="above",
        space=anatomy.found,
        measure=anatomy.distributed,
        trial=anatomy.trial,
        missing=anatomy.missing,
        range=(0.0, math.inf),
        unit="SD of real sets",
        needs_metric=False,
    ),
    GateSpec(
        name="sites",
        metric="mahalanobis",
        direction="above",
        space=scores.main_space,
        measure=sites.measure,
        trial=sites.trial,
        missing=sites.missing,
        range=(0.0, math.inf),
        unit="SD of real sets",
        needs_metric=False,
    ),
    GateSpec(
        name="downstream",
        metric="dice-ratio",
        direction="below",
        space=downstream.task,
        measure=downstream.measure,
        trial=downstream.trial,
        missing=downstream.missing,
        range=(0.0, math.inf),
        unit="Dice of training on samples over Dice of training on real images",
        calibrated=False,
        level=downstream.FALSE_ALARM,
        needs_metric=False,
    ),
    GateSpec(
        name="regression",
        metric="worsening",
        direction="above",
        space=regression.earlier,
        measure=regression.measure,
        trial=regression.trial,
        missing=regression.missing,
        range=(0.0, math.inf),
        unit="SD of a difference by chance",
        calibrated=False,
        needs_metric=False,
    ),
)
NAMES = tuple(spec.name for spec in SPECS)


def available(lab: Lab) -> tuple[str, ...]:
    """The gates of this run: those whose metric was asked for, and limits that the user set."""
    return tuple(spec.name for spec in _specs(lab) if _asked(lab, spec))


def unreadable(lab: Lab, generator: str, name: str) -> str:
    """Why a gate has nothing to look at: what the images or the data lack; empty if nothing."""
    spec = _spec(lab, name)
    return spec.missing(lab, generator, spec)


def judge(lab: Lab, generator: str, name: str) -> Gate:
    """The outcome of one gate for one generator.

    The calibrated gates form one family: Holm's correction keeps the chance that fresh real data
    fail any of them at `FALSE_ALARM`. A gate whose metric did not pass its trial in this run is
    `untrusted` and does not decide.
    """
    spec = _spec(lab, name)
    found = spec.measure(lab, generator, spec)
    threshold = _threshold(lab, generator, spec, found)
    above = spec.direction == "above"
    beyond = found.value > threshold if above else found.value < threshold
    trusted, why = spec.trial(lab, spec)
    return Gate(
        name=name,
        metric=spec.metric,
        extractor=spec.space(lab),
        value=found.value,
        interval=found.interval,
        threshold=threshold,
        floor_mean=found.floor.mean,
        floor_sd=found.floor.sd,
        trusted=trusted,
        verdict="untrusted" if not trusted else "fail" if beyond else "pass",
        reason=_reason(spec, found, threshold) if trusted else f"does not decide: {why}",
        generator=generator,
        direction=spec.direction,
        pairs=spec.pairs(lab, generator, spec.space(lab)) if spec.pairs else [],
    )


def check(lab: Lab) -> None:
    """Whether what the settings say about gates can be meant: thresholds and baseline.

    Raises
    ------
    SettingsError
        In one sentence that names what is accepted.
    """
    known = {spec.name: spec for spec in SPECS}
    for name, value in lab.settings.gates:
        if name in known:
            low, high = known[name].range
        elif name in metrics.names():
            low, high = metrics.get(name).range
        else:
            told = unknown("gate or metric", name, [*known, *metrics.names()])
            raise SettingsError(f"[tool.nriqm.gates]: {told}")
        if not low <= value <= high or not math.isfinite(value):
            raise SettingsError(
                f"[tool.nriqm.gates]: {name} was {value:g}, must be a number from {low:g} to "
                f"{high:g}"
            )
    regression.baseline(lab)


def _specs(lab: Lab) -> tuple[GateSpec, ...]:
    """The built-in gates, then those of the limits that the user set for metrics."""
    own = [scores.limit_of(name) for name, _ in lab.settings.gates if name not in NAMES]
    return (*SPECS, *own)


def _asked(lab: Lab, spec: GateSpec) -> bool:
    return not spec.needs_metric or spec.metric in lab.metrics_in(spec.space(lab))


def _spec(lab: Lab, name: str) -> GateSpec:
    return next(spec for spec in _specs(lab) if spec.name == name)


def _threshold(lab: Lab, generator: str, spec: GateSpec, found: Finding) -> float:
    """The user's limit, else the gate's own, else the floor's; a tolerance is never undercut."""
    said = dict(lab.settings.gates)
    for name in (spec.name, spec.metric) if spec.name not in NAMES else (spec.name,):
        if name in said:
            return said[name]
    own = spec.limit if found.limit is None else found.limit
    if own is not None:
        return own
    level = spec.level or _family(lab, generator)[spec.name]
    limit = found.floor.threshold(level, spec.direction)
    if found.tolerance is None:
        return limit
    return max(limit, found.tolerance) if spec.direction == "above" else min(limit, found.tolerance)


def _family(lab: Lab, generator: str) -> dict[str, float]:
    """For each calibrated gate the level it is held against, after Holm's correction."""
    chosen = [
        spec
        for spec in _specs(lab)
        if spec.calibrated and _asked(lab, spec) and not spec.missing(lab, generator, spec)
    ]
    tails = []
    for spec in chosen:
        found = spec.measure(lab, generator, spec)
        tails.append(found.floor.tail(found.value, spec.direction))
    levels = holm(tails, FALSE_ALARM)
    return {spec.name: level for spec, (_, level) in zip(chosen, levels, strict=True)}


def _reason(spec: GateSpec, found: Finding, threshold: float) -> str:
    own = spec.limit if found.limit is None else found.limit
    if own is not None or spec.name not in NAMES:
        return f"{found.told}; the limit is {threshold:.4g}"
    tail = found.floor.tail(found.value, spec.direction)
    return (
        f"{found.told}; fresh real images score {found.floor.mean:.4g} +- {found.floor.sd:.2g} and "
        f"are {spec.direction} {found.value:.4g} with probability {tail:.2g}; the limit is "
        f"{threshold:.4g}"
    )
