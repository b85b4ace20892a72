"""Local damage to vessels: narrowed, widened, interrupted or gone; all else stays bit for bit.

Masks hold 1 for vessels and 2 for their centre line; without a 2 the centre line is the skeleton.
Segments run from branch point to branch point (see `nriqm_bench.vessels.segments`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.groups import nested_share
from nriqm_bench.perturbations.inpaint import inpaint
from nriqm_bench.perturbations.perturbation import perturbation
from nriqm_bench.perturbations.warp import falloff, pull_fine
from nriqm_bench.vessels import CENTRE_LINE, Lumen, Segment, lumens, padded_box, segments

# Distance from the centre line, in radii, beyond which a change of diameter ends.
REACH = 2.5
# Length of a stenosis or dilation, and of a gap, in diameters.
LENGTH = 3.0
GAP = 2.0
# Voxels around what is removed that are painted too: partial volume, and the seam.
RIM = 4
# Voxels around a vessel that still hold some of it.
_SOFT = 1
# Largest diameter of a twig, in those of the widest vessel.
_TWIG = 0.6
# Step of the smoothed centre line, in voxels.
_STEP = 0.25
_DIAMETER = "share of diameter"
_MASKS = frozenset({"masks"})

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@perturbation("stenosis", unit=_DIAMETER, needs=_MASKS, range=(0.0, 0.9))
def stenosis(
    images: ImageSet, level: float, rng: np.random.Generator, *, count: int = 3
) -> ImageSet:
    """The widest vessels are narrowed: at the throat by the share `level` of their diameter.

    In the middle of the `count` widest segments of each image that are long enough, over `LENGTH`
    diameters, the lumen is drawn together towards the centre line along a raised cosine; tissue
    follows, up to `REACH` radii from the centre line, and farther away every voxel is
    bit-identical. Throats of less than a voxel are faint, by partial volume. Masks follow, the
    centre line stays. Noise stays in place: see `warp`.

    Raises
    ------
    ValueError
        For a `count` below 1.
    """
    return _resized(images, -level, count)


@perturbation("dilation", unit=_DIAMETER, needs=_MASKS, range=(0.0, 1.0))
def dilation(
    images: ImageSet, level: float, rng: np.random.Generator, *, count: int = 3
) -> ImageSet:
    """The widest vessels are widened spindle-like: by the share `level` of their diameter.

    As `stenosis` otherwise.
    """
    return _resized(images, level, count)


@perturbation("missing-branches", unit="share of branches", needs=_MASKS, range=(0.0, 1.0))
def missing_branches(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """A share `level` of the twigs of each image, chosen at random, is not there.

    Twigs missing at a lower level are among those missing at a higher one. They are painted over
    with tissue (see `inpaint`) together with the `RIM` voxels around them, but for other vessels;
    their masks become 0. Elsewhere every voxel is bit-identical.
    """
    return _painted(images, level, rng, _twigs)


@perturbation("gaps", unit="share of segments", needs=_MASKS, range=(0.0, 1.0))
def gaps(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """A share `level` of the segments of each image, chosen at random, is interrupted.

    `GAP` diameters in the middle of a segment are painted over, with the `RIM` voxels around them;
    only segments twice as long have one. Otherwise as `missing_branches`.
    """
    return _painted(images, level, rng, _middles)


def _resized(images: ImageSet, change: float, count: int) -> ImageSet:
    if count < 1:
        raise ValueError(f"count was {count!r}, must be a whole number >= 1")
    assert images.masks is not None
    out, masks = images.images.copy(), images.masks.copy()
    for i, mask in enumerate(images.masks):
        found = segments(mask)
        fit = [k for k, s in enumerate(found) if len(s.coords) >= 2 * _diameter(s)]
        fit.sort(key=[-_diameter(s) for s in found].__getitem__)
        for k, lumen in zip(fit[:count], lumens(mask, found, fit[:count]), strict=True):
            _resize(out[i], masks[i], found[k], lumen, change)
        line = mask == CENTRE_LINE
        masks[i][masks[i] == CENTRE_LINE] = 1
        masks[i][line] = CENTRE_LINE
    return images.replace(images=out, masks=masks)


def _diameter(segment: Segment) -> float:
    return 2 * float(np.median(segment.radius))


def _resize(
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    segment: Segment,
    lumen: Lumen,
    change: float,
) -> None:
    """Change the diameter in the middle of one segment, in place."""
    course = _Course(lumen)
    if not (course.profile > 0).any():
        # A segment of a pixel or two has no middle that could change.
        return
    reach = REACH * float(course.radius[course.profile > 0].max())
    near = np.zeros(mask.shape, np.bool_)
    near[tuple(np.rint(course.points[course.profile > 0]).astype(np.intp).T)] = True
    box = padded_box(near, int(np.ceil(reach)) + 2)
    origin = np.array([s.start for s in box])
    voxels = np.argwhere(ndimage.distance_transform_edt(~near[box]) <= reach + 1)

    def displacement(at: Floats) -> Floats:
        away, ray, radius, share = course.at(at + origin)
        factor = 1 + change * share
        inner = factor * radius
        # Within the lumen, a magnification; around it the shift of its wall, falling off.
        pull = (1 / factor - 1) * np.minimum(away, inner)
        pull *= falloff(np.maximum(away - inner, 0), REACH * radius - away)
        return np.asarray(ray * (pull / np.maximum(away, 1e-9))[:, None])

    # A voxel with any part within reach changes.
    touched = np.abs(displacement(voxels.astype(np.float64))).sum(axis=1) > 0
    voxels = voxels[touched]
    kept = mask[tuple(segment.coords.T)]
    pull_fine(image[(slice(None), *box)], [mask[box]], voxels, displacement)
    # However narrow, the vessel goes on.
    mask[tuple(segment.coords.T)] = kept


class _Course:
    """The course of a segment: centre and radius of the lumen, and the profile of a change."""

    def __init__(self, lumen: Lumen) -> None:
        steps = np.linalg.norm(np.diff(lumen.centre, axis=0), axis=1)
        arc = np.concatenate([[0.0], np.cumsum(steps)])
        fine = np.linspace(0, arc[-1], max(2, int(arc[-1] / _STEP) + 1))
        self.points: Floats = np.stack([np.interp(fine, arc, c) for c in lumen.centre.T], axis=1)
        self.radius: Floats = np.interp(fine, arc, lumen.radius)
        length = LENGTH * 2 * float(np.interp(0.5 * arc[-1], arc, lumen.radius))
        # Short segments have a short change, so that none is cut off at a branch point.
        half = 0.5 * min(length, float(arc[-1]))
        share = np.clip(np.abs(fine - 0.5 * arc[-1]) / half, 0, 1)
        self.profile: Floats = np.cos(0.5 * np.pi * share) ** 2
        self.profile[share >= 1] = 0
        self._tree = cKDTree(self.points)

    def at(self, positions: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Distance from the course, vector from it, its radius and profile there."""
        away, nearest = self._tree.query(positions)
        return (
            np.asarray(away, np.float64),
            positions - self.points[nearest],
            self.radius[nearest],
            self.profile[nearest],
        )


# Of the segments of an image, those to choose from, each with the steps along it that would go.
Pieces = list[tuple[int, Indices]]


def _twigs(found: list[Segment]) -> Pieces:
    """Thin ends of some length; a trunk that the slab cuts off ends too, but is no twig."""
    thin = _TWIG * max((_diameter(s) for s in found), default=0.0)
    return [
        (i, np.arange(len(s.coords)))
        for i, s in enumerate(found)
        if s.terminal and _diameter(s) <= thin and len(s.coords) >= max(4, 1.5 * _diameter(s))
    ]


def _middles(found: list[Segment]) -> Pieces:
    pieces = []
    for i, s in enumerate(found):
        half = max(0.5 * GAP * _diameter(s), 1.5)
        steps = np.arange(len(s.coords))
        if len(steps) >= 4 * half:
            pieces.append((i, steps[np.abs(steps - (len(steps) - 1) / 2) <= half]))
    return pieces


def _painted(
    images: ImageSet,
    level: float,
    rng: np.random.Generator,
    choose: Callable[[list[Segment]], Pieces],
) -> ImageSet:
    assert images.masks is not None
    out, masks = images.images.copy(), images.masks.copy()
    # Every image draws its own, whatever the others hold.
    for i, own in enumerate(rng.spawn(len(images))):
        found = segments(masks[i])
        pieces = choose(found)
        chosen = nested_share(np.arange(len(pieces)), level, own)
        if not len(chosen):
            continue
        region, keep = _regions(masks[i], found, [pieces[c] for c in chosen])
        inpaint(
            out[i],
            region,
            RIM,
            own,
            avoid=_grown(masks[i] > 0),
            keep=keep,
            together=region.ndim == 2,
        )
        masks[i][region] = 0
    return images.replace(images=out, masks=masks)


def _regions(mask: NDArray[np.uint8], found: list[Segment], gone: Pieces) -> tuple[Bools, Bools]:
    """The voxels of the vessel that go, and what around them is not theirs."""
    line = np.concatenate([s.coords for s in found])
    radius = np.concatenate([s.radius for s in found])
    start = np.cumsum([0, *(len(s.coords) for s in found)])
    going = np.zeros(len(line), np.bool_)
    # Voxels of segments of which nothing goes.
    whole = np.ones(len(line), np.bool_)
    for i, steps in gone:
        going[start[i] + steps] = True
        whole[start[i] : start[i + 1]] = False
    inside = np.argwhere(mask > 0)
    spared = np.zeros(len(inside), np.bool_)
    if whole.any():
        other = cKDTree(line[whole])
        away, nearest = other.query(line)
        # A twig begins where it leaves the lumen of its parent.
        parent = ~whole & (away <= radius[whole][nearest] + 0.5)
        away, nearest = other.query(inside)
        spared = away <= radius[whole][nearest] + 0.5
        going &= ~parent
        whole |= parent
    owner = cKDTree(line).query(inside)[1]
    region = np.zeros(mask.shape, np.bool_)
    region[tuple(inside[going[owner] & ~spared].T)] = True
    keep = np.zeros(mask.shape, np.bool_)
    keep[tuple(inside[whole[owner] | spared].T)] = True
    # A voxel that what stays surrounds would be a notch in it.
    among = ndimage.uniform_filter((keep & ~region).astype(np.float64), 3, mode="constant")
    region &= among < 0.5
    return region, _grown(keep)


def _grown(vessel: Bools) -> Bools:
    return np.asarray(ndimage.binary_dilation(vessel, iterations=_SOFT), np.bool_)
