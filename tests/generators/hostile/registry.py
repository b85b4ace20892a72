"""`hostile`: the decorator that puts a file into the corpus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Write = Callable[[Path, Path], Path]


@dataclass(frozen=True)
class Hostile:
    """One file of the corpus.

    `write(folder, canary)` writes it into the empty `folder` and returns what to pass to
    ``--generator``; if its code ran, `canary` would exist. `says` is part of the refusal.
    """

    name: str
    tries: str
    says: str
    write: Write


CORPUS: dict[str, Hostile] = {}


def hostile(says: str) -> Callable[[Write], Write]:
    """Add a function ``(folder, canary) -> path``; its docstring tells what the file tries."""

    def add(write: Write) -> Write:
        name = write.__name__.replace("_", "-")
        assert name not in CORPUS
        assert write.__doc__
        CORPUS[name] = Hostile(name, write.__doc__, says, write)
        return write

    return add
