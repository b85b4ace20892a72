"""Lesions as a reader describes them: presence, size, place, outline, contrast, ramp, texture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from nriqm_bench.extractors.regions import (
    head,
    images_and_masks,
    median_gradient,
    ramp,
    shell_medians,
    signed_distance,
)
from nriqm_bench.vessels import padded_box

Float64 = NDArray[np.float64]
Bools = NDArray[np.bool_]

_VERSION = 1

# Edges of the shells around the outline, in pixels; negative is inside.
_SHELLS = np.array([-4.5, -3, -2, -1, 0, 1, 2, 3, 4.5])
_PROFILE = len(_SHELLS) - 1
# Next to the outline, a shell further, and beyond what a scanner blurs.
_IN1, _IN2, _IN3 = 3, 2, 1
_OUT1, _OUT2, _OUT3 = 4, 5, 6
# What surrounds a lesion: pixels this far from its outline.
_NEAR, _FAR = 3.0, 8.0
# Contrast, on the [0, 1] scale, below which an outline's sharpness is not told.
_FAINT = 0.15
# Lesions of about this many pixels are told half, smaller ones less: their medians are noise.
_FEW = 8.0
# A ramp is fitted to at most this many pixels.
_MOST = 4096
# Pixels apart whose difference is a gradient.
_LAG = 3
# What a descriptor may be at most, in units of its spread: one odd image must not rule a set.
_LIMIT = 4.0

# Centre and SD of each descriptor over images of `phantom-tumour` that have a lesion, and the
# weight: what names a defect (gone, blunt, tilted) counts more than what varies between patients.
_GEOMETRY = {
    "presence": (1.0, 0.30, 2.5),
    "size": (22.8, 10.0, 0.7),
    "spread": (0.16, 0.16, 0.5),
    "elongation": (0.43, 0.23, 0.5),
    "position": (0.0, 0.8, 0.5),
}
_INTENSITY = {
    "contrast": (0.38, 0.10, 0.7),
    **{
        f"profile{i}": (mean, sd, 0.7)
        for i, (mean, sd) in enumerate(
            (
                (0.39, 0.10),
                (0.39, 0.10),
                (0.39, 0.10),
                (0.34, 0.085),
                (0.11, 0.055),
                (0.035, 0.045),
                (0.016, 0.037),
                (0.006, 0.025),
            )
        )
    },
    "sharp in 2": (0.41, 0.06, 1.0),
    "sharp in 1": (0.30, 0.09, 1.5),
    "sharp out 1": (-0.20, 0.12, 1.0),
    "sharp out 2": (-0.37, 0.075, 1.0),
    "step 1": (0.22, 0.075, 1.5),
    "step 2": (0.35, 0.09, 1.0),
    "ramp": (0.025, 0.035, 2.0),
    "gradient": (0.012, 0.025, 1.5),
    "range": (0.12, 0.075, 0.7),
    "grain": (0.02, 0.02, 0.5),
    "slope": (0.0, 0.03, 0.7),
}


class Lesion:
    """27 descriptors of the lesion in a 2-D image of one channel, which noise hardly moves.

    A lesion is every pixel whose mask is above 0; several in one image are taken together.
    Intensities are compared with the tissue around the lesion, 3 to 8 pixels from its outline, by
    medians over many pixels: noise averages out, and its clipping at 0 and 1 does not move them.

    Of the mask: presence (0 or 1); size (the root, of volumes the cube root, of the number of
    pixels); spread (log of the area of the ellipse with equal second moments over the area: 0 for
    a disc); elongation (log of the longest over the shortest axis); position along each axis (from
    the head's centre, in its SD).

    Of each channel: contrast; profile (medians of 8 shells from 4.5 pixels inside the outline to
    4.5 outside); sharpness (the four shells next to the outline between the tissues on either
    side, as shares of their difference); steps across the outline (1 and 2 shells away); ramp
    (length of the slope of intensity that most of the inside agrees on, freed from what noise
    adds); gradient (length of the median difference of near pixels, likewise); range (quartiles
    inside, smoothed); grain (fine texture); slope along each axis.

    Each descriptor is centred, divided by its spread over `phantom-tumour` and weighted, by fixed
    numbers; none exceeds 4 spreads. An image without a lesion has presence and size 0 and every
    other descriptor at the centre.

    Parameters
    ----------
    device
        Accepted like every extractor's; the descriptors are computed on the CPU.
    """

    name = "lesion"
    needs = frozenset({"masks"})
    dim = 27

    def __init__(self, device: str = "cpu") -> None:
        self.device = "cpu"

    def key(self) -> str:
        """Name and version, which stands for the fixed numbers too."""
        return f"{self.name}:{_VERSION}"

    def __call__(self, images: Any, masks: Any = None) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] and ``(N, *S)`` labels to ``(N, d)`` float32.

        With k axes, d is ``4 + k + C (19 + k)``: 27 for slices and 29 for volumes of one channel.

        Raises
        ------
        ValueError
            Without masks, or for masks that do not fit.
        """
        x, m = images_and_masks(images, masks, self.name)
        return np.stack([describe(i, inside) for i, inside in zip(x, m > 0, strict=True)])


def describe(image: NDArray[np.float32], inside: Bools) -> NDArray[np.float32]:
    """The scaled descriptors of one image ``(C, *S)`` and its lesion ``(*S)``."""
    axes, channels = inside.ndim, len(image)
    geometry, intensity = _table(_GEOMETRY, axes), _table(_INTENSITY, axes)
    table = np.concatenate([geometry, *[intensity] * channels])
    if not inside.any():
        raw = table[:, 0].copy()
        raw[:2] = 0
        return _scaled(raw, table)
    places = np.argwhere(inside)
    centre = places.mean(axis=0)
    place = places - centre
    spread = place.T @ place / len(place) + np.eye(axes) / 12
    parts = [_geometry(len(place), spread, centre, image)]
    near = padded_box(inside, int(_FAR) + 1)
    distance = signed_distance(inside[near])
    told = len(place) / (len(place) + _FEW)
    for channel in image:
        raw = _intensity(channel[near], inside[near], distance)
        parts.append(intensity[:, 0] + told * (raw - intensity[:, 0]))
    return _scaled(np.concatenate(parts), table)


def _geometry(n: int, spread: Float64, centre: Float64, image: NDArray[np.float32]) -> Float64:
    axes = len(centre)
    variances = np.linalg.eigvalsh(spread)
    # A ball of radius r has variance r^2 / (axes + 2) along each axis.
    unit = np.pi if axes == 2 else 4 / 3 * np.pi
    ellipse = unit * np.sqrt(np.prod(variances * (axes + 2)))
    middle, reach = head(image.mean(axis=0))
    return np.array(
        [
            1.0,
            n ** (1 / axes),
            np.log(ellipse / n),
            0.5 * np.log(variances[-1] / variances[0]),
            *((centre - middle) / reach),
        ]
    )


def _intensity(values: NDArray[np.float32], inside: Bools, distance: Float64) -> Float64:
    ring = (distance > _NEAR) & (distance <= _FAR)
    deep = distance < -1.5
    around = float(np.median(values[ring])) if ring.any() else 0.0
    bulk = float(np.median(values[deep if np.count_nonzero(deep) > 8 else inside]))
    profile = shell_medians(values, distance, _SHELLS) - around
    difference = profile[_IN3] - profile[_OUT3]
    middle = (profile[_IN3] + profile[_OUT3]) / 2
    # Without a division by what may be 0: a faint outline is neither sharp nor blunt.
    share = difference / (difference**2 + _FAINT**2)
    within = distance < -1
    slopes, length, gradient = _tilt(values, within if np.count_nonzero(within) > 20 else inside)
    smooth = ndimage.uniform_filter(values, 3, mode="nearest")
    low, high = np.percentile(smooth[inside], (25, 75))
    grain = np.median(np.abs((values - smooth)[inside]))
    return np.array(
        [
            bulk - around,
            *profile,
            *((profile[[_IN2, _IN1, _OUT1, _OUT2]] - middle) * share),
            abs(profile[_IN1] - profile[_OUT1]),
            abs(profile[_IN2] - profile[_OUT2]),
            length,
            gradient,
            high - low,
            grain,
            *slopes,
        ]
    )


def _tilt(values: NDArray[np.float32], within: Bools) -> tuple[Float64, float, float]:
    """The plane's slopes inside and their length, and the length of the median gradient.

    All for one SD of position along an axis. Noise makes lengths longer; what it adds is taken
    off: slopes have the variance of a mean, medians pi / 2 of that.
    """
    place = np.argwhere(within).astype(np.float64)
    place -= place.mean(axis=0)
    n, axes = place.shape
    # Of at least a pixel: the ramp of a few pixels is not told.
    unit = float(np.sqrt(np.mean(place**2) + 1))
    step = -(-n // _MOST)
    slopes, noise = ramp(place[::step] / unit, values[within][::step].astype(np.float64))
    gradient = median_gradient(values, within, _LAG) * unit
    excess = axes * noise**2 / len(place[::step])
    other = axes * np.pi * (noise * unit / _LAG) ** 2 / n
    return (
        slopes,
        float(np.sqrt(max(float(np.square(slopes).sum()) - excess, 0.0))),
        float(np.sqrt(max(float(np.square(gradient).sum()) - other, 0.0))),
    )


def _table(columns: dict[str, tuple[float, float, float]], axes: int) -> Float64:
    """Centre, spread and weight of each descriptor, the last one once for each axis."""
    rows = list(columns.values())
    return np.array(rows[:-1] + [rows[-1]] * axes)


def _scaled(raw: Float64, table: Float64) -> NDArray[np.float32]:
    units = np.clip((raw - table[:, 0]) / table[:, 1], -_LIMIT, _LIMIT)
    return np.asarray(units * table[:, 2], dtype=np.float32)
