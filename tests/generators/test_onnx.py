"""ONNX files written by torch.onnx.export, and what in such a file is refused."""

from __future__ import annotations

import builtins
import contextlib
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from nriqm_bench import load_generator
from nriqm_bench.generators import GeneratorError
from nriqm_bench.generators.generator import chunk_seed
from nriqm_bench.generators.module import latents

SIDE = 32


class Gan(torch.nn.Module):
    """A small transposed-convolution generator, as GANs of medical images are."""

    def __init__(self, channels: int = 8):
        super().__init__()
        self.first = torch.nn.Linear(5, channels * 8 * 8)
        self.norm = torch.nn.BatchNorm2d(channels)
        self.up = torch.nn.ConvTranspose2d(channels, channels, 4, 2, 1)
        self.last = torch.nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(z).unflatten(1, (-1, 8, 8))))
        x = torch.nn.functional.interpolate(torch.relu(self.up(x)), scale_factor=2)
        return torch.tanh(3 * self.last(x))


class Joint(Gan):
    def forward(self, z: torch.Tensor):
        images = super().forward(z)
        return images, (images[:, 0] > 0).long()


def export(
    module: torch.nn.Module,
    path: Path,
    example=None,
    *,
    names=("z",),
    dynamic=True,
    declared=None,
    external=False,
) -> Path:
    example = (torch.randn(4, 5),) if example is None else example
    batch = torch.export.Dim("n", min=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            input_names=list(names),
            dynamic_shapes=tuple({0: batch} for _ in example) if dynamic else None,
            verbose=False,
        )
    if declared is not None:
        program.model.metadata_props["nriqm"] = json.dumps(declared)
    program.save(path, external_data=external)
    return path


def refusal(path, **options) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    return export(
        Gan(), tmp_path_factory.mktemp("onnx") / "gan.onnx", declared={"value_range": [-1, 1]}
    )


def changed(path: Path, to: Path, change) -> Path:
    model = onnx.load(path)
    change(model)
    onnx.save(model, to)
    return to


@pytest.mark.parametrize("dynamic", [True, False])
def test_a_file_is_the_network(dynamic, tmp_path):
    torch.manual_seed(0)
    net = Gan().eval()
    declared = {"value_range": [-1, 1], "size": [SIDE, SIDE]}
    generator = load_generator(
        export(net, tmp_path / "gan.onnx", dynamic=dynamic, declared=declared)
    )
    drawn = generator.sample(20, seed=3)
    chunk = 16 if dynamic else 4
    with torch.no_grad():
        expected = net(latents(chunk, (5,), chunk_seed(3, 0), "cpu")).numpy()
    assert (generator.kind, generator.size) == ("onnx", (SIDE, SIDE))
    assert drawn.images.shape == (20, 1, SIDE, SIDE)
    np.testing.assert_allclose(drawn.images[:chunk], (expected + 1) / 2, atol=1e-5)
    assert generator.notes == []


def test_equal_seeds_give_equal_bits(exported):
    first, again = (load_generator(exported).sample(20, 1).images for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_joint_images_and_masks(tmp_path):
    drawn = load_generator(export(Joint(), tmp_path / "j.onnx")).sample(6, 0)
    np.testing.assert_array_equal(drawn.masks, drawn.images[:, 0] > 0.5)


def test_weights_beside_the_file_belong_to_it(tmp_path, exported):
    def load(side: str, **changes):
        path = tmp_path / side / "gan.onnx"
        path.parent.mkdir()
        torch.manual_seed(0)
        return export(Gan(**changes), path, external=True)

    first = load("a")
    generator = load_generator(first)
    assert generator.sample(4, 0).images.shape == (4, 1, SIDE, SIDE)
    beside = first.with_name("gan.onnx.data")
    data = bytearray(beside.read_bytes())
    data[3] ^= 1
    beside.write_bytes(data)
    assert load_generator(first).key() != generator.key()
    beside.write_bytes(data[: len(data) // 2])
    assert "than its" in refusal(first)
    beside.unlink()
    assert "which is not there" in refusal(first)


@pytest.mark.parametrize(
    "place", ["../secret.bin", "/etc/hostname", "sub/../../secret.bin", "link"]
)
def test_weights_elsewhere_are_refused(place, tmp_path, exported):
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 16))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to(tmp_path / "secret.bin")

    def change(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    path = tmp_path / "model" / "gan.onnx"
    model = onnx.load(exported)
    change(model)
    path.write_bytes(model.SerializeToString())
    assert "outside its folder" in refusal(path)


def test_custom_operators_are_refused(tmp_path, exported):
    def change(model):
        model.graph.node[0].domain = "evil.ops"
        model.opset_import.add(domain="evil.ops", version=1)

    said = refusal(changed(exported, tmp_path / "c.onnx", change))
    assert "custom operators (evil.ops:" in said


def test_custom_operators_in_a_branch_are_refused(tmp_path):
    hidden = helper.make_node("Run", ["z"], ["y"], domain="evil.ops")
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branch = helper.make_graph([hidden], "b", [], [out])
    constant = helper.make_node(
        "Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.BOOL, [], [True])
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    given = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 5])
    model = helper.make_model(helper.make_graph([constant, node], "g", [given], [out]))
    onnx.save(model, tmp_path / "b.onnx")
    assert "evil.ops:Run" in refusal(tmp_path / "b.onnx")


def one_node(path: Path, node, shape=("n", 5), initializer=(), dtype=TensorProto.FLOAT) -> Path:
    given = helper.make_tensor_value_info("z", dtype, list(shape))
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [given], [out], initializer=list(initializer))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, path)
    return path


def test_noise_inside_the_graph_is_refused(tmp_path):
    node = helper.make_node("RandomNormalLike", ["z"], ["y"])
    assert "equal seeds" in refusal(one_node(tmp_path / "r.onnx", node))


def test_a_constant_of_any_size_takes_no_memory(tmp_path):
    shape = helper.make_tensor("s", TensorProto.INT64, [4], [10**4] * 4)
    node = helper.make_node("ConstantOfShape", ["s"], ["y"])
    said = refusal(one_node(tmp_path / "m.onnx", node, initializer=[shape]))
    assert "makes a constant of shape (10000, 10000, 10000, 10000)" in said


@pytest.mark.parametrize(
    ("shape", "dtype", "said"),
    [
        (("n", "w"), TensorProto.FLOAT, "only the first axis may have any length"),
        (("n", 5), TensorProto.INT64, "which is no latent"),
        (("n",), TensorProto.FLOAT, "which is no latent"),
        (("n", 10**6, 10**6), TensorProto.FLOAT, "no size of a latent"),
        ((10**6, 5), TensorProto.FLOAT, "one batch size"),
        (("n", 5), TensorProto.STRING, "must be floating point or integers"),
    ],
)
def test_inputs_that_cannot_be_fed(shape, dtype, said, tmp_path):
    node = helper.make_node("Shape" if dtype == TensorProto.STRING else "Identity", ["z"], ["y"])
    path = tmp_path / "i.onnx"
    out = TensorProto.INT64 if node.op_type == "Shape" or dtype == TensorProto.INT64 else dtype
    given = helper.make_tensor_value_info("z", dtype, list(shape))
    made = helper.make_tensor_value_info("y", out, None)
    graph = helper.make_graph([node], "g", [given], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, path)
    assert said in refusal(path)


def test_declarations_that_nothing_reads(tmp_path, exported):
    def change(model):
        model.metadata_props[0].value = '{"valuerange": [0, 1]}'

    said = refusal(changed(exported, tmp_path / "d.onnx", change))
    assert "declares 'valuerange', which nothing reads; known are value_range" in said


def test_a_missing_package_is_named(exported, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("onnxruntime"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'nriqm-bench[onnx]'" in refusal(exported)


def test_files_of_another_name_are_recognised(tmp_path, exported):
    (tmp_path / "model.bin").write_bytes(exported.read_bytes())
    assert load_generator(tmp_path / "model.bin").kind == "onnx"


def test_a_graph_on_another_device_says_so(exported, monkeypatch):
    monkeypatch.setattr("nriqm_bench.generators.loading._device", lambda device: device)
    generator = load_generator(exported, device="cuda")
    assert generator.notes == ["gan: ONNX files run on the CPU, not on cuda"]


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated(share, tmp_path, exported):
    data = exported.read_bytes()
    (tmp_path / "t.onnx").write_bytes(data[: int(len(data) * share)])
    assert "t.onnx" in refusal(tmp_path / "t.onnx")


def test_flipped_bits_give_a_sentence_or_images(tmp_path, exported):
    data = exported.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(12):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 20):
            damaged[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "f.onnx").write_bytes(damaged)
        with contextlib.suppress(GeneratorError):
            load_generator(tmp_path / "f.onnx").sample(2, 0)


def test_something_else_of_that_name(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"just some words that are no graph at all")
    assert "damaged or truncated ONNX file" in refusal(tmp_path / "x.onnx")
