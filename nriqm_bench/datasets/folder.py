"""The dataset ``folder:DIR``: real images in files, in parts that never share a subject."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import readers, split
from nriqm_bench.datasets.gather import gather, in_part
from nriqm_bench.datasets.preprocess import Preprocess
from nriqm_bench.datasets.source import Progress
from nriqm_bench.images import ImageSet

_MARKS = ("_mask", "_seg", "-mask", "-seg")
_BIDS = re.compile(r"(?<![a-z0-9])sub-[a-z0-9]+", re.IGNORECASE)
_SLICE = re.compile(r"[_-](s|slice)[_-]?\d+$", re.IGNORECASE)
_MASKS, _IMAGES, _SITE = "masks", "images", "site-"


@dataclass(frozen=True)
class Entry:
    """One image file and what its place says: mask file, subject, site and part."""

    path: Path
    mask: Path | None
    subject: str
    site: str | None
    part: str | None


def folder(
    path: str | Path,
    n: int | None = None,
    seed: int = 0,
    *,
    part: str = "train",
    size: int | None = None,
    progress: Progress | None = None,
) -> ImageSet:
    """`n` images of one part of a folder of NIfTI, PNG, .npy and .npz files.

    Each file is clipped to its percentiles 1 and 99 and brought to [0, 1] as a whole (an .npz
    keeps its values); of a volume `readers.SLICES` axial slices are used, see `readers.axial`.
    Pixels are not made isotropic. See data/README.md for how a folder must look.

    - Mask: ``x_mask``, ``x_seg`` or ``x-seg`` beside ``x`` (or beside ``x_t1``, ``x-flair``), or
      the same name in a folder ``masks`` that mirrors the images.
    - Subject: ``sub-XX`` in the path; else the sub-folder; else the name of the file, without
      ``_s12`` or ``-slice-012`` at its end.
    - Site: a folder ``site-XX`` above the file.
    - Part: folders ``train``, ``reference`` (``val``, ``validation``), ``held-out`` (``heldout``,
      ``test``) in `path`; where there are none, the subjects are dealt into thirds by a hash.

    Parameters
    ----------
    path
        The folder.
    n
        How many images; None is all of the part. Fewer than there are: whole subjects in an order
        that `seed` decides, the last one cut.
    seed
        Of that order, and of the thirds.
    part
        ``train``, ``reference`` or ``held-out``. Only the files that are needed are read.
    size
        Height and width of the result; None keeps them, and all must be alike.
    progress
        Shows the files as they are read.

    Raises
    ------
    ValueError
        In one sentence: a file that cannot be used, masks for some images only, a subject in two
        parts, fewer than three subjects, or fewer than `n` images.
    """
    split.check_part(part)
    root = Path(path)
    entries = in_part(scan(root), part, seed, root.name)
    read = partial(_read, fit=Preprocess(size))
    return gather(entries, read, f"{root.name}, {part}", progress, n, part)


def read_folder(
    path: str | Path, *, size: int | None = None, progress: Progress | None = None
) -> ImageSet:
    """Every image of a folder, all parts together, in the order of the file names.

    Read as `folder` does; the same errors, except those about parts.
    """
    root = Path(path)
    return gather(scan(root), partial(_read, fit=Preprocess(size)), root.name, progress)


def scan(root: Path) -> list[Entry]:
    """The image files below `root`, in the order of their paths; none is opened.

    Raises
    ------
    ValueError
        When there is none, or masks, sites or parts are told for some of them only.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; check the path")
    inside = sorted(p.relative_to(root) for p in root.rglob("*") if readers.ending(p))
    inside = [
        p for p in inside if not any(s.startswith(".") for s in p.parts) and (root / p).is_file()
    ]
    masks = {(p.parent, readers.stem(p)): p for p in inside if _is_mask(p)}
    images = [p for p in inside if not _is_mask(p)]
    if not images:
        raise ValueError(f"{root} holds no images ({', '.join(readers.ENDINGS)}); check the path")
    names = {(p.parent, readers.stem(p)) for p in images}
    pairs = [_mask_of(p, masks, names) for p in images]
    entries = [
        Entry(root / p, None if mask is None else root / mask, _subject(p), _site(p), _part(p))
        for p, mask in zip(images, pairs, strict=True)
    ]
    _check_all_or_none("masks", [e for e in entries if not _archive(e)], "mask")
    _check_all_or_none("sites", entries, "site")
    _check_all_or_none("parts", entries, "part")
    if lost := sorted(set(masks.values()) - set(pairs)):
        raise ValueError(f"the mask {lost[0]} fits no image in {root.name}; rename or remove it")
    return entries


def _archive(entry: Entry) -> bool:
    return readers.ending(entry.path) == ".npz"


def _check_all_or_none(what: str, entries: Sequence[Entry], field: str) -> None:
    without = [e for e in entries if getattr(e, field) is None]
    if 0 < len(without) < len(entries):
        raise ValueError(
            f"{what} are told for {len(entries) - len(without)} of {len(entries)} images, must be "
            f"for all or none; {without[0].path} is the first without"
        )


def _is_mask(path: Path) -> bool:
    return readers.stem(path).endswith(_MARKS) or _MASKS in path.parts[:-1]


def _mask_of(
    image: Path, masks: dict[tuple[Path, str], Path], images: set[tuple[Path, str]]
) -> Path | None:
    """The mask of an image, by its folder and name."""
    parent, name = image.parent, readers.stem(image)
    # x_seg belongs to x; to x_t1 and x-flair only where there is no x.
    bare = [name[: m.start()] for m in re.finditer(r"[_-](?=[a-zA-Z])", name)]
    bare = [b for b in bare if (parent, b) not in images and not _SLICE.fullmatch(name[len(b) :])]
    folders = (
        Path(_MASKS, parent),
        parent / _MASKS,
        Path(*(_MASKS if part == _IMAGES else part for part in parent.parts)),
    )
    keys = [(parent, f"{b}{mark}") for b in (name, *reversed(bare)) for mark in _MARKS]
    keys += [(f, f"{name}{mark}") for f in folders for mark in ("", *_MARKS)]
    return next((masks[key] for key in keys if key in masks), None)


def _subject(image: Path) -> str:
    if found := _BIDS.search(image.as_posix()):
        return found[0]
    told = [p for p in image.parent.parts if p != _IMAGES and not _is_site(p)]
    folders = [p for p in told if split.part_of(p) is None]
    if folders:
        return folders[0]
    name = readers.stem(image)
    series = _SLICE.sub("", name)
    # A plain number may return in every folder; slices of one series are one subject anywhere.
    return series if series != name else (image.parent / name).as_posix()


def _is_site(name: str) -> bool:
    return name.lower().startswith(_SITE)


def _site(image: Path) -> str | None:
    return next((p for p in image.parent.parts if _is_site(p)), None)


def _part(image: Path) -> str | None:
    return split.part_of(image.parts[0]) if len(image.parts) > 1 else None


def _read(entry: Entry, fit: Preprocess) -> ImageSet:
    """The images of one file, preprocessed."""
    stack = readers.read(entry.path)
    masks = stack.masks
    if entry.mask is not None:
        masks = readers.read_labels(entry.mask)
    with readers.naming(entry.path):
        if masks is not None and masks.shape != stack.values.shape:
            raise ValueError(
                f"it has shape {stack.values.shape} (slices, height, width) but its mask "
                f"{masks.shape}, must be the same"
            )
        values = stack.values if stack.unit else fit.rescale(stack.values)
        chosen: slice | NDArray[np.intp] = readers.axial(values) if stack.volume else slice(None)
        images = fit.images(values[chosen][:, None])
        spacing = stack.spacing
        if spacing is not None:
            height, width = values.shape[1:]
            spacing = fit.spacing(spacing, (height, width))
        return ImageSet(
            images,
            masks=None if masks is None else fit.masks(masks[chosen]),
            subjects=np.full(len(images), entry.subject),
            sites=None if entry.site is None else np.full(len(images), entry.site),
            spacing=spacing,
        )
