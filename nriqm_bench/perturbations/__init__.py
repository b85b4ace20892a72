"""Controlled damage to images: each perturbation with a level, 0 being the identity."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nriqm_bench.registry import Registry

if TYPE_CHECKING:
    from nriqm_bench.perturbations.perturbation import Perturbation as Perturbation

_ROOM = "nriqm_bench.perturbations"
_REGISTRY: Registry[Any] = Registry(
    "perturbation",
    _ROOM,
    {
        "blur": f"{_ROOM}.artefacts:blur",
        "boundary-blur": f"{_ROOM}.lesion:boundary_blur",
        "dilation": f"{_ROOM}.vessel:dilation",
        "gaps": f"{_ROOM}.vessel:gaps",
        "gaussian-noise": f"{_ROOM}.noise:gaussian_noise",
        "internal-duplication": f"{_ROOM}.population:internal_duplication",
        "lesion-displacement": f"{_ROOM}.lesion:lesion_displacement",
        "lesion-growth": f"{_ROOM}.lesion:lesion_growth",
        "lesion-removal": f"{_ROOM}.lesion:lesion_removal",
        "lesion-shrinkage": f"{_ROOM}.lesion:lesion_shrinkage",
        "lesion-tilt": f"{_ROOM}.lesion:lesion_tilt",
        "matched-control": f"{_ROOM}.control:matched_control",
        "missing-branches": f"{_ROOM}.vessel:missing_branches",
        "mode-drop": f"{_ROOM}.population:mode_drop",
        "rician-noise": f"{_ROOM}.noise:rician_noise",
        "stenosis": f"{_ROOM}.vessel:stenosis",
        "training-copies": f"{_ROOM}.population:training_copies",
    },
)

__all__ = ["Perturbation", "get", "names", "register", "unregister"]

names = _REGISTRY.names
unregister = _REGISTRY.discard


def get(name: str) -> Perturbation:
    """The perturbation called `name`; an unknown name raises `KeyError` with the closest names."""
    from nriqm_bench.perturbations.perturbation import Perturbation

    found = _REGISTRY.get(name)
    return found if isinstance(found, Perturbation) else Perturbation(name, found)


def register(
    name: str,
    *,
    unit: str = "",
    needs: frozenset[str] = frozenset(),
    kind: str = "image",
    range: tuple[float, float] = (0.0, float("inf")),
    version: int = 1,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate ``(images, level, rng, **context) -> ImageSet`` to make it known by `name`.

    Parameters
    ----------
    unit
        Of the level, for reports.
    needs
        Of ``"masks"``, ``"sites"`` (the images must have them) and ``"train"`` (passed as
        ``train=ImageSet``).
    kind
        ``"image"`` when each image is damaged by itself, ``"population"`` when the set is.
    range
        The levels accepted.
    version
        Part of the cache key: raise it when the output changes.

    Raises
    ------
    ValueError
        For a taken name.
    """
    from nriqm_bench.perturbations.perturbation import Perturbation

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        _REGISTRY.add(name, Perturbation(name, function, unit, needs, kind, range, version))
        return function

    return decorate


def __getattr__(name: str) -> Any:
    if name == "Perturbation":
        return importlib.import_module(f"{_ROOM}.perturbation").Perturbation
    raise AttributeError(f"module {_ROOM!r} has no attribute {name!r}")
