"""Turn what a generator returned into a validated `ImageSet`, and say what had to be assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.generators.errors import GeneratorError, brief
from nriqm_bench.images import ImageSet, concatenate

# Below this a minimum means [-1, 1]; above it, interpolation overshoot around [0, 1].
_NEGATIVE = -0.05
# Values may leave the range by this share of its width in at most this share of the pixels.
_OVERSHOOT = 0.05
_OVERSHOOT_SHARE = 0.01
_CHANNELS = (1, 2, 3, 4)
# Integers that use less of their type, and other images that use less of their range, are of
# another range than it seems.
_INTEGERS_FILL = 1 / 8
_FILL = 0.05
# A channel of so few values is no image.
_FEW = 8
# How masks are saved that are looked at.
_WHITE = 255

Notes = dict[str, str]


def assemble(
    parts: Sequence[Any],
    counts: Sequence[int],
    *,
    name: str,
    size: tuple[int, ...] | None = None,
    value_range: tuple[float, float] | None = None,
) -> tuple[ImageSet, Notes]:
    """Join the chunks of one draw, check them and bring their values into [0, 1].

    Parameters
    ----------
    parts
        One entry a chunk: an `ImageSet`, images, or (images, masks); arrays or tensors.
    counts
        How many images each chunk had to hold.
    name
        The generator, for the messages.
    size
        The spatial shape that was promised.
    value_range
        (low, high) as declared; None to infer it.

    Returns
    -------
    tuple[ImageSet, dict[str, str]]
        The images, and a sentence for each assumption.

    Raises
    ------
    GeneratorError
        On a wrong count, shape, channel number, range, NaN, or constant images.
    """
    notes: Notes = {}
    if all(isinstance(part, ImageSet) for part in parts):
        for part, count in zip(parts, counts, strict=True):
            _check_count(name, len(part), count)
        found = concatenate(*parts) if len(parts) > 1 else parts[0]
    else:
        pairs = [_pair(name, part) for part in parts]
        for (images, _), count in zip(pairs, counts, strict=True):
            _check_shape(name, images, count)
        shapes = {images.shape[1:] for images, _ in pairs}
        if len(shapes) > 1:
            raise GeneratorError(
                f"{name} returned images of different shapes {sorted(shapes)}, must be one shape"
            )
        if len({masks is None for _, masks in pairs}) > 1:
            raise GeneratorError(f"{name} returned masks for some images only, must be all or none")
        images = np.concatenate([images for images, _ in pairs])
        scaled = _scale(name, images, value_range, notes)
        masks = None
        if pairs[0][1] is not None:
            masks = _masks(name, np.concatenate([m for _, m in pairs]), images, notes)
        found = ImageSet(scaled, masks)
    if size is not None and found.spatial != tuple(size):
        raise GeneratorError(
            f"{name} returned images of size {found.spatial}, but its checkpoint declares {size}; "
            "correct the declared size"
        )
    _check_variety(name, found, notes)
    return found, notes


def _pair(name: str, part: Any) -> tuple[NDArray[Any], NDArray[Any] | None]:
    if isinstance(part, ImageSet):
        return part.images, part.masks
    if isinstance(part, tuple | list) and len(part) == 2:
        return _array(name, "images", part[0]), _array(name, "masks", part[1])
    if isinstance(part, tuple | list | dict | str) or part is None:
        raise GeneratorError(
            f"{name} returned {_kind(part)}, must be images (n, channels, height, width), or a "
            "tuple of images and masks"
        )
    return _array(name, "images", part), None


def _kind(part: Any) -> str:
    article = "an" if type(part).__name__[0] in "aeiou" else "a"
    length = f" of {len(part)}" if isinstance(part, tuple | list) else ""
    return f"{article} {type(part).__name__}{length}" if part is not None else "None"


def _array(name: str, role: str, value: Any) -> NDArray[Any]:
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() else value).numpy()
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise GeneratorError(
            f"{name} returned {role} that are no plain array ({brief(error)}), must be real numbers"
        ) from error
    if array.dtype.kind not in "fiub":
        raise GeneratorError(f"{name} returned {role} of dtype {array.dtype}, must be real numbers")
    return array


def _check_count(name: str, got: int, wanted: int) -> None:
    if got != wanted:
        raise GeneratorError(
            f"{name} returned {got} images when {wanted} were asked for, must be exactly n"
        )


def _check_shape(name: str, images: NDArray[Any], count: int) -> None:
    if images.ndim not in (4, 5) or 0 in images.shape:
        hint = "; add the channel axis with [:, None]" if images.ndim == 3 else ""
        raise GeneratorError(
            f"{name} returned images of shape {images.shape}, must be (n, channels, height, width) "
            f"or (n, channels, depth, height, width){hint}"
        )
    _check_count(name, len(images), count)
    if images.shape[1] not in _CHANNELS:
        last = images.shape[-1] in _CHANNELS
        hint = "; the channels seem to come last: move them to axis 1" if last else ""
        raise GeneratorError(
            f"{name} returned images with {images.shape[1]} channels (shape {images.shape}), must "
            f"be 1 to 4{hint}"
        )
    if min(images.shape[2:]) < 2:
        raise GeneratorError(
            f"{name} returned images of shape {images.shape}, must have at least 2 pixels along "
            "every axis of space; leave out axes of length 1"
        )


def _scale(
    name: str, images: NDArray[Any], declared: tuple[float, float] | None, notes: Notes
) -> NDArray[np.float32]:
    if images.dtype == np.bool_:
        raise GeneratorError(f"{name} returned true or false for images, must be grey values")
    finite = np.isfinite(images).reshape(len(images), -1).all(1)
    if not finite.all():
        raise GeneratorError(
            f"{name} returned NaN or infinity in {int((~finite).sum())} of {len(images)} images; "
            "check its weights and that its precision suits the device"
        )
    _check_channels(name, images)
    low, high = float(images.min()), float(images.max())
    bounds = declared or _infer(name, images.dtype, low, high, notes)
    width = bounds[1] - bounds[0]
    if declared and low < high and (high - low) < width / 2:
        notes["reach"] = (
            f"{name}: the values reach only [{low:.4g}, {high:.4g}] of the declared range "
            f"[{bounds[0]:g}, {bounds[1]:g}]"
        )
    precise = images.astype(np.promote_types(images.dtype, np.float32))
    scaled = ((precise - bounds[0]) / width).astype(np.float32)
    outside = float(np.mean((scaled < -1e-5) | (scaled > 1 + 1e-5)))
    if outside:
        far = float(np.mean((scaled < -_OVERSHOOT) | (scaled > 1 + _OVERSHOOT)))
        said = f"range [{bounds[0]:g}, {bounds[1]:g}]"
        if far > _OVERSHOOT_SHARE:
            how = "declared" if declared else "inferred"
            raise GeneratorError(
                f"{name} returned values in [{low:.4g}, {high:.4g}], of which {far:.1%} lie far "
                f"outside the {how} {said}; declare the true one as value_range"
            )
        notes["clipped"] = (
            f"{name}: {outside:.2%} of the values left the {said} (they reached [{low:.4g}, "
            f"{high:.4g}]) and were clipped"
        )
    return np.clip(scaled, 0, 1)


def _infer(
    name: str, dtype: np.dtype[Any], low: float, high: float, notes: Notes
) -> tuple[float, float]:
    wrong = f"{name} returned values in [{low:.4g}, {high:.4g}] and declares no range"
    remedy = (
        "declare value_range=(low, high) in save_generator or as an attribute of the network or "
        "function, or rescale the samples"
    )
    if dtype.kind == "u":
        bounds = (0.0, float(np.iinfo(dtype).max))
        if high < bounds[1] * _INTEGERS_FILL:
            raise GeneratorError(
                f"{wrong}, must use more of {dtype} than that to be taken for its full scale "
                f"[0, {bounds[1]:g}]; {remedy}"
            )
    elif dtype.kind == "f" and high <= 1.5 and low >= -1.5:
        bounds = (-1.0, 1.0) if low < _NEGATIVE else (0.0, 1.0)
        if 0 < high - low < _FILL * (bounds[1] - bounds[0]):
            raise GeneratorError(
                f"{wrong}, must use more of [{bounds[0]:g}, {bounds[1]:g}] than that to be taken "
                f"for it; {remedy}"
            )
    else:
        raise GeneratorError(f"{wrong}, must be in [0, 1] or [-1, 1]; {remedy}")
    notes["range"] = (
        f"{name}: no value range is declared; [{bounds[0]:g}, {bounds[1]:g}] was inferred from "
        f"values in [{low:.4g}, {high:.4g}]"
    )
    return bounds


def _check_channels(name: str, images: NDArray[Any]) -> None:
    """Refuse a mask that is returned as a channel: of few values, beside a channel of many."""
    if images.shape[1] == 1:
        return
    counts = [len(np.unique(images[:, c])) for c in range(images.shape[1])]
    few = [c for c, count in enumerate(counts) if 1 < count <= _FEW]
    if few and max(counts) > 4 * _FEW:
        raise GeneratorError(
            f"{name} returned images whose channel {few[0]} has only {counts[few[0]]} different "
            "values, which looks like a mask; return a tuple of images and integer masks"
        )


def _masks(name: str, masks: NDArray[Any], images: NDArray[Any], notes: Notes) -> NDArray[np.uint8]:
    expected = (len(images), *images.shape[2:])
    if masks.shape == (len(images), 1, *images.shape[2:]):
        masks = masks[:, 0]
    if masks.shape != expected:
        raise GeneratorError(
            f"{name} returned masks of shape {masks.shape}, must be {expected} with one integer "
            "label a pixel (take the argmax of one-hot masks)"
        )
    labels = np.rint(masks.astype(np.float64))
    if not np.array_equal(labels, masks) or labels.min() < 0 or labels.max() > 255:
        raise GeneratorError(
            f"{name} returned masks with values in [{masks.min():.4g}, {masks.max():.4g}], must be "
            "integer labels from 0 to 255 (take the argmax, or threshold probabilities)"
        )
    found = set(np.unique(labels).astype(int).tolist())
    if found <= {0, _WHITE} and _WHITE in found:
        notes["white"] = f"{name}: the masks hold {_WHITE} as their only label, which became 1"
        labels = labels / _WHITE
    if len(found) == 1:
        notes["labels"] = f"{name}: every pixel of every mask is {found.pop()}"
    return labels.astype(np.uint8)


def _check_variety(name: str, found: ImageSet, notes: Notes) -> None:
    flat = found.images.reshape(len(found), -1)
    constant = flat.min(1) == flat.max(1)
    if constant.all():
        raise GeneratorError(
            f"{name} returned {len(found)} constant images (every pixel of an image is equal); "
            "check its weights, its latent input and its value_range"
        )
    if constant.any():
        notes["constant"] = f"{name}: {int(constant.sum())} of {len(found)} images are constant"
    distinct = len({row.tobytes() for row in flat})
    if distinct < len(found):
        notes["identical"] = f"{name}: only {distinct} of {len(found)} images are distinct"
