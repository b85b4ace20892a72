"""Each kind says what is wrong with its file, and what was chosen in it."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from nriqm_bench import generators, load_generator, save_generator
from nriqm_bench.datasets.folder import read_folder
from nriqm_bench.generators import GeneratorError, architectures
from nriqm_bench.generators.weights import choose
from nriqm_bench.registry import UnknownName


class Net(torch.nn.Module):
    """Takes a sampler setting and has two weights."""

    def __init__(self, side: int = 4):
        super().__init__()
        self.layer = torch.nn.Linear(side, side)

    def sample(self, n: int, generator: torch.Generator, power: float = 1.0):
        images = torch.rand((n, 1, 4, self.layer.in_features), generator=generator)
        return torch.sigmoid(self.layer(images**power))


class Latent(torch.nn.Linear):
    def forward(self, z):
        return torch.sigmoid(super().forward(z)).reshape(len(z), 1, 2, -1)


class Mute(torch.nn.Module):
    """Offers no way to be sampled."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


class Dimmed(Net):
    value_range = (0, 4)
    size = 64


class Dropping(Net):
    def sample(self, n: int, generator: torch.Generator):
        images = 0.1 + 0.8 * torch.rand((n, 1, 4, 4), generator=generator)
        return torch.nn.functional.dropout(images, 0.5, self.training)


class Misdeclared(Net):
    size = (4, 4, 4, 4)


class TwoInputs(torch.nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


class NoLatent(torch.nn.Module):
    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z


class WrongSample(torch.nn.Module):
    @torch.jit.export
    def sample(self, n: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4)


class WrongRange(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.value_range = (1.0, 0.0)

    def forward(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4)


class Uniform(torch.nn.Module):
    def forward(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4)


class Broken(torch.nn.Module):
    def forward(self, n: int, seed: int) -> torch.Tensor:
        return torch.rand(n, 1, 4, 4) @ torch.rand(3, 3)


def a_number(n, seed):
    return n


@pytest.fixture(autouse=True)
def _network():
    architectures.register("test-net")(Net)
    yield
    architectures.discard("test-net")


def refusal(path, **options) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def script(module: torch.nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


# TorchScript


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (TwoInputs, "it has forward(Tensor, Tensor), must have sample(n: int, seed: int)"),
        (NoLatent, "does not say what z is; give the module an attribute latent_dim"),
        (WrongSample, "must be sample(n: int, seed: int)"),
        (WrongRange, "declares value_range (1.0, 0.0), must be (low, high) with low < high"),
    ],
)
def test_torchscript_that_cannot_be_sampled(module, said, tmp_path):
    assert said in refusal(script(module(), tmp_path / "s.pt"))


def test_torchscript_that_fails_says_why(tmp_path):
    generator = load_generator(script(Broken(), tmp_path / "s.pt"))
    with pytest.raises(GeneratorError, match=r"s failed while drawing 16 images: RuntimeError"):
        generator.sample(1)


def test_an_unneeded_architecture_is_said(tmp_path):
    path = script(Uniform(), tmp_path / "s.pt")
    generator = load_generator(path, architecture="os:mkdir")
    assert generator.notes == ["--nriqm-architecture was not needed and not used"]


def test_the_global_random_state_is_left_alone(tmp_path):
    path = script(Uniform(), tmp_path / "s.pt")
    saved = save_generator(tmp_path / "c.pt", Net(), architecture="test-net")
    drawn = []
    for state in (5, 6):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        drawn.append(load_generator(path).sample(20, 1).images)
        load_generator(saved).sample(2, 1)
        assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(*drawn)
    assert not np.array_equal(drawn[0], load_generator(path).sample(20, 2).images)


# Self-describing checkpoints


def test_sampler_settings_reach_the_network_and_the_key(tmp_path):
    made = {}
    for power in (1.0, 3.0):
        path = save_generator(
            tmp_path / f"{power}.pt",
            Net(),
            architecture="test-net",
            sampler={"power": power, "chunk": 5},
        )
        made[power] = load_generator(path)
    assert made[1.0].key() != made[3.0].key()
    torch.manual_seed(0)
    assert not np.array_equal(made[1.0].sample(2, 0).images, made[3.0].sample(2, 0).images)


def test_the_key_does_not_know_the_path(tmp_path):
    path = save_generator(tmp_path / "a.pt", Net(), architecture="test-net")
    (tmp_path / "elsewhere.pth").write_bytes(path.read_bytes())
    first, second = load_generator(path), load_generator(tmp_path / "elsewhere.pth")
    assert first.key() == second.key()
    assert (first.name, second.name) == ("a", "elsewhere")
    save_generator(path, Net(), architecture="test-net")
    assert load_generator(path).key() != first.key()


def test_a_latent_network_of_torch_needs_no_trust(tmp_path):
    path = save_generator(
        tmp_path / "a.pt",
        torch.nn.ConvTranspose2d(2, 1, 4),
        config={"in_channels": 2, "out_channels": 1, "kernel_size": 4},
        sampler={"latent_shape": [2, 3, 3]},
        value_range=(-9, 9),
    )
    generator = load_generator(path)
    assert generator.sample(3).spatial == (6, 6)
    assert "torch.nn.modules.conv:ConvTranspose2d" in generator.describe()


def test_a_monai_network_needs_no_trust(tmp_path):
    from monai.networks.nets import Generator

    config = {
        "latent_shape": [8],
        "start_shape": [4, 4, 4],
        "channels": [4, 4, 1],
        "strides": [2, 2, 1],
    }
    path = save_generator(
        tmp_path / "gan.pt",
        Generator(**config),
        architecture="monai.networks.nets:Generator",
        config=config,
        sampler={"latent_dim": 8},
        value_range=(-5, 5),
    )
    assert load_generator(path).sample(3).images.shape == (3, 1, 16, 16)


def test_foreign_networks_need_trust_or_naming(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(
        "import torch\n"
        "class Own(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.w = torch.nn.Parameter(torch.ones(1))\n"
        "    def sample(self, n, generator):\n"
        "        return torch.rand((n, 1, 4, 4), generator=generator) * self.w\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import net

    path = save_generator(tmp_path / "a.pt", net.Own(), architecture="net:Own")
    assert "--nriqm-architecture net:Own" in refusal(path)
    images = load_generator(path, trust=True).sample(2).images
    for given in ("net:Own", "net.Own", net.Own):
        generator = load_generator(path, architecture=given)
        np.testing.assert_array_equal(generator.sample(2).images, images)
        assert generator.notes == [n for n in generator.notes if "inferred" in n]


def _changed(tmp_path, **changes) -> Path:
    path = save_generator(tmp_path / "c.pt", Net(), architecture="test-net")
    torch.save({**torch.load(path, weights_only=True), **changes}, path)
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 99}, "has checkpoint version 99, this nriqm_bench reads version 1"),
        ({"config": None}, "no usable field 'config' (it was NoneType)"),
        ({"value_range": (2, 1)}, "declares value_range (2.0, 1.0)"),
        ({"value_range": ("a", "b")}, "must be numbers"),
        ({"size": (4,)}, "declares size (4,)"),
        ({"sampler": {"chunk": 0}}, "chunk = 0, must be from 1 to 4096"),
        ({"sampler": {"speed": 1}}, "does not take (n, generator) and the settings ['speed']"),
        ({"sampler": {"power": torch.ones(1)}}, "sampler['power'] was Tensor, must be plain"),
        ({"config": {1: 2}}, "has the key 1, must be words"),
        ({"config": {"side": [object]}}, "holds Python objects"),
        ({"config": {"side": "x"}}, "Net cannot be built from the configuration {'side': 'x'}"),
        ({"config": {"side": 5}}, "2 of another shape (layer.weight (4, 4) for (5, 5), layer.b"),
        ({"state_dict": {}}, "2 missing (layer.weight, layer.bias)"),
        ({"state_dict": {"layer.weight": 3}}, "has int for the weights 'layer.weight'"),
        ({"architecture": "tset-net"}, "did you mean 'test-net'?"),
        ({"architecture": "monai.networks.nets:Unknown"}, "could not be imported"),
    ],
)
def test_checkpoints_that_do_not_fit(changes, said, tmp_path):
    assert said in refusal(_changed(tmp_path, **changes))


def test_unexpected_keys_are_listed(tmp_path):
    path = save_generator(tmp_path / "c.pt", Net(), architecture="test-net")
    content = torch.load(path, weights_only=True)
    content["state_dict"] |= {f"old.{i}": torch.zeros(1) for i in range(8)}
    torch.save(content, path)
    assert "8 unexpected (old.0, old.1, old.2, old.3, old.4 and 3 more)" in refusal(path)


def test_what_cannot_be_loaded_is_not_saved(tmp_path):
    def refused(model, **options) -> str:
        with pytest.raises(GeneratorError) as caught:
            save_generator(tmp_path / "a.pt", model, **options)
        assert not list(tmp_path.iterdir())
        return str(caught.value)

    assert "another shape" in refused(Net(5), architecture="test-net")
    assert "must be plain data" in refused(
        Net(), architecture="test-net", metadata={"when": [np.float64(1)]}
    )
    assert "has no method sample(n, generator)" in refused(Mute(), architecture=f"{__name__}:Mute")
    assert "nothing reads" in refused(
        torch.nn.Linear(2, 2),
        config={"in_features": 2, "out_features": 2},
        sampler={"latent_dim": 2, "steps": 3},
    )


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = save_generator(tmp_path / "a.pt", Net(), architecture="test-net")
    before = path.read_bytes()

    def full(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_generator(path, Net(), architecture="test-net")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_networks_are_sampled_in_evaluation_mode(tmp_path):
    torch.save(Dropping().state_dict(), tmp_path / "w.pt")
    images = load_generator(tmp_path / "w.pt", architecture=Dropping).sample(3).images
    assert images.min() > 0


def test_the_key_follows_the_architecture(tmp_path):
    path = save_generator(tmp_path / "c.pt", Net(), architecture="test-net")
    given = load_generator(path, architecture=Dimmed)
    assert given.uses_architecture
    assert given.key() != load_generator(path, architecture=Net).key()
    assert load_generator(path).key() == load_generator(path, architecture=Net).key()


# State dicts and training checkpoints


def test_a_bare_state_dict_asks_for_its_network(tmp_path):
    torch.save(Net().state_dict(), tmp_path / "w.pt")
    save_file(Net().state_dict(), tmp_path / "w.safetensors")
    for name in ("w.pt", "w.safetensors"):
        assert "pass --nriqm-architecture pkg.mod:callable" in refusal(tmp_path / name)


def _wrapped(kind: str) -> dict:
    good, other = Net().state_dict(), {k: v + 1 for k, v in Net().state_dict().items()}
    return {
        "state_dict": {"state_dict": good, "epoch": 3},
        "model": {"model": good, "optimizer": {"state": {}}},
        "ema": {"model": other, "ema": good},
        "module prefix": {f"module.{k}": v for k, v in good.items()},
        "compiled": {"state_dict": {f"_orig_mod.{k}": v for k, v in good.items()}},
        "two nets": {
            **{f"generator.{k}": v for k, v in good.items()},
            "critic.weight": torch.zeros(3),
        },
        "nested": {"model": {"state_dict": {f"net.module.{k}": v for k, v in good.items()}}},
        "misleading ema": {"ema": {"shadow": torch.zeros(2)}, "model": good},
    }[kind], good


@pytest.mark.parametrize(
    ("kind", "notes"),
    [
        ("state_dict", ["w: weights were taken from 'state_dict'"]),
        ("model", ["w: weights were taken from 'model'"]),
        ("ema", ["w: weights were taken from 'ema' (there was also 'model')"]),
        ("module prefix", ["w: the prefix 'module.' was removed from the keys"]),
        (
            "compiled",
            [
                "w: weights were taken from 'state_dict'",
                "w: the prefix '_orig_mod.' was removed from the keys",
            ],
        ),
        (
            "two nets",
            [
                "w: the prefix 'generator.' was removed from the keys, and 1 keys without it were "
                "left out"
            ],
        ),
        (
            "nested",
            [
                "w: weights were taken from 'model.state_dict'",
                "w: the prefix 'net.module.' was removed from the keys",
            ],
        ),
        ("misleading ema", ["w: weights were taken from 'model' (there was also 'ema')"]),
    ],
)
def test_training_checkpoints_say_what_was_chosen(kind, notes, tmp_path):
    content, good = _wrapped(kind)
    torch.save(content, tmp_path / "w.pt")
    generator = load_generator(tmp_path / "w.pt", architecture="test-net")
    assert generator.notes == notes
    state, _ = choose("w.pt", content, good)
    assert {k: v.tolist() for k, v in state.items()} == {k: v.tolist() for k, v in good.items()}
    expected = Net()
    expected.load_state_dict(good)
    save_generator(tmp_path / "c.pt", expected, architecture="test-net")
    np.testing.assert_array_equal(
        generator.sample(3, 1).images, load_generator(tmp_path / "c.pt").sample(3, 1).images
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3}, "holds no state dict: it is a dict with 'epoch'"),
        ({"module.layer.weight": torch.zeros(4, 4)}, "1 missing (layer.bias)"),
        ({"strange": torch.zeros(1)}, "2 missing (layer.weight, layer.bias); 1 unexpected"),
        ([torch.zeros(1)], "holds a list, must hold a network or its state dict"),
        (torch.zeros(2), "holds a Tensor, must hold a network"),
    ],
)
def test_state_dicts_that_do_not_fit(content, said, tmp_path):
    torch.save(content, tmp_path / "w.pt")
    assert said in refusal(tmp_path / "w.pt", architecture="test-net")


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        ("nowhere.at_all:Net", "could not be imported (ModuleNotFoundError"),
        ("os:getcwd", "returned str, must return a torch.nn.Module"),
        ("os:sep", "is str, must be callable"),
        (Misdeclared, "declares size (4, 4, 4, 4), must be (height, width)"),
        (Mute, "does not fit Mute"),
    ],
)
def test_architectures_that_do_not_fit(architecture, said, tmp_path):
    torch.save(Net().state_dict(), tmp_path / "w.pt")
    assert said in refusal(tmp_path / "w.pt", architecture=architecture)


def test_attributes_of_the_network_are_declarations_when_they_are_lists(tmp_path):
    torch.save(Dimmed().state_dict(), tmp_path / "w.pt")
    generator = load_generator(tmp_path / "w.pt", architecture=Dimmed)
    assert (generator.size, generator.value_range) == (None, (0, 4))
    assert generator.sample(3).images.max() <= 0.25


def test_a_pickled_network_that_is_not_importable(tmp_path, monkeypatch):
    (tmp_path / "lost_network.py").write_text(
        "import torch\nclass Lost(torch.nn.Linear):\n    latent_dim = 2\n"
    )
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        import lost_network

        torch.save(lost_network.Lost(2, 2), tmp_path / "w.pt")
        patch.delitem(sys.modules, "lost_network")
    monkeypatch.delitem(sys.modules, "lost_network", raising=False)
    message = refusal(tmp_path / "w.pt", trust=True)
    assert "needs Python code that is not importable here" in message
    assert "No module named 'lost_network'" in message


# Samples


def _png(path: Path, value=None, shape=(4, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    array = rng.integers(0, 255, shape) if value is None else np.full(shape, value)
    Image.fromarray(array.astype(np.uint8)).save(path)


def test_more_samples_than_there_are(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((5, 1, 4, 4)))
    generator = load_generator(tmp_path / "a.npy")
    with pytest.raises(
        GeneratorError, match="holds 5 samples, but 6 were asked for; pass --nriqm-n 5"
    ):
        generator.sample(6)


def test_a_subset_is_random_seeded_and_without_replacement(tmp_path):
    images = np.random.default_rng(0).random((30, 1, 4, 4)).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", images=images)
    generator = load_generator(tmp_path / "a.npz")
    chosen = generator.sample(10, seed=1).images
    assert len(np.unique(chosen.reshape(10, -1), axis=0)) == 10
    assert all((images == image).all((1, 2, 3)).any() for image in chosen)
    np.testing.assert_array_equal(chosen, generator.sample(10, seed=1).images)
    np.testing.assert_array_equal(chosen[:4], generator.sample(4, seed=1).images)
    assert not np.array_equal(chosen, generator.sample(10, seed=2).images)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pictures": np.zeros((2, 1, 4, 4))}, "holds the arrays pictures, must hold 'images'"),
        ({"images": np.zeros((2, 4, 4))}, "add the channel axis with images[:, None]"),
        ({"images": np.zeros((2, 1, 4, 4)), "masks": np.zeros((3, 4, 4))}, "2 images but 3 masks"),
    ],
)
def test_npz_that_does_not_fit(arrays, said, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    assert said in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}.png", "{}_mask.png"),
        ("{}.png", "{}_seg.png"),
        ("images/{}.png", "masks/{}.png"),
        ("{}.png", "masks/{}.png"),
        ("sub/{}.png", "sub/{}-seg.png"),
    ],
)
def test_masks_in_a_folder(image, mask, tmp_path):
    for i in range(3):
        _png(tmp_path / image.format(i))
        _png(tmp_path / mask.format(i), value=i)
    generator = load_generator(tmp_path)
    drawn = generator.sample(3, 0)
    assert generator.available == 3
    assert sorted(drawn.masks[:, 0, 0].tolist()) == [0, 1, 2]
    key = generator.key()
    _png(tmp_path / mask.format(2), value=9)
    assert load_generator(tmp_path).key() != key


def test_folders_that_do_not_fit(tmp_path):
    _png(tmp_path / "a" / "0.png")
    _png(tmp_path / "a" / "1.png")
    _png(tmp_path / "a" / "1_mask.png", value=1)
    assert "masks for some images only: none for 0.png" in refusal(tmp_path / "a")
    _png(tmp_path / "b" / "0.png")
    _png(tmp_path / "b" / "1.png", shape=(5, 5))
    with pytest.raises(GeneratorError, match="images of different shapes"):
        load_generator(tmp_path / "b").sample(2)


def test_colour_in_a_folder(tmp_path):
    _png(tmp_path / "a" / "0.png", shape=(4, 5, 3))
    assert load_generator(tmp_path / "a").sample(1).images.shape == (1, 3, 4, 5)


def test_volumes_in_a_folder_are_cut_as_real_volumes_are(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        volume = rng.random((30, 40, 20)).astype(np.float32) * 900
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / f"{i}.nii.gz")
    generator = load_generator(tmp_path)
    drawn = generator.sample(12, 0)
    assert generator.size == drawn.spatial == (128, 128)
    assert generator.available == 12
    assert any("axial slices" in note for note in generator.notes)
    real = read_folder(tmp_path, size=128).images
    assert {i.tobytes() for i in drawn.images} == {i.tobytes() for i in real}
    with pytest.raises(GeneratorError, match="holds 12 samples, but 13"):
        generator.sample(13)


def test_a_damaged_volume_in_a_folder(tmp_path):
    (tmp_path / "0.nii.gz").write_bytes(b"no volume")
    assert "0.nii.gz could not be read" in refusal(tmp_path)
    volume = np.ones((20, 20, 20), np.float32)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "0.nii.gz")
    assert "0.nii.gz" in refusal(tmp_path)


# Python callables


def test_callables_that_do_not_fit():
    assert "could not be imported (ModuleNotFoundError" in refusal("nowhere.at_all:make")
    assert "is str, must be a function (n, seed) -> images" in refusal("os:sep")
    assert "is type, must be a function" in refusal("pathlib:Path")
    generator = load_generator(f"{__name__}:a_number")
    assert "pass --nriqm-cache off" in generator.notes[0]
    with pytest.raises(GeneratorError, match=r"must be \(n, channels, height, width\)"):
        generator.sample(4)


def test_a_callable_declares_its_range_and_finds_its_folder(tmp_path, monkeypatch):
    (tmp_path / "neighbour.py").write_text("scale = 10\n")
    (tmp_path / "own_generator.py").write_text(
        "import numpy as np\n"
        "def make(n, seed):\n"
        "    import neighbour\n"
        "    return np.random.default_rng(seed).random((n, 1, 4, 4)) * neighbour.scale\n"
        "make.value_range = (0, 10)\n"
        "make.size = (4, 4)\n"
    )
    monkeypatch.chdir(tmp_path)
    generator = load_generator("own_generator:make")
    key = generator.key()
    assert generator.size == (4, 4)
    assert 0.5 < generator.sample(8, 0).images.max() <= 1
    with (tmp_path / "own_generator.py").open("a") as file:
        file.write("# changed\n")
    assert load_generator("own_generator:make").key() != key


# The registries


def test_registries_know_their_names():
    assert set(generators.BUILTIN) <= set(generators.names())
    assert all(callable(generators.get(name)) for name in generators.BUILTIN)
    with pytest.raises(UnknownName, match="did you mean 'torchscript'"):
        generators.get("torchscrip")
    with pytest.raises(ValueError, match="is taken"):
        generators.register("samples")(lambda source, options: None)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = generators.nothing
