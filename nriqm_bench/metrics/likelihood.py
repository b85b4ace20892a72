"""Likelihoods of real features under Gaussians centred on the fake ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.pairs import SquaredDistances
from nriqm_bench.metrics.sample import Float64, Sample

Scale = Literal["fls", "fld"]

# Pairs whose distances are kept between iterations; beyond, they are computed again each time.
_KEPT = 1 << 25
_STEP = 1 << 20

_ITERATIONS = 100
_CONVERGED = 1e-6

# Variances are kept within these, as in the published code: copies would take them to 0.
_LOG_LIMITS = (-40.0, 20.0)


@metric(
    "fls",
    higher_is_better=True,
    min_samples=4,
    needs_train=True,
    invariant=("translation", "scale"),
    sees=("shift", "copies"),
)
def fls(real: Sample, fake: Sample, *, train: Sample, scale: Scale = "fls") -> float:
    """Feature likelihood score: how likely are held-out rows under Gaussians at the fake rows?

    Each fake row is the centre of an isotropic Gaussian whose variance is fitted to the training
    rows by maximum likelihood; the mixture of all, with equal weights, gives the mean negative log
    likelihood of the held-out `real` rows. It is compared with that of a mixture centred on one
    half of the training rows and fitted to the other. A copied training row gets a variance near 0,
    which makes held-out rows unlikely: copying lowers the score.

    Parameters
    ----------
    scale
        ``"fls"``: ``100 exp(-2 (nll - baseline) / d)``; ``"fld"``: ``100 (nll - baseline) / d``
        (the later name and scale), negated so that higher is better here too.

    Direction: higher is better. Range: [0, inf), 100 as good as training rows; "fld": any number, 0
    as good as training rows. A collapsed but central generator can exceed it. Columns are
    standardised by `real` first, so the value is invariant under translation and scale of each
    column, and under the order of rows; not under rotation.

    Needs 4 rows each and a column that varies in `real`. Cost: ``m t d``, and up to 100 times
    ``m t`` for the fit; beyond 33 million pairs (256 MB) distances are computed again each time.

    Interval: blocks of rows left out. No floor: about 100, but there are m fake centres and only
    half as many as training rows in the baseline.

    Source: Jiralerspong et al. 2023 (arXiv 2302.04440), sections 3.1 and 3.2, and the authors' code
    for the baseline; the fit is by expectation-maximisation until it settles, from the published
    start, where the code takes 50 steps of Adam.
    """
    if scale not in ("fls", "fld"):
        raise ValueError(f"scale was {scale!r}, must be 'fls' or 'fld'")
    x, y, t = _standardised(real, fake, train)
    nll = _mean_nll(x, y, _variances(y, t))
    # Equal training rows in both halves would be copies of each other.
    t = np.unique(t, axis=0)
    order = _from_centre(t)
    first, second = t[order[::2]], t[order[1::2]]
    difference = (nll - _mean_nll(x, first, _variances(first, second))) / x.shape[1]
    if scale == "fld":
        return float(-100 * difference)
    return float(100 * math.exp(min(700.0, -2 * difference)))


def _overfit_spread(real: Sample, fake: Sample, **_: object) -> Spread:
    return Spread(len(fake))


@metric(
    "fls-overfit",
    higher_is_better=False,
    min_samples=2,
    needs_train=True,
    range=(-50.0, 50.0),
    invariant=("translation", "scale"),
    sees=("copies",),
    spread=_overfit_spread,
)
def fls_overfit(real: Sample, fake: Sample, *, train: Sample) -> float:
    """Percentage of fake rows that make training rows likelier than held-out rows, less 50.

    Each fake row is the centre of an isotropic Gaussian whose variance is fitted to the training
    rows as for `fls`. It counts when the summed density of the training rows under it is larger
    than that of equally many real rows (a tie counts one half).

    Direction: lower is better. Range: [-50, 50]; about 0 expected without copying (a little above:
    the variances are fitted to the training rows), 50 when every fake row copies one. Invariant
    under translation and scale of each column and the order of rows.

    Needs 2 rows each and a column that varies in `real`. Cost: as `fls`.

    Interval: binomial. No floor: compare with what fresh real rows give.

    Source: Jiralerspong et al. 2023 (arXiv 2302.04440), section 3.3; equal numbers and the minus 50
    as in Stein et al. 2023 (arXiv 2306.04675).
    """
    x, y, t = _standardised(real, fake, train)
    log_variances = _variances(y, t)
    size = min(len(x), len(t))
    x, t = _every(x, size), _every(t, size)
    gap = _summed(t, y, log_variances) - _summed(x, y, log_variances)
    return float(100 * ((gap > 0).mean() + (gap == 0).mean() / 2) - 50)


def _standardised(real: Sample, fake: Sample, train: Sample) -> tuple[Float64, Float64, Float64]:
    """All rows less the mean of `real`, by its standard deviation; without constant columns."""
    sd = np.sqrt(np.square(real.centred).sum(0) / (len(real) - 1))
    kept = sd > np.finfo(np.float64).eps * np.abs(real.array).max(0)
    if not kept.any():
        raise ValueError("real was constant in every column, must vary in one at least")
    x, y, t = ((s.array - real.mean)[:, kept] / sd[kept] for s in (real, fake, train))
    return x, y, t


def _from_centre(rows: Float64) -> NDArray[np.intp]:
    """Rows by their distance from the mean: every other one of it is half of them, of like spread.

    It depends on the values alone, and a change that leaves the metric as it is leaves it too.
    """
    return np.argsort(np.square(rows - rows.mean(0)).sum(axis=1), kind="stable")


def _every(rows: Float64, size: int) -> Float64:
    """`size` of the rows, evenly from the centre outwards."""
    if size == len(rows):
        return rows
    places = (np.arange(size) + 0.5) * len(rows) / size
    return np.asarray(rows[_from_centre(rows)[places.astype(int)]])


def _blocks(rows: Float64, centres: Float64) -> Callable[[], Iterator[Float64]]:
    """Squared distances of all rows to all centres, again and again, some rows at a time."""
    distances = SquaredDistances(rows, centres).block("x", "y")
    step = max(1, _STEP // len(centres))
    parts = [slice(s, min(s + step, len(rows))) for s in range(0, len(rows), step)]
    everything = slice(0, len(centres))
    if len(rows) * len(centres) <= _KEPT:
        kept = [distances(part, everything) for part in parts]
        return lambda: iter(kept)
    return lambda: (distances(part, everything) for part in parts)


def _densities(squared: Float64, log_variances: Float64, d: int) -> Float64:
    """Log densities, less a constant that is the same for all."""
    found = squared * (-0.5 * np.exp(-log_variances))
    found -= d / 2 * log_variances
    return np.asarray(found)


def _variances(centres: Float64, rows: Float64) -> Float64:
    """``(m,)`` log variances that make the rows most likely, by expectation-maximisation."""
    d = rows.shape[1]
    blocks = _blocks(rows, centres)
    least = np.full(len(centres), np.inf)
    for squared in blocks():
        np.minimum(least, squared.min(axis=0), out=least)
    found = np.clip(np.log((least + 1e-3) / d), *_LOG_LIMITS)
    for _ in range(_ITERATIONS):
        weight, moment = np.zeros(len(centres)), np.zeros(len(centres))
        for squared in blocks():
            share = _densities(squared, found, d)
            share -= share.max(axis=1, keepdims=True)
            np.exp(share, out=share)
            share /= share.sum(axis=1, keepdims=True)
            weight += share.sum(axis=0)
            moment += np.einsum("ij,ij->j", share, squared)
        # A centre that no row belongs to keeps its variance: nothing is known of it.
        used = weight > 1e-12
        step = found.copy()
        with np.errstate(divide="ignore"):
            step[used] = np.log(moment[used] / weight[used] / d)
        step = np.clip(step, *_LOG_LIMITS)
        settled = float(np.abs(step - found).max()) < _CONVERGED
        found = step
        if settled:
            break
    return np.asarray(found)


def _mean_nll(rows: Float64, centres: Float64, log_variances: Float64) -> float:
    total = []
    for squared in _blocks(rows, centres)():
        density = _densities(squared, log_variances, rows.shape[1])
        top = density.max(axis=1)
        total.append(float((top + np.log(np.exp(density - top[:, None]).sum(axis=1))).sum()))
    return -math.fsum(total) / len(rows) + math.log(len(centres))


def _summed(rows: Float64, centres: Float64, log_variances: Float64) -> Float64:
    """``(m,)`` log of the summed density of all rows under each centre."""
    found = np.full(len(centres), -np.inf)
    for squared in _blocks(rows, centres)():
        density = _densities(squared, log_variances, rows.shape[1])
        found = np.logaddexp(found, np.logaddexp.reduce(density, axis=0))
    return found
