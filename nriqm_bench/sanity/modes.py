"""Sanity checks in which fakes lose, merge or invent modes."""

from __future__ import annotations

import numpy as np

from nriqm_bench.sanity import clouds
from nriqm_bench.sanity.check import Check, Criterion, Part
from nriqm_bench.sanity.clouds import Floats
from nriqm_bench.sanity.common import DIMS, DIVERSITY, FIDELITY, N, as_levels, few
from nriqm_bench.sanity.criteria import close_to, falls, flat, low_or_high, rises

MODES = 10

_MODE_SD = {1: 1 / 6, 8: 1 / 3, 64: 1.0}


def simultaneous_mode_dropping() -> Check:
    """Modes fade together."""
    levels = as_levels(np.linspace(0, 1, 50))
    weights = [np.array([1.0] + [1.0 - level] * (MODES - 1)) for level in levels]
    late = 47  # the level nearest to 95 % of the sweep
    return _dropping(
        "simultaneous-mode-dropping",
        "sim. mode dropping",
        "Nine of ten modes fade together: fidelity flat; diversity falls, by .1 at 96 %.",
        levels,
        few(50, 8, late),
        weights,
        levels[late],
    )


def sequential_mode_dropping() -> Check:
    """Modes vanish one by one."""
    levels = as_levels(range(MODES))
    weights = [np.array([1.0] * (MODES - k) + [0.0] * k) for k in range(MODES)]
    return _dropping(
        "sequential-mode-dropping",
        "seq. mode dropping",
        "Nine of ten modes vanish one by one: fidelity flat; diversity falls, by .1 after four.",
        levels,
        tuple(range(MODES)),
        weights,
        levels[4],
    )


def mode_dropping_invention() -> Check:
    """Fakes have fewer modes, then more."""
    centres, kept = clouds.PLANE_MODES, 5
    levels = as_levels(range(1, len(centres) + 1))
    part = Part(
        "d=2",
        levels,
        tuple(range(len(levels))),
        lambda rng, level: clouds.mixture(rng, N, centres[:kept], 0.25, np.ones(kept)),
        lambda rng, k: clouds.mixture(rng, N, centres[: int(k)], 0.25, np.ones(int(k))),
    )
    return Check(
        "mode-dropping-invention",
        "mode drop + invention",
        "Fakes have the first one to ten modes, real rows five: fidelity falls, diversity rises.",
        (part,),
        {
            "D1": (Criterion("falls", falls(), FIDELITY), Criterion("rises", rises(), DIVERSITY)),
            "D4": (
                Criterion("equal distributions", close_to(1, float(kept))),
                Criterion("one mode", close_to(1, levels[0]), FIDELITY),
                Criterion("five invented", close_to(1, levels[-1]), DIVERSITY),
            ),
        },
    )


def one_mode_against_two() -> Check:
    """One wide mode stands for two."""
    levels = as_levels(np.linspace(0, 5, 20))

    def part(d: int) -> Part:
        def real(rng: np.random.Generator, gap: float) -> Floats:
            return clouds.mixture(
                rng, N, clouds.diagonal_modes(d, [-gap / 2, gap / 2]), 1.0, np.ones(2)
            )

        def fake(rng: np.random.Generator, gap: float) -> Floats:
            return clouds.gaussian(rng, N, d, sd=float(np.sqrt(1 + gap**2)))

        return Part(f"d={d}", levels, few(20, 6), real, fake, one_real=False)

    return Check(
        "one-mode-against-two",
        "one mode against two",
        "Real rows in two modes that part, fakes in one wide one: fidelity falls; diversity falls "
        "(low metrics) or is flat (high metrics).",
        tuple(part(d) for d in DIMS),
        {
            "D1": (
                Criterion("falls", falls(), FIDELITY),
                Criterion("fall or flat", low_or_high(falls(), flat()), DIVERSITY),
            ),
            "D4": (Criterion("equal distributions", close_to(1, levels[0])),),
        },
    )


def _dropping(
    name: str,
    title: str,
    summary: str,
    levels: tuple[float, ...],
    few: tuple[int, ...],
    weights: list[Floats],
    early: float,
) -> Check:
    """Ten modes on a diagonal, of which fakes lose nine: fidelity flat, diversity falls."""
    by_level = dict(zip(levels, weights, strict=True))

    def part(d: int) -> Part:
        centres = clouds.diagonal_modes(d, np.linspace(0, 10, MODES))
        return Part(
            f"d={d}",
            levels,
            few,
            lambda rng, level: clouds.mixture(rng, N, centres, _MODE_SD[d], np.ones(MODES)),
            lambda rng, level: clouds.mixture(rng, N, centres, _MODE_SD[d], by_level[level]),
        )

    return Check(
        name,
        title,
        summary,
        tuple(part(d) for d in DIMS),
        {
            "D1": (
                Criterion("flat", flat(), FIDELITY),
                Criterion("falls in time", falls(early), DIVERSITY),
            ),
            "D4": (
                Criterion("equal distributions", close_to(1, levels[0])),
                Criterion("one mode left", close_to(1, levels[-1]), FIDELITY),
            ),
        },
    )
