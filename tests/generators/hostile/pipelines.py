"""diffusers pipelines with code of their own, pickled weights, or networks without end."""

from __future__ import annotations

import functools
import json
import tempfile
from pathlib import Path

import diffusers
import torch

from tests.generators.hostile.pickles import Bomb
from tests.generators.hostile.registry import hostile

UNET = {
    "sample_size": 16,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
}


@functools.cache
def _saved() -> dict[str, bytes]:
    """The files of a good pipeline."""
    torch.manual_seed(0)
    pipeline = diffusers.DDPMPipeline(diffusers.UNet2DModel(**UNET), diffusers.DDPMScheduler(4))
    with tempfile.TemporaryDirectory() as folder:
        pipeline.save_pretrained(folder)
        files = [p for p in Path(folder).rglob("*") if p.is_file()]
        return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def pipeline(folder: Path) -> Path:
    for name, content in _saved().items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    return folder


def _edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _code(folder: Path, name: str, canary: Path) -> None:
    (folder / name).write_text(f"import os\nos.mkdir({str(canary)!r})\n")


@hostile("code from outside of diffusers")
def pipeline_with_its_own_class(folder, canary):
    """A pipeline whose class is in its folder."""
    pipeline(folder)
    _code(folder, "pipeline.py", canary)
    _edit(folder / "model_index.json", _class_name=["pipeline", "Mine"])
    return folder


@hostile("code from outside of diffusers")
def pipeline_with_its_own_network(folder, canary):
    """A network whose class is in its folder."""
    pipeline(folder)
    _code(folder / "unet", "mine.py", canary)
    _edit(folder / "model_index.json", unet=["mine", "Mine"])
    return folder


@hostile("has only the pickle")
def pipeline_with_a_bomb(folder, canary):
    """Weights in a pickle, which is a bomb."""
    pipeline(folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(Bomb(canary), folder / "unet" / "diffusion_pytorch_model.bin")
    return folder


@hostile("leads out of the folder")
def pipeline_with_a_link(folder, canary):
    """A config that is a link to a system file."""
    pipeline(folder)
    (folder / "unet" / "config.json").unlink()
    (folder / "unet" / "config.json").symlink_to("/etc/passwd")
    return folder


@hostile("configures a network far larger than its weights file")
def pipeline_of_a_million_layers(folder, canary):
    """A loop over 100 000 000 layers."""
    pipeline(folder)
    _edit(folder / "unet" / "config.json", layers_per_block=10**8)
    return folder


@hostile("(1, 1000000, 1000000)")
def pipeline_of_wide_noise(folder, canary):
    """Noise of 4 TB."""
    pipeline(folder)
    _edit(folder / "unet" / "config.json", sample_size=10**6)
    return folder


@hostile("num_train_timesteps")
def pipeline_without_end(folder, canary):
    """A scheduler of 10^12 steps."""
    pipeline(folder)
    _edit(folder / "scheduler" / "scheduler_config.json", num_train_timesteps=10**12)
    return folder
