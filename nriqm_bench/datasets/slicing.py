"""Images from volumes: axial slices and slab projections, in pixels that are square."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import readers, split
from nriqm_bench.datasets.gather import gather, in_part
from nriqm_bench.datasets.inventory import Entry, Inventory
from nriqm_bench.datasets.preprocess import Preprocess
from nriqm_bench.datasets.source import Progress
from nriqm_bench.datasets.volume import Volume, check_alike, from_nifti
from nriqm_bench.images import ImageSet

# How thick a slab is at most, in mm: four of them span the 80 mm of a cerebral angiogram.
SLAB = 20.0
# Pixels whose sides differ by less than this share count as square.
_SQUARE = 0.001

Voxel = TypeVar("Voxel", bound=np.generic)
# Of an opened volume and its labels: the images and labels to use, (k, height, width) each.
Pick = Callable[
    [Volume, NDArray[np.uint8] | None, Preprocess],
    tuple[NDArray[np.float32], NDArray[np.uint8] | None],
]


def load(
    inventory: Inventory,
    contrast: str,
    pick: Pick,
    n: int | None,
    seed: int,
    part: str,
    size: int | None,
    progress: Progress | None,
) -> ImageSet:
    """`n` images of one part of an inventory; only the volumes that are needed are read.

    Raises
    ------
    ValueError
        In one sentence: a file that cannot be used, a subject in two parts, fewer than three
        subjects, or fewer than `n` images.
    """
    split.check_part(part)
    where = inventory.root.name
    entries = in_part(inventory.entries(contrast), part, seed, where)
    if n is not None and n > (most := readers.SLICES * len(entries)):
        raise split.too_few(where, part, most, n)
    fit = Preprocess(size)

    def read(entry: Entry) -> ImageSet:
        return _read(entry, inventory, pick, fit)

    return gather(entries, read, f"{where}, {part}", progress, n, part)


def load_all(
    inventory: Inventory,
    contrast: str,
    pick: Pick,
    size: int | None,
    progress: Progress | None,
) -> ImageSet:
    """The images of every volume of an inventory, all parts together."""
    fit = Preprocess(size)

    def read(entry: Entry) -> ImageSet:
        return _read(entry, inventory, pick, fit)

    return gather(inventory.entries(contrast), read, inventory.root.name, progress)


def slices(
    volume: Volume, masks: NDArray[np.uint8] | None, fit: Preprocess
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Axial slices by the rule of `readers.axial`; the whole volume is rescaled to [0, 1]."""
    values = fit.rescale(volume.read())
    chosen = readers.axial(values, lesion=masks)
    return values[chosen], None if masks is None else masks[chosen]


def slabs(
    volume: Volume, masks: NDArray[np.uint8] | None, fit: Preprocess
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
    """Maximum intensity projections of `readers.SLICES` axial slabs that do not overlap.

    A slab is 20 mm thick, or a quarter of the height of a volume of less than 80 mm; slabs lie in
    the middles of stretches of equal height. The projections are rescaled together, as the
    percentiles of a volume would cut the vessels, which are less than 1 % of its voxels. Labels
    are projected alike (of several along a ray, the highest).
    """
    cuts = _cuts(volume.shape[0], volume.spacing[0])
    whole = None if volume.seekable else volume.read()
    projected = [
        (volume.read(*cut) if whole is None else whole[slice(*cut)]).max(axis=0) for cut in cuts
    ]
    values = fit.rescale(np.stack(projected))
    if masks is None:
        return values, None
    return values, np.stack([masks[slice(*cut)].max(axis=0) for cut in cuts])


def square(
    array: NDArray[Voxel], spacing: tuple[float, float], *, masks: bool = False
) -> NDArray[Voxel]:
    """Images ``(k, height, width)`` resampled along one axis to square pixels, the finer of both.

    Images by antialiased linear interpolation within their own range, masks by the nearest label.
    Where pixels are square within 0.1 % it is the same array.
    """
    finer = min(spacing)
    shape = tuple(
        round(length * s / finer) if s > finer * (1 + _SQUARE) else length
        for length, s in zip(array.shape[1:], spacing, strict=True)
    )
    if shape == array.shape[1:]:
        return array
    import torch
    from torch.nn import functional

    stack = torch.from_numpy(np.ascontiguousarray(array))[:, None]
    if masks:
        out = functional.interpolate(stack, shape, mode="nearest-exact")
    else:
        out = functional.interpolate(
            stack, shape, mode="bilinear", align_corners=False, antialias=True
        ).clamp(0, 1)
    resampled: NDArray[Voxel] = out[:, 0].numpy()
    return resampled


def _cuts(depth: int, thickness: float) -> list[tuple[int, int]]:
    """First slice and the one after the last, of each slab."""
    count = min(readers.SLICES, depth)
    edges = [round(i * depth / count) for i in range(count + 1)]
    most = max(1, round(SLAB / thickness))
    cuts = []
    for low, high in pairwise(edges):
        kept = min(most, high - low)
        first = low + (high - low - kept) // 2
        cuts.append((first, first + kept))
    return cuts


def _read(entry: Entry, inventory: Inventory, pick: Pick, fit: Preprocess) -> ImageSet:
    """The images of one volume, preprocessed."""
    with readers.naming(entry.path):
        volume = inventory.open(entry)
    masks = None
    if entry.mask is not None:
        with readers.naming(entry.mask):
            of_mask = from_nifti(entry.mask)
            masks = readers.labels(of_mask.read())
        with readers.naming(entry.path):
            check_alike(volume, of_mask)
    with readers.naming(entry.path):
        images, labels = pick(volume, masks, fit)
        pixel = volume.spacing[1:]
        images = square(images, pixel)
        height, width = images.shape[1:]
        if labels is not None:
            labels = fit.masks(square(labels, pixel, masks=True))
        images = fit.images(images[:, None])
        return ImageSet(
            images,
            masks=labels,
            subjects=np.full(len(images), entry.subject),
            sites=None if entry.site is None else np.full(len(images), entry.site),
            spacing=fit.spacing((min(pixel), min(pixel)), (height, width)),
        )
