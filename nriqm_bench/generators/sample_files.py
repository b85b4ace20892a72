"""One sample in one file: PNG, .npy, NIfTI or DICOM as an array with its channels first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits
from nriqm_bench.generators.errors import GeneratorError, brief

NIFTI = (".nii.gz", ".nii")
DICOM = ".dcm"
_ENDINGS = (*NIFTI, ".png", ".npy", DICOM)
# More channels than this along an axis, and it is one of space.
_CHANNELS = 4
_MAGIC_AT = 128
_MAGIC = b"DICM"
_HEAD = [
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "NumberOfFrames",
]


def ending(path: Path) -> str:
    """The ending of a file that can be read, ``""`` for any other; DICOM needs none."""
    name = path.name.lower()
    if found := next((e for e in _ENDINGS if name.endswith(e)), ""):
        return found
    if name == "dicomdir" or path.suffix:
        return ""
    try:
        with path.open("rb") as file:
            return DICOM if file.read(_MAGIC_AT + 4)[_MAGIC_AT:] == _MAGIC else ""
    except OSError:
        return ""


def stem(path: Path) -> str:
    """The name without its ending."""
    name = path.name.lower()
    found = next((e for e in _ENDINGS if name.endswith(e)), "")
    return path.name[: len(path.name) - len(found)]


def is_volume(path: Path) -> bool:
    """Whether a NIfTI file holds more than one slice.

    Raises
    ------
    GeneratorError
        When it cannot be read.
    """
    import nibabel

    try:
        limits.check_nifti(path)
        shape = nibabel.load(path).shape
    except Exception as error:
        raise _unreadable(path, error) from error
    return len([s for s in shape if s > _CHANNELS]) >= 3


def is_series(files: list[Path]) -> bool:
    """Whether among DICOM files there are several slices of one series, at different places.

    Raises
    ------
    GeneratorError
        When pydicom is missing, or a file cannot be read.
    """
    places: dict[tuple[Path, str], set[tuple[float, ...]]] = {}
    for file in files:
        head = _dicom(file, headers_only=True)
        series, at = str(head.get("SeriesInstanceUID") or ""), head.get("ImagePositionPatient")
        if series and at:
            where = places.setdefault((file.parent, series), set())
            where.add(tuple(round(float(v), 3) for v in at))
            if len(where) > 1:
                return True
    return False


def read(path: Path) -> NDArray[Any]:
    """An image as ``(channels, *spatial)``; the values are those of the file.

    NIfTI is turned as the dataset ``folder:`` turns it, rows from front to back. The grey values of
    DICOM are brought to [0, 1]: by the window that the file declares, else by the bits it stores.

    Raises
    ------
    GeneratorError
        Naming the file, when it is damaged or holds something else.
    """
    return _read(path, labels=False)


def read_labels(path: Path) -> NDArray[Any]:
    """A mask as ``(*spatial)``: the numbers of the file, of a palette or of the stored pixels.

    Raises
    ------
    GeneratorError
        Naming the file, when it is damaged or holds something else.
    """
    found = _read(path, labels=True)
    if len(found) != 1:
        raise GeneratorError(
            f"{path} is a mask with {len(found)} channels, must have one integer label a pixel"
        )
    mask: NDArray[Any] = found[0]
    return mask


def _read(path: Path, *, labels: bool) -> NDArray[Any]:
    kind = ending(path)
    try:
        if kind == ".npy":
            array = limits.load_npy(path)
        elif kind == ".png":
            array = _png(path, labels=labels)
        elif kind == DICOM:
            array = _pixels(path, labels=labels)
        else:
            array = _nifti(path)
    except GeneratorError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error
    grey = array.ndim == 2 or (array.ndim == 3 and array.shape[0] > _CHANNELS)
    image: NDArray[Any] = array[None] if grey else array
    return image


def _png(path: Path, *, labels: bool) -> NDArray[Any]:
    with limits.open_png(path) as picture:
        if picture.mode == "P" and not labels:
            return np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)
        array = np.asarray(picture)
    if array.ndim == 3:
        # Transparency is the last of two or four channels.
        return np.moveaxis(array[..., : 1 if array.shape[-1] < 3 else 3], -1, 0)
    return array


def _nifti(path: Path) -> NDArray[Any]:
    """``(channels, height, width)``: two axes of space and perhaps one of channels."""
    import nibabel

    from nriqm_bench.datasets.volume import Volume

    limits.check_nifti(path)
    image = nibabel.load(path)
    array = np.asanyarray(image.dataobj)
    planes = array.reshape(*array.shape[:2], -1)
    if array.ndim < 2 or planes.shape[-1] > _CHANNELS or 1 in array.shape[:2]:
        raise ValueError(f"it has shape {array.shape}, must be one slice of up to 4 channels")
    return np.concatenate(
        [Volume(planes[..., c : c + 1], image.affine).read() for c in range(planes.shape[-1])]
    )


def _dicom(path: Path, *, headers_only: bool) -> Any:
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise GeneratorError(
            f"{path} is a DICOM file, which needs pydicom: pip install 'nriqm-bench[dicom]'"
        ) from error
    try:
        if headers_only:
            return limits.read_dicom(path, stop_before_pixels=True, specific_tags=_HEAD)
        return limits.read_dicom(path)
    except Exception as error:
        raise _unreadable(path, error) from error


def _pixels(path: Path, *, labels: bool) -> NDArray[Any]:
    found = _dicom(path, headers_only=False)
    if int(found.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"it holds {found.NumberOfFrames} frames, must be one image a file")
    grey = str(found.get("PhotometricInterpretation"))
    if not grey.startswith("MONOCHROME"):
        raise ValueError(f"it is {grey}, must be MONOCHROME1 or MONOCHROME2")
    stored = found.pixel_array
    if labels:
        return np.asarray(stored)
    values = stored.astype(np.float64)
    width, centre = _first(found.get("WindowWidth")), _first(found.get("WindowCenter"))
    if width and centre is not None:
        slope, intercept = found.get("RescaleSlope"), found.get("RescaleIntercept")
        values = values * float(1 if slope is None else slope) + float(intercept or 0)
        values = np.clip((values - centre) / width + 0.5, 0, 1)
    elif int(found.PixelRepresentation):
        raise ValueError(
            "it stores signed numbers and declares no window, so that black and white are "
            "unknown; write WindowCenter and WindowWidth, or save the samples as .npz"
        )
    else:
        values = values / (2 ** int(found.BitsStored) - 1)
    image: NDArray[Any] = 1 - values if grey == "MONOCHROME1" else values
    return image.astype(np.float32)


def _first(value: Any) -> float | None:
    """The first of one or several windows."""
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)


def _unreadable(path: Path, error: Exception) -> GeneratorError:
    if "allow_pickle" in str(error):
        return GeneratorError(
            f"{path} holds Python objects, which only exist by running code from the file, and "
            "is refused; save plain numbers"
        )
    return GeneratorError(
        f"{path} could not be read as an image ({brief(error)}); save it again or remove it"
    )
