"""Damage to the set: images are replaced, none is altered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.images import ImageSet, concatenate
from nriqm_bench.perturbations.perturbation import perturbation

_SHARE = "share"


@perturbation(
    "training-copies",
    unit=_SHARE,
    needs=frozenset({"train"}),
    kind="population",
    range=(0.0, 1.0),
)
def training_copies(
    images: ImageSet, level: float, rng: np.random.Generator, *, train: ImageSet
) -> ImageSet:
    """A share `level` of the images is replaced by training images.

    Which ones, and by which, follows from two permutations: the replacements of a lower level are
    among those of a higher one, and no training image is used twice before each was used once.
    """
    n = len(images)
    chosen = rng.permutation(n)[: _count(level, n)]
    order = rng.permutation(len(train))
    copies = order[np.arange(len(chosen)) % len(train)]
    source = np.arange(n)
    source[chosen] = n + copies
    return concatenate(_like(images), _like(train))[source].replace(spacing=images.spacing)


@perturbation("internal-duplication", unit=_SHARE, kind="population", range=(0.0, 1.0))
def internal_duplication(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """A share `level` of the images is replaced by repeats of the others.

    The images that stay at a higher level are among those that stay at a lower one; at least one
    always stays.
    """
    n = len(images)
    order = rng.permutation(n)
    draw = rng.random(n)
    replaced = min(_count(level, n), n - 1)
    kept = order[replaced:]
    source = np.arange(n)
    source[order[:replaced]] = kept[(draw[:replaced] * len(kept)).astype(np.intp)]
    return images[source]


@perturbation(
    "mode-drop", unit=_SHARE, needs=frozenset({"sites"}), kind="population", range=(0.0, 1.0)
)
def mode_drop(
    images: ImageSet,
    level: float,
    rng: np.random.Generator,
    *,
    sites: Sequence[str] | None = None,
) -> ImageSet:
    """A share `level` of one kind of image is replaced by repeats of the other kinds.

    Parameters
    ----------
    sites
        The kind that is dropped: images of these sites. None: of the sites in the order of their
        names, the first ones that together hold at least two fifths of the images, but never all.

    Raises
    ------
    ValueError
        When no image is of these sites, or every one is.
    """
    assert images.sites is not None
    dropped = _common_sites(images.sites) if sites is None else list(sites)
    gone = np.flatnonzero(np.isin(images.sites, dropped))
    kept = np.flatnonzero(~np.isin(images.sites, dropped))
    if not len(gone) or not len(kept):
        raise ValueError(
            f"mode-drop of sites {dropped} found {len(gone)} images to drop and {len(kept)} to "
            f"keep, needs both; the images' sites are {sorted(set(images.sites.tolist()))}"
        )
    order = rng.permutation(gone)[: _count(level, len(gone))]
    draw = rng.random(len(gone))[: len(order)]
    source = np.arange(len(images))
    source[order] = kept[(draw * len(kept)).astype(np.intp)]
    return images[source]


def _count(level: float, n: int) -> int:
    return min(n, int(np.floor(level * n + 0.5)))


def _like(images: ImageSet) -> ImageSet:
    """Images with the fields that copies need, so that sets with and without the rest can join."""
    n = len(images)
    return images.replace(
        subjects=images.subjects if images.subjects is not None else _unknown(n),
        sites=images.sites if images.sites is not None else _unknown(n),
        spacing=None,
    )


def _unknown(n: int) -> NDArray[np.str_]:
    return np.full(n, "unknown")


def _common_sites(sites: NDArray[np.str_]) -> list[str]:
    names, counts = np.unique(sites, return_counts=True)
    chosen: list[str] = []
    held = 0
    for name, count in zip(names[:-1].tolist(), counts.tolist(), strict=False):
        if held >= 0.4 * len(sites):
            break
        chosen.append(name)
        held += count
    return chosen
