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
        "bias-field": f"{_ROOM}.artefacts:bias_field",
        "blur": f"{_ROOM}.artefacts:blur",
        "boundary-blur": f"{_ROOM}.lesion:boundary_blur",
        "density-shift": f"{_ROOM}.population:density_shift",
        "dilation": f"{_ROOM}.vessel:dilation",
        "elastic": f"{_ROOM}.geometry:elastic",
        "gamma": f"{_ROOM}.artefacts:gamma",
        "gaps": f"{_ROOM}.vessel:gaps",
        "gaussian-noise": f"{_ROOM}.noise:gaussian_noise",
        "ghosting": f"{_ROOM}.kspace:ghosting",
        "gibbs": f"{_ROOM}.kspace:gibbs",
        "internal-duplication": f"{_ROOM}.population:internal_duplication",
        "lesion-displacement": f"{_ROOM}.lesion:lesion_displacement",
        "lesion-growth": f"{_ROOM}.lesion:lesion_growth",
        "lesion-mode-drop": f"{_ROOM}.population:lesion_mode_drop",
        "lesion-removal": f"{_ROOM}.lesion:lesion_removal",
        "lesion-shrinkage": f"{_ROOM}.lesion:lesion_shrinkage",
        "lesion-tilt": f"{_ROOM}.lesion:lesion_tilt",
        "matched-control": f"{_ROOM}.control:matched_control",
        "missing-branches": f"{_ROOM}.vessel:missing_branches",
        "mode-drop": f"{_ROOM}.population:mode_drop",
        "motion": f"{_ROOM}.kspace:motion",
        "poisson-noise": f"{_ROOM}.noise:poisson_noise",
        "rician-noise": f"{_ROOM}.noise:rician_noise",
        "spike": f"{_ROOM}.kspace:spike",
        "stenosis": f"{_ROOM}.vessel:stenosis",
        "training-copies": f"{_ROOM}.copies:training_copies",
        "translation": f"{_ROOM}.geometry:translation",
        "truncation": f"{_ROOM}.population:truncation",
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
