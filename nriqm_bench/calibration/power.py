"""Power: the smallest number of images at which a metric sees a defect of a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nriqm_bench import metrics, perturbations
from nriqm_bench.calibration.draws import draw
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.experiment import Lab
from nriqm_bench.imagery import PARTS
from nriqm_bench.provenance import rng_for

# What counts as seen, in floor SD, and in how many of the draws it must be seen.
SEEN = 3.0
ENOUGH = 0.8

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Power:
    """One metric at several sample sizes: how far a defect moves it, and how often it is seen.

    Parameters
    ----------
    extractor, metric
        On trial.
    sizes
        Images in each set.
    effects
        The median effect in floor SD at each size; + is worse.
    shares
        The share of draws in which the effect reaches `SEEN`.
    """

    extractor: str
    metric: str
    sizes: tuple[int, ...]
    effects: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def smallest(self) -> int | None:
        """The smallest size from which on the defect is seen in `ENOUGH` of the draws, or None."""
        enough = [share >= ENOUGH for share in self.shares]
        blind = max((i for i, seen in enumerate(enough) if not seen), default=-1)
        return self.sizes[blind + 1] if blind + 1 < len(self.sizes) else None


def power(
    lab: Lab,
    case: Case,
    level: float,
    sizes: Sequence[int],
    draws: int = 50,
    progress: Progress | None = None,
) -> list[Power]:
    """How many images each metric needs to see one level of a case.

    At each size, `draws` times: reference images are drawn by subject from the train and reference
    parts of `lab`, images on trial from the held-out part, and the metric is taken with the latter
    as they are and damaged. The floor's SD is that of as many draws of two sets from all three
    parts, which share no subject.

    Parameters
    ----------
    lab
        Its settings' `n` bounds the sizes; twice the largest lets the draws differ.
    case, level
        The defect and its size, in the unit of the perturbation.
    sizes
        Images in each set, rising.
    draws
        How many times at each size.

    Raises
    ------
    ValueError
        When a size is larger than the pool, the images lack what the case needs, or the case
        replaces images instead of damaging each.
    """
    if perturbations.get(case.perturbation).kind == "population":
        raise ValueError(
            f"{case.name} replaces images of a set, must damage each image by itself: the share "
            "of a sample of a damaged set is another one"
        )
    if missing := lab.missing(case, HELD_OUT):
        raise ValueError(f"{lab.dataset.spec} has no {missing}, which {case.name} needs")
    subjects = {part: lab.subjects(part) for part in PARTS}
    found = []
    for extractor in lab.spaces(case):
        if lab.missing(case, HELD_OUT, extractor):
            continue
        known = {name: metrics.get(name) for name in lab.metrics_in(extractor)}
        names = [
            name
            for name, metric in known.items()
            if not metric.needs_train and metric.min_samples <= min(sizes)
        ]
        parts = {part: lab.features(part, extractor) for part in PARTS}
        damaged = lab.features(HELD_OUT, extractor, case, level)
        real = np.concatenate([parts["train"], parts["reference"]])
        own = subjects["train"] + subjects["reference"]
        pool, owners = np.concatenate([real, parts[HELD_OUT]]), own + subjects[HELD_OUT]
        effects: dict[str, list[Any]] = {name: [] for name in names}
        steps: Iterable[int] = sizes
        if progress is not None:
            steps = progress(sizes, f"power, {extractor}", len(sizes))
        for n in steps:
            values: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
            for i in range(draws):
                rng = rng_for(lab.settings.seed, "power", n, i)
                (reference,) = draw(own, n, 1, rng, "train and reference")
                (fake,) = draw(subjects[HELD_OUT], n, 1, rng, "the held-out part")
                apart = draw(owners, n, 2, rng, lab.dataset.spec)
                pairs = (
                    (pool[apart[0]], pool[apart[1]]),
                    (real[reference], parts[HELD_OUT][fake]),
                    (real[reference], damaged[fake]),
                )
                with threadpool_limits(1):
                    scored = [
                        metrics.evaluate(names, metrics.Sample(a), metrics.Sample(b), rng=rng)
                        for a, b in pairs
                    ]
                for name in names:
                    values[name].append(tuple(each[name] for each in scored))
            for name in names:
                floor, before, after = np.array(values[name]).T
                sign = -1 if known[name].higher_is_better else 1
                sd = max(float(np.std(floor, ddof=1)), 1e-12)
                effects[name].append(sign * (after - before) / sd)
        found += [
            Power(
                extractor,
                name,
                tuple(sizes),
                tuple(float(np.median(e)) for e in effects[name]),
                tuple(float(np.mean(e >= SEEN)) for e in effects[name]),
            )
            for name in names
        ]
    return found
