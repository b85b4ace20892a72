"""Where the links of a folder may lead: to what the user named, and to a cache that it belongs to.

A link that the user names is followed: it is the user's own word. Links inside a folder are the
folder's word. They may lead to files within it, into ``blobs`` beside the ``snapshots`` of a
Hugging Face cache, and into the ``.git/annex/objects`` of the repository that the folder lies in.
"""

from __future__ import annotations

import os
from pathlib import Path

from nriqm_bench.generators.errors import GeneratorError


def check_folder(text: str, folder: Path) -> None:
    """Refuse a folder with links out of it or to nowhere, pipes, sockets or devices.

    Only names are looked at. Whatever begins with a dot is left out, as loaders leave it out.

    Raises
    ------
    GeneratorError
        Naming the first one.
    """
    try:
        root = folder.resolve()
        allowed = [root, *(p.parent / "blobs" for p in (root, *root.parents) if _is_snapshot(p))]
        allowed += [p / ".git" / "annex" / "objects" for p in (root, *root.parents)]
        for where, folders, files in os.walk(folder, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in [*folders, *sorted(files)]:
                if not name.startswith("."):
                    _check(text, Path(where, name), allowed)
    except (OSError, RecursionError) as error:
        raise GeneratorError(f"{text} cannot be looked through: {error}") from error


def _is_snapshot(folder: Path) -> bool:
    return folder.name == "snapshots" and (folder.parent / "blobs").is_dir()


def _check(text: str, path: Path, allowed: list[Path]) -> None:
    if path.is_symlink():
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise GeneratorError(
                f"{text} holds the link {path.name}, which leads nowhere or in a circle; remove it"
            ) from error
        if not any(target.is_relative_to(place) for place in allowed):
            raise GeneratorError(
                f"{text} holds the link {path.name}, which leads out of the folder and is refused; "
                "put the file itself there, or name the folder in which it lies"
            )
    if not (path.is_file() or path.is_dir()):
        raise GeneratorError(
            f"{text} holds {path.name}, which is neither a regular file nor a folder but a pipe, "
            "socket or device; remove it"
        )


def _raise(error: OSError) -> None:
    raise error
