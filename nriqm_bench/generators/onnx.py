"""ONNX files, run by onnxruntime on the CPU (extra ``onnx``).

The graph takes a latent ``(n, *latent_shape)``, standard normal, and maybe ``labels`` or ``masks``
(see `graph` and `conditions`), with a dynamic or fixed batch; its first output is the images
``(n, channels, *spatial)``, a second one integer masks ``(n, *spatial)``. What the graph cannot
say stands in the model's metadata under the key ``nriqm``, all of it optional::

    program = torch.onnx.export(net, (z,), dynamo=True, input_names=["z"],
                                dynamic_shapes=({0: torch.export.Dim("n")},))
    program.model.metadata_props["nriqm"] = '{"value_range": [-1, 1], "num_classes": 4}'
    program.save("gan.onnx")

A graph cannot run Python. Refused are operators that are not onnxruntime's own, operators that
draw random numbers (equal seeds would give other images), and weights in files outside the folder
of the model. One thread computes, so that equal inputs give equal bits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nriqm_bench.generators.conditions import parse, takes_masks
from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.graph import Input, feed
from nriqm_bench.generators.module import declarations
from nriqm_bench.generators.source import Options, Source

DECLARED = "nriqm"
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
# Stands for a compiled graph in a file of its own.
_COMPILED = "EPContext"
_RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}
# Operators that make a tensor of the shape that another one holds; constant ones are folded, that
# is: computed, while the file is loaded.
_SHAPED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
_LARGEST = 2**28
# ModelProto begins with its version, a small number in field 1.
_HEAD = bytes([8])
_VERSIONS = range(3, 32)
_FATAL = 4
_DTYPES = {"float": "float32", "double": "float64"}


def load(source: Source, options: Options) -> Generator | None:
    """Load an ONNX file; None when it is something else."""
    if source.is_python or source.is_dir or source.members:
        return None
    if not source.path.name.lower().endswith(".onnx") and not _looks(source.head):
        return None
    onnx, runtime = _packages(source)
    model = _parse(source, onnx)
    content = _check(source, model)
    session = _session(source, runtime)
    inputs = [_input(source, given) for given in session.get_inputs()]
    declared = parse(source.text, {p.key: p.value for p in model.metadata_props}.get(DECLARED))
    outputs = [given.name for given in session.get_outputs()]
    if len(outputs) > 2:
        raise GeneratorError(
            f"{source.text} has the outputs {listed(outputs)}, must have images and at most masks"
        )
    plan = feed(source.text, inputs, declared)
    names = [given.name for given in inputs]

    def draw(n: int, seed: int, masks: Any = None) -> Any:
        fed = dict(zip(names, plan.make(n, seed, masks), strict=True))
        made = session.run(outputs, fed)
        return made[0] if len(made) == 1 else (made[0], made[1])

    size, bounds = declarations(
        source.text, declared.get("size") or plan.size, declared.get("value_range")
    )
    generator = Generator(
        source.stem,
        "onnx",
        takes_masks(draw) if plan.needs_masks else draw,
        content=content,
        chunk=plan.chunk,
        size=size,
        value_range=bounds,
        summary=plan.summary,
    )
    if options.device != "cpu":
        generator.note(
            "device", f"{source.stem}: ONNX files run on the CPU, not on {options.device}"
        )
    return generator


def _looks(head: bytes) -> bool:
    """Whether a file of another name starts as ONNX files of the known exporters do."""
    return (
        head[:1] == _HEAD
        and len(head) > 2
        and head[1] in _VERSIONS
        and head[2:3] == b"\x12"
        and head[4 : 4 + head[3]] in {b"pytorch", b"onnx", b"tf2onnx", b"skl2onnx"}
    )


def _packages(source: Source) -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise GeneratorError(
            f"{source.text} is an ONNX file, which needs onnx and onnxruntime: "
            "pip install 'nriqm-bench[onnx]'"
        ) from error
    onnxruntime.disable_telemetry_events()
    return onnx, onnxruntime


def _parse(source: Source, onnx: Any) -> Any:
    try:
        return onnx.load(source.path, load_external_data=False)
    except Exception as error:
        raise GeneratorError(
            f"{source.text} is a damaged or truncated ONNX file ({brief(error)}); copy or export "
            "it again"
        ) from error


def _check(source: Source, model: Any) -> str:
    """Refuse what reaches beyond the model; the sha256 of all bytes that it consists of."""
    local = {(f.domain, f.name) for f in model.functions}
    nodes = [*_nodes(model.graph.node)]
    for function in model.functions:
        nodes += _nodes(function.node)
    used = {(node.domain, node.op_type) for node in nodes}
    foreign = sorted(
        f"{domain or 'ai.onnx'}:{op}"
        for domain, op in used - local
        if domain not in _DOMAINS or op == _COMPILED
    )
    if foreign:
        raise GeneratorError(
            f"{source.text} uses custom operators ({listed(foreign)}), whose code onnxruntime does "
            "not bring and which are refused; export it with standard operators"
        )
    if random := sorted({op for domain, op in used - local if op in _RANDOM}):
        raise GeneratorError(
            f"{source.text} draws its own random numbers ({listed(random)}), so that equal seeds "
            "would give different images; export it with the noise as an input"
        )
    _check_shapes(source, model, nodes)
    digest = hashlib.sha256(source.sha256().encode())
    beside = {_external(source, tensor) for tensor in _tensors(model, nodes)}
    for path in sorted(path for path in beside if path is not None):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _check_shapes(source: Source, model: Any, nodes: list[Any]) -> None:
    from onnx import numpy_helper

    constant = {t.name: t for t in model.graph.initializer}
    for node in nodes:
        if node.op_type == "Constant" and node.output:
            constant.update((node.output[0], a.t) for a in node.attribute if a.name == "value")
    for node in nodes:
        at = _SHAPED.get(node.op_type)
        if at is None or len(node.input) <= at or (found := constant.get(node.input[at])) is None:
            continue
        if found.data_location == found.EXTERNAL or math.prod(found.dims) > 16:
            raise GeneratorError(f"{source.text} has a {node.op_type} of no shape; it is refused")
        shape = [int(s) for s in np.ravel(numpy_helper.to_array(found))]
        if math.prod(max(s, 1) for s in shape) > _LARGEST:
            raise GeneratorError(
                f"{source.text} makes a constant of shape {tuple(shape)}, which no generator "
                "needs; it is refused"
            )


def _nodes(nodes: Any) -> Iterator[Any]:
    """All nodes, those of branches and loops included."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        for attribute in node.attribute:
            stack.extend(attribute.g.node)
            for graph in attribute.graphs:
                stack.extend(graph.node)


def _tensors(model: Any, nodes: list[Any]) -> Iterator[Any]:
    graphs = [model.graph]
    for node in nodes:
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += [attribute.g, *attribute.graphs]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)


def _external(source: Source, tensor: Any) -> Path | None:
    """The file beside the model that holds a tensor, checked to lie below its folder."""
    if tensor.data_location != tensor.EXTERNAL and not tensor.external_data:
        return None
    told = {entry.key: entry.value for entry in tensor.external_data}
    place = told.get("location", "")
    folder = source.path.resolve().parent
    path = folder
    try:
        path = (folder / place).resolve()
        inside = bool(place) and path.is_relative_to(folder) and path != folder
        size = path.stat().st_size if inside and path.is_file() else None
        offset, length = int(told.get("offset", 0)), int(told.get("length", 0))
    except (OSError, ValueError):
        inside, size, offset, length = False, None, 0, 0
    if not inside:
        raise GeneratorError(
            f"{source.text} keeps weights in {place!r:.100}, which lies outside its folder and is "
            "refused; save it with its weights beside it or inside"
        )
    if size is None:
        raise GeneratorError(
            f"{source.text} keeps its weights in {place!r}, which is not there; copy that file too"
        )
    if offset < 0 or length < 0 or offset + length > size:
        raise GeneratorError(
            f"{source.text} expects more weights in {place!r} than its {size} bytes; copy it again"
        )
    return path


def _session(source: Source, runtime: Any) -> Any:
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.inter_op_num_threads = 1
    settings.use_deterministic_compute = True
    # What goes wrong is said by the exception; onnxruntime would also print it.
    settings.log_severity_level = _FATAL
    try:
        return runtime.InferenceSession(
            str(source.path), sess_options=settings, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise GeneratorError(
            f"{source.text} cannot be run by onnxruntime ({brief(error)}); export it again"
        ) from error


def _input(source: Source, given: Any) -> Input:
    word = given.type.removeprefix("tensor(").removesuffix(")")
    try:
        dtype = np.dtype(_DTYPES.get(word, word))
    except TypeError as error:
        raise GeneratorError(
            f"{source.text} takes {given.name} of type {given.type}, must be floating point or "
            "integers"
        ) from error
    shape = tuple(s if isinstance(s, int) and s >= 0 else None for s in given.shape)
    return Input(given.name, dtype, shape)
