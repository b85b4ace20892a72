"""Memorisation: do fake rows lie nearer to training rows than they should?"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nriqm_bench.metrics.estimate import Spread, share_of_fake
from nriqm_bench.metrics.frechet import fid, frechet_floor, frechet_sd
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import all_nearest, own_neighbours
from nriqm_bench.metrics.sample import Float64, Sample, shuffled, unit_rows

_UNMOVED = ("rotation", "translation", "scale")

# Cosines held at once.
_BLOCK = 1 << 21

# How often k-means starts anew; the tightest cells are taken.
_STARTS = 10


@metric(
    "authpct",
    higher_is_better=True,
    needs_train=True,
    needs_real=False,
    range=(0.0, 100.0),
    invariant=_UNMOVED,
    sees=("copies",),
    spread=share_of_fake,
)
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


def _expected_share(real: Sample, fake: Sample, *, train: Sample, corrected: bool = False) -> float:
    return 0.5 if corrected else len(train) / (len(train) + len(real))


@metric(
    "train-share",
    higher_is_better=False,
    needs_train=True,
    range=(0.0, 1.0),
    invariant=_UNMOVED,
    sees=("copies",),
    spread=share_of_fake,
    floor=_expected_share,
)
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


def _no_difference(real: Sample, fake: Sample, **_: Any) -> float:
    return 0.0


class _Cell(NamedTuple):
    """One cell of C_T: its real rows, its z-score and the standard deviation of that."""

    weight: int
    z: float
    sd: float


def _ct_spread(
    real: Sample,
    fake: Sample,
    *,
    train: Sample,
    rng: np.random.Generator | None = None,
    **options: Any,
) -> Spread:
    cells = _cells(real, fake, train, rng, **options)
    sd = math.hypot(*(c.weight * c.sd for c in cells)) / sum(c.weight for c in cells)
    return Spread(len(fake), sd, len(real) + len(fake) - 2)


@metric(
    "ct",
    higher_is_better=True,
    min_samples=2,
    needs_train=True,
    invariant=_UNMOVED,
    sees=("copies",),
    spread=_ct_spread,
    floor=_no_difference,
)
def ct(
    real: Sample,
    fake: Sample,
    *,
    train: Sample,
    cells: int = 1,
    tau: float | None = None,
    continuity: bool = True,
    ties: bool = False,
    rng: np.random.Generator | None = None,
) -> float:
    """Data-copying statistic C_T: are fake rows nearer to training rows than real rows are?

    The distances of fake rows to their nearest training rows are compared with those of the
    held-out real rows by the Mann-Whitney statistic U (how often a fake row is farther away, ties
    counted one half), as a z-score: ``(U - n m / 2) / sqrt(n m (n + m + 1) / 12)``.

    Parameters
    ----------
    cells
        In how many cells space is cut, by k-means of the training rows; within each, the nearest
        training rows are those of the cell. The value is the mean of the cells' z-scores by their
        share of real rows. 1 is the global test of the paper; its experiments, and later ones with
        3 cells, look for copying that is confined to a region.
    tau
        Cells with at most this share of the fake rows are left out; by default 20 rows.
    continuity
        Whether .5 is added to U, as the authors' code does.
    ties
        Whether the variance is corrected for equal distances (published: not).
    rng
        For k-means; None takes the same starts at each call.

    Direction: higher is better. Range: any number; 0 expected without copying, far below 0 (about
    -3 for one cell) when rows are copied, far above 0 when they are far from all training rows.
    Grows with the root of n. Invariant under a common rotation, translation or scale and the order
    of rows (with cells, but for the outcome of k-means).

    Needs 2 rows each. Cost: ``(n + m) t d``, shared with the other metrics of memorisation.

    Interval: from the placements of fake and real rows among each other, the training rows given
    (DeLong et al. 1988). Floor: 0, where the z-score of one cell has a standard deviation of 1.

    Source: Meehan, Chaudhuri and Dasgupta 2020 (arXiv 2004.05675), sections 3.1 and 3.2; 3 cells:
    Stein et al. 2023 (arXiv 2306.04675).
    """
    found = _cells(real, fake, train, rng, cells, tau, continuity, ties)
    return math.fsum(c.weight * c.z for c in found) / sum(c.weight for c in found)


def _cells(
    real: Sample,
    fake: Sample,
    train: Sample,
    rng: np.random.Generator | None,
    cells: int = 1,
    tau: float | None = None,
    continuity: bool = True,
    ties: bool = False,
) -> list[_Cell]:
    if not isinstance(cells, int) or not 1 <= cells <= len(train):
        raise ValueError(f"cells was {cells!r}, must be between 1 and the {len(train)} train rows")
    if cells == 1:
        return [_mann_whitney(fake, real, train, continuity, ties)]
    from scipy.cluster.vq import kmeans2, vq

    source = np.random.default_rng(0) if rng is None else rng
    rows = train.centred[shuffled(train)]
    starts = [kmeans2(rows, cells, iter=100, minit="++", rng=source)[0] for _ in range(_STARTS)]
    centres = min(starts, key=lambda c: float(np.square(vq(rows, c)[1]).sum()))
    labels = [vq(s.array - train.mean, centres)[0] for s in (fake, real, train)]
    least = 20 / len(fake) if tau is None else tau
    found = []
    for cell in range(cells):
        mine, theirs, learnt = (np.flatnonzero(of == cell) for of in labels)
        if len(mine) > least * len(fake) and len(theirs) and len(learnt):
            parts = fake.take(mine), real.take(theirs), train.take(learnt)
            found.append(_mann_whitney(*parts, continuity, ties))
    if not found:
        raise ValueError(
            f"fake had no more than {least:.3g} of its rows in each of {cells} cells, must have "
            "more in one: take fewer cells, or a smaller tau"
        )
    return found


def _mann_whitney(fake: Sample, real: Sample, train: Sample, continuity: bool, ties: bool) -> _Cell:
    """How often a fake row is farther from the training rows than a real one, as a z-score."""
    a, b = all_nearest(fake, train)[0], all_nearest(real, train)[0]
    m, n = len(a), len(b)
    of_fake, of_real = _exceeded(a, b), 1 - _exceeded(b, a)
    size = n + m + 1.0
    if ties:
        counts = np.unique(np.concatenate([a, b]), return_counts=True)[1].astype(np.float64)
        size -= float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1))
    variance = size / (12 * n * m)
    if variance <= 0:
        return _Cell(n, 0.0, 0.0)
    gap = float(of_fake.mean()) - 0.5 + 0.5 * continuity / (n * m)
    sd = 1.0
    if min(n, m) > 1:
        sd = math.sqrt((of_fake.var(ddof=1) / m + of_real.var(ddof=1) / n) / variance)
    return _Cell(n, gap / math.sqrt(variance), sd)


def _exceeded(values: Float64, others: Float64) -> Float64:
    """For each value the share of the others below it, equal ones counted one half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(below / (2 * len(others)))


def _mifid_spread(real: Sample, fake: Sample, *, train: Sample, threshold: float = 0.1) -> Spread:
    rows, sd = _cosine_distances(fake, train, "fake"), frechet_sd(real, fake)
    distance = float(rows.mean())
    if distance < threshold:
        relative = float(rows.std(ddof=1)) / math.sqrt(len(rows))
        relative /= distance or math.inf
        sd = math.hypot(sd, float(fid.function(real, fake)) * relative) / (distance or math.inf)
    return Spread(len(fake), sd, len(real) + len(fake) - 2)


def _mifid_floor(real: Sample, fake: Sample, *, train: Sample, threshold: float = 0.1) -> float:
    distance = float(_cosine_distances(real, train, "real").mean())
    return _penalised(frechet_floor(real, len(real), len(fake)), distance, threshold)


@metric(
    "mifid",
    higher_is_better=False,
    min_samples=2,
    needs_train=True,
    range=(0.0, math.inf),
    invariant=("rotation",),
    # Where the distance passes the threshold the value falls: a shift may look better.
    sees=("copies",),
    spread=_mifid_spread,
    floor=_mifid_floor,
)
def mifid(real: Sample, fake: Sample, *, train: Sample, threshold: float = 0.1) -> float:
    """FID over the distance from memorisation (MiFID).

    The distance of a fake row is the least ``1 - |cos|`` to a training row; when its mean over fake
    rows is below `threshold`, FID is divided by that mean, else it stays.

    Parameters
    ----------
    threshold
        Below what mean distance rows count as memorised (published: .1; torchmetrics too). It
        depends on the features: compare with what held-out real rows have.

    Direction: lower is better. Range: [0, inf]; inf for a full copy of training rows, *also* when
    its FID is 0 (some code gives it the best value, 0). Invariant under a common rotation and the
    order of rows; not under translation.

    Needs 2 rows each, none of zeros. Cost: that of FID and ``m t d``. Jumps down where the distance
    passes the threshold, so that rows that move away can look better.

    Interval: from FID's and the distance's own to first order, the side of the threshold given.
    Floor: FID's, divided by the distance of the real rows where that is below the threshold.

    Source: Bai et al. 2021 (arXiv 2106.03062), section 3.
    """
    if not (isinstance(threshold, int | float) and threshold > 0):
        raise ValueError(f"threshold was {threshold!r}, must be a number > 0")
    distance = float(_cosine_distances(fake, train, "fake").mean())
    return _penalised(float(fid.function(real, fake)), distance, threshold)


def _penalised(value: float, distance: float, threshold: float) -> float:
    if distance >= threshold:
        return value
    return value / distance if distance > 0 else math.inf


def _cosine_distances(sample: Sample, train: Sample, name: str) -> Float64:
    """For each row the least ``1 - |cos|`` to a training row; kept with both."""
    shared = sample.shared_with(train)
    if "cosine distances" not in shared:
        x, y = unit_rows(sample.rows, name), unit_rows(train.rows, "train")
        step = max(1, _BLOCK // len(y))
        least = []
        for start in range(0, len(x), step):
            rows = x[start : start + step]
            cosines = rows @ y.T
            nearest = np.abs(cosines).argmax(axis=1)
            # 1 - |cos| of two rows of length 1, without cancelling: half the squared gap.
            sign = np.sign(cosines[np.arange(len(rows)), nearest])[:, None]
            least.append(np.square(rows - sign * y[nearest]).sum(axis=1) / 2)
        found = np.concatenate(least)
        # Copies are copies, though two lengths are rounded apart.
        found[found < 1e-30] = 0
        shared["cosine distances"] = found
    kept: Float64 = shared["cosine distances"]
    return kept
