"""The arteries of a phantom: a tree grown over the brain in MNI space, its radii by Murray's law.

The large arteries follow the anatomy of the circle of Willis, with its common variants; from them
branches grow towards points scattered over the cortex, each from where a vessel flowing that way
lies nearest, until every point is supplied. At each bifurcation r0^3 = r1^3 + r2^3 (C. D. Murray,
PNAS 12:207, 1926), so that the radii follow from the ends, and the ends from the root.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets.phantom_atlas import atlas
from nriqm_bench.datasets.phantom_curves import hermite, spline, wiggle

TAPER = 0.0025  # relative loss of radius for each mm between bifurcations

Float64 = NDArray[np.float64]
_Course = tuple[tuple[float, float, float], ...]

# Points (x, y, z) in mm of MNI space, for the right side (x > 0).
_CAROTID = (
    (27, -28, -58),
    (24, -24, -48),
    (17, -15, -43),
    (12, -10, -38),
    (11, -2, -33),
    (12, 5, -27),
    (12, 4, -21),
    (12, -2, -18),
    (14, 1, -14),
)
_M1 = ((14, 1, -14), (21, 4, -16), (29, 3, -17), (36, 0, -13))
_M2_UPPER = ((36, 0, -13), (40, 6, -6), (40, 8, 3), (41, 0, 12), (44, -8, 20))
_M2_LOWER = ((36, 0, -13), (41, -6, -8), (43, -16, -1), (44, -28, 6), (46, -40, 14))
_A1 = ((14, 1, -14), (10, 5, -14), (5, 9, -14), (2.5, 12, -12))
_A2 = ((2.5, 12, -12), (2.5, 22, -8), (2.5, 31, 0), (2.5, 35, 9), (2.5, 30, 20), (3, 14, 30))
_BASILAR = ((1, -36, -58), (0, -32, -48), (0, -27, -38), (0, -21, -27), (0, -18, -19))
_PCA = (
    (0, -18, -19),
    (8, -16, -18),
    (16, -22, -15),
    (20, -31, -10),
    (19, -42, -6),
    (14, -56, -1),
    (11, -72, 4),
)
_SUPERIOR_CEREBELLAR = (
    (0, -20, -23),
    (8, -19, -25),
    (17, -27, -24),
    (24, -40, -22),
    (27, -54, -22),
)
_OPHTHALMIC = ((12, 3, -21), (14, 14, -21), (18, 26, -25), (20, 38, -27))


@dataclass(frozen=True)
class Segment:
    """A vessel from one bifurcation to the next.

    Attributes
    ----------
    points
        ``(k, 3)`` centre line in mm, with the flow; the first is the parent's last.
    radius
        ``(k,)`` in mm at those points.
    parent
        The index of the segment it springs from; None for a root.
    name
        The artery, as ``right M1``; branches bear the name of what they spring from.
    """

    points: Float64
    radius: Float64
    parent: int | None
    name: str

    @property
    def length(self) -> float:
        """The length of the centre line in mm."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())

    @property
    def diameter(self) -> float:
        """The mean diameter in mm."""
        return float(2 * self.radius.mean())


@dataclass(frozen=True)
class Tree:
    """All segments, each after its parent. There are three roots: both carotids and the basilar."""

    segments: tuple[Segment, ...]

    def children(self, index: int) -> list[int]:
        """The indices of the segments that spring from segment `index`: none or two."""
        return [i for i, s in enumerate(self.segments) if s.parent == index]

    def move(self, matrix: Float64, shift: Float64) -> Tree:
        """The tree with every point p at ``matrix @ p + shift``; radii stay."""
        return Tree(tuple(replace(s, points=s.points @ matrix.T + shift) for s in self.segments))


@dataclass(frozen=True)
class Variety:
    """How much the arteries of subjects differ; SDs unless said otherwise."""

    carotid: float = 2.3  # mm, median radius at the root
    basilar: float = 1.85  # mm, likewise
    calibre: float = 0.11  # log radius, subjects
    asymmetry: float = 0.06  # log radius, sides
    course: float = 1.5  # mm, large arteries, the same on both sides
    sides: float = 1.0  # mm, large arteries, each side
    spacing: tuple[float, float] = (12.5, 16.5)  # mm between the cortical points, range
    tortuosity: float = 0.045  # median swing of a branch relative to its length
    single_a1: float = 0.12  # probability that one A1 supplies both A2
    fetal_pca: float = 0.12  # probability, each side, that the carotid supplies the PCA
    communicating: float = 0.65  # probability of each visible communicating artery


VARIETY = Variety()


@dataclass
class _Growth:
    """The tree while it grows: points, each after its parent."""

    points: list[Float64] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    children: list[int] = field(default_factory=list)
    open: list[bool] = field(default_factory=list)
    side: list[int] = field(default_factory=list)
    name: list[str] = field(default_factory=list)

    def add(self, line: Float64, parent: int, side: int, name: str, *, bare: float = 0.0) -> int:
        """Append a line after its first point when it has a parent; the index of its last point.

        No branch springs from the first `bare` of its points, nor from the last.
        """
        rest = line if parent < 0 else line[1:]
        for i, point in enumerate(rest):
            self.points.append(point)
            self.parent.append(parent)
            self.children.append(0)
            self.open.append(bare * len(rest) <= i < len(rest) - 1 and i >= 1)
            self.side.append(side)
            self.name.append(name)
            if parent >= 0:
                self.children[parent] += 1
            parent = len(self.points) - 1
        return parent


def grow(rng: np.random.Generator, variety: Variety = VARIETY) -> Tree:
    """A tree in millimetres of MNI space (x to the right, y forwards, z up)."""
    growth = _Growth()
    roots = _trunks(rng, growth, variety)
    _branches(rng, growth, variety)
    return _segments(growth, _radii(rng, growth, roots, variety))


def _trunks(rng: np.random.Generator, growth: _Growth, v: Variety) -> dict[int, float]:
    """The large arteries; the radius of each root by its index."""
    shared = {}
    calibre = v.calibre * float(np.clip(rng.standard_normal(), -2, 2))

    def course(template: _Course, side: int, start: Float64 | None) -> Float64:
        points = np.array(template, dtype=np.float64)
        if id(template) not in shared:
            shared[id(template)] = rng.normal(0, v.course, points.shape)
        points += shared[id(template)] + rng.normal(0, v.sides, points.shape)
        # The A2 of both sides lie beside the falx and may not cross it.
        points[:, 0] = np.maximum(points[:, 0], 1.2)
        points[:, 0] *= side
        if start is not None:
            points[0] = start
        return wiggle(rng, spline(points), 0.5 * v.tortuosity, free_end=False)

    roots = {}
    at = growth.points
    base = np.array(_BASILAR, dtype=np.float64) + rng.normal(0, v.course, (1, 3)) * [1.5, 1, 1]
    base[:, 0] += rng.normal(0, 2.0) * np.sin(np.linspace(0, np.pi, len(base)))
    tip = growth.add(spline(base), -1, 0, "basilar", bare=1)
    roots[0] = v.basilar * float(np.exp(calibre + rng.normal(0, v.asymmetry)))
    ends, a1_ends, carotids, pcas = {}, {}, {}, {}
    names = {-1: "left", 1: "right"}
    for side in (-1, 1):
        first = len(at)
        line = course(_CAROTID, side, None)
        ends[side] = growth.add(line, -1, side, f"{names[side]} carotid", bare=1)
        carotids[side] = (first, ends[side])
        roots[first] = v.carotid * float(np.exp(calibre + rng.normal(0, v.asymmetry)))
    lone = int(rng.choice([-1, 1])) if rng.random() < v.single_a1 else 0
    for side in (-1, 1):
        name = names[side]
        m1 = growth.add(course(_M1, side, at[ends[side]]), ends[side], side, f"{name} M1", bare=0.7)
        for label, template in (("upper M2", _M2_UPPER), ("lower M2", _M2_LOWER)):
            growth.add(course(template, side, at[m1]), m1, side, f"{name} {label}", bare=0.1)
        if side != lone:
            a1 = course(_A1, side, at[ends[side]])
            a1_ends[side] = growth.add(a1, ends[side], side, f"{name} A1", bare=1)
    for side in (-1, 1):
        start = a1_ends[side if side != lone else -side]
        growth.add(course(_A2, side, at[start]), start, side, f"{names[side]} A2", bare=0.2)
    back = {side: rng.random() < v.fetal_pca for side in (-1, 1)}
    for side in (-1, 1):
        name = names[side]
        line = course(_PCA, side, at[tip])
        if back[side]:
            start = carotids[side][1] - 4
            line = course((tuple(at[start]), *_PCA[2:]), side, at[start])
        else:
            start = tip
        first = len(at)
        growth.add(line, start, side, f"{name} PCA", bare=0.3)
        pcas[side] = first
        below = tip - 4 - int(side > 0)
        line = course(_SUPERIOR_CEREBELLAR, side, at[below])
        growth.add(line, below, side, f"{name} superior cerebellar", bare=0.4)
        above = carotids[side][1] - 9
        growth.add(course(_OPHTHALMIC, side, at[above]), above, side, f"{name} ophthalmic", bare=1)
        if not back[side] and rng.random() < v.communicating:
            start = carotids[side][1] - 6
            line = hermite(at[start], at[pcas[side] + 8], np.array([0.0, -6, -2]))
            growth.add(line, start, side, f"{name} posterior communicating", bare=1)
    return roots


def _branches(rng: np.random.Generator, growth: _Growth, v: Variety) -> None:
    """Grow a branch to each of the cortical points, the farthest first."""
    goals = _goals(rng, rng.uniform(*v.spacing))
    swing = v.tortuosity * float(np.exp(rng.normal(0, 0.35)))
    capacity = len(growth.points) + 80 * len(goals)
    points = np.empty((capacity, 3))
    flow = np.empty((capacity, 3))
    free = np.zeros(capacity, bool)
    side = np.zeros(capacity, np.int8)
    count = 0

    def take() -> int:
        new = slice(count, len(growth.points))
        points[new] = growth.points[new]
        parents = np.maximum(growth.parent[new], 0)
        flow[new] = points[new] - points[parents]
        flow[new] /= np.maximum(np.linalg.norm(flow[new], axis=1, keepdims=True), 1e-9)
        free[new] = growth.open[new]
        side[new] = growth.side[new]
        return len(growth.points)

    count = take()
    trunk = points[:count][free[:count]]
    away = np.array([np.sqrt(((trunk - g) ** 2).sum(1).min()) for g in goals])
    for i in np.argsort(-away * rng.uniform(0.6, 1.4, len(away))):
        goal = goals[i]
        gap = goal - points[:count]
        distance = np.sqrt((gap**2).sum(1)) + 1e-9
        along = (gap * flow[:count]).sum(1) / distance
        cost = distance * (1.45 - 0.75 * along)
        usable = free[:count]
        if abs(goal[0]) > 4:
            usable = usable & (side[:count] * goal[0] > 0)
        cost = np.where(usable, cost, np.inf)
        start = int(cost.argmin())
        reach = distance[start]
        if not 4 < reach < 70:
            continue
        line = hermite(points[start], goal, flow[start] * reach)
        line = wiggle(rng, line, swing, free_end=True)
        growth.add(line, start, growth.side[start], growth.name[start], bare=0.15)
        # Bifurcations a few millimetres apart look like one with three branches, which none is.
        free[max(start - 3, 0) : start + 4] = False
        count = take()


def _goals(rng: np.random.Generator, spacing: float) -> Float64:
    """Points on the cortex, none nearer to another than `spacing`."""
    pool = _cortex()
    order = rng.permutation(len(pool))[:1500]
    drawn = pool[order] + rng.uniform(-0.5, 0.5, (len(order), 3))
    left = np.ones(len(drawn), bool)
    kept = []
    for i, point in enumerate(drawn):
        if left[i]:
            kept.append(point)
            left &= ((drawn - point) ** 2).sum(1) > spacing**2
    return np.array(kept)


@cache
def _cortex() -> Float64:
    """The positions in mm of voxels where grey matter meets fluid, ventricles left out."""
    maps = atlas()
    where = np.argwhere((maps.grey > 0.3) & (maps.fluid > 0.2)) - np.asarray(maps.origin)
    x, y, z = where.T
    ventricles = (np.abs(x) < 22) & (y > -50) & (y < 24) & (z > -8) & (z < 32)
    field_of_view = (z > -44) & (z < 26) & (np.abs(x) < 62) & (y > -74) & (y < 56)
    # Below the tentorium the cerebellum's own arteries are few and thin.
    cerebellum = (z < -16) & (y < -38)
    return np.asarray(where[field_of_view & ~ventricles & ~cerebellum], dtype=np.float64)


def _radii(
    rng: np.random.Generator, growth: _Growth, roots: dict[int, float], v: Variety
) -> tuple[Float64, Float64]:
    """The radius where each point's piece begins (at its parent) and where it ends."""
    count = len(growth.points)
    points, parent = np.array(growth.points), np.array(growth.parent)
    length = np.linalg.norm(points - points[np.maximum(parent, 0)], axis=1)
    ends = np.exp(rng.normal(0, 0.12, count))
    cubes = np.zeros(count)
    start, end = np.zeros(count), np.zeros(count)
    root = np.arange(count)
    for i in range(count - 1, -1, -1):
        if growth.children[i]:
            end[i] = np.cbrt(cubes[i])
        else:
            end[i] = ends[i]
        start[i] = end[i] * (1 + TAPER * length[i])
        if parent[i] >= 0:
            cubes[parent[i]] += start[i] ** 3
    for i in range(count):
        if parent[i] >= 0:
            root[i] = root[parent[i]]
    scale = np.array([roots[int(r)] / end[r] for r in root])
    return start * scale, end * scale


def _segments(growth: _Growth, radii: tuple[Float64, Float64]) -> Tree:
    start, end = radii
    points = np.array(growth.points)
    segments: list[Segment] = []
    of_point: dict[int, int] = {}
    following: dict[int, list[int]] = {}
    for i, p in enumerate(growth.parent):
        following.setdefault(p, []).append(i)
    heads = list(following[-1])
    for head in heads:
        parent = growth.parent[head]
        line = [head]
        while len(after := following.get(line[-1], [])) == 1:
            line.append(after[0])
        of_point[line[-1]] = len(segments)
        heads.extend(after)
        if parent < 0:
            found, radius = points[line], end[line]
        else:
            found, radius = points[[parent, *line]], np.append(start[head], end[line])
        segments.append(Segment(found, radius, of_point.get(parent), growth.name[head]))
    return Tree(tuple(segments))
