"""Local damage: the lesion alone changes, everything else stays bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.groups import nested_share, subjects
from nriqm_bench.perturbations.inpaint import inpaint
from nriqm_bench.perturbations.perturbation import perturbation
from nriqm_bench.perturbations.tissue import depth, tissue
from nriqm_bench.perturbations.warp import falloff, pull
from nriqm_bench.vessels import padded_box

# Half-width of the band around the lesion's outline in which `boundary_blur` acts, in pixels.
BAND = 6.0
# Beyond the path of its outline, a lesion that moves takes tissue along for so many of its radii.
REACH = 1.5
# A lesion at the edge of tissue comes to rest there within so many voxels.
STOP = 3.0
# Voxels around a removed lesion that are replaced too: its soft outline, and the seam.
RIM = 4
# Depth within the outline, in voxels, over which `lesion_tilt` comes in.
FADE = 2.0
# Pieces of a lesion with a gap of at most so many voxels between them move as one.
_GAP = 2
# Directions tried for a displacement, and the share of the lesion that may be shifted, either way,
# out of tissue.
_DIRECTIONS = 8
_LEAVING = 0.1
_UNIT = "share of radius"
_MASKS = frozenset({"masks"})

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
# Of a lesion's voxels (k, ndim), the number of its image and the depth of each voxel in tissue.
Rule = Callable[[NDArray[np.intp], int, Floats], "Move"]


class Move(NamedTuple):
    """How a lesion moves.

    Attributes
    ----------
    path
        How far its outline gets at most, in voxels.
    field
        Of positions ``(*S, ndim)`` and the lesion ``(*S)`` there: the displacement ``(*S, ndim)``
        to what is shown at each position, before it falls off, and the distance ``(*S)`` to the
        place where it must not have fallen off yet.
    """

    path: float
    field: Callable[[Floats, Bools], tuple[Floats, Floats]]


@perturbation("boundary-blur", unit="px", needs=_MASKS, range=(0.0, 32.0))
def boundary_blur(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Gaussian smoothing of `level` pixels in a band around each lesion's outlines.

    The band holds every pixel within `BAND` pixels of an outline of the lesion or of one of its
    parts (any change of label). The smoothed image is blended in by a weight that is 1 on the
    outline and falls to 0 at the band's edge as a raised cosine, so there is no seam; outside the
    band every pixel is bit-identical. Images without a lesion come back as they were.
    """
    assert images.masks is not None
    out = images.images.copy()
    for i, mask in enumerate(images.masks):
        if not mask.any():
            continue
        distance = ndimage.distance_transform_edt(~_outlines(mask))
        band = distance < BAND
        weight = (0.5 + 0.5 * np.cos(np.pi * distance[band] / BAND)).astype(np.float32)
        for channel in out[i]:
            smooth = ndimage.gaussian_filter(channel, level, mode="nearest")
            channel[band] += weight * (smooth[band] - channel[band])
    return images.replace(images=np.clip(out, 0, 1, out=out))


@perturbation("lesion-growth", unit=_UNIT, needs=_MASKS, range=(0.0, 2.0))
def lesion_growth(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Each lesion grows about its centre, its radius by the share `level`, and displaces tissue.

    The lesion is magnified without a change of shape; one at the edge of tissue grows from there
    inwards, and the outline of the body stays. What is around makes way by a warp that falls
    smoothly to nothing `REACH` radii (of the ball of equal volume) beyond the farthest that the
    outline gets; everything farther from the lesion is bit-identical. Masks move along. Noise and
    fine texture stay in place, so that nothing is smoothed: see `warp`.
    """
    return _moved(images, partial(_magnified, factor=1 + level))


@perturbation("lesion-shrinkage", unit=_UNIT, needs=_MASKS, range=(0.0, 0.9))
def lesion_shrinkage(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Each lesion shrinks about its centre, its radius by the share `level`; tissue follows.

    As `lesion_growth` otherwise. Of a large lesion along the edge of the body some may stay there
    at the highest levels, where there is no tissue that could follow.
    """
    return _moved(images, partial(_magnified, factor=1 - level))


@perturbation("lesion-displacement", unit=_UNIT, needs=_MASKS, range=(0.0, 2.0))
def lesion_displacement(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Each lesion moves by `level` times its radius, and tissue makes way.

    All lesions of a subject move in one direction: of a few random ones the first that has tissue
    before and behind them. The radius is that of the ball of equal volume; the warp falls to
    nothing `REACH` radii beyond the lesion's path, and farther away every voxel is bit-identical.
    The outline of the body stays. Masks move along, noise stays (see `warp`).
    """
    direction = _directions(images, rng)
    return _moved(images, lambda voxels, i, _: _shifted(voxels, level * direction[i]))


@perturbation("lesion-removal", unit="share of lesions", needs=_MASKS, range=(0.0, 1.0))
def lesion_removal(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """The lesions of a share `level` of the subjects that have any give way to healthy tissue.

    Subjects at a lower level are among those at a higher one; without subjects, each image is one.
    Lesions are painted over together with the `RIM` voxels around them (see `inpaint`), and their
    mask becomes 0; all other voxels are bit-identical.
    """
    assert images.masks is not None
    out, masks = images.images.copy(), images.masks.copy()
    group = subjects(images)
    ill = np.unique(group[masks.reshape(len(masks), -1).any(axis=1)])
    chosen = np.isin(group, nested_share(ill, level, rng))
    # Every image draws its own noise, whichever others are chosen.
    for i, own in enumerate(rng.spawn(len(images))):
        if chosen[i] and (lesion := masks[i] > 0).any():
            inpaint(out[i], lesion, RIM, own, within=tissue(out[i]), mirror=True)
            masks[i] = 0
    return images.replace(images=out, masks=masks)


@perturbation("lesion-tilt", unit="share", needs=_MASKS, range=(0.0, 1.0))
def lesion_tilt(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Brightness is tilted across each lesion, from ``1 - level`` to ``1 + level`` times itself.

    The ramp runs in one random direction a subject, comes in over `FADE` voxels within the
    outline and has mean 0 over the lesion; the result is clipped to [0, 1]. Outside lesions every
    voxel is bit-identical.
    """
    assert images.masks is not None
    out = images.images.copy()
    group = subjects(images)
    directions = _unit(rng.standard_normal((int(group.max()) + 1, len(images.spatial))))
    for i, mask in enumerate(images.masks):
        for voxels in _lesions(mask):
            ramp = 1 + level * _ramp(voxels, directions[group[i]])
            at = tuple(voxels.T)
            for channel in out[i]:
                channel[at] = np.clip(channel[at] * ramp, 0, 1)
    return images.replace(images=out)


def _outlines(mask: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour of another label."""
    low = ndimage.minimum_filter(mask, size=3)
    high = ndimage.maximum_filter(mask, size=3)
    return np.asarray(low != high)


def _moved(images: ImageSet, rule: Rule) -> ImageSet:
    assert images.masks is not None
    out, masks = images.images.copy(), images.masks.copy()
    for i, mask in enumerate(masks):
        pieces, count = _pieces(mask)
        deep = depth(tissue(out[i]) | (mask > 0)) if count else np.zeros(0)
        for number in range(1, count + 1):
            # A lesion that was moved before may have pushed this one, or all of it, aside.
            lesion = pieces == number
            if lesion.any():
                move = rule(np.argwhere(lesion), i, deep[lesion])
                _carry(out[i], [mask, pieces], lesion, deep, move)
    return images.replace(images=out, masks=masks)


def _carry(
    image: NDArray[np.float32],
    labels: list[NDArray[Any]],
    lesion: Bools,
    deep: Floats,
    move: Move,
) -> None:
    """One lesion moves in place; what is around it follows, but for the edge of tissue."""
    own = radius(int(np.count_nonzero(lesion)), lesion.ndim)
    band = move.path + REACH * own
    box = padded_box(lesion, int(np.ceil(band)) + 1)
    part = lesion[box]
    at = np.moveaxis(np.indices(part.shape, np.float64), 0, -1) + [s.start for s in box]
    core, gap = move.field(at, part)
    rest = np.minimum(band - ndimage.distance_transform_edt(~part), deep[box])
    weight = falloff(gap, rest) * np.sin(0.5 * np.pi * np.clip(rest / min(own, STOP), 0, 1)) ** 2
    pull(
        image[(slice(None), *box)],
        [label[box] for label in labels],
        np.moveaxis(core * weight[..., None], -1, 0),
    )


def _magnified(voxels: NDArray[np.intp], i: int, deep: Floats, *, factor: float) -> Move:
    """About the centre, or, of a lesion at the edge of tissue, about where it touches it.

    So tissue, not background, makes way or follows.
    """
    centre = voxels.mean(axis=0)
    nearness = np.clip(1 - (deep.min() - 1) / radius(*voxels.shape), 0, 1)
    if nearness:
        contact = voxels[deep < deep.min() + 1].mean(axis=0)
        centre = centre + nearness * (contact - centre)
    corners = _corners(voxels) - centre

    def field(at: Floats, part: Bools) -> tuple[Floats, Floats]:
        ray = at - centre
        length = np.maximum(np.linalg.norm(ray, axis=-1), 1e-9)
        # How far the lesion reaches in the direction of each ray.
        reach = np.zeros(length.shape)
        for corner in corners:
            np.maximum(reach, ray @ corner / length, out=reach)
        reach = factor * (reach + 0.5)
        # Around the lesion the shift is that of its outline and does not grow with distance.
        share = (1 / factor - 1) * np.minimum(1, reach / length)
        return share[..., None] * ray, np.maximum(length - reach, 0)

    extent = float(np.sqrt((corners**2).sum(axis=1).max())) + 0.5
    return Move(abs(factor - 1) * extent, field)


def _corners(voxels: NDArray[np.intp]) -> NDArray[np.intp]:
    """The corners of the convex hull; of a lesion too small or flat to have one, all voxels."""
    try:
        return np.asarray(voxels[ConvexHull(voxels).vertices])
    except QhullError:
        return voxels


def _shifted(voxels: NDArray[np.intp], share: Floats) -> Move:
    shift = share * radius(*voxels.shape)

    def field(at: Floats, part: Bools) -> tuple[Floats, Floats]:
        target = ndimage.shift(part, shift, order=0, prefilter=False)
        if not target.any():
            target = part
        gap = ndimage.distance_transform_edt(~target)
        return np.broadcast_to(-shift, at.shape), np.asarray(gap, np.float64)

    return Move(float(np.linalg.norm(shift)), field)


def _directions(images: ImageSet, rng: np.random.Generator) -> Floats:
    """``(n, ndim)`` unit vectors, one direction a subject."""
    assert images.masks is not None
    group = subjects(images)
    drawn = _unit(rng.standard_normal((int(group.max()) + 1, _DIRECTIONS, len(images.spatial))))
    lost = np.zeros(drawn.shape[:2])
    size = np.zeros(len(drawn))
    for i, mask in enumerate(images.masks):
        voxels = np.argwhere(mask > 0)
        if not len(voxels):
            continue
        inside = tissue(images.images[i])
        size[group[i]] += len(voxels)
        # Behind a lesion, too, there must be tissue that can follow.
        for k, direction in enumerate(np.concatenate([drawn[group[i]], -drawn[group[i]]])):
            there = np.rint(voxels + radius(*voxels.shape) * direction).astype(np.intp)
            framed = ((there >= 0) & (there < mask.shape)).all(axis=1)
            within = inside[tuple(there[framed].T)].sum()
            lost[group[i], k % _DIRECTIONS] += len(voxels) - within
    # The first that will do, so that lesions do not all move to the middle.
    good = lost <= _LEAVING * size[:, None]
    chosen = np.where(good.any(axis=1), good.argmax(axis=1), lost.argmin(axis=1))
    return np.asarray(drawn[np.arange(len(drawn)), chosen][group], np.float64)


def _ramp(voxels: NDArray[np.intp], direction: Floats) -> Floats:
    """``(k,)`` from about -1 to 1 along `direction`, 0 on the outline, of mean 0."""
    low = voxels.min(axis=0) - 1
    lesion = np.zeros(voxels.max(axis=0) + 2 - low, bool)
    inside = tuple((voxels - low).T)
    lesion[inside] = True
    depth = ndimage.distance_transform_edt(lesion)[inside] - 0.5
    share = np.clip(depth / FADE, 0, 1)
    weight = share * share * (3 - 2 * share)
    along = (voxels - voxels.mean(axis=0)) @ direction
    ramp = weight * along / max(float(np.abs(along).max()), 1.0)
    return np.asarray(ramp - weight * (ramp.mean() / weight.mean()), np.float64)


def radius(size: int, ndim: int) -> float:
    """The radius of the disc or ball of so many voxels, in voxels."""
    return float(np.sqrt(size / np.pi) if ndim == 2 else np.cbrt(0.75 * size / np.pi))


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _lesions(mask: NDArray[Any]) -> Iterator[NDArray[np.intp]]:
    """The voxels ``(k, ndim)`` of each lesion."""
    pieces, count = _pieces(mask)
    for number in range(1, count + 1):
        yield np.argwhere(pieces == number)


def _pieces(mask: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Lesions numbered from 1; pieces that nearly touch are one."""
    inside = mask > 0
    joined = ndimage.binary_dilation(
        inside, np.ones((3,) * mask.ndim, np.bool_), iterations=_GAP // 2
    )
    labels, count = ndimage.label(joined, np.ones((3,) * mask.ndim))
    return np.where(inside, labels, 0), count
