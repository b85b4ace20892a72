"""Painting a region over with tissue of the same image, without seam or smear.

What a region would look like without its lesion is told by its surroundings and by the other side
of the body: texture and noise are copied from a donor of equal shape (mirrored left to right, or
shifted), and its brightness is bent to that of the surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from nriqm_bench.perturbations.warp import split

# Width, in voxels, of the transition from image to paint at the edge of the painted region.
FADE = 3.0
# Width of the ring around it by which a donor is judged and its brightness bent.
RING = 6
# SD, in voxels, over which the difference between ring and donor is averaged.
_SMOOTHING = 2.0
# Voxels that are looked at to judge a donor.
_LOOKED_AT = 300
# A mirror image is shifted by up to so many voxels to fit, along the last axis and the others.
_SHIFT = (10, 5)
# Donors that are not mirrored lie at most so many voxels apart.
_STEP = 4

Bools = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Indices = NDArray[np.intp]


class Donor(NamedTuple):
    """Where voxels are copied from: ``sign * voxel + offset``."""

    sign: Indices
    offset: Indices

    def of(self, voxels: Indices) -> Indices:
        """The sources of voxels ``(..., ndim)``."""
        return np.asarray(voxels * self.sign + self.offset, np.intp)


def inpaint(
    image: Float32,
    region: Bools,
    margin: int,
    rng: np.random.Generator,
    *,
    avoid: Bools | None = None,
    mirror: bool = True,
) -> None:
    """Paint over a region and the `margin` voxels around it, in place.

    Farther away every voxel keeps its value, bit for bit. Connected pieces are painted one by one.
    A region with nothing around it stays.

    Parameters
    ----------
    image
        ``(C, *S)`` in [0, 1]; the last axis runs from left to right.
    region
        ``(*S)``, what is painted over.
    margin
        At least `FADE`: within it the transition takes place.
    rng
        Draws noise where no donor is found.
    avoid
        ``(*S)``, what must not be in a donor besides the region. Optional.
    mirror
        Whether the other side of the body is looked at first.
    """
    holes = ndimage.distance_transform_edt(~region) <= margin
    avoid = holes if avoid is None else holes | avoid
    pieces, _ = ndimage.label(holes, np.ones((3,) * region.ndim))
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        grown = tuple(
            slice(max(0, s.start - RING), s.stop + RING) for s in box
        )
        hole = pieces[grown] == number
        ring = ndimage.distance_transform_edt(~hole) <= RING
        ring &= ~avoid[grown]
        if ring.any():
            _paint(image, grown, hole, ring, avoid, mirror, rng)


def _paint(
    image: Float32,
    box: tuple[slice, ...],
    hole: Bools,
    ring: Bools,
    avoid: Bools,
    mirror: bool,
    rng: np.random.Generator,
) -> None:
    part = image[(slice(None), *box)]
    at = np.moveaxis(np.indices(hole.shape), 0, -1) + [s.start for s in box]
    donor = _donor(image, at[hole], at[ring], avoid, mirror)
    share = np.clip(ndimage.distance_transform_edt(hole)[hole] / (FADE + 1), 0, 1)
    weight = share * share * (3 - 2 * share)
    spread = _Spread(hole, ring)
    source = None
    if donor is not None:
        source = np.clip(donor.of(at), 0, np.array(avoid.shape) - 1)
    for channel, target in zip(image, part, strict=True):
        anatomy, residual = split(target)
        if source is not None:
            paint, texture = split(channel[tuple(np.moveaxis(source, -1, 0))])
        else:
            paint, texture = np.zeros_like(anatomy), np.zeros_like(residual)
            texture[hole] = rng.choice(residual[ring], np.count_nonzero(hole))
        bent = paint[hole] + spread(anatomy - paint)
        # Two noises add up to one of the same variance when the squares of their weights add to 1.
        target[hole] = np.clip(
            (1 - weight) * anatomy[hole]
            + weight * bent
            + np.sqrt(1 - weight) * residual[hole]
            + np.sqrt(weight) * texture[hole],
            0,
            1,
        )


class _Spread:
    """Values on a ring continued smoothly into the hole, by weights that fall with distance.

    Voxels of the ring are averaged over `_SMOOTHING`, then weighted by distance to the power
    ``-(ndim + 1)``: near the edge what is near decides, and in the middle all of the ring.
    """

    def __init__(self, hole: Bools, ring: Bools) -> None:
        self.hole, self.ring = hole, ring
        near = np.meshgrid(*(np.arange(1 - s, s) for s in hole.shape), indexing="ij")
        square = np.sum([a.astype(np.float64) ** 2 for a in near], axis=0)
        self.kernel = np.where(square > 0, square, 1) ** (-0.5 * (hole.ndim + 1))
        self.soft = ndimage.gaussian_filter(ring.astype(np.float64), _SMOOTHING, mode="constant")
        self.total = self._sum(ring.astype(np.float64))

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """``(k,)`` at the voxels of the hole."""
        on_ring = np.where(self.ring, values, 0.0)
        smooth = ndimage.gaussian_filter(on_ring, _SMOOTHING, mode="constant")
        smooth = np.where(self.ring, smooth / np.where(self.ring, self.soft, 1), 0)
        return np.asarray(self._sum(smooth) / self.total)

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(signal.fftconvolve(values, self.kernel, mode="same")[self.hole])


def _donor(
    image: Float32, hole: Indices, ring: Indices, avoid: Bools, mirror: bool
) -> Donor | None:
    """The donor that fits the ring best; mirrored ones come first."""
    hole = hole[:: -(-len(hole) // _LOOKED_AT)]
    ring = ring[:: -(-len(ring) // _LOOKED_AT)]
    smooth = ndimage.gaussian_filter(image.mean(axis=0), 1.0, mode="nearest")
    for sign, offsets in _candidates(hole, avoid.shape, mirror):
        whole = np.concatenate([hole, ring]) * sign + offsets[:, None]
        framed = ((whole >= 0) & (whole < avoid.shape)).all(axis=(1, 2))
        offsets, whole = offsets[framed], whole[framed]
        clean = ~avoid[tuple(np.moveaxis(whole[:, : len(hole)], -1, 0))].any(axis=1)
        if not clean.any():
            continue
        offsets, whole = offsets[clean], whole[clean]
        there = smooth[tuple(np.moveaxis(whole[:, len(hole) :], -1, 0))]
        misfit = ((there - smooth[tuple(ring.T)]) ** 2).mean(axis=1)
        return Donor(sign, offsets[int(misfit.argmin())])
    return None


def _candidates(
    hole: Indices, shape: tuple[int, ...], mirror: bool
) -> Iterator[tuple[Indices, Indices]]:
    """Signs and offsets ``(m, ndim)`` of possible donors."""
    ndim = len(shape)
    if mirror:
        sign = np.array([1] * (ndim - 1) + [-1])
        steps = [np.arange(-_SHIFT[1], _SHIFT[1] + 1)] * (ndim - 1)
        last = shape[-1] - 1 + np.arange(-_SHIFT[0], _SHIFT[0] + 1)
        yield sign, np.array(list(product(*steps, last)), np.intp)
    size = hole.max(axis=0) - hole.min(axis=0) + 1
    steps = [np.arange(-s - RING, s + RING + 1, max(_STEP, s // 4)) for s in size]
    yield np.ones(ndim, np.intp), np.array(list(product(*steps)), np.intp)
