"""Matches: which fake rows look like which training rows, and how many too much so."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nriqm_bench.metrics.estimate import share_of_fake
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import all_nearest
from nriqm_bench.metrics.sample import Float64, Indices, Sample, as_sample


def copy_scores(real: Any, fake: Any, train: Any) -> Float64:
    """How much each fake row looks like a copy: log of its real over its training distance.

    Parameters
    ----------
    real, fake, train
        ``(n, d)``, ``(m, d)`` and ``(t, d)`` arrays or `Sample`s; `real` is held out from training.

    Returns
    -------
    ``(m,)`` float64
        ``log(distance to the nearest real row / distance to the nearest training row)``; large
        means a copy. Without copying its median is near 0 when n = t; inf for a row that equals a
        training row alone, -inf for one that equals a real row alone, 0 for one that equals both.
        `nearest_pairs` lists the largest first. Invariant under a common rotation, translation or
        scale.

    Raises
    ------
    ValueError
        For arrays that are not ``(., d)`` of the same d, empty ones or NaN.

    Source: the distances to training and test rows of Meehan et al. 2020 (arXiv 2004.05675), row by
    row; `train-share` counts how many scores are above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from nriqm_bench.metrics import copy_scores
    >>> real, train = np.array([[0.0], [4.0]]), np.array([[10.0], [14.0]])
    >>> np.exp(copy_scores(real, np.array([[7.0], [8.0], [11.0]]), train))
    array([1., 2., 7.])
    """
    samples = _samples(fake=fake, train=train, real=real)
    to_train = _nearest_row(samples["fake"], samples["train"])[0]
    ratio = _ratio(to_train, _nearest_row(samples["fake"], samples["real"])[0])
    with np.errstate(divide="ignore"):
        return np.asarray(0 - np.log(ratio))


@metric(
    "match-rate",
    higher_is_better=False,
    needs_train=True,
    range=(0.0, 1.0),
    invariant=("rotation", "translation", "scale"),
    sees=("copies",),
    spread=share_of_fake,
)
def match_rate(real: Sample, fake: Sample, *, train: Sample, ratio: float = 0.5) -> float:
    """Share of fake rows that are at most `ratio` times as far from a training as from a real row.

    `real` must be held out from training. Who does not copy cannot tell training rows from other
    real ones, so that the distances to either are alike, however good or bad the fake rows are;
    in many columns neither is ever half of the other. A row that equals a training and a real row
    is no match.

    Parameters
    ----------
    ratio
        Of the distance to the nearest training row to that to the nearest real row; below 1.

    Direction: lower is better. Range: [0, 1]; near 0 without copying (in `circular-harmonics`
    no match in 300 sets of 200 phantom images), 1 when all rows are copies. Invariant under a
    common rotation, translation or scale and the order of rows.

    Needs 2 rows each. Cost: ``m (n + t) d``, shared.

    Source: as `train-share`; the margin is this package's.
    """
    if not (isinstance(ratio, int | float) and 0 < ratio < 1):
        raise ValueError(f"ratio was {ratio!r}, must be a number between 0 and 1")
    to_train, to_real = all_nearest(fake, train)[0], all_nearest(fake, real)[0]
    # The distances are squared. Zero and zero match nothing.
    return float(((to_train <= ratio**2 * to_real) & (to_real > 0)).mean())


def nearest_pairs(fake: Any, train: Any, real: Any = None, k: int = 10) -> list[dict[str, Any]]:
    """The fake rows that look most like copies, with the training rows they look like.

    Parameters
    ----------
    fake, train, real
        ``(m, d)``, ``(t, d)`` and ``(n, d)`` arrays or `Sample`s; `real` is held out from training.
    k
        How many pairs; all of them when there are fewer fake rows.

    Returns
    -------
    list of dict
        ``fake`` and ``train`` (row numbers), ``train_distance``, ``real`` and ``real_distance``
        (the nearest real row) and ``ratio``, train over real distance (`copy_scores` is minus its
        logarithm): the smallest first, ties by
        distance and row number. A row that coincides with both has ratio 1; one that coincides
        with a real row only is no copy of a training row and is left out. Without `real` the last
        three are None and the smallest distances come first.

    Raises
    ------
    ValueError
        For arrays that are not ``(n, d)`` of the same d, empty ones, NaN, or ``k < 1``.
    """
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k was {k!r}, must be a whole number >= 1")
    given = {"fake": fake, "train": train} | ({} if real is None else {"real": real})
    samples = _samples(**given)
    to_train, train_row = _nearest_row(samples["fake"], samples["train"])
    if real is None:
        order = np.argsort(to_train, kind="stable")[:k]
        nothing = {"real": None, "real_distance": None, "ratio": None}
        return [
            {"fake": int(i), "train": int(train_row[i]), "train_distance": float(to_train[i])}
            | nothing
            for i in order
        ]
    to_real, real_row = _nearest_row(samples["fake"], samples["real"])
    ratio = _ratio(to_train, to_real)
    order = np.lexsort((np.arange(len(ratio)), to_train, ratio))[:k]
    return [
        {
            "fake": int(i),
            "train": int(train_row[i]),
            "train_distance": float(to_train[i]),
            "real": int(real_row[i]),
            "real_distance": float(to_real[i]),
            "ratio": float(ratio[i]),
        }
        for i in order
        if math.isfinite(ratio[i])
    ]


def _nearest_row(a: Sample, b: Sample) -> tuple[Float64, Indices]:
    squared, i, j = all_nearest(a, b)
    return np.sqrt(squared), j[np.searchsorted(i, np.arange(len(a)))]


def _samples(**given: Any) -> dict[str, Sample]:
    samples = {name: as_sample(rows, name) for name, rows in given.items()}
    for name, sample in samples.items():
        if len(sample) == 0:
            raise ValueError(f"{name} had 0 rows, must have at least 1")
        if sample.dim != samples["fake"].dim:
            raise ValueError(
                f"{name} had shape {sample.shape}, must be (n, {samples['fake'].dim}) like fake"
            )
    return samples


def _ratio(to_train: Float64, to_real: Float64) -> Float64:
    """Train over real distance; 1 for a row that coincides with both."""
    ratio = np.where(to_train == to_real, 1.0, np.inf)
    return np.divide(to_train, to_real, out=ratio, where=(to_real > 0) & (to_train != to_real))
