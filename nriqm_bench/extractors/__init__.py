"""Feature extractors: what turns images into the vectors that metrics compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.registry import Registry

_ROOM = "nriqm_bench.extractors"


class Extractor(Protocol):
    """Images ``(N, C, *S)`` float32 in [0, 1] to features ``(N, dim)`` float32.

    `key` identifies weights and preprocessing: equal keys and images give equal features.

    An extractor whose `needs` holds ``"masks"`` is called as ``extractor(images, masks=masks)``.
    One that learns from training images has ``fit(key, train) -> Extractor``: `key` identifies the
    training images, ``train()`` gives them as an ImageSet, and what is returned learns at its
    first call. Where it needs masks of them, its `fit_needs` holds ``"masks"``.
    """

    name: str
    dim: int

    def key(self) -> str:
        """Name, hash of the weights and version of the preprocessing."""

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """The features of each image."""


_BUILTIN = {
    "circular-harmonics": f"{_ROOM}.circular_harmonics:CircularHarmonics",
    "efficientnet-lite0": f"{_ROOM}.efficientnet_lite0:EfficientNetLite0",
    "efficientnet-lite0-maps": f"{_ROOM}.maps:EfficientNetLite0Maps",
    "imagenet-classes": f"{_ROOM}.efficientnet_lite0:ImageNetClasses",
    "lesion": f"{_ROOM}.lesion:Lesion",
    "lesion-found": f"{_ROOM}.found:lesion_found",
    "pixels": f"{_ROOM}.pixels:Pixels",
    "radiomics": f"{_ROOM}.radiomics:Radiomics",
    "torchscript": f"{_ROOM}.torchscript:TorchScript",
    "vessel": f"{_ROOM}.vessel:Vessel",
    "vessel-found": f"{_ROOM}.found:vessel_found",
}
_REGISTRY: Registry[Callable[..., Extractor]] = Registry("extractor", _ROOM, _BUILTIN)

__all__ = ["Extractor", "get", "names", "open", "register", "unregister"]

get = _REGISTRY.get
names = _REGISTRY.names
unregister = _REGISTRY.discard


def register(
    name: str, extractor: Callable[..., Extractor] | None = None
) -> Callable[..., Any] | Any:
    """Make what builds an extractor, ``(device="cpu", **options) -> Extractor``, known by name.

    With one argument it is a decorator. A taken name raises `ValueError`.
    """
    if extractor is not None:
        return _REGISTRY.add(name, extractor)

    def decorate(builder: Callable[..., Extractor]) -> Callable[..., Extractor]:
        return _REGISTRY.add(name, builder)

    return decorate


def open(spec: str, device: str = "cpu") -> Extractor:
    """The extractor of a specification, ``name`` or ``name:ARGUMENT`` (``torchscript:net.pt``).

    Raises
    ------
    KeyError
        For an unknown name.
    ValueError
        When the argument is missing, not wanted, or names a file that cannot be used.
    """
    name, colon, argument = spec.partition(":")
    builder = get(name)
    if name == "torchscript" and not argument:
        raise ValueError("the extractor 'torchscript' needs a file: torchscript:PATH")
    if name in _BUILTIN and name != "torchscript" and colon:
        raise ValueError(f"the extractor {name!r} takes no argument; {argument!r} was given")
    return builder(argument, device=device) if colon else builder(device=device)
