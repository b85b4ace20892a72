"""Image files as arrays: NIfTI in one orientation, PNG as grey, NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits, npz, volume

ENDINGS = (".nii.gz", ".nii", ".png", ".npy", ".npz")
# How many axial slices of a volume are used.
SLICES = 4
# A voxel is foreground when it is brighter than this share of the range of a rescaled volume.
_FOREGROUND = 0.1
# Luminance of red, green and blue (ITU-R BT.601).
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


class Stack(NamedTuple):
    """What one file holds.

    `values` are ``(slices, height, width)``, float32; `masks`, when the file itself holds them,
    are uint8 labels of that shape; `spacing` is millimetres per pixel (height, width), where the
    file tells. `volume`: the slices are those of one volume, to choose from. `unit`: the values
    are in [0, 1] already and stay as they are.
    """

    values: NDArray[np.float32]
    masks: NDArray[np.uint8] | None = None
    spacing: tuple[float, float] | None = None
    volume: bool = False
    unit: bool = False


def ending(path: Path) -> str:
    """The ending of a file that can be read, ``""`` for any other file."""
    name = path.name.lower()
    return next((e for e in ENDINGS if name.endswith(e)), "")


def stem(path: Path) -> str:
    """The name without its ending."""
    return path.name[: len(path.name) - len(ending(path))]


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong inside into a `ValueError` of one sentence that names the file."""
    try:
        yield
    except Exception as error:
        told = str(error) or "it ends too early"
        if "allow_pickle" in told or "Object arrays" in told:
            told = "it holds Python objects and is refused; save plain numbers"
        raise ValueError(f"{path} cannot be used: {' '.join(told.split())}") from error


def read(path: Path) -> Stack:
    """The images of a file.

    NIfTI is turned to the closest anatomical axes: rows run from front to back, columns from left
    to right, slices from below upwards; slope and intercept count, and of four and more dimensions
    the first volume is read. Colour becomes luminance; alpha is ignored. An .npy holds one image
    ``(height, width)`` or a stack ``(n, height, width)``, an .npz what `nriqm_bench.datasets.npz`
    reads, grey and 2-D.

    Raises
    ------
    ValueError
        Naming the file, when it is damaged or holds something else.
    """
    with naming(path):
        match ending(path):
            case ".nii.gz" | ".nii":
                found = volume.from_nifti(path)
                values = found.read().astype(np.float32, copy=False)
                return Stack(values, spacing=found.spacing[1:], volume=True)
            case ".png":
                return Stack(_grey(_png(path)))
            case ".npy":
                return Stack(_numbers(_planes(limits.load_npy(path))))
            case _:
                return _archive(path)


def read_labels(path: Path) -> NDArray[np.uint8]:
    """The labels of a mask file, ``(slices, height, width)``, in step with `read`.

    Raises
    ------
    ValueError
        Naming the file, when it is damaged or holds other than integers from 0 to 255.
    """
    with naming(path):
        match ending(path):
            case ".nii.gz" | ".nii":
                return labels(volume.from_nifti(path).read())
            case ".png":
                return labels(_planes(_png(path, palette=True)))
            case ".npy":
                return labels(_planes(limits.load_npy(path)))
            case _:
                raise ValueError("masks of their own file must be NIfTI, PNG or .npy")


def axial(
    values: NDArray[np.float32],
    count: int = SLICES,
    lesion: NDArray[np.uint8] | None = None,
) -> NDArray[np.intp]:
    """Which slices of a volume ``(slices, height, width)`` in [0, 1] to use, in rising order.

    Candidates are the slices with at least half as much foreground as the one with the most
    (voxels above a tenth of the range); of them `count`, evenly spaced, or all when fewer.

    With `lesion` (labels, 0 is background) at least half of the chosen show one, where there are
    as many such slices: those with at least a tenth of the lesion's largest area in any slice.
    When evenly spaced candidates do not, half are evenly spaced among the candidates that show it
    (among all slices that do, when no candidate does) and half among the others.
    """
    area = (values > _FOREGROUND).sum(axis=(1, 2))
    candidates = np.flatnonzero(2 * area >= area.max())
    chosen = _evenly(candidates, count)
    if lesion is None or not lesion.any():
        return chosen
    size = (lesion > 0).sum(axis=(1, 2))
    shows = 10 * size >= size.max()
    if 2 * shows[chosen].sum() >= len(chosen):
        return chosen
    showing = candidates[shows[candidates]]
    if not len(showing):
        showing = np.flatnonzero(shows)
    of_lesion = _evenly(showing, (count + 1) // 2)
    others = np.setdiff1d(candidates, showing)
    return np.sort(np.concatenate([of_lesion, _evenly(others, count - len(of_lesion))]))


def _evenly(slices: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """The middles of `count` stretches of equal length; all when there are fewer."""
    count = min(count, len(slices))
    return slices[((np.arange(count) + 0.5) * len(slices) / max(count, 1)).astype(np.intp)]


def _png(path: Path, *, palette: bool = False) -> NDArray[Any]:
    """The pixels; for masks (`palette`) the numbers of the palette instead of its colours."""
    with limits.open_png(path) as picture:
        if picture.mode == "P" and not palette:
            return np.asarray(picture.convert("RGB"))
        return np.asarray(picture)


def _grey(pixels: NDArray[Any]) -> NDArray[np.float32]:
    if pixels.ndim == 2:
        return pixels[None].astype(np.float32)
    if pixels.shape[-1] < 3:
        return pixels[None, ..., 0].astype(np.float32)
    return (pixels[..., :3].astype(np.float32) @ _LUMINANCE)[None]


def _planes(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(
            f"it has shape {array.shape}, must be (height, width) or (n, height, width)"
        )
    return array


def _numbers(array: NDArray[Any]) -> NDArray[np.float32]:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"it has dtype {array.dtype}, must be real numbers")
    return array.astype(np.float32)


def labels(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Labels as uint8; `ValueError` for other than whole numbers from 0 to 255."""
    whole = array.astype(np.uint8) if array.dtype.kind in "biu" else np.rint(array)
    if not np.array_equal(whole, array) or array.min() < 0 or array.max() > 255:
        raise ValueError("a mask must hold whole numbers from 0 to 255, 0 being background")
    return whole.astype(np.uint8)


def _archive(path: Path) -> Stack:
    found = npz.read(path)
    if found.channels != 1 or len(found.spatial) != 2:
        raise ValueError(
            f"its images have shape {found.images.shape}, must be (n, height, width) or "
            "(n, 1, height, width)"
        )
    spacing = found.spacing
    return Stack(
        found.images[:, 0],
        masks=found.masks,
        spacing=None if spacing is None else (spacing[0], spacing[1]),
        unit=True,
    )
