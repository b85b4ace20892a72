"""Checks of what arrays may be like: their dtype and layout, and samples at the edge of sense."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nriqm_bench.testing.select import always, check, unless_features
from nriqm_bench.testing.trial import Trial
from nriqm_bench.testing.worlds import DIM, RADIUS, Draw


@check(unless=always)
def check_dtype(trial: Trial) -> None:
    """The same numbers in float32, in torch or in NumPy give the same value."""
    import torch

    single = trial.draw(0).each(lambda x: x.astype(np.float32))
    double = single.each(lambda x: x.astype(np.float64))
    expected = trial.value(double, "float64")
    forms = {
        "float32": single,
        "torch float32": single.each(torch.from_numpy),
        "torch float64": double.each(torch.from_numpy),
    }
    for what, given in forms.items():
        found = trial.value(given, what)
        assert trial.same(found, expected), (
            f"{trial.metric.name} of {what} was {found:.9g}, must be {expected:.9g} as of the same "
            f"numbers in NumPy float64 (floor SD {trial.noise:.2g}) {trial.signature(double)}"
        )


@check(unless=always)
def check_layout(trial: Trial) -> None:
    """The layout of an array in memory does not matter, nor whether it may be written to."""
    given = trial.draw(0)
    expected = trial.value(given)

    def locked(x: Any) -> Any:
        copied = x.copy()
        copied.setflags(write=False)
        return copied

    forms = {
        "column by column": given.each(np.asfortranarray),
        "every other row of a larger array": given.each(lambda x: np.repeat(x, 2, axis=0)[::2]),
        "read-only": given.each(locked),
    }
    for what, form in forms.items():
        found = trial.value(form, f"arrays laid out {what}")
        assert trial.same(found, expected), (
            f"{trial.metric.name} of arrays laid out {what} was {found:.9g}, must be "
            f"{expected:.9g} {trial.signature(given)}"
        )


@check(unless=always)
def check_degenerate(trial: Trial) -> None:
    """Rows that are all alike give a number within range, or a ValueError that names them."""
    given = trial.draw(0)
    for name in trial.reads:
        alike = np.repeat(getattr(given, name)[:1], trial.rows, axis=0)
        _number_or_refused(trial, given._replace(**{name: alike}), f"all rows of {name} alike")
    one = np.repeat(given.fake[:1], trial.rows, axis=0)
    _number_or_refused(trial, Draw(one, one.copy(), one.copy()), "all rows of all samples alike")
    if trial.metric.needs == "images":
        grey = given._replace(fake=np.full_like(given.fake, 0.5))
        _number_or_refused(trial, grey, "fake images without any structure")


@check(unless=unless_features)
def check_rank_deficient(trial: Trial) -> None:
    """Rows within a subspace are accepted, a clear defect within it is seen, rounding is not."""
    embed = np.random.default_rng(1).normal(size=(DIM, 2 * DIM)) / np.sqrt(2 * DIM)
    what = f"rows of rank {DIM} in {2 * DIM} columns"
    _verdict_stays(trial, _each(lambda x: x @ embed), what)
    _steady(trial, [trial.draw(seed).each(lambda x: x @ embed) for seed in range(4)], what)


@check(unless=unless_features)
def check_fewer_rows_than_columns(trial: Trial) -> None:
    """Fewer rows than columns are accepted (or refused by name); rounding is not seen."""
    n = max(30, trial.metric.min_samples)
    given = trial.draw(0, n=n, dim=2 * n)
    if _number_or_refused(trial, given, f"{n} rows of {2 * n} columns"):
        what = "fewer rows than columns"
        _verdict_stays(trial, lambda g: g, what, n=n, dim=2 * n)
        _steady(trial, [trial.draw(seed, n=n, dim=2 * n) for seed in range(4)], what)


@check(unless=always)
def check_duplicates(trial: Trial) -> None:
    """With every row there twice, the metric gives a number, and a clear defect stays one."""
    _verdict_stays(trial, _each(lambda x: np.repeat(x, 2, axis=0)), "each row twice")


@check(unless=unless_features)
def check_scale_of_features(trial: Trial) -> None:
    """Features a million times smaller or larger give a number, and a clear defect is seen."""
    for factor in (1e-6, 1e6):
        _verdict_stays(trial, _each(partial(np.multiply, factor)), f"features times {factor:g}")


@check(unless=always)
def check_range(trial: Trial) -> None:
    """All values lie within the range that the metric declares."""
    given = trial.draw(0)
    moved = given._replace(fake=trial.bad(0).fake)
    samples = {
        "a fresh draw": given,
        trial.defect: moved,
        "fake equal to real": given._replace(fake=given.real.copy()),
        "fake equal to train": given._replace(fake=given.train.copy()),
        "a few rows": given.each(lambda x: x[: max(8, trial.metric.min_samples)]),
    }
    if trial.metric.needs == "features":
        samples["fake far away"] = given._replace(fake=given.fake + 100 * RADIUS)
    for what, sample in samples.items():
        _within_range(trial, trial.value(sample, what), sample, what)


def _each(change: Callable[[Any], Any]) -> Callable[[Draw], Draw]:
    return lambda given: given.each(change)


def _within_range(trial: Trial, found: float, given: Draw, what: str) -> None:
    low, high = trial.metric.range
    slack = trial.rounding(found, *(v for v in (low, high) if np.isfinite(v)))
    assert low - slack <= found <= high + slack, (
        f"{trial.metric.name} was {found:.9g} for {what}, must be within [{low:g}, {high:g}] "
        f"{trial.signature(given)}"
    )


def _number_or_refused(trial: Trial, given: Draw, what: str) -> bool:
    """Whether a number came back; the other answer that is allowed names the argument."""
    try:
        trial.call(given, np.random.default_rng(5))
    except ValueError as error:
        words = "|".join((*trial.reads, "images"))
        if re.search(rf"\b({words}) (was|were|had|held|ranged)\b", str(error)):
            return False
    except Exception:
        # `value` says what came instead.
        pass
    _within_range(trial, trial.value(given, what), given, what)
    return True


def _steady(trial: Trial, draws: list[Draw], what: str) -> None:
    """A change in the tenth digit of the rows does not change the value as another draw would."""
    values = [trial.value(given, what) for given in draws]
    noise = float(np.std(values, ddof=1))
    rng = np.random.default_rng(2)
    for given, before in zip(draws, values, strict=True):
        moved = given.each(lambda x: x * (1 + 1e-10 * rng.normal(size=x.shape)))
        found = trial.value(moved, f"{what}, changed in their tenth digit")
        allowed = 1e-6 * abs(before) + 0.01 * noise
        assert abs(found - before) <= allowed, (
            f"{trial.metric.name} of {what}, changed in their tenth digit, was {found:.9g}, must "
            f"be {before:.9g} within {allowed:.2g} (SD of {len(draws)} draws {noise:.2g}) "
            f"{trial.signature(given)}"
        )


def _verdict_stays(
    trial: Trial, change: Callable[[Draw], Draw], what: str, n: int | None = None, dim: int = DIM
) -> None:
    """A clear defect is worse after a change of all samples, on average over the seeds."""
    if not trial.sees_something:
        given = change(trial.draw(0, n=n, dim=dim))
        _within_range(trial, trial.value(given, what), given, what)
        return
    good: list[float] = []
    bad: list[float] = []
    for seed in range(4):
        given = change(trial.draw(seed, n=n, dim=dim))
        good.append(trial.value(given, what))
        bad.append(trial.value(change(trial.bad(seed, n, dim)), what))
    worse = [trial.worse(b, g) for g, b in zip(good, bad, strict=True)]
    assert sum(worse) > 0, (
        f"{trial.metric.name} was {trial.told(bad)} for {trial.defect} and {trial.told(good)} for "
        f"sound ones ({what}), must be worse for the former {trial.signature(given)}"
    )
