"""The one pass that turns images into features: computed once, kept by content, shared safely."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nriqm_bench.extractors import Extractor
    from nriqm_bench.images import ImageSet

# Part of every key: raise it when the layout of an entry changes.
VERSION = 1

# Images handed to the extractor at once: a step of the progress bar.
CHUNK = 64

_HEADER = 32  # bytes of sha256 before the content of every entry

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


class FeatureStore:
    """Features and small results by content: memory first, then disk, else computed.

    Entries are written to a temporary file and moved into place, and carry their own checksum: a
    killed process leaves nothing that could be read. Of two processes that need the same entry
    one computes it and the other waits. Rows of images that were seen before in this process are
    not extracted again, so copies cost nothing.

    Parameters
    ----------
    cache
        Folder of the entries; None keeps them in memory alone.

    Attributes
    ----------
    notes
        What went wrong with the cache, one sentence each; it never stops a run.
    counts
        How many entries came from memory and disk, and how many images were extracted.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self.cache = cache
        self.notes: list[str] = []
        self.counts = {"memory": 0, "disk": 0, "computed": 0, "images": 0}
        self._memory: dict[str, Any] = {}
        self._rows: dict[str, dict[bytes, NDArray[np.float32]]] = {}

    def features(
        self,
        extractor: Extractor,
        recipe: Mapping[str, Any],
        make: Callable[[], ImageSet],
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """``(n, d)`` float32 features of the images that `recipe` describes.

        Parameters
        ----------
        extractor
            Its key is part of the entry's.
        recipe
            What decides the images, as JSON types; never a path or a time.
        make
            Makes the images; called on a miss only.
        progress
            ``(iterable, description, total) -> iterable``.
        """
        key = content_key(
            {"features": recipe, "extractor": extractor.key(), "dtype": "float32", "v": VERSION}
        )

        def compute() -> NDArray[np.float32]:
            return self._extract(extractor, make(), progress)

        found: NDArray[np.float32] = self._entry(key, compute, _pack_array, _unpack_array)
        return found

    def value(self, recipe: Mapping[str, Any], compute: Callable[[], Any]) -> Any:
        """A small result of JSON types by the same rules as features."""
        key = content_key({"value": recipe, "v": VERSION})
        return self._entry(key, compute, _pack_json, json.loads)

    def _entry(
        self,
        key: str,
        compute: Callable[[], Any],
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes], Any],
    ) -> Any:
        if key in self._memory:
            self.counts["memory"] += 1
            return self._memory[key]
        path = self._place(key)
        if path is None:
            self.counts["computed"] += 1
            found = unpack(pack(compute()))
        else:
            found = self._read(path, unpack)
            if found is None:
                with FileLock(f"{path}.lock"):
                    found = self._read(path, unpack)
                    if found is None:
                        self.counts["computed"] += 1
                        content = pack(compute())
                        self._write(path, content)
                        found = unpack(content)
        self._memory[key] = found
        return found

    def _place(self, key: str) -> Path | None:
        """Where an entry lives, or None when there is no usable folder."""
        if self.cache is None:
            return None
        folder = self.cache / key[:2]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{key}.lock").touch()
        except OSError as error:
            self._note(
                f"the cache {self.cache} cannot be used ({error.strerror}); going on without"
            )
            self.cache = None
            return None
        return folder / key

    def _read(self, path: Path, unpack: Callable[[bytes], Any]) -> Any:
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note(f"the cache entry {path.name} cannot be read ({error.strerror})")
            return None
        if hashlib.sha256(raw[_HEADER:]).digest() != raw[:_HEADER]:
            self._note(f"the cache entry {path.name} was damaged and is computed again")
            return None
        self.counts["disk"] += 1
        return unpack(raw[_HEADER:])

    def _write(self, path: Path, content: bytes) -> None:
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(content).digest() + content)
                os.replace(name, path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            self._note(f"the cache {self.cache} cannot be written ({error.strerror})")

    def _extract(
        self, extractor: Extractor, found: ImageSet, progress: Progress | None
    ) -> NDArray[np.float32]:
        images = found.images
        masks = found.masks if "masks" in getattr(extractor, "needs", ()) else None
        rows = self._rows.setdefault(extractor.key(), {})
        names = [_digest(image) for image in images]
        if masks is not None:
            names = [name + _digest(mask) for name, mask in zip(names, masks, strict=True)]
        new = list({name: i for i, name in enumerate(names) if name not in rows}.items())
        starts = range(0, len(new), CHUNK)
        steps: Iterable[int] = starts
        if progress is not None:
            steps = progress(starts, f"features, {extractor.name}", len(starts))
        for start in steps:
            chunk = new[start : start + CHUNK]
            at = [i for _, i in chunk]
            given = {} if masks is None else {"masks": masks[at]}
            made = extractor(images[at], **given)
            if made.shape[0] != len(chunk) or not np.isfinite(made).all():
                raise ValueError(
                    f"extractor {extractor.name!r} returned shape {made.shape} with "
                    f"{np.count_nonzero(~np.isfinite(made))} values not finite, must be "
                    f"({len(chunk)}, d) and finite"
                )
            rows.update({name: row for (name, _), row in zip(chunk, made, strict=True)})
        self.counts["images"] += len(new)
        return np.stack([rows[name] for name in names])

    def _note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


def _digest(array: NDArray[Any]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(array).data).digest()


def content_key(content: Any) -> str:
    """The sha256 of JSON types in canonical form."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/nriqm_bench``, or ``~/.cache/nriqm_bench``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nriqm_bench"


def _pack_json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False).encode()


def _pack_array(array: NDArray[np.float32]) -> bytes:
    n, d = array.shape
    return np.asarray([n, d], "<i8").tobytes() + np.ascontiguousarray(array, "<f4").tobytes()


def _unpack_array(raw: bytes) -> NDArray[np.float32]:
    n, d = np.frombuffer(raw[:16], "<i8")
    return np.frombuffer(raw[16:], "<f4").astype(np.float32).reshape(n, d)
