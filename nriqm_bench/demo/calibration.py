"""Runs of the gallery over many seeds, in several processes, and kept as they come."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from nriqm_bench import datasets, generators
from nriqm_bench.demo import rogues
from nriqm_bench.demo.gallery import Exhibit, judged
from nriqm_bench.features import content_key
from nriqm_bench.provenance import code_digest
from nriqm_bench.settings import Settings

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Task:
    """One run: who is judged, by which gates.

    Parameters
    ----------
    settings
        Of the run.
    rogues, checkpoints
        Generators of the gallery by name, and checkpoints by path.
    gates
        Patterns of gates.
    further
        Whether it is one of the further seeds of the perfect generator alone.
    """

    settings: Settings
    rogues: tuple[str, ...]
    gates: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()
    further: bool = False

    def key(self) -> str:
        """By what decides the outcome."""
        told = asdict(self) | {"settings": self.settings.as_dict(), "code": code_digest()}
        return content_key(told)


def planned(
    settings: Sequence[Settings],
    *,
    rogues: Sequence[str],
    gates: Sequence[str],
    seeds: int,
    perfect: int,
    checkpoints: Sequence[str] = (),
) -> list[Task]:
    """The runs of the gallery, one a dataset and seed.

    Parameters
    ----------
    settings
        One a dataset. The first shows all of the gallery that it can; others show what they alone
        can, beside a perfect generator.
    rogues, gates
        Patterns of names.
    seeds, perfect
        How many seeds for the gallery, and for the perfect generator on the first dataset: one
        seed is one run, with real images and a generator of its own.
    checkpoints
        Judged on the first dataset at the first seed, one run a size.

    Raises
    ------
    ValueError
        When no generator matches, or a dataset is no built-in phantom.
    """
    first = settings[0]
    tasks = []
    for each in settings:
        names = _names(each.dataset, rogues, alone=each is not first)
        tasks += [
            Task(replace(each, seed=each.seed + i), names, tuple(gates))
            for i in range(seeds)
            if names
        ]
    judged = seeds if "perfect" in _names(first.dataset, rogues, alone=False) else 0
    tasks += [
        Task(replace(first, seed=first.seed + i), ("perfect",), tuple(gates), further=True)
        for i in range(judged, perfect)
    ]
    if not tasks and not checkpoints:
        raise ValueError(f"no generator of the gallery matches {' or '.join(rogues)}")
    tasks += [Task(first, (), tuple(gates), of_size) for of_size in _by_size(checkpoints, first)]
    return tasks


def perform(
    tasks: Sequence[Task], jobs: int = 1, keep: Path | None = None, progress: Progress | None = None
) -> dict[Task, list[Exhibit]]:
    """The outcomes of each run.

    Parameters
    ----------
    tasks
        What to run.
    jobs
        Processes; each computes on one thread.
    keep
        A file of one line a finished run: runs of the same code and settings are read from it
        instead of being run again.
    """
    found = _kept(tasks, keep)
    missing = [task for task in tasks if task not in found]
    steps: Iterable[tuple[Task, list[Exhibit]]] = _done(missing, jobs)
    if progress is not None:
        steps = progress(steps, "runs", len(missing))
    for task, outcomes in steps:
        found[task] = outcomes
        if keep is not None:
            line = {"key": task.key(), "exhibits": [e.to_dict() for e in outcomes]}
            with keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
    return found


def perform_one(task: Task) -> list[Exhibit]:
    """The outcomes of one run."""
    size = rogues.SIZE
    shown = [rogues.rogue(name, task.settings.dataset, size) for name in task.rogues]
    shown += [
        generators.load_generator(path, device=task.settings.device) for path in task.checkpoints
    ]
    with threadpool_limits(1):
        return judged(task.settings, shown, task.gates)


def _done(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, list[Exhibit]]]:
    if jobs <= 1 or len(tasks) < 2:
        for task in tasks:
            yield task, perform_one(task)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn"), _single) as pool:
        futures = {pool.submit(perform_one, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _single() -> None:
    """A worker is one of several: networks run on one thread in it."""
    import torch

    torch.set_num_threads(1)


def _kept(tasks: Sequence[Task], keep: Path | None) -> dict[Task, list[Exhibit]]:
    if keep is None or not keep.exists():
        return {}
    lines = map(json.loads, keep.read_text(encoding="utf-8").splitlines())
    known = {line["key"]: line["exhibits"] for line in lines}
    return {
        task: [Exhibit.from_dict(e) for e in known[task.key()]]
        for task in tasks
        if task.key() in known
    }


def _names(dataset: str, patterns: Sequence[str], alone: bool) -> tuple[str, ...]:
    from fnmatch import fnmatchcase

    source = datasets.open(dataset)
    if not source.builtin:
        raise ValueError(
            f"the dataset was {dataset!r}, must be one of {', '.join(sorted(datasets.PHANTOMS))}: "
            "rogues are made of subjects whom no part of the run holds"
        )
    return tuple(
        name
        for name in rogues.names(dataset)
        if any(fnmatchcase(name, p) for p in patterns)
        and (not alone or name == "perfect" or rogues.ROGUES[name].region == source.region)
    )


def _by_size(paths: Sequence[str], settings: Settings) -> list[tuple[str, ...]]:
    """Checkpoints of one size share a run."""
    sizes: dict[tuple[int, ...], list[str]] = {}
    for path in paths:
        generator = generators.load_generator(path, device=settings.device)
        size = generator.size or generator.sample(1, settings.seed).spatial
        sizes.setdefault(size, []).append(path)
    return [tuple(found) for found in sizes.values()]
