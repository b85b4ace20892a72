"""``nriqm.json`` beside a model's files: what its own files do not say about sampling.

A JSON file at the top of a bundle or pipeline folder, every key optional:

``num_inference_steps``
    Steps of the scheduler.
``chunk``
    How many images are drawn at once.
``value_range``
    [low, high] of the images.
``size``
    The spatial shape of the images.
``masks``
    An .npz of label maps ``masks`` ``(m, *spatial)`` for a network that paints masks.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.datasets import limits
from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.folder import Folder
from nriqm_bench.generators.module import declarations

NAME = "nriqm.json"
_KEYS = ("chunk", "masks", "num_inference_steps", "size", "value_range")
_MOST = {"num_inference_steps": 100_000, "chunk": 4096}
# More than any scan; an image or noise beyond it is a mistake or an attack.
_MOST_ELEMENTS = 2**27


def read_settings(folder: Folder) -> dict[str, Any]:
    """The checked content of ``nriqm.json`` in a folder; empty where there is none.

    Raises
    ------
    GeneratorError
        When it is damaged, has unknown keys, or values out of range.
    """
    if not folder.has(NAME):
        return {}
    text, path = folder.text, folder.path(NAME)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise GeneratorError(f"{text} has a damaged {NAME} ({brief(error)})") from error
    if not isinstance(found, dict) or set(found) - set(_KEYS):
        wrong = sorted(set(found) - set(_KEYS)) if isinstance(found, dict) else type(found).__name__
        raise GeneratorError(f"{text} has a {NAME} with {wrong}, must be {listed(_KEYS)}")
    for name, most in _MOST.items():
        if name in found and (type(found[name]) is not int or not 1 <= found[name] <= most):
            raise GeneratorError(
                f"{text} has {name} = {found[name]!r:.80} in its {NAME}, must be 1 to {most}"
            )
    if not isinstance(found.get("masks", ""), str):
        raise GeneratorError(f"{text} has no path for masks in its {NAME}, must be an .npz")
    declarations(text, found.get("size"), found.get("value_range"))
    return found


def checked_shape(text: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` when it is that of an image or its noise, and can be held in memory."""
    elements = 1
    for side in shape:
        elements *= side
    if min(shape) < 1 or elements > _MOST_ELEMENTS:
        raise GeneratorError(
            f"{text} declares images or noise of shape {shape}, must be positive and at most "
            f"{_MOST_ELEMENTS} values each"
        )
    return shape


def read_masks(folder: Folder, name: str, labels: int, dims: int) -> NDArray[np.uint8]:
    """The label maps ``(m, *spatial)`` that a network paints, each below `labels`.

    Raises
    ------
    GeneratorError
        When the file has no array ``masks``, of another number of dimensions or other labels.
    """
    text, path = folder.text, folder.path(name)
    try:
        limits.check_npz(path)
        with np.load(path, allow_pickle=False) as arrays:
            masks = np.asarray(arrays["masks"])
    except Exception as error:
        raise GeneratorError(
            f"{text}: {name} could not be read ({brief(error)}), must be an .npz with integer "
            "label maps 'masks'"
        ) from error
    if masks.ndim != dims + 1 or not masks.size:
        raise GeneratorError(
            f"{text}: {name} holds masks of shape {masks.shape}, must be (m, *spatial) with "
            f"{dims} spatial axes"
        )
    found = np.unique(masks)
    if masks.dtype.kind not in "iub" or found[0] < 0 or found[-1] >= labels:
        raise GeneratorError(
            f"{text}: {name} holds {masks.dtype} labels {found[0]} to {found[-1]}, must be "
            f"integers from 0 to {labels - 1}, the labels that the network knows"
        )
    return masks.astype(np.uint8)
