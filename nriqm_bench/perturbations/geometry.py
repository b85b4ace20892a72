"""Geometry: elastic deformation and translation; anatomy and masks move, the noise does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.perturbation import perturbation

# Control points of `elastic` along the longest axis.
CONTROLS = 6

# Side of the windows in which `structure_of` looks, in pixels, and how far above the noise
# a coefficient must be to count as such. Of white noise .7 % (of its energy) passes 3.5 SD.
_WINDOW = 16
_THRESHOLD = 3.5


@perturbation("elastic", unit="px", range=(0.0, 8.0))
def elastic(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """A smooth random deformation of `level` pixels RMS; masks move along, noise stays in place.

    Cubic B-splines on control points a sixth of the longest axis apart, with offsets drawn from a
    normal distribution for each image (the random grid of MONAI's `Rand2DElastic`, the same in
    2-D and 3-D); scaled so that the root of the mean square length of the displacement over the
    image is `level` pixels. MONAI samples linearly, which smooths noise by an amount that metrics
    see before they see any deformation; here `warp` does it. Masks take the nearest label. Beyond
    a third of the distance of the control points (7 of 128 pixels) the field may fold in places.

    Source: Rueckert et al. 1999, IEEE Transactions on Medical Imaging 18, 712-721.
    """
    out = np.empty_like(images.images)
    masks = None if images.masks is None else np.empty_like(images.masks)
    for i, image in enumerate(images.images):
        displacement = level * elastic_field(images.spatial, rng)
        for c, channel in enumerate(image):
            out[i, c] = warp(channel, displacement)
        if masks is not None and images.masks is not None:
            masks[i] = warp_labels(images.masks[i], displacement)
    return images.replace(images=np.clip(out, 0, 1, out=out), masks=masks)


@perturbation("translation", unit="px", range=(0.0, 64.0))
def translation(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Every image is shifted by `level` whole pixels, masks with it.

    The direction, up, down, left or right within the slices, is drawn for each image. Pixel
    values are moved and not interpolated. What comes in at the edge is the image mirrored there:
    background with its own noise where the anatomy keeps clear of the edge.

    Raises
    ------
    ValueError
        For a part of a pixel: interpolation would smooth the noise, and metrics would see that.
    """
    if level != round(level):
        raise ValueError(f"the level of translation was {level:g}, must be a whole number of px")
    axes = rng.integers(-2, 0, len(images))
    steps = round(level) * np.where(rng.random(len(images)) < 0.5, -1, 1)
    out = np.empty_like(images.images)
    masks = None if images.masks is None else np.empty_like(images.masks)
    for i, (axis, step) in enumerate(zip(axes.tolist(), steps.tolist(), strict=True)):
        source = _mirrored(np.arange(images.spatial[axis]) - step, images.spatial[axis])
        out[i] = images.images[i].take(source, axis=axis)
        if masks is not None and images.masks is not None:
            masks[i] = images.masks[i].take(source, axis=axis)
    return images.replace(images=out, masks=masks)


def elastic_field(spatial: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """``(axes, *spatial)`` displacements of RMS length 1 px; see `elastic`."""
    spacing = max(spatial) / CONTROLS
    bases = [_spline_basis(size, spacing) for size in spatial]
    field = rng.standard_normal((len(spatial), *(basis.shape[1] for basis in bases)))
    for basis in bases:
        # Each pass turns the foremost axis of control points into pixels and puts it last.
        field = np.tensordot(field, basis, axes=(1, 1))
    return np.asarray(field / np.sqrt((field**2).sum(axis=0).mean()))


def rotation_field(spatial: tuple[int, ...], degrees: float) -> NDArray[np.float64]:
    """``(axes, *spatial)`` displacements that turn the slices around their centre."""
    angle = np.deg2rad(degrees)
    y, x = (np.arange(size) - (size - 1) / 2 for size in spatial[-2:])
    field = np.zeros((len(spatial), *spatial))
    field[-2] = (np.cos(angle) - 1) * y[:, None] - np.sin(angle) * x
    field[-1] = np.sin(angle) * y[:, None] + (np.cos(angle) - 1) * x
    return field


def warp(image: NDArray[np.float32], displacement: NDArray[Any]) -> NDArray[np.float32]:
    """``image(x + displacement(x))`` whose anatomy moves while the noise stays where it is.

    Interpolation smooths noise. So the image is split into structure and noise, the structure is
    sampled with cubic splines and the noise added as it was: its spectrum is unchanged.

    Parameters
    ----------
    image
        ``(*spatial)``, one channel.
    displacement
        ``(axes, *spatial)`` pixels. Beyond the edges the structure continues by its outermost
        value.

    Returns
    -------
    ``(*spatial)`` float32, which may leave [0, 1] by an overshoot of the splines.
    """
    structure = structure_of(image)
    grid = np.indices(image.shape, dtype=np.float32)
    moved = ndimage.map_coordinates(structure, grid + displacement, order=3, mode="nearest")
    return np.asarray(moved + (image - structure), dtype=np.float32)


def warp_labels(mask: NDArray[np.uint8], displacement: NDArray[Any]) -> NDArray[np.uint8]:
    """``mask(x + displacement(x))``, the nearest label."""
    where = []
    for axis, grid in enumerate(np.indices(mask.shape)):
        place = np.rint(grid + displacement[axis]).astype(np.intp)
        where.append(place.clip(0, mask.shape[axis] - 1))
    return np.asarray(mask[tuple(where)])


def structure_of(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The structure of an image: what is left when noise is taken off, edges kept.

    In half overlapping windows of 16 pixels a side, every coefficient of the discrete cosine
    transform but the mean that is within 3.5 SD of the noise is set to 0; the windows are blended
    by a raised cosine. A coefficient is structure or noise as a whole, so the two parts of white
    noise (all but nothing, and all) are uncorrelated, and moving one leaves the sum's power as it
    was. A linear smoother would not do: where it passes half, moving that half loses power.
    Windows suit whole images that move far; the crops in which `warp` works are smaller than some.

    The SD of the noise is estimated from the highest frequencies of the windows brighter than the
    mean (the median of their size over .6745), since the background of magnitude images has less
    noise than tissue, or none. Noise that an earlier interpolation has smoothed is underestimated,
    and partly counts as structure.

    Source: Yu and Sapiro 2011, Image Processing On Line 1 (DCT denoising); the median: Donoho and
    Johnstone 1994, Biometrika 81, 425-455.
    """
    axes = tuple(range(-image.ndim, 0))
    window = tuple(min(_WINDOW, size) for size in image.shape)
    starts = [_starts(size, side) for size, side in zip(image.shape, window, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(image, window)[np.ix_(*starts)]
    space = fft.dctn(views, axes=axes, norm="ortho")
    means: tuple[Any, ...] = (..., *(0,) * image.ndim)
    upper: tuple[Any, ...] = (..., *(slice(side // 2, None) for side in window))
    bright = space[means] >= space[means].mean()
    highest = np.abs(space[bright][upper])
    # Windows of one value say nothing about the noise.
    highest = highest[highest > 1e-6]
    noise = float(np.median(highest)) / 0.6745 if highest.size else 0.0
    little = np.abs(space) < _THRESHOLD * noise
    little[means] = False
    space[little] = 0
    parts = fft.idctn(space, axes=axes, norm="ortho", overwrite_x=True)
    weight = np.ones(window, dtype=np.float32)
    for axis, side in zip(axes, window, strict=True):
        taper = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
        weight *= taper.reshape(taper.shape + (1,) * (-axis - 1)).astype(np.float32)
    parts *= weight
    total = np.zeros(image.shape, dtype=np.float32)
    weights = np.zeros(image.shape, dtype=np.float32)
    for index in np.ndindex(*(len(s) for s in starts)):
        place = tuple(
            slice(s[i], s[i] + side) for s, i, side in zip(starts, index, window, strict=True)
        )
        total[place] += parts[index]
        weights[place] += weight
    return total / weights


def _starts(size: int, side: int) -> NDArray[np.intp]:
    """Where half overlapping windows begin, the last one at the edge."""
    return np.unique(np.append(np.arange(0, size - side + 1, max(side // 2, 1)), size - side))


def _spline_basis(size: int, spacing: float) -> NDArray[np.float64]:
    """``(size, controls)`` weights of the cubic B-splines that reach an axis."""
    place = np.arange(size)[:, None] / spacing
    controls = np.arange(-1, int(place[-1, 0]) + 3)
    distance = np.abs(place - controls)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.asarray(np.where(distance < 1, near, far))


def _mirrored(places: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Places beyond the ends of an axis, reflected into it as often as it takes."""
    places = places % (2 * size)
    return np.where(places < size, places, 2 * size - 1 - places)
