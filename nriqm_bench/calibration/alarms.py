"""False alarms: how often a case calls a change when nothing was done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nriqm_bench import cases, metrics
from nriqm_bench.calibration.draws import draw
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.evidence import Curve, Expectation, Floor
from nriqm_bench.experiment import SPLITS, Lab
from nriqm_bench.imagery import PARTS, pooled
from nriqm_bench.provenance import rng_for

# A floor costs a hundred evaluations; so many seeds share one.
SEEDS_A_FLOOR = 20

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Alarms:
    """How often cases of so many levels that ask one thing of a metric called a change.

    Each seed counts once: cases that ask the same over as many levels see the same values.
    """

    extractor: str
    metric: str
    expectation: str
    levels: int
    trials: int
    calls: int

    @property
    def rate(self) -> float:
        """The share of seeds in which a change was called."""
        return self.calls / self.trials


def false_alarms(
    lab: Lab, n: int = 200, seeds: int = 200, progress: Progress | None = None
) -> list[Alarms]:
    """How often each case calls a change when every step of it is fresh real images, undamaged.

    For each seed the pool of `lab` (its three parts together) is dealt by subject into reference,
    training and as many sets as the longest case has levels: level 0 at every step, each step
    other subjects. That is harder than a run, in which all steps damage the same images. A case
    that must see a change (`degrades`, `improves`) calls one when its expectation is met; a case
    that must not (`flat`, `not_better`) when it is missed. `SEEDS_A_FLOOR` seeds share a floor.

    Parameters
    ----------
    lab
        Its settings say how large the pool is: three times its `n`.
    n
        Images in each set.
    seeds
        How many times.

    Returns
    -------
    list of Alarms
        By extractor, metric, expectation and number of levels; cases and feature spaces for which
        the images lack something are left out.

    Raises
    ------
    ValueError
        When the pool is too small.
    """
    every = [cases.get(name) for name in cases.names()]
    chosen = [c for c in every if not c.control_of and not lab.missing(c, HELD_OUT)]
    steps = max(len(case.levels) for case in chosen)
    subjects = pooled(lab.subjects)
    counts: dict[tuple[str, str, str, int], list[int]] = {}
    for extractor in lab.extractors:
        names = lab.metrics_in(extractor)
        asked = _asked([c for c in chosen if extractor in lab.spaces(c)], names, extractor)
        if not asked or any(lab.unreadable(part, extractor) for part in PARTS):
            continue
        pool = np.concatenate([lab.features(part, extractor) for part in PARTS])
        floors: dict[str, Floor] = {}
        numbers: Iterable[int] = range(seeds)
        if progress is not None:
            numbers = progress(numbers, f"seeds, {extractor}", seeds)
        for seed in numbers:
            rng = rng_for(lab.settings.seed, "false alarms", seed)
            sets = draw(subjects, n, steps + 2, rng, lab.dataset.spec)
            with threadpool_limits(1):
                if seed % SEEDS_A_FLOOR == 0:
                    floors = _floors(names, pool, subjects, sets[:3], seed)
                values = _values(names, pool, sets, seed)
            for key, (case, expectation) in asked.items():
                metric = key[0]
                found = counts.setdefault((extractor, *key), [0, 0])
                found[0] += 1
                found[1] += _calls(case, expectation, metric, values[metric], floors[metric])
    return [Alarms(*key, trials, calls) for key, (trials, calls) in sorted(counts.items())]


def _asked(
    chosen: Sequence[Case], names: Sequence[str], extractor: str
) -> dict[tuple[str, str, int], tuple[Case, Expectation]]:
    """What is asked of each metric, over how many levels: one case for each."""
    found: dict[tuple[str, str, int], tuple[Case, Expectation]] = {}
    for case in chosen:
        for metric in names:
            expectation = case.expectation(metric, extractor=extractor)
            if expectation.specified:
                key = (metric, f"{expectation}", len(case.levels))
                found.setdefault(key, (case, expectation))
    return found


def _calls(
    case: Case, expectation: Expectation, metric: str, values: Sequence[float], floor: Floor
) -> bool:
    curve = Curve(
        levels=case.levels,
        values=tuple(values[: len(case.levels)]),
        floor=floor,
        higher_is_better=bool(metrics.get(metric).higher_is_better),
    )
    return bool(curve.meets(expectation)) == expectation.moves


def _values(names: Sequence[str], pool: Any, sets: Sequence[Any], seed: int) -> Mapping[str, Any]:
    """Each metric at every step: sets 0 and 1 are reference and training images."""
    reference, train = metrics.Sample(pool[sets[0]]), metrics.Sample(pool[sets[1]])
    found: dict[str, list[float]] = {name: [] for name in names}
    for step, rows in enumerate(sets[2:]):
        for name, value in metrics.evaluate(
            names,
            reference,
            metrics.Sample(pool[rows]),
            train=train,
            rng=rng_for(seed, "step", step),
        ).items():
            found[name].append(value)
    return found


def _floors(
    names: Sequence[str], pool: Any, subjects: Sequence[str], sets: Sequence[Any], seed: int
) -> dict[str, Floor]:
    """The floor as a run would find it, from three sets of images alone."""
    rows = np.concatenate(sets)
    own = [subjects[i] for i in rows]
    # The last subject of a set may be cut, which can cost a set of the split a few images.
    n = min(map(len, sets)) - int(np.unique(own, return_counts=True)[1].max()) + 1
    values: dict[str, list[float]] = {name: [] for name in names}
    for split in range(SPLITS):
        rng = rng_for(seed, "floor", split)
        real, fake, train = (rows[s] for s in draw(own, n, 3, rng, "the pool of a floor"))
        for name, value in metrics.evaluate(
            names,
            metrics.Sample(pool[real]),
            metrics.Sample(pool[fake]),
            train=metrics.Sample(pool[train]),
            rng=rng,
        ).items():
            values[name].append(value)
    return {name: Floor(tuple(found)) for name, found in values.items()}
