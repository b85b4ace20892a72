"""TorchScript files: run by torch's own interpreter, never by Python.

The scripted module offers one of

* a method ``sample(n: int, seed: int)``,
* ``forward(n: int, seed: int)``,
* ``forward(z: Tensor)`` with an attribute ``latent_dim: int`` or ``latent_shape: List[int]``: z is
  standard normal ``(n, *latent_shape)``,

each returning images ``(n, channels, *spatial)`` or a tuple of images and integer masks
``(n, *spatial)``. Attributes, all optional: ``value_range: Tuple[float, float]``, the values'
range (else inferred from [0, 1] or [-1, 1]); ``size: List[int]``, the spatial shape.

Each may end with ``labels: Tensor`` or ``masks: Tensor`` by these names (see `conditions`), and
``forward(masks: Tensor)`` needs no z. Classes are declared by ``num_classes: int`` or
``class_weights: List[float]``.

TorchScript cannot reach Python, but it knows two operators that write files, and may run while it
is loaded. Both are refused unless the file is trusted.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from typing import Any

from nriqm_bench.generators import archive, torchfile
from nriqm_bench.generators.conditions import (
    LABELS,
    MASKS,
    class_weights,
    draw_labels,
    takes_masks,
    undeclared,
)
from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.module import declarations, latents, seeded
from nriqm_bench.generators.source import Options, Source

_NAMESPACES = {"aten", "prim", "prims", "quantized", "_quantized"}
_FORBIDDEN = {
    "aten::save",
    "aten::from_file",
    "prim::Print",
    "prim::PythonOp",
    "prim::IgnoredPythonOp",
}
_ENDLESS = "a loop that never ends"
# Operators, brackets and blocks within each other: torch's parser recurses until the stack is full.
_DEEPEST = 500
_TOKEN = re.compile(
    rb"""(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<open>[(\[{])|(?P<close>[)\]}])"""
    rb"""|(?P<comma>,)|(?P<line>\n *(?:elif\b)?)|(?P<nests>\b(?:not|and|or|if|else|in|is)\b"""
    rb"""|[-+*/%<>=!@&|^~.])"""
)
# What is left after inlining is code that could not be looked at.
_OPAQUE = {"prim::CallMethod", "prim::CallFunction"}
_DECLARATIONS = (
    "latent_dim",
    "latent_shape",
    "value_range",
    "size",
    "num_classes",
    "class_weights",
)


def load(source: Source, options: Options) -> Generator | None:
    """Load a TorchScript file; None when it is something else."""
    if not torchfile.is_torchscript(source):
        return None
    import torch

    if not options.trust:
        _refuse_code_on_load(source)
    try:
        with _quiet():
            model: Any = torch.jit.load(  # type: ignore[no-untyped-call]
                str(source.path), map_location=options.device
            )
    except Exception as error:
        raise GeneratorError(
            f"{source.text} is a damaged or truncated TorchScript file ({brief(error)}); copy it "
            "again, or export it with this version of torch"
        ) from error
    model.eval()
    declared = {name: getattr(model, name) for name in _DECLARATIONS if hasattr(model, name)}
    method, call, extra = _protocol(source, model, declared)
    if not options.trust:
        _refuse_operators(source, method)
    weights = class_weights(source.text, declared.get) if LABELS in extra else None
    if LABELS in extra and weights is None:
        raise undeclared(source.text)

    def draw(n: int, seed: int, masks: Any = None) -> Any:
        given = {}
        if weights is not None:
            given[LABELS] = torch.from_numpy(draw_labels(n, seed, weights)).to(options.device)
        if MASKS in extra:
            given[MASKS] = torch.from_numpy(masks).to(options.device)
        with seeded(seed, options.device), _unoptimised():
            return call(n, seed, options.device, **given)

    size, bounds = declarations(source.text, declared.get("size"), declared.get("value_range"))
    return Generator(
        source.stem,
        "torchscript",
        takes_masks(draw) if MASKS in extra else draw,
        content=source.sha256(),
        size=size,
        value_range=bounds,
        summary=method.name,
    )


def _protocol(source: Source, model: Any, declared: dict[str, Any]) -> tuple[Any, Any, list[str]]:
    """The method, a function ``(n, seed, device, **conditions)``, and the conditions it takes."""
    import torch

    sample: Any = getattr(model, "sample", None)
    if isinstance(sample, torch.ScriptMethod):
        types, extra = _types(sample)
        if types != ["int", "int"]:
            raise GeneratorError(
                f"{source.text} has a method {sample.schema}, must be sample(n: int, seed: int)"
            )
        return sample, lambda n, seed, device, **given: sample(n, seed, **given), extra
    forward: Any = getattr(model, "forward", None)
    types, extra = _types(forward) if isinstance(forward, torch.ScriptMethod) else ([], [])
    if types == ["int", "int"]:
        return forward, lambda n, seed, device, **given: forward(n, seed, **given), extra
    if not types and MASKS in extra:
        return forward, lambda n, seed, device, **given: forward(**given), extra
    shape = declared.get("latent_shape", declared.get("latent_dim"))
    if types == ["Tensor"] and shape is not None:

        def call(n: int, seed: int, device: str, **given: Any) -> Any:
            return forward(latents(n, shape, seed, device), **given)

        return forward, call, extra
    if types == ["Tensor"]:
        raise GeneratorError(
            f"{source.text} has forward(z: Tensor) but does not say what z is; give the module an "
            "attribute latent_dim: int or latent_shape: List[int] (script it, a traced module "
            "loses attributes) or a method sample(n: int, seed: int)"
        )
    raise GeneratorError(
        f"{source.text} cannot be sampled: it has forward({', '.join(types)}), must have "
        "sample(n: int, seed: int), forward(n: int, seed: int), or forward(z: Tensor) with an "
        "attribute latent_dim"
    )


def _types(method: Any) -> tuple[list[str], list[str]]:
    """The types of a method's arguments, and the names of the conditions among them."""
    arguments = [a for a in method.schema.arguments[1:] if not a.has_default_value()]
    extra = [a.name for a in arguments if a.name in (LABELS, MASKS) and str(a.type) == "Tensor"]
    return [str(a.type) for a in arguments if a.name not in extra], extra


def _refuse_code_on_load(source: Source) -> None:
    """Refuse classes that restore themselves by code: it would run before it can be checked.

    Refuse also what torch's reader, which is made for trusted files, would stumble over.
    """
    archive.check_torch(source.text, source.path)
    try:
        reader = torchfile.records(source.text, source.path)
        names = reader.get_all_records()
        for name in names:
            if name.endswith((".pkl", "_pkl")):
                torchfile.outline_of(reader, name, name.partition(".")[0])
        texts = [
            bytes(reader.get_record(name))
            for name in names
            if name.startswith("code/") and name.endswith(".py")
        ]
        for text in texts:
            _check_nesting(text)
    except Exception as error:
        raise GeneratorError(
            f"{source.text} is a damaged or truncated TorchScript file ({brief(error)}); copy it "
            "again"
        ) from error
    if any(re.search(rb"\b__setstate__\b", text) for text in texts):
        raise GeneratorError(
            f"{source.text} runs code while it is loaded (__setstate__), which is refused; export "
            "it without packed or quantised parts, or pass --nriqm-trust if you trust whoever "
            "made it"
        )


def _check_nesting(text: bytes) -> None:
    """Raise `ValueError` for code that is nested so deeply that parsing it would crash."""
    counts = [0]
    branches, last = 0, ""
    for token in _TOKEN.finditer(text):
        kind, before = token.lastgroup, last
        last = kind or ""
        if kind == "open":
            # x[0][0][0] is nested, though its brackets are not.
            counts[-1] += before == "close"
            counts.append(1)
        elif kind == "close" and len(counts) > 1:
            counts.pop()
        elif kind == "comma":
            counts[-1] = min(counts[-1], len(counts) > 1)
        elif kind == "nests":
            counts[-1] += 1
        elif kind == "line" and len(counts) == 1:
            branches = branches + 1 if token[0].endswith(b"elif") else branches
            counts = [len(token[0]) // 2]
        if sum(counts) + branches > _DEEPEST:
            raise ValueError(f"its code is nested more than {_DEEPEST} times")


def _refuse_operators(source: Source, method: Any) -> None:
    """Refuse operators that reach outside the interpreter, wherever they hide in the graph."""
    found = sorted(
        {
            kind
            for kind in _operators(method.inlined_graph)
            if kind == _ENDLESS
            or kind.split("::")[0] not in _NAMESPACES
            or kind in _FORBIDDEN | _OPAQUE
            or kind.startswith("prim::rpc_")
        }
    )
    if found:
        raise GeneratorError(
            f"{source.text} uses operators that may reach beyond the model ({listed(found)}), "
            "which is refused; export it without them, or pass --nriqm-trust if you trust "
            "whoever made it"
        )


def _operators(block: Any) -> Iterator[str]:
    for node in block.nodes():
        yield _ENDLESS if _is_endless(node) else node.kind()
        for inner in node.blocks():
            yield from _operators(inner)
        for attribute in node.attributeNames():
            if node.kindOf(attribute) == "g":
                yield from _operators(node.g(attribute))


def _is_endless(node: Any) -> bool:
    """Whether a loop has no last round: ``while True`` without a way out."""
    if node.kind() != "prim::Loop":
        return False
    inputs = list(node.inputs())[:2] + list(next(node.blocks()).outputs())[:1]
    most, first, further = (value.toIValue() for value in inputs)
    return isinstance(most, int) and most >= 2**62 and first is True and further is True


def _unoptimised() -> contextlib.AbstractContextManager[None]:
    """No run-time specialisation, which changes the last bits between the first and later calls."""
    import torch

    plain: contextlib.AbstractContextManager[None] = torch.jit.optimized_execution(False)  # type: ignore[attr-defined]
    return plain


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch 2.13 deprecates torch.jit; the files exist all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        yield
