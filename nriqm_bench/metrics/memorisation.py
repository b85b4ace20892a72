"""Memorisation: do fake rows lie nearer to training rows than they should?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import all_nearest, own_neighbours
from nriqm_bench.metrics.sample import Sample, as_sample


@metric("authpct", higher_is_better=True, needs_train=True, needs_real=False)
def authpct(real: Sample | None, fake: Sample, *, train: Sample) -> float:
    """Percentage of authentic fake rows.

    A fake row is authentic when it is farther from its nearest training row than that training row
    is from its own nearest other training row. Of several training rows that are equally near, the
    most isolated one counts, so that the order of rows does not matter (the published code takes
    the first). `real` is not read.

    Direction: higher is better. Range: [0, 100]. There is no universal expectation: the level of
    real data depends on the feature space (compare with held-out rows), and noise or blur raise
    it. Invariant under a common rotation, translation or scale and the order of rows.

    Needs 2 training rows. Cost: ``t^2 d + m t d``, the neighbours of the training rows shared.

    Source: Alaa et al. 2022 (arXiv 2102.08921), authenticity; AuthPct of Stein et al. 2023 (arXiv
    2306.04675).
    """
    squared, i, j = all_nearest(fake, train)
    isolation = np.zeros(len(fake))
    np.maximum.at(isolation, i, own_neighbours(train, 1).squared[j, 0])
    return 100 * int(np.count_nonzero(squared > isolation)) / len(fake)


@metric("train-share", higher_is_better=False, needs_train=True)
def train_share(real: Sample, fake: Sample, *, train: Sample, corrected: bool = False) -> float:
    """Share of fake rows whose nearest training row is nearer than their nearest real row.

    Equal distances count one half. `real` must be held out from training. A generator that does not
    memorise cannot tell training rows from other real rows: with as many of each, .5 is expected.

    Parameters
    ----------
    corrected
        With t training and n real rows the expectation is ``t / (t + n)``. True divides the odds of
        the share by t / n, ``s n / (s n + (1 - s) t)``, so that .5 is expected for any sizes; 0 and
        1 stay. The default is the plain share.

    Direction: lower is better; 1 when every fake row copies a training row. A value far below .5
    says that training and real rows come from different distributions. Range: [0, 1].
    Invariant under a common rotation, translation or scale and the order of rows.

    Needs 2 rows each. Cost: ``m (n + t) d``, shared.

    Source: the comparison of distances to training and test rows of Meehan et al. 2020 (arXiv
    2004.05675), here row by row.
    """
    to_train, to_real = all_nearest(fake, train)[0], all_nearest(fake, real)[0]
    share = float((to_train < to_real).mean() + (to_train == to_real).mean() / 2)
    if not corrected:
        return share
    n, t = len(real), len(train)
    return share * n / (share * n + (1 - share) * t)


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
        (the nearest real row) and ``ratio``, train over real distance: the smallest first, ties by
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
    samples = {"fake": as_sample(fake, "fake"), "train": as_sample(train, "train")}
    if real is not None:
        samples["real"] = as_sample(real, "real")
    for name, sample in samples.items():
        if len(sample) == 0:
            raise ValueError(f"{name} had 0 rows, must have at least 1")
        if sample.dim != samples["fake"].dim:
            raise ValueError(
                f"{name} had shape {sample.shape}, must be (n, {samples['fake'].dim}) like fake"
            )
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
    ratio = np.where(to_train == to_real, 1.0, np.inf)
    np.divide(to_train, to_real, out=ratio, where=to_real > 0)
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


def _nearest_row(a: Sample, b: Sample) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    squared, i, j = all_nearest(a, b)
    return np.sqrt(squared), j[np.searchsorted(i, np.arange(len(a)))]
