"""Good ONNX files, for those who have onnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper

from tests.generators.hostile.good import good
from tests.generators.hostile.graphs import graph


@good
def onnx(folder: Path) -> Path:
    weights = np.random.default_rng(0).random((1, 1, 16, 16), np.float32)
    nodes = [helper.make_node("Mul", ["z", "w"], ["x"]), helper.make_node("Sigmoid", ["x"], ["y"])]
    return graph(folder, nodes, [numpy_helper.from_array(weights, "w")])
