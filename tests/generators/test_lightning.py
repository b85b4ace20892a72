"""Checkpoints really written by a Lightning Trainer."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from nriqm_bench import load_generator
from nriqm_bench.generators import GeneratorError

SIDE = 8


class Net(torch.nn.Module):
    def __init__(self, latent_dim: int = 3):
        super().__init__()
        self.latent_dim = latent_dim
        self.layer = torch.nn.Linear(latent_dim, SIDE * SIDE)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(3 * self.layer(z)).reshape(-1, 1, SIDE, SIDE)


class Gan(lightning.LightningModule):
    value_range = (0.0, 1.0)

    def __init__(self, latent_dim: int = 4, lr: float = 0.1):
        super().__init__()
        self.save_hyperparameters()
        self.latent_dim = latent_dim
        self.generator = Net(latent_dim)
        self.discriminator = torch.nn.Linear(SIDE * SIDE, 1)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.generator(z)

    def training_step(self, batch, index):
        return self.discriminator(self(batch).flatten(1)).mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.hparams.get("lr", 0.1))


class WithEma(Gan):
    """Keeps averaged weights beside the trained ones, as many repositories do."""

    def __init__(self, latent_dim: int = 4):
        super().__init__(latent_dim)
        self.ema = Net(latent_dim).requires_grad_(False)


class Setting:
    """A hyper-parameter that is no plain data."""


class Strange(Gan):
    def __init__(self, setting=None):
        super().__init__()
        self.setting = setting
        self.save_hyperparameters()


class Everything(Net):
    def __init__(self, **settings):
        super().__init__(settings["latent_dim"])
        self.settings = settings


def train(module: lightning.LightningModule, folder: Path, *callbacks) -> Path:
    # Lightning names its releases and its tips on its loggers, and warns of its own deprecations.
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=list(callbacks),
        )
        latents = torch.randn(8, module.latent_dim)
        trainer.fit(module, torch.utils.data.DataLoader(latents, batch_size=4))
        trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def test_the_module_is_built_from_its_hyper_parameters(tmp_path):
    module = Gan(latent_dim=6)
    path = train(module, tmp_path)
    generator = load_generator(path, architecture=Gan)
    drawn = generator.sample(20, seed=1)
    assert generator.kind == "lightning"
    assert generator.value_range == (0, 1)
    assert generator.notes[:2] == [
        "last: Gan was built with the hyper-parameters latent_dim=6, lr=0.1",
        "last: weights were taken from 'state_dict'",
    ]
    from nriqm_bench.generators.generator import chunk_seed
    from nriqm_bench.generators.module import latents

    expected = module.eval()(latents(16, 6, chunk_seed(1, 0), "cpu")).detach().numpy()
    np.testing.assert_allclose(drawn.images[:16], expected, atol=1e-6)


def test_the_network_inside_takes_its_part(tmp_path):
    path = train(Gan(latent_dim=6), tmp_path)
    inside = load_generator(path, architecture=Net)
    assert inside.notes == [
        "last: Net was built with the hyper-parameters latent_dim=6; it does not take 'lr'",
        "last: weights were taken from 'state_dict'",
        "last: the prefix 'generator.' was removed from the keys, and 2 keys without it were left "
        "out",
    ]
    whole = load_generator(path, architecture=Gan)
    np.testing.assert_array_equal(inside.sample(5, 0).images, whole.sample(5, 0).images)


def test_a_network_that_takes_any_settings_gets_all(tmp_path):
    generator = load_generator(train(Gan(latent_dim=6), tmp_path), architecture=Everything)
    assert "latent_dim=6, lr=0.1" in generator.notes[0]


def test_averaged_weights_inside_the_module_are_preferred(tmp_path):
    module = WithEma()
    torch.nn.init.constant_(module.ema.layer.weight, 0.5)
    generator = load_generator(train(module, tmp_path), architecture=Net)
    assert any("prefix 'ema.' was removed" in note for note in generator.notes)
    assert any("keys below 'generator.' fit as well" in note for note in generator.notes)
    # Equal weights: all pixels of an image differ by the bias alone.
    drawn = generator.sample(4, 0).images.astype(np.float64).reshape(4, -1)
    logits = np.log(drawn / (1 - drawn)) / 3 - module.ema.layer.bias.numpy()
    np.testing.assert_allclose(logits, np.broadcast_to(logits[:, :1], logits.shape), atol=1e-3)


def test_weights_averaged_by_lightning_are_said(tmp_path):
    path = train(Gan(), tmp_path, EMAWeightAveraging())
    generator = load_generator(path, architecture=Gan)
    assert "last: its weights are averaged ones (Lightning's WeightAveraging)" in generator.notes
    content = torch.load(path, weights_only=True)
    assert content["state_dict"].keys() == content["current_model_state"].keys()


def refusal(path, **options) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_architecture_must_be_named(tmp_path):
    said = refusal(train(Gan(), tmp_path))
    assert "pass --nriqm-architecture pkg.mod:LitModel" in said
    assert "discriminator., generator." in said


def test_hyper_parameters_that_are_code_are_refused(tmp_path):
    path = train(Strange(Setting()), tmp_path)
    said = refusal(path, architecture=Gan)
    assert "save_hyperparameters(ignore=[...])" in said
    assert load_generator(path, architecture=Strange, trust=True).sample(2, 0).spatial == (8, 8)


def test_weights_that_do_not_fit_are_listed(tmp_path):
    path = train(Gan(), tmp_path)
    said = refusal(path, architecture=torch.nn.Identity)
    assert "4 unexpected (generator.layer.weight, generator.layer.bias" in said
    assert "2 of another shape (weight (1, 64) for (2, 4)" in refusal(
        path, architecture=lambda latent_dim: torch.nn.Linear(latent_dim, 2)
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_truncated(share, tmp_path):
    path = train(Gan(), tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert "last.ckpt" in refusal(path, architecture=Gan)
