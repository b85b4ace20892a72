"""Means over test images with intervals over test subjects, the same draws for every network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.downstream import scores

# Draws of test subjects behind every interval.
DRAWS = 1000

Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Tested:
    """What a network (or several, that differ in their seed) scored on the test images.

    Attributes
    ----------
    dice, hd95, f1
        Mean Dice coefficient and 95 % Hausdorff distance over images, and the lesion-wise F1 score
        of all lesions together, each with an interval over subjects.
    draws
        The same three under every draw of subjects, ``(3, DRAWS)``; networks share the draws.
    steps, seconds
        Of each training.
    """

    dice: Estimate
    hd95: Estimate
    f1: Estimate
    draws: Floats
    steps: tuple[int, ...]
    seconds: float

    @classmethod
    def of(cls, tables: Sequence[Mapping[str, Any]], weights: Floats) -> Tested:
        """From one table of `nriqm_bench.downstream.training.trial` a seed.

        Parameters
        ----------
        tables
            Scores by image; those of several seeds are averaged.
        weights
            How often each image counts, ``(1 + DRAWS, n)``; the first row is all ones.
        """
        mean = {
            name: weights @ np.mean([table[name] for table in tables], axis=0)
            for name in ("dice", "hd95", "hit", "false", "missed")
        }
        total = weights.sum(axis=1)
        found = np.stack(
            [
                mean["dice"] / total,
                mean["hd95"] / total,
                scores.f1(mean["hit"], mean["false"], mean["missed"]),
            ]
        )
        dice, hd95, f1 = (_estimate(values) for values in found)
        steps = tuple(int(table["steps"]) for table in tables)
        seconds = float(sum(table["seconds"] for table in tables))
        return cls(dice, hd95, f1, found, steps, seconds)


def subject_draws(subjects: Sequence[str], rng: np.random.Generator) -> Floats:
    """How often each image counts when subjects are drawn with replacement: ``(1 + DRAWS, n)``.

    The first row is all ones: what was measured.
    """
    _, owner = np.unique(np.asarray(subjects), return_inverse=True)
    count = int(owner.max()) + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=DRAWS)
    return np.concatenate([np.ones((1, len(owner))), drawn[:, owner]])


def ratio(over: Floats, under: Floats, of: str) -> Estimate:
    """The ratio of two scores draw by draw, so that what makes both hard cancels.

    Raises
    ------
    ValueError
        When the score below is 0, where a ratio says nothing; `of` names it in the sentence.
    """
    if not under[0] > 0:
        raise ValueError(
            f"the {of} of the network trained on real images was 0: there is nothing to compare "
            "with; pass a larger --nriqm-n, or data "
            "with a mask in most images"
        )
    return _estimate(over / np.where(under > 0, under, np.nan))


def open_ratio(over: Floats, under: Floats) -> Estimate:
    """A ratio draw by draw of scores that may be 0: of both it is 1, of `under` alone infinite."""
    apart = np.where(over > 0, np.inf, 1.0)
    return _estimate(np.where(under > 0, over / np.where(under > 0, under, 1), apart))


def difference(more: Floats, less: Floats) -> Estimate:
    """The difference of two scores, draw by draw."""
    return _estimate(more - less)


def _estimate(values: Floats) -> Estimate:
    # Not between two draws, of which one may be infinite.
    low, high = np.nanpercentile(values[1:], [2.5, 97.5], method="nearest")
    return Estimate(float(values[0]), float(low), float(high))
