"""How a Python network is sampled: the protocol of checkpoints and state dicts.

The network is a `torch.nn.Module` with one of

* ``sample(n: int, generator: torch.Generator, **settings)``: every random draw is taken from
  `generator`, on ``generator.device``; settings are the sampler settings of the checkpoint,
* ``forward(z)`` with a sampler setting or attribute ``latent_dim`` or ``latent_shape``: z is
  standard normal ``(n, *latent_shape)``,

returning images ``(n, channels, *spatial)`` or a tuple of images and integer masks
``(n, *spatial)``. Attributes, all optional: ``value_range``, (low, high) of the images; ``size``,
the spatial shape.

Either method may also take ``labels`` or ``masks`` by these names (see `conditions`): labels when
a sampler setting or attribute ``num_classes`` or ``class_weights`` declares the classes, masks when
the argument has no default or the setting or attribute ``condition`` is ``"masks"``. ``forward``
needs no z where it takes masks: ``forward(masks)``.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.generators.conditions import (
    LABELS,
    MASKS,
    class_weights,
    draw_labels,
    takes_masks,
    undeclared,
)
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.generator import CHUNK

if TYPE_CHECKING:
    import torch

# Images and latent numbers of one call: more is a mistake, or meant to fill the memory.
_LARGEST_CHUNK = 4096
_LARGEST_LATENT = 2**28
# Sampler settings that steer the loader; all others go to the network's sample method.
_OWN = ("chunk", "latent_dim", "latent_shape", "num_classes", "class_weights", "condition")


def drawer(text: str, model: Any, sampler: Mapping[str, Any], device: str) -> Callable[..., Any]:
    """A function ``(n, seed)``, or ``(n, seed, masks)``, that samples `model` as said above."""
    import torch

    model = model.to(device).eval()

    def declared(name: str) -> Any:
        found = sampler.get(name)
        return getattr(model, name, None) if found is None else found

    shape = next(
        (s for n in ("latent_shape", "latent_dim") if (s := declared(n)) is not None), None
    )
    settings = {name: value for name, value in sampler.items() if name not in _OWN}
    by_sample = callable(getattr(model, "sample", None))
    method = model.sample if by_sample else model.forward
    weights, from_masks = wanted(text, method, declared)
    if by_sample:
        _check_settings(text, model, settings, weights is not None, from_masks)

        def call(n: int, seed: int, given: dict[str, Any]) -> Any:
            generator = torch.Generator(device=device)
            generator.manual_seed(seed)
            return model.sample(n, generator, **given, **settings)

    elif shape is not None or _takes_only(method, MASKS):
        if settings:
            raise GeneratorError(
                f"{text} has sampler settings {sorted(settings)} that nothing reads: the network "
                "has no method sample(n, generator, ...)"
            )

        def call(n: int, seed: int, given: dict[str, Any]) -> Any:
            z = () if shape is None else (latents(n, shape, seed, device),)
            return model(*z, **given)

    else:
        raise GeneratorError(
            f"{text} cannot be sampled: {type(model).__name__} has no method sample(n, generator) "
            "and no attribute latent_dim or latent_shape for forward(z)"
        )

    def draw(n: int, seed: int, masks: Any = None) -> Any:
        given = {}
        if weights is not None:
            given[LABELS] = torch.from_numpy(draw_labels(n, seed, weights)).to(device)
        if from_masks:
            given[MASKS] = torch.from_numpy(masks).to(device)
        with seeded(seed, device), torch.inference_mode():
            return call(n, seed, given)

    return takes_masks(draw) if from_masks else draw


def wanted(
    text: str, method: Callable[..., Any], declared: Callable[[str], Any]
) -> tuple[NDArray[np.float64] | None, bool]:
    """The class weights to draw labels with, or None, and whether masks are to be given.

    Raises
    ------
    GeneratorError
        When `method` must be given labels of which no classes are declared, or what is declared
        is no argument of it.
    """
    try:
        parameters = inspect.signature(method).parameters
    except (TypeError, ValueError):
        return None, False
    required = {n for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    weights = None
    if LABELS in parameters:
        weights = class_weights(text, declared)
        if weights is None and LABELS in required:
            raise undeclared(text)
    condition = declared("condition")
    if condition == MASKS and MASKS not in parameters and not takes_all:
        raise GeneratorError(
            f"{text} declares condition 'masks', but {method.__qualname__} has no argument masks"
        )
    return weights, MASKS in required or condition == MASKS


def _takes_only(method: Callable[..., Any], name: str) -> bool:
    """Whether `name` is the one argument that must be given."""
    parameters = inspect.signature(method).parameters.values()
    return [p.name for p in parameters if p.default is inspect.Parameter.empty] == [name]


def latents(n: int, shape: int | Sequence[int], seed: int, device: str) -> torch.Tensor:
    """Standard normal ``(n, *shape)``, the same on every device."""
    import torch

    shape = (int(shape),) if isinstance(shape, int) else tuple(int(s) for s in shape)
    if min(shape, default=1) < 1 or n * math.prod(shape) > _LARGEST_LATENT:
        raise GeneratorError(
            f"latent_shape was {shape}, must be positive and make at most {_LARGEST_LATENT} "
            f"numbers for {n} images"
        )
    z = np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)
    return torch.from_numpy(z).to(device)


@contextlib.contextmanager
def seeded(seed: int, device: str) -> Iterator[None]:
    """torch's global random state is set inside, for networks that draw from it, then restored."""
    import torch

    chosen = torch.device(device)
    devices = []
    if chosen.type == "cuda":
        devices = [torch.cuda.current_device() if chosen.index is None else chosen.index]
    with torch.random.fork_rng(devices), torch.no_grad():
        torch.manual_seed(seed)
        yield


def chunk_of(text: str, sampler: Mapping[str, Any]) -> int:
    """The chunk size among the sampler settings."""
    chunk = sampler.get("chunk", CHUNK)
    if not isinstance(chunk, int) or not 1 <= chunk <= _LARGEST_CHUNK:
        raise GeneratorError(
            f"{text} has sampler setting chunk = {chunk!r}, must be from 1 to {_LARGEST_CHUNK}"
        )
    return chunk


def declarations(
    text: str, size: Any, value_range: Any
) -> tuple[tuple[int, ...] | None, tuple[float, float] | None]:
    """What a model declares about its images, checked: (size, value_range), each or None.

    Only a tuple or list is a declaration: many networks call something else their ``size``.

    Raises
    ------
    GeneratorError
        When size is not two or three positive numbers, or value_range not (low, high).
    """
    try:
        shape = tuple(int(s) for s in size) if isinstance(size, tuple | list) else None
        bounds = None
        if isinstance(value_range, tuple | list):
            bounds = tuple(float(v) for v in value_range)
    except (TypeError, ValueError) as error:
        raise GeneratorError(
            f"{text} declares size {size!r:.80} and value_range {value_range!r:.80}, must be "
            "numbers"
        ) from error
    if shape is not None and (len(shape) not in (2, 3) or min(shape) < 1):
        raise GeneratorError(
            f"{text} declares size {shape}, must be (height, width) or (depth, height, width)"
        )
    if bounds is None:
        return shape, None
    if len(bounds) != 2 or not bounds[0] < bounds[1]:
        raise GeneratorError(
            f"{text} declares value_range {bounds}, must be (low, high) with low < high"
        )
    return shape, (bounds[0], bounds[1])


def source_hash(thing: Any) -> str:
    """The sha256 of the file that defines `thing`, or of its name where there is no file."""
    name = f"{thing.__module__}:{getattr(thing, '__qualname__', type(thing).__name__)}"
    digest = hashlib.sha256(name.encode())
    with contextlib.suppress(TypeError, OSError):
        digest.update(Path(inspect.getfile(inspect.unwrap(thing))).read_bytes())
    return digest.hexdigest()


def _check_settings(
    text: str, model: Any, settings: Mapping[str, Any], labels: bool, masks: bool
) -> None:
    given = {name: None for name, is_given in ((LABELS, labels), (MASKS, masks)) if is_given}
    try:
        inspect.signature(model.sample).bind(1, None, **given, **settings)
    except TypeError as error:
        shown = f"{type(model).__name__}.sample{inspect.signature(model.sample)}"
        raise GeneratorError(
            f"{text} cannot be sampled: {shown} does not take (n, generator) and the "
            f"settings {sorted(settings)} ({error})"
        ) from error
