"""Copies, row by row: which fake rows look like training rows, and how many."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nriqm_bench.metrics.estimate import Spread, spread_of_mean
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import all_nearest, own_neighbours
from nriqm_bench.metrics.sample import Float64, Indices, Sample, as_sample, unit_rows


def _rank(n: int, quantile: float) -> int:
    return max(1, round(quantile * n))


def _rate_spread(real: Sample, fake: Sample, *, train: Sample, quantile: float = 0.01) -> Spread:
    return Spread(len(fake))


def _rate_floor(real: Sample, fake: Sample, *, train: Sample, quantile: float = 0.01) -> float:
    return _rank(len(real), quantile) / (len(real) + 1)


@metric(
    "copy-rate",
    higher_is_better=False,
    min_samples=2,
    needs_train=True,
    range=(0.0, 1.0),
    invariant=("rotation", "translation", "scale"),
    sees=("copies",),
    spread=_rate_spread,
    floor=_rate_floor,
)
def copy_rate(real: Sample, fake: Sample, *, train: Sample, quantile: float = 0.01) -> float:
    """Share of fake rows that lie suspiciously near a training row.

    Each row is judged by the ratio of its distance to the nearest training row to that training
    row's distance from its own nearest other training row (of several nearest, the most isolated).
    What ratio is suspicious is read off the `real` rows, held out from training: a fake row is a
    copy when its ratio is below the r-th smallest of the n real ones, ``r = max(1, round(quantile
    n))``. Equal training rows count as one.

    Parameters
    ----------
    quantile
        The share of honest rows that may be called copies.

    Direction: lower is better. Range: [0, 1]; ``r / (n + 1)`` is expected without copying, 1 when
    all rows are copies. Invariant under a common rotation, translation or scale and the order of
    rows.

    Needs 2 rows each, two different training rows, and fewer than r real rows that coincide with
    training rows. Cost: ``t^2 d + (n + m) t d``, shared.

    Interval: binomial. Floor: ``r / (n + 1)``.

    Source: the ratio of authenticity, Alaa et al. 2022 (arXiv 2102.08921); its calibration by
    held-out rows, so that false alarms have a known rate, is this package's.
    """
    if not (isinstance(quantile, int | float) and 0 < quantile < 1):
        raise ValueError(f"quantile was {quantile!r}, must be a number between 0 and 1")
    single = _distinct(train)
    honest, rank = _isolation_ratio(real, single), _rank(len(real), quantile)
    limit = np.partition(honest, rank - 1)[rank - 1]
    if limit == 0:
        raise ValueError(
            f"real held {int((honest == 0).sum())} of {len(real)} rows that coincide with "
            "training rows, must be held out from training"
        )
    return float((_isolation_ratio(fake, single) < limit).mean())


def _distinct(train: Sample) -> Sample:
    if own_neighbours(train, 1).squared.all():
        return train
    rows = np.sort(np.unique(train.rows, axis=0, return_index=True)[1])
    if len(rows) < 2:
        raise ValueError(f"train had {len(train)} equal rows, must have different ones")
    return train.take(rows)


def _isolation_ratio(rows: Sample, train: Sample) -> Float64:
    """Squared distance to the nearest training row over that row's from its own nearest."""
    squared, i, j = all_nearest(rows, train)
    isolation = np.zeros(len(rows))
    np.maximum.at(isolation, i, own_neighbours(train, 1).squared[j, 0])
    return np.asarray(squared / isolation)


def _ratio(to_train: Float64, to_real: Float64) -> Float64:
    """Ratios of squared distances; 1 for a row that coincides with both."""
    ratio = np.where(to_train == to_real, 1.0, np.inf)
    return np.divide(to_train, to_real, out=ratio, where=(to_real > 0) & (to_train != to_real))


def _index_spread(real: Sample, fake: Sample, *, train: Sample, bounded: bool = False) -> Spread:
    return spread_of_mean(memorisation_indices(real, fake, train, bounded=bounded))


def _index_floor(real: Sample, fake: Sample, *, train: Sample, bounded: bool = False) -> float:
    if not bounded:
        return 0.0
    return float(memorisation_indices(real, real, train, bounded=True).mean())


@metric(
    "memorisation-index",
    higher_is_better=False,
    min_samples=3,
    needs_train=True,
    invariant=("translation", "scale"),
    sees=("copies",),
    spread=_index_spread,
    floor=_index_floor,
)
def memorisation_index(
    real: Sample, fake: Sample, *, train: Sample, bounded: bool = False
) -> float:
    """Mean memorisation index (MI): how much more alike to a training row than real rows are.

    Columns are whitened (less the mean of `train`, by its standard deviation); the similarity s of
    a row is the largest cosine, c, to a training row, as ``(1 + c) / 2``. With mean and standard
    deviation of s over the held-out real rows as the null, the index of a fake row is ``(s - mean)
    / sd``; the value is the mean over fake rows.

    Parameters
    ----------
    bounded
        Whether each row counts as ``tanh`` of its index, in (-1, 1); the negative of the published
        overfit / novelty index.

    Direction: lower is better. Range: any number; 0 is expected without copying. Invariant under
    translation and scale of each column and the order of rows; not under rotation.

    Needs 3 rows each and a column that varies in `train`. Cost: ``(n + m) t d``.

    Interval: of the mean over fake rows. Floor: 0.

    Source: Deo et al. 2026 (arXiv 2602.13066): whitening, null and index. There s is the geometric
    mean over the layers of an MRI network; here there is one set of features. The map of cosines to
    [0, 1] is ours.
    """
    return float(memorisation_indices(real, fake, train, bounded=bounded).mean())


def memorisation_indices(real: Any, fake: Any, train: Any, *, bounded: bool = False) -> Float64:
    """``(m,)`` memorisation index of each fake row, see `memorisation_index`."""
    samples = [as_sample(v, n) for v, n in ((real, "real"), (fake, "fake"), (train, "train"))]
    reference = samples[2]
    sd = np.sqrt(np.square(reference.centred).mean(0))
    # A constant column has a deviation of rounding only.
    kept = sd > np.finfo(np.float64).eps * np.abs(reference.array).max(0)
    if not kept.any():
        raise ValueError("train was constant in every column, must vary in one at least")
    real_rows, fake_rows, train_rows = (
        Sample(_directions((s.array - reference.mean)[:, kept] / sd[kept])) for s in samples
    )
    # Of rows of length 1 the squared distance is 2 - 2 cos.
    null = 1 - all_nearest(real_rows, train_rows)[0] / 4
    spread = float(null.std(ddof=1))
    if spread == 0:
        raise ValueError("real had one similarity to train in all rows, must have different rows")
    index = (1 - all_nearest(fake_rows, train_rows)[0] / 4 - null.mean()) / spread
    return np.asarray(np.tanh(index) if bounded else index)


def _directions(rows: Float64) -> Float64:
    """Rows of length 1; one at the centre has no direction and stays there, alike to none."""
    nowhere = ~rows.any(axis=1)
    found = np.zeros_like(rows)
    found[~nowhere] = unit_rows(rows[~nowhere], "rows") if (~nowhere).any() else 0
    return found


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
