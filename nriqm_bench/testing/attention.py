"""Checks of whether what is handed over is read: all of it, and nothing that is said not to be."""

from __future__ import annotations

import numpy as np

from nriqm_bench.testing.select import always, check, unless_it_sees_something
from nriqm_bench.testing.trial import SEEDS, Trial
from nriqm_bench.testing.worlds import Defect, Draw

# Gross enough to change any metric that reads the rows at all.
_GROSS = Defect(shift=2.0, spread=0.5, modes=1)


@check(unless=always)
def check_reads_real(trial: Trial) -> None:
    """Other real rows change the value where `needs_real` says so, and nothing otherwise."""
    if not trial.metric.needs_real:
        given = trial.draw(0)
        expected, found = trial.value(given), trial.value(given._replace(real=None))
        assert trial.same(found, expected), (
            f"{trial.metric.name} was {expected:.9g} with real rows and {found:.9g} without, must "
            f"be equal as needs_real is False {trial.signature(given)}"
        )
        return
    for given in _bases(trial):
        other = given._replace(real=trial.draw(9, _GROSS).fake)
        if not trial.same(trial.value(given), trial.value(other)):
            return
    raise AssertionError(
        f"{trial.metric.name} was {trial.value(given):.9g} whatever the real rows were, must "
        f"change with them, or say needs_real=False {trial.signature(given)}"
    )


@check(unless=always)
def check_reads_fake(trial: Trial) -> None:
    """Other fake rows change the value."""
    for given in _bases(trial):
        other = given._replace(fake=trial.draw(9, _GROSS).fake)
        if not trial.same(trial.value(given), trial.value(other)):
            return
    raise AssertionError(
        f"{trial.metric.name} was {trial.value(given):.9g} whatever the fake rows were, must "
        f"change with them {trial.signature(given)}"
    )


def _unless_two_samples(trial: Trial) -> str:
    if trial.metric.needs_train:
        return f"{trial.metric.name} reads training rows: most of its rows may have no say"
    return unless_it_sees_something(trial)


@check(unless=_unless_two_samples)
def check_reads_every_row(trial: Trial) -> None:
    """Each quarter of the rows, and every other row, has a say in the value."""
    n = trial.rows
    parts = {
        f"rows {i * n // 4} to {(i + 1) * n // 4}": slice(i * n // 4, (i + 1) * n // 4)
        for i in range(4)
    }
    parts |= {"even rows": slice(0, None, 2), "odd rows": slice(1, None, 2)}
    for name in trial.reads:
        for what, part in parts.items():
            assert any(_has_a_say(trial, seed, name, part) for seed in range(SEEDS)), (
                f"{trial.metric.name} stayed the same when {what} of {name} were replaced, must "
                f"change in one of {SEEDS} draws {trial.signature(trial.draw(0))}"
            )


def _has_a_say(trial: Trial, seed: int, name: str, part: slice) -> bool:
    given, other = trial.draw(seed), trial.draw(seed + 20, _GROSS).fake
    rows = getattr(given, name).copy()
    rows[part] = other[part]
    return not trial.same(trial.value(given._replace(**{name: rows})), trial.fresh[seed])


def _bases(trial: Trial) -> list[Draw]:
    """Sound draws, and some whose fake rows are copies, near copies and mixtures of them."""
    given = trial.draw(0)
    near = 0.95 * given.train + 0.05 * given.fake
    half = np.concatenate([near[: trial.rows // 2], given.fake[trial.rows // 2 :]])
    return [given, trial.draw(1), given._replace(fake=near), given._replace(fake=half)]
