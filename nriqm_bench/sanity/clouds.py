"""Clouds of points: the distributions that the sanity checks draw from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Five modes that the real data have, then five that fakes may invent: positions in the plane, far
# apart against a standard deviation of .25 (the published ones, to two decimals).
PLANE_MODES = np.array(
    [
        [5.47, -4.08],
        [4.87, -13.65],
        [-16.39, 9.10],
        [-2.15, 12.46],
        [11.56, -4.96],
        [-24.61, 14.18],
        [16.84, -3.19],
        [-5.48, -6.77],
        [9.47, 1.06],
        [-5.40, -17.29],
    ]
)


def gaussian(
    rng: np.random.Generator, n: int, d: int, mean: float = 0.0, sd: float = 1.0
) -> Floats:
    """``(n, d)`` independent normal values."""
    return rng.normal(mean, sd, (n, d))


def with_outlier(rows: Floats, position: float) -> Floats:
    """The rows and one more, at `position` on every axis."""
    return np.concatenate([rows, np.full((1, rows.shape[1]), position)])


def mixture(
    rng: np.random.Generator, n: int, centres: Floats, sd: float, weights: Sequence[float] | Floats
) -> Floats:
    """``(n, d)`` rows of a Gaussian mixture with ``(modes, d)`` centres and one SD.

    Weights need not sum to 1.
    """
    share = np.asarray(weights, dtype=np.float64)
    chosen = rng.choice(len(centres), size=n, p=share / share.sum())
    return rng.normal(centres[chosen], sd)


def diagonal_modes(d: int, positions: Sequence[float] | Floats) -> Floats:
    """``(modes, d)`` centres on the main diagonal."""
    return np.repeat(np.asarray(positions, dtype=np.float64)[:, None], d, axis=1)


def sphere_surface(rng: np.random.Generator, n: int, d: int, radius: float) -> Floats:
    """``(n, d)`` rows, uniform on the surface of a sphere about the origin."""
    rows = rng.normal(size=(n, d))
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * (radius / lengths)


def ball(rng: np.random.Generator, n: int, radius: float) -> Floats:
    """``(n, 3)`` rows, uniform in a solid sphere about the origin."""
    return sphere_surface(rng, n, 3, radius) * np.cbrt(rng.uniform(size=(n, 1)))


def torus(rng: np.random.Generator, n: int, ring: float = 1.0, tube: float = 0.1) -> Floats:
    """``(n, 3)`` rows in a solid torus about the z axis.

    Angle and place in the circular section are independent and uniform, as published; rows lie a
    little denser on the inside of the ring than a uniform body would have them.
    """
    angle, turn = rng.uniform(0, 2 * np.pi, (2, n))
    out = tube * np.sqrt(rng.uniform(size=n))
    reach = ring + out * np.cos(turn)
    return np.stack([reach * np.cos(angle), reach * np.sin(angle), out * np.sin(turn)], axis=1)


def cube(rng: np.random.Generator, n: int, d: int, start: float = 0.0) -> Floats:
    """``(n, d)`` rows, uniform in a unit cube whose lowest corner is at `start` on every axis."""
    return rng.uniform(start, start + 1, (n, d))


def overlap_start(d: int, volume: float) -> float:
    """The shift along the diagonal that leaves two unit cubes an overlap of `volume`."""
    return 1.0 - float(volume ** (1 / d))


def pareto(rng: np.random.Generator, n: int, shape: float = 1.01) -> Floats:
    """``(n,)`` values of a Pareto distribution that starts at 1."""
    return rng.pareto(shape, n) + 1


def units(real: Floats) -> tuple[Floats, Floats]:
    """Mean and SD of each column of the real cloud; 1 for the SD of a constant column.

    The authors' code measures both clouds in these units before every metric.
    """
    sd = real.std(axis=0)
    return real.mean(axis=0), np.where(sd > 0, sd, 1.0)
