"""State dicts and training checkpoints (.pt, .pth, .safetensors): the user names the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nriqm_bench.generators import torchfile
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.module import declarations, drawer, source_hash
from nriqm_bench.generators.resolve import build, resolve
from nriqm_bench.generators.source import Options, Source
from nriqm_bench.generators.weights import choose, fill


def load(source: Source, options: Options) -> Generator | None:
    """Load weights into the network that ``architecture`` builds; None when there are none."""
    content: Any
    if torchfile.is_safetensors(source):
        content = torchfile.read_safetensors(source)
    elif torchfile.is_torch(source) and not torchfile.is_torchscript(source):
        content = torchfile.read(source, trust=options.trust)
    else:
        return None
    if not isinstance(content, Mapping):
        return None
    if options.architecture is None:
        choose(source.text, content, ())
        raise GeneratorError(
            f"{source.text} holds weights but not the network they belong to; pass "
            "--nriqm-architecture pkg.mod:callable, which returns the torch.nn.Module to fill"
        )
    if callable(options.architecture):
        factory, name = options.architecture, "given architecture"
    else:
        name = options.architecture
        factory = resolve(source.text, name, trusted=True)
    model = build(source.text, factory, {}, trusted=True)
    state, notes = choose(source.text, content, model.state_dict())
    fill(source.text, model, state)
    size, bounds = declarations(
        source.text, getattr(model, "size", None), getattr(model, "value_range", None)
    )
    generator = Generator(
        source.stem,
        "state-dict",
        drawer(source.text, model, {}, options.device),
        content=source.sha256(),
        settings={"architecture": source_hash(factory)},
        size=size,
        value_range=bounds,
        summary=name,
        uses_architecture=True,
    )
    for sentence in notes:
        generator.note(sentence, f"{source.stem}: {sentence}")
    return generator
