"""`Generator`: draws images from whatever was loaded, in whole chunks, checked and scaled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nriqm_bench.generators.errors import GeneratorError, brief
from nriqm_bench.generators.output import assemble
from nriqm_bench.images import ImageSet

# Part of every cache key: raise it when the same checkpoint would give other images.
LOADER_VERSION = 1

CHUNK = 16

# Keeps the order of masks apart from other draws of the same seed.
_MASK_ORDER = 2

Progress = Callable[[Iterable[int], str, int], Iterable[int]]


class Generator:
    """A source of fake images.

    Parameters
    ----------
    name
        The file's stem; the caller makes it unique.
    kind
        The name of the loader.
    draw
        ``(n, seed) -> ImageSet``, an array or tensor ``(n, channels, *spatial)``, or a tuple of
        images and integer masks ``(n, *spatial)``. One that `conditions.takes_masks` marked is
        called ``(n, seed, masks)`` with integers ``(n, *spatial)``.
    content
        The sha256 of everything that decides the images, apart from n and seed.
    settings
        Sampler settings; they enter the key.
    chunk
        How many images one call of `draw` makes. Every chunk has its own seed and is always drawn
        whole, so the images depend neither on memory nor on n: the first 16 of 200 are the 16 of
        16. None: one call draws all n.
    size
        The spatial shape, when it is known before sampling; checked afterwards.
    value_range
        (low, high) of the values that `draw` returns. None: inferred, and said in the notes.
    available
        How many samples there are, for a finite collection.
    summary
        What the loader found, for `describe`.
    uses_architecture
        Whether a user-given architecture was put to use.

    Attributes
    ----------
    needs_masks
        Whether `sample` must be given masks: the images are made from them.
    notes
        Sentences for the run's report: what was inferred, chosen or clipped.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        draw: Callable[..., Any],
        *,
        content: str,
        settings: Mapping[str, Any] | None = None,
        chunk: int | None = CHUNK,
        size: tuple[int, ...] | None = None,
        value_range: tuple[float, float] | None = None,
        available: int | None = None,
        summary: str = "",
        uses_architecture: bool = False,
    ) -> None:
        self.name = name
        self.kind = kind
        self.size = size
        self.value_range = value_range
        self.available = available
        self.uses_architecture = uses_architecture
        self.needs_masks = bool(getattr(draw, "needs_masks", False))
        self._draw = draw
        self._content = content
        self._settings = dict(settings or {})
        self._chunk = chunk
        self._summary = summary
        self._notes: dict[str, str] = {}

    @property
    def notes(self) -> list[str]:
        """Sentences for the report, in the order in which their subjects came up."""
        return list(self._notes.values())

    def note(self, subject: str, sentence: str) -> None:
        """Remember one sentence; a later one on the same subject replaces it."""
        self._notes[subject] = sentence

    def key(self) -> str:
        """The sha256 of content, sampler settings and loader version; never of a path."""
        identity = {
            "loader": LOADER_VERSION,
            "kind": self.kind,
            "content": self._content,
            "settings": self._settings,
            "chunk": self._chunk,
            "size": self.size,
            "range": self.value_range,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def describe(self) -> str:
        """One line for the header: name, kind, what the loader found, and the key's beginning."""
        parts = [self.kind, self._summary]
        if self.size is not None:
            parts.append(" x ".join(str(s) for s in self.size))
        if self.available is not None:
            parts.append(f"{self.available} samples")
        said = ", ".join(p for p in parts if p)
        return f"{self.name} ({said}; {self.key()[:12]})"

    def sample(
        self,
        n: int,
        seed: int = 0,
        progress: Progress | None = None,
        *,
        masks: ArrayLike | None = None,
    ) -> ImageSet:
        """Draw `n` images.

        Parameters
        ----------
        n
            How many, at least 1.
        seed
            Equal seeds give equal images.
        progress
            ``(iterable, description, total) -> iterable``, wrapped around the chunks.
        masks
            For a generator that `needs_masks`: real label maps ``(m, *spatial)`` to make images
            of. They are used in an order that `seed` decides, again from the start when n is
            larger than m; generators without need of masks leave them unread.

        Returns
        -------
        ImageSet
            ``(n, channels, *spatial)`` in [0, 1], with masks where the generator makes them, or
            the given ones where it is made from them.

        Raises
        ------
        GeneratorError
            When the output is no set of images: the sentence says what it was and must be.
        """
        if n < 1:
            raise GeneratorError(f"n was {n}, must be at least 1; pass --nriqm-n")
        given = self._conditions(masks, seed)
        size = n if self._chunk is None else self._chunk
        total = -(-n // size)
        steps: Iterable[int] = range(total)
        if progress is not None and self._chunk is not None:
            steps = progress(steps, f"sampling {self.name}", total)
        parts = []
        for step in steps:
            chosen = None
            if given is not None:
                chosen = given[np.arange(step * size, (step + 1) * size) % len(given)]
            parts.append(
                self._call(size, seed if self._chunk is None else chunk_seed(seed, step), chosen)
            )
        counts = [size] * total
        images, notes = assemble(
            parts, counts, name=self.name, size=self.size, value_range=self.value_range
        )
        for subject, sentence in notes.items():
            self.note(subject, sentence)
        return images[:n]

    def _conditions(self, masks: ArrayLike | None, seed: int) -> NDArray[np.int64] | None:
        """The masks in the order of `seed`; None for a generator that takes none."""
        if not self.needs_masks:
            return None
        if masks is None:
            raise GeneratorError(
                f"{self.name} makes images from masks and was given none; choose a dataset whose "
                "training images have masks, or pass masks to sample()"
            )
        given = np.asarray(masks)
        if given.ndim not in (3, 4) or given.dtype.kind not in "biu" or not given.size:
            raise GeneratorError(
                f"masks had shape {given.shape} and dtype {given.dtype}, must be integer labels "
                "(m, height, width)"
            )
        order = np.random.default_rng((seed, _MASK_ORDER)).permutation(len(given))
        return given.astype(np.int64)[order]

    def _call(self, n: int, seed: int, masks: NDArray[np.int64] | None) -> Any:
        try:
            if masks is None:
                return self._draw(n, seed)
            made = self._draw(n, seed, masks)
            alone = not isinstance(made, tuple | list) and getattr(made, "masks", None) is None
            if isinstance(made, ImageSet):
                return made.replace(masks=masks) if alone else made
            return (made, masks) if alone else made
        except GeneratorError:
            raise
        except Exception as error:
            raise GeneratorError(
                f"{self.name} failed while drawing {n} images: {brief(error)}"
            ) from error


def chunk_seed(seed: int, step: int) -> int:
    """The seed of one chunk: 63 bits of a sha256, so that chunks and seeds never overlap."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{step}".encode()).digest()[:8]) >> 1
