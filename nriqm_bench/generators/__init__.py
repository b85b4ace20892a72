"""Any checkpoint in, one `Generator` out: a kind of checkpoint is one function in one file.

A kind is a function ``(source, options) -> Generator | None`` that looks at the content and
returns None when it is not its own::

    @nriqm_bench.generators.register("onnx")
    def load(source, options):
        if source.is_dir or not source.path.name.endswith(".onnx"):
            return None
        return Generator(source.stem, "onnx", draw, content=source.sha256())

Registered kinds and those of installed packages (entry point group ``nriqm_bench.generators``)
are asked before the built-in ones.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nriqm_bench.registry import Registry

if TYPE_CHECKING:
    from nriqm_bench.generators.checkpoint import save_generator as save_generator
    from nriqm_bench.generators.errors import GeneratorError as GeneratorError
    from nriqm_bench.generators.generator import Generator as Generator
    from nriqm_bench.generators.loading import load_generator as load_generator
    from nriqm_bench.generators.source import Options as Options
    from nriqm_bench.generators.source import Source as Source

    Kind = Callable[[Source, Options], Generator | None]

# The order in which the built-in kinds are asked: the narrowest description first.
BUILTIN = (
    "python",
    "monai-bundle",
    "diffusers",
    "exported",
    "onnx",
    "samples",
    "torchscript",
    "lightning",
    "checkpoint",
    "state-dict",
    "pickled",
)

_KINDS: Registry[Kind] = Registry(
    "generator kind",
    "nriqm_bench.generators",
    {name: f"nriqm_bench.generators.{name.replace('-', '_')}:load" for name in BUILTIN},
)
_NAMES = {
    "Generator": "nriqm_bench.generators.generator",
    "GeneratorError": "nriqm_bench.generators.errors",
    "Options": "nriqm_bench.generators.source",
    "Source": "nriqm_bench.generators.source",
    "load_generator": "nriqm_bench.generators.loading",
    "save_generator": "nriqm_bench.generators.checkpoint",
}

__all__ = ["BUILTIN", "discard", "get", "names", "register", *_NAMES]

get = _KINDS.get
names = _KINDS.names
discard = _KINDS.discard


def register(name: str) -> Callable[[Kind], Kind]:
    """Decorate a function ``(source, options) -> Generator | None`` as the kind `name`."""

    def add(load: Kind) -> Kind:
        return _KINDS.add(name, load)

    return add


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'nriqm_bench.generators' has no attribute {name!r}")
