"""Damage to the set: images are replaced, none is altered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.images import ImageSet, concatenate
from nriqm_bench.perturbations.perturbation import perturbation

_SHARE = "share"

# The share of all lesions that counts as large, and the side of the squares in which `truncation`
# compares images, in pixels.
LARGE = 0.4
PIXEL = 8


@perturbation("internal-duplication", unit=_SHARE, kind="population", range=(0.0, 1.0))
def internal_duplication(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """A share `level` of the images is replaced by repeats of the others.

    The images that stay at a higher level are among those that stay at a lower one; at least one
    always stays.
    """
    n = len(images)
    order = rng.permutation(n)
    draw = rng.random(n)
    replaced = min(count(level, n), n - 1)
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
    return _without(images, gone, kept, level, rng)


@perturbation(
    "lesion-mode-drop",
    unit=_SHARE,
    needs=frozenset({"masks"}),
    kind="population",
    range=(0.0, 1.0),
)
def lesion_mode_drop(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """A share `level` of the images with large lesions is replaced by repeats of the others.

    Large are the upper two fifths of the areas (volumes) of all lesions, any label above 0 being
    lesion and one image one lesion. The others are images with smaller lesions or none.

    Raises
    ------
    ValueError
        When the images with a lesion are too few for both kinds: fewer than two.
    """
    assert images.masks is not None
    areas = np.count_nonzero(images.masks.reshape(len(images), -1), axis=1)
    bearing = np.flatnonzero(areas)
    large = _round(LARGE * len(bearing))
    if not large or len(bearing) < 2:
        raise ValueError(
            f"lesion-mode-drop found {len(bearing)} of {len(images)} images with a lesion, needs "
            "at least two of different size"
        )
    # Of equal lesions the first ones count as smaller.
    gone = bearing[np.argsort(areas[bearing], kind="stable")[-large:]]
    kept = np.setdiff1d(np.arange(len(images)), gone)
    return _without(images, np.sort(gone), kept, level, rng)


@perturbation(
    "density-shift",
    unit=_SHARE,
    needs=frozenset({"sites", "train"}),
    kind="population",
    range=(0.0, 1.0),
)
def density_shift(
    images: ImageSet, level: float, rng: np.random.Generator, *, train: ImageSet
) -> ImageSet:
    """The mix of sites goes the share `level` of the way to the most common site alone.

    That share of the images of all other sites is replaced by real images of the most common
    site (of equally common ones the first by name), taken from the training images, none of which
    is used twice before each was used once: the site's own diversity stays real, and at 1 every
    image is of this site. Labels come along as with `training-copies`. Memorisation metrics see
    the training images, and are not what this is for.

    Raises
    ------
    ValueError
        When the training images have no sites or none of this one, or all images are of one site.
    """
    assert images.sites is not None
    found, counts = np.unique(images.sites, return_counts=True)
    common = str(found[np.argmax(counts)])
    others = np.flatnonzero(images.sites != common)
    if not len(others):
        raise ValueError(f"density-shift found only {common!r} among the sites, needs two or more")
    if train.sites is None:
        raise ValueError("density-shift needs training images with sites, and these have none")
    donors = np.flatnonzero(train.sites == common)
    if not len(donors):
        raise ValueError(
            f"density-shift found no training image of {common!r}, the most common site; theirs "
            f"are {sorted(set(train.sites.tolist()))}"
        )
    replaced = rng.permutation(others)[: count(level, len(others))]
    order = rng.permutation(donors)
    return replaced_by(images, replaced, train, order[np.arange(len(replaced)) % len(order)])


@perturbation("truncation", unit=_SHARE, kind="population", range=(0.0, 1.0))
def truncation(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """The share `level` of the images that is least typical is replaced by repeats of the rest.

    Typical are images near the mean of the set, by the Euclidean distance of their area averages
    over squares (cubes) of `PIXEL` pixels a side. As with a generator whose latent vectors are
    truncated, fidelity rises and diversity falls. The images that stay at a higher level are among
    those that stay at a lower one; the most typical one always stays.

    Source: the truncation trick of Brock, Donahue and Simonyan 2019, ICLR (BigGAN), section 3.1.
    """
    n = len(images)
    averages = _area_averages(images)
    distance = ((averages - averages.mean(axis=0)) ** 2).sum(axis=1)
    order = np.argsort(distance, kind="stable")
    kept = max(1, n - count(level, n))
    draw = rng.random(n)
    source = np.arange(n)
    source[order[kept:]] = order[(draw[kept:] * kept).astype(np.intp)]
    return images[source]


def count(level: float, n: int) -> int:
    """How many of `n` images are the share `level`, halves rounded up."""
    return min(n, _round(level * n))


def replaced_by(
    images: ImageSet, chosen: NDArray[np.intp], others: ImageSet, picks: NDArray[np.intp]
) -> ImageSet:
    """`images` with those at `chosen` replaced by those of `others` at `picks`, one for one.

    Subjects and sites that one side lacks are "unknown"; masks survive when both sides have them.
    """
    n = len(images)
    source = np.arange(n)
    source[chosen] = n + picks
    return concatenate(_like(images), _like(others))[source].replace(spacing=images.spacing)


def _without(
    images: ImageSet,
    gone: NDArray[np.intp],
    kept: NDArray[np.intp],
    level: float,
    rng: np.random.Generator,
) -> ImageSet:
    """The share `level` of the images at `gone` replaced by repeats of those at `kept`."""
    order = rng.permutation(gone)[: count(level, len(gone))]
    draw = rng.random(len(gone))[: len(order)]
    source = np.arange(len(images))
    source[order] = kept[(draw * len(kept)).astype(np.intp)]
    return images[source]


def _area_averages(images: ImageSet) -> NDArray[np.float64]:
    """``(n, d)``: averages over squares of `PIXEL` pixels a side, smaller ones at the far edges."""
    averages = images.images.astype(np.float64)
    for axis, size in enumerate(images.spatial, start=2):
        starts = np.arange(0, size, PIXEL)
        widths = np.diff(np.append(starts, size))
        averages = np.add.reduceat(averages, starts, axis=axis)
        averages /= widths.reshape((-1,) + (1,) * (averages.ndim - axis - 1))
    return averages.reshape(len(averages), -1)


def _round(value: float) -> int:
    return int(np.floor(value + 0.5))


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
