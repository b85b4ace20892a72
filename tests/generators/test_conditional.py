"""Conditional generators of every kind: labels are drawn as declared, masks are those given."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nriqm_bench import Lab, Settings, load_generator, save_generator
from nriqm_bench.generators import GeneratorError, architectures
from nriqm_bench.generators.conditions import class_weights, draw_labels
from nriqm_bench.settings import SettingsError

SIDE = 32
CLASSES = 4
KINDS = ["torchscript", "checkpoint", "state-dict", "exported", "onnx", "python"]


class ByLabel(torch.nn.Module):
    """Mean brightness tells the label: (label + 1) / 5."""

    def __init__(self):
        super().__init__()
        self.latent_dim = 3
        self.num_classes = CLASSES
        self.level = torch.nn.Parameter(torch.arange(1, CLASSES + 1) / 5)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        texture = 0.05 * torch.tanh(z[:, :1, None, None])
        return self.level[labels][:, None, None, None] + texture.expand(-1, 1, 32, 32) * CHECKER


class OneHot(ByLabel):
    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        level = (labels * self.level).sum(1)
        texture = 0.05 * torch.tanh(z[:, :1, None, None])
        return level[:, None, None, None] + texture.expand(-1, 1, 32, 32) * CHECKER


class ByMask(torch.nn.Module):
    """Paints the label of each pixel, with noise: as SPADE does."""

    def __init__(self):
        super().__init__()
        self.latent_shape = [1, 32, 32]
        self.size = [32, 32]
        self.gain = torch.nn.Parameter(torch.tensor(0.25))

    def forward(self, z: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return 0.1 + self.gain * masks[:, None].float() + 0.01 * torch.tanh(z)


class MaskAlone(torch.nn.Module):
    """Pix2pix: no latent; draws its own noise."""

    def __init__(self):
        super().__init__()
        self.size = [32, 32]
        self.gain = torch.nn.Parameter(torch.tensor(0.25))

    def forward(self, masks: torch.Tensor) -> torch.Tensor:
        return 0.1 + self.gain * masks[:, None].float() + 0.01 * torch.rand(len(masks), 1, 32, 32)


class SpadeOneHot(torch.nn.Module):
    def forward(self, z: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        labels = (masks * torch.arange(3).reshape(1, 3, 1, 1)).sum(1, keepdim=True)
        return 0.1 + 0.25 * labels + 0.01 * torch.tanh(z)


class Sampler(torch.nn.Module):
    """The protocol of checkpoints, with optional conditions."""

    def __init__(self):
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(0.2))

    def sample(self, n: int, generator: torch.Generator, labels=None, masks=None):
        images = 0.01 * torch.rand((n, 1, SIDE, SIDE), generator=generator)
        if labels is not None:
            images = images + self.level * labels[:, None, None, None]
        if masks is not None:
            images = images + self.level * masks[:, None]
        return images


CHECKER = torch.tensor([[1.0, -1.0] * 16, [-1.0, 1.0] * 16] * 16)


def by_label(n, seed, labels):
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-0.05, 0.05, (n, 1, 1, 1)) * CHECKER.numpy()
    return (labels + 1).reshape(-1, 1, 1, 1) / 5 + noise


by_label.num_classes = CLASSES


def by_mask(n, seed, masks):
    noise = np.random.default_rng(seed).uniform(0, 0.01, (n, 1, SIDE, SIDE))
    return 0.1 + 0.25 * masks[:, None] + noise


by_mask.size = (SIDE, SIDE)


@pytest.fixture(autouse=True)
def _networks():
    for name, network in {"by-label": ByLabel, "by-mask": ByMask, "sampler": Sampler}.items():
        architectures.register(f"test-{name}")(network)
    yield
    for name in ("by-label", "by-mask", "sampler"):
        architectures.discard(f"test-{name}")


def write(kind: str, net: torch.nn.Module, folder: Path, declared=None, names=("z", "labels")):
    """`net` as a file of a kind; the generator that is loaded from it."""
    path = folder / f"net.{kind.replace('-', '_')}"
    net = net.eval()
    z = torch.randn(4, 3) if names[-1] == "labels" else torch.randn(4, 1, SIDE, SIDE)
    condition = torch.zeros(4, dtype=torch.long)
    if names[-1] == "masks":
        condition = torch.zeros(4, SIDE, SIDE, dtype=torch.long)
    if isinstance(net, SpadeOneHot):
        condition = torch.zeros(4, 3, SIDE, SIDE)
    elif isinstance(net, OneHot):
        condition = torch.zeros(4, CLASSES)
    example = (z, condition)[-len(names) :]
    batch = torch.export.Dim("n", min=2)
    shapes = tuple({0: batch} for _ in example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "torchscript":
            torch.jit.save(torch.jit.script(net), path)
        elif kind == "checkpoint":
            save_generator(path, net, architecture=f"test-{_name(net)}")
        elif kind == "state-dict":
            torch.save(net.state_dict(), path)
            return load_generator(path, architecture=f"test-{_name(net)}")
        elif kind == "exported":
            program = torch.export.export(net, example, dynamic_shapes=shapes)
            torch.export.save(program, path, extra_files={"nriqm.json": json.dumps(declared or {})})
        else:
            program = torch.onnx.export(
                net, example, dynamo=True, input_names=names, dynamic_shapes=shapes, verbose=False
            )
            program.model.metadata_props["nriqm"] = json.dumps(declared or {})
            program.save(path)
    return load_generator(path)


def _name(net) -> str:
    return {"ByLabel": "by-label", "ByMask": "by-mask"}[type(net).__name__]


class Scripted(ByLabel):
    """TorchScript keeps tensors that a module owns, not those of Python."""

    def __init__(self):
        super().__init__()
        self.register_buffer("checker", CHECKER)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        texture = 0.05 * torch.tanh(z[:, :1, None, None])
        return (
            self.level[labels][:, None, None, None] + texture.expand(-1, 1, 32, 32) * self.checker
        )


def labels_of(images: np.ndarray) -> np.ndarray:
    return np.rint(images.mean((1, 2, 3)) * 5).astype(int) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_drawn_from_all_classes(kind, tmp_path):
    if kind == "python":
        generator = load_generator(f"{__name__}:by_label")
    else:
        net = Scripted() if kind == "torchscript" else ByLabel()
        generator = write(kind, net, tmp_path, {"num_classes": CLASSES})
    drawn = generator.sample(64, 0).images
    assert set(labels_of(drawn)) == set(range(CLASSES))
    np.testing.assert_array_equal(drawn, generator.sample(64, 0).images)
    assert not np.array_equal(labels_of(drawn), labels_of(generator.sample(64, 1).images))


@pytest.fixture
def masks() -> np.ndarray:
    found = np.zeros((5, SIDE, SIDE), np.uint8)
    for i in range(5):
        found[i, 4 : 8 + i, 4:10] = 1
        found[i, 20:24, 4 : 8 + i] = 2
    return found


def assert_painted(drawn, masks):
    """Every image shows the mask that came with it, and every mask was used."""
    painted = np.rint((drawn.images[:, 0] - 0.1) / 0.25).astype(int)
    np.testing.assert_array_equal(painted, drawn.masks)
    assert {m.tobytes() for m in drawn.masks} == {m.tobytes() for m in masks}


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_painted_and_returned(kind, tmp_path, masks):
    if kind == "python":
        generator = load_generator(f"{__name__}:by_mask")
    else:
        generator = write(kind, ByMask(), tmp_path, names=("z", "masks"))
    assert generator.needs_masks
    assert generator.size == (SIDE, SIDE)
    drawn = generator.sample(20, 0, masks=masks)
    assert_painted(drawn, masks)
    np.testing.assert_array_equal(
        drawn.images, generator.sample(20, 0, masks=masks.astype(int)).images
    )
    with pytest.raises(GeneratorError, match="makes images from masks and was given none"):
        generator.sample(2, 0)
    with pytest.raises(GeneratorError, match="must be integer labels"):
        generator.sample(2, 0, masks=masks / 2)


def test_masks_alone_make_images_in_torchscript_and_state_dicts(tmp_path, masks):
    torch.save(MaskAlone().state_dict(), tmp_path / "w.pt")
    filled = load_generator(tmp_path / "w.pt", architecture=MaskAlone)
    scripted = write("torchscript", MaskAlone(), tmp_path, names=("masks",))
    for generator in (filled, scripted):
        assert_painted(generator.sample(20, 0, masks=masks), masks)


@pytest.mark.parametrize("kind", ["exported", "onnx"])
def test_one_hot_inputs(kind, tmp_path, masks):
    generator = write(kind, SpadeOneHot(), tmp_path, names=("z", "masks"))
    assert_painted(generator.sample(20, 0, masks=masks), masks)
    with pytest.raises(GeneratorError, match=r"hold the label 3.*3 classes"):
        generator.sample(5, 0, masks=masks + (masks == 2))
    with pytest.raises(GeneratorError, match=r"masks are of size \(16, 16\)"):
        generator.sample(5, 0, masks=masks[:, :16, :16])
    labelled = write(kind, OneHot(), tmp_path, {"num_classes": CLASSES})
    assert set(labels_of(labelled.sample(64, 0).images)) == set(range(CLASSES))


@pytest.mark.parametrize(
    ("sampler", "needs"),
    [
        ({}, False),
        ({"num_classes": 3}, False),
        ({"condition": "masks"}, True),
        ({"class_weights": [0.0, 1.0]}, False),
    ],
)
def test_optional_conditions_are_used_when_declared(sampler, needs, tmp_path, masks):
    path = save_generator(
        tmp_path / "s.pt",
        Sampler(),
        architecture="test-sampler",
        sampler=sampler,
        size=(32, 32),
        value_range=(0, 1),
    )
    generator = load_generator(path)
    assert generator.needs_masks is needs
    drawn = generator.sample(40, 0, masks=masks)
    brightest = np.rint(drawn.images.max((1, 2, 3)) / 0.2).astype(int)
    expected = {
        "num_classes": {0, 1, 2},
        "class_weights": {1},
        "condition": {2},
    }.get(next(iter(sampler), ""), {0})
    assert set(brightest) == expected
    assert (drawn.masks is not None) is needs


def test_draws_follow_the_weights():
    weights = class_weights("x", {"class_weights": [3, 0, 1]}.get)
    drawn = np.bincount(draw_labels(20_000, 0, weights), minlength=3) / 20_000
    # The standard deviation of a share is at most .0035.
    np.testing.assert_allclose(drawn, [0.75, 0, 0.25], atol=0.015)
    uniform = class_weights("x", {"num_classes": 4}.get)
    np.testing.assert_array_equal(uniform, np.full(4, 0.25))


@pytest.mark.parametrize(
    "declared",
    [
        {"num_classes": 0},
        {"num_classes": True},
        {"num_classes": 2.5},
        {"class_weights": []},
        {"class_weights": [1, -1]},
        {"class_weights": [0, 0]},
        {"class_weights": ["a"]},
        {"class_weights": [float("nan"), 1]},
        {"class_weights": [1, 1], "num_classes": 3},
    ],
)
def test_classes_that_are_none(declared):
    with pytest.raises(GeneratorError, match="must be"):
        class_weights("x", declared.get)


@pytest.mark.parametrize("kind", ["torchscript", "exported", "onnx"])
def test_labels_without_classes_are_refused(kind, tmp_path):
    net = Scripted() if kind == "torchscript" else ByLabel()
    if kind == "torchscript":
        del net.num_classes
    with pytest.raises(GeneratorError, match="declare num_classes or class_weights"):
        write(kind, net, tmp_path)


def test_a_condition_that_nothing_takes_is_refused(tmp_path):
    with pytest.raises(GeneratorError, match=r"declares condition 'masks', but .* has no argument"):
        save_generator(
            tmp_path / "s.pt",
            ByLabel(),
            architecture="test-by-label",
            sampler={"condition": "masks"},
        )


# A run gives the masks of the training images.


def lab(tmp_path, generator, *, with_masks=True, n=24):
    rng = np.random.default_rng(0)
    images = rng.random((3 * n, 1, SIDE, SIDE), np.float32)
    found = {}
    if with_masks:
        found["masks"] = np.zeros((3 * n, SIDE, SIDE), np.uint8)
        for i, mask in enumerate(found["masks"]):
            mask[4 : 8 + i % 20, 8:16] = 1
    parts = ["train"] * n + ["reference"] * n + ["held-out"] * n
    np.savez(tmp_path / "data.npz", images=images, part=parts, **found)
    given = {"dataset": f"npz:{tmp_path / 'data.npz'}", "n": n, "cache": "off", "metric": ["fid"]}
    return Lab.open(
        Settings.load(given | {"extractor": ["pixels"], "generator": [generator]}, environ={})
    )


def test_a_run_gives_the_masks_of_training_images(tmp_path):
    found = lab(tmp_path, f"{__name__}:by_mask")
    drawn = found.images("by_mask")
    train = found.images("train")
    assert_painted(drawn, train.masks)
    assert found.recipe("by_mask")["masks"] == found.recipe("train")
    said = "by_mask: its images were made from the masks of 24 training images"
    assert said in found.generators["by_mask"].notes


def test_a_run_without_masks_ends_at_once(tmp_path):
    with pytest.raises(SettingsError, match=r"training images of .* have none"):
        lab(tmp_path, f"{__name__}:by_mask", with_masks=False)


def unsized(n, seed, masks):
    return by_mask(n, seed, masks)


def test_a_run_must_know_the_size_of_the_masks(tmp_path):
    with pytest.raises(SettingsError, match="declare size"):
        lab(tmp_path, f"{__name__}:unsized")


def test_other_generators_need_no_masks(tmp_path):
    found = lab(tmp_path, f"{__name__}:by_label", with_masks=False)
    assert "masks" not in found.recipe("by_label")
    assert found.images("by_label").masks is None
