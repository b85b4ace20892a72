"""`ImageSet`: the one form in which images travel between rooms, validated when it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Rounding in float32 resampling overshoots [0, 1] by about this much; more than this is an error.
_ROUNDING = 1e-5


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one kind with what is known about them.

    Parameters
    ----------
    images
        ``(n, channels, *spatial)`` floating point in [0, 1]; kept as float32. ``spatial`` is
        (height, width) or (depth, height, width).
    masks
        ``(n, *spatial)`` integer labels, 0 = background; kept as uint8. Optional.
    subjects
        ``(n,)`` one identifier an image: images of one subject never part in a split. Optional.
    sites
        ``(n,)`` the site or scanner of each image. Optional.
    spacing
        Millimetres per voxel along each spatial axis. Optional.

    Raises
    ------
    ValueError
        Naming the argument, what it was and what it must be.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.uint8] | None = None
    subjects: NDArray[np.str_] | None = None
    sites: NDArray[np.str_] | None = None
    spacing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        images = _images(self.images)
        object.__setattr__(self, "images", images)
        if self.masks is not None:
            object.__setattr__(self, "masks", _masks(self.masks, images))
        for name in ("subjects", "sites"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, _labels(name, value, len(images)))
        if self.spacing is not None:
            object.__setattr__(self, "spacing", _spacing(self.spacing, images.ndim - 2))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | Sequence[int] | NDArray[Any]) -> ImageSet:
        """The images at `index` (a slice, integer positions or a boolean array), as an ImageSet."""
        if not isinstance(index, slice):
            index = np.asarray(index)
            if index.ndim != 1:
                raise IndexError("an ImageSet is indexed by a slice or a 1-D array of positions")
        return self.replace(
            **{
                f.name: value[index]
                for f in fields(self)
                if f.name != "spacing" and (value := getattr(self, f.name)) is not None
            }
        )

    @property
    def channels(self) -> int:
        """The number of channels."""
        return int(self.images.shape[1])

    @property
    def spatial(self) -> tuple[int, ...]:
        """The spatial shape, (height, width) or (depth, height, width)."""
        return tuple(int(s) for s in self.images.shape[2:])

    def replace(self, **changes: Any) -> ImageSet:
        """A copy with some fields changed, validated again."""
        return replace(self, **changes)

    def fingerprint(self) -> str:
        """The sha256 of the content: equal for equal sets on any machine."""
        digest = hashlib.sha256()
        for f in fields(self):
            value = getattr(self, f.name)
            digest.update(f"{f.name}:".encode())
            if isinstance(value, np.ndarray) and value.dtype.kind == "U":
                digest.update("\0".join(value.tolist()).encode())
            elif isinstance(value, np.ndarray):
                digest.update(f"{value.dtype}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).data)
            else:
                digest.update(repr(value).encode())
        return digest.hexdigest()


def concatenate(*sets: ImageSet) -> ImageSet:
    """All images of `sets` in order; a field survives when every set has it.

    `spacing` survives when it is the same in every set.

    Raises
    ------
    ValueError
        When there is no set, or their images differ in channels or size.
    """
    if not sets:
        raise ValueError("concatenate() was given no ImageSet, must be given at least one")
    first = sets[0]
    for other in sets[1:]:
        if other.images.shape[1:] != first.images.shape[1:]:
            raise ValueError(
                f"images of shape {other.images.shape[1:]} cannot join images of shape "
                f"{first.images.shape[1:]}; bring both to one size first"
            )
    joined: dict[str, Any] = {}
    for f in fields(first):
        values = [getattr(s, f.name) for s in sets]
        if f.name == "spacing":
            joined["spacing"] = values[0] if all(v == values[0] for v in values) else None
        elif all(v is not None for v in values):
            joined[f.name] = np.concatenate(values)
    return ImageSet(**joined)


def as_image_set(images: ImageSet | ArrayLike) -> ImageSet:
    """`images` itself when it is an `ImageSet`, else one made of the array."""
    return images if isinstance(images, ImageSet) else ImageSet(images)  # type: ignore[arg-type]


def _images(value: Any) -> NDArray[np.float32]:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        raise ValueError(
            f"images had dtype {array.dtype}, must be floating point in [0, 1] "
            "(integers: divide by their full scale, 8-bit images by 255)"
        )
    if array.ndim not in (4, 5) or 0 in array.shape:
        raise ValueError(
            f"images had shape {array.shape}, must be (n, channels, height, width) or "
            "(n, channels, depth, height, width) with nothing empty; "
            "add a missing channel axis with images[:, None]"
        )
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):
        bad = int(np.count_nonzero(~np.isfinite(array).reshape(len(array), -1).all(1)))
        raise ValueError(f"images held NaN or infinity in {bad} of {len(array)}, must be finite")
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise ValueError(
            f"images ranged over [{low:.4g}, {high:.4g}], must be in [0, 1]; rescale them first"
        )
    array = array.astype(np.float32, copy=False)
    return array if low >= 0 and high <= 1 else np.clip(array, 0, 1)


def _masks(value: Any, images: NDArray[np.float32]) -> NDArray[np.uint8]:
    masks = np.asarray(value)
    expected = (len(images), *images.shape[2:])
    if masks.shape != expected:
        raise ValueError(f"masks had shape {masks.shape}, must be {expected} to fit the images")
    if masks.dtype.kind not in "biu":
        raise ValueError(f"masks had dtype {masks.dtype}, must be integer labels")
    if masks.dtype != np.uint8 and (masks.min() < 0 or masks.max() > 255):
        raise ValueError(
            f"masks held labels {masks.min()} to {masks.max()}, must be within 0 to 255"
        )
    return masks.astype(np.uint8, copy=False)


def _labels(name: str, value: Any, n: int) -> NDArray[np.str_]:
    labels = np.asarray(value)
    if labels.shape != (n,):
        raise ValueError(f"{name} had shape {labels.shape}, must be ({n},): one for each image")
    return labels.astype(np.str_)


def _spacing(value: Any, axes: int) -> tuple[float, ...]:
    try:
        spacing = tuple(float(s) for s in value)
    except (TypeError, ValueError):
        spacing = ()
    if len(spacing) != axes or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise ValueError(
            f"spacing was {value!r}, must be {axes} positive numbers "
            "(millimetres per voxel along each spatial axis)"
        )
    return spacing
