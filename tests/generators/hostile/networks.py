"""Checkpoints whose plain data name code, or networks that cost more than the file holds."""

from __future__ import annotations

from pathlib import Path

import torch

from nriqm_bench.generators.checkpoint import FORMAT
from tests.generators.hostile.registry import hostile

TRUST = "would run code, which is refused"


def checkpoint(folder: Path, architecture: str, **fields) -> Path:
    content = {
        "format": FORMAT,
        "version": 1,
        "architecture": architecture,
        "config": {},
        "state_dict": {},
        "sampler": {},
        "value_range": None,
        "size": None,
        "metadata": {},
    }
    torch.save({**content, **fields}, folder / "a.pt")
    return folder / "a.pt"


@hostile(TRUST)
def function_of_the_system(folder, canary):
    """A function of the system as the network, its argument as the configuration."""
    return checkpoint(folder, "os:mkdir", config={"path": str(canary)})


@hostile(TRUST)
def function_through_an_allowed_module(folder, canary):
    """The same, reached through a module that is allowed."""
    return checkpoint(folder, "torch.nn.modules.module:torch.hub.load")


@hostile(TRUST)
def module_beside_the_checkpoint(folder, canary):
    """A module in the current folder, whose import makes a folder."""
    code = f"import os, torch\nos.mkdir({str(canary)!r})\nclass Net(torch.nn.Linear):\n    pass\n"
    (folder / "hostile_module.py").write_text(code)
    return checkpoint(folder, "hostile_module:Net")


@hostile("could not be imported")
def module_that_shadows_an_allowed_one(folder, canary):
    """A folder that looks like a part of MONAI, in the current folder."""
    package = folder / "monai" / "networks" / "nets"
    package.mkdir(parents=True)
    (package / "hostile.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
    return checkpoint(folder, "monai.networks.nets.hostile:Net")


@hostile("pretrained=True")
def network_that_downloads(folder, canary):
    """A network that would fetch weights."""
    config = {"model_name": "efficientnet-b0", "pretrained": True}
    return checkpoint(folder, "monai.networks.nets:EfficientNetBN", config=config)


@hostile("pretrained=True")
def network_that_downloads_by_default(folder, canary):
    """A network that would fetch weights unless told not to."""
    config = {"model_name": "efficientnet-b0"}
    return checkpoint(folder, "monai.networks.nets:EfficientNetBN", config=config)


@hostile("does not fit Linear")
def network_of_terabytes(folder, canary):
    """One layer of 4 TB."""
    config = {"in_features": 10**6, "out_features": 10**6}
    return checkpoint(folder, "torch.nn:Linear", config=config)


@hostile("TooLarge")
def network_of_a_million_layers(folder, canary):
    """A loop over 100 000 000 small layers."""
    config = {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 1,
        "channels": [4, 8],
        "strides": [2],
        "num_res_units": 10**8,
    }
    return checkpoint(folder, "monai.networks.nets:UNet", config=config)


@hostile("TooLarge")
def network_of_a_million_copies(folder, canary):
    """1 000 000 000 copies of one layer."""
    config = {"d_model": 4, "nhead": 1, "dim_feedforward": 4, "num_encoder_layers": 10**9}
    return checkpoint(folder, "torch.nn:Transformer", config=config)


@hostile("but does not hold them")
def weights_that_are_not_there(folder, canary):
    """One number that is seen as weights of 40 GB."""
    seen = {"weight": torch.zeros(1, 1).expand(100_000, 100_000), "bias": torch.zeros(1)}
    config = {"in_features": 100_000, "out_features": 100_000}
    return checkpoint(folder, "torch.nn:Linear", config=config, state_dict=seen)


def _linear(folder: Path, **fields) -> Path:
    state = torch.nn.Linear(4, 4).state_dict()
    config = {"in_features": 4, "out_features": 4}
    return checkpoint(folder, "torch.nn:Linear", config=config, state_dict=state, **fields)


@hostile("must be from 1 to 4096")
def chunk_of_a_billion(folder, canary):
    """A billion images at a time."""
    return _linear(folder, sampler={"chunk": 10**9, "latent_dim": 4})


@hostile("latent_shape was")
def latents_of_a_terabyte(folder, canary):
    """Latent arrays of 10^12 numbers."""
    return _linear(folder, sampler={"latent_shape": [10**6, 10**6, 4]})


@hostile("must be at most")
def steps_without_end(folder, canary):
    """A sampler of 10^15 steps."""
    return _linear(folder, sampler={"latent_dim": 4, "steps": 10**15})


@hostile("must be plain data")
def tensor_as_a_setting(folder, canary):
    """A tensor where plain data belong."""
    return _linear(folder, sampler={"latent_dim": torch.ones(3)})


@hostile("declares size")
def size_of_words(folder, canary):
    """Words where numbers belong."""
    return _linear(folder, sampler={"latent_dim": 4}, size=["x" * 10_000, "y"])


@hostile("could not be imported")
def name_of_a_megabyte(folder, canary):
    """An architecture whose name fills the terminal."""
    return checkpoint(folder, "torch.nn:" + "x" * 2**20)
