"""Sanity checks in which one cloud is shifted, widened or scaled against the other."""

from __future__ import annotations

import numpy as np

from nriqm_bench.sanity import clouds
from nriqm_bench.sanity.check import Check, Criterion, Part
from nriqm_bench.sanity.clouds import Floats
from nriqm_bench.sanity.common import DIMS, DIVERSITY, FAR, FIDELITY, N, as_levels, few
from nriqm_bench.sanity.criteria import (
    bell,
    close_to,
    close_to_zero_or_one,
    falls,
    flat,
    low_or_high,
    rises,
)

_REACH = {1: 6.0, 8: 3.0, 64: 1.0}
_DECADES = {1: 3.0, 8: 1.0, 64: 0.5}


def mean_difference() -> Check:
    """Means move apart on every axis."""
    return _bell(
        "mean-difference",
        "mean difference",
        "Two Gaussians whose means move apart on every axis: 1 where they are equal, 0 far apart.",
        tuple(_mean_part(f"d={d}", d) for d in DIMS),
        0.0,
    )


def mean_difference_outlier() -> Check:
    """Means move apart, with one outlier."""
    parts = [
        _mean_part(f"{side} outlier, d={d}", d, side == "real", side == "fake")
        for side in ("real", "fake")
        for d in DIMS
    ]
    return _bell(
        "mean-difference-outlier",
        "mean diff. + outlier",
        "The same with one outlier among real or among fake rows, where the last level's mean is.",
        tuple(parts),
        0.0,
    )


def spread_difference() -> Check:
    """SDs differ."""

    def levels(d: int) -> tuple[float, ...]:
        return as_levels(np.logspace(-_DECADES[d], _DECADES[d], 51))

    def part(d: int) -> Part:
        return Part(
            f"d={d}",
            levels(d),
            few(51, 11),
            lambda rng, level: clouds.gaussian(rng, N, d),
            lambda rng, level: clouds.gaussian(rng, N, d, sd=level),
        )

    equal = levels(1)[25]
    bounds = [Criterion("equal distributions", close_to(1, equal))]
    for d in DIMS:
        name, low, high = f"d={d}", levels(d)[0], levels(d)[-1]
        bounds += [
            Criterion("narrow fakes", close_to(1, low), FIDELITY, name),
            Criterion("narrow fakes", close_to(0, low), DIVERSITY, name),
            Criterion("wide fakes", close_to(0, high), FIDELITY, name),
            Criterion("wide fakes", close_to_zero_or_one(high), DIVERSITY, name),
        ]
    return Check(
        "spread-difference",
        "spread difference",
        "Two Gaussians of different SD: fidelity falls as fakes widen; diversity is 0 for narrow "
        "fakes, and for wide ones 0 (low metrics) or 1 (high metrics).",
        tuple(part(d) for d in DIMS),
        {
            "D1": (
                Criterion("falls", falls(), FIDELITY),
                Criterion("bell or rise", low_or_high(bell(equal), rises()), DIVERSITY),
            ),
            "D4": tuple(bounds),
        },
    )


def sphere_surface() -> Check:
    """Radii of spheres differ."""

    def part(d: int) -> Part:
        return Part(
            f"d={d}",
            as_levels(np.linspace(0.1, 1.9, 51)),
            few(51, 11),
            lambda rng, level: clouds.sphere_surface(rng, N, d, 1.0),
            lambda rng, level: clouds.sphere_surface(rng, N, d, level),
        )

    return _bell(
        "sphere-surface",
        "hypersphere surface",
        "Points on the surfaces of two spheres of different radius: 1 at equal radii, 0 elsewhere.",
        tuple(part(d) for d in (128, 16, 2)),
        as_levels(np.linspace(0.1, 1.9, 51))[25],
    )


def scaling_one_dimension() -> Check:
    """One dimension changes its scale."""

    def cloud(rng: np.random.Generator, mean: float, scale: float) -> Floats:
        rows = clouds.gaussian(rng, N, 2)
        rows[:, 0] += mean
        rows[:, 1] *= scale
        return rows

    part = Part(
        "d=2",
        as_levels(np.logspace(-3, 3, 20)),
        few(20, 7),
        lambda rng, scale: cloud(rng, 0.0, scale),
        lambda rng, scale: cloud(rng, FAR, scale),
        one_real=False,
    )
    return _always_zero(
        "scaling-one-dimension",
        "scaling one dimension",
        "Means six SD apart in one dimension; the other, an equal one, is scaled: 0 throughout.",
        part,
        "D5",
        heavy_tailed=True,
    )


def mean_difference_pareto() -> Check:
    """Means move apart beside a heavy-tailed dimension."""

    def real(rng: np.random.Generator, level: float) -> Floats:
        return np.stack([rng.normal(0.0, 1.0, N), clouds.pareto(rng, N)], axis=1)

    def fake(rng: np.random.Generator, level: float) -> Floats:
        return np.stack([rng.normal(level, 1.0, N), clouds.pareto(rng, N)], axis=1)

    levels = as_levels(np.linspace(-FAR, FAR, 51))
    return _bell(
        "mean-difference-pareto",
        "mean diff. + Pareto",
        "A mean difference in one dimension beside an equal, heavy-tailed one.",
        (Part("d=2", levels, few(51, 11), real, fake),),
        0.0,
        heavy_tailed=True,
    )


def one_disjoint_dimension() -> Check:
    """One dimension of many is disjoint."""
    extra = tuple(dict.fromkeys(int(e) for e in np.logspace(0, 3, 20)))

    def fake(rng: np.random.Generator, more: float) -> Floats:
        rows = clouds.gaussian(rng, N, int(more) + 1)
        rows[:, 0] += FAR
        return rows

    part = Part(
        "d=2 to 1001",
        as_levels(extra),
        few(len(extra), 7),
        lambda rng, more: clouds.gaussian(rng, N, int(more) + 1),
        fake,
        one_real=False,
    )
    return _always_zero(
        "one-disjoint-dimension",
        "one disjoint dim.",
        "Means six SD apart in one dimension beside up to 1000 equal ones: 0 throughout.",
        part,
        "D1",
    )


def _bell(
    name: str,
    title: str,
    summary: str,
    parts: tuple[Part, ...],
    centre: float,
    heavy_tailed: bool = False,
) -> Check:
    """A check whose fakes equal the real rows at `centre` and leave them on both sides."""
    ends = {(p.levels[0], p.levels[-1]) for p in parts}
    bounds = [Criterion("equal distributions", close_to(1, centre))]
    for left, right in sorted(ends):
        where = tuple(p.name for p in parts if (p.levels[0], p.levels[-1]) == (left, right))
        for part in where if len(ends) > 1 else ("",):
            bounds += [
                Criterion("left end", close_to(0, left), part=part),
                Criterion("right end", close_to(0, right), part=part),
            ]
    cells = {"D1": (Criterion("bell", bell(centre)),), "D4": tuple(bounds)}
    return Check(name, title, summary, parts, cells, heavy_tailed)


def _mean_part(name: str, d: int, real_outlier: bool = False, fake_outlier: bool = False) -> Part:
    reach = _REACH[d]

    def real(rng: np.random.Generator, level: float) -> Floats:
        rows = clouds.gaussian(rng, N, d)
        return clouds.with_outlier(rows, reach) if real_outlier else rows

    def fake(rng: np.random.Generator, level: float) -> Floats:
        rows = clouds.gaussian(rng, N, d, mean=level)
        return clouds.with_outlier(rows, reach) if fake_outlier else rows

    return Part(name, as_levels(np.linspace(-reach, reach, 51)), few(51, 11), real, fake)


def _always_zero(
    name: str, title: str, summary: str, part: Part, cell: str, heavy_tailed: bool = False
) -> Check:
    ends = (("first level", part.levels[0]), ("last level", part.levels[-1]))
    return Check(
        name,
        title,
        summary,
        (part,),
        {
            cell: (Criterion("flat", flat()),),
            "D4": tuple(Criterion(told, close_to(0, level)) for told, level in ends),
        },
        heavy_tailed,
    )
