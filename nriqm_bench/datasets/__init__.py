"""Real images by name: phantoms, folders and archives, in parts that never share a subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nriqm_bench.registry import Registry

if TYPE_CHECKING:
    from nriqm_bench.datasets.source import Source

_ROOM = "nriqm_bench.datasets"
_REGISTRY: Registry[Callable[..., Any]] = Registry(
    "dataset",
    _ROOM,
    {
        "folder": f"{_ROOM}.folder:folder",
        "npz": f"{_ROOM}.npz:npz",
        "phantom-tumour": f"{_ROOM}.phantom_tumour:phantom_tumour",
        "phantom-vessel": f"{_ROOM}.phantom_vessel:phantom_vessel",
    },
)
PHANTOMS = frozenset({"phantom-tumour", "phantom-vessel"})

__all__ = ["PHANTOMS", "get", "names", "open", "register", "unregister"]

get = _REGISTRY.get
names = _REGISTRY.names
unregister = _REGISTRY.discard


def register(name: str, dataset: Callable[..., Any] | None = None) -> Any:
    """Make a dataset known: a function, or as a decorator.

    The function takes ``(n, seed, *, part, size, progress)`` and returns an `ImageSet`; when it is
    opened as ``name:PATH``, the path comes first. A taken name raises `ValueError`.
    """
    if dataset is not None:
        return _REGISTRY.add(name, dataset)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        return _REGISTRY.add(name, function)

    return decorate


def open(spec: str) -> Source:
    """The source of a specification, ``name`` or ``name:PATH``.

    Raises
    ------
    KeyError
        For an unknown name.
    ValueError
        When the path is missing or not wanted.
    """
    from nriqm_bench.datasets.source import Source

    return Source.parse(spec)
