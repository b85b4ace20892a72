"""A model that is a folder of configs and weights: files are read in it, never outside."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from nriqm_bench.generators import torchfile
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.source import Source


class Folder:
    """Opens files of one folder, and remembers their bytes.

    Parameters
    ----------
    text
        What the user wrote, for the messages.
    root
        Where it is.
    trust
        Whether weights may run code while they are read.
    """

    def __init__(self, text: str, root: Path, *, trust: bool = False) -> None:
        self.text = text
        self.root = root
        self.trust = trust
        self._hashes: dict[str, str] = {}

    def has(self, name: str) -> bool:
        """Whether something of that name is there."""
        try:
            return (self.root / name).exists()
        except (OSError, ValueError):
            return False

    def path(self, name: str) -> Path:
        """A file inside the folder; its bytes enter `sha256`.

        Raises
        ------
        GeneratorError
            When the path leads out of the folder, by itself or by a link, or there is no file.
        """
        path = _inside(self.text, self.root, name)
        if name not in self._hashes:
            with path.open("rb") as file:
                self._hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
        return path

    def weights(self, name: str) -> Any:
        """The content of a weights file: torch or safetensors, read without running anything.

        Raises
        ------
        GeneratorError
            When it is not there, damaged, or would run code and is not trusted.
        """
        source = Source(self.path(name))
        if torchfile.is_safetensors(source):
            return torchfile.read_safetensors(source)
        if torchfile.is_torchscript(source):
            raise GeneratorError(
                f"{self.text} loads its weights from {name}, a TorchScript file, must be a state "
                "dict; or pass the TorchScript file itself"
            )
        if torchfile.is_torch(source):
            return torchfile.read(source, trust=self.trust)
        raise GeneratorError(
            f"{self.text} has weights {name} that are no torch or safetensors file; copy it again"
        )

    def sha256(self) -> str:
        """The sha256 of all files that were opened, with their names."""
        return hashlib.sha256(repr(sorted(self._hashes.items())).encode()).hexdigest()


def _inside(text: str, given: Path, name: str) -> Path:
    """A file that is named by a config, which must lie inside the folder.

    The store of the Hugging Face hub, where a snapshot links to the blobs beside it, counts as
    inside.

    Raises
    ------
    GeneratorError
        When the path leads out of the folder, by itself or by a link, or there is no file.
    """
    root = given.resolve()
    roots = [root]
    if root.parent.name == "snapshots":
        roots.append(root.parent.parent / "blobs")
    try:
        path = (given / name).resolve()
        there = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise GeneratorError(f"{text} names the file {name!r}, no usable path") from error
    if not any(path.is_relative_to(place) for place in roots):
        raise GeneratorError(
            f"{text} names the file {name!r}, which lies outside of it and is refused; copy the "
            "file into the folder and name it by a path relative to it"
        )
    if not there:
        fetch = ""
        if (root / "large_files.yml").is_file():
            fetch = (
                "; fetch it with 'python -m monai.bundle download_large_files --bundle_path "
                f"{text}'"
            )
        raise GeneratorError(f"{text} names the file {name!r}, which is not there{fetch}")
    return path
