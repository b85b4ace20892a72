"""Checks of the contract of a call: what is refused, what is drawn, what is left alone."""

from __future__ import annotations

import math
import random
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.random import mtrand

from nriqm_bench.testing.select import always, check
from nriqm_bench.testing.trial import Trial
from nriqm_bench.testing.worlds import Draw

SEES = ("shift", "spread", "modes", "copies")
INVARIANT = ("rotation", "translation", "scale", "length")


@check(unless=always)
def check_runs(trial: Trial) -> None:
    """Sound samples of one distribution get a finite number."""
    found = trial.value(trial.draw(0), "a fresh draw")
    assert math.isfinite(found), (
        f"{trial.metric.name} of a fresh draw was {found}, must be finite "
        f"{trial.signature(trial.draw(0))}"
    )


@check(unless=always)
def check_tags(trial: Trial) -> None:
    """What the metric says of itself is known and does not contradict itself."""
    m = trial.metric
    low, high = m.range
    assert low < high, f"range of {m.name} was ({low}, {high}), must be (least, largest)"
    for field, known in (("sees", SEES), ("invariant", INVARIANT)):
        wrong = set(getattr(m, field) or ()) - set(known)
        assert not wrong, (
            f"{field} of {m.name} held {sorted(wrong)}, must be among {', '.join(known)}"
        )
    if m.sees is not None and "copies" in m.sees:
        assert m.needs_train, (
            f"sees of {m.name} held 'copies' while needs_train was False, must be without: "
            "who does not read the training rows cannot tell their copies"
        )
    assert m.needs_real or not m.symmetric, (
        f"symmetric of {m.name} was True while needs_real was False, must be False"
    )


@check(unless=always)
def check_bad_values(trial: Trial) -> None:
    """NaN and infinity, in one entry of any sample, are refused by a ValueError that names it."""
    for name in trial.reads:
        for bad in (math.nan, math.inf, -math.inf):
            given = trial.draw(0)
            rows = getattr(given, name).copy()
            rows.reshape(-1)[rows.size // 2] = bad
            _refused(trial, given._replace(**{name: rows}), name, f"{bad} in {name}")


@check(unless=always)
def check_bad_shapes(trial: Trial) -> None:
    """Arrays that are not rows, hold nothing, or differ in width are refused by name."""
    changes: dict[str, Callable[[Any], Any]] = {
        "a single row": lambda x: x[0],
        "one axis too many": lambda x: x[..., None] if x.ndim == 2 else x[..., None, None],
        "no rows": lambda x: x[:0],
        "no columns": lambda x: x[..., :0],
    }
    for name in trial.reads:
        for what, change in changes.items():
            given = trial.draw(0)
            changed = given._replace(**{name: change(getattr(given, name))})
            _refused(trial, changed, name, f"{name} with {what}")
    if len(trial.reads) > 1:
        given = trial.draw(0)
        narrow = given._replace(fake=given.fake[..., :-1])
        _refused(trial, narrow, "|".join(trial.reads), "fake narrower than the rest")


@check(unless=always)
def check_min_samples(trial: Trial) -> None:
    """As few rows as the metric claims to need are enough, and one fewer is refused by name."""
    m, least = trial.metric, trial.metric.min_samples
    enough = trial.draw(0).each(lambda x: x[:least])
    trial.value(enough, f"min_samples = {least} rows of each")
    names = trial.reads
    if m.checks_rows:
        few = enough.each(lambda x: x[: least - 1])
        _refused(trial, few, "|".join(names), f"{least - 1} rows of each")
        return
    for name in names:
        few = enough._replace(**{name: getattr(enough, name)[: least - 1]})
        _refused(trial, few, name, f"{least - 1} rows in {name}")


@check(unless=always)
def check_unequal_sizes(trial: Trial) -> None:
    """Samples of different sizes are accepted."""
    given, n = trial.draw(0, n=2 * trial.rows), trial.rows
    for real, fake in ((n, n + n // 2), (n + n // 2, n)):
        sizes = Draw(given.real[:real], given.fake[:fake], given.train[:n])
        trial.value(sizes, f"{real} real and {fake} fake rows")


@check(unless=always)
def check_deterministic(trial: Trial) -> None:
    """The same samples and the same state of `rng` give the same value."""
    given = trial.draw(0)
    found = [trial.value(given, "the same samples") for _ in range(3)]
    _equal(trial, found, f"three calls with the same samples and rng {trial.signature(given)}")


@check(unless=always)
def check_global_random_state(trial: Trial) -> None:
    """Global random state is neither read nor moved, with `rng` and without it."""
    given = trial.draw(0)
    # What a first call imports is watched too.
    trial.value(given, "a fresh draw")
    for rng in (5, None):
        if rng is None and not _draws_without_rng(trial, given):
            continue
        told = f"a call {'without' if rng is None else 'with'} rng"
        with _global_state() as (seed, moved):
            found = []
            for state in (1, 2, 3):
                seed(state)
                found.append(trial.value(given, told, rng=rng))
                assert not (library := moved()), (
                    f"the global random state of {library} was moved by {trial.metric.name}, must "
                    f"be left as it was by {told} {trial.signature(given)}"
                )
        _equal(trial, found, f"{told} under three states of the global random numbers")


@check(unless=always)
def check_stateless(trial: Trial) -> None:
    """Earlier calls leave nothing behind: another call in between changes no value."""
    given, other = trial.draw(0), trial.draw(1)
    first = trial.value(given)
    trial.value(other)
    trial.value(given._replace(fake=other.fake))
    again = trial.value(given)
    _equal(trial, [first, again], "one call before and after calls with other samples")


@check(unless=always)
def check_inputs_unchanged(trial: Trial) -> None:
    """The arrays that are handed over hold the same bits afterwards."""
    for dtype in (np.float64, np.float32):
        given = trial.draw(0).each(partial(np.ascontiguousarray, dtype=dtype))
        before = given.each(np.copy)
        trial.value(given)
        for name in trial.reads:
            now, then = getattr(given, name), getattr(before, name)
            assert np.array_equal(now, then), (
                f"{name} was changed by {trial.metric.name} (by up to "
                f"{np.abs(now - then).max():.3g} in {dtype.__name__}), must be left as it was "
                f"{trial.signature(given)}"
            )


def _refused(trial: Trial, given: Draw, name: str, what: str) -> None:
    try:
        found = trial.call(given, np.random.default_rng(5))
    except ValueError as error:
        said = str(error)
    except Exception as error:
        raise AssertionError(
            f"{trial.metric.name} raised {type(error).__name__} for {what} ({error}), must raise "
            f"ValueError {trial.signature(given)}"
        ) from error
    else:
        raise AssertionError(
            f"{trial.metric.name} was {found:.6g} for {what}, must raise ValueError naming "
            f"{name.replace('|', ' or ')} {trial.signature(given)}"
        )
    named = rf"\b({name}{'|images' if trial.metric.needs == 'images' else ''})\b"
    assert re.search(named, said), (
        f"the ValueError of {trial.metric.name} for {what} was {said!r}, must name "
        f"{name.replace('|', ' or ')} {trial.signature(given)}"
    )


def _equal(trial: Trial, found: list[float], what: str) -> None:
    first = found[0]
    tolerance = 1e-9 * abs(first) if math.isfinite(first) else 0.0
    assert all(v == first or abs(v - first) <= tolerance for v in found), (
        f"{trial.metric.name} was {', '.join(f'{v:.9g}' for v in found)} in {what}, must be equal"
    )


def _draws_without_rng(trial: Trial, given: Draw) -> bool:
    """Whether the metric can do without `rng`; it may ask for one by name."""
    try:
        trial.call(given)
    except ValueError as error:
        if re.search(r"\brng\b", str(error)):
            return False
        raise AssertionError(f"{trial.metric.name} without rng raised {error}") from error
    return True


@contextmanager
def _global_state() -> Iterator[tuple[Callable[[int], None], Callable[[], str]]]:
    """Functions that seed all global generators, and tell which moved since; all is put back."""
    torch = sys.modules.get("torch")
    held = (random.getstate(), mtrand.get_state(), torch and torch.get_rng_state())
    now: dict[str, str] = {}

    def states() -> dict[str, str]:
        # The whole state in text: arrays within do not compare as one.
        found = {"random": repr(random.getstate()), "numpy": repr(mtrand.get_state())}
        return found | ({"torch": str(torch.get_rng_state().tolist())} if torch else {})

    def seed(number: int) -> None:
        random.seed(number)
        mtrand.seed(number)
        if torch:
            torch.manual_seed(number)
        now.update(states())

    def moved() -> str:
        return " and ".join(name for name, state in states().items() if state != now[name])

    try:
        yield seed, moved
    finally:
        random.setstate(held[0])
        mtrand.set_state(held[1])
        if torch:
            torch.set_rng_state(held[2])
