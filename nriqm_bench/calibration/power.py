"""Power: the smallest number of images at which a metric sees a defect of a given size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nriqm_bench import metrics
from nriqm_bench.calibration.draws import draw
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.experiment import Lab
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
    as they are and damaged. The floor's SD is that of the undamaged values.

    Parameters
    ----------
    lab
        Its settings' `n` bounds the sizes; twice the largest keeps the draws apart.
    case, level
        The defect and its size, in the unit of the perturbation.
    sizes
        Images in each set, rising.
    draws
        How many times at each size.

    Raises
    ------
    ValueError
        When a size is larger than the pool, or the images lack what the case needs.
    """
    if missing := lab.missing(case, HELD_OUT):
        raise ValueError(f"{lab.dataset.spec} has no {missing}, which {case.name} needs")
    real_subjects = [s for part in ("train", "reference") for s in lab.subjects(part)]
    own_subjects = lab.subjects(HELD_OUT)
    found = []
    for extractor in lab.spaces(case):
        if lab.missing(case, HELD_OUT, extractor):
            continue
        names = [n for n in lab.metrics_in(extractor) if not metrics.get(n).needs_train]
        parts = [lab.features(part, extractor) for part in ("train", "reference")]
        real = np.concatenate(parts)
        clean = lab.features(HELD_OUT, extractor)
        damaged = lab.features(HELD_OUT, extractor, case, level)
        effects: dict[str, list[Any]] = {name: [] for name in names}
        steps: Iterable[int] = sizes
        if progress is not None:
            steps = progress(sizes, f"power, {extractor}", len(sizes))
        for n in steps:
            before: dict[str, list[float]] = {name: [] for name in names}
            after: dict[str, list[float]] = {name: [] for name in names}
            for i in range(draws):
                rng = rng_for(lab.settings.seed, "power", n, i)
                (reference,) = draw(real_subjects, n, 1, rng, "train and reference")
                (own,) = draw(own_subjects, n, 1, rng, "the held-out part")
                sample = metrics.Sample(real[reference])
                for features, values in ((clean, before), (damaged, after)):
                    fake = metrics.Sample(features[own])
                    with threadpool_limits(1):
                        scored = metrics.evaluate(names, sample, fake, rng=rng)
                    for name, value in scored.items():
                        values[name].append(value)
            for name in names:
                worse = np.subtract(after[name], before[name])
                sign = -1 if metrics.get(name).higher_is_better else 1
                sd = max(float(np.std(before[name], ddof=1)), 1e-12)
                effects[name].append(sign * worse / sd)
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
