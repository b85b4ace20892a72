"""The dataset ``brats:DIR``: brain tumours in the layouts of the BraTS challenges since 2018."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from nriqm_bench.datasets import readers, slicing, split
from nriqm_bench.datasets.inventory import (
    TUMOUR_CONTRASTS,
    Case,
    Inventory,
    Scan,
    walk,
)
from nriqm_bench.datasets.source import Progress
from nriqm_bench.images import ImageSet

DEFAULT = "flair"
_WORDS = {word: name for name, words in TUMOUR_CONTRASTS.items() for word in words}
# One mask of the 2020 release is called W39_1998.09.19_Segm.nii; gtv: meningioma before
# radiotherapy (2024).
_MASK = ("seg", "segm", "gtv")
_NAME = re.compile(
    rf"(?P<case>.+)[_-](?P<what>{'|'.join(sorted((*_WORDS, *_MASK), key=len, reverse=True))})",
    re.IGNORECASE,
)
# Brats18_TCIA08_469_1, BraTS19_CBICA_AQP_1, BraTS19_2013_10_1: institution, patient, time point.
_EARLY = re.compile(r"(?P<patient>brats1[789]_(?P<site>2013|[a-z]+)\w*?)_\d", re.IGNORECASE)
# BraTS-GLI-00003-001 (and MEN, MEN-RT, MET, PED, SSA): patient, visit.
_LATE = re.compile(r"(?P<patient>brats(-[a-z]+)+-\d+)-\d+", re.IGNORECASE)


def brats(
    path: str | Path,
    n: int | None = None,
    seed: int = 0,
    *,
    part: str = "train",
    size: int | None = None,
    progress: Progress | None = None,
    contrast: str | None = None,
) -> ImageSet:
    """`n` axial slices of one contrast of BraTS cases, with their tumour labels.

    Reads ``<case>/<case>_flair.nii.gz`` (``_t1 _t1ce _t2 _seg``; 2018 to 2021, with or without
    folders ``HGG`` and ``LGG``) and ``<case>/<case>-t2f.nii.gz`` (``-t1n -t1c -t2w -seg``; since
    2023), packed or not. A volume is clipped to its percentiles 1 and 99 and brought to [0, 1] as
    a whole; 4 slices of it are used, at least half of which show the tumour where it has one, see
    `readers.axial`. Labels stay as they are (1, 2, 4 or 1, 2, 3).

    - Subject: the patient; all visits (``BraTS-GLI-00003-001``) are his.
    - Site: the institution in the names up to 2019 (``BraTS19_CBICA_AQP_1``), for all or none.
    - Part: folders ``train``, ``val``, ``test`` as in `folder`; else thirds by a hash of subjects.
    - Left out: a case without the contrast, and one without labels when others have them.

    Parameters
    ----------
    path
        The folder; cases may lie at any depth.
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
        Shows the volumes as they are read.
    contrast
        ``flair`` (the default), ``t1``, ``t1ce`` or ``t2``, or what a release calls them
        (``t2f``, ``t1n``, ``t1c``, ``t2w``).

    Raises
    ------
    ValueError
        In one sentence: an unknown contrast, no cases, a file that cannot be used, fewer than
        three subjects, or fewer than `n` images.
    """
    inventory = scan(path)
    name = inventory.contrast(contrast)
    return slicing.load(inventory, name, slicing.slices, n, seed, part, size, progress)


def scan(path: str | Path) -> Inventory:
    """The cases below a folder, by the names of their files.

    Raises
    ------
    ValueError
        When `path` is not a folder.
    """
    root = Path(path)
    named: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    notes: list[str] = []
    for file in walk(root):
        match = _NAME.fullmatch(readers.stem(file))
        if match is None:
            notes.append(f"{file} is named after no contrast and is not used")
            continue
        what = match["what"].lower()
        what = "seg" if what in _MASK else _WORDS[what]
        held = named[file.parent, match["case"]]
        if what in held:
            notes.append(f"{file} doubles {held[what]} and is not used")
        held.setdefault(what, file)
    _adopt(named)
    cases: list[Case] = []
    seen: dict[tuple[str, str | None], Path] = {}
    for (parent, name), files in named.items():
        mask = files.pop("seg", None)
        if not files:
            notes.append(f"{mask} belongs to no image and is not used")
            continue
        scans = {
            contrast: Scan(root / file, 0, None if mask is None else root / mask)
            for contrast, file in files.items()
        }
        part = split.part_of(parent.parts[0]) if parent.parts else None
        if (first := seen.setdefault((name, part), parent)) != parent:
            notes.append(f"{parent / name} doubles {first / name} and is not used")
            continue
        cases.append(Case(name, _patient(name), scans, _site(name), part))
    return Inventory(root, cases, TUMOUR_CONTRASTS, DEFAULT, tuple(notes))


def _adopt(named: dict[tuple[Path, str], dict[str, Path]]) -> None:
    """Give a mask of another name to the only case beside it."""
    together: dict[Path, list[str]] = defaultdict(list)
    for parent, name in named:
        together[parent].append(name)
    for parent, names in together.items():
        orphans = [name for name in names if named[parent, name].keys() == {"seg"}]
        others = [name for name in names if name not in orphans]
        if len(orphans) == len(others) == 1 and "seg" not in named[parent, others[0]]:
            named[parent, others[0]] |= named.pop((parent, orphans[0]))


def _patient(case: str) -> str:
    for pattern in (_EARLY, _LATE):
        if match := pattern.fullmatch(case):
            return match["patient"]
    return case


def _site(case: str) -> str | None:
    match = _EARLY.fullmatch(case)
    return match["site"] if match else None
