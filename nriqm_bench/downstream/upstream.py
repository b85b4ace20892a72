"""Upstream against downstream: does a metric rank images as a segmenter trained on them does?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nriqm_bench import metrics
from nriqm_bench.cases import GAUSSIAN_NOISE, HELD_OUT
from nriqm_bench.downstream.damage import damage, damages
from nriqm_bench.downstream.training import Budget
from nriqm_bench.downstream.trial import impossible, scored
from nriqm_bench.evidence import kendall
from nriqm_bench.provenance import rng_for
from nriqm_bench.reporting import Agreement

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

# Fewer items have no order to speak of.
LEAST = 3


def over_generators(lab: Lab, budget: Budget | None = None) -> list[Agreement]:
    """Every metric's ranking of the generators against that of the Dice coefficient (G1).

    Held-out images are left out: they are best in both, which would flatter every metric. Of three
    generators the rank correlation is at most a hint: a random order agrees fully once in six.

    Parameters
    ----------
    lab
        Of this run, with at least `LEAST` generators that make masks.
    budget
        By default that of the run's settings.

    Raises
    ------
    ValueError
        When fewer generators make masks.

    Source: "Metrics that matter" (Deo et al. 2025, arXiv 2505.07175), G1 in docs/cases.md.
    """
    if reason := unranked(lab, "generators"):
        raise ValueError(reason)
    names = [name for name in lab.generators if not impossible(lab, name)]
    dice = [scored(lab, name, budget).dice.value for name in names]
    found = []
    for space in lab.extractors:
        if any(lab.unreadable(name, space) for name in names):
            continue
        each = [lab.scores(GAUSSIAN_NOISE, name, space, 0.0) for name in names]
        for metric in lab.metrics_in(space):
            values = [scores[metric] for scores in each]
            sign = 1 if metrics.get(metric).higher_is_better else -1
            found.append(_agreement(lab, "generators", metric, space, names, values, dice, sign))
    return found


def over_perturbations(lab: Lab, budget: Budget | None = None) -> list[Agreement]:
    """How far damage worsens every metric against what it costs downstream, in one order each.

    In a feature space the damage is ranked whose case is judged there. Costs a training for each of
    `nriqm_bench.downstream.damage.DAMAGES`.

    Raises
    ------
    ValueError
        When real images have no masks, or a network trained on them finds nothing.
    """
    drops = {case.name: damage(lab, case, budget).drop.value for case in damages(lab)}
    found = []
    for space in lab.extractors:
        judged = [case for case in damages(lab) if space in lab.spaces(case)]
        if len(judged) < LEAST or lab.unreadable(HELD_OUT, space):
            continue
        names = [case.name for case in judged]
        before = lab.scores(judged[0], HELD_OUT, space, 0.0)
        after = [lab.scores(case, HELD_OUT, space, lab.levels(case)[-1]) for case in judged]
        for metric in lab.metrics_in(space):
            sign = -1 if metrics.get(metric).higher_is_better else 1
            worse = [sign * (scores[metric] - before[metric]) for scores in after]
            cost = [drops[name] for name in names]
            found.append(_agreement(lab, "perturbations", metric, space, names, worse, cost, 1))
    return found


def unranked(lab: Lab, over: str) -> str:
    """Why there is nothing to rank, over ``generators`` or ``perturbations``; empty if there is."""
    if over == "perturbations" or impossible(lab, HELD_OUT):
        return impossible(lab, HELD_OUT)
    count = sum(not impossible(lab, name) for name in lab.generators)
    if count >= LEAST:
        return ""
    return (
        f"{count} of {len(lab.generators)} generators make images with masks, must be at least "
        f"{LEAST} to be ranked; pass --generator once for each"
    )


OVER: dict[str, Callable[[Lab], list[Agreement]]] = {
    "generators": over_generators,
    "perturbations": over_perturbations,
}


def _agreement(
    lab: Lab,
    over: str,
    metric: str,
    space: str,
    items: Sequence[str],
    values: Sequence[float],
    downstream: Sequence[float],
    sign: int,
) -> Agreement:
    rng = rng_for(lab.settings.seed, "agreement", over, metric, space)
    found = kendall([sign * v for v in values], downstream, rng)
    return Agreement(
        over=over,
        metric=metric,
        extractor=space,
        items=list(items),
        values=list(values),
        downstream=list(downstream),
        tau=found.tau,
        interval=[found.low, found.high],
        p=found.p,
    )
