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

from nriqm_bench.perturbations.warp import noise_sd, split

# Width, in voxels, of the transition from image to paint at the edge of the painted region.
FADE = 3.0
# Width of the transition towards what is kept: that of partial volume.
SOFT = 1.0
# Width of the ring around it by which a donor is judged and its brightness bent.
RING = 6
# SD, in voxels, over which the difference between ring and donor is averaged.
_SMOOTHING = 2.0
# Weight of the mean of the ring: more than rounding, less than a voxel at any distance.
_FAINT = 1e-9
# Voxels that are looked at to judge a donor.
_LOOKED_AT = 200
# A mirror image is shifted by up to so many voxels to fit, along the last axis and the others.
_SHIFT = (10, 5)
# Donors that are not mirrored lie at most so many voxels apart.
_STEP = 4
# Voxels at the edge of tissue that are not painted, and that no donor holds.
_EDGE = 2
# Farthest of them, along each axis.
_FAR = 48
# Share of a hole that a donor may leave to the next round, and the number of rounds.
_STAINED = 0.7
_ROUNDS = 4

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
    keep: Bools | None = None,
    within: Bools | None = None,
    mirror: bool = False,
    together: bool = False,
) -> None:
    """Paint over a region and the `margin` voxels around it, in place.

    Farther away every voxel keeps its value, bit for bit. A region with nothing around it stays.

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
    keep
        ``(*S)``, what stays, but for the region; the paint fades out towards it within `SOFT`
        voxels. Optional.
    within
        ``(*S)``, tissue: outside it nothing is painted (but for the region itself), and nothing is
        copied from there. Optional.
    mirror
        Whether the other side of the body is looked at first.
    together
        Whether one donor is sought for all connected pieces, which is faster for many small ones;
        else each has its own.
    """
    if not region.any():
        return
    holes = ndimage.distance_transform_edt(~region) <= margin
    beyond = np.zeros(region.shape, np.bool_) if keep is None else keep & ~region
    dirty = holes if avoid is None else holes | avoid
    if within is not None:
        # The edge of the body stays, and no donor holds one.
        edge = ndimage.binary_dilation(~within, iterations=_EDGE)
        beyond, dirty = beyond | (edge & ~region), dirty | edge
    holes &= ~beyond
    firm = np.ones(region.shape)
    if keep is not None:
        kept = ndimage.distance_transform_edt(~(keep & ~region))
        firm = np.clip(kept / (SOFT + 1), 0, 1)
    touching = np.ones((3,) * region.ndim)
    pieces = holes.astype(np.intp) if together else ndimage.label(holes, touching)[0]
    for number, box in enumerate(ndimage.find_objects(pieces), 1):
        # One voxel more than the ring, so that the hole has an edge wherever it can.
        grown = tuple(slice(max(0, s.start - RING - 1), s.stop + RING + 1) for s in box)
        _fill(image, grown, pieces[grown] == number, dirty, beyond[grown], firm[grown], mirror, rng)


def _fill(
    image: Float32,
    box: tuple[slice, ...],
    hole: Bools,
    dirty: Bools,
    beyond: Bools,
    firm: NDArray[np.float64],
    mirror: bool,
    rng: np.random.Generator,
) -> None:
    """Paint a hole, in several rounds when no donor is clean all over."""
    at = np.moveaxis(np.indices(hole.shape), 0, -1) + [s.start for s in box]
    for left in reversed(range(_ROUNDS)):
        ring = ~hole & ~dirty[box] & (ndimage.distance_transform_edt(~hole) <= RING)
        if not ring.any():
            return
        # At the edge of the body there is no transition: what is beyond stays.
        depth = ndimage.distance_transform_edt(hole | beyond)
        share = np.clip(depth / (FADE + 1), 0, 1)
        weight = firm * share * share * (3 - 2 * share)
        source = _donor(image, at[hole], at[ring], dirty, mirror) if left else None
        if source is None:
            _paint(image, box, hole, ring, weight, None, rng)
            return
        clean = ~_outside(source.of(at), dirty)
        there = tuple(np.moveaxis(np.clip(source.of(at), 0, np.array(dirty.shape) - 1), -1, 0))
        _paint(image, box, hole & clean, ring & clean, weight, there, rng)
        rest = hole & ~clean
        if not rest.any():
            return
        rest = hole & (ndimage.distance_transform_edt(~rest) <= FADE + 1)
        # A view: what was painted may be a donor now.
        dirty[box] &= ~(hole & ~rest)
        hole = rest


def _paint(
    image: Float32,
    box: tuple[slice, ...],
    hole: Bools,
    ring: Bools,
    weight: NDArray[np.float64],
    source: tuple[Indices, ...] | None,
    rng: np.random.Generator,
) -> None:
    spread = _Spread(hole, ring)
    weight = weight[hole]
    for channel in image:
        target = channel[box]
        anatomy, residual = split(target)
        if source is not None:
            paint, texture = split(channel[source])
        else:
            paint, texture = np.zeros_like(anatomy), np.zeros_like(residual)
            texture[hole] = noise_sd(target, ring) * rng.standard_normal(weight.size)
        # Where an edge has no counterpart in the donor, the difference is not one of brightness.
        difference = anatomy - paint
        low, high = np.percentile(difference[ring], (25, 75))
        reach = 1.5 * (high - low)
        bent = paint[hole] + spread(np.clip(difference, low - reach, high + reach))
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
        # Far enough that every voxel of the hole has some of the ring within reach.
        reach = int(2 * ndimage.distance_transform_edt(hole).max()) + 2 * RING
        near = np.meshgrid(
            *(np.arange(-min(reach, s), min(reach, s) + 1) for s in hole.shape), indexing="ij"
        )
        square = np.sum([a.astype(np.float64) ** 2 for a in near], axis=0)
        self.kernel = np.where(square > 0, square, 1) ** (-0.5 * (hole.ndim + 1))
        self.soft = ndimage.gaussian_filter(ring.astype(np.float64), _SMOOTHING, mode="constant")
        self.total = self._sum(ring.astype(np.float64))

    def __call__(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """``(k,)`` at the voxels of the hole."""
        on_ring = np.where(self.ring, values, 0.0)
        smooth = ndimage.gaussian_filter(on_ring, _SMOOTHING, mode="constant")
        smooth = np.where(self.ring, smooth / np.where(self.ring, self.soft, 1), 0)
        mean = smooth[self.ring].mean()
        # Where no ring is left within reach, its mean.
        return np.asarray((self._sum(smooth) + _FAINT * mean) / (self.total + _FAINT))

    def _sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(signal.fftconvolve(values, self.kernel, mode="same")[self.hole])


def _donor(
    image: Float32, hole: Indices, ring: Indices, dirty: Bools, mirror: bool
) -> Donor | None:
    """The cleanest donor, and of those the one that fits the ring best; mirrored ones first."""
    some = hole[:: -(-len(hole) // _LOOKED_AT)]
    ring = ring[:: -(-len(ring) // _LOOKED_AT)]
    smooth = ndimage.gaussian_filter(image.mean(axis=0), 1.0, mode="nearest")
    for sign, offsets in _candidates(hole, dirty.shape, mirror):
        stained = _outside(some * sign + offsets[:, None], dirty).mean(axis=1)
        # Donors that differ by a few voxels are as clean as one another.
        cleanest = stained <= min(stained.min() + 0.02, _STAINED)
        if not cleanest.any():
            continue
        offsets = offsets[cleanest]
        whole = ring * sign + offsets[:, None]
        seen = ~_outside(whole, dirty)
        whole = np.clip(whole, 0, np.array(dirty.shape) - 1)
        square = (smooth[tuple(np.moveaxis(whole, -1, 0))] - smooth[tuple(ring.T)]) ** 2
        # What cannot be compared counts as if it did not fit at all.
        misfit = np.where(seen, square, square.max()).mean(axis=1)
        if not seen[misfit.argmin()].any():
            continue
        return Donor(sign, offsets[int(misfit.argmin())])
    return None


def _outside(voxels: Indices, dirty: Bools) -> Bools:
    """Whether voxels ``(..., ndim)`` are out of the frame or dirty."""
    framed = ((voxels >= 0) & (voxels < dirty.shape)).all(axis=-1)
    inside = np.clip(voxels, 0, np.array(dirty.shape) - 1)
    return np.asarray(~framed | dirty[tuple(np.moveaxis(inside, -1, 0))], np.bool_)


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
    size = np.minimum(hole.max(axis=0) - hole.min(axis=0) + 1, _FAR)
    steps = [np.arange(-s - RING, s + RING + 1, max(_STEP, s // 4)) for s in size]
    yield np.ones(ndim, np.intp), np.array(list(product(*steps)), np.intp)
