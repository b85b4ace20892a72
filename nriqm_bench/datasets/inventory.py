"""`Inventory`: the cases that a folder of volumes holds, known before any volume is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from nriqm_bench.datasets.volume import Volume, from_nifti

# The four contrasts of brain tumour data, each with the names that releases give it.
TUMOUR_CONTRASTS = {
    "flair": ("flair", "t2f", "t2-flair"),
    "t1": ("t1", "t1n", "t1w"),
    "t1ce": ("t1ce", "t1c", "t1gd"),
    "t2": ("t2", "t2w"),
}


class Scan(NamedTuple):
    """Where one contrast of a case is: a file (or a folder of DICOM files), and which volume in it.

    `mask` is the file of its labels, where there is one.
    """

    path: Path
    number: int = 0
    mask: Path | None = None


@dataclass(frozen=True)
class Case:
    """One examination: its scans by contrast, and whom it shows where."""

    name: str
    subject: str
    scans: dict[str, Scan]
    site: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class Entry:
    """One volume to be read, with what is known about it."""

    path: Path
    number: int
    mask: Path | None
    subject: str
    site: str | None
    part: str | None


def by_header(entry: Entry) -> Volume:
    """The volume of an entry in a NIfTI file."""
    return from_nifti(entry.path, entry.number)


@dataclass(frozen=True)
class Inventory:
    """What was found in `root`.

    Parameters
    ----------
    root
        The folder.
    cases
        In the order of their names.
    contrasts
        Those that may be asked for, each with its other names.
    default
        The contrast that is used when none is asked for.
    notes
        What is not as a release has it: one sentence a file.
    open
        The header of an entry's volume.
    """

    root: Path
    cases: Sequence[Case]
    contrasts: dict[str, tuple[str, ...]]
    default: str
    notes: tuple[str, ...] = ()
    open: Callable[[Entry], Volume] = field(default=by_header)

    def contrast(self, asked: str | None = None) -> str:
        """The contrast that was asked for, by its first name.

        Raises
        ------
        ValueError
            Naming the valid ones.
        """
        if asked is None:
            return self.default
        for name, others in self.contrasts.items():
            if asked.lower() in (name, *others):
                return name
        raise ValueError(
            f"the contrast was {asked!r}, must be one of {', '.join(self.contrasts)} for "
            f"{self.root.name}: write ?contrast=NAME after the folder"
        )

    def count(self, contrast: str) -> int:
        """How many cases have a contrast."""
        return sum(contrast in case.scans for case in self.cases)

    def entries(self, contrast: str) -> list[Entry]:
        """The volumes of one contrast that are used, in the order of the cases.

        A case without the contrast is left out, and one without a mask when others have one.
        Sites are told for all or for none.

        Raises
        ------
        ValueError
            When no case has the contrast, or parts are named for some cases only.
        """
        if not self.cases:
            raise ValueError(f"{self.root.name} holds no case; see data/README.md for the layout")
        having = [case for case in self.cases if contrast in case.scans]
        if not having:
            others = ", ".join(f"{c} ({self.count(c)})" for c in self.contrasts if self.count(c))
            raise ValueError(
                f"{self.root.name} holds no {contrast} volume; choose another contrast by "
                f"?contrast=NAME: {others}"
            )
        if any(case.scans[contrast].mask for case in having):
            having = [case for case in having if case.scans[contrast].mask]
        lost = [case.name for case in having if case.part is None]
        if 0 < len(lost) < len(having):
            raise ValueError(
                f"parts are told for {len(having) - len(lost)} of {len(having)} cases, must be for "
                f"all or none; {lost[0]} is the first without"
            )
        if any(case.site is None for case in having):
            having = [replace(case, site=None) for case in having]
        return [Entry(*case.scans[contrast], case.subject, case.site, case.part) for case in having]

    def left_out(self, contrast: str) -> list[str]:
        """One phrase for each case that is not used, and why."""
        having = [case for case in self.cases if contrast in case.scans]
        masked = any(case.scans[contrast].mask for case in having)
        told = [f"{c.name}: no {contrast}" for c in self.cases if contrast not in c.scans]
        if masked:
            told += [f"{c.name}: no mask" for c in having if c.scans[contrast].mask is None]
        return told

    def files(self, contrast: str) -> list[Path]:
        """Every file that counts for one contrast: those of its scans and masks."""
        entries = self.entries(contrast)
        found = {path for e in entries for path in (e.path, e.mask) if path is not None}
        return sorted(found)


def walk(root: Path) -> list[Path]:
    """The NIfTI files below a folder, relative to it and sorted; hidden ones are passed over.

    Raises
    ------
    ValueError
        When it is not a folder.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; check the path")
    found = (p.relative_to(root) for p in root.rglob("*.nii*"))
    return sorted(
        p
        for p in found
        if p.name.lower().endswith((".nii", ".nii.gz"))
        and not any(part.startswith(".") for part in p.parts)
        and (root / p).is_file()
    )
