"""The tumour of a phantom: necrotic core, enhancing rim and oedema, irregular, in white matter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

CORE, OEDEMA, RIM = 1, 2, 3

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class Lesion:
    """One tumour as a subject's slices show it.

    `depth` is the distance from the centre in units of the outline (1 on it); `labels` follow from
    it; brightness is relative to white matter at 0.5.
    """

    depth: Float32
    labels: NDArray[np.uint8]
    core_edge: float
    rim_edge: float
    softness: float
    core: float
    rim: float
    oedema: float
    grain: float

    def paint(self, tissue: Float32, fluid: Float32, speckle: Float32) -> Float32:
        """`tissue` with the tumour in it: soft outlines, and oedema that spares fluid.

        `speckle` (unit SD) is the tumour's own fine texture.
        """
        soft = self.softness
        grain = 1 + self.grain * speckle
        out = tissue + (self.oedema * grain - tissue) * expit((1 - self.depth) / soft) * (
            1 - 0.7 * fluid
        )
        out = out + (self.rim * grain - out) * expit((self.rim_edge - self.depth) / soft)
        return out + (self.core * grain - out) * expit((self.core_edge - self.depth) / soft)


def draw_lesion(
    rng: np.random.Generator, where: NDArray[np.float32], white: Float32, inner: int = 0
) -> Lesion:
    """A tumour centred in the white matter of one of a subject's slices.

    Parameters
    ----------
    where
        ``(3, slices, height, width)`` atlas positions in millimetres.
    white
        ``(slices, height, width)`` white matter.
    inner
        So many slices at either end hold no centre.
    """
    level = int(rng.integers(inner, len(white) - inner))
    candidates = np.flatnonzero(white[level] > 0.6)
    if not len(candidates):
        candidates = np.flatnonzero(white[level] >= white[level].max())
    spot = candidates[int(rng.integers(len(candidates)))]
    centre = where[:, level].reshape(3, -1)[:, spot]
    radius = float(np.clip(np.exp(rng.normal(np.log(21), 0.42)), 7, 42))
    gap = where - centre[:, None, None, None]
    stretch = np.exp(rng.normal(0, 0.18, 3)).astype(np.float32)[:, None, None, None]
    distance = np.sqrt(np.sum((gap / stretch) ** 2, axis=0))
    depth = distance / radius * np.exp(_roughness(rng, gap, radius))
    # Oedema spreads along white matter and stops at grey.
    depth = depth * (1 + 0.30 * (0.75 - white))
    rim_edge = float(rng.uniform(0.35, 0.62))
    core_edge = rim_edge * float(rng.uniform(0.5, 0.8)) if rng.random() < 0.8 else -1.0
    brain = white > 0.02
    labels = np.zeros(depth.shape, np.uint8)
    labels[(depth < 1) & brain] = OEDEMA
    labels[(depth < rim_edge) & brain] = RIM
    labels[(depth < core_edge) & brain] = CORE
    return Lesion(
        depth=np.where(brain, depth, 9).astype(np.float32),
        labels=labels,
        core_edge=core_edge,
        rim_edge=rim_edge,
        softness=float(rng.uniform(0.012, 0.04)),
        core=float(rng.uniform(0.15, 0.6)),
        rim=float(rng.uniform(0.7, 1.0)),
        oedema=float(rng.uniform(0.78, 1.1)),
        grain=float(rng.uniform(0.03, 0.09)),
    )


def _roughness(rng: np.random.Generator, gap: NDArray[np.float32], radius: float) -> Float32:
    """A smooth random field in space that makes the outline irregular."""
    total = np.zeros(gap.shape[1:], np.float32)
    for wave in range(6):
        direction = rng.standard_normal(3)
        direction *= (1.2 + 0.9 * wave) / (radius * np.linalg.norm(direction))
        phase = rng.uniform(0, 2 * np.pi)
        swing = rng.normal(0, 0.16 / (1 + 0.35 * wave))
        total += (swing * np.cos(np.tensordot(direction, gap, 1) + phase)).astype(np.float32)
    return total
