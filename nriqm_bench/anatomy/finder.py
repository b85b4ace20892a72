"""`Finder`: descriptors of the anatomy in images, with masks that a segmenter finds."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.anatomy import lesions, vessels

Float64 = NDArray[np.float64]

# Part of the key: raise it when the same images would give other descriptors.
_VERSION = 1

_REGIONS: dict[str, ModuleType] = {"lesion": lesions, "vessel": vessels}

# What stands for "not told" in features, which are finite.
_ABSENT = np.float32(-1e9)


class _Found(Protocol):
    """An extractor that finds masks first: `nriqm_bench.extractors.found.Ready`."""

    device: str
    segmenter: Any

    def key(self) -> str:
        """Its identity."""


def names(region: str) -> tuple[str, ...]:
    """The descriptors of a ``"lesion"`` or a ``"vessel"`` tree, in order."""
    found: tuple[str, ...] = _REGIONS[region].NAMES
    return found


def spreads(region: str) -> tuple[str, ...]:
    """The descriptors whose spread between images is compared, beside their mean."""
    found: tuple[str, ...] = _REGIONS[region].SPREADS
    return found


def describe(region: str, images: NDArray[np.float32], masks: NDArray[Any]) -> Float64:
    """The descriptors of each image.

    Parameters
    ----------
    region
        ``"lesion"`` or ``"vessel"``.
    images
        ``(n, C, *S)`` in [0, 1].
    masks
        ``(n, *S)`` labels, above 0 where lesions or vessels are.

    Returns
    -------
    numpy.ndarray
        ``(n, k)`` in the order of `names`; NaN where there is nothing to describe.

    Raises
    ------
    ValueError
        For masks that do not fit the images.
    """
    if masks.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"masks had shape {masks.shape}, must be {(len(images), *images.shape[2:])} to fit the "
            "images"
        )
    own = _REGIONS[region].describe
    return np.stack([own(image, mask) for image, mask in zip(images, masks, strict=True)])


class Finder:
    """The descriptors of what is found in images: an extractor for `FeatureStore`.

    Parameters
    ----------
    region
        ``"lesion"`` or ``"vessel"``.
    found
        The fitted extractor ``lesion-found`` or ``vessel-found``, whose segmenter is shared.
    """

    def __init__(self, region: str, found: _Found) -> None:
        self.region = region
        self.name = f"{region} anatomy"
        self.dim = len(names(region))
        self.device = found.device
        self._found = found

    def key(self) -> str:
        """Of the descriptors, the segmenter and its training images."""
        return f"anatomy-{self.region}:{_VERSION}:{self._found.key()}"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(n, C, *S)`` in [0, 1] to ``(n, k)`` float32; see `rows`."""
        x = np.asarray(images, dtype=np.float32)
        rows = describe(self.region, x, self._found.segmenter(x))
        return np.where(np.isnan(rows), _ABSENT, rows).astype(np.float32)

    @staticmethod
    def rows(features: NDArray[np.float32]) -> Float64:
        """What `describe` gave, from features: NaN again where there is nothing to describe."""
        return np.where(features == _ABSENT, np.nan, features.astype(np.float64))
