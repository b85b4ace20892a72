"""Sanity checks on supports: cubes that overlap, a sphere in a torus, points on a grid."""

from __future__ import annotations

import numpy as np

from nriqm_bench.sanity import clouds
from nriqm_bench.sanity.check import Check, Criterion, Part
from nriqm_bench.sanity.clouds import Floats
from nriqm_bench.sanity.common import DIMS, DIVERSITY, FIDELITY, N, as_levels, few
from nriqm_bench.sanity.criteria import close_to, close_to_zero_or_one, flat, settles

OVERLAP = 0.2

_SIZES = tuple(int(n) for n in np.logspace(2, 4, 20))

# The middle of the sweep: from here on curves must have settled, and what lies before is not read.
_SETTLED = _SIZES[10]
_FEW_SIZES = (10, 13, 16, 19)


def cube_overlap() -> Check:
    """Cubes overlap, and both samples grow."""
    return _cubes(
        "cube-overlap",
        "cube overlap, n",
        "Two cubes that share a fifth of their volume, with more and more rows of both: .2, from "
        "a thousand rows on.",
        "D3",
        vary_real=True,
    )


def cube_overlap_fake_size() -> Check:
    """Cubes overlap, and the fake sample grows."""
    return _cubes(
        "cube-overlap-fake-size",
        "cube overlap, n fake",
        "The same with 1000 real rows and more and more fake ones.",
        "D2",
        vary_real=False,
    )


def _cubes(name: str, title: str, summary: str, second: str, vary_real: bool) -> Check:
    """Two unit cubes that share a fifth of their volume, with more and more rows."""

    def part(d: int) -> Part:
        start = clouds.overlap_start(d, OVERLAP)
        return Part(
            f"d={d}",
            as_levels(_SIZES),
            _FEW_SIZES,
            lambda rng, n: clouds.cube(rng, int(n) if vary_real else N, d),
            lambda rng, n: clouds.cube(rng, int(n), d, start),
            one_real=not vary_real,
        )

    last = float(_SIZES[-1])
    return Check(
        name,
        title,
        summary,
        tuple(part(d) for d in DIMS),
        {
            "D1": (Criterion("shared volume", close_to(OVERLAP, last)),),
            second: (Criterion("settles", settles(_SETTLED)),),
        },
    )


def sphere_torus() -> Check:
    """A sphere in the hole of a torus."""

    def solid(rng: np.random.Generator, n: float) -> Floats:
        return clouds.ball(rng, int(n), 0.8)

    def ring(rng: np.random.Generator, n: float) -> Floats:
        return clouds.torus(rng, int(n))

    levels = as_levels(_SIZES)
    parts = (
        Part("real sphere", levels, _FEW_SIZES, lambda rng, n: solid(rng, N), ring),
        Part("real torus", levels, _FEW_SIZES, lambda rng, n: ring(rng, N), solid),
    )
    return Check(
        "sphere-torus",
        "sphere and torus",
        "A solid sphere in the hole of a torus, which it does not touch: 0, for any number of "
        "fakes.",
        parts,
        {
            "D1": (Criterion("settles", settles(_SETTLED)),),
            "D4": (Criterion("disjoint", close_to(0, levels[-1])),),
        },
    )


def discrete_against_continuous() -> Check:
    """One cloud is rounded, the other is not."""
    levels = as_levels(np.logspace(0, 3, 20))

    def plain(rng: np.random.Generator, scale: float) -> Floats:
        return clouds.gaussian(rng, N, 1, sd=scale)

    def rounded(rng: np.random.Generator, scale: float) -> Floats:
        return np.round(plain(rng, scale))

    chosen = few(20, 7)
    bounds = []
    for told, at in (("coarse", levels[0]), ("fine", levels[-1])):
        bounds += [
            Criterion(f"{told}, real discrete", close_to(0, at), FIDELITY, "real discrete"),
            Criterion(
                f"{told}, real discrete", close_to_zero_or_one(at), DIVERSITY, "real discrete"
            ),
            Criterion(f"{told}, fake discrete", close_to(1, at), FIDELITY, "fake discrete"),
            Criterion(f"{told}, fake discrete", close_to(0, at), DIVERSITY, "fake discrete"),
        ]
    return Check(
        "discrete-against-continuous",
        "discrete, continuous",
        "One cloud is rounded to whole numbers, more and more finely, the other is not: rounded "
        "fakes are true but cover nothing of the continuum, and the reverse.",
        (
            Part("real discrete", levels, chosen, rounded, plain, one_real=False),
            Part("fake discrete", levels, chosen, plain, rounded, one_real=False),
        ),
        {"D1": (Criterion("flat", flat()),), "D4": tuple(bounds)},
    )
