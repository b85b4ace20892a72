"""Fidelity and diversity by near neighbours: precision, recall, density and coverage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.neighbours_pass import Ball, Counts, count_in_balls
from nriqm_bench.metrics.sample import Sample

Ties = Literal["strict", "inclusive"]


@metric("precision", higher_is_better=True, min_samples=4, checks_rows=True)
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


@metric("recall", higher_is_better=True, min_samples=4, checks_rows=True)
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


@metric("density", higher_is_better=True, min_samples=6, checks_rows=True)
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


@metric("coverage", higher_is_better=True, min_samples=6, checks_rows=True)
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
    to be ``1 - prod_(i = 0 .. k - 1) (n - 1 - i) / (n + m - 1 - i)``, less than 1. Invariant under
    a common rotation, translation or scale and the order of rows.

    Needs more than k real rows. Cost: ``n^2 d + n m d``, shared.

    Source: Naeem et al. 2020 (arXiv 2002.09797), section 3 and lemma 2; ties as in prdc.
    """
    return float((_counts("coverage", real, fake, k, ties).rows > 0).mean())


def share(real: Any, fake: Any, asked: Mapping[str, Mapping[str, Any]]) -> None:
    """Count for all metrics of this family that are `asked` in one pass over the pairs.

    What cannot be counted is left to the metric itself, which says why.
    """
    balls = []
    for name, own in {"precision": precision, "recall": recall, **_PRDC}.items():
        if name in asked:
            options = {**own.options, **asked[name]}
            balls.append(_ball(name, options["k"], options["ties"]))
    usable = isinstance(real, Sample) and isinstance(fake, Sample) and real.dim == fake.dim
    if usable and all(0 < b.k < len(real if b.side == "a" else fake) for b in balls):
        count_in_balls(real, fake, balls)


_PRDC = {"density": density, "coverage": coverage}


def _ball(name: str, k: int, ties: str) -> Ball:
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k was {k!r}, must be a whole number >= 1")
    if ties not in ("strict", "inclusive"):
        raise ValueError(f"ties was {ties!r}, must be 'strict' or 'inclusive'")
    return Ball("b" if name == "recall" else "a", k, ties == "inclusive")


def _counts(name: str, real: Sample, fake: Sample, k: int, ties: str) -> Counts:
    ball = _ball(name, k, ties)
    argument, owner = ("fake", fake) if ball.side == "b" else ("real", real)
    if len(owner) <= k:
        raise ValueError(
            f"{argument} had {len(owner)} rows, must have more than k = {k} for {name}"
        )
    return count_in_balls(real, fake, [ball])[ball]
