"""The dataset ``dicom:DIR``: DICOM series, one a folder, as they come from an archive."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits, readers, slicing, split
from nriqm_bench.datasets.inventory import Case, Entry, Inventory, Scan
from nriqm_bench.datasets.source import Progress
from nriqm_bench.datasets.volume import Volume
from nriqm_bench.images import ImageSet

DEFAULT = "any"
_MAGIC = b"DICM"
_WHERE = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_ALIKE = ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient")
_TAGS = [
    *_WHERE,
    "Rows",
    "Columns",
    "PatientID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "SliceThickness",
]
# Distances between neighbouring slices may differ by this share of their median.
_EVEN = 0.1


def dicom(
    path: str | Path,
    n: int | None = None,
    seed: int = 0,
    *,
    part: str = "train",
    size: int | None = None,
    progress: Progress | None = None,
    contrast: str | None = None,
) -> ImageSet:
    """`n` axial slices of DICOM series, each in a folder of its own (needs pydicom).

    The files of a folder are sorted along the normal of their plane, rescaled by slope and
    intercept, inverted where they are MONOCHROME1 and turned as NIfTI files are. A series is
    clipped to its percentiles 1 and 99 and brought to [0, 1] as a whole; 4 slices of it are used,
    see `readers.axial`. Pixels are made square. There are no masks.

    - Subject: the patient's ID; where it is empty, the topmost folder that is no part and no site.
    - Site: a folder ``site-XX`` above the series, for all or for none.
    - Part: folders ``train``, ``val``, ``test`` as in `folder`; else thirds by a hash of subjects.

    Parameters
    ----------
    path
        The folder; series may lie at any depth.
    n
        How many images; None is all of the part. Fewer than there are: whole subjects in an order
        that `seed` decides, the last one cut.
    seed
        Of that order, and of the thirds.
    part
        ``train``, ``reference`` or ``held-out``. Of other series only one header is read.
    size
        Height and width of the result; None keeps them, and all must be alike.
    progress
        Shows the series as they are read.
    contrast
        Only series of this description (upper and lower case are the same); all by default.

    Raises
    ------
    ValueError
        In one sentence: pydicom is missing, no series, an unknown description, a series that is
        mixed, broken or incomplete, fewer than three subjects, or fewer than `n` images.
    """
    inventory = scan(path)
    name = inventory.contrast(contrast)
    return slicing.load(inventory, name, slicing.slices, n, seed, part, size, progress)


def read_series(
    path: str | Path, *, size: int | None = None, progress: Progress | None = None
) -> ImageSet:
    """Slices of every series below a folder, all parts together, in the order of the folders.

    Read as `dicom` does; the same errors, except those about parts.
    """
    return slicing.load_all(scan(path), DEFAULT, slicing.slices, size, progress)


def scan(path: str | Path) -> Inventory:
    """The series below a folder, by one header each.

    Raises
    ------
    ValueError
        When `path` is not a folder, or pydicom is missing.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise ValueError(
            "the dataset 'dicom' needs pydicom: pip install 'nriqm-bench[dicom]'"
        ) from error
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; check the path")
    cases = []
    for place in sorted({Path(folder) for folder, _, _ in os.walk(root)}):
        inside = place.relative_to(root)
        if any(p.startswith(".") for p in inside.parts):
            continue
        first = next((file for file in _candidates(place) if _is_dicom(file)), None)
        if first is None:
            continue
        patient, description = _who(first)
        told = [p for p in inside.parts if not _is_site(p) and split.part_of(p) is None]
        cases.append(
            Case(
                inside.as_posix(),
                patient or (told[0] if told else inside.as_posix()),
                dict.fromkeys((DEFAULT, description or "no description"), Scan(place)),
                next((p for p in inside.parts if _is_site(p)), None),
                split.part_of(inside.parts[0]) if inside.parts else None,
            )
        )
    contrasts: dict[str, tuple[str, ...]] = {DEFAULT: ()}
    contrasts |= {name: () for case in cases for name in case.scans}
    return Inventory(root, cases, contrasts, DEFAULT, open=open_series)


def open_series(entry: Entry) -> Volume:
    """The series in a folder, by the headers of all its files.

    Raises
    ------
    ValueError
        When the files are no single series of parallel, evenly spaced, grey slices.
    """
    heads = {file: _head(file) for file in _candidates(entry.path) if _is_dicom(file)}
    series = {str(head.get("SeriesInstanceUID", "")) for head in heads.values()}
    if len(series) > 1:
        raise ValueError(
            f"it holds {len(series)} series in {len(heads)} files; put each into a folder of its "
            "own"
        )
    first_file, first = next(iter(heads.items()))
    for file, head in heads.items():
        _check_slice(file.name, head)
        for word in _ALIKE:
            if not np.allclose(np.array(head[word].value), np.array(first[word].value), atol=1e-3):
                raise ValueError(
                    f"{word} is {_told(head[word].value)} in {file.name} but "
                    f"{_told(first[word].value)} in {first_file.name}, must be one for the series "
                    "(a localiser shows several planes; leave it out)"
                )
    across, down = np.array(first.ImageOrientationPatient, np.float64).reshape(2, 3)
    normal = np.cross(across, down)
    at = {file: np.array(h.ImagePositionPatient, np.float64) for file, h in heads.items()}
    files = sorted(heads, key=lambda file: float(at[file] @ normal))
    _check_even(np.array([at[file] @ normal for file in files]))
    step = normal * float(first.get("SliceThickness") or 1)
    if len(files) > 1:
        step = (at[files[-1]] - at[files[0]]) / (len(files) - 1)
    height, width = (float(s) for s in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3] = np.stack([across * width, down * height, step, at[files[0]]], axis=1)
    # DICOM counts towards left and back, NIfTI towards right and front.
    affine[:2] *= -1
    return Volume(_Pixels(files, int(first.Rows), int(first.Columns)), affine)


class _Pixels:
    """The pixels of sorted files as an array ``(columns, rows, slices)``; read when sliced."""

    def __init__(self, files: list[Path], rows: int, columns: int) -> None:
        self.files = files
        self.shape = (columns, rows, len(files))

    def __getitem__(self, where: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        planes = [_pixels(file) for file in self.files[where[2]]]
        return np.stack(planes, axis=-1)[where[:2]]


def _pixels(file: Path) -> NDArray[np.float32]:
    """``(columns, rows)``, bright where the patient's signal is high."""
    with readers.naming(Path(file.name)):
        found = limits.read_dicom(file)
        stored = found.pixel_array.T.astype(np.float32)
        values = stored * np.float32(found.get("RescaleSlope") or 1)
        values += np.float32(found.get("RescaleIntercept") or 0)
        # Which grey is black does not matter: the series is rescaled afterwards.
        inverted = found.PhotometricInterpretation == "MONOCHROME1"
        grey: NDArray[np.float32] = -values if inverted else values
        return grey


def _check_slice(name: str, head: Any) -> None:
    if int(head.get("NumberOfFrames") or 1) > 1:
        raise ValueError(
            f"{name} holds {head.NumberOfFrames} frames (enhanced DICOM), must be one slice a "
            "file; convert it to NIfTI and use folder:DIR"
        )
    if lost := [word for word in _WHERE if not head.get(word)]:
        raise ValueError(f"{name} does not tell {', '.join(lost)}, so that its place is unknown")
    if not str(head.get("PhotometricInterpretation")).startswith("MONOCHROME"):
        raise ValueError(
            f"{name} is {head.get('PhotometricInterpretation')}, must be MONOCHROME1 or MONOCHROME2"
        )


def _check_even(along: NDArray[np.float64]) -> None:
    gaps = np.diff(along)
    if not len(gaps):
        return
    usual = float(np.median(gaps))
    if gaps.min() < 0.01 * max(usual, 0.01):
        raise ValueError(
            "several of its slices lie at one place (time points or echoes); put each volume into "
            "a folder of its own"
        )
    if np.ptp(gaps) > _EVEN * usual:
        raise ValueError(
            f"its slices lie {gaps.min():.3g} to {gaps.max():.3g} mm apart, must be evenly spaced: "
            "a slice is missing or foreign"
        )


def _who(file: Path) -> tuple[str, str]:
    """Patient and description of a series, in so far as its first file can be read."""
    try:
        head = _head(file)
    except ValueError:
        # open_series() says in one sentence what is wrong with the file.
        return "", ""
    description = " ".join(str(head.get("SeriesDescription") or "").lower().split())
    return str(head.get("PatientID") or "").strip(), description


def _head(file: Path) -> Any:
    with readers.naming(Path(file.name)):
        found = limits.read_dicom(file, stop_before_pixels=True, specific_tags=_TAGS)
        if "Rows" not in found or "Columns" not in found:
            raise ValueError("it holds no image")
        return found


def _candidates(place: Path) -> list[Path]:
    return sorted(p for p in place.iterdir() if p.is_file() and not p.name.startswith("."))


def _is_dicom(file: Path) -> bool:
    if file.name.upper() == "DICOMDIR":
        return False
    with file.open("rb") as stream:
        return stream.read(132)[128:] == _MAGIC or file.suffix.lower() == ".dcm"


def _is_site(name: str) -> bool:
    return name.lower().startswith("site-")


def _told(value: Any) -> str:
    return " ".join(f"{float(v):.4g}" for v in np.ravel(np.array(value, np.float64)))
