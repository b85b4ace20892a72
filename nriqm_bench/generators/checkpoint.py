"""The self-describing checkpoint: weights with the name of their network, all plain data.

The file is what `torch.save` makes of a dict with ``format``, ``version``, ``architecture``,
``config``, ``state_dict``, ``sampler``, ``value_range``, ``size`` and ``metadata``; it is read with
``weights_only=True``.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nriqm_bench.generators import torchfile
from nriqm_bench.generators.budget import bounded
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.module import chunk_of, declarations, drawer, source_hash
from nriqm_bench.generators.resolve import build, resolve
from nriqm_bench.generators.source import Options, Source
from nriqm_bench.generators.weights import check_fit, fill

FORMAT = "nriqm_bench.generator"
VERSION = 1

# Steps of a sampler are hundreds or thousands: a setting beyond this would hardly ever end.
_LARGEST_SETTING = 1_000_000

_FIELDS: dict[str, type | tuple[type, ...]] = {
    "architecture": str,
    "config": dict,
    "state_dict": dict,
    "sampler": dict,
    "value_range": (tuple, list, type(None)),
    "size": (tuple, list, type(None)),
    "metadata": dict,
}


def load(source: Source, options: Options) -> Generator | None:
    """Load a checkpoint that `save_generator` wrote; None when it is something else."""
    if not torchfile.is_torch(source) or torchfile.is_torchscript(source):
        return None
    content = torchfile.read(source, trust=options.trust)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None
    _check(source.text, content)
    trusted = options.trust
    if options.architecture is None:
        name = content["architecture"]
        factory = resolve(source.text, name, trusted=trusted)
    elif callable(options.architecture):
        factory, trusted, name = options.architecture, True, "given architecture"
    else:
        name, trusted = options.architecture, True
        factory = resolve(source.text, name, trusted=True)
    if not trusted:
        _bound(source.text, factory, content)
    with contextlib.nullcontext() if trusted else bounded(content["state_dict"]):
        model = build(source.text, factory, content["config"], trusted=trusted)
    fill(source.text, model, content["state_dict"])
    sampler = content["sampler"]
    size, bounds = declarations(
        source.text,
        content["size"] or getattr(model, "size", None),
        content["value_range"] or getattr(model, "value_range", None),
    )
    return Generator(
        source.stem,
        "checkpoint",
        drawer(source.text, model, sampler, options.device),
        content=source.sha256(),
        settings={**sampler, "architecture": source_hash(factory)},
        chunk=chunk_of(source.text, sampler),
        size=size,
        value_range=bounds,
        summary=name,
        uses_architecture=options.architecture is not None,
    )


def save_generator(
    path: str | Path,
    model: Any,
    *,
    architecture: str | None = None,
    config: Mapping[str, Any] | None = None,
    sampler: Mapping[str, Any] | None = None,
    value_range: tuple[float, float] | None = None,
    size: tuple[int, ...] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model` as a checkpoint that says how to build and sample it.

    Parameters
    ----------
    path
        The file to write, for instance ``model.pt``; replaced in one step.
    model
        A `torch.nn.Module` that can be sampled (see `nriqm_bench.generators.module`).
    architecture
        A name of `nriqm_bench.generators.architectures`, or ``pkg.mod:Class``. Default: the
        model's own class. Networks of this package, monai.networks.nets and torch.nn load without
        trust.
    config
        Keyword arguments that build the network again: plain data only.
    sampler
        Plain data for sampling: ``chunk`` (images a call, default 16), ``latent_dim`` or
        ``latent_shape``; everything else goes to the model's ``sample`` as keywords.
    value_range
        (low, high) of the values that the model makes. None: inferred when sampling.
    size
        The spatial shape of its images.
    metadata
        Anything worth keeping: training data, date, licence. Plain data only.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    GeneratorError
        When something is no plain data, or when architecture and config do not rebuild the model.

    Examples
    --------
    >>> save_generator("vae.pt", vae, architecture="my.models:VAE", config={"width": 32},
    ...                value_range=(0, 1), size=(64, 64))  # doctest: +SKIP
    """
    import torch

    path = Path(path)
    if architecture is None:
        architecture = f"{type(model).__module__}:{type(model).__qualname__}"
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "architecture": architecture,
        "config": dict(config or {}),
        "state_dict": {k: v.detach().cpu().clone() for k, v in model.state_dict().items()},
        "sampler": dict(sampler or {}),
        "value_range": tuple(float(v) for v in value_range) if value_range else None,
        "size": tuple(int(s) for s in size) if size else None,
        "metadata": dict(metadata or {}),
    }
    _check(str(path), content)
    factory = resolve(str(path), architecture, trusted=True)
    rebuilt = build(str(path), factory, content["config"], trusted=True)
    fill(str(path), rebuilt, content["state_dict"])
    drawer(str(path), rebuilt, content["sampler"], "cpu")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _bound(text: str, factory: Any, content: Mapping[str, Any]) -> None:
    """Refuse a network larger than the weights in the file, before any memory is taken for it."""
    import torch

    for name, value in content["sampler"].items():
        if type(value) in (int, float) and not abs(value) <= _LARGEST_SETTING:
            raise GeneratorError(
                f"{text} has sampler setting {name} = {value!r}, must be at most {_LARGEST_SETTING}"
                "; correct it, or pass --nriqm-trust if you trust whoever made it"
            )

    for name, value in content["state_dict"].items():
        if not isinstance(value, torch.Tensor):
            raise GeneratorError(f"{text} has {type(value).__name__} for the weights {name!r}")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise GeneratorError(
                f"{text} declares weights {name!r} of shape {tuple(value.shape)} but does not hold "
                "them; it is refused"
            )
    try:
        with torch.device("meta"), bounded(content["state_dict"]):
            outline = build(text, factory, content["config"], trusted=False)
    except GeneratorError as error:
        # A constructor that computes with real numbers has no outline; it is checked when filled.
        if isinstance(error.__cause__, NotImplementedError | RuntimeError):
            return
        raise
    check_fit(text, outline, content["state_dict"])


def _check(text: str, content: Mapping[str, Any]) -> None:
    if content.get("version") != VERSION:
        raise GeneratorError(
            f"{text} has checkpoint version {content.get('version')!r}, this nriqm_bench reads "
            f"version {VERSION}; update the package or save the checkpoint again"
        )
    for name, kind in _FIELDS.items():
        if name not in content or not isinstance(content[name], kind):
            raise GeneratorError(
                f"{text} has no usable field {name!r} (it was {type(content.get(name)).__name__}); "
                "write it with nriqm_bench.save_generator"
            )
    for name in ("config", "sampler", "metadata"):
        _check_plain(f"{text}: {name}", content[name])
    declarations(text, content["size"], content["value_range"])
    chunk_of(text, content["sampler"])


def _check_plain(name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise GeneratorError(f"{name} has the key {key!r}, must be words")
            _check_plain(f"{name}[{key!r}]", item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            _check_plain(f"{name}[{i}]", item)
    elif not (value is None or type(value) in (bool, int, float, str)):
        raise GeneratorError(
            f"{name} was {type(value).__name__}, must be plain data: numbers, words, true or "
            "false, None, lists and dicts of these"
        )
