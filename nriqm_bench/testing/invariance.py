"""Checks of what must leave the value as it is: the order of rows, and what the metric claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from nriqm_bench.testing.select import always, check, unless_invariant
from nriqm_bench.testing.trial import SEEDS, Trial
from nriqm_bench.testing.worlds import RADIUS, Draw


@check(unless=always)
def check_row_order(trial: Trial) -> None:
    """The order of rows does not matter, far from the origin either.

    A metric that draws random subsets may differ by as much as other random numbers would make it.
    Sums that lose their digits betray themselves: another order loses others.
    """
    changes = [("", trial.draw(0))]
    if trial.metric.needs == "features":
        changes.append((" 1000 away from the origin", trial.draw(0).each(lambda x: x + 1000)))
    for where, given in changes:
        noise = trial.noise
        if where:
            fresh = [trial.value(trial.draw(s).each(lambda x: x + 1000)) for s in range(SEEDS)]
            noise = float(np.std(fresh, ddof=1))
        chance, kept = _chance(trial, given)
        expected = trial.value(given, rng=kept)
        for seed in range(3):
            found = trial.value(_in_other_order(given, seed), "rows in another order", rng=kept)
            allowed = chance or 1e-9 * abs(expected) + 1e-2 * noise
            assert abs(found - expected) <= allowed or found == expected, (
                f"{trial.metric.name} of the rows in another order{where} was {found:.9g}, must be "
                f"{expected:.9g} within {allowed:.2g} (floor SD {noise:.2g}) "
                f"{trial.signature(given)}"
            )


@check(unless=unless_invariant("translation"))
def check_translation(trial: Trial) -> None:
    """Moving all samples by one vector does not change the value."""
    images = trial.metric.needs == "images"
    for reach in (0.05,) if images else (1, 10, 1000):
        by = reach if images else reach * RADIUS * np.array([1.0, -0.5] * 4)
        _stays(trial, partial(np.add, by), f"all rows moved by {reach} radii")


@check(unless=unless_invariant("rotation"))
def check_rotation(trial: Trial) -> None:
    """Rotating all samples about the origin does not change the value (images: a quarter turn)."""
    if trial.metric.needs == "images":
        _stays(trial, lambda x: np.rot90(x, axes=(-2, -1)).copy(), "all images turned")
        return
    for seed in range(3):
        square = np.random.default_rng(seed).normal(size=(trial.draw(0).fake.shape[1],) * 2)
        turn = np.linalg.qr(square)[0]
        _stays(trial, partial(_turned, by=turn), "all rows rotated")


@check(unless=unless_invariant("scale"))
def check_scale(trial: Trial) -> None:
    """Multiplying all samples by one number does not change the value."""
    factors: Sequence[float] = (0.5, 0.9) if trial.metric.needs == "images" else (1e-3, 0.7, 1e3)
    for factor in factors:
        _stays(trial, partial(np.multiply, factor), f"all rows times {factor:g}")


@check(unless=unless_invariant("length"))
def check_length(trial: Trial) -> None:
    """Multiplying every row by a positive number of its own does not change the value."""
    for seed in range(3):
        _stays(trial, partial(_stretched, seed=seed), "each row at another length")


@check(unless=lambda t: "" if t.metric.symmetric else f"{t.metric.name} claims no symmetry")
def check_symmetry(trial: Trial) -> None:
    """Real and fake may change places."""
    for seed in range(SEEDS):
        given = trial.bad(seed) if trial.sees_something else trial.draw(seed)
        expected = trial.value(given)
        found = trial.value(given._replace(real=given.fake, fake=given.real))
        assert trial.same(found, expected), (
            f"{trial.metric.name} with real and fake exchanged was {found:.9g}, must be "
            f"{expected:.9g} (floor SD {trial.noise:.2g}) {trial.signature(given)}"
        )


def _stretched(x: Any, seed: int) -> Any:
    return x * np.exp(np.random.default_rng(seed).normal(size=(len(x), 1)))


def _turned(x: Any, by: Any) -> Any:
    return x @ by


def _in_other_order(given: Draw, seed: int) -> Draw:
    rng = np.random.default_rng(seed)
    return given.each(lambda x: x[rng.permutation(len(x))])


def _chance(trial: Trial, given: Draw) -> tuple[float, int | None]:
    """What other random numbers may change the value by, and the `rng` to call with."""
    try:
        alone = [trial.value(given, rng=None) for _ in range(2)]
        if alone[0] == alone[1]:
            return 0.0, None
    except AssertionError:
        # It asks for random numbers.
        pass
    drawn = [trial.value(given, rng=seed) for seed in range(10, 18)]
    return 5 * float(np.std(drawn, ddof=1)), 10


def _stays(trial: Trial, change: Callable[[Any], Any], what: str) -> None:
    for given in (trial.draw(0), trial.bad(1) if trial.sees_something else trial.draw(1)):
        expected, found = trial.value(given), trial.value(given.each(change), what)
        assert trial.same(found, expected), (
            f"{trial.metric.name} with {what} was {found:.9g}, must be {expected:.9g} within "
            f"{trial.rounding(expected):.2g} (floor SD {trial.noise:.2g}) {trial.signature(given)}"
        )
