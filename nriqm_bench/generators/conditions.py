"""Conditional generators: labels are drawn here, masks are given by whoever samples.

An argument or graph input called ``labels`` is a class per image, int64 ``(n,)``, one called
``masks`` a label map per image, int64 ``(n, *spatial)``. Labels need a declaration ``num_classes``
(drawn uniformly from 0 to num_classes - 1) or ``class_weights`` (drawn in these proportions). Masks
come from `Generator.sample`: a run gives the masks of the training images, and they are returned as
the masks of the samples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.generators.errors import GeneratorError, brief

LABELS = "labels"
MASKS = "masks"
# What a file declares of itself as JSON, see `parse`.
DECLARATIONS = ("value_range", "size", "num_classes", "class_weights", "latent_shape", "chunk")

_MOST_CLASSES = 2**20
# Keeps the draws of labels apart from the latents of the same seed.
_STREAM = 1

Draw = Callable[..., Any]


def class_weights(text: str, declared: Callable[[str], Any]) -> NDArray[np.float64] | None:
    """The probability of each class, or None when no classes are declared.

    Parameters
    ----------
    text
        The checkpoint, for the messages.
    declared
        Looks a name up (``num_classes``, ``class_weights``); None where it is not declared.

    Raises
    ------
    GeneratorError
        When they are no numbers of classes, or contradict each other.
    """
    classes, weights = declared("num_classes"), declared("class_weights")
    if classes is not None and not (
        isinstance(classes, int) and not isinstance(classes, bool) and 1 <= classes <= _MOST_CLASSES
    ):
        raise GeneratorError(
            f"{text} declares num_classes {classes!r}, must be an integer from 1 to {_MOST_CLASSES}"
        )
    if weights is None:
        return None if classes is None else np.full(classes, 1 / classes)
    try:
        found = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or found.min() < 0:
        found = np.zeros(1)
    if not found.sum() > 0 or (classes is not None and len(found) != classes):
        needed = "" if classes is None else f"{classes} "
        raise GeneratorError(
            f"{text} declares class_weights {weights!r:.100}, must be {needed}numbers of at least "
            "0 that are not all 0, one a class"
        )
    shares: NDArray[np.float64] = found / found.sum()
    return shares


def draw_labels(n: int, seed: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """`n` classes, drawn independently with the probabilities `weights`."""
    return np.random.default_rng((seed, _STREAM)).choice(len(weights), n, p=weights)


def undeclared(text: str) -> GeneratorError:
    """What to say of a network that takes labels and does not tell which."""
    return GeneratorError(
        f"{text} takes labels but does not say how many classes there are; declare num_classes or "
        "class_weights"
    )


def takes_masks(draw: Draw) -> Draw:
    """Mark ``draw(n, seed, masks)`` as one that needs masks."""
    draw.needs_masks = True  # type: ignore[attr-defined]
    return draw


def one_hot(values: NDArray[Any], classes: int, what: str) -> NDArray[np.float32]:
    """``(n, *spatial)`` labels as ``(n, classes, *spatial)`` zeros and ones."""
    if values.size and values.max() >= classes:
        raise GeneratorError(
            f"{what} hold the label {int(values.max())}, but the network takes {classes} classes "
            f"(labels 0 to {classes - 1})"
        )
    hot = values[:, None] == np.arange(classes).reshape(1, -1, *(1,) * (values.ndim - 1))
    made: NDArray[np.float32] = hot.astype(np.float32)
    return made


def parse(text: str, content: str | bytes | None) -> dict[str, Any]:
    """The declarations of a file: a JSON object with some of `DECLARATIONS`; {} for None."""
    if content is None:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GeneratorError(
            f"{text} has declarations that are no JSON ({brief(error)}); write an object such as "
            '{"value_range": [-1, 1]}'
        ) from error
    if not isinstance(found, Mapping):
        raise GeneratorError(
            f"{text} has declarations of type {type(found).__name__}, must be a JSON object"
        )
    if unknown := [name for name in found if name not in DECLARATIONS]:
        raise GeneratorError(
            f"{text} declares {unknown[0]!r}, which nothing reads; known are "
            f"{', '.join(DECLARATIONS)}"
        )
    return dict(found)
