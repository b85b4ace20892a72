"""The courses of a phantom's vessels: smooth lines in space with a point a millimetre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

STEP = 1.0  # mm between points, about

Float64 = NDArray[np.float64]


def spline(points: Float64) -> Float64:
    """A smooth line through `points`."""
    chords = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return _even(CubicSpline(chords, points)(np.linspace(0, chords[-1], 16 * len(points))))


def hermite(start: Float64, end: Float64, tangent: Float64) -> Float64:
    """A cubic from `start`, leaving along `tangent`, to `end`."""
    gap = end - start
    t = np.linspace(0, 1, 33)[:, None]
    return _even(start + t * tangent + t**2 * 2 * (gap - tangent) + t**3 * (tangent - gap))


def _even(line: Float64) -> Float64:
    """The same line with one point a `STEP`."""
    far = np.concatenate([[0], np.cumsum(np.sqrt((np.diff(line, axis=0) ** 2).sum(1)))])
    where = np.linspace(0, far[-1], max(round(far[-1] / STEP), 2) + 1)
    return np.stack([np.interp(where, far, line[:, axis]) for axis in range(3)], axis=1)


def wiggle(rng: np.random.Generator, line: Float64, swing: float, *, free_end: bool) -> Float64:
    """`line` with a smooth sideways meander, none where it begins."""
    n = len(line)
    t = np.arange(n) / (n - 1)
    length = STEP * n
    window = np.minimum(1, 4 * t)
    if not free_end:
        window = window * np.minimum(1, 4 * (1 - t))
    waves = np.array([1.0, 2.0, 3.0]) * max(length / 40, 1.0)
    phase = rng.uniform(0, 2 * np.pi, (3, 3))
    weight = rng.standard_normal((3, 3)) / np.arange(1, 4)[:, None]
    shape = np.sin(2 * np.pi * waves[:, None, None] * t + phase[:, :, None])
    offset = np.einsum("wa,wat->ta", weight, shape)
    return _even(line + swing * min(length, 40.0) * window[:, None] * offset)
