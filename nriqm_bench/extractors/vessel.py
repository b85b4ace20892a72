"""Vessel trees as a reader describes them: lengths, diameters, branches, narrowings and gaps."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from nriqm_bench.extractors.centre_lines import Lines, centre_lines, narrowing, widening
from nriqm_bench.extractors.regions import images_and_masks

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_VERSION = 1

# The widest segments count: as many, of at least so many voxels and diameters in length.
_WIDEST = 5
_LEAST = 5
_DIAMETERS = 2.0
# SD in pixels of the averages over a vessel and of what is around it, of the flux at a place, and
# of the two that tell the diameter.
_AROUND = 4.0
_FLUX = 1.4
_FINE, _COARSE = 1.0, 2.0
# What is brighter than its surroundings by less than this has no diameter to tell.
_FAINT = 0.02
# The square of an SD includes that of a pixel's box.
_PIXEL = 1 / 12
_LIMIT = 4.0

# Centre and SD of each descriptor over `phantom-vessel`, and the weight: narrowings and breaks
# count more than what varies between people.
_TREE = {
    "presence": (1.0, 0.30, 1.0),
    "area": (47.4, 3.6, 0.5),
    "length": (6.7, 0.13, 0.5),
    "segments": (4.65, 0.19, 0.5),
    "ends": (4.1, 0.17, 0.8),
    "pieces": (2.4, 0.35, 0.8),
    "radius 50 %": (0.53, 0.08, 0.5),
    "radius 75 %": (0.82, 0.17, 0.5),
    "radius 95 %": (1.7, 0.33, 0.5),
    "widest": (3.5, 0.65, 0.5),
    "narrowing of 3": (0.12, 0.07, 1.5),
    "narrowing 2nd of 3": (0.105, 0.08, 1.0),
    "narrowing 3rd of 5": (0.10, 0.08, 1.0),
    "widening of 3": (0.13, 0.09, 0.7),
}
_BLOOD = {
    "contrast 25 %": (0.08, 0.07, 0.5),
    "contrast 50 %": (0.22, 0.12, 0.5),
    "contrast 75 %": (0.48, 0.13, 0.5),
    "diameter 25 %": (1.5, 0.5, 0.5),
    "diameter 50 %": (2.5, 0.5, 0.5),
    "diameter 75 %": (4.3, 0.5, 0.5),
    "flux narrowing of 3": (0.026, 0.027, 0.8),
    "flux narrowing 2nd of 3": (0.018, 0.018, 0.8),
    "flux narrowing 3rd of 5": (0.017, 0.016, 0.8),
    "flux widening of 3": (0.024, 0.022, 0.3),
}


class Vessel:
    """24 descriptors of the vessels in an image of one channel, which noise hardly moves.

    Vessels are every pixel whose mask is above 0, their centre line those of label 2, or without
    any the skeleton. A segment runs from branch point to branch point; the widest five that are at
    least two diameters long are searched for narrowings.

    Of the mask: presence (0 or 1); area (the root, of volumes the cube root, of the number of
    pixels); logarithms of the centre line's length and of the numbers of segments, free ends and
    separate pieces; quantiles of the radius along the line; mean diameter of the widest three
    segments; narrowing of the widest (mean of three, second of three, third of five) and widening.
    Of each channel: brightness over what is around (quantiles); diameter (quantiles), to a
    fraction of a pixel; narrowing and widening of the flux, the
    brightness added up across the vessel.

    Each descriptor is centred, divided by its spread over `phantom-vessel` and weighted, by fixed
    numbers; none exceeds 4 spreads. An image without vessels has the first six at 0 and every
    other at the centre.

    Parameters
    ----------
    device
        Accepted like every extractor's; the descriptors are computed on the CPU.
    """

    name = "vessel"
    needs = frozenset({"masks"})
    dim = len(_TREE) + len(_BLOOD)

    def __init__(self, device: str = "cpu") -> None:
        self.device = "cpu"

    def key(self) -> str:
        """Name and version, which stands for the fixed numbers too."""
        return f"{self.name}:{_VERSION}"

    def __call__(self, images: Any, masks: Any = None) -> Float32:
        """``(N, C, *S)`` in [0, 1] and ``(N, *S)`` labels to ``(N, 14 + 10 C)`` float32.

        Raises
        ------
        ValueError
            Without masks, or for masks that do not fit.
        """
        x, m = images_and_masks(images, masks, self.name)
        return np.stack([describe(i, mask) for i, mask in zip(x, m, strict=True)])


def describe(image: Float32, mask: NDArray[Any]) -> Float32:
    """The scaled descriptors of one image ``(C, *S)`` and its vessels ``(*S)``."""
    table = np.array([*_TREE.values(), *[*_BLOOD.values()] * len(image)])
    inside = mask > 0
    lines = centre_lines(mask) if inside.any() else None
    if lines is None or not len(lines.places):
        raw = table[:, 0].copy()
        raw[:6] = 0
        return _scaled(raw, table)
    at = tuple(lines.places.T)
    # A frame that is all vessel has no outside.
    deep = inside if inside.all() else ndimage.distance_transform_edt(inside)
    radius = np.asarray(deep[at], dtype=np.float64) - 0.5
    widest = _widest(lines, radius)
    parts = [_tree(lines, inside, radius, widest)]
    outside = (~inside).astype(np.float32)
    weight = np.maximum(_smooth(outside, _AROUND), 0.02)
    for channel in image:
        around = _smooth(channel * outside, _AROUND) / weight
        parts.append(_blood(channel - around, at, widest))
    return _scaled(np.concatenate(parts), table)


class _Narrowest(NamedTuple):
    """Where the widest segments are, the widest first."""

    spans: list[slice]
    diameter: list[float]

    def of(self, values: Float64) -> list[float]:
        """Narrowing: mean of three, second of three, third of five; widening: mean of three."""
        narrow = [narrowing(values[span]) for span in self.spans]
        narrow += [0.0] * (_WIDEST - len(narrow))
        wide = [widening(values[span]) for span in self.spans[:3]]
        first = sorted(narrow[:3])
        return [sum(first) / 3, first[1], sorted(narrow)[-3], sum(wide) / 3]


def _widest(lines: Lines, radius: Float64) -> _Narrowest:
    found = []
    for low, high in zip(lines.bounds[:-1].tolist(), lines.bounds[1:].tolist(), strict=True):
        if high - low < _LEAST:
            continue
        diameter = 2 * float(np.median(radius[low:high]))
        if high - low >= _DIAMETERS * diameter:
            found.append((-diameter, low - high, slice(low, high)))
    found.sort(key=lambda f: f[:2])
    return _Narrowest([f[2] for f in found[:_WIDEST]], [-f[0] for f in found[:3]])


def _tree(lines: Lines, inside: NDArray[np.bool_], radius: Float64, widest: _Narrowest) -> Float64:
    return np.array(
        [
            1.0,
            np.count_nonzero(inside) ** (1 / inside.ndim),
            np.log1p(len(lines.places)),
            np.log1p(len(lines.bounds) - 1),
            np.log1p(lines.ends),
            np.log1p(lines.pieces),
            *np.quantile(_blurred(lines, radius), (0.5, 0.75, 0.95)),
            sum(widest.diameter) / max(len(widest.diameter), 1),
            *widest.of(radius),
        ]
    )


def _blurred(lines: Lines, values: Float64) -> Float64:
    """Averages over five places along the line: radii of a mask come in steps, these hardly."""
    return np.asarray(ndimage.uniform_filter1d(values, 5, mode="nearest"), dtype=np.float64)


def _blood(over: Float32, at: tuple[NDArray[np.intp], ...], widest: _Narrowest) -> Float64:
    """Descriptors of what is `over` the surroundings."""
    axes = over.ndim
    # The flux of a tube of radius r grows with r^(axes - 1).
    flux = np.maximum(_smooth(over, _FLUX)[at].astype(np.float64), 0) ** (1 / (axes - 1))
    diameters = tube_diameter(_smooth(over, _FINE)[at], _smooth(over, _COARSE)[at], axes)
    return np.array(
        [
            *np.quantile(over[at], (0.25, 0.5, 0.75)),
            *np.quantile(diameters, (0.25, 0.5, 0.75)),
            *widest.of(flux),
        ]
    )


# Diameters in pixels that are told.
_DIAMETER = np.linspace(0.1, 12, 600)


def tube_diameter(fine: Float32, coarse: Float32, axes: int) -> Float64:
    """Diameters, in pixels, of bright tubes from Gaussian averages on their centre line.

    The average with SD s over a strip of width w (2-D) is ``erf(w / (s sqrt 8))`` of its
    brightness, over a tube of radius r (3-D) ``1 - exp(-r^2 / 2 s^2)``: the ratio of two averages
    tells the diameter, whatever the brightness.

    Parameters
    ----------
    fine, coarse
        Averages with SD 1 and 2 pixels of what is brighter than its surroundings.
    axes
        2 or 3.
    """
    ratio = _tube(_COARSE, axes) / _tube(_FINE, axes)
    seen = np.maximum(coarse.astype(np.float64), 0) / np.maximum(fine, _FAINT)
    return np.asarray(np.interp(seen, ratio, _DIAMETER), dtype=np.float64)


def _tube(sd: float, axes: int) -> Float64:
    variance = sd**2 + _PIXEL
    if axes == 2:
        return np.asarray(special.erf(_DIAMETER / np.sqrt(8 * variance)), dtype=np.float64)
    return np.asarray(-np.expm1(-(_DIAMETER**2) / (8 * variance)), dtype=np.float64)


def _smooth(values: Float32, sd: float) -> Float32:
    found = ndimage.gaussian_filter(values, sd, mode="nearest", truncate=3)
    return np.asarray(found, dtype=np.float32)


def _scaled(raw: Float64, table: Float64) -> Float32:
    units = np.clip((raw - table[:, 0]) / table[:, 1], -_LIMIT, _LIMIT)
    return np.asarray(units * table[:, 2], dtype=np.float32)
