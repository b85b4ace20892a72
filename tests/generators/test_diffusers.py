"""Pipeline folders, written by diffusers' own save_pretrained, give what the pipelines give."""

from __future__ import annotations

import builtins
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from nriqm_bench import load_generator
from nriqm_bench.generators import GeneratorError
from nriqm_bench.generators.generator import chunk_seed
from nriqm_bench.generators.module import seeded

diffusers = pytest.importorskip("diffusers")

UNET = {
    "sample_size": 16,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
    "attention_head_dim": 4,
}
BLOCKS = {"block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 4}
TWO = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}


def filled(net: torch.nn.Module) -> torch.nn.Module:
    with seeded(7, "cpu"), torch.no_grad():
        for value in net.parameters():
            value.normal_(0, 0.15)
    return net.eval()


def unet(**changes):
    return filled(diffusers.UNet2DModel(**{**UNET, **changes}))


def ddpm(steps: int = 8, **changes):
    return diffusers.DDPMPipeline(unet(**changes), diffusers.DDPMScheduler(steps))


def ldm(kind: str):
    autoencoder = filled(
        getattr(diffusers, kind)(in_channels=1, out_channels=1, latent_channels=4, **BLOCKS, **TWO)
    )
    net = unet(in_channels=4, out_channels=4, sample_size=8)
    return diffusers.LDMPipeline(autoencoder, net, diffusers.DDIMScheduler(10))


def saved(pipeline, folder: Path) -> Path:
    pipeline.save_pretrained(folder)
    return folder


def directly(pipeline, steps: int, seed: int = 3, n: int = 5) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    first = chunk_seed(seed, 0)
    generator = torch.Generator("cpu").manual_seed(first)
    with seeded(first, "cpu"):
        made = pipeline(
            batch_size=16, generator=generator, num_inference_steps=steps, output_type="np"
        )
    return np.moveaxis(made.images, -1, 1)[:n]


def drawn(generator, n: int = 5, seed: int = 3):
    images = generator.sample(n, seed)
    np.testing.assert_array_equal(images.images, generator.sample(n, seed).images)
    assert not np.array_equal(images.images, generator.sample(n, seed + 1).images)
    assert len({image.tobytes() for image in images.images}) == n
    return images.images


def test_ddpm_is_what_the_pipeline_samples(tmp_path):
    pipeline = ddpm()
    generator = load_generator(saved(pipeline, tmp_path / "brains"))
    assert (generator.name, generator.kind, generator.size) == ("brains", "diffusers", (16, 16))
    assert "DDPMPipeline, DDPMScheduler, 8 steps" in generator.describe()
    assert "takes 8 of its 8 training steps" in " ".join(generator.notes)
    np.testing.assert_allclose(drawn(generator), directly(pipeline, 8), atol=1e-5)


def test_ddim_and_its_steps(tmp_path):
    pipeline = diffusers.DDIMPipeline(unet(), diffusers.DDIMScheduler(1000))
    folder = saved(pipeline, tmp_path / "a")
    generator = load_generator(folder)
    assert "takes 50 of its 1000 training steps" in " ".join(generator.notes)
    (folder / "nriqm.json").write_text('{"num_inference_steps": 4, "chunk": 16}')
    asked = load_generator(folder)
    assert asked.key() != generator.key()
    assert not asked.notes
    np.testing.assert_allclose(drawn(asked), directly(pipeline, 4), atol=1e-5)


@pytest.mark.parametrize("kind", ["VQModel", "AutoencoderKL"])
def test_latent_diffusion(tmp_path, kind):
    pipeline = ldm(kind)
    generator = load_generator(saved(pipeline, tmp_path / "a"))
    assert generator.size == (16, 16)
    np.testing.assert_allclose(drawn(generator), directly(pipeline, 10), atol=1e-5)


def test_labels_are_drawn_for_a_class_conditional_network(tmp_path):
    pipeline = ddpm(num_class_embeds=3)
    generator = load_generator(saved(pipeline, tmp_path / "a"))
    assert "labels were drawn uniformly from 0 to 2" in " ".join(generator.notes)
    images = drawn(generator)
    first = chunk_seed(3, 0)
    labels = torch.from_numpy(np.random.default_rng([first, 1]).integers(3, size=16))
    forward = pipeline.unet.forward
    pipeline.unet.forward = lambda x, t: forward(x, t, class_labels=labels)
    np.testing.assert_allclose(images, directly(pipeline, 8), atol=1e-5)


def test_settings_that_this_version_does_not_know_are_said(tmp_path):
    folder = saved(ddpm(), tmp_path / "a")
    edit(folder / "unet" / "config.json", brand_new=1)
    assert "config.json sets brand_new, unknown" in " ".join(load_generator(folder).notes)


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusal(path: Path) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


CUSTOM = """
import os
os.mkdir({canary!r})
from diffusers import DDPMPipeline
class Mine(DDPMPipeline):
    pass
"""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": ["pipeline", "Mine"]}, r"\['pipeline', 'Mine'\].*--nriqm-trust"),
        ({"_class_name": "Mine"}, "'Mine'.*--nriqm-trust"),
        ({"unet": ["os", "mkdir"]}, "os.*mkdir.*--nriqm-trust"),
        ({"unet": ["pipeline", "Mine"]}, "Mine.*--nriqm-trust"),
        ({"scheduler": ["diffusers", "DDPMPipeline"]}, "DDPMPipeline.*none of diffusers"),
        ({"scheduler": ["diffusers", "logging"]}, "logging.*none of diffusers"),
        ({"unet": ["diffusers", "UNet2DConditionModel"]}, "must be UNet2DModel"),
        ({"_class_name": "StableDiffusionPipeline"}, "from noise alone"),
        ({"extra": ["diffusers", "VQModel"]}, "must have unet, scheduler"),
        ({"unet": "diffusers.UNet2DModel"}, "--nriqm-trust"),
        ({"_class_name": 3}, "--nriqm-trust"),
    ],
)
def test_code_and_strange_parts_are_refused(tmp_path, changes, said):
    folder = saved(ddpm(), tmp_path / "a")
    canary = tmp_path / "canary"
    (folder / "pipeline.py").write_text(CUSTOM.format(canary=str(canary)))
    edit(folder / "model_index.json", **changes)
    assert re.search(said, refusal(folder))
    assert not canary.exists()


def test_a_pipeline_of_its_own_runs_when_it_is_trusted(tmp_path):
    pipeline = ddpm()
    folder = saved(pipeline, tmp_path / "a")
    canary = tmp_path / "canary"
    (folder / "pipeline.py").write_text(CUSTOM.format(canary=str(canary)))
    edit(folder / "model_index.json", _class_name=["pipeline", "Mine"])
    generator = load_generator(folder, trust=True)
    assert canary.exists()
    assert "Mine" in generator.describe()
    generator.sample(2, 0)


def test_a_network_larger_than_its_file_takes_no_memory(tmp_path):
    folder = saved(ddpm(), tmp_path / "a")
    edit(folder / "unet" / "config.json", block_out_channels=[400_000, 400_000])
    assert "of another shape" in refusal(folder)
    edit(folder / "unet" / "config.json", block_out_channels=[8, 8], layers_per_block=10_000_000)
    assert "far larger than its weights file" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "changes", "said"),
    [
        ("unet/config.json", {"layers_per_block": 2}, "missing"),
        ("unet/config.json", {"sample_size": 10**6}, r"\(1, 1000000, 1000000\)"),
        ("unet/config.json", {"sample_size": None}, "sample_size None"),
        ("unet/config.json", {"act_fn": "no"}, "cannot be built"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}, "must be 1 to"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "no"}, "cannot be built"),
    ],
)
def test_configs_that_do_not_fit(tmp_path, file, changes, said):
    folder = saved(ddpm(), tmp_path / "a")
    edit(folder / file, **changes)
    assert re.search(said, refusal(folder))


def test_damaged_and_foreign_weights(tmp_path):
    folder = saved(ddpm(), tmp_path / "a")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert "damaged or truncated safetensors" in refusal(folder)
    weights.unlink()
    assert "has no weights" in refusal(folder)
    torch.save({}, weights.with_suffix(".bin"))
    assert "only the pickle diffusion_pytorch_model.bin" in refusal(folder)
    torch.save(ddpm().unet.state_dict(), weights.with_suffix(".bin"))
    assert "--nriqm-trust" in refusal(folder)
    assert load_generator(folder, trust=True).kind == "diffusers"
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(whole)
    weights.symlink_to(outside)
    assert "leads out of the folder" in refusal(folder)
    weights.unlink()
    (folder / "model_index.json").write_text("{")
    assert "damaged config model_index.json" in refusal(folder)


def test_the_store_of_the_hub_counts_as_inside(tmp_path):
    """A snapshot links to the blobs beside it."""
    folder = saved(ddpm(), tmp_path / "models--a--b" / "snapshots" / "0123")
    blobs = tmp_path / "models--a--b" / "blobs"
    blobs.mkdir()
    for i, path in enumerate(sorted(p for p in folder.rglob("*") if p.is_file())):
        path.rename(blobs / str(i))
        path.symlink_to(blobs / str(i))
    assert load_generator(folder).kind == "diffusers"


def test_a_missing_package_is_said(tmp_path, monkeypatch):
    folder = saved(ddpm(), tmp_path / "a")
    real = builtins.__import__

    def without(name, *rest, **words):
        if name.split(".")[0] == "diffusers":
            raise ImportError("No module named 'diffusers'")
        return real(name, *rest, **words)

    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    assert "pip install nriqm-bench[diffusers]" in refusal(folder)


def test_nothing_is_fetched_and_nothing_is_warned(tmp_path, monkeypatch):
    folder = saved(ddpm(), tmp_path / "a")

    def refuse(*arguments, **words):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_generator(folder).sample(2, 0)
