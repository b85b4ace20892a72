"""The dataset ``ixi:DIR``: healthy volunteers of three London hospitals, from the IXI project."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import readers, slicing, split
from nriqm_bench.datasets.inventory import Case, Inventory, Scan, walk
from nriqm_bench.datasets.preprocess import Preprocess
from nriqm_bench.datasets.source import Progress
from nriqm_bench.datasets.volume import Volume
from nriqm_bench.images import ImageSet

CONTRASTS: dict[str, tuple[str, ...]] = {"mra": (), "t1": (), "t2": (), "pd": ()}
DEFAULT = "mra"
_NAME = re.compile(
    r"(?P<case>(?P<subject>IXI\d+)-(?P<site>[a-z]+)-\d+)-(?P<contrast>MRA|T1|T2|PD)"
    r"(?P<mask>[_-](seg|mask))?",
    re.IGNORECASE,
)


def ixi(
    path: str | Path,
    n: int | None = None,
    seed: int = 0,
    *,
    part: str = "train",
    size: int | None = None,
    progress: Progress | None = None,
    contrast: str | None = None,
) -> ImageSet:
    """`n` images of one contrast of IXI: slab projections of angiograms, else axial slices.

    Reads ``IXI002-Guys-0828-MRA.nii.gz`` at any depth. Of an angiogram (``mra``, the default) 4
    maximum intensity projections through axial slabs of 20 mm are made, as vessels are dots in a
    slice, see `slicing.slabs`; of the other contrasts 4 axial slices are used, see
    `readers.axial`. Pixels are made square. Neither skull nor scalp is removed.

    - Subject: ``IXI002``. Site: ``Guys``, ``HH`` or ``IOP``, from the name.
    - Mask: ``IXI002-Guys-0828-MRA_seg.nii.gz`` (``-seg``, ``_mask``, ``-mask``) beside the volume;
      IXI itself has none. Any label above 0 becomes label 1, vessel: a centre line does not
      survive resampling, and other labels would be taken for one.
    - Part: folders ``train``, ``val``, ``test`` as in `folder`; else thirds by a hash of subjects.
    - Left out: a case without the contrast, and one without a mask when others have one.

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
        Shows the volumes as they are read.
    contrast
        ``mra``, ``t1``, ``t2`` or ``pd``.

    Raises
    ------
    ValueError
        In one sentence: an unknown contrast, no cases, a file that cannot be used, fewer than
        three subjects, or fewer than `n` images.
    """
    inventory = scan(path)
    name = inventory.contrast(contrast)
    of_contrast = slicing.slabs if name == "mra" else slicing.slices

    def pick(
        volume: Volume, masks: NDArray[np.uint8] | None, fit: Preprocess
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None]:
        vessels = None if masks is None else (masks > 0).astype(np.uint8)
        return of_contrast(volume, vessels, fit)

    return slicing.load(inventory, name, pick, n, seed, part, size, progress)


def scan(path: str | Path) -> Inventory:
    """The cases below a folder, by the names of their files.

    Raises
    ------
    ValueError
        When `path` is not a folder.
    """
    root = Path(path)
    notes: list[str] = []
    images: dict[str, dict[str, Path]] = defaultdict(dict)
    masks: dict[str, dict[str, Path]] = defaultdict(dict)
    told: dict[str, re.Match[str]] = {}
    for file in walk(root):
        match = _NAME.fullmatch(readers.stem(file))
        if match is None:
            notes.append(f"{file} is not named like IXI002-Guys-0828-MRA and is not used")
            continue
        case, contrast = match["case"], match["contrast"].lower()
        kept = masks if match["mask"] else images
        held = kept[case].setdefault(contrast, file)
        if held != file:
            notes.append(f"{file} doubles {held} and is not used")
        told[case] = match
    cases = []
    for name, files in images.items():
        scans = {}
        for contrast, file in files.items():
            mask = masks[name].pop(contrast, None)
            scans[contrast] = Scan(root / file, 0, None if mask is None else root / mask)
        part = split.part_of(file.parts[0]) if len(file.parts) > 1 else None
        cases.append(Case(name, told[name]["subject"], scans, told[name]["site"], part))
    lost = [mask for left in masks.values() for mask in left.values()]
    notes += [f"{mask} belongs to no image and is not used" for mask in lost]
    return Inventory(root, cases, CONTRASTS, DEFAULT, tuple(notes))
