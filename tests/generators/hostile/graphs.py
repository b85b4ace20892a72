"""ONNX graphs that reach for other files and libraries, never end, or fold into huge constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.generators.hostile.registry import hostile

SIDE = 16


def graph(folder: Path, nodes, constants=(), **fields) -> Path:
    """A graph from z ``(n, 1, 16, 16)`` to y."""
    shape = ["n", 1, SIDE, SIDE]
    inputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    made = helper.make_graph(nodes, "g", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("evil", 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=9, **fields)
    (folder / "a.onnx").write_bytes(model.SerializeToString())
    return folder / "a.onnx"


def whole(name: str, value) -> TensorProto:
    return numpy_helper.from_array(np.array(value, np.int64), name)


def _outside(folder: Path, place: str) -> Path:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": place, "offset": "0", "length": "4"}.items():
        tensor.external_data.add(key=key, value=value)
    return graph(folder, [helper.make_node("Add", ["z", "w"], ["y"])], [tensor])


@hostile("lies outside its folder")
def graph_with_weights_above(folder, canary):
    """Weights in a file above the folder."""
    return _outside(folder, "../../../../etc/passwd")


@hostile("lies outside its folder")
def graph_with_absolute_weights(folder, canary):
    """Weights in a system file."""
    return _outside(folder, "/etc/passwd")


@hostile("lies outside its folder")
def graph_with_linked_weights(folder, canary):
    """Weights in a link to a system file."""
    (folder / "w.bin").symlink_to("/etc/passwd")
    return _outside(folder, "w.bin")


@hostile("which is not there")
def graph_with_weights_in_a_pipe(folder, canary):
    """Weights in a device that never ends."""
    (folder / "w.bin").symlink_to(folder / "w")
    return _outside(folder, "w")


@hostile("custom operators (evil:Run)")
def graph_with_a_custom_operator(folder, canary):
    """An operator of a library that is not onnxruntime's."""
    return graph(folder, [helper.make_node("Run", ["z"], ["y"], domain="evil")])


@hostile("custom operators")
def graph_with_compiled_code(folder, canary):
    """A graph that was compiled before, in a library of its own."""
    node = helper.make_node("EPContext", ["z"], ["y"], domain="com.microsoft", ep_cache_context="x")
    return graph(folder, [node])


@hostile("makes a constant of shape")
def graph_of_a_large_constant(folder, canary):
    """A constant of 10^16 numbers, which is computed while the file is loaded."""
    nodes = [
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("Add", ["z", "c"], ["y"]),
    ]
    return graph(folder, nodes, [whole("s", [10**4] * 4)])


@hostile("is a damaged or truncated ONNX file")
def graph_of_nonsense(folder, canary):
    """A protocol buffer that declares a field of 2 GB."""
    (folder / "a.onnx").write_bytes(b"\x08\x09\x3a\xff\xff\xff\xff\x07" + bytes(64))
    return folder / "a.onnx"


@hostile("cannot be run by onnxruntime")
def graph_of_deep_branches(folder, canary):
    """Branches 10 000 deep."""
    content = b""
    for _ in range(10_000):
        content = b"\x3a" + _length(content) + content  # GraphProto in an attribute, over and over
    (folder / "a.onnx").write_bytes(b"\x08\x09" + content)
    return folder / "a.onnx"


def _length(content: bytes) -> bytes:
    size, told = len(content), b""
    while True:
        size, low = size >> 7, size & 127
        told += bytes([low | (128 if size else 0)])
        if not size:
            return told
