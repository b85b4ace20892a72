"""Every kind of checkpoint, written by the framework that writes it, gives the images it holds."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from nriqm_bench import generators, load_generator, save_generator
from nriqm_bench.generators import Generator, GeneratorError, architectures
from nriqm_bench.images import ImageSet


class Scripted(torch.nn.Module):
    """Draws its own noise; joint images and masks."""

    def __init__(self):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor(0.5))
        self.value_range = (0.0, 2.0)
        self.size = [6, 5]

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z

    @torch.jit.export
    def sample(self, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.rand(n, 1, 6, 5) + self.bias
        return images, (images[:, 0] > 1.0).to(torch.int64)


class Latent(torch.nn.Module):
    """Maps a latent vector to an image in [-1, 1]."""

    def __init__(self, width: int = 3):
        super().__init__()
        self.latent_dim = width
        self.layer = torch.nn.Linear(width, 30)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(3 * self.layer(z)).reshape(-1, 1, 6, 5)


class Seeded(torch.nn.Module):
    def forward(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4)


class Sampler(torch.nn.Module):
    """A Python network that follows the protocol of checkpoints."""

    value_range = (0.0, 1.0)

    def __init__(self, side: int = 8):
        super().__init__()
        self.size = (side, side)
        self.weight = torch.nn.Parameter(torch.linspace(0.1, 0.9, side))

    def sample(self, n: int, generator: torch.Generator, power: float = 1.0):
        shape = (n, 1, *self.size)
        images = torch.rand(shape, generator=generator, device=generator.device) ** power
        return images * self.weight, (images[:, 0] > 0.5).long()


def build_latent() -> torch.nn.Module:
    return Latent()


def script(module: torch.nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


HERE = f"{__name__}:"


@pytest.fixture(autouse=True)
def _network():
    architectures.register("test-sampler")(Sampler)
    yield
    architectures.discard("test-sampler")


def test_torchscript_sample_gives_images_and_masks(tmp_path):
    generator = load_generator(script(Scripted(), tmp_path / "joint.pt"))
    drawn = generator.sample(20, seed=1)
    assert isinstance(generator, Generator)
    assert (generator.name, generator.kind, generator.size) == ("joint", "torchscript", (6, 5))
    assert drawn.images.shape == (20, 1, 6, 5)
    # Values in [.5, 1.5] of a declared [0, 2].
    assert 0.25 <= drawn.images.min() < 0.3
    assert 0.7 < drawn.images.max() <= 0.75
    np.testing.assert_array_equal(drawn.masks, drawn.images[:, 0] > 0.5)


def test_torchscript_latent_network_is_the_network(tmp_path):
    torch.manual_seed(0)
    net = Latent()
    drawn = load_generator(script(net, tmp_path / "gan.pt")).sample(5, seed=3)
    from nriqm_bench.generators.generator import chunk_seed
    from nriqm_bench.generators.module import latents

    expected = net(latents(16, 3, chunk_seed(3, 0), "cpu")).detach().numpy()[:5]
    np.testing.assert_allclose(drawn.images, (expected + 1) / 2, atol=1e-6)


def test_torchscript_forward_of_n_and_seed(tmp_path):
    assert load_generator(script(Seeded(), tmp_path / "s.pt")).sample(3, 0).spatial == (4, 4)


def test_the_range_that_was_inferred_is_said(tmp_path):
    generator = load_generator(script(Latent(), tmp_path / "gan.pt"))
    assert generator.notes == []
    generator.sample(8, 0)
    assert "[-1, 1] was inferred" in generator.notes[0]


def test_checkpoint_round_trip(tmp_path):
    model = Sampler(8)
    path = save_generator(
        tmp_path / "net.pt", model, architecture="test-sampler", config={"side": 8}, size=(8, 8)
    )
    generator = load_generator(path)
    drawn = generator.sample(40, seed=5)
    assert (generator.kind, generator.size) == ("checkpoint", (8, 8))
    assert drawn.images.shape == (40, 1, 8, 8)
    assert set(np.unique(drawn.masks)) == {0, 1}
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]


def test_state_dict_fills_the_architecture(tmp_path):
    torch.manual_seed(1)
    net = Latent()
    torch.save(net.state_dict(), tmp_path / "w.pt")
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    drawn = [
        load_generator(tmp_path / name, architecture=build_latent).sample(4, 2).images
        for name in ("w.pt", "w.safetensors")
    ]
    scripted = load_generator(script(net, tmp_path / "s.pt")).sample(4, 2).images
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_allclose(drawn[0], scripted, atol=1e-6)


def test_npz_of_samples(tmp_path):
    images = np.random.default_rng(0).random((9, 1, 4, 4)).astype(np.float32)
    np.savez(tmp_path / "s.npz", images=images, masks=(images[:, 0] > 0.5).astype(np.uint8))
    generator = load_generator(tmp_path / "s.npz")
    drawn = generator.sample(9, 0)
    assert (generator.available, generator.size) == (9, (4, 4))
    np.testing.assert_array_equal(np.sort(drawn.images, axis=None), np.sort(images, axis=None))
    np.testing.assert_array_equal(drawn.masks, drawn.images[:, 0] > 0.5)


@pytest.mark.parametrize("ending", ["png", "npy", "nii.gz"])
def test_folder_of_samples(tmp_path, ending):
    arrays = np.random.default_rng(0).integers(0, 256, (6, 5, 4)).astype(np.uint8)
    for i, array in enumerate(arrays):
        if ending == "png":
            Image.fromarray(array).save(tmp_path / f"{i}.png")
        elif ending == "npy":
            np.save(tmp_path / f"{i}.npy", array)
        else:
            nibabel.save(nibabel.Nifti1Image(array.T[:, ::-1], np.eye(4)), tmp_path / f"{i}.nii.gz")
    drawn = load_generator(tmp_path).sample(6, 0)
    got = np.sort(drawn.images.reshape(6, -1), axis=0)
    np.testing.assert_allclose(got, np.sort(arrays.reshape(6, -1) / 255, axis=0), atol=1e-6)


def test_python_callable(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def make(n, seed):\n"
        "    return np.random.default_rng(seed).random((n, 1, 4, 4))\n"
    )
    monkeypatch.chdir(tmp_path)
    generator = load_generator("mine:make")
    drawn = generator.sample(7, 3)
    np.testing.assert_allclose(
        drawn.images, np.random.default_rng(3).random((7, 1, 4, 4)), atol=1e-7
    )
    assert (generator.name, generator.kind) == ("make", "python")


def test_a_pickled_network_needs_trust(tmp_path):
    torch.save(Sampler(), tmp_path / "whole.pt")
    with pytest.raises(GeneratorError, match=r"Sampler.*--nriqm-trust"):
        load_generator(tmp_path / "whole.pt")
    assert isinstance(load_generator(tmp_path / "whole.pt", trust=True).sample(2, 0), ImageSet)


def test_a_registered_kind_is_asked_first(tmp_path):
    @generators.register("test-kind")
    def load(source, options):
        if source.is_dir or not source.head.startswith(b"MINE"):
            return None

        def draw(n, seed):
            return np.random.default_rng(seed).random((n, 1, 3, 3))

        return Generator(source.stem, "test-kind", draw, content=source.sha256())

    try:
        (tmp_path / "a.bin").write_bytes(b"MINE")
        assert load_generator(tmp_path / "a.bin").sample(2, 0).spatial == (3, 3)
    finally:
        generators.discard("test-kind")
