"""What runs only with trust, and what is no attack and must load: bounds must not hurt.

The files that are refused whatever they hold are in `tests/generators/hostile`.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from nriqm_bench import load_generator, save_generator
from nriqm_bench.generators import GeneratorError, architectures, opcodes
from nriqm_bench.generators.checkpoint import FORMAT
from tests.generators.hostile.corpus import CORPUS
from tests.generators.hostile.scripts import Hides, Restores, Saves, script


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


@pytest.mark.parametrize("name", ["state-dict-bomb", "legacy-bomb"])
def test_with_trust_the_bomb_goes_off(name, tmp_path, canary):
    path = CORPUS[name].write(tmp_path / "files", canary)
    with pytest.raises(GeneratorError):
        load_generator(path, trust=True)
    assert canary.exists()


@pytest.mark.parametrize("module", [Saves, Hides, Restores])
def test_torchscript_that_writes_files_needs_trust(module, tmp_path, canary):
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


def test_missing_paths_and_folders(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "none.pt")
    assert "not a usable path" in refusal("a\0b") or "no such file" in refusal("a\0b")
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refusal(tmp_path / "empty")


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
    torch.save({"state_dict": {}, "args": Part()}, buffer)
    (tmp_path / "a.pt").write_bytes(buffer.getvalue())
    assert "Part" in refusal(tmp_path / "a.pt")


def _samples(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        np.save(folder / f"{i}.npy", rng.random((8, 8)))
    return folder


def test_links_within_the_folder_are_followed(tmp_path):
    folder = _samples(tmp_path / "a")
    (folder / "4.npy").symlink_to("3.npy")
    assert len(load_generator(folder).sample(5, 0)) == 5


def test_links_of_a_hugging_face_cache_are_followed(tmp_path):
    blobs = _samples(tmp_path / "models--a--b" / "blobs")
    revision = tmp_path / "models--a--b" / "snapshots" / "0" / "samples"
    revision.mkdir(parents=True)
    for file in blobs.iterdir():
        (revision / file.name).symlink_to(Path("..", "..", "..", "blobs", file.name))
    for named in (revision, revision.parent):
        assert len(load_generator(named).sample(4, 0)) == 4
    (tmp_path / "secret.npy").write_bytes((blobs / "0.npy").read_bytes())
    (revision / "4.npy").symlink_to(tmp_path / "secret.npy")
    assert "leads out of the folder" in refusal(revision)


def test_links_into_an_annex_are_followed(tmp_path):
    objects = _samples(tmp_path / ".git" / "annex" / "objects")
    (tmp_path / "samples").mkdir()
    for file in objects.iterdir():
        (tmp_path / "samples" / file.name).symlink_to(file)
    assert len(load_generator(tmp_path / "samples").sample(4, 0)) == 4


def test_a_link_that_the_user_names_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(_samples(tmp_path / "a"))
    assert len(load_generator(tmp_path / "link").sample(4, 0)) == 4


def test_masks_that_pack_well_are_read(tmp_path):
    masks = np.zeros((64, 128, 128), np.uint8)
    masks[:, 40:80, 40:80] = 1
    images = np.random.default_rng(0).random((64, 1, 128, 128), np.float32)
    np.savez_compressed(tmp_path / "a.npz", images=images, masks=masks)
    assert load_generator(tmp_path / "a.npz").sample(4, 0).masks is not None


def test_a_checkpoint_without_checksums_loads(tmp_path):
    asked = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        save_generator(tmp_path / "a.pt", Plain(), architecture="test-plain")
    finally:
        torch.serialization.set_crc32_options(asked)
    assert len(load_generator(tmp_path / "a.pt").sample(4, 0)) == 4


@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_loops_save_has_an_outline(zipped, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    plan = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3, 3])
    content = {
        "model": network.state_dict(),
        "half": network.half().bfloat16().state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": plan.state_dict(),
        "parameters": list(network.parameters()),
        "history": [0.1] * 5000,
        "betas": {(0, 1): {1, 2}, (1, 2): None},
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "size": torch.Size([2, 3]),
        "bytes": torch.get_rng_state(),
    }
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    assert "pass --nriqm-architecture" in refusal(tmp_path / "a.pt")


def test_the_outline_counts_what_is_shared_each_time():
    shared = [1, 2, 3]
    for content, fits in (([shared] * 1000, True), (_doubled(40), False)):
        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=False)
        buffer.seek(0)
        for _ in range(3):
            opcodes.outline(buffer)
        if fits:
            assert opcodes.outline(buffer).globals == set()
        else:
            with pytest.raises(opcodes.PickleError, match="written out in full"):
                opcodes.outline(buffer)


def _doubled(times: int) -> tuple:
    pair: tuple = (0,)
    for _ in range(times):
        pair = (pair, pair)
    return pair


def test_a_nifti_with_extensions_is_read(tmp_path):
    image = nibabel.Nifti1Image(np.random.default_rng(0).random((8, 8), np.float32), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nibabel.save(image, tmp_path / "a.nii.gz")
    second = nibabel.Nifti2Image(np.random.default_rng(1).random((8, 8), np.float32), np.eye(4))
    nibabel.save(second, tmp_path / "b.nii")
    assert len(load_generator(tmp_path).sample(2, 0)) == 2
    content = bytearray((tmp_path / "b.nii").read_bytes())
    content[16 + 8 : 16 + 16] = struct.pack("<q", 2**40)
    (tmp_path / "b.nii").write_bytes(content)
    with pytest.raises(GeneratorError, match="its header tells of"):
        load_generator(tmp_path).sample(2, 0)


def test_a_message_is_one_line_of_printable_characters():
    said = str(GeneratorError("a\nb\x1b[2J\u202e\udc80é" + "x" * 5000 + "; pass this"))
    assert said.startswith("a\\nb\\x1b[2J\\u202e\\udc80é")
    assert said.endswith("; pass this")
    assert len(said) < 600


def test_a_network_that_is_stopped_leaves_torch_as_it_was(tmp_path, canary):
    assert torch.is_grad_enabled()
    path = CORPUS["network-of-a-million-copies"].write(tmp_path / "files", canary)
    assert "TooLarge" in refusal(path)
    assert torch.is_grad_enabled()
