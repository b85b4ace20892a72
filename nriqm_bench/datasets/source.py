"""`Source`: a dataset as the command line names it, known by its content and not by its path."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nriqm_bench import datasets

if TYPE_CHECKING:
    from nriqm_bench.images import ImageSet

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]

_NEEDS_PATH = {"folder": "DIR", "npz": "FILE"}


@dataclass(frozen=True)
class Source:
    """A dataset and, for one that lives on disk, where."""

    name: str
    path: Path | None = None

    @classmethod
    def parse(cls, spec: str) -> Source:
        """See `nriqm_bench.datasets.open`."""
        name, colon, text = spec.partition(":")
        datasets.get(name)
        if name in _NEEDS_PATH and not text:
            raise ValueError(f"the dataset {name!r} needs a path: {name}:{_NEEDS_PATH[name]}")
        if name in datasets.PHANTOMS and colon:
            raise ValueError(f"the dataset {name!r} takes no path; {text!r} was given")
        if not text:
            return cls(name)
        path = Path(text)
        if not path.exists():
            raise ValueError(f"there is no {text!r} for the dataset {name!r}; check the path")
        return cls(name, path)

    @property
    def spec(self) -> str:
        """As on the command line, with the last part of the path only."""
        return self.name if self.path is None else f"{self.name}:{self.path.name}"

    @property
    def builtin(self) -> bool:
        """Whether the images are made here, the same on every machine."""
        return self.name in datasets.PHANTOMS

    @property
    def region(self) -> str:
        """What the masks mark: ``"lesion"`` or ``"vessel"``."""
        return "lesion"

    def load(
        self, part: str, n: int, seed: int, size: int, progress: Progress | None = None
    ) -> ImageSet:
        """`n` images of a part, ``train``, ``reference`` or ``held-out``."""
        place = () if self.path is None else (self.path,)
        found: ImageSet = datasets.get(self.name)(
            *place, n, seed, part=part, size=size, progress=progress
        )
        return found

    def size(self) -> int | None:
        """Height and width that the images have of themselves; None where any size will do."""
        if self.name != "npz" or self.path is None:
            return None
        from nriqm_bench.datasets.npz import native_size

        return native_size(self.path)

    def key(self) -> str:
        """The identity of the content: a version for phantoms, a sha256 over files otherwise."""
        return self._key

    @cached_property
    def _key(self) -> str:
        maker = datasets.get(self.name)
        if self.path is None:
            version = getattr(inspect.getmodule(maker), "VERSION", 1)
            return f"{self.name}:{version}"
        digest = hashlib.sha256()
        files = [self.path] if self.path.is_file() else sorted(self.path.rglob("*"))
        for file in files:
            if file.is_file():
                digest.update(file.relative_to(self.path).as_posix().encode() + b"\0")
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
        return f"{self.name}:{digest.hexdigest()}"

    def describe(self) -> str:
        """One line for the report."""
        if self.path is None:
            return f"{self.name}, made here"
        return f"{self.spec} ({self.key().partition(':')[2][:12]})"
