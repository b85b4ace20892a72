"""Artefacts of the acquisition in k-space: Gibbs ringing, spikes, ghosts, motion.

K-space is the Fourier transform of the image; its lines run along the last axis and follow each
other along the phase-encoding axis, the one before it (the height of a slice).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.geometry import structure_of
from nriqm_bench.perturbations.perturbation import perturbation

_PHASE_AXIS = -2

# Poses that a patient takes during one acquisition. Odd, so that the middle of k-space, which
# holds the contrast, is one of them.
POSES = 7


@perturbation("gibbs", unit="share of k-space", range=(0.0, 0.99))
def gibbs(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Gibbs ringing and loss of detail: the share `level` of k-space farthest from its centre is 0.

    MONAI's `GibbsNoise` keeps a disc (in volumes a ball) of k-space; its radius is chosen here so
    that exactly this share of the points, up to those at equal distances, lies outside. Nothing
    is drawn. The result is clipped to [0, 1].

    Source: Stadler et al. 2007, European Radiology 17, 1242-1255 (truncation artefacts).
    """
    from monai.transforms import GibbsNoise

    ring = GibbsNoise(alpha=_gibbs_alpha(images.spatial, level))
    out = np.empty_like(images.images)
    for i, image in enumerate(images.images):
        out[i] = ring(image.copy())
    return images.replace(images=np.clip(out, 0, 1, out=out))


def _gibbs_alpha(spatial: tuple[int, ...], level: float) -> float:
    """MONAI's alpha for which the share `level` of k-space is left out."""
    axes = np.ogrid[tuple(slice(0, size) for size in spatial)]
    squares = sum((axis - (size - 1) / 2) ** 2 for axis, size in zip(axes, spatial, strict=True))
    radii, counts = np.unique(np.sqrt(np.asarray(squares)).round(6), return_counts=True)
    kept = max(1, round((1 - level) * counts.sum()))
    last = int(np.searchsorted(np.cumsum(counts), kept))
    # Half way to the next radius, so that rounding decides nothing.
    after = radii[last + 1] if last + 1 < len(radii) else radii[last] + 1
    whole = max(spatial) * np.sqrt(2) / 2
    return float(np.clip(1 - (radii[last] + after) / 2 / whole, 0, 1))


@perturbation("spike", unit="share", range=(0.0, 1.0))
def spike(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """A spike in k-space: stripes of amplitude `level` times the image's mean across all of it.

    One point of k-space is raised by `level` times the peak of k-space (its centre, the sum of
    the image). In the image this adds one sinusoid, of `level` times the mean intensity and with
    the phase that the point has; where it is, is drawn for each image, at an eighth to three
    eighths of the sampling frequency (stripes of 2.7 to 8 pixels) in any direction. MONAI's
    `KSpaceSpikeNoise` does it. The result is clipped to [0, 1].

    Source: Zhuo and Gullapalli 2006, RadioGraphics 26, 275-297 (herringbone artefact).
    """
    from monai.transforms import KSpaceSpikeNoise

    axes = tuple(range(1, images.images.ndim - 1))
    size = np.asarray(images.spatial)
    out = np.empty_like(images.images)
    for i, image in enumerate(images.images):
        direction = rng.standard_normal(len(size))
        frequency = rng.uniform(1 / 8, 3 / 8) * direction / np.linalg.norm(direction)
        offset = np.rint(frequency * size).astype(int)
        place = tuple(((size // 2 + offset) % size).tolist())
        space = np.abs(fft.fftn(image, axes=axes))
        here = space[(slice(None), *(offset % size))]
        raised = here + level * space.max(axis=axes)
        places = [(c, *place) for c in range(images.channels)]
        strength = np.log(np.maximum(raised, 1e-10)).tolist()
        out[i] = KSpaceSpikeNoise(loc=places, k_intensity=strength)(image.copy())
    return images.replace(images=np.clip(out, 0, 1, out=out))


@perturbation("ghosting", unit="share", range=(0.0, 0.5))
def ghosting(
    images: ImageSet, level: float, rng: np.random.Generator, *, shots: int = 2
) -> ImageSet:
    """Ghosts along the phase-encoding axis: one of the interleaved shots has a phase error.

    The phase of every second line of k-space is off by ``2 arcsin(level)``, and a copy of the
    image with `level` times its intensity appears half a field of view away (the N/2 ghost of
    echo-planar imaging): ``sqrt((1 - level^2) I^2 + level^2 J^2)``, J being I shifted. Nothing is
    drawn and no energy is added. The result is clipped to [0, 1].

    Parameters
    ----------
    shots
        2 to 4: each acquires every `shots`-th line, the error is that of the one which holds
        the centre. There are ``shots - 1`` ghosts of intensity `level`, evenly spaced; where
        `shots` does not divide the height they fall between pixels.

    Raises
    ------
    ValueError
        For another number of shots.

    Notes
    -----
    A phase error theta gives ghosts of ``2 sin(theta / 2) / shots``. Source: Buonocore and Gao
    1997, Magnetic Resonance in Medicine 38, 89-100.
    """
    if shots not in (2, 3, 4):
        raise ValueError(f"the shots of ghosting were {shots!r}, must be 2, 3 or 4")
    size = images.spatial[_PHASE_AXIS]
    factor = np.ones(size, dtype=np.complex64)
    # Lines in the order of `fft`, 0 first; negative ones are counted from 0 too.
    line = np.rint(fft.fftfreq(size) * size).astype(int)
    factor[line % shots == 0] = np.exp(2j * np.arcsin(level * shots / 2))
    out = np.empty_like(images.images)
    for i, image in enumerate(images.images):
        space = fft.fft(image, axis=_PHASE_AXIS)
        space *= factor[:, None]
        out[i] = np.abs(fft.ifft(space, axis=_PHASE_AXIS, overwrite_x=True))
    return images.replace(images=np.clip(out, 0, 1, out=out))


@perturbation("motion", unit="px", range=(0.0, 16.0))
def motion(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """The patient moves during the acquisition: rigid motion of `level` pixels RMS.

    K-space is acquired in `POSES` segments of lines along the phase-encoding axis, each with the
    patient in another pose: shifted along every axis and turned (a volume: about an axis drawn
    for each image) around the centre. From segment to segment pose changes by a random walk, and
    it is 0 in the middle segment, which holds the contrast: anatomy and masks stay in place. The
    displacement, root of the mean square over the segments and the pixels, is `level` in each
    image, half of its square by shifts and half by turns. Shifts and turns are done in k-space
    (a turn as three shears), so nothing is smoothed by interpolation. The noise of a receiver
    does not move with the patient: it is split off first (`geometry.structure_of`) and added to the
    magnitude of what has moved. What leaves the field of view comes back on its other side. The
    result is clipped to [0, 1].

    Source: Zaitsev, Maclaren and Herbst 2015, Journal of Magnetic Resonance Imaging 42, 887-901;
    shears: Unser, Thevenaz and Yaroslavsky 1995, IEEE Transactions on Image Processing 4.
    """
    axes = tuple(range(-len(images.spatial), 0))
    segments = _segments(images.spatial[_PHASE_AXIS])
    out = np.empty_like(images.images)
    for i, image in enumerate(images.images):
        poses = motion_poses(images.spatial, rng)
        anatomy = np.stack([structure_of(channel) for channel in image])
        space = fft.fftn(anatomy, axes=axes)
        for s, lines in enumerate(segments):
            shift, turn = level * poses.shifts[s], level * poses.turns[s]
            if not len(lines) or not (shift.any() or turn):
                continue
            moved = fft.fftn(_turned(anatomy, turn, poses.plane), axes=axes)[..., lines, :]
            for axis in axes:
                frequency = fft.fftfreq(images.spatial[axis])
                if axis == _PHASE_AXIS:
                    frequency = frequency[lines]
                moved *= _phase(frequency * shift[axis], axis)
            space[..., lines, :] = moved
        out[i] = np.abs(fft.ifftn(space, axes=axes, overwrite_x=True)) + (image - anatomy)
    return images.replace(images=np.clip(out, 0, 1, out=out))


@dataclass(frozen=True)
class Poses:
    """What `motion` of one pixel does to one image.

    Parameters
    ----------
    plane
        The two spatial axes, counted from the end, in whose plane the patient turns.
    shifts
        ``(POSES, axes)`` pixels.
    turns
        ``(POSES,)`` radians, from the first axis of the plane towards the second.
    """

    plane: tuple[int, int]
    shifts: NDArray[np.float64]
    turns: NDArray[np.float64]


def motion_poses(spatial: tuple[int, ...], rng: np.random.Generator) -> Poses:
    """Poses of RMS displacement 1 px over segments and pixels; see `motion`."""
    walk = np.cumsum(rng.standard_normal((POSES, len(spatial) + 1)), axis=0)
    walk -= walk[POSES // 2]
    pivot = int(rng.integers(len(spatial))) if len(spatial) == 3 else None
    first, second = (axis - len(spatial) for axis in range(len(spatial)) if axis != pivot)
    shifts, turns = walk[:, :-1], walk[:, -1]
    # The mean square distance of the pixels of the plane from its centre.
    spread = (spatial[first] ** 2 + spatial[second] ** 2 - 2) / 12
    shifts = shifts / np.sqrt(2 * (shifts**2).sum(axis=1).mean())
    turns = turns / np.sqrt(2 * (turns**2).mean() * spread)
    return Poses((first, second), shifts, turns)


def _segments(size: int) -> list[NDArray[np.intp]]:
    """The lines of each segment as positions in the order of `fft`; line 0 is in the middle one."""
    segment = np.floor((fft.fftfreq(size) + 0.5) * POSES).astype(int)
    return [np.flatnonzero(segment == s) for s in range(POSES)]


def _turned(image: NDArray[Any], angle: float, plane: tuple[int, int]) -> NDArray[Any]:
    """`image` turned by `angle` around its centre, from the plane's first axis to its second."""
    first, second = plane
    half = np.tan(angle / 2)
    image = _sheared(image, -half, first, second)
    image = _sheared(image, np.sin(angle), second, first)
    return _sheared(image, -half, first, second)


def _sheared(image: NDArray[Any], amount: float, along: int, across: int) -> NDArray[Any]:
    """Moved along one axis by `amount` times the distance from the middle of another."""
    size, width = image.shape[along], image.shape[across]
    shift = amount * (np.arange(width) - (width - 1) / 2)
    swapped = np.moveaxis(image, (across, along), (-2, -1))
    space = fft.rfft(swapped, axis=-1)
    space *= _phase(shift[:, None] * fft.rfftfreq(size), -1)
    moved = fft.irfft(space, n=size, axis=-1, overwrite_x=True)
    return np.moveaxis(moved, (-2, -1), (across, along))


def _phase(cycles: NDArray[np.float64], axis: int) -> NDArray[np.complex64]:
    """The factors ``exp(-2 pi i cycles)``, to be multiplied along `axis` (counted from the end)."""
    factor = np.exp(-2j * np.pi * cycles).astype(np.complex64)
    return np.asarray(factor.reshape(factor.shape + (1,) * (-axis - 1)))
