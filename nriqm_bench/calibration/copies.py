"""Copy detection: how well each feature space tells copied images from the others, by disguise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from threadpoolctl import threadpool_limits

from nriqm_bench import cases, metrics
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.experiment import Lab
from nriqm_bench.settings import Settings, SettingsError

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Detection:
    """How well copies in one disguise are told from the other images of their set.

    Parameters
    ----------
    extractor, disguise
        The feature space, and the case that disguises the copies.
    aucs
        For each seed the probability that a copy's `metrics.copy_scores` is above another image's.
    found, alarms
        For each seed the copy rate among the copies, and among the other images.
    """

    extractor: str
    disguise: str
    aucs: tuple[float, ...]
    found: tuple[float, ...]
    alarms: tuple[float, ...]

    @property
    def auc(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.aucs))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean over seeds, by Student's t, within [0, 1]."""
        n = len(self.aucs)
        if n < 2:
            return 0.0, 1.0
        half = float(special.stdtrit(n - 1, 0.975) * np.std(self.aucs, ddof=1) / math.sqrt(n))
        return max(0.0, self.auc - half), min(1.0, self.auc + half)


def copy_detection(
    settings: Settings, share: float = 0.05, seeds: int = 10, progress: Progress | None = None
) -> list[Detection]:
    """How well each feature space tells disguised training copies from the images around them.

    For each seed a share of the images on trial (held-out ones, or a generator's) is replaced by
    training images in disguise, as the cases of memorisation do it; reference images are the real
    ones. Seeds follow that of `settings`: each has its own images, copies and disguises.

    Parameters
    ----------
    settings
        Dataset, number of images, feature spaces and, at most one, the generator.
    share
        Of the images, what is replaced.
    seeds
        How many times.

    Returns
    -------
    list of Detection
        By disguise and feature space: those asked for, and those that judge copying in every run.

    Raises
    ------
    SettingsError
        For more than one generator.
    ValueError
        When no image, or every one, would be replaced.
    """
    if len(settings.generator) > 1:
        raise SettingsError("copies are looked for among the images of one generator at a time")
    copied = round(share * settings.n)
    if seeds < 1 or not 0 < copied < settings.n:
        raise ValueError(
            f"share was {share:g} of {settings.n} images and seeds {seeds}, must replace at least "
            "one image, not all of them, at least once"
        )
    numbers: Iterable[int] = range(settings.seed, settings.seed + seeds)
    if progress is not None:
        numbers = progress(numbers, "seeds", seeds)
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for seed in numbers:
        lab = Lab.open(dataclasses.replace(settings, seed=seed), progress)
        source = next(iter(lab.generators), HELD_OUT)
        for space in _spaces(lab):
            for case in _disguises():
                row = _detected(lab, source, space, case, share)
                found.setdefault((case.name, space), []).append(row)
    return [
        Detection(space, disguise, *(tuple(column) for column in zip(*rows, strict=True)))
        for (disguise, space), rows in found.items()
    ]


def _disguises() -> list[Case]:
    every = [cases.get(name) for name in cases.names()]
    return [case for case in every if case.perturbation == "training-copies"]


def _spaces(lab: Lab) -> list[str]:
    """The feature spaces in which memorisation is judged."""
    return [s for s in lab.extractors if "copy-rate" in lab.metrics_in(s)]


def _detected(
    lab: Lab, source: str, space: str, case: Case, share: float
) -> tuple[float, float, float]:
    """AUC of the copies against the others, and the copy rate of either."""
    real, train = lab.sample("reference", space), lab.sample("train", space)
    fake = lab.features(source, space, case, share)
    # Equal images have features of the same bits, so what differs was replaced.
    copied = (fake != lab.features(source, space)).any(axis=1)
    with threadpool_limits(1):
        rate = metrics.get("copy-rate")
        called, alarms = (
            rate(real, _enough(fake[rows]), train=train) for rows in (copied, ~copied)
        )
        scores = metrics.copy_scores(real, fake, train)
    return _auc(scores[copied], scores[~copied]), called, alarms


def _enough(rows: NDArray[Any]) -> NDArray[Any]:
    """Twice the same rows have the same rate, and are as many as metrics ask for."""
    return np.concatenate([rows, rows])


def _auc(high: NDArray[Any], low: NDArray[Any]) -> float:
    return float(stats.mannwhitneyu(high, low).statistic) / (len(high) * len(low))
