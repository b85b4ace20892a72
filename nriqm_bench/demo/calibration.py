"""Runs of the gallery over many seeds, in several processes, and kept as they come."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from nriqm_bench import generators
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
        Generators of the gallery by name, but for the perfect one, and checkpoints by path.
    gates
        Patterns of gates.
    perfect
        How many perfect generators, each with subjects of its own.
    costly
        Whether perfect generators are judged by the costly gates too; rogues never are.
    """

    settings: Settings
    rogues: tuple[str, ...]
    gates: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()
    perfect: int = 0
    costly: bool = True

    def key(self) -> str:
        """By what decides the outcome."""
        told = asdict(self) | {"settings": self.settings.as_dict(), "code": code_digest()}
        return content_key(told)


def planned(
    settings: Sequence[Settings],
    *,
    rogues: Sequence[str],
    gates: Sequence[str],
    seeds: int = 1,
    perfect: int = 0,
    each: int = 10,
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
    seeds
        How many seeds for the gallery: one seed is one run with real images of its own.
    perfect, each
        How many perfect generators on the first dataset, and how many of them a run; beyond the
        seeds of the gallery in runs of their own.
    checkpoints
        Judged on the first dataset at the first seed, one run a size.

    Raises
    ------
    ValueError
        When no generator matches, or a dataset is no built-in phantom.
    """
    first = settings[0]
    tasks = []
    left = perfect
    for i in range(max(seeds, -(-perfect // each))):
        names = _names(first.dataset, rogues, alone=False) if i < seeds else ("perfect",)
        own = max(min(each, left), int("perfect" in names))
        left -= own
        shown = tuple(name for name in names if name != "perfect")
        if names:
            tasks.append(Task(replace(first, seed=first.seed + i), shown, tuple(gates), (), own))
    for other in settings[1:]:
        names = _names(other.dataset, rogues, alone=True)
        shown = tuple(name for name in names if name != "perfect")
        tasks += [
            Task(
                replace(other, seed=other.seed + i),
                shown,
                tuple(gates),
                (),
                len(names) - len(shown),
                costly=False,
            )
            for i in range(seeds)
            if names
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
    dataset = task.settings.dataset
    perfect = [rogues.rogue("perfect", dataset, draw=i) for i in range(task.perfect)]
    # The first comes before the rogues, which damage its images; the others after them.
    shown = [*perfect[:1], *(rogues.rogue(name, dataset) for name in task.rogues), *perfect[1:]]
    for path in task.checkpoints:
        checkpoint = generators.load_generator(path, device=task.settings.device)
        # With its suffix it cannot be taken for a rogue of the same name.
        checkpoint.name = Path(path).name
        shown.append(checkpoint)
    spared = {*task.rogues, *(() if task.costly else (g.name for g in perfect))}
    draws = {generator.name: i for i, generator in enumerate(perfect)}
    with threadpool_limits(1):
        found = judged(task.settings, shown, task.gates, spared)
    return [replace(e, name="perfect", draw=draws[e.name]) if e.name in draws else e for e in found]


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
    known: dict[str, Any] = {}
    for i, text in enumerate(keep.read_text(encoding="utf-8").splitlines()):
        try:
            line = json.loads(text)
            known[line["key"]] = line["exhibits"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{keep}, line {i + 1} is none that --keep wrote, or cut short; remove that line"
            ) from error
    return {
        task: [Exhibit.from_dict(e) for e in known[task.key()]]
        for task in tasks
        if task.key() in known
    }


def _names(dataset: str, patterns: Sequence[str], alone: bool) -> tuple[str, ...]:
    source = rogues.phantom(dataset)
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
