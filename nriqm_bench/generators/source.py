"""`Source`: what was named on the command line, and a first careful look at its bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nriqm_bench.generators import archive, links
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.registry import closest

_PYTHON = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_PAGE = (b"<!doctype html", b"<html", b"<?xml", b"<head")
_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Options:
    """What the user allows and adds: the keyword arguments of `load_generator`."""

    trust: bool = False
    architecture: str | Callable[..., Any] | None = None
    device: str = "cpu"


class Source:
    """A file, a folder or the words ``pkg.mod:callable``; nothing of it is executed here.

    Parameters
    ----------
    text
        What the user wrote.

    Raises
    ------
    GeneratorError
        When nothing is there, or it is empty, unreadable, a web page, an archive that is damaged
        or would unpack to too much, or a folder with links that lead out of it.
    """

    def __init__(self, text: str | Path) -> None:
        self.text = str(text)
        self.path = Path(text)
        try:
            found = self.path.exists()
        except (OSError, ValueError) as error:
            raise GeneratorError(f"{self.text!r} is not a usable path: {error}") from error
        self.is_python = not found and bool(_PYTHON.fullmatch(self.text))
        self.is_dir = self.path.is_dir()
        # What a loader has already read, so that the next kind need not read it again.
        self.read: dict[str, Any] = {}
        if not self.is_python:
            self._inspect(found)

    @property
    def stem(self) -> str:
        """The name without folder and file endings."""
        return self.path.name if self.is_dir else self.path.name.split(".")[0] or self.path.name

    @cached_property
    def head(self) -> bytes:
        """The first 512 bytes of a file; empty for anything else."""
        if self.is_python or self.is_dir:
            return b""
        try:
            with self.path.open("rb") as file:
                return file.read(512)
        except OSError as error:
            raise GeneratorError(f"{self.text} could not be read: {error.strerror}") from error

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The names inside a zip archive (torch files and .npz are zips); else empty."""
        if not self.head.startswith(b"PK\x03\x04"):
            return ()
        return archive.members(self.text, self.path)

    def sha256(self) -> str:
        """The sha256 of the file's bytes."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()

    def _meant(self) -> str:
        """What lies where a path leads to nothing, if it is named alike."""
        folder = self.path.parent
        there = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        close = [str(folder / name) for name in closest(self.path.name, there)]
        return f"did you mean {' or '.join(map(repr, close))}?" if close else "check the path"

    def _inspect(self, found: bool) -> None:
        if not found:
            raise GeneratorError(
                f"no generator at {self.text!r}: there is no such file or folder, and it does not "
                f"read as pkg.mod:callable; {self._meant()}"
            )
        if self.is_dir:
            links.check_folder(self.text, self.path)
            return
        if not self.path.is_file():
            raise GeneratorError(f"{self.text} is neither a regular file nor a folder")
        if not self.head:
            raise GeneratorError(f"{self.text} is empty (0 bytes); copy or download it again")
        start = self.head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith(_PAGE):
            raise GeneratorError(
                f"{self.text} is a web page, not a checkpoint: the download brought an HTML or XML "
                "answer; download the file itself"
            )
        if start.startswith(_LFS):
            raise GeneratorError(
                f"{self.text} is a Git LFS pointer, not the checkpoint; fetch it with "
                "'git lfs pull'"
            )
        _ = self.members
