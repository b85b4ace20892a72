"""MONAI bundles whose configs run code, reach for other files, or outgrow their weights."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from monai.networks.nets import DiffusionModelUNet

from tests.generators.hostile.pickles import Bomb
from tests.generators.hostile.registry import hostile

UNET = {
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 1,
    "channels": [8, 8],
    "attention_levels": [False, True],
    "num_res_blocks": 1,
    "num_head_channels": 4,
    "norm_num_groups": 4,
}
CODE = "$__import__('os').mkdir({!r})"


def bundle(folder: Path, weights: object = None, **changes) -> Path:
    """A bundle like the DDPM of MONAI's model zoo."""
    (folder / "configs").mkdir()
    (folder / "models").mkdir()
    config = {
        "ckpt_path": "$@bundle_root + '/models/model.pt'",
        "network_def": {"_target_": "monai.networks.nets.DiffusionModelUNet", **UNET},
        "network": "$@network_def.to(@device)",
        "scheduler": {
            "_target_": "monai.networks.schedulers.DDPMScheduler",
            "num_train_timesteps": 4,
        },
        "noise": "$torch.randn(1, 1, 16, 16)",
        "load_state": "$@network.load_state_dict(torch.load(@ckpt_path, weights_only=True))",
        **changes,
    }
    outputs = {"pred": {"type": "image", "num_channels": 1, "value_range": [-1, 1]}}
    metadata = {"version": "1", "network_data_format": {"inputs": {}, "outputs": outputs}}
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    torch.manual_seed(0)
    state = DiffusionModelUNet(**UNET).state_dict() if weights is None else weights
    torch.save(state, folder / "models" / "model.pt")
    return folder


@hostile("would run code")
def bundle_with_an_expression(folder, canary):
    """The path of the weights is Python code."""
    return bundle(folder, ckpt_path=CODE.format(str(canary)))


@hostile("os.mkdir")
def bundle_with_a_system_call(folder, canary):
    """The network is a function of the system."""
    return bundle(folder, network_def={"_target_": "os.mkdir", "path": str(canary)})


@hostile("builtins.eval")
def bundle_with_eval(folder, canary):
    """The scheduler is eval."""
    code = CODE.format(str(canary))[1:]
    return bundle(folder, scheduler={"_target_": "builtins.eval", "source": code})


@hostile("scripts.evil.Net")
def bundle_with_scripts(folder, canary):
    """The network is a class in the bundle's own scripts."""
    bundle(folder, network_def={"_target_": "scripts.evil.Net"})
    (folder / "scripts").mkdir()
    (folder / "scripts" / "__init__.py").write_text("")
    (folder / "scripts" / "evil.py").write_text(f"import os\nos.mkdir({str(canary)!r})\n")
    return folder


@hostile("posix.mkdir")
def bundle_with_a_bomb(folder, canary):
    """The weights are a bomb."""
    return bundle(folder, {"state_dict": {}, "x": Bomb(canary)})


@hostile("lies outside of it")
def bundle_with_weights_above(folder, canary):
    """The weights are a file above the bundle."""
    return bundle(folder, ckpt_path="../../../etc/passwd")


@hostile("leads out of the folder")
def bundle_with_linked_weights(folder, canary):
    """The weights are a link to a system file."""
    bundle(folder)
    (folder / "models" / "model.pt").unlink()
    (folder / "models" / "model.pt").symlink_to("/etc/passwd")
    return folder


@hostile("configures a network far larger than its weights file")
def bundle_of_a_million_layers(folder, canary):
    """A loop over 1 000 000 000 layers."""
    network = {"_target_": "monai.networks.nets.DiffusionModelUNet", **UNET}
    return bundle(folder, network_def={**network, "num_res_blocks": 10**9})


@hostile("of another shape")
def bundle_of_terabytes(folder, canary):
    """Layers of 1 TB."""
    network = {"_target_": "monai.networks.nets.DiffusionModelUNet", **UNET}
    return bundle(folder, network_def={**network, "channels": [400_000, 400_000]})


@hostile("(1, 1000000, 1000000)")
def bundle_of_wide_noise(folder, canary):
    """Noise of 4 TB."""
    return bundle(folder, noise="$torch.randn(1, 1, 10**6, 10**6)")


@hostile("must be 1 to 4096")
def bundle_of_large_chunks(folder, canary):
    """A billion images at a time."""
    bundle(folder)
    (folder / "nriqm.json").write_text('{"chunk": 1000000000}')
    return folder


@hostile("damaged config")
def bundle_of_deep_lists(folder, canary):
    """A config of 100 000 lists within each other."""
    bundle(folder)
    (folder / "configs" / "inference.json").write_text("[" * 100_000)
    return folder


@hostile("grows without end")
def bundle_of_laughing_references(folder, canary):
    """A config of lists, each ten times the one before."""
    lists = {"a0": [1] * 10}
    lists |= {f"a{i}": [f"%a{i - 1}"] * 10 for i in range(1, 12)}
    network = {"_target_": "monai.networks.nets.DiffusionModelUNet", **UNET, "channels": "%a11"}
    return bundle(folder, network_def=network, **lists)
