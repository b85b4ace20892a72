"""`phantom-tumour`: FLAIR-like axial slices, or volumes, of brains with tumours, masks and sites.

Anatomy comes from the MNI152 maps; everything that differs between patients and scanners is drawn
anew for each subject: see `Population`. A subject is a pure function of seed, part and number.
docs/phantom.md compares the population with real FLAIR.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.datasets.phantom_atlas import Atlas, atlas
from nriqm_bench.datasets.phantom_grid import Grid, Slices, Volume
from nriqm_bench.datasets.phantom_lesion import Lesion, draw_lesion
from nriqm_bench.images import ImageSet

# Part of every cache key: raise it when the same subject would look different.
VERSION = 1

PARTS = ("train", "reference", "held-out")
GRID, VOLUME = Slices(), Volume()
SLICES = GRID.slices
SIZE = GRID.size

Float32 = NDArray[np.float32]
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


@dataclass(frozen=True)
class Site:
    """What a scanner and its protocol do to every image: means around which its subjects vary."""

    grey: float
    fluid: float
    noise: float
    sharpness: float
    bias: float
    pixel: float
    background: float


# Brightness is relative to white matter; noise and background to the brightest tissue; sharpness is
# the SD of the point spread in pixels; pixel is in millimetres.
SITES = (
    Site(grey=1.22, fluid=0.30, noise=0.009, sharpness=0.38, bias=0.07, pixel=1.40, background=1.0),
    Site(grey=1.38, fluid=0.14, noise=0.018, sharpness=0.46, bias=0.14, pixel=1.55, background=1.0),
    Site(grey=1.10, fluid=0.44, noise=0.007, sharpness=0.62, bias=0.08, pixel=1.36, background=0.8),
    Site(grey=1.28, fluid=0.20, noise=0.026, sharpness=0.42, bias=0.18, pixel=1.48, background=1.0),
    Site(grey=1.16, fluid=0.36, noise=0.012, sharpness=0.78, bias=0.10, pixel=1.60, background=0.9),
)


@dataclass(frozen=True)
class Population:
    """How much subjects differ, beyond their sites; SDs unless said otherwise."""

    tilt: float = 0.07  # rad, about the left-right and front-back axes
    turn: float = 0.06  # rad, within the slice
    head: float = 0.05  # log size of the head, each axis
    shift: float = 3.0  # mm
    warp: float = 2.2  # mm, smooth random deformation
    ventricles: float = 0.35  # log size of the ventricles
    contrast: float = 0.10  # log contrast of grey matter and fluid
    noise: float = 0.40  # log noise
    sharpness: float = 0.25  # log point spread
    bias: float = 0.4  # log strength of the bias field
    low: float = -6.0  # mm, lowest slice
    high: float = 44.0  # mm, highest slice
    gap: float = 8.0  # mm between a subject's slices
    texture: float = 0.9  # strength of the T1's detail


POPULATION = Population()


@dataclass(frozen=True)
class Subject:
    """What was drawn for one subject."""

    number: int
    site: int
    rng: np.random.Generator


def phantom_tumour(
    n: int = 64,
    seed: int = 0,
    *,
    part: str = "train",
    size: int | None = None,
    volumes: bool = False,
    progress: Progress | None = None,
) -> ImageSet:
    """`n` slices of ``ceil(n / 4)`` subjects, four neighbouring slices each, or `n` volumes.

    A volume has 40 x 96 x 96 voxels of 2.13 mm and shows one subject. Anatomy, tumours, sites and
    noise are drawn as for slices, but the slices of that number are not cuts of it.

    Parameters
    ----------
    n
        Images; the first k of a larger n are the k of a smaller one.
    seed
        Another population of the same kind.
    part
        ``train``, ``reference`` or ``held-out``: no two share a subject.
    size
        Height and width; None means 128, of volumes 96; others are area averages of those, depth in
        proportion (masks: the nearest label).
    volumes
        Volumes instead of slices.
    progress
        ``(iterable, description, total) -> iterable``.

    Returns
    -------
    ImageSet
        ``(n, 1, size, size)`` or ``(n, 1, depth, size, size)`` in [0, 1]; masks with
        1 necrotic core, 2 oedema, 3 enhancing rim; subjects, one of five sites each, spacing.

    Raises
    ------
    ValueError
        For n or size below 1 or 16, or an unknown part.
    """
    grid: Grid = VOLUME if volumes else GRID
    size = grid.size if size is None else size
    if n < 1 or size < 16:
        raise ValueError(f"n was {n} and size {size}, must be at least 1 and 16")
    if part not in PARTS:
        raise ValueError(f"part was {part!r}, must be one of {', '.join(PARTS)}")
    each = 1 if volumes else SLICES
    count = -(-n // each)
    steps: Iterable[int] = range(count)
    if progress is not None:
        steps = progress(steps, f"phantom-tumour, {part}", count)
    images, masks, sites = [], [], []
    for number in steps:
        subject = draw_subject(seed, part, number)
        image, mask = render(subject, atlas(), grid=grid)
        images.append(image[None] if volumes else image)
        masks.append(mask[None] if volumes else mask)
        sites.append(f"site-{subject.site + 1}")
    stacked = np.concatenate(images)[:n, None]
    labels = np.concatenate(masks)[:n]
    if size != grid.size:
        stacked, labels = _resize(stacked, size), _nearest(labels, size)
    return ImageSet(
        images=stacked,
        masks=labels,
        subjects=np.repeat([f"{part}-{seed}-{i:04d}" for i in range(count)], each)[:n],
        sites=np.repeat(sites, each)[:n],
        spacing=(1.6 * SIZE / size,) * (3 if volumes else 2),
    )


def draw_subject(seed: int, part: str, number: int) -> Subject:
    """The subject of that number: its site and its own random numbers."""
    digest = hashlib.sha256(f"phantom-tumour:{seed}:{part}:{number}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    return Subject(number, int(rng.integers(len(SITES))), rng)


def render(
    subject: Subject, maps: Atlas, population: Population = POPULATION, grid: Grid = GRID
) -> tuple[Float32, NDArray[np.uint8]]:
    """``(4, 128, 128)`` slices and labels of one subject, or what another grid holds."""
    rng, p, site = subject.rng, population, SITES[subject.site]
    where = _coordinates(rng, p, site, maps, grid)
    grey, white, fluid, texture = maps.sample(where)
    lesion = draw_lesion(rng, where, white, grid.inner())
    intensity = _tissue(rng, p, site, grey, white, fluid, texture, lesion, grid)
    brain = grey + white + fluid
    return _acquire(rng, p, site, intensity, brain, grid), lesion.labels


def _coordinates(
    rng: np.random.Generator, p: Population, site: Site, maps: Atlas, grid: Grid
) -> NDArray[np.float32]:
    """``(3, slices, size, size)`` atlas voxels that a subject's voxels show."""
    half = (grid.size - 1) / 2 * site.pixel * SIZE / grid.size
    axis = np.linspace(-half, half, grid.size, dtype=np.float32)
    level = grid.heights(rng, p.low, p.high, p.gap, site.pixel)[:, None, None]
    y, x = np.meshgrid(axis[::-1], axis, indexing="ij")
    x, y, z = np.broadcast_arrays(x[None], y[None], level)
    turn, tilt_x, tilt_y = rng.normal(0, [p.turn, p.tilt, p.tilt * 0.5])
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    z = z + np.sin(tilt_x) * y + np.sin(tilt_y) * x
    scale = np.exp(rng.normal(0, p.head, 3))
    shift = rng.normal(0, p.shift, 2)
    x, y, z = x * scale[0] - shift[0], y * scale[1] - shift[1] - 18, z * scale[2]
    for field, spread in ((grid.warp(rng, 5), p.warp), (grid.warp(rng, 9), p.warp * 0.35)):
        x, y, z = x + spread * field[0], y + spread * field[1], z + 0.5 * spread * field[2]
    # Ventricles: a pull towards (or from) the middle of the lateral ventricles.
    size = rng.normal(0, p.ventricles)
    reach = np.exp(-(((x / 26) ** 2) + (((y + 14) / 40) ** 2) + (((z - 18) / 26) ** 2)))
    pull = 1 - np.tanh(size) * 0.55 * reach
    x, y = x * pull, (y + 14) * pull - 14
    origin = np.asarray(maps.origin, dtype=np.float32)[:, None, None, None]
    return np.asarray(np.stack([x, y, z]) + origin, dtype=np.float32)


def _tissue(
    rng: np.random.Generator,
    p: Population,
    site: Site,
    grey: Float32,
    white: Float32,
    fluid: Float32,
    texture: Float32,
    lesion: Lesion,
    grid: Grid,
) -> Float32:
    """The brightness of tissue: white matter is 0.5."""
    of_grey = 1 + (site.grey - 1) * np.exp(rng.normal(0, 2 * p.contrast))
    of_fluid = site.fluid * np.exp(rng.normal(0, 2 * p.contrast))
    detail = p.texture * np.exp(rng.normal(0, 0.2)) * texture
    tissue = 0.5 * (of_grey * grey + white + of_fluid * fluid) - 0.25 * detail * (1 - fluid)
    # Patchiness of living tissue, which no average brain has.
    tissue *= 1 + 0.035 * grid.field(rng, 32)
    return np.asarray(lesion.paint(tissue, fluid, grid.field(rng, 56)), dtype=np.float32)


def _acquire(
    rng: np.random.Generator, p: Population, site: Site, tissue: Float32, brain: Float32, grid: Grid
) -> Float32:
    """Bias field, point spread, Rician noise, background and the scaling to [0, 1]."""
    strength = site.bias * np.exp(rng.normal(0, p.bias))
    image = tissue * np.exp(strength * grid.bias(rng))
    spread = site.sharpness * np.exp(rng.normal(0, p.sharpness))
    image = ndimage.gaussian_filter(image, grid.spread(spread), mode="nearest")
    sigma = site.noise * np.exp(rng.normal(0, p.noise))
    noise = rng.standard_normal((2, *image.shape), dtype=np.float32)
    # Reconstruction and resampling correlate the noise of neighbouring pixels.
    mix = rng.uniform(0.3, 0.7)
    noise = ndimage.gaussian_filter(noise, (0, 0, mix, mix), mode="wrap")
    noise *= sigma / noise.std()
    image = np.hypot(image + noise[0], noise[1])
    inside = brain > 0.35
    if rng.random() >= site.background:
        image = np.where(inside, image, 0)
    low, high = np.percentile(image, (1, grid.top))
    return np.asarray(np.clip((image - low) / (high - low), 0, 1), dtype=np.float32)


def _resize(images: Float32, size: int) -> Float32:
    import torch
    from torch.nn import functional

    width = images.shape[-1]
    shape = (*(round(d * size / width) for d in images.shape[2:-2]), size, size)
    mode = "area" if size < width else "bilinear" if len(shape) == 2 else "trilinear"
    return functional.interpolate(torch.from_numpy(images), shape, mode=mode).numpy()


def _nearest(labels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    width = labels.shape[-1]
    for axis, length in enumerate(labels.shape[1:], 1):
        kept = round(length * size / width)
        where = ((np.arange(kept) + 0.5) * length / kept).astype(np.intp)
        labels = np.take(labels, where, axis)
    return labels
