"""Copies: how many fake rows look like training rows, and how much."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import all_nearest, own_neighbours
from nriqm_bench.metrics.sample import Float64, Sample, as_sample, unit_rows

Rows = NDArray[Any]
Whitening = Literal["shrunk", "full", "columns"]


def _rank(n: int, quantile: float) -> int:
    return max(1, round(quantile * n))


def _rate_spread(real: Sample, fake: Sample, *, train: Sample, quantile: float = 0.01) -> Spread:
    # The limit is itself read off the real rows: both samples add to the binomial variance.
    n = int((all_nearest(real, train)[0] > 0).sum())
    return Spread(len(fake), size=1 / (1 / len(fake) + 1 / (n + 2)))


def _rate_floor(real: Sample, fake: Sample, *, train: Sample, quantile: float = 0.01) -> float:
    n = int((all_nearest(real, train)[0] > 0).sum())
    leaked = 1 - n / len(real)
    return leaked + (1 - leaked) * _rank(n, quantile) / (n + 1)


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
    n))``. Equal training rows count as one. Real rows that coincide with a training row were not
    held out: they are set aside, and n counts the others.

    Parameters
    ----------
    quantile
        The share of honest rows that may be called copies.

    Direction: lower is better. Range: [0, 1]; ``r / (n + 1)`` is expected without copying, 1 when
    all rows are copies. Invariant under a common rotation, translation or scale and the order of
    rows.

    Needs 2 rows each, two different training rows, and a real row that is no training row. Cost:
    ``t^2 d + (n + m) t d``, shared.

    Interval: binomial, of ``1 / (1 / m + 1 / (n + 2))`` rows, as the limit varies too. Floor:
    ``r / (n + 1)``, exactly; where a share e of the real rows coincides with training rows,
    ``e + (1 - e) r / (n + 1)``.

    Source: the ratio of authenticity, Alaa et al. 2022 (arXiv 2102.08921); its calibration by
    held-out rows, so that false alarms have a known rate, is this package's.
    """
    if not (isinstance(quantile, int | float) and 0 < quantile < 1):
        raise ValueError(f"quantile was {quantile!r}, must be a number between 0 and 1")
    single = _distinct(train)
    honest = _isolation_ratio(real, single)
    honest = honest[honest > 0]
    if not honest.size:
        raise ValueError(
            f"real held {len(real)} of {len(real)} rows that coincide with training rows, must be "
            "held out from training"
        )
    rank = _rank(len(honest), quantile)
    limit = np.partition(honest, rank - 1)[rank - 1]
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


def _index_spread(real: Sample, fake: Sample, *, train: Sample, **options: Any) -> Spread:
    fakes, reals = (memorisation_indices(real, s, train, **options) for s in (fake, real))
    # What a real row adds to the null's mean and deviation, to first order (Efron and Stein 1981).
    plain = {k: v for k, v in options.items() if k != "bounded"}
    z, own = (memorisation_indices(real, s, train, **plain) for s in (fake, real))
    slope = 1 - np.square(fakes) if options.get("bounded") else np.ones(len(z))
    influence = own * slope.mean() + (np.square(own) - 1) / 2 * (slope * z).mean()
    variance = fakes.var(ddof=1) / len(fakes) + influence.var(ddof=1) / len(reals)
    return Spread(len(fakes), math.sqrt(variance), len(fakes) + len(reals) - 2)


def _index_floor(real: Sample, fake: Sample, *, train: Sample, **options: Any) -> float:
    if not options.get("bounded"):
        return 0.0
    return float(memorisation_indices(real, real, train, **options).mean())


@metric(
    "memorisation-index",
    higher_is_better=False,
    min_samples=3,
    needs_train=True,
    invariant=("rotation", "translation", "scale"),
    sees=("copies",),
    spread=_index_spread,
    floor=_index_floor,
)
def memorisation_index(
    real: Sample,
    fake: Sample,
    *,
    train: Sample,
    bounded: bool = False,
    whitening: Whitening = "shrunk",
    layers: Sequence[int] | None = None,
) -> float:
    """Mean memorisation index (MI): how much more alike to a training row than real rows are.

    Rows are whitened by the mean and the covariance of `train`; the similarity s of a row is the
    largest cosine to a training row. With mean and standard deviation of s over the held-out real
    rows as the null, the index of a fake row is ``(s - mean) / sd``; the value is the mean over
    fake rows.

    Parameters
    ----------
    bounded
        Whether each row counts as ``tanh`` of its index, in (-1, 1): the negative of the published
        overfit / novelty index (ONI), so that the direction stays.
    whitening
        ``"shrunk"``: the covariance is shrunk towards a multiple of the identity as far as its
        error asks (Ledoit and Wolf 2004); ``"full"``: it is taken as it is, eigenvalues below 1e-8
        lifted to that (the published code); ``"columns"``: its diagonal alone. With fewer training
        rows than columns, "full" blows up what lies outside the span of the training rows: other
        rows are alike to none, and the index of a copy is beyond all bounds.
    layers
        Widths of groups of columns, one a layer of the network, which sum to d. Each is whitened
        and compared on its own, and s is the geometric mean over layers, negative cosines as 0.
        None: all columns are one layer.

    Direction: lower is better. Range: any number; 0 is expected without copying. Invariant under a
    common rotation ("shrunk", "full"), translation or scale ("shrunk", "columns") and the order of
    rows.

    Needs 3 rows each and a column that varies in `train` (and in each layer). Not for a single
    column, whose cosines are all 1. Cost: ``(n + m) t d`` and ``t d min(t, d)`` for the whitening.

    Interval: of the mean over fake rows, with the variance of the null to first order, the training
    rows given. Floor: 0; bounded, the mean over the real rows.

    Source: Deo et al. 2026 (arXiv 2602.13066) and the authors' code: whitening, cosine, geometric
    mean, index and ONI. There the null comes from halves of the training set against each other,
    and layers from an MRI network. Held-out rows as the null (so that sizes match, and whitened
    training rows are not compared with themselves) and the shrinkage are ours.
    """
    options: dict[str, Any] = {"bounded": bounded, "whitening": whitening, "layers": layers}
    return float(memorisation_indices(real, fake, train, **options).mean())


def memorisation_indices(
    real: Any,
    fake: Any,
    train: Any,
    *,
    bounded: bool = False,
    whitening: Whitening = "shrunk",
    layers: Sequence[int] | None = None,
) -> Float64:
    """``(m,)`` memorisation index of each fake row, see `memorisation_index`."""
    samples = [as_sample(v, n) for v, n in ((real, "real"), (fake, "fake"), (train, "train"))]
    widths = tuple(samples[2].dim if layers is None else w for w in layers or (0,))
    if min(widths) < 1 or sum(widths) != samples[2].dim:
        raise ValueError(
            f"layers was {layers!r}, must be whole numbers >= 1 that sum to {samples[2].dim}"
        )
    null, found = (_similarities(s, samples[2], whitening, widths) for s in samples[:2])
    spread = float(null.std())
    if spread <= 1e-12:
        raise ValueError("real had one similarity to train in all rows, must have different rows")
    index = (found - null.mean()) / spread
    return np.asarray(np.tanh(index) if bounded else index)


def _similarities(
    sample: Sample, train: Sample, whitening: Whitening, widths: tuple[int, ...]
) -> Float64:
    """``(n,)`` geometric mean over layers of the largest cosine to a training row; kept."""
    shared, key = sample.shared_with(train), ("similarities", whitening, widths)
    if key not in shared:
        found = []
        for start, width in zip(np.cumsum((0, *widths[:-1])), widths, strict=True):
            whole = slice(int(start), int(start) + width)
            whitened, whitener = _whitened_train(train, whitening, whole)
            rows = whitener(sample.rows[:, whole])
            # Of rows of length 1 the squared distance is 2 - 2 cos.
            cosines = 1 - all_nearest(Sample(_directions(rows)), whitened)[0] / 2
            cosines[~rows.any(axis=1)] = 0
            found.append(cosines)
        if len(found) == 1:
            shared[key] = found[0]
        else:
            with np.errstate(divide="ignore"):
                shared[key] = np.exp(np.log(np.maximum(found, 0)).mean(axis=0))
    kept: Float64 = shared[key]
    return kept


def _whitened_train(
    train: Sample, whitening: Whitening, columns: slice
) -> tuple[Sample, Callable[[Rows], Float64]]:
    key = ("whitened", whitening, columns.start, columns.stop)
    if key not in train.own:
        layer = Sample(train.rows[:, columns])
        whitener = fit_whitener(layer, whitening)
        rows = whitener(layer.rows)
        train.own[key] = Sample(_directions(rows[rows.any(axis=1)])), whitener
    kept: tuple[Sample, Callable[[Rows], Float64]] = train.own[key]
    return kept


def fit_whitener(sample: Sample, whitening: Whitening = "shrunk") -> Callable[[Rows], Float64]:
    """The map that whitens rows by the mean and the covariance of `sample`.

    Raises
    ------
    ValueError
        For a sample that does not vary, or an unknown kind of whitening.

    Source: Ledoit and Wolf 2004, lemma 3.2 to 3.4, for the weight of the identity.
    """
    if whitening not in ("shrunk", "full", "columns"):
        raise ValueError(f"whitening was {whitening!r}, must be 'shrunk', 'full' or 'columns'")
    n, d = sample.shape
    near, rest = sample.mean_parts
    rows = sample.centred
    deviations = np.sqrt(np.square(rows).mean(axis=0))
    varies = deviations > np.finfo(np.float64).eps * np.abs(sample.array).max(axis=0)
    if not varies.any():
        raise ValueError("train was constant in every column, must vary in one at least")
    if whitening == "columns":
        scale = np.divide(1, deviations, out=np.zeros(d), where=varies)
        return lambda x: np.asarray(((x - near) - rest) * scale)
    _, values, axes = np.linalg.svd(rows, full_matrices=False)
    spectrum = np.square(values) / (n - 1)
    outside = 0.0
    if whitening == "shrunk":
        spectrum = np.square(values) / n
        mean, squares = float(spectrum.sum()) / d, float(np.square(spectrum).sum())
        error = float(np.square(np.square(rows).sum(axis=1)).mean() - squares) / n
        gap = squares - d * mean * mean
        weight = min(1.0, error / gap) if gap > 0 else 1.0
        spectrum, outside = (1 - weight) * spectrum + weight * mean, weight * mean
    # What is left of nothing is rounding, which must not be blown up.
    least = 1e-8 if whitening == "full" else 1e-12 * float(spectrum.max())
    inside = 1 / np.sqrt(np.maximum(spectrum, least))
    around = 1 / math.sqrt(max(outside, least))

    def whiten(x: Rows) -> Float64:
        centred = np.asarray((x - near) - rest, dtype=np.float64)
        along = centred @ axes.T
        if len(axes) == d:
            return np.asarray(along * inside)
        return np.asarray((along * (inside - around)) @ axes + centred * around)

    return whiten


def _directions(rows: Float64) -> Float64:
    """Rows of length 1; one at the centre has no direction and stays there, alike to none."""
    somewhere = rows.any(axis=1)
    found = np.zeros_like(rows)
    if somewhere.any():
        found[somewhere] = unit_rows(rows[somewhere], "rows")
    return found
