"""Fidelity and diversity by near neighbours: precision, recall, density and coverage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from nriqm_bench.metrics.estimate import Spread, share_of_fake, spread_of_mean
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import (
    Ball,
    Counts,
    Nearest,
    Realism,
    answer,
    count_in_balls,
)
from nriqm_bench.metrics.sample import Float64, Sample

Ties = Literal["strict", "inclusive"]

_UNMOVED = ("rotation", "translation", "scale")


def _share_of_real(real: Sample, fake: Sample, **_: Any) -> Spread:
    return Spread(len(real))


@metric(
    "precision",
    higher_is_better=True,
    min_samples=4,
    checks_rows=True,
    invariant=_UNMOVED,
    range=(0.0, 1.0),
    sees=("shift",),
    spread=share_of_fake,
)
def precision(real: Sample, fake: Sample, *, k: int = 3, ties: Ties = "inclusive") -> float:
    """Share of fake rows that lie within the k-nearest-neighbour ball of some real row.

    The ball of a real row reaches to its k-th nearest other real row.

    Parameters
    ----------
    k
        Which neighbour sets the radius (published: 3).
    ties
        ``"inclusive"``: a distance equal to the radius is within (published: paper, equation 1, and
        code); ``"strict"``: it is not (the package prdc, with k = 5).

    Direction: higher is better (fidelity). Range: [0, 1]; 1 for identical samples when ties are
    inclusive. Invariant under a common rotation, translation or scale and the order of rows.
    Outliers among the real rows have large balls, and raise it.

    Needs more than k real rows. Cost: ``n^2 d + n m d``, shared with the other metrics of
    neighbours.

    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), section 2.
    """
    return float((_counts("precision", real, fake, k, ties).columns > 0).mean())


@metric(
    "recall",
    higher_is_better=True,
    min_samples=4,
    checks_rows=True,
    invariant=_UNMOVED,
    range=(0.0, 1.0),
    sees=("shift", "modes"),
    spread=_share_of_real,
)
def recall(real: Sample, fake: Sample, *, k: int = 3, ties: Ties = "inclusive") -> float:
    """Share of real rows that lie within the k-nearest-neighbour ball of some fake row.

    The ball of a fake row reaches to its k-th nearest other fake row: precision with the roles
    exchanged.

    Parameters
    ----------
    k
        Which neighbour sets the radius (published: 3).
    ties
        ``"inclusive"`` (published) or ``"strict"``, as for precision.

    Direction: higher is better (diversity). Range: [0, 1]. Invariant under a common rotation,
    translation or scale and the order of rows. Noise widens the balls of fake rows, and can raise
    it.

    Needs more than k fake rows. Cost: ``m^2 d + n m d``, shared.

    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), section 2.
    """
    return float((_counts("recall", real, fake, k, ties).rows > 0).mean())


def _density_spread(real: Sample, fake: Sample, *, k: int = 5, ties: Ties = "strict") -> Spread:
    counts = _counts("density", real, fake, k, ties)
    n, m = len(real), len(fake)
    # A mean over pairs varies with the rows of both sides.
    of_fake, of_real = counts.columns / k, counts.rows * (n / (k * m))
    if min(n, m) < 2:
        return Spread(m, math.inf)
    variance = float(of_fake.var(ddof=1)) / m + float(of_real.var(ddof=1)) / n
    return Spread(m, math.sqrt(variance), n + m - 2)


def _density_floor(real: Sample, fake: Sample, **_: Any) -> float:
    return 1.0


@metric(
    "density",
    higher_is_better=True,
    min_samples=6,
    checks_rows=True,
    invariant=_UNMOVED,
    range=(0.0, math.inf),
    sees=("shift",),
    spread=_density_spread,
    floor=_density_floor,
)
def density(real: Sample, fake: Sample, *, k: int = 5, ties: Ties = "strict") -> float:
    """How many real balls a fake row lies in, on average, divided by k.

    The ball of a real row reaches to its k-th nearest other real row.

    Parameters
    ----------
    k
        Which neighbour sets the radius (published: 5).
    ties
        ``"strict"``: a distance equal to the radius is not within (published code);
        ``"inclusive"``: it is.

    Direction: higher is better (fidelity). Range: [0, n / k]; expected 1 for equal distributions.
    Invariant under a common rotation, translation or scale and the order of rows.

    Needs more than k real rows. Cost: ``n^2 d + n m d``, shared.

    Source: Naeem et al. 2020 (arXiv 2002.09797), section 3; ties as in the authors' package prdc.
    """
    return int(_counts("density", real, fake, k, ties).columns.sum()) / (k * len(fake))


def expected_coverage(n: int, m: int, k: int) -> float:
    """Coverage expected of n real and m fake rows of one continuous distribution.

    A real row is not covered when its k nearest among the n - 1 others and m fake rows are all
    real: ``1 - prod_(i = 1 .. k) (n - i) / (n + m - i)``.

    Source: Naeem et al. 2020 (arXiv 2002.09797), lemma 2.
    """
    return -math.expm1(sum(math.log1p(-m / (n + m - i)) for i in range(1, k + 1)))


def _coverage_floor(real: Sample, fake: Sample, *, k: int = 5, **_: Any) -> float:
    return expected_coverage(len(real), len(fake), k)


@metric(
    "coverage",
    higher_is_better=True,
    min_samples=6,
    checks_rows=True,
    invariant=_UNMOVED,
    range=(0.0, 1.0),
    sees=("shift", "modes"),
    spread=_share_of_real,
    floor=_coverage_floor,
)
def coverage(real: Sample, fake: Sample, *, k: int = 5, ties: Ties = "strict") -> float:
    """Share of real rows whose k-nearest-neighbour ball holds a fake row.

    The ball of a real row reaches to its k-th nearest other real row.

    Parameters
    ----------
    k
        Which neighbour sets the radius (published: 5).
    ties
        ``"strict"`` (published code) or ``"inclusive"``, as for density.

    Direction: higher is better (diversity). Range: [0, 1]; for equal distributions it is expected
    to be ``1 - prod_(i = 1 .. k) (n - i) / (n + m - i)``, less than 1. Invariant under
    a common rotation, translation or scale and the order of rows.

    Needs more than k real rows. Cost: ``n^2 d + n m d``, shared.

    Source: Naeem et al. 2020 (arXiv 2002.09797), section 3 and lemma 2; ties as in prdc.
    """
    return float((_counts("coverage", real, fake, k, ties).rows > 0).mean())


def _realism_spread(real: Sample, fake: Sample, *, k: int = 3) -> Spread:
    return spread_of_mean(realism_scores(real, fake, k))


@metric(
    "realism",
    higher_is_better=True,
    min_samples=4,
    checks_rows=True,
    invariant=_UNMOVED,
    range=(0.0, math.inf),
    sees=("shift",),
    spread=_realism_spread,
)
def realism(real: Sample, fake: Sample, *, k: int = 3) -> float:
    """Mean realism score of the fake rows.

    The realism of a fake row is the largest ratio, over real rows, of the radius of the real row's
    k-nearest-neighbour ball to its distance from the fake row; above 1 it lies within a ball. Only
    the balls smaller than the median one count (where none is, as when all are equal, those that
    equal it), so that outliers do not make everything realistic.

    Parameters
    ----------
    k
        Which neighbour sets the radius (published: 3).

    Direction: higher is better (fidelity). Range: [0, inf]; inf when a fake row coincides with a
    real one. Invariant under a common rotation, translation or scale and the order of rows.

    Needs more than k real rows. Cost: ``n^2 d + n m d / 2``, shared.

    Interval: of the mean over fake rows.

    Source: Kynkaanniemi et al. 2019 (arXiv 1904.06991), section 5, equation 3; a mean over rows as
    in Stein et al. 2023 (arXiv 2306.04675).
    """
    return float(realism_scores(real, fake, k).mean())


def realism_scores(real: Sample, fake: Sample, k: int = 3) -> Float64:
    """``(m,)`` realism of each fake row, see `realism`."""
    _check(_ball("realism", k, "strict"), "realism", real, fake)
    with np.errstate(divide="ignore"):
        return np.asarray(1 / np.sqrt(answer(real, fake, [Realism("a", k)])[0]))


# Which nearest rows the metrics of memorisation look for: of fake in train, of fake in real.
_NEAREST = {
    "authpct": (True, False),
    "copy-rate": (True, False),
    "ct": (True, False),
    "train-share": (True, True),
}


def share(real: Any, fake: Any, train: Any, asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Answer what all metrics of neighbours that are `asked` need, in one pass over the pairs.

    What cannot be answered is left to the metric itself, which says why.
    """
    if not (isinstance(real, Sample) and isinstance(fake, Sample) and real.dim == fake.dim):
        return
    from nriqm_bench.metrics.clipped import clipped_balls

    asks: list[Any] = clipped_balls(real, asked)
    for name, own in _FAMILY.items():
        if name not in asked:
            continue
        options = {**own.options, **asked[name]}
        ball = _ball(name, options["k"], options.get("ties", "strict"))
        if ball.k >= len(real if ball.side == "a" else fake):
            return
        asks.append(Realism("a", ball.k) if name == "realism" else ball)
    to_train = any(_NEAREST[name][0] for name in asked if name in _NEAREST)
    to_real = any(_NEAREST[name][1] for name in asked if name in _NEAREST)
    usable = isinstance(train, Sample) and train.dim == fake.dim and len(train) and len(fake)
    if usable and len(real) and (to_real or (to_train and train is real)):
        asks.append(Nearest("b"))
    if asks:
        answer(real, fake, asks)


_FAMILY = {
    "precision": precision,
    "recall": recall,
    "density": density,
    "coverage": coverage,
    "realism": realism,
}


def _ball(name: str, k: int, ties: str) -> Ball:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k was {k!r}, must be a whole number >= 1")
    if ties not in ("strict", "inclusive"):
        raise ValueError(f"ties was {ties!r}, must be 'strict' or 'inclusive'")
    return Ball("b" if name == "recall" else "a", k, ties == "inclusive")


def _check(ball: Ball, name: str, real: Sample, fake: Sample) -> None:
    argument, owner = ("fake", fake) if ball.side == "b" else ("real", real)
    if len(owner) <= ball.k:
        raise ValueError(
            f"{argument} had {len(owner)} rows, must have more than k = {ball.k} for {name}"
        )


def _counts(name: str, real: Sample, fake: Sample, k: int, ties: str) -> Counts:
    ball = _ball(name, k, ties)
    _check(ball, name, real, fake)
    return count_in_balls(real, fake, [ball])[ball]
