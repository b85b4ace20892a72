"""torch.export programs: images equal to the network's, and nothing else in the file runs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.export.pt2_archive._package import PT2ArchiveWriter

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
        self.register_buffer("gain", torch.tensor(3.0))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(z).unflatten(1, (-1, 8, 8))))
        x = torch.nn.functional.interpolate(torch.relu(self.up(x)), scale_factor=2)
        return torch.tanh(self.gain * self.last(x))


class Joint(Gan):
    def forward(self, z: torch.Tensor):
        images = super().forward(z)
        return images, (images[:, 0] > 0).long()


class Denoiser(torch.nn.Module):
    """A sampling loop with noise of its own, as diffusion models have."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            for step in range(3):
                z = z - 0.1 * self.net(z) + 0.01 * step * torch.randn_like(z)
        return torch.sigmoid(z)


def export(
    module: torch.nn.Module, path: Path, example=None, *, dynamic=True, declared=None
) -> Path:
    torch.manual_seed(0)
    example = (torch.randn(4, 5),) if example is None else example
    shapes = tuple({0: torch.export.Dim("n", min=2)} for _ in example) if dynamic else None
    extra = {} if declared is None else {"nriqm.json": json.dumps(declared)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), example, dynamic_shapes=shapes)
        torch.export.save(program, path, extra_files=extra)
    return path


def refusal(path, **options) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def test_a_program_is_the_network(tmp_path):
    net = Gan().eval()
    path = export(net, tmp_path / "gan.pt2", declared={"value_range": [-1, 1], "size": [32, 32]})
    generator = load_generator(path)
    drawn = generator.sample(20, seed=3)
    with torch.no_grad():
        expected = net(latents(16, (5,), chunk_seed(3, 0), "cpu")).numpy()
    assert (generator.kind, generator.size) == ("exported", (SIDE, SIDE))
    np.testing.assert_allclose(drawn.images[:16], (expected + 1) / 2, atol=1e-6)
    assert drawn.images.shape == (20, 1, SIDE, SIDE)
    assert generator.notes == []
    np.testing.assert_array_equal(drawn.images, load_generator(path).sample(20, seed=3).images)


def test_a_fixed_batch_is_the_chunk(tmp_path):
    path = export(Gan(), tmp_path / "gan.pt2", dynamic=False)
    few, many = (load_generator(path).sample(n, 0).images for n in (3, 10))
    assert many.shape == (10, 1, SIDE, SIDE)
    np.testing.assert_array_equal(few, many[:3])


def test_joint_images_and_masks(tmp_path):
    drawn = load_generator(export(Joint(), tmp_path / "joint.pt2")).sample(6, 0)
    np.testing.assert_array_equal(drawn.masks, drawn.images[:, 0] > 0.5)


def test_noise_inside_the_program_follows_the_seed(tmp_path):
    path = export(Denoiser(), tmp_path / "d.pt2", (torch.randn(2, 1, SIDE, SIDE),), dynamic=False)
    first, again, other = (load_generator(path).sample(4, s).images for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_file_is_known_by_its_content(tmp_path):
    path = export(Gan(), tmp_path / "gan.pt2")
    path.rename(tmp_path / "model.bin")
    assert load_generator(tmp_path / "model.bin").kind == "exported"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"range": [0, 1]}, "declares 'range', which nothing reads"),
        ({"value_range": [1, 0]}, "must be (low, high)"),
        ({"size": [64, 64]}, "declares (64, 64)"),
        ({"latent_shape": [7]}, "declares latent_shape [7], but takes z float32 (n, 5)"),
        ({"chunk": 0}, "must be from 1 to 4096"),
        ([1], "must be a JSON object"),
    ],
)
def test_declarations_that_are_wrong(declared, said, tmp_path):
    with pytest.raises(GeneratorError) as caught:
        load_generator(export(Gan(), tmp_path / "g.pt2", declared=declared)).sample(2, 0)
    assert said in str(caught.value)


class NoInput(torch.nn.Module):
    def forward(self):
        return torch.rand(2, 1, 4, 4)


class Two(torch.nn.Module):
    def forward(self, z, w):
        return (z + w).reshape(-1, 1, 1, 5)


class Steps(torch.nn.Module):
    def forward(self, steps):
        return steps.float().reshape(-1, 1, 1, 1) * torch.ones(1, 1, 4, 4)


@pytest.mark.parametrize(
    ("module", "example", "said"),
    [
        (NoInput(), (), "takes no input"),
        (Two(), (torch.randn(2, 5), torch.randn(2, 5)), "must take one latent"),
        (Steps(), (torch.arange(2),), "steps int64 (2), which is no latent"),
    ],
)
def test_programs_that_cannot_be_sampled(module, example, said, tmp_path):
    path = export(module, tmp_path / "g.pt2", example, dynamic=False)
    assert said in refusal(path)


# Hostile files: a good archive with one part changed.


def rewrite(path: Path, change) -> Path:
    """Write the archive again, as torch writes it, with its parts changed by `change`."""
    with zipfile.ZipFile(path) as archive:
        parts = {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}
    change(parts)
    buffer = io.BytesIO()
    with PT2ArchiveWriter(buffer) as writer:
        for name, content in parts.items():
            if not name.startswith((".data", "byteorder", "archive_")):
                writer.write_bytes(name, content)
    path.write_bytes(buffer.getvalue())
    return path


def edited(change):
    def edit(parts):
        model = json.loads(parts["models/model.json"])
        change(model)
        parts["models/model.json"] = json.dumps(model).encode()

    return edit


class Bomb:
    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


def pickled(canary) -> bytes:
    buffer = io.BytesIO()
    torch.save(Bomb(canary), buffer)
    return buffer.getvalue()


def bomb_in_example(canary):
    def change(parts):
        parts["data/sample_inputs/model.pt"] = pickled(canary)

    return change


def bomb_in_weights(canary):
    def change(parts):
        name = "data/weights/model_weights_config.json"
        config = json.loads(parts[name])
        next(iter(config["config"].values())).update(use_pickle=True, path_name="weight_99")
        parts[name] = json.dumps(config).encode()
        parts["data/weights/weight_99"] = pickled(canary)

    return change


def bomb_in_constants(canary):
    def change(parts):
        meta = json.loads(parts["data/weights/model_weights_config.json"])["config"]
        entry = {**next(iter(meta.values())), "path_name": "opaque_obj_0", "use_pickle": True}
        parts["data/constants/model_constants_config.json"] = json.dumps(
            {"config": {"x": entry}}
        ).encode()
        parts["data/constants/opaque_obj_0"] = pickle.dumps(Bomb(canary))

    return change


def expression(canary):
    code = f"__import__('os').mkdir({str(canary)!r}) or 4"

    @edited
    def change(model):
        for value in model["graph_module"]["graph"]["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code

    return change


def input_name(canary):
    # The name of an input becomes Python source: here, a default value.
    name = f"z=__import__('os').mkdir({str(canary)!r})"

    @edited
    def change(model):
        text = json.dumps(model["graph_module"]).replace('"z"', json.dumps(name))
        model["graph_module"] = json.loads(text)

    return change


def operator(canary):
    @edited
    def change(model):
        node = model["graph_module"]["graph"]["nodes"][-1]
        node["target"] = "torch.os.mkdir"
        node["inputs"] = [{"name": "", "arg": {"as_string": str(canary)}, "kind": 1}]

    return change


def shared_library(canary):
    def change(parts):
        parts["data/aotinductor/model/a.so"] = b"\x7fELF"

    return change


HOSTILE = [
    bomb_in_example,
    bomb_in_weights,
    bomb_in_constants,
    expression,
    input_name,
    operator,
    shared_library,
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_in_an_archive_runs(hostile, tmp_path):
    canary = tmp_path / "canary"
    path = rewrite(export(Gan(), tmp_path / "h.pt2"), hostile(canary))
    assert "--nriqm-trust" in refusal(path)
    assert not canary.exists()


@pytest.mark.parametrize(
    "hostile", [bomb_in_example, bomb_in_weights, bomb_in_constants, expression, input_name]
)
def test_torch_itself_would_run_it(hostile, tmp_path):
    """The files above are live: what they hold does run where it is trusted."""
    canary = tmp_path / "canary"
    path = rewrite(export(Gan(), tmp_path / "h.pt2"), hostile(canary))
    with contextlib.suppress(GeneratorError):
        load_generator(path, trust=True).sample(2, 0)
    assert canary.exists()


def test_an_untouched_archive_survives_rewriting(tmp_path):
    path = rewrite(export(Gan(), tmp_path / "h.pt2"), lambda parts: None)
    assert len(load_generator(path).sample(3, 0)) == 3


@pytest.mark.parametrize(
    "target",
    [
        "torch.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.__class__.__call__",
        "torch.ops.aten.relu.__init__",
        "torch.ops.mine.op.default",
        "_operator.methodcaller",
        "#custom",
        "math.__loader__.load_module",
    ],
)
def test_only_operators_of_torch(target, tmp_path):
    @edited
    def change(model):
        model["graph_module"]["graph"]["nodes"][0]["target"] = target

    assert target in refusal(rewrite(export(Gan(), tmp_path / "h.pt2"), change))


@torch.library.custom_op("nriqm_test::double", mutates_args=())
def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2


@double.register_fake
def _(x):
    return torch.empty_like(x)


class Custom(Gan):
    def forward(self, z):
        return super().forward(double(z))


def test_a_custom_operator_is_refused(tmp_path):
    path = export(Custom(), tmp_path / "c.pt2")
    assert "'torch.ops.nriqm_test.double.default'" in refusal(path)
    assert len(load_generator(path, trust=True).sample(2, 0)) == 2


def test_a_weight_larger_than_its_bytes_takes_no_memory(tmp_path):
    def change(parts):
        name = "data/weights/model_weights_config.json"
        config = json.loads(parts[name])
        entry = config["config"]["first.weight"]
        entry["tensor_meta"]["sizes"] = [{"as_int": 10**6}, {"as_int": 10**6}]
        entry["tensor_meta"]["strides"] = [{"as_int": 0}, {"as_int": 0}]
        parts[name] = json.dumps(config).encode()

    path = rewrite(export(Gan(), tmp_path / "h.pt2"), change)
    assert "declares 'first.weight' of shape (1000000, 1000000)" in refusal(path)
    assert "declares 'first.weight'" in refusal(path, trust=True)


def test_a_thousand_views_of_one_weight_are_refused(tmp_path):
    def change(parts):
        name = "data/weights/model_weights_config.json"
        config = json.loads(parts[name])
        entry = config["config"]["first.weight"]
        config["config"] |= {f"w{i}": entry for i in range(1000)}
        parts[name] = json.dumps(config).encode()

    assert "far more than it holds" in refusal(rewrite(export(Gan(), tmp_path / "h.pt2"), change))


def test_a_compressed_archive_is_refused(tmp_path):
    path = export(Gan(), tmp_path / "h.pt2")
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        archive.writestr("h/extra/zeros", bytes(1 << 22))
    assert "would unpack to" in refusal(path)


def test_the_format_of_torch_27_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "old.pt2", "w") as archive:
        archive.writestr("version", "8.8")
        archive.writestr("serialized_exported_program.json", "{}")
    assert "torch 2.7 or earlier" in refusal(tmp_path / "old.pt2")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated(share, tmp_path):
    path = export(Gan(), tmp_path / "h.pt2")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "h.pt2" in refusal(path)


def test_flipped_bits_give_a_sentence_or_images(tmp_path):
    path = export(Gan(), tmp_path / "h.pt2")
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(12):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 20):
            damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(GeneratorError):
            load_generator(path).sample(2, 0)
