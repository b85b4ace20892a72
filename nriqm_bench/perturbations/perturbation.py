"""`Perturbation`: a function with the meaning and range of its level as data."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nriqm_bench.images import ImageSet, as_image_set


@dataclass(frozen=True)
class Perturbation:
    """Damage at a level: call it as ``(images, level, rng, **context) -> ImageSet``.

    At level 0 the images come back bit for bit. The same state of `rng` gives the same random
    field at every level, so that along a sweep only the level differs.

    Parameters
    ----------
    name, function
        What it is called, and what does it.
    unit
        Of the level.
    needs
        Of ``"masks"``, ``"sites"`` and ``"train"``.
    kind
        ``"image"`` or ``"population"``.
    range
        The levels accepted, both ends included.
    version
        Part of the cache key.
    """

    name: str
    function: Callable[..., ImageSet]
    unit: str = ""
    needs: frozenset[str] = frozenset()
    kind: str = "image"
    range: tuple[float, float] = (0.0, float("inf"))
    version: int = 1

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def __call__(
        self,
        images: ImageSet | ArrayLike,
        level: float,
        rng: np.random.Generator,
        **context: Any,
    ) -> ImageSet:
        """The images at `level`.

        Raises
        ------
        ValueError
            For a level out of range, or images that lack what the perturbation needs.
        """
        given = as_image_set(images)
        low, high = self.range
        if not low <= level <= high:
            raise ValueError(
                f"the level of {self.name} was {level:g}, must be {low:g} to {high:g}"
                f"{' ' if self.unit else ''}{self.unit}"
            )
        for field in ("masks", "sites"):
            if field in self.needs and getattr(given, field) is None:
                raise ValueError(f"{self.name} needs {field}, and these images have none")
        if "train" in self.needs and context.get("train") is None:
            raise ValueError(f"{self.name} needs the training images: pass train=ImageSet")
        if level == 0:
            return given
        return self.function(given, level, rng, **context)


def perturbation(name: str, **tags: Any) -> Callable[[Callable[..., ImageSet]], Perturbation]:
    """Turn a function into one of the built-in perturbations."""

    def decorate(function: Callable[..., ImageSet]) -> Perturbation:
        return Perturbation(name, function, **tags)

    return decorate
