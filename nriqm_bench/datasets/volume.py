"""`Volume`: voxels of a NIfTI file or a DICOM series, turned to one orientation when read."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels as ``(slices, height, width)``; nothing but the header is read until `read`.

    Slices run from below upwards, rows from front to back, columns from left to right, along the
    anatomical axes that are closest to the file's; nothing is resampled.

    Parameters
    ----------
    array
        What can be sliced along three axes (and those of `index`): an array, or a proxy of a file.
    affine
        ``(4, 4)``: from array indices to millimetres towards right, front and above (RAS+).
    index
        Which volume of a file of more than three dimensions.
    seekable
        Whether a slab costs no more than its own bytes; a compressed file is read from its start.

    Raises
    ------
    ValueError
        When the array is not 3-D or the affine tells no three directions.
    """

    array: Any
    affine: NDArray[np.float64]
    index: tuple[int, ...] = ()
    seekable: bool = True

    def __post_init__(self) -> None:
        shape = tuple(self.array.shape)
        if len(shape) != 3 + len(self.index) or 0 in shape:
            raise ValueError(f"it has shape {shape}, must be a volume of 3 dimensions")
        if not np.isfinite(self.affine).all() or np.isnan(self._turn).any():
            raise ValueError("its affine does not tell three directions, so that up is unknown")

    @cached_property
    def _turn(self) -> NDArray[np.float64]:
        """For each axis of the array, the RAS axis it lies along and its sign."""
        from nibabel.orientations import io_orientation

        found: NDArray[np.float64] = io_orientation(self.affine)
        return found

    @property
    def _order(self) -> list[int]:
        """The array's axes in the order right, front, above."""
        return [int(axis) for axis in np.argsort(self._turn[:, 0])]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, height, width)."""
        right, front, above = (int(self.array.shape[a]) for a in self._order)
        return above, front, right

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres per voxel along slices, height and width, to a ten-thousandth."""
        sizes = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        right, front, above = (round(float(sizes[a]), 4) for a in self._order)
        return above, front, right

    @property
    def codes(self) -> str:
        """Towards where the array's own axes run, for instance ``LPS`` (left, back, above)."""
        return "".join(
            "RAS"[int(axis)] if sign > 0 else "LPI"[int(axis)] for axis, sign in self._turn
        )

    @property
    def corners(self) -> NDArray[np.float64]:
        """``(2, 3)``: where the lowest left back voxel and the one opposite to it lie, in mm."""
        last = np.array(self.array.shape[:3]) - 1
        low = np.where(self._turn[:, 1] > 0, 0, last)
        return np.stack([self.affine[:3, :3] @ at + self.affine[:3, 3] for at in (low, last - low)])

    def read(self, first: int = 0, last: int | None = None) -> NDArray[Any]:
        """The slices from `first` up to `last`, without it; all by default."""
        from nibabel.orientations import apply_orientation

        depth = self.shape[0]
        last = depth if last is None else last
        axis = self._order[2]
        stretch = slice(first, last)
        if self._turn[axis, 1] < 0:
            stretch = slice(depth - last, depth - first)
        where: list[Any] = [slice(None)] * 3
        where[axis] = stretch
        data = np.asarray(self.array[(*where, *self.index)])
        turned: NDArray[Any] = apply_orientation(data, self._turn).transpose(2, 1, 0)[:, ::-1]
        return np.ascontiguousarray(turned)


def from_nifti(path: Path, index: int = 0) -> Volume:
    """The volume in a NIfTI file, by its header; slope and intercept count when it is read.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file of two or more dimensions.
    index
        Which volume of a 4-D file; of further dimensions the first.

    Raises
    ------
    Exception
        Whatever nibabel raises for a damaged file; `readers.naming` makes a sentence of it.
    """
    import nibabel

    limits.check_nifti(path)
    image = nibabel.load(path)
    packed = path.suffix.lower() == ".gz"
    array = _Packed(path, type(image), image.shape) if packed else image.dataobj
    if len(image.shape) == 2:
        array = array[:, :][..., None]
    further = max(0, len(array.shape) - 3)
    place = (index, *[0] * (further - 1)) if further else ()
    if index >= (array.shape[3] if further else 1):
        raise ValueError(
            f"it holds {array.shape[3] if further else 1} volumes, but volume {index + 1} is wanted"
        )
    return Volume(array, image.affine, place, seekable=not packed)


@dataclass(frozen=True)
class _Packed:
    """The array of a .nii.gz file.

    It is unpacked whole: nibabel would stop before the checksum at the end, and damage in the
    middle often unpacks to other numbers without an error.
    """

    path: Path
    kind: Any
    shape: tuple[int, ...]

    def __getitem__(self, where: tuple[Any, ...]) -> NDArray[Any]:
        found = self.kind.from_bytes(limits.unpack(self.path))
        array: NDArray[Any] = found.dataobj[where]
        return array


def check_alike(image: Volume, mask: Volume) -> None:
    """Raise `ValueError` unless a mask has the voxels of its image.

    Equal array axes are taken at their word, whatever the origins say. A mask whose axes run
    otherwise must lie where the image lies to within a voxel: a mask that was saved without the
    image's affine would be mirrored unnoticed.
    """
    if image.shape != mask.shape:
        raise ValueError(
            f"it has shape {image.shape} (slices, height, width) but its mask "
            f"{mask.shape}, must be the same"
        )
    off = float(np.abs(image.corners - mask.corners).max())
    if image.codes != mask.codes and off > max(image.spacing):
        raise ValueError(
            f"its axes run {image.codes} but those of its mask {mask.codes}, and they lie "
            f"{off:.0f} mm apart; save the mask with the affine of the image"
        )


def check_whole(path: Path) -> None:
    """Raise `ValueError` when a NIfTI file is shorter than its header says, without reading it.

    A gzip file tells the length of its content in its last 4 bytes; only where that disagrees is
    it unpacked to be sure. Damage in the middle shows when the file is read.
    """
    import nibabel

    image = nibabel.load(path)
    wanted = int(image.dataobj.offset) + image.get_data_dtype().itemsize * int(
        np.prod(image.shape, dtype=np.int64)
    )
    found = path.stat().st_size
    if path.suffix.lower() == ".gz":
        with path.open("rb") as stream:
            stream.seek(-4, 2)
            found = struct.unpack("<I", stream.read(4))[0]
        if found == wanted % 2**32:
            return
        found = _unpacked(path)
    if found < wanted:
        raise ValueError(f"it ends too early: {found} bytes of {wanted}")


def _unpacked(path: Path) -> int:
    count = 0
    with gzip.open(path) as stream:
        while part := stream.read(1 << 20):
            count += len(part)
    return count
