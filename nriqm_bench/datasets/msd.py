"""The dataset ``msd:DIR``: a task of the Medical Segmentation Decathlon, Task01 (brain tumours)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nriqm_bench.datasets import readers, slicing
from nriqm_bench.datasets.inventory import (
    TUMOUR_CONTRASTS,
    Case,
    Inventory,
    Scan,
)
from nriqm_bench.datasets.source import Progress
from nriqm_bench.images import ImageSet

DEFAULT = "flair"
_TABLE, _TASK = "dataset.json", "Task01_BrainTumour"


def msd(
    path: str | Path,
    n: int | None = None,
    seed: int = 0,
    *,
    part: str = "train",
    size: int | None = None,
    progress: Progress | None = None,
    contrast: str | None = None,
) -> ImageSet:
    """`n` axial slices of one contrast of a Decathlon task, with its labels.

    Reads the training cases that ``dataset.json`` lists (``imagesTr``, ``labelsTr``; ``imagesTs``
    has no labels and is not used); of a 4-D file only the volume that the table ``modality`` gives
    the contrast. A volume is clipped to its percentiles 1 and 99 and brought to [0, 1] as a whole;
    4 slices of it are used, at least half of which show the lesion, see `readers.axial`. Labels
    stay as they are. Pixels are made square.

    - Subject: the case (``BRATS_001``). Site: not told.
    - Part: thirds by a hash of subjects.
    - Left out: a case whose image or labels are missing.

    Parameters
    ----------
    path
        The folder of the task, or the one that holds ``Task01_BrainTumour``.
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
        As ``dataset.json`` calls it, or ``flair`` (the default), ``t1``, ``t1ce``, ``t2``. Where
        there is no FLAIR the first contrast of the table is the default.

    Raises
    ------
    ValueError
        In one sentence: an unknown contrast, a missing or damaged ``dataset.json``, a file that
        cannot be used, fewer than three subjects, or fewer than `n` images.
    """
    inventory = scan(path)
    name = inventory.contrast(contrast)
    return slicing.load(inventory, name, slicing.slices, n, seed, part, size, progress)


def scan(path: str | Path) -> Inventory:
    """The training cases that ``dataset.json`` lists, as far as their files are there.

    Raises
    ------
    ValueError
        When ``dataset.json`` is missing, damaged or says something else.
    """
    root = _home(Path(path))
    contrasts = _contrasts(root)
    cases, notes = [], []
    for image, label in _training(root):
        if not image.is_file():
            notes.append(f"{image.relative_to(root)} is in {_TABLE} but missing")
            continue
        mask = label if label.is_file() else None
        scans = {name: Scan(image, i, mask) for i, name in enumerate(contrasts)}
        name = readers.stem(image)
        cases.append(Case(name, name, scans))
    cases.sort(key=lambda case: case.name)
    return Inventory(root, cases, contrasts, _default(contrasts), tuple(notes))


def _home(path: Path) -> Path:
    """The folder of the task."""
    for root in (path, path / _TASK):
        if (root / _TABLE).is_file():
            return root
    raise ValueError(
        f"{path} holds no {_TABLE}, nor does a folder {_TASK} in it; give the folder of the task "
        "as it was unpacked"
    )


def _table(root: Path) -> dict[str, Any]:
    found = json.loads((root / _TABLE).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError("it holds no table")
    return found


def _contrasts(root: Path) -> dict[str, tuple[str, ...]]:
    """The contrasts in the order of a file's volumes, each with its other names."""
    with readers.naming(root / _TABLE):
        table = _table(root).get("modality")
        if not isinstance(table, dict) or sorted(table) != sorted(map(str, range(len(table)))):
            raise ValueError('it must hold a table "modality" that names volumes "0", "1", ...')
        words = [str(table[str(i)]).lower() for i in range(len(table))]
        if not words or len(set(words)) < len(words):
            raise ValueError(f"its modalities are {words}, must be names that differ")
    first = {word: (name, *words) for name, words in TUMOUR_CONTRASTS.items() for word in words}
    return {first.get(word, (word,))[0]: (*first.get(word, ()), word) for word in words}


def _default(contrasts: dict[str, tuple[str, ...]]) -> str:
    return DEFAULT if DEFAULT in contrasts else next(iter(contrasts))


def _training(root: Path) -> list[tuple[Path, Path]]:
    """Image and labels of each training case."""
    with readers.naming(root / _TABLE):
        listed = _table(root).get("training", ())
        try:
            pairs = [(_there(root, one["image"]), _there(root, one["label"])) for one in listed]
        except (TypeError, KeyError) as error:
            raise ValueError('it must list "training" as pairs of "image" and "label"') from error
        inside = [pair for pair in pairs if not any(p.name.startswith(".") for p in pair)]
        if any(".." in p.parts for pair in inside for p in pair):
            raise ValueError("it names files outside the folder")
        return inside


def _there(root: Path, name: object) -> Path:
    """A listed file, which may have been unpacked since."""
    path = root / str(name)
    unpacked = path.with_suffix("")
    if path.suffix == ".gz" and unpacked.is_file() and not path.is_file():
        return unpacked
    return path
