"""State dicts and training checkpoints (.pt, .pth, .safetensors): the user names the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nriqm_bench.generators import torchfile
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.module import declarations, drawer, source_hash
from nriqm_bench.generators.resolve import build, resolve
from nriqm_bench.generators.source import Options, Source
from nriqm_bench.generators.weights import choose, fill

# What the constructor is called with, and sentences about it.
Config = Callable[[Callable[..., Any]], tuple[dict[str, Any], list[str]]]


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
        choose(source.text, content, {})
        raise GeneratorError(
            f"{source.text} holds weights but not the network they belong to; pass "
            "--nriqm-architecture pkg.mod:callable, which returns the torch.nn.Module to fill"
        )
    return fill_architecture(source, options, content, kind="state-dict")


def fill_architecture(
    source: Source,
    options: Options,
    content: Mapping[str, Any],
    *,
    kind: str,
    config: Config | None = None,
    notes: Sequence[str] = (),
) -> Generator:
    """The generator that ``options.architecture`` builds, with the weights found in `content`.

    Parameters
    ----------
    source, options
        As a kind is given them; an architecture must be among the options.
    content
        A state dict, or what a training loop saved around one.
    kind
        The name of the loader.
    config
        From the architecture, the keyword arguments to build it with and sentences about them.
    notes
        More sentences for the report.

    Raises
    ------
    GeneratorError
        When the network cannot be built, or the weights do not fit it exactly.
    """
    if callable(options.architecture):
        factory, name = options.architecture, "given architecture"
    else:
        name = str(options.architecture)
        factory = resolve(source.text, name, trusted=True)
    arguments, said = config(factory) if config else ({}, [])
    model = build(source.text, factory, arguments, trusted=True)
    state, chosen = choose(
        source.text,
        content,
        model.state_dict(),
        parameters=[(n, p.requires_grad) for n, p in model.named_parameters()],
    )
    fill(source.text, model, state)
    size, bounds = declarations(
        source.text, getattr(model, "size", None), getattr(model, "value_range", None)
    )
    generator = Generator(
        source.stem,
        kind,
        drawer(source.text, model, {}, options.device),
        content=source.sha256(),
        settings={"architecture": source_hash(factory)},
        size=size,
        value_range=bounds,
        summary=name,
        uses_architecture=True,
    )
    for sentence in (*notes, *said, *chosen):
        generator.note(sentence, f"{source.stem}: {sentence}")
    return generator
