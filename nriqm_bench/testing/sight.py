"""Checks of what a metric must notice: defects that grow must look worse, by more than noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nriqm_bench.testing.select import (
    check,
    unless_it_sees,
    unless_it_sees_something,
)
from nriqm_bench.testing.trial import EFFECT, SEEDS, Trial
from nriqm_bench.testing.worlds import MODES, Defect, Draw, far_row

SHIFTS = (0.25, 0.5, 1.0)
WIDER = (1.5, 2.0, 3.0)
NARROWER = (0.7, 0.4, 0.2)
COPIES = (0.25, 0.5, 1.0)


@check(unless=unless_it_sees_something)
def check_direction(trial: Trial) -> None:
    """A clear defect does not look better: `higher_is_better` says the truth."""
    bad = [trial.value(trial.bad(seed), trial.defect) for seed in range(SEEDS)]
    effect = _effect(trial, [trial.worse(b, g) for b, g in zip(bad, trial.fresh, strict=False)])
    better = "higher" if trial.metric.higher_is_better else "lower"
    assert effect > -EFFECT, (
        f"{trial.metric.name} was {trial.told(bad)} for {trial.defect} and "
        f"{trial.told(trial.fresh[:SEEDS])} for sound ones while {better} is said to be better, "
        f"must not improve by {-effect:.3g} floor SD ({trial.floor}) "
        f"{trial.signature(trial.draw(0))}"
    )


@check(unless=unless_it_sees("shift"))
def check_shift(trial: Trial) -> None:
    """Fake rows that move away look worse and worse."""
    _degrades(trial, SHIFTS, lambda s, v: trial.draw(s, Defect(shift=v)), "fake rows shifted by")


@check(unless=unless_it_sees("spread"))
def check_spread(trial: Trial) -> None:
    """A fake spread that departs from the real one looks worse and worse.

    A distance must notice a wider and a narrower one. A measure of fidelity cannot mind narrow
    samples, nor one of diversity wide ones: it must notice either.
    """
    failures = []
    for what, levels in (("wider by", WIDER), ("narrower by", NARROWER)):
        try:
            _degrades(trial, levels, lambda s, v: trial.draw(s, Defect(spread=v)), f"fake {what}")
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures or (len(failures) == 1 and not trial.is_distance), "; ".join(failures)


@check(unless=unless_it_sees("modes"))
def check_modes(trial: Trial) -> None:
    """Fake rows of fewer and fewer modes look worse and worse."""
    levels = range(MODES - 1, 0, -1)
    _degrades(trial, levels, lambda s, v: trial.draw(s, Defect(modes=int(v))), "modes left:")


@check(unless=unless_it_sees("copies"))
def check_copies(trial: Trial) -> None:
    """The more fake rows are copies of training rows, the worse it looks, up to copies alone."""

    def copied(seed: int, share: float) -> Draw:
        given = trial.draw(seed)
        rows, count = given.fake.copy(), round(share * len(given.fake))
        rows[:count] = given.train[:count]
        return given._replace(fake=rows)

    _degrades(trial, COPIES, copied, "share of training rows copied:")


def _not_two_sample(trial: Trial) -> str:
    if trial.metric.needs == "features" and trial.is_distance and trial.sees("spread"):
        return ""
    return f"{trial.metric.name} is no distance of features that claims to see spread"


@check(unless=_not_two_sample)
def check_dependence(trial: Trial) -> None:
    """Columns that are each right but no longer go together look worse."""

    def apart(seed: int, _: float) -> Draw:
        given = trial.draw(seed)
        rng = np.random.default_rng(seed)
        return given._replace(fake=rng.permuted(given.fake, axis=0))

    _degrades(trial, (1.0,), apart, "columns of fake shuffled apart, share")


def _reads_no_real(trial: Trial) -> str:
    return "" if trial.metric.needs_real else f"{trial.metric.name} does not read real"


@check(unless=_reads_no_real)
def check_identity(trial: Trial) -> None:
    """The real rows themselves look no worse than a fresh draw."""
    own = []
    for seed in range(SEEDS):
        given = trial.draw(seed)
        own.append(trial.value(given._replace(fake=given.real.copy()), "fake equal to real"))
    effect = _effect(trial, [trial.worse(v, float(np.mean(trial.fresh))) for v in own])
    assert effect < EFFECT, (
        f"{trial.metric.name} of fake rows equal to the real ones was {trial.told(own)}, must be "
        f"no worse than fresh draws, but was by {effect:.3g} floor SD ({trial.floor}) "
        f"{trial.signature(given)}"
    )


@check(unless=unless_it_sees_something)
def check_outlier(trial: Trial) -> None:
    """One far row, real or fake, on either side, does not turn the verdict on a clear defect."""
    for name in ("real", "fake"):
        if name not in trial.reads:
            continue
        for side in (1.0, -1.0):
            good = [_with_far_row(trial, trial.draw(s), name, side) for s in range(SEEDS)]
            bad = [_with_far_row(trial, trial.bad(s), name, side) for s in range(SEEDS)]
            worse = sum(trial.worse(b, g) for g, b in zip(good, bad, strict=True))
            assert worse > 0, (
                f"{trial.metric.name} with one far row in {name} was {trial.told(bad)} for "
                f"{trial.defect} and {trial.told(good)} for sound ones, must still be worse for "
                f"the former ({trial.floor}) {trial.signature(trial.draw(0))}"
            )


def _with_far_row(trial: Trial, given: Draw, name: str, side: float) -> float:
    rows = getattr(given, name).copy()
    rows[-1:] = far_row(trial.metric.needs, trial.draw(0).real, side)
    return trial.value(given._replace(**{name: rows}), f"one far row in {name}")


def _effect(trial: Trial, steps: Sequence[float]) -> float:
    """The mean step in standard deviations of the noise floor; 0 is 0 of any noise."""
    mean = float(np.mean(steps))
    if mean == 0:
        return 0.0
    return mean / trial.noise if trial.noise else float(np.copysign(np.inf, mean))


def _degrades(
    trial: Trial, levels: Sequence[float], make: Callable[[int, float], Draw], what: str
) -> None:
    """The value gets worse along `levels`, and by `EFFECT` floor SD at their end."""
    values = trial.sweep(levels, make, what)
    start = trial.fresh[:SEEDS]
    paths = [[s, *v] for s, v in zip(start, values, strict=True)]
    effect = _effect(trial, [trial.worse(p[-1], p[0]) for p in paths])
    means = [float(np.mean(column)) for column in zip(*paths, strict=True)]
    told = f"{trial.told(means)} ({trial.floor}; {SEEDS} draws a level)"
    call = trial.signature(trial.draw(0))
    assert effect > EFFECT, (
        f"{trial.metric.name} got worse by {effect:.3g} floor SD with {what} {levels[-1]:g}, must "
        f"get worse by more than {EFFECT:g}; sound and then {', '.join(f'{v:g}' for v in levels)}: "
        f"{told} {call}"
    )
    for i, level in enumerate(levels):
        steps = np.array([trial.worse(p[i + 1], p[i]) for p in paths])
        spread = float(steps.std(ddof=1)) if np.isfinite(steps).all() else 0.0
        allowed = 2 * max(trial.noise, spread) / np.sqrt(SEEDS)
        assert steps.mean() >= -allowed, (
            f"{trial.metric.name} got better by {-steps.mean():.3g} at {what} {level:g}, must not "
            f"by more than {allowed:.2g}; sound and then {', '.join(f'{v:g}' for v in levels)}: "
            f"{told} {call}"
        )
