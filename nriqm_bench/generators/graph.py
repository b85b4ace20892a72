"""What a fixed graph (torch.export, ONNX) is fed: latents, labels and masks, by name and shape.

An input called ``labels`` or ``masks`` is a condition (see `conditions`): integers ``(n,)`` and
``(n, *spatial)``, or one-hot ``(n, classes)`` and ``(n, classes, *spatial)``; one channel
``(n, 1, *spatial)`` holds the labels themselves. At most one other input is the latent:
floating point ``(n, *latent_shape)``, standard normal. The first axis of all is the batch; where
it is fixed, so many images are made at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.generators.conditions import (
    LABELS,
    MASKS,
    class_weights,
    draw_labels,
    one_hot,
    undeclared,
)
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.module import chunk_of

# A latent of more numbers an image than this is no latent (a volume of 512 cubed has 2**27).
_LARGEST = 2**27
_MOST = 4096

Array = NDArray[Any]


class Input(NamedTuple):
    """One input of a graph: None stands for an axis of any length."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]


class Feed(NamedTuple):
    """How to feed a graph: `make(n, seed, masks)` gives its inputs in order."""

    chunk: int
    needs_masks: bool
    size: tuple[int, ...] | None
    make: Callable[[int, int, Array | None], list[Array]]
    summary: str


def feed(text: str, inputs: Sequence[Input], declared: Mapping[str, Any]) -> Feed:
    """Plan the inputs of a graph.

    Parameters
    ----------
    text
        The checkpoint, for the messages.
    inputs
        In the order in which the graph takes them.
    declared
        What the file declares: ``num_classes``, ``class_weights``, ``latent_shape``, ``chunk``.

    Raises
    ------
    GeneratorError
        When there is an input that is no latent, labels or masks.
    """
    makers: list[Callable[[int, int, Array | None], Array]] = []
    size: tuple[int, ...] | None = None
    for given in inputs:
        if given.name == LABELS:
            makers.append(_labels(text, given, declared))
        elif given.name == MASKS:
            makers.append(_masks(text, given))
            known = tuple(s for s in _spatial(given) if s is not None)
            size = known if len(known) == len(_spatial(given)) else None
        else:
            makers.append(_latent(text, given, declared))
    others = [given for given in inputs if given.name not in (LABELS, MASKS)]
    if len(others) > 1:
        raise GeneratorError(
            f"{text} takes {_told(others)}, must take one latent; call the others labels or masks "
            "if they are, or draw all noise from one latent"
        )
    if not others and not any(given.name == MASKS for given in inputs):
        raise GeneratorError(
            f"{text} takes {_told(inputs) or 'no input'}, so that all its images of one seed or "
            "class would be equal; export it with a latent z as an input"
        )

    def make(n: int, seed: int, masks: Array | None) -> list[Array]:
        return [maker(n, seed, masks) for maker in makers]

    return Feed(
        _chunk(text, inputs, declared),
        any(given.name == MASKS for given in inputs),
        size,
        make,
        _told(inputs),
    )


def _chunk(text: str, inputs: Sequence[Input], declared: Mapping[str, Any]) -> int:
    fixed = {given.shape[0] for given in inputs if given.shape and given.shape[0] is not None}
    wanted = chunk_of(text, declared)
    if not fixed:
        return wanted
    if len(fixed) > 1 or not 1 <= (found := fixed.pop() or 0) <= _MOST:
        raise GeneratorError(
            f"{text} takes {_told(inputs)}, must have one batch size up to {_MOST}"
        )
    if "chunk" in declared and wanted != found:
        raise GeneratorError(
            f"{text} declares chunk {wanted}, but its batch size is fixed to {found}"
        )
    return found


def _latent(text: str, given: Input, declared: Mapping[str, Any]) -> Any:
    shape = given.shape[1:]
    if (told := declared.get("latent_shape")) is not None:
        fits = isinstance(told, list) and len(told) == len(shape)
        whole = fits and all(isinstance(s, int) and s >= 1 for s in told)
        if not whole or any(b not in (None, a) for a, b in zip(told, shape, strict=True)):
            raise GeneratorError(
                f"{text} declares latent_shape {told!r}, but takes {_told([given])}"
            )
        shape = tuple(told)
    known = tuple(s for s in shape if s is not None)
    if given.dtype.kind != "f" or len(given.shape) < 2:
        raise GeneratorError(
            f"{text} takes {_told([given])}, which is no latent (floating point, (n, ...)); an "
            "input of classes must be called labels, one of label maps masks"
        )
    if len(known) < len(shape):
        raise GeneratorError(
            f"{text} takes {_told([given])}, of which only the first axis may have any length; "
            "declare latent_shape, or export it with the others fixed"
        )
    if math.prod(known) > _LARGEST or min(known) < 1:
        raise GeneratorError(f"{text} takes {_told([given])}, which is no size of a latent")

    def make(n: int, seed: int, masks: Array | None) -> Array:
        return np.random.default_rng(seed).standard_normal((n, *known)).astype(given.dtype)

    return make


def _labels(text: str, given: Input, declared: Mapping[str, Any]) -> Any:
    weights = class_weights(text, declared.get)
    if weights is None:
        raise undeclared(text)
    hot = given.dtype.kind == "f" and len(given.shape) == 2
    if not hot and not (given.dtype.kind in "iu" and len(given.shape) == 1):
        raise GeneratorError(
            f"{text} takes {_told([given])}, must be integers (n,) or one-hot floating point "
            "(n, classes)"
        )
    if hot and given.shape[1] not in (None, len(weights)):
        raise GeneratorError(
            f"{text} takes {_told([given])}, but declares {len(weights)} classes; make them equal"
        )

    def make(n: int, seed: int, masks: Array | None) -> Array:
        drawn = draw_labels(n, seed, weights)
        return (one_hot(drawn, len(weights), "labels") if hot else drawn).astype(given.dtype)

    return make


def _masks(text: str, given: Input) -> Any:
    axes = len(given.shape)
    channels = axes >= 4
    floating = given.dtype.kind == "f"
    if given.dtype.kind not in "iuf" or axes not in (3, 4, 5) or (floating and not channels):
        raise GeneratorError(
            f"{text} takes {_told([given])}, must be integers (n, height, width), or have a "
            "channel axis (n, 1 or classes, height, width)"
        )
    if channels and given.shape[1] is None:
        raise GeneratorError(f"{text} takes {_told([given])}, must have a fixed number of channels")

    def make(n: int, seed: int, masks: Array | None) -> Array:
        if masks is None:
            raise GeneratorError(f"{text} takes masks, and none were given")
        expected = _spatial(given)
        spatial = masks.shape[1:]
        if len(spatial) != len(expected) or any(
            e not in (None, s) for s, e in zip(spatial, expected, strict=True)
        ):
            raise GeneratorError(
                f"{text} takes {_told([given])}, but the masks are of size {spatial}"
            )
        if not channels:
            made = masks
        elif given.shape[1] == 1:
            made = masks[:, None]
        else:
            made = one_hot(masks, int(given.shape[1] or 0), "the masks")
        return made.astype(given.dtype)

    return make


def _spatial(given: Input) -> tuple[int | None, ...]:
    """The spatial axes of an input of masks."""
    return given.shape[2 if len(given.shape) >= 4 else 1 :]


def _told(inputs: Sequence[Input]) -> str:
    return ", ".join(
        f"{i.name} {i.dtype} ({', '.join('n' if s is None else str(s) for s in i.shape)})"
        for i in inputs
    )
