"""``python -m nriqm_bench check brats:DIR``: what a dataset holds and whether a run can use it."""

from __future__ import annotations

import os
import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from nriqm_bench.datasets import npz, readers, split
from nriqm_bench.datasets.folder import Entry as FileEntry
from nriqm_bench.datasets.folder import scan
from nriqm_bench.datasets.gather import in_part
from nriqm_bench.datasets.inventory import Entry, Inventory
from nriqm_bench.datasets.source import Source
from nriqm_bench.datasets.volume import Volume, check_alike, check_whole, from_nifti

WIDTH = 80
CHECKED = ("brats", "dicom", "folder", "ixi", "msd", "npz")
# How many of the cases that are left out are named.
MOST = 10
# The smallest --nriqm-n that a run accepts.
LEAST = 16
_INDENT = 14


@dataclass(frozen=True)
class Item:
    """One file (or series) that a run would read, as far as its header tells."""

    path: Path
    subject: str
    site: str | None
    part: str | None
    mask: bool
    images: int
    size: tuple[int, ...] = ()
    spacing: tuple[float, ...] | None = None
    codes: str = ""


def survey(spec: str, *, verbose: bool = False) -> tuple[list[str], bool]:
    """What a dataset on disk holds, in lines of at most 80 columns, and whether it is usable.

    Only names and headers are read. Usable: every file that would be read has a sound header and
    is not shorter than that says, and each of the parts (with seed 0) gives at least 16 images.

    Parameters
    ----------
    spec
        ``brats:DIR``, ``msd:DIR``, ``ixi:DIR``, ``dicom:DIR``, ``folder:DIR`` or ``npz:FILE``,
        with ``?contrast=NAME`` where there is a choice.
    verbose
        Every file, too.

    Raises
    ------
    KeyError
        For an unknown dataset.
    """
    try:
        source = Source.parse(spec)
        return _survey(source, verbose=verbose)
    except ValueError as error:
        return _wrapped(f"{spec}: {error}", "  "), False


def _survey(source: Source, *, verbose: bool) -> tuple[list[str], bool]:
    path = source.path
    damaged: list[str] = []
    left: list[str] = []
    lines: list[str] = []
    if path is None or (source.inventory is None and source.name not in ("folder", "npz")):
        raise ValueError("only datasets on disk can be checked: " + ", ".join(CHECKED))
    count: Callable[[str], tuple[int, int]]
    if source.name == "npz":
        items = _of_archive(path)
        count = partial(_in_archive, path)
    else:
        if source.inventory is None:
            items = _of_folder(path, damaged)
        else:
            items = _of_inventory(source.inventory, source.contrast, damaged)
            lines = _cases(source.inventory, source.contrast)
            left = [*source.inventory.left_out(source.contrast), *source.inventory.notes]
        count = partial(_in_part, items, path.name)
    if items:
        lines += _files(items)
    told, usable = _parts(count)
    usable = usable and not damaged
    lines += [*told, *_list("left out", left, None if verbose else MOST)]
    lines += _list("damaged", [told.replace(f"{path}{os.sep}", "") for told in damaged])
    if verbose:
        lines += _list("files", [_one(item, path) for item in items])
    verdict = "usable" if usable else "not usable as it is"
    return [*_wrapped(f"{source.spec}: {verdict}", "  "), *lines], usable


def _of_inventory(inventory: Inventory, contrast: str, damaged: list[str]) -> list[Item]:
    items = []
    for entry in inventory.entries(contrast):
        try:
            items.append(_look(entry, inventory))
        except ValueError as error:
            damaged.append(str(error))
    return items


def _look(entry: Entry, inventory: Inventory) -> Item:
    with readers.naming(entry.path):
        if entry.path.is_file():
            check_whole(entry.path)
        volume = inventory.open(entry)
    if entry.mask is not None:
        with readers.naming(entry.mask):
            check_whole(entry.mask)
            mask = from_nifti(entry.mask)
        with readers.naming(entry.path):
            check_alike(volume, mask)
    has_mask = entry.mask is not None
    return _of_volume(entry.path, entry.subject, entry.site, entry.part, has_mask, volume)


def _of_volume(
    path: Path, subject: str, site: str | None, part: str | None, mask: bool, volume: Volume
) -> Item:
    count = min(readers.SLICES, volume.shape[0])
    size, spacing = volume.shape[::-1], volume.spacing[::-1]
    return Item(path, subject, site, part, mask, count, size, spacing, volume.codes)


def _of_folder(root: Path, damaged: list[str]) -> list[Item]:
    items = []
    for entry in scan(root):
        try:
            items += _look_at_file(entry)
        except ValueError as error:
            damaged.append(str(error))
    return items


def _look_at_file(entry: FileEntry) -> list[Item]:
    path, mask = entry.path, entry.mask is not None
    told = (path, entry.subject, entry.site, entry.part)
    if entry.mask is not None and readers.ending(entry.mask).startswith(".nii"):
        with readers.naming(entry.mask):
            check_whole(entry.mask)
    with readers.naming(path):
        match readers.ending(path):
            case ".nii" | ".nii.gz":
                check_whole(path)
                return [_of_volume(*told, mask, from_nifti(path))]
            case ".png":
                from PIL import Image

                with Image.open(path) as picture:
                    return [Item(*told, mask, 1, picture.size)]
            case ".npy":
                shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
                return [Item(*told, mask, shape[0] if len(shape) == 3 else 1, shape[:-3:-1])]
            case _:
                stack = readers.read(path)
                count, height, width = stack.values.shape
                return [Item(*told, stack.masks is not None, count, (width, height))]


def _of_archive(path: Path) -> list[Item]:
    """One item an image: here the file itself is read."""
    found = npz.read(path)
    spacing = None if found.spacing is None else found.spacing[::-1]
    whole = Item(path, "", None, None, found.masks is not None, 1, found.spatial[::-1], spacing)
    return [
        replace(
            whole,
            subject=str(i) if found.subjects is None else str(found.subjects[i]),
            site=None if found.sites is None else str(found.sites[i]),
        )
        for i in range(len(found))
    ]


def _cases(inventory: Inventory, contrast: str) -> list[str]:
    """What the inventory says, beyond the one contrast that is used."""
    patients = len({case.subject for case in inventory.cases})
    counts = ", ".join(f"{c} {inventory.count(c)}" for c in inventory.contrasts)
    return [
        *_line("cases", f"{len(inventory.cases)} of {patients} subjects"),
        *_line("contrasts", f"{counts} ({contrast} is used)"),
    ]


def _files(items: Sequence[Item]) -> list[str]:
    """What the files that are used have in common and where they differ."""
    count = len(items)
    masks = sum(item.mask for item in items)
    sites = Counter(item.site for item in items if item.site is not None)
    codes = Counter(item.codes for item in items if item.codes)
    told = [
        *_line("used", f"{count} of {len({item.subject for item in items})} subjects"),
        *_line("masks", f"{masks} of {count}" if masks else "none"),
        *_line("sites", _counted(sites) if sites else "none are told"),
        *_line("size", _range([item.size for item in items])),
    ]
    known = [item.spacing for item in items if item.spacing is not None]
    told += _line("spacing", f"{_range(known)} mm" if known else "not told")
    return [*told, *(_line("orientation", _counted(codes)) if codes else [])]


def _parts(count: Callable[[str], tuple[int, int]]) -> tuple[list[str], bool]:
    """How many images and subjects each part gives, and whether that is enough for a run."""
    lines: list[str] = []
    least: list[int] = []
    for part in split.WORDS:
        try:
            images, subjects = count(part)
        except ValueError as error:
            return [*lines, *_line("parts", str(error))], False
        lines += _line(part, f"up to {images} images of {subjects} subjects")
        least.append(images)
    if min(least) < LEAST:
        told = f"at most {min(least)} is possible, but a run needs at least {LEAST}"
        return [*lines, *_line("--nriqm-n", told)], False
    span = f"{LEAST} to {min(least)}" if min(least) > LEAST else str(LEAST)
    return [*lines, *_line("--nriqm-n", span)], True


def _in_part(items: Sequence[Item], where: str, part: str) -> tuple[int, int]:
    chosen = in_part(items, part, 0, where)
    return sum(item.images for item in chosen), len({item.subject for item in chosen})


def _in_archive(path: Path, part: str) -> tuple[int, int]:
    found = npz.npz(path, part=part)
    return len(found), len(found if found.subjects is None else set(found.subjects.tolist()))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _range(rows: Sequence[tuple[float, ...]]) -> str:
    """Along left-right, front-back and, of volumes, up: ``a x b x c``, or the ranges."""
    told = []
    for axes in sorted({len(row) for row in rows}):
        found = np.array([row for row in rows if len(row) == axes])
        pairs = zip(found.min(axis=0), found.max(axis=0), strict=True)
        told.append(" x ".join(f"{a:.4g}" if a == b else f"{a:.4g} to {b:.4g}" for a, b in pairs))
    return " and ".join(told)


def _one(item: Item, root: Path) -> str:
    where = item.path.relative_to(root).as_posix() if item.path != root else item.subject
    size = " x ".join(f"{s:g}" for s in item.size)
    told = "" if item.spacing is None else f", {' x '.join(f'{s:.4g}' for s in item.spacing)} mm"
    return f"{where}: {size}{told}{', ' * bool(item.codes)}{item.codes}, {item.subject}"


def _list(name: str, sentences: Sequence[str], most: int | None = None) -> list[str]:
    """Sentences under one name; beyond `most`, how many more there are."""
    shown = list(sentences[:most])
    if len(shown) < len(sentences):
        shown.append(f"and {len(sentences) - len(shown)} more, see -v")
    return [line for i, told in enumerate(shown) for line in _line("" if i else name, told)]


def _line(name: str, told: str) -> list[str]:
    return _wrapped(f"  {name:{_INDENT - 2}}{told}", " " * _INDENT)


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines of at most 80 columns; a path that is longer is cut where it must be."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
