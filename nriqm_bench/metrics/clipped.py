"""Clipped density and clipped coverage: density and coverage that outliers cannot inflate."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from nriqm_bench.metrics.estimate import Spread, spread_of_mean
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import Ball, count_in_balls, own_pairs, radii
from nriqm_bench.metrics.sample import Float64, Sample

_UNMOVED = ("rotation", "translation", "scale")


def _density_rows(real: Sample, fake: Sample, k: int) -> tuple[Float64, float]:
    """What each fake row scores, and what a real row scores on average among the others."""
    _check(real, k)
    ball = Ball("a", k, inclusive=True, clipped=True)
    inside = count_in_balls(real, fake, [ball])[ball].columns
    i, j, squared = own_pairs(real, k)
    held = np.bincount(j[squared <= radii(real, k, clipped=True)[i]], minlength=len(real))
    return np.minimum(inside / k, 1), float(np.minimum(held / k, 1).mean())


def _density_spread(real: Sample, fake: Sample, *, k: int = 5, clip: bool = True) -> Spread:
    rows, own = _density_rows(real, fake, k)
    return spread_of_mean(rows / own)


@metric(
    "clipped-density",
    higher_is_better=True,
    min_samples=6,
    checks_rows=True,
    range=(0.0, 1.0),
    invariant=_UNMOVED,
    sees=("shift",),
    spread=_density_spread,
)
def clipped_density(real: Sample, fake: Sample, *, k: int = 5, clip: bool = True) -> float:
    """Density with clipped balls and clipped rows: the share of fake rows that look real.

    The ball of a real row reaches to its k-th nearest other real row, but not beyond the median of
    these radii. A fake row scores the number of balls it lies in (edges included) over k, at most
    1. The mean is divided by what the real rows score in each other's balls.

    Parameters
    ----------
    k
        Which neighbour sets the radius (published: 5).
    clip
        Whether the value is at most 1 (published).

    Direction: higher is better (fidelity). Range: [0, 1]; without `clip`, at most k. Falls linearly
    with the share of fake rows that look unreal. Invariant under a common rotation, translation or
    scale and the order of rows.

    Needs more than k real rows. Cost: ``n^2 d + n m d``, shared with the metrics of neighbours.

    Interval: of the mean over fake rows.

    Source: Salvy, Talbot and Thirion 2025 (arXiv 2507.01761), section 4; edges as in the authors'
    code.
    """
    rows, own = _density_rows(real, fake, k)
    value = float(rows.mean()) / own
    return min(1.0, value) if clip else value


def _coverage_rows(real: Sample, fake: Sample, k: int) -> Float64:
    _check(real, k)
    ball = Ball("a", k, inclusive=False)
    return np.minimum(count_in_balls(real, fake, [ball])[ball].rows / k, 1)


def _coverage_spread(
    real: Sample, fake: Sample, *, k: int = 5, calibration: str = "published"
) -> Spread:
    rows = _coverage_rows(real, fake, k)
    if calibration == "none":
        return spread_of_mean(rows)
    expected = expected_shares(len(real), len(fake), k)
    mean, spread = float(rows.mean()), spread_of_mean(rows)
    # The slope of the calibration turns the spread of the mean into that of the value.
    at = int(np.clip(np.searchsorted(expected, mean), 1, len(fake)))
    slope = 1 / (len(fake) * (expected[at] - expected[at - 1]))
    return Spread(len(real), (spread.sd or 0.0) * slope)


@metric(
    "clipped-coverage",
    higher_is_better=True,
    min_samples=6,
    checks_rows=True,
    range=(0.0, 1.0),
    invariant=_UNMOVED,
    sees=("shift", "modes"),
    spread=_coverage_spread,
)
def clipped_coverage(
    real: Sample, fake: Sample, *, k: int = 5, calibration: str = "published"
) -> float:
    """Coverage that counts up to k fake rows a ball, calibrated to the share of good fake rows.

    The ball of a real row reaches to its k-th nearest other real row. It scores the number of fake
    rows strictly within over k, at most 1. The mean is turned into the share s of fake rows drawn
    from the real distribution that would be expected to give it: the mean of ``min(X, k) / k`` with
    X beta-binomial (s m, k, n - k).

    Parameters
    ----------
    k
        Which neighbour sets the radius (published: 5).
    calibration
        ``"published"``: whole numbers of good rows, out of m + 1, as the authors' code has it;
        ``"interpolated"``: in between too, out of m; ``"none"``: the mean itself.

    Direction: higher is better (diversity). Range: [0, 1]. Falls linearly with the share of fake
    rows that cover nothing. Invariant under a common rotation, translation or scale and the order
    of rows.

    Needs more than k real rows. Cost: ``n^2 d + n m d``, shared; ``m k`` for the calibration.

    Interval: of the mean over real rows, carried through the calibration.

    Source: Salvy, Talbot and Thirion 2025 (arXiv 2507.01761), section 5, and the authors' code.
    """
    if calibration not in ("published", "interpolated", "none"):
        raise ValueError(
            f"calibration was {calibration!r}, must be 'published', 'interpolated' or 'none'"
        )
    mean = float(_coverage_rows(real, fake, k).mean())
    if calibration == "none":
        return mean
    m = len(fake)
    expected = expected_shares(len(real), m, k)
    if calibration == "interpolated":
        return float(np.interp(mean, expected, np.arange(m + 1) / m))
    if m < k:
        raise ValueError(f"fake had {m} rows, must have at least k = {k} for clipped-coverage")
    # The code's own table starts at k good rows. A hair less, so that rounding counts as equal.
    table = np.where(np.arange(m + 1) < k, 0.0, expected)
    return int(np.searchsorted(table, mean * (1 - 1e-12))) / (m + 1)


def clipped_balls(real: Sample, asked: Mapping[str, Mapping[str, Any]]) -> list[Ball]:
    """The balls that those metrics of this room count in that are `asked`."""
    found = []
    for name, clip in (("clipped-density", True), ("clipped-coverage", False)):
        k = asked.get(name, {}).get("k", 5)
        if name in asked and isinstance(k, int) and 0 < k < len(real):
            found.append(Ball("a", k, inclusive=clip, clipped=clip))
    return found


@cache
def expected_shares(n: int, m: int, k: int) -> Float64:
    """``(m + 1,)`` expected ``min(X, k) / k`` for 0 to m fake rows of the real distribution.

    X, how many of them fall in a ball that reaches to the k-th of n - 1 others, is beta-binomial
    with parameters k and n - k.
    """
    from scipy.special import betaln, gammaln

    good = np.arange(m + 1.0)
    missing = np.zeros(m + 1)
    for j in range(k):
        with np.errstate(invalid="ignore", divide="ignore"):
            chosen = gammaln(good + 1) - gammaln(j + 1.0) - gammaln(good - j + 1)
            log = chosen + betaln(k + j, n - k + good - j) - betaln(k, n - k)
        missing += (k - j) * np.where(good >= j, np.exp(np.where(good >= j, log, 0)), 0)
    return np.asarray(1 - missing / k)


def _check(real: Sample, k: int) -> None:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k was {k!r}, must be a whole number >= 1")
    if len(real) <= k:
        raise ValueError(f"real had {len(real)} rows, must have more than k = {k}")
