"""`phantom-vessel`: MR angiography-like projections and volumes of the arteries of the brain.

Time of flight: fresh blood is bright, tissue suppressed. The arteries are a tree of known diameters
(phantom_arteries), the tissue behind them the MNI152 maps; everything that differs between people
and scanners is drawn anew for each subject. A subject is a pure function of seed, part and number.
docs/phantom.md says how varied the population is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.datasets.phantom_arteries import Tree, grow
from nriqm_bench.datasets.phantom_atlas import atlas
from nriqm_bench.datasets.phantom_coverage import render_tree
from nriqm_bench.datasets.phantom_fields import upsample
from nriqm_bench.datasets.split import check_part
from nriqm_bench.images import ImageSet
from nriqm_bench.vessels import CENTRE_LINE, VESSEL

# Part of every cache key: raise it when the same subject would look different.
VERSION = 1

# Voxels of a volume: depth (upwards), height (backwards), width (rightwards).
SHAPE = (64, 128, 128)
VOXEL = 0.8  # mm, along every axis
SHARPEST = 0.3  # mm, SD of the sharpest point spread: less would alias on voxels of 0.8 mm
SLABS = 4  # projections of a subject
THICK, STEP = 34, 10  # voxels of a slab, and from one to the next
CENTRE = (0.0, -8.0, -16.0)  # mm of MNI space in the middle of the volume

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Site:
    """What a scanner and its protocol do to every image: means around which its subjects vary.

    Brightness is relative to fresh blood in a wide vessel; so is noise. `sharpness` is the SD of
    the point spread in mm.
    """

    name: str
    tissue: float
    fluid: float
    outside: float
    noise: float
    sharpness: float
    bias: float
    saturation: float


SITES = (
    Site("Guys", 0.30, 0.18, 0.26, 0.014, 0.40, 0.05, 0.10),
    Site("HH", 0.22, 0.13, 0.20, 0.009, 0.33, 0.07, 0.05),
    Site("IOP", 0.35, 0.24, 0.36, 0.021, 0.52, 0.06, 0.18),
)


@dataclass(frozen=True)
class Population:
    """How much subjects differ, beyond their sites and arteries; SDs unless said otherwise."""

    tilt: float = 0.06  # rad, about the left-right and front-back axes
    turn: float = 0.05  # rad, within the slice
    head: float = 0.05  # log size of the head, each axis
    shift: tuple[float, float, float] = (2.0, 3.0, 3.0)  # mm, across, forwards, up
    contrast: float = 0.12  # log brightness of tissue
    noise: float = 0.40  # log noise
    sharpness: float = 0.25  # log point spread
    bias: float = 0.4  # log strength of the bias field
    slow: float = 0.30  # mm, radius at which slow flow has lost 1 - 1/e of the wide vessels' gain


POPULATION = Population()


@dataclass(frozen=True)
class Head:
    """Where a subject's head lies: ``matrix @ mni + shift`` is mm in the volume (z, y, x)."""

    matrix: Float64
    shift: Float64


@dataclass(frozen=True)
class Subject:
    """What was drawn for one subject: arteries are in mm of the volume (see `tree`)."""

    number: int
    site: int
    head: Head
    arteries: Tree
    rng: np.random.Generator


def phantom_vessel(
    n: int = 64,
    seed: int = 0,
    *,
    part: str = "train",
    size: int = 128,
    volumes: bool = False,
    progress: Progress | None = None,
) -> ImageSet:
    """Projections of the vessels of ``ceil(n / 4)`` subjects, or `n` volumes, one a subject.

    A subject's volume has 64 x 128 x 128 voxels of 0.8 mm about its circle of Willis. Its four
    projections are the maximum intensities along the body axis of four slabs 27.2 mm thick, the
    next 8 mm above the last.

    Parameters
    ----------
    n
        Images; the first k of a larger n are the k of a smaller one.
    seed
        Another population of the same kind.
    part
        ``train``, ``reference`` or ``held-out``: no two share a subject.
    size
        Height and width; other than 128, area averages of 128, and masks that keep thin vessels
        and centre lines whole. Volumes are half as deep as wide.
    volumes
        Volumes instead of projections.
    progress
        ``(iterable, description, total) -> iterable``.

    Returns
    -------
    ImageSet
        ``(n, 1, size, size)`` or ``(n, 1, size // 2, size, size)`` in [0, 1]; masks with 1 vessel
        and 2 its centre line, projected like the images; subjects; sites ``Guys``, ``HH`` and
        ``IOP``; spacing.

    Raises
    ------
    ValueError
        For n or size below 1 or 16, an odd size of volumes, or an unknown part.
    """
    if n < 1 or size < 16:
        raise ValueError(f"n was {n} and size {size}, must be at least 1 and 16")
    if volumes and size % 2:
        raise ValueError(f"size was {size}, must be even for volumes, which are half as deep")
    check_part(part)
    each = 1 if volumes else SLABS
    count = -(-n // each)
    steps: Iterable[int] = range(count)
    if progress is not None:
        steps = progress(steps, f"phantom-vessel, {part}", count)
    images, masks, sites = [], [], []
    for number in steps:
        subject = draw_subject(seed, part, number)
        volume, labels = render(subject)
        if volumes:
            images.append(scaled(volume, 99.99)[None])
            masks.append(labels[None])
        else:
            images.append(scaled(project(volume), 99.9))
            masks.append(project(labels))
        sites.append(SITES[subject.site].name)
    stacked = np.concatenate(images)[:n, None]
    marked = np.concatenate(masks)[:n]
    if size != SHAPE[1]:
        stacked, marked = _resize(stacked, size), _remark(marked, size)
    return ImageSet(
        images=stacked,
        masks=marked,
        subjects=np.repeat([f"{part}-{seed}-{i:04d}" for i in range(count)], each)[:n],
        sites=np.repeat(sites, each)[:n],
        spacing=(VOXEL * SHAPE[1] / size,) * (3 if volumes else 2),
    )


def tree(seed: int, part: str, number: int) -> Tree:
    """The arteries of that subject: what its volume and masks were made from.

    Points are in mm along the volume's axes (depth, height, width) from the centre of its first
    voxel, ``points / VOXEL`` in voxels; they go on beyond the volume.
    """
    check_part(part)
    return draw_subject(seed, part, number).arteries


def draw_subject(seed: int, part: str, number: int) -> Subject:
    """The subject of that number: site, head and arteries, and its own random numbers."""
    digest = hashlib.sha256(f"phantom-vessel:{seed}:{part}:{number}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    site = int(rng.integers(len(SITES)))
    head = _place(rng, POPULATION)
    return Subject(number, site, head, grow(rng).move(head.matrix, head.shift), rng)


def project(volume: NDArray[Any]) -> NDArray[Any]:
    """``(4, height, width)`` maximum intensities of the slabs of a volume."""
    return np.stack([volume[i * STEP : i * STEP + THICK].max(0) for i in range(SLABS)])


def _place(rng: np.random.Generator, p: Population) -> Head:
    tilt_x, tilt_y, turn = rng.normal(0, [p.tilt, p.tilt * 0.6, p.turn])
    size = np.exp(rng.normal(0, p.head, 3) + rng.normal(0, 0.6 * p.head))
    shift = rng.normal(0, p.shift)
    cx, sx, cy, sy, cz, sz = (f(a) for a in (tilt_x, tilt_y, turn) for f in (np.cos, np.sin))
    turned = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    )
    # From x rightwards, y forwards, z up to the axes of the volume: up, backwards, rightwards.
    axes = np.array([[0, 0, 1.0], [0, -1.0, 0], [1.0, 0, 0]])
    matrix = axes @ turned @ np.diag(size)
    middle = (np.asarray(SHAPE) - 1) / 2 * VOXEL
    return Head(matrix, middle - matrix @ np.asarray(CENTRE) + axes @ shift)


def render(
    subject: Subject, population: Population = POPULATION
) -> tuple[Float32, NDArray[np.uint8]]:
    """The volume of one subject, ``(64, 128, 128)``, blood in wide vessels near 1; its labels."""
    rng, p, site = subject.rng, population, SITES[subject.site]
    spread = max(site.sharpness * float(np.exp(rng.normal(0, p.sharpness))), SHARPEST)
    found = render_tree(
        subject.arteries, SHAPE, VOXEL, spread, _flow(rng, p, site, subject.arteries)
    )
    image = _tissue(rng, p, site, subject.head)
    image *= 1 - found.coverage
    image += found.signal
    strength = site.bias * np.exp(rng.normal(0, p.bias))
    image *= np.exp(strength * upsample(rng.standard_normal((3, 4, 4)).astype(np.float32), SHAPE))
    sigma = site.noise * np.exp(rng.normal(0, p.noise))
    return _rician(rng, image, float(sigma)), found.labels


def _flow(rng: np.random.Generator, p: Population, site: Site, arteries: Tree) -> list[Float64]:
    """The brightness of blood along each segment.

    Slow flow in thin vessels gives less; blood saturates on its way up; the stream in a vessel
    differs a little from what feeds it.
    """
    top = SHAPE[0] * VOXEL
    slow = p.slow * np.exp(rng.normal(0, 0.2))
    swings = rng.standard_normal(len(arteries.segments))
    streams: list[float] = []
    found = []
    for segment, swing in zip(arteries.segments, swings, strict=True):
        before = 1.0 if segment.parent is None else streams[segment.parent]
        stream = before**0.8 * float(np.exp(0.03 * swing))
        streams.append(stream)
        gain = 1 - np.exp(-segment.radius / slow)
        fresh = 1 - site.saturation * np.clip(segment.points[:, 0] / top, 0, 1.2)
        found.append(gain * fresh * stream)
    return found


def _tissue(rng: np.random.Generator, p: Population, site: Site, head: Head) -> Float32:
    """The brightness of what is not blood."""
    coarse = tuple(s // 2 for s in SHAPE)
    inverse = np.linalg.inv(head.matrix)
    first = inverse @ (np.full(3, VOXEL / 2) - head.shift) + atlas().origin
    grey, white, fluid, texture = (
        ndimage.affine_transform(m, 2 * VOXEL * inverse, first, coarse, order=1)
        for m in (atlas().grey, atlas().white, atlas().fluid, atlas().texture)
    )
    level, ratio, dark, rest = np.exp(rng.normal(0, p.contrast, 4) * [1, 0.4, 1, 1.5])
    tissue = site.tissue * level * (white + 0.94 * ratio * grey) + site.fluid * dark * fluid
    tissue -= 0.15 * site.tissue * texture
    # Skull base, muscle and fat, of which the maps know nothing: dark bone, brighter soft parts.
    knots = rng.standard_normal((7, 12, 12)).astype(np.float32)
    soft = np.clip(0.6 + 0.3 * upsample(knots, coarse), 0.15, 1.1)
    head_only = 1 - np.clip(grey + white + fluid, 0, 1)
    tissue += site.outside * rest * soft * head_only
    tissue *= 1 + 0.03 * rng.standard_normal(coarse, dtype=np.float32)
    return _double(tissue)


def _double(volume: Float32) -> Float32:
    """Twice the voxels along each axis, linearly interpolated."""
    for axis in range(3):
        volume = np.moveaxis(volume, axis, 0)
        padded = np.concatenate([volume[:1], volume, volume[-1:]])
        out = np.empty((2 * len(volume), *volume.shape[1:]), np.float32)
        out[0::2] = 0.75 * padded[1:-1] + 0.25 * padded[:-2]
        out[1::2] = 0.75 * padded[1:-1] + 0.25 * padded[2:]
        volume = np.moveaxis(out, 0, axis)
    return np.ascontiguousarray(volume)


def _rician(rng: np.random.Generator, image: Float32, sigma: float) -> Float32:
    """The magnitude of a signal with complex noise, which interpolation in plane correlates."""
    mix = rng.uniform(0.35, 0.6)
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32)
    for part in noise:
        for axis in (1, 2):
            ndimage.gaussian_filter1d(part, mix, axis, output=part, mode="wrap", radius=1)
    tap = np.exp(-0.5 / mix**2)
    weights = np.array([tap, 1, tap]) / (1 + 2 * tap)
    noise *= sigma / float((weights**2).sum())
    noise[0] += image
    return np.asarray(np.hypot(noise[0], noise[1]), dtype=np.float32)


def scaled(images: Float32, top: float) -> Float32:
    """Brought to [0, 1] between the 1st and the `top` percentile."""
    low, high = np.percentile(images, (1, top))
    return np.asarray(np.clip((images - low) / (high - low), 0, 1), dtype=np.float32)


def _resize(images: Float32, size: int) -> Float32:
    import torch
    from torch.nn import functional

    stack = torch.from_numpy(images)
    if stack.ndim == 4:
        mode = "area" if size < SHAPE[1] else "bilinear"
        return functional.interpolate(stack, (size, size), mode=mode).numpy()
    mode = "area" if size < SHAPE[1] else "trilinear"
    return functional.interpolate(stack, (size // 2, size, size), mode=mode).numpy()


def _remark(masks: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Masks at another size: the nearest label, and each voxel of a centre line where it falls."""
    at = ((np.arange(size) + 0.5) * SHAPE[1] / size).astype(np.intp)
    axes = [at[: size // 2], at, at] if masks.ndim == 4 else [at, at]
    out = np.minimum(masks[np.ix_(np.arange(len(masks)), *axes)], VESSEL)
    line = np.argwhere(masks == CENTRE_LINE)
    line[:, 1:] = (line[:, 1:] + 0.5) * size / SHAPE[1]
    out[tuple(line.T)] = CENTRE_LINE
    return out
