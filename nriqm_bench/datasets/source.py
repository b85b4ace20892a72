"""`Source`: a dataset as the command line names it, known by its content and not by its path."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nriqm_bench import datasets

if TYPE_CHECKING:
    from nriqm_bench.datasets.inventory import Inventory
    from nriqm_bench.images import ImageSet

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]

_NEEDS_PATH = {
    "brats": "DIR",
    "dicom": "DIR",
    "folder": "DIR",
    "ixi": "DIR",
    "msd": "DIR",
    "npz": "FILE",
}
# Volumes that are known by an inventory, made by the function `scan` of the dataset's module.
_INVENTORIED = frozenset({"brats", "dicom", "ixi", "msd"})
# What the masks of a dataset show, where it is no lesion.
_REGIONS = {"ixi": "vessel", "phantom-vessel": "vessel"}
# What every dataset takes by keyword; more than these are options of its own.
_COMMON = frozenset({"n", "seed", "part", "size", "progress"})


@dataclass(frozen=True)
class Source:
    """A dataset and, for one that lives on disk, where; with options of its own as text."""

    name: str
    path: Path | None = None
    options: tuple[tuple[str, str], ...] = ()

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
        place, options = _parted(name, text)
        path = Path(place)
        if not path.exists():
            raise ValueError(f"there is no {place!r} for the dataset {name!r}; check the path")
        found = cls(name, path, options)
        if found.inventory is not None:
            # A wrong contrast or an empty folder ends the run at once, not each case for itself.
            found.inventory.entries(found.contrast)
        return found

    @property
    def spec(self) -> str:
        """As on the command line, with the last part of the path only."""
        if self.path is None:
            return self.name
        told = "&".join(f"{key}={value}" for key, value in self.options)
        return f"{self.name}:{self.path.name}{'?' if told else ''}{told}"

    @property
    def region(self) -> str:
        """What the masks show: ``"lesion"`` or ``"vessel"``."""
        return _REGIONS.get(self.name, "lesion")

    @cached_property
    def inventory(self) -> Inventory | None:
        """The cases of a dataset of volumes, by names alone; None for other datasets."""
        if self.path is None or self.name not in _INVENTORIED:
            return None
        found: Inventory = import_module(f"nriqm_bench.datasets.{self.name}").scan(self.path)
        return found

    @property
    def contrast(self) -> str:
        """The contrast that is used, by its first name; empty for datasets without a choice."""
        if self.inventory is None:
            return ""
        return self.inventory.contrast(dict(self.options).get("contrast"))

    @property
    def builtin(self) -> bool:
        """Whether the images are made here, the same on every machine."""
        return self.name in datasets.PHANTOMS

    def load(
        self, part: str, n: int, seed: int, size: int, progress: Progress | None = None
    ) -> ImageSet:
        """`n` images of a part, ``train``, ``reference`` or ``held-out``."""
        place = () if self.path is None else (self.path,)
        found: ImageSet = datasets.get(self.name)(
            *place, n, seed, part=part, size=size, progress=progress, **dict(self.options)
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
        told = self.contrast or (repr(self.options) if self.options else "")
        digest = hashlib.sha256(told.encode())
        for file in self._files(self.path):
            digest.update(file.relative_to(self.path).as_posix().encode() + b"\0")
            digest.update(_content(file))
        return f"{self.name}:{digest.hexdigest()}"

    def _files(self, path: Path) -> list[Path]:
        """The files that decide about the images."""
        roots = [path] if self.inventory is None else self.inventory.files(self.contrast)
        files = {f for r in roots for f in ([r] if r.is_file() else r.rglob("*")) if f.is_file()}
        return sorted(files)

    def describe(self) -> str:
        """One line for the report."""
        if self.path is None:
            return f"{self.name}, made here"
        told = self.key().partition(":")[2][:12]
        if self.inventory is not None and (out := self.inventory.left_out(self.contrast)):
            told += f"; {len(out)} of {len(self.inventory.cases)} cases left out"
        return f"{self.spec} ({told})"


def _parted(name: str, text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The path and the options of ``PATH?key=value&key=value``."""
    place, mark, told = text.rpartition("?")
    if not mark or Path(text).exists():
        return text, ()
    known = inspect.signature(datasets.get(name)).parameters.values()
    valid = [p.name for p in known if p.kind is p.KEYWORD_ONLY and p.name not in _COMMON]
    options = []
    for option in told.split("&"):
        key, _, value = option.partition("=")
        if key not in valid or not value:
            raise ValueError(
                f"the dataset {name!r} was given the option {option!r}, "
                + (f"must be {'=..., '.join(valid)}=..." if valid else "but takes none")
            )
        options.append((key, value))
    return place, tuple(options)


def _content(file: Path) -> bytes:
    """What stands for the content of a file.

    A .gz file carries the CRC-32 and the length of its content in its last 8 bytes: with its size
    they spare the reading of thousands of volumes of which a run needs a few. Others: sha256.
    """
    with file.open("rb") as stream:
        if file.suffix.lower() == ".gz" and (size := file.stat().st_size) >= 8:
            stream.seek(-8, os.SEEK_END)
            return stream.read(8) + size.to_bytes(8, "big")
        return hashlib.file_digest(stream, "sha256").digest()
