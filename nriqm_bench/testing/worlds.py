"""Samples whose defect is known: features, class probabilities and images that get worse on demand.

Every draw of a seed uses the same random numbers, so that two levels of a defect differ by the
defect alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MODES = 4
DIM = 8
CLASSES = 8
SIDE = 64

# Root mean square distance of a feature row from the mean of its distribution, for DIM columns:
# 12 between the modes, 8 within, 25 of the factor that the second half of the columns shares.
UNIT = 0.5
RADIUS = UNIT * float(np.sqrt(45.0))


class Defect(NamedTuple):
    """How a sample differs from a sound one.

    Parameters
    ----------
    shift
        Features: displacement in units of `RADIUS`. Probabilities: loss of confidence. Images:
        noise, in units of a tenth of the grey scale.
    spread
        Features and images: factor on the deviations from the mean (of the heads' geometry).
        Probabilities: factor on the logits.
    modes
        How many of the `MODES` kinds of rows there are.
    """

    shift: float = 0.0
    spread: float = 1.0
    modes: int = MODES


SOUND = Defect()


class Draw(NamedTuple):
    """Three samples of one world: held-out real, fake, and training rows."""

    real: Any
    fake: Any
    train: Any

    def each(self, change: Callable[[Any], Any]) -> Draw:
        """The draw with all three samples changed in one way."""
        return Draw(*(change(sample) for sample in self))


def draw(needs: str, seed: int, n: int, defect: Defect = SOUND, dim: int = DIM) -> Draw:
    """Real, training and fake rows of one distribution, the fake ones with a defect.

    Parameters
    ----------
    needs
        What the metric reads: ``"features"`` gives ``(n, dim)``, ``"logits"`` ``(n, CLASSES)``
        class probabilities, ``"images"`` ``(n, 1, SIDE, SIDE)`` in [0, 1].
    seed
        Which draw; equal seeds share all random numbers.
    n
        Rows in each sample.
    defect
        What is wrong with the fake rows.
    dim
        Columns of features; at least `MODES`.
    """
    defects = (SOUND, defect, SOUND)
    return Draw(*(_sample(needs, seed, part, n, dim, d).copy() for part, d in enumerate(defects)))


def direction(dim: int) -> Array:
    """The unit vector along which features are shifted."""
    signs: Array = np.where(np.arange(dim) % 2, -1.0, 1.0)
    return np.asarray(signs / np.sqrt(dim))


def far_row(needs: str, like: Array, side: float) -> Array:
    """One row far from all others: five radii away, without a class, white or checked."""
    if needs == "features":
        d = like.shape[1]
        far: Array = like.mean(0, keepdims=True) + side * 5 * RADIUS * direction(d)
        return far
    if needs == "logits":
        return np.full((1, like.shape[1]), 1 / like.shape[1])
    white = np.ones((1, *like.shape[1:]))
    return white if side > 0 else white * (np.indices(like.shape[2:]).sum(0) % 2)


@lru_cache(maxsize=32)
def _sample(needs: str, seed: int, part: int, n: int, dim: int, defect: Defect) -> Array:
    rng = np.random.default_rng([20250507, seed, part])
    place = rng.uniform(size=n)
    if needs == "images":
        # Few of them: as many of each kind as can be, or chance would hide what is missing.
        place = (np.argsort(place) + 0.5) / n
    kind = np.floor(place * defect.modes).astype(np.intp)
    makers = {"features": _features, "logits": _probabilities, "images": _images}
    return makers[needs](rng, kind, dim, defect)


def _features(rng: np.random.Generator, kind: NDArray[np.intp], dim: int, defect: Defect) -> Array:
    n = len(kind)
    centres = 4 * np.eye(MODES, dim)
    rows = centres[kind] + rng.normal(size=(n, dim))
    shared = np.zeros(dim)
    shared[dim // 2 :] = 5 / np.sqrt(dim - dim // 2)
    rows += rng.normal(size=(n, 1)) * shared
    # Networks' features are far from centred at the origin.
    mean = centres.mean(0)
    placed = UNIT * (1 + mean + defect.spread * (rows - mean))
    return np.asarray(placed + defect.shift * RADIUS * direction(dim))


def _probabilities(
    rng: np.random.Generator, kind: NDArray[np.intp], dim: int, defect: Defect
) -> Array:
    logits = 5 * np.eye(CLASSES)[kind * (CLASSES // MODES)] + rng.normal(size=(len(kind), CLASSES))
    powers = np.exp(logits * defect.spread / (1 + 4 * defect.shift))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def _images(rng: np.random.Generator, kind: NDArray[np.intp], dim: int, defect: Defect) -> Array:
    """Heads with a rim, two ventricles and one lesion, whose place and size tell the kind."""
    n, at = len(kind), (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    y, x = np.meshgrid(at, at, indexing="ij")
    vary = rng.normal(size=(n, 6, 1, 1)) * defect.spread
    noise, grain = rng.normal(size=(2, n, SIDE, SIDE))
    angle = (kind * 2 * np.pi / MODES + 0.4)[:, None, None]
    round_x = 0.55 + 0.2 * (kind % 2)[:, None, None] + 0.04 * vary[:, 0]
    round_y = 0.78 - 0.2 * (kind // 2)[:, None, None] + 0.04 * vary[:, 1]

    def blob(cx: Any, cy: Any, rx: Any, ry: Any) -> Array:
        reach = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        return np.asarray(1 / (1 + np.exp(np.clip((reach - 1) * 20, -50, 50))))

    inside = blob(0.05 * vary[:, 2], 0.05 * vary[:, 3], round_x, round_y)
    core = blob(0.05 * vary[:, 2], 0.05 * vary[:, 3], 0.85 * round_x, 0.85 * round_y)
    image = 0.35 * inside + (0.2 + 0.03 * vary[:, 4]) * core
    for side in (-1, 1):
        image = image - 0.3 * blob(side * 0.15, -0.05, 0.09, 0.2 + 0.02 * vary[:, 5])
    image += 0.35 * blob(0.35 * np.cos(angle), 0.35 * np.sin(angle), 0.2, 0.2)
    image += 0.01 * grain + 0.1 * defect.shift * noise + 0.05
    return np.asarray(np.clip(image, 0, 1)[:, None])
