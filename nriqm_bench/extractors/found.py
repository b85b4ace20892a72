"""Extractors that need masks, for images that have none: a segmenter finds them in every image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.extractors.lesion import Lesion
from nriqm_bench.extractors.segmenter import Segmenter
from nriqm_bench.extractors.vessel import Vessel

if TYPE_CHECKING:
    from nriqm_bench.images import ImageSet


class Describer(Protocol):
    """An extractor of images and masks."""

    name: str
    dim: int

    def key(self) -> str:
        """Name and version."""

    def __call__(self, images: Any, masks: Any = None) -> NDArray[np.float32]:
        """The features of each image and its mask."""


class Found:
    """What describes images and masks, with masks that a segmenter finds, in real and fake alike.

    Parameters
    ----------
    describe
        The extractor of images and masks.
    device
        Of the segmenter.
    options
        Of `Segmenter`.
    """

    fit_needs = frozenset({"masks"})

    def __init__(self, describe: Describer, device: str = "cpu", **options: Any) -> None:
        self.describe = describe
        self.name = f"{describe.name}-found"
        self.dim = describe.dim
        self.device = device
        self._options = options

    def key(self) -> str:
        """Of the describer and the segmenter, before it has training images."""
        return f"{self.name}:{self.describe.key()}:{self._segmenter(_none).key()}"

    def fit(self, key: str, train: Callable[[], ImageSet]) -> Ready:
        """The extractor whose segmenter learns from the masks of `train`, once it is called.

        Parameters
        ----------
        key
            Identifies the training images.
        train
            Gives them, with masks; called at the first call of what is returned, or never.
        """
        return Ready(self, f"{self.key()}:{key}", self._segmenter(train))

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """Not before `fit`.

        Raises
        ------
        ValueError
            Always: there is nothing that finds masks.
        """
        raise ValueError(
            f"the extractor {self.name!r} must learn to find masks first: call what "
            "fit(key, train) returns"
        )

    def _segmenter(self, train: Callable[[], ImageSet]) -> Segmenter:
        return Segmenter(train, self.device, **self._options)


class Ready:
    """A `Found` with its training images."""

    def __init__(self, found: Found, key: str, segmenter: Segmenter) -> None:
        self.name, self.dim, self.device = found.name, found.dim, found.device
        self.segmenter = segmenter
        self._describe = found.describe
        self._key = key

    def key(self) -> str:
        """Of the describer, the segmenter and the training images."""
        return self._key

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, d)`` float32; learns at the first call.

        Raises
        ------
        ValueError
            When the training images have no masks.
        """
        return self._describe(images, masks=self.segmenter(images))


def _none() -> ImageSet:
    raise AssertionError("an extractor that has not learnt finds nothing")


def lesion_found(device: str = "cpu", **options: Any) -> Found:
    """`Lesion` for images without masks: a U-Net learns to find them from the training part's.

    A mask that is found can also be trusted where a generator's own masks disagree with its
    images. docs/remedies.md states what is lost.
    """
    return Found(Lesion(device), device, **options)


def vessel_found(device: str = "cpu", **options: Any) -> Found:
    """`Vessel` for images without masks, as `lesion_found`; the centre line is the skeleton."""
    return Found(Vessel(device), device, **options)
