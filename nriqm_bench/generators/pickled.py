"""Whole networks pickled by `torch.save(model)`: they run code, so only trusted ones are loaded."""

from __future__ import annotations

from nriqm_bench.generators import torchfile
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.module import declarations, drawer, source_hash
from nriqm_bench.generators.source import Options, Source


def load(source: Source, options: Options) -> Generator | None:
    """Load a pickled `torch.nn.Module`; None when it is something else."""
    if not torchfile.is_torch(source) or torchfile.is_torchscript(source):
        return None
    import torch

    content = torchfile.read(source, trust=options.trust)
    if not isinstance(content, torch.nn.Module):
        raise GeneratorError(
            f"{source.text} holds a {type(content).__name__}, must hold a network or its state "
            "dict; save it with nriqm_bench.save_generator"
        )
    size, bounds = declarations(
        source.text, getattr(content, "size", None), getattr(content, "value_range", None)
    )
    return Generator(
        source.stem,
        "pickled",
        drawer(source.text, content, {}, options.device),
        content=source.sha256(),
        settings={"architecture": source_hash(type(content))},
        size=size,
        value_range=bounds,
        summary=type(content).__name__,
    )
