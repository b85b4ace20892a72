"""Hostile, damaged and mistaken files: one sentence each, and nothing in them runs."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import warnings
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from nriqm_bench import load_generator, save_generator
from nriqm_bench.generators import GeneratorError, architectures
from nriqm_bench.generators.checkpoint import FORMAT


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


class Saves(torch.nn.Module):
    """Writes a file from within TorchScript."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        images = torch.rand(n, 1, 4, 4)
        torch.save(images, self.path)
        return images


class Helper(torch.nn.Module):
    def __init__(self, path: str):
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_file(self.path, True, 16)


class Hides(torch.nn.Module):
    """Writes a file from a submodule, inside a branch of a forked task."""

    def __init__(self, path: str):
        super().__init__()
        self.helper = Helper(path)

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        x = torch.rand(n, 1, 4, 4)
        if n > 1:
            future = torch.jit.fork(self.helper, x)
            x = x + torch.jit.wait(future).sum() * 0
        return x


class Restores(torch.nn.Module):
    """Writes a file while it is loaded."""

    def __init__(self, path: str):
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        torch.save(torch.zeros(1), state[0])
        self.path = state[0]
        self.training = state[1]

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4)


class Part(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1


def write_canary(self, x: tuple[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
    torch.save(y, "hook-canary")
    return y


class Hooked(torch.nn.Module):
    """Writes a file from a hook of a submodule."""

    def __init__(self):
        super().__init__()
        self.part = Part()
        self.part.register_forward_hook(write_canary)

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        return self.part(torch.rand(n, 1, 4, 4))


def write_canary_of_numbers(self, x: tuple[int, int], y: torch.Tensor) -> torch.Tensor:
    torch.save(y, "hook-canary")
    return y


class Numbers(torch.nn.Module):
    def forward(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4)


class Plain(torch.nn.Module):
    def __init__(self, side: int = 4):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(side, side))

    def sample(self, n: int, generator: torch.Generator):
        return torch.rand((n, 1, *self.weight.shape), generator=generator) * self.weight


@pytest.fixture(autouse=True)
def _network():
    architectures.register("test-plain")(Plain)
    yield
    architectures.discard("test-plain")


@pytest.fixture
def canary(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path / "canary"


def refusal(path, **options) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def script(module: torch.nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


def _objects(canary):
    array = np.empty(1, dtype=object)
    array[0] = Bomb(canary)
    return array


def write_hostile(kind: str, folder: Path, canary: Path) -> Path:
    path = folder / "hostile.pt"
    bomb = Bomb(canary)
    if kind == "torch zip":
        torch.save({"state_dict": {"w": torch.zeros(1)}, "x": bomb}, path)
    elif kind == "torch legacy":
        torch.save(bomb, path, _use_new_zipfile_serialization=False)
    elif kind == "plain pickle":
        path.write_bytes(pickle.dumps(bomb))
    elif kind == "pickle protocol 0":
        path.write_bytes(pickle.dumps(bomb, protocol=0))
    elif kind == "self-describing":
        torch.save({"format": FORMAT, "version": 1, "config": bomb}, path)
    elif kind == "npz objects":
        np.savez(path.with_suffix(".npz"), images=_objects(canary), allow_pickle=True)
        path = path.with_suffix(".npz")
    elif kind == "npy objects":
        path = path.with_suffix(".npy")
        np.save(path, _objects(canary), allow_pickle=True)
    elif kind == "folder of npy objects":
        np.save(folder / "0.npy", _objects(canary), allow_pickle=True)
        path = folder
    elif kind == "safetensors name":
        path = folder / "hostile.safetensors"
        path.write_bytes(pickle.dumps(bomb))
    elif kind == "pickle in npz name":
        path = folder / "hostile.npz"
        torch.save(bomb, path)
    return path


KINDS = [
    "torch zip",
    "torch legacy",
    "plain pickle",
    "pickle protocol 0",
    "self-describing",
    "npz objects",
    "npy objects",
    "folder of npy objects",
    "safetensors name",
    "pickle in npz name",
]


@pytest.mark.parametrize("kind", KINDS)
def test_no_pickle_runs(kind, tmp_path, canary):
    path = write_hostile(kind, tmp_path / "files", canary)
    message = refusal(path)
    assert not canary.exists()
    if kind in {"torch zip", "torch legacy", "self-describing"}:
        assert "posix.mkdir" in message
        assert "--nriqm-trust" in message


@pytest.mark.parametrize("kind", ["torch zip", "torch legacy"])
def test_the_bomb_is_live(kind, tmp_path, canary):
    path = write_hostile(kind, tmp_path / "files", canary)
    with pytest.raises(GeneratorError):
        load_generator(path, trust=True)
    assert canary.exists()


@pytest.mark.parametrize("module", [Saves, Hides, Restores])
def test_torchscript_that_writes_files_is_refused(module, tmp_path, canary):
    path = script(module(str(canary)), tmp_path / "files" / "s.pt")
    canary.unlink(missing_ok=True)
    message = refusal(path)
    assert "--nriqm-trust" in message
    assert {"Saves": "aten::save", "Hides": "prim::CallMethod", "Restores": "__setstate__"}[
        module.__name__
    ] in message
    assert not canary.exists()
    load_generator(path, trust=True).sample(2, 0)
    assert canary.exists()


def test_torchscript_hooks_do_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "aten::save" in refusal(script(Hooked(), tmp_path / "s.pt"))
    top = Numbers()
    top.register_forward_hook(write_canary_of_numbers)
    load_generator(script(top, tmp_path / "t.pt")).sample(2, 0)
    assert not (tmp_path / "hook-canary").exists()


@pytest.mark.parametrize(
    "name",
    [
        "os:mkdir",
        "os.mkdir",
        "monai.networks.nets.vista3d:os",
        "monai.networks.nets.resnet:get_pretrained_resnet_medicalnet",
        "torch.nn.init:normal_",
        "torch.nn.modules.module:torch.hub.load",
        "torch.nnx:Linear",
        "torch.nn_more:Linear",
        "torch.utils.data:Dataset",
    ],
)
def test_only_networks_of_the_allow_list_are_built(name, tmp_path, canary):
    content = {
        "format": FORMAT,
        "version": 1,
        "architecture": name,
        "config": {"path": str(canary)},
        "state_dict": {},
        "sampler": {},
        "value_range": None,
        "size": None,
        "metadata": {},
    }
    torch.save(content, tmp_path / "c.pt")
    message = refusal(tmp_path / "c.pt")
    assert name in message
    if not name.startswith("monai"):
        assert "--nriqm-trust" in message
    assert not canary.exists()


def test_a_module_outside_the_allow_list_is_not_even_imported(tmp_path, monkeypatch, canary):
    for name in ("hostile_network", "torch_nn_hostile"):
        (tmp_path / f"{name}.py").write_text(
            f"import os, torch\nos.mkdir({str(canary)!r})\nclass Net(torch.nn.Linear):\n    pass\n"
        )
        monkeypatch.chdir(tmp_path)
        assert "--nriqm-trust" in refusal(_checkpoint(tmp_path, architecture=f"{name}:Net"))
        assert not canary.exists()


def _checkpoint(tmp_path, **changes) -> Path:
    path = save_generator(tmp_path / "c.pt", Plain(), architecture="test-plain")
    content = torch.load(path, weights_only=True)
    torch.save({**content, **changes}, path)
    return path


def test_a_network_that_would_fetch_files_is_refused(tmp_path):
    path = _checkpoint(
        tmp_path,
        architecture="monai.networks.nets:EfficientNetBN",
        config={"model_name": "efficientnet-b0", "pretrained": True},
    )
    assert "pretrained" in refusal(path)


def test_a_network_larger_than_its_file_takes_no_memory(tmp_path):
    path = _checkpoint(
        tmp_path,
        architecture="torch.nn:Linear",
        config={"in_features": 300_000, "out_features": 300_000},
        sampler={"latent_dim": 300_000},
    )
    assert "(300000, 300000)" in refusal(path) or "missing" in refusal(path)


def test_weights_that_are_declared_but_absent_are_refused(tmp_path):
    path = _checkpoint(
        tmp_path,
        config={"side": 100_000},
        state_dict={"weight": torch.zeros(1, 1).expand(100_000, 100_000)},
    )
    assert "does not hold them" in refusal(path)


def test_an_archive_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w") as file,
    ):
        for _ in range(300):
            file.write(bytes(1 << 20))
    assert "would unpack to 0.3 GiB" in refusal(path)


def _good(kind: str, folder: Path) -> Path:
    if kind == "torchscript":
        return script(Plainer(), folder / "a.pt")
    if kind == "checkpoint":
        return save_generator(
            folder / "a.pt", Plain(32), architecture="test-plain", config={"side": 32}
        )
    if kind == "state-dict":
        torch.save(Plain(32).state_dict(), folder / "a.pt")
        return folder / "a.pt"
    if kind == "legacy":
        torch.save(Plain(32).state_dict(), folder / "a.pt", _use_new_zipfile_serialization=False)
        return folder / "a.pt"
    if kind == "safetensors":
        save_file(Plain(32).state_dict(), folder / "a.safetensors")
        return folder / "a.safetensors"
    if kind == "npz":
        np.savez(folder / "a.npz", images=np.random.default_rng(0).random((4, 1, 8, 8)))
        return folder / "a.npz"
    np.save(folder / "a.npy", np.random.default_rng(0).random((4, 1, 8, 8)))
    return folder / "a.npy"


class Plainer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(32, 32))

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 32, 32) * self.weight


FILES = ["torchscript", "checkpoint", "state-dict", "legacy", "safetensors", "npz", "npy"]


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_files(kind, share, tmp_path):
    path = _good(kind, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: max(1, int(len(data) * share))])
    assert path.name in refusal(path, architecture=Plain)


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bits_give_a_sentence_or_images(kind, tmp_path):
    path = _good(kind, tmp_path)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(12):
        damaged = bytearray(data)
        for position in rng.integers(0, len(data), 20):
            damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(GeneratorError):
            load_generator(path, architecture=lambda: Plain(32)).sample(2, 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"<?xml version='1.0'?><Error/>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"just some words", "no format that a loader knows"),
        (b"\x80", "a.pt"),
    ],
)
def test_files_of_something_else(content, said, tmp_path):
    (tmp_path / "a.pt").write_bytes(content)
    assert said in refusal(tmp_path / "a.pt")


def test_a_zip_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "neither a torch file nor an .npz (it holds 'readme.txt')" in refusal(tmp_path / "a.pt")


def test_missing_paths_and_folders(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "none.pt")
    assert "not a usable path" in refusal("a\0b") or "no such file" in refusal("a\0b")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refusal(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    assert "neither a regular file" in refusal(tmp_path / "pipe")


def test_a_damaged_image_in_a_folder_is_named(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:20])
    assert "a.png could not be read" in refusal(tmp_path)
    (tmp_path / "a.png").unlink()
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4), np.float32), np.eye(4)), tmp_path / "b.nii")
    (tmp_path / "b.nii").write_bytes((tmp_path / "b.nii").read_bytes()[:100])
    assert "b.nii could not be read" in refusal(tmp_path)


@pytest.mark.parametrize("device", ["cuda:7", "tpu", "xla", "meta"])
def test_devices_that_are_not_there(device, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 1, 4, 4)))
    assert repr(device) in refusal(tmp_path / "a.npy", device=device)


def test_an_unreadable_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    path.write_bytes(b"x")

    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "could not be read: Permission denied" in refusal(path)


def test_objects_beside_good_weights_name_the_class(tmp_path):
    buffer = io.BytesIO()
    torch.save({"state_dict": {}, "args": Plainer()}, buffer)
    (tmp_path / "a.pt").write_bytes(buffer.getvalue())
    assert "Plainer" in refusal(tmp_path / "a.pt")


def test_a_network_that_fetches_by_default_is_refused(tmp_path):
    path = _checkpoint(
        tmp_path,
        architecture="monai.networks.nets:EfficientNetBN",
        config={"model_name": "efficientnet-b0"},
    )
    assert "pretrained=True" in refusal(path)
