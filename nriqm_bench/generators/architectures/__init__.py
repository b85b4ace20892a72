"""Built-in networks for checkpoints, by name; a checkpoint may build them without trust.

A network here is a `torch.nn.Module`, one file each, whose constructor takes plain data (numbers,
words, lists: the checkpoint's ``config``) and which has::

    def sample(self, n: int, generator: torch.Generator, **settings) -> Tensor

It returns images ``(n, channels, *spatial)``, or a tuple of images and integer masks
``(n, *spatial)``; takes every random number from `generator`; works on ``generator.device``; and
has keyword arguments with defaults for what a checkpoint's ``sampler`` settings may change (steps,
temperature). The range and size of the images are told to `save_generator`, or are attributes
``value_range`` and ``size``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nriqm_bench.registry import Registry

_ARCHITECTURES: Registry[Callable[..., Any]] = Registry(
    "architecture", "nriqm_bench.architectures", {}
)

__all__ = ["discard", "get", "names", "register"]

get = _ARCHITECTURES.get
names = _ARCHITECTURES.names
discard = _ARCHITECTURES.discard


def register(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a network class so that checkpoints may name it."""

    def add(network: Callable[..., Any]) -> Callable[..., Any]:
        return _ARCHITECTURES.add(name, network)

    return add
