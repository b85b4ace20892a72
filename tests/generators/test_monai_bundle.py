"""MONAI bundles, written by MONAI's own tools, give what MONAI's own inferers give."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.inferers import DiffusionInferer, LatentDiffusionInferer
from monai.networks import nets, schedulers
from safetensors.torch import save_file

from nriqm_bench import load_generator
from nriqm_bench.generators import GeneratorError
from nriqm_bench.generators.generator import chunk_seed
from nriqm_bench.generators.module import latents, seeded

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
KL = {
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 1,
    "channels": [8, 8],
    "num_res_blocks": 1,
    "attention_levels": [False, False],
    "latent_channels": 3,
    "norm_num_groups": 4,
    "with_encoder_nonlocal_attn": False,
    "with_decoder_nonlocal_attn": False,
}
VQ = {
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 1,
    "channels": [8, 8],
    "num_res_layers": 1,
    "num_res_channels": [8, 8],
    "downsample_parameters": [[2, 4, 1, 1], [2, 4, 1, 1]],
    "upsample_parameters": [[2, 4, 1, 1, 0], [2, 4, 1, 1, 0]],
    "num_embeddings": 16,
    "embedding_dim": 3,
}


def network(name: str, arguments: dict) -> torch.nn.Module:
    """A network of MONAI with every weight drawn: some start as zeros and would give constants."""
    with seeded(7, "cpu"):
        net = getattr(nets, name)(**copy.deepcopy(arguments)).eval()
        with torch.no_grad():
            for value in net.parameters():
                value.normal_(0, 0.2)
    return net


def definition(name: str, arguments: dict, **changes) -> dict:
    return {"_target_": f"monai.networks.nets.{name}", **arguments, **changes}


def write(
    folder: Path,
    config: dict,
    weights: dict,
    *,
    outputs: dict | None = None,
    name: str = "inference.json",
    metadata: dict | None = None,
) -> Path:
    """A bundle folder as MONAI lays it out."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    ConfigParser.export_config_file(
        config, folder / "configs" / name, fmt="json" if name.endswith("json") else "yaml"
    )
    if metadata is None:
        outputs = {"type": "image", "num_channels": 1, **(outputs or {})}
        metadata = {
            "version": "0.0.1",
            "monai_version": "1.6.1",
            "network_data_format": {"inputs": {}, "outputs": {"pred": outputs}},
        }
    ConfigParser.export_config_file(metadata, folder / "configs" / "metadata.json")
    for file, content in weights.items():
        torch.save(content, folder / "models" / file)
    return folder


def ddpm_config(**changes) -> dict:
    """The layout of the model zoo's DDPM."""
    return {
        "imports": ["$import os", "$import torch"],
        "device": "$torch.device(f'cuda:{@rank}' if torch.cuda.is_available() else 'cpu')",
        "rank": "$dist.get_rank() if @is_dist else 0",
        "is_dist": "$dist.is_initialized()",
        "bundle_root": "/somewhere/else",
        "ckpt_path": "$@bundle_root + '/models/model.pt'",
        "image_dim": 16,
        "network_def": definition("DiffusionModelUNet", UNET),
        "network": "$@network_def.to(@device)",
        "num_train_timesteps": 10,
        "scheduler": {
            "_target_": "monai.networks.schedulers.DDPMScheduler",
            "num_train_timesteps": "@num_train_timesteps",
            "clip_sample_min": "$-1 + 1",
        },
        "inferer": {"_target_": "monai.inferers.DiffusionInferer", "scheduler": "@scheduler"},
        "noise": "$torch.randn(1, 1, @image_dim, @image_dim)",
        "sample": "$lambda x: @inferer.sample(input_noise=x, diffusion_model=@network)",
        "load_state": "$@network.load_state_dict(torch.load(@ckpt_path, weights_only=True))",
        "save_trans": {"_target_": "Compose", "transforms": "$[os.system('touch canary')]"},
        "testing": ["@load_state", "$torch.save(@sample(@noise.to(@device)), 'out')"],
        **changes,
    }


def ddpm(folder: Path, outputs: dict | None = None, **changes) -> Path:
    net = network("DiffusionModelUNet", UNET)
    outputs = {"value_range": [0, 1]} if outputs is None else outputs
    return write(folder, ddpm_config(**changes), {"model.pt": net.state_dict()}, outputs=outputs)


def drawn(generator, n: int = 5, seed: int = 3, *, distinct: bool = True):
    """The first images, after the checks that every kind must pass."""
    images = generator.sample(n, seed)
    again = generator.sample(n, seed)
    np.testing.assert_array_equal(images.images, again.images)
    assert not np.array_equal(images.images, generator.sample(n, seed + 1).images)
    assert not distinct or len({image.tobytes() for image in images.images}) == n
    return images


def directly(call, shape, n: int = 5, seed: int = 3) -> np.ndarray:
    """`call` on the noise and under the seed of the first chunk."""
    first = chunk_seed(seed, 0)
    with seeded(first, "cpu"), torch.inference_mode():
        return call(latents(16, shape, first, "cpu")).numpy()[:n]


def test_ddpm_is_what_the_inferer_samples(tmp_path):
    generator = load_generator(ddpm(tmp_path / "bundle"))
    scheduler = schedulers.DDPMScheduler(num_train_timesteps=10, clip_sample_min=0)
    inferer = DiffusionInferer(scheduler)
    net = network("DiffusionModelUNet", UNET)
    expected = directly(lambda z: inferer.sample(z, net, verbose=False), (1, 16, 16))
    images = drawn(generator)
    assert (generator.name, generator.kind, generator.size) == ("bundle", "monai-bundle", (16, 16))
    assert "DDPMScheduler, 10 steps" in generator.describe()
    np.testing.assert_allclose(images.images, np.clip(expected, 0, 1), atol=1e-5)
    assert not (tmp_path / "canary").exists()


def sampled(net, scheduler, steps=None):
    """A call that samples `net` as MONAI's own inferer does."""
    if steps:
        scheduler.set_timesteps(steps)
    inferer = DiffusionInferer(scheduler)
    return lambda z: inferer.sample(z, net, scheduler=scheduler, verbose=False)


def test_yaml_and_wrapped_weights_and_a_zip(tmp_path):
    net = network("DiffusionModelUNet", UNET)
    weights = {"epoch": 3, "model": {f"module.{k}": v for k, v in net.state_dict().items()}}
    folder = write(tmp_path / "yaml", ddpm_config(), {"model.pt": weights}, name="inference.yaml")
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "yaml")
    plain = load_generator(ddpm(tmp_path / "json")).sample(3, 0)
    for path in (folder, tmp_path / "packed.zip"):
        generator = load_generator(path)
        np.testing.assert_array_equal(generator.sample(3, 0).images, plain.images)
        said = " ".join(generator.notes)
        assert "weights were taken from 'model'" in said
        assert "'module.' was removed" in said
        assert "[0, 1] was inferred" in said


def test_schedulers_and_their_steps(tmp_path):
    net = network("DiffusionModelUNet", UNET)
    for name, scheduler in {
        "DDIMScheduler": schedulers.DDIMScheduler(20),
        "PNDMScheduler": schedulers.PNDMScheduler(20, skip_prk_steps=True),
        "RFlowScheduler": schedulers.RFlowScheduler(20),
    }.items():
        definition = {"_target_": name, "num_train_timesteps": 20}
        if name == "PNDMScheduler":
            definition["skip_prk_steps"] = True
        path = ddpm(
            tmp_path / name,
            {"value_range": [-1e3, 1e3]},
            scheduler=definition,
            set_timesteps="$@scheduler.set_timesteps(num_inference_steps=5)",
        )
        generator = load_generator(path)
        assert f"{name}, 5 steps" in generator.describe()
        expected = directly(sampled(net, scheduler, 5), (1, 16, 16))
        images = drawn(generator).images
        np.testing.assert_allclose(images, expected / 2e3 + 0.5, atol=1e-5)


def test_steps_that_nobody_sets_are_said(tmp_path):
    path = ddpm(tmp_path / "a", scheduler={"_target_": "DDIMScheduler"})
    generator = load_generator(path)
    assert "DDIMScheduler takes 50 of 1000" in " ".join(generator.notes)
    assert "DDPMScheduler takes 10 of 10" in " ".join(load_generator(ddpm(tmp_path / "b")).notes)


def test_settings_beside_the_configs(tmp_path):
    path = ddpm(tmp_path / "a")
    key = load_generator(path).key()
    (path / "nriqm.json").write_text(
        json.dumps({"num_inference_steps": 4, "chunk": 2, "size": [24, 16], "value_range": [-1, 1]})
    )
    generator = load_generator(path)
    assert generator.key() != key
    assert "DDIMScheduler, 4 steps" in generator.describe()
    assert "with the same noise schedule takes the 4" in " ".join(generator.notes)
    assert generator.sample(3, 0).images.shape == (3, 1, 24, 16)
    (path / "nriqm.json").write_text('{"steps": 4}')
    with pytest.raises(GeneratorError, match=r"nriqm.json with \['steps'\], must be chunk"):
        load_generator(path)


def test_labels_are_drawn_for_a_class_conditional_network(tmp_path):
    arguments = {**UNET, "num_class_embeds": 3}
    net = network("DiffusionModelUNet", arguments)
    path = write(
        tmp_path / "a",
        ddpm_config(network_def=definition("DiffusionModelUNet", arguments)),
        {"model.pt": net.state_dict()},
        outputs={"value_range": [0, 1]},
    )
    generator = load_generator(path)
    assert "labels were drawn uniformly from 0 to 2" in " ".join(generator.notes)
    drawn(generator)


def test_joint_images_and_masks_follow_the_metadata(tmp_path):
    arguments = {**UNET, "in_channels": 2, "out_channels": 2}
    net = network("DiffusionModelUNet", arguments)
    outputs = {"value_range": [0, 1], "channel_def": {"0": "image", "1": "mask"}}
    path = write(
        tmp_path / "a",
        ddpm_config(network_def=definition("DiffusionModelUNet", arguments)),
        {"model.pt": net.state_dict()},
        outputs={**outputs, "num_channels": 2},
    )
    images = drawn(load_generator(path))
    scheduler = schedulers.DDPMScheduler(num_train_timesteps=10, clip_sample_min=0)
    expected = directly(sampled(net, scheduler), (2, 16, 16))
    np.testing.assert_allclose(images.images, np.clip(expected[:, :1], 0, 1), atol=1e-5)
    np.testing.assert_array_equal(images.masks, expected[:, 1] > 0.5)


def latent_config(**changes) -> dict:
    """The layout of the model zoo's latent diffusion of BraTS slices."""
    return {
        "imports": ["$import torch", "$from pathlib import Path"],
        "bundle_root": ".",
        "model_dir": "$@bundle_root + '/models'",
        "create_output_dir": "$Path(@model_dir).mkdir(exist_ok=True)",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "latent_channels": 3,
        "latent_shape": ["@latent_channels", 8, 8],
        "autoencoder_def": definition("autoencoderkl.AutoencoderKL", KL),
        "network_def": definition(
            "diffusion_model_unet.DiffusionModelUNet",
            UNET,
            in_channels="@latent_channels",
            out_channels="@latent_channels",
        ),
        "load_autoencoder_path": "$@bundle_root + '/models/model_autoencoder.pt'",
        "load_autoencoder": "$@autoencoder_def.load_state_dict(torch.load(@load_autoencoder_path))",
        "autoencoder": "$@autoencoder_def.to(@device)",
        "load_diffusion_path": "$@model_dir + '/model.pt'",
        "load_diffusion": "$@network_def.load_state_dict(torch.load(@load_diffusion_path))",
        "diffusion": "$@network_def.to(@device)",
        "noise_scheduler": {
            "_target_": "monai.networks.schedulers.ddim.DDIMScheduler",
            "_requires_": ["@load_diffusion", "@load_autoencoder"],
            "num_train_timesteps": 100,
            "beta_start": 0.0015,
            "beta_end": 0.0195,
            "schedule": "scaled_linear_beta",
            "clip_sample": False,
        },
        "noise": "$torch.randn([1]+@latent_shape).to(@device)",
        "set_timesteps": "$@noise_scheduler.set_timesteps(num_inference_steps=5)",
        "inferer": {
            "_target_": "scripts.ldm_sampler.LDMSampler",
            "_requires_": "@set_timesteps",
        },
        "run": ["$@create_output_dir", "$@inferer.run(@noise, @autoencoder, @diffusion)"],
        **changes,
    }


LATENT_UNET = {**UNET, "in_channels": 3, "out_channels": 3}
WIDE = {"value_range": [-50, 50]}


def latent(folder: Path, name: str = "AutoencoderKL", arguments: dict | None = None, **changes):
    weights = {
        "model.pt": network("DiffusionModelUNet", LATENT_UNET).state_dict(),
        "model_autoencoder.pt": network(name, arguments or KL).state_dict(),
    }
    feature = {"type": "feature", "value_range": [0, 1]}
    metadata = {
        "version": "1",
        "network_data_format": {"inputs": {}, "outputs": {"pred": feature}},
        "autoencoder_data_format": {"outputs": {"pred": {"type": "image", **WIDE}}},
    }
    return write(folder, latent_config(**changes), weights, metadata=metadata)


def latently(autoencoder, scale: float):
    scheduler = schedulers.DDIMScheduler(
        100, "scaled_linear_beta", clip_sample=False, beta_start=0.0015, beta_end=0.0195
    )
    scheduler.set_timesteps(5)
    inferer = LatentDiffusionInferer(scheduler, scale)
    net = network("DiffusionModelUNet", LATENT_UNET)
    return lambda z: inferer.sample(z, autoencoder, net, verbose=False)


def test_latent_diffusion_of_the_model_zoo(tmp_path):
    generator = load_generator(latent(tmp_path / "a"))
    expected = directly(latently(network("AutoencoderKL", KL), 1.0), (3, 8, 8))
    images = drawn(generator)
    assert generator.size == (16, 16)
    assert "scripts.ldm_sampler.LDMSampler was not run" in " ".join(generator.notes)
    np.testing.assert_allclose(images.images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5)


@pytest.mark.parametrize("stored", [False, True])
def test_the_scale_factor_of_latent_diffusion(tmp_path, stored):
    inferer = {
        "_target_": "monai.inferers.LatentDiffusionInferer",
        "scheduler": "@noise_scheduler",
        "scale_factor": "@scale_factor",
    }
    checkpoint = "$torch.load(@load_diffusion_path, weights_only=True)"
    changes = {
        "inferer": inferer,
        "checkpoint": checkpoint,
        "load_diffusion": "$@diffusion.load_state_dict(@checkpoint['unet'])",
        "scale_factor": "$@checkpoint['scale_factor'].to(@device)" if stored else "$1 / 4 * 2",
    }
    path = latent(tmp_path / "a", **changes)
    state = network("DiffusionModelUNet", LATENT_UNET).state_dict()
    torch.save({"unet": state, "scale_factor": torch.tensor(0.5)}, path / "models" / "model.pt")
    expected = directly(latently(network("AutoencoderKL", KL), 0.5), (3, 8, 8))
    np.testing.assert_allclose(
        drawn(load_generator(path)).images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5
    )


def test_latent_diffusion_in_a_vqvae(tmp_path):
    generator = load_generator(
        latent(tmp_path / "a", "VQVAE", VQ, autoencoder_def=definition("VQVAE", VQ))
    )
    expected = directly(latently(network("VQVAE", VQ), 1.0), (3, 8, 8))
    images = drawn(generator)
    assert images.spatial == (32, 32)
    np.testing.assert_allclose(images.images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5)


def test_one_condition_of_the_config(tmp_path):
    """The layout of the model zoo's brain synthesis: joined to the noise and by attention."""
    arguments = {
        **LATENT_UNET,
        "in_channels": 5,
        "with_conditioning": True,
        "cross_attention_dim": 2,
    }
    net = network("DiffusionModelUNet", arguments)
    config = latent_config(
        network_def="@autoencoder_def",
        diffusion_def=definition("DiffusionModelUNet", arguments),
        diffusion="$@diffusion_def.to(@device)",
        age=0.25,
        load_old=1,
        conditioning="$torch.tensor([[@age, 0.5]]).to(@device).unsqueeze(1)",
        load_diffusion_func=(
            "$@diffusion_def.load_old_state_dict if bool(@load_old) "
            "else @diffusion_def.load_state_dict"
        ),
        load_diffusion="$@load_diffusion_func(torch.load(@load_diffusion_path))",
        inferer="",
        sampler={"_target_": "scripts.sampler.Sampler", "_requires_": "@set_timesteps"},
    )
    autoencoder = network("AutoencoderKL", KL)
    weights = {"model.pt": net.state_dict(), "model_autoencoder.pt": autoencoder.state_dict()}
    path = write(
        tmp_path / "a",
        config,
        weights,
        metadata={"autoencoder_data_format": {"outputs": {"pred": WIDE}}},
    )
    generator = load_generator(path)
    assert "one condition [0.25, 0.5]" in " ".join(generator.notes)

    def sample(z):
        scheduler = schedulers.DDIMScheduler(
            100, "scaled_linear_beta", clip_sample=False, beta_start=0.0015, beta_end=0.0195
        )
        scheduler.set_timesteps(5)
        context = torch.tensor([[[0.25, 0.5]]]).expand(len(z), 1, 2)
        joined = context[:, 0, :, None, None].expand(len(z), 2, *z.shape[2:])
        for t in scheduler.timesteps:
            noise = net(torch.cat([z, joined], 1), timesteps=t[None], context=context)
            z, _ = scheduler.step(noise, t, z)
        return autoencoder.decode_stage_2_outputs(z)

    expected = directly(sample, (3, 8, 8))
    np.testing.assert_allclose(
        drawn(generator).images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5
    )


def test_autoencoderkl_decodes_standard_normal_latents(tmp_path):
    net = network("AutoencoderKL", KL)
    config = {"autoencoder_def": definition("AutoencoderKL", KL), "latent_shape": [3, 8, 8]}
    path = write(tmp_path / "vae", config, {"model.pt": net.state_dict()}, outputs=WIDE)
    images = drawn(load_generator(path))
    expected = directly(net.decode, (3, 8, 8))
    np.testing.assert_allclose(images.images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5)


def test_varautoencoder_decodes_standard_normal_latents(tmp_path):
    arguments = {
        "spatial_dims": 2,
        "in_shape": [1, 16, 16],
        "out_channels": 1,
        "latent_size": 4,
        "channels": [4, 8],
        "strides": [2, 2],
    }
    net = network("VarAutoEncoder", arguments)
    path = write(
        tmp_path / "vae",
        {"network_def": definition("VarAutoEncoder", arguments)},
        {"model.pt": net.state_dict()},
        outputs={"value_range": [0, 1]},
    )
    images = drawn(load_generator(path))
    np.testing.assert_allclose(images.images, directly(net.decode_forward, (4,)), atol=1e-6)


def test_gan_of_the_model_zoo(tmp_path):
    arguments = {
        "latent_shape": 8,
        "start_shape": [8, 4, 4],
        "channels": [8, 4, 1],
        "strides": [2, 2, 1],
    }
    net = network("Generator", arguments)
    config = {
        "imports": ["$import glob"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "ckpt_path": "$@bundle_root + '/models/gan.pt'",
        "latent_size": 8,
        "num_samples": 10,
        "network_def": {**arguments, "_target_": "Generator", "latent_shape": "@latent_size"},
        "network": "$@network_def.to(@device)",
        "dataset": {
            "_target_": "Dataset",
            "data": "$[torch.rand(@latent_size) for i in range(@num_samples)]",
        },
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
                {"_target_": "ThresholdIntensityd", "keys": "pred"},
                {"_target_": "SaveImaged", "keys": "pred", "output_dtype": "$np.uint8"},
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "@ckpt_path",
                "load_dict": {"model": "@network"},
            }
        ],
    }
    path = write(
        tmp_path / "gan",
        config,
        {"gan.pt": {"model": net.state_dict()}},
        outputs={"value_range": [0, 1]},
    )
    generator = load_generator(path)
    images = drawn(generator)
    said = " ".join(generator.notes)
    assert "latents are uniform in [0, 1]" in said
    assert "ThresholdIntensityd was not applied" in said
    first = chunk_seed(3, 0)
    z = np.random.default_rng(first).uniform(0, 1, (16, 8)).astype(np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(z)).sigmoid().numpy()[:5]
    np.testing.assert_allclose(images.images, expected, atol=1e-6)


# Networks that paint label maps.

SPADE_UNET = {**UNET, "label_nc": 3, "spade_intermediate_channels": 8}
SPADE_KL = {**KL, "label_nc": 3, "spade_intermediate_channels": 8}


def label_maps(folder: Path, labels: int = 3) -> np.ndarray:
    masks = np.random.default_rng(0).integers(0, labels, (7, 16, 16)).astype(np.uint8)
    np.savez(folder / "masks.npz", masks=masks)
    return masks


def painted(generator, masks: np.ndarray, *, distinct: bool = True):
    """The images, the label maps that were chosen, and the same for the whole first chunk."""
    images = drawn(generator, distinct=distinct)
    first = chunk_seed(3, 0)
    chosen = masks[np.random.default_rng([first, 1]).integers(len(masks), size=16)]
    np.testing.assert_array_equal(images.masks, chosen[:5])
    hot = torch.nn.functional.one_hot(torch.from_numpy(chosen.astype(np.int64)), 3)
    return images.images, hot.movedim(-1, 1).float()


def test_spade_diffusion(tmp_path):
    net = network("SPADEDiffusionModelUNet", SPADE_UNET)
    config = ddpm_config(network_def=definition("SPADEDiffusionModelUNet", SPADE_UNET))
    path = write(tmp_path / "a", config, {"model.pt": net.state_dict()}, outputs=WIDE)
    with pytest.raises(GeneratorError, match="masks"):
        load_generator(path).sample(2, 0)
    masks = label_maps(path)
    images, seg = painted(load_generator(path), masks)
    inferer = DiffusionInferer(schedulers.DDPMScheduler(10, clip_sample_min=0))
    expected = directly(lambda z: inferer.sample(z, net, seg=seg, verbose=False), (1, 16, 16))
    np.testing.assert_allclose(images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5)
    label_maps(path, 4)
    with pytest.raises(GeneratorError, match=r"labels 0 to 3, must be integers from 0 to 2"):
        load_generator(path)


def test_spade_without_label_maps_paints_those_it_is_given(tmp_path):
    net = network("SPADEDiffusionModelUNet", SPADE_UNET)
    config = ddpm_config(network_def=definition("SPADEDiffusionModelUNet", SPADE_UNET))
    path = write(tmp_path / "a", config, {"model.pt": net.state_dict()}, outputs=WIDE)
    draw = load_generator(path)._draw
    masks = label_maps(path)
    assert draw.needs_masks
    assert not load_generator(path)._draw.needs_masks
    images, painted = draw(7, 5, masks)
    np.testing.assert_array_equal(painted, masks)
    other, _ = draw(7, 5, (masks + 1) % 3)
    assert not torch.equal(images, other)
    with pytest.raises(GeneratorError, match="labels 1 to 3, must be 0 to 2"):
        draw(7, 5, masks + 1)


@pytest.mark.parametrize("diffusion", ["DiffusionModelUNet", "SPADEDiffusionModelUNet"])
def test_spade_latent_diffusion(tmp_path, diffusion):
    arguments = (
        LATENT_UNET
        if diffusion == "DiffusionModelUNet"
        else {
            **SPADE_UNET,
            "in_channels": 3,
            "out_channels": 3,
        }
    )
    autoencoder, net = network("SPADEAutoencoderKL", SPADE_KL), network(diffusion, arguments)
    config = latent_config(
        autoencoder_def=definition("SPADEAutoencoderKL", SPADE_KL),
        network_def=definition(diffusion, arguments),
    )
    path = write(
        tmp_path / "a",
        config,
        {"model.pt": net.state_dict(), "model_autoencoder.pt": autoencoder.state_dict()},
        metadata={"autoencoder_data_format": {"outputs": {"pred": WIDE}}},
    )
    masks = label_maps(path)
    images, seg = painted(load_generator(path), masks)
    scheduler = schedulers.DDIMScheduler(
        100, "scaled_linear_beta", clip_sample=False, beta_start=0.0015, beta_end=0.0195
    )
    scheduler.set_timesteps(5)
    inferer = LatentDiffusionInferer(scheduler)
    expected = directly(
        lambda z: inferer.sample(z, autoencoder, net, seg=seg, verbose=False), (3, 8, 8)
    )
    np.testing.assert_allclose(images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5)


def test_spade_autoencoder(tmp_path):
    net = network("SPADEAutoencoderKL", SPADE_KL)
    config = {
        "autoencoder_def": definition("SPADEAutoencoderKL", SPADE_KL),
        "latent_shape": [3, 8, 8],
    }
    path = write(tmp_path / "a", config, {"model.pt": net.state_dict()}, outputs=WIDE)
    masks = label_maps(path)
    images, seg = painted(load_generator(path), masks)
    expected = directly(lambda z: net.decode(z, seg), (3, 8, 8))
    np.testing.assert_allclose(images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5)


@pytest.mark.parametrize("is_vae", [True, False])
def test_spade_gan(tmp_path, is_vae):
    arguments = {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 1,
        "label_nc": 3,
        "input_shape": [16, 16],
        "channels": [4, 8],
        "z_dim": 4 if is_vae else None,
        "is_vae": is_vae,
        "spade_intermediate_channels": 8,
    }
    net = network("SPADENet", arguments)
    path = write(
        tmp_path / "a",
        {"network_def": definition("SPADENet", arguments)},
        {"model.pt": net.state_dict()},
        outputs=WIDE,
    )
    masks = label_maps(path)
    images, seg = painted(load_generator(path), masks, distinct=is_vae)
    shape = (4 if is_vae else 1,)
    expected = directly(lambda z: net.decode(seg, z if is_vae else None), shape)
    np.testing.assert_allclose(images, np.clip(expected / 100 + 0.5, 0, 1), atol=1e-5)


# Weights.


def old_names(state: dict) -> dict:
    """The names that MONAI Generative Models had for the same weights."""
    renamed = {}
    for key, value in state.items():
        for new, old in ((".attn.to_", ".to_"), (".attn.out_proj", ".proj_attn"), ("post", "")):
            key = key.replace(new, old)
        renamed[key] = value
    return renamed


def test_weights_of_monai_generative_models_are_renamed(tmp_path):
    plain = load_generator(latent(tmp_path / "new")).sample(2, 0)
    path = latent(
        tmp_path / "old",
        load_diffusion="$@network_def.load_old_state_dict(torch.load(@load_diffusion_path))",
    )
    file = path / "models" / "model.pt"
    state = torch.load(file)
    assert old_names(state).keys() != state.keys()
    torch.save(old_names(state), file)
    generator = load_generator(path)
    assert "weights of MONAI Generative Models were renamed" in " ".join(generator.notes)
    np.testing.assert_array_equal(generator.sample(2, 0).images, plain.images)
    state = old_names(state)
    state.pop("out.2.conv.bias")
    torch.save(state, file)
    assert "1 missing (out.2.conv.bias)" in refusal(path)
    torch.save({**state, "out.2.conv.bias": torch.zeros(3), "more": torch.zeros(1)}, file)
    assert "1 unexpected (more)" in refusal(path)


def test_safetensors_and_the_usual_places(tmp_path):
    plain = load_generator(latent(tmp_path / "a")).sample(2, 0)
    path = latent(tmp_path / "b", load_diffusion="", load_autoencoder="")
    (path / "models" / "model_autoencoder.pt").rename(path / "models" / "autoencoder.pt")
    save_file(torch.load(path / "models" / "model.pt"), path / "models" / "model.safetensors")
    (path / "models" / "model.pt").unlink()
    np.testing.assert_array_equal(load_generator(path).sample(2, 0).images, plain.images)


def test_volumes(tmp_path):
    arguments = {**UNET, "spatial_dims": 3}
    net = network("DiffusionModelUNet", arguments)
    config = ddpm_config(
        network_def=definition("DiffusionModelUNet", arguments), noise="$torch.randn(1, 1, 8, 8, 4)"
    )
    path = write(tmp_path / "a", config, {"model.pt": net.state_dict()}, outputs={})
    assert load_generator(path).sample(3, 0).images.shape == (3, 1, 8, 8, 4)


def test_the_key_follows_content_and_not_the_place(tmp_path):
    key = load_generator(ddpm(tmp_path / "a")).key()
    assert load_generator(ddpm(tmp_path / "b")).key() == key
    other = ddpm(tmp_path / "c", noise="$torch.randn(1, 1, 24, 24)")
    assert load_generator(other).key() != key
    file = tmp_path / "b" / "models" / "model.pt"
    torch.save({k: v + 1 for k, v in torch.load(file).items()}, file)
    assert load_generator(tmp_path / "b").key() != key


# Hostile, damaged and mistaken bundles.


def refusal(path: Path, **options) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 1000
    return message


TOUCH = "$__import__('os').system('touch canary')"
HOSTILE = {
    "network": ({"network_def": TOUCH}, "network_def.*would run code"),
    "an argument": (
        {"network_def": definition("DiffusionModelUNet", UNET, in_channels=TOUCH)},
        "network_def::in_channels.*would run code",
    ),
    "scheduler": ({"scheduler": TOUCH}, "scheduler.*would run code"),
    "inferer": ({"inferer": TOUCH}, "inferer.*would run code"),
    "steps": ({"num_train_timesteps": TOUCH}, "num_train_timesteps.*would run code"),
    "path": ({"ckpt_path": TOUCH}, "ckpt_path.*would run code"),
    "load": ({"load_state": "$@network.load_state_dict(@evil)", "evil": TOUCH}, "evil.*would run"),
    "disabled": (
        {"scheduler": {"_target_": "DDPMScheduler", "_disabled_": TOUCH}},
        "scheduler::_disabled_.*would run code",
    ),
    "lambda": ({"scheduler": "$(lambda: open('canary', 'w'))()"}, "scheduler.*would run code"),
    "comprehension": (
        {"image_dim": "$[c for c in ().__class__.__base__.__subclasses__()]"},
        "",
    ),
    "attribute": ({"ckpt_path": "$''.__class__.__mro__"}, "ckpt_path.*would run code"),
    "walrus": ({"ckpt_path": "$(x := 'models/model.pt')"}, "ckpt_path.*would run code"),
    "os.system": ({"network_def": {"_target_": "os.system", "command": "touch canary"}}, "os.sys"),
    "eval": (
        {"network_def": {"_target_": "builtins.eval", "source": "open('canary', 'w')"}},
        "builtins.eval.*--nriqm-trust",
    ),
    "optional_import": (
        {"scheduler": {"_target_": "monai.utils.optional_import", "module": "os"}},
        "monai.utils.optional_import.*--nriqm-trust",
    ),
    "alias": (
        {"network_def": {"_target_": "monai.networks.nets.hovernet:os.system"}},
        "hovernet:os.system.*--nriqm-trust",
    ),
    "alias of a module": (
        {"network_def": {"_target_": "monai.networks.nets.vista3d.os.system"}},
        "vista3d.os.system.*could not be imported",
    ),
    "a known name of another module": (
        {"network_def": {**UNET, "_target_": "evil.DiffusionModelUNet"}},
        "evil.DiffusionModelUNet.*--nriqm-trust",
    ),
    "a known scheduler of another module": (
        {"scheduler": {"_target_": "evil.DDPMScheduler"}},
        "evil.DDPMScheduler.*--nriqm-trust",
    ),
    "an inferer of its own": (
        {"inferer": {"_target_": "scripts.mine.Sampler"}},
        "scripts.mine.Sampler.*--nriqm-trust",
    ),
    "a built argument": (
        {"network_def": definition("DiffusionModelUNet", UNET, norm_eps={"_target_": "os.system"})},
        "network_def::norm_eps.*os.system",
    ),
    "traversal": ({"ckpt_path": "../../outside.pt"}, "outside.pt.*lies outside"),
    "absolute": ({"ckpt_path": "/etc/passwd"}, "/etc/passwd.*lies outside"),
    "macro of another file": ({"scheduler": "%/etc/passwd::a"}, "from another file"),
    "cycle": ({"num_train_timesteps": "@rank", "rank": "@num_train_timesteps"}, "refers to itself"),
    "macro cycle": ({"scheduler": "%scheduler"}, "refers to itself"),
    "dangling": ({"num_train_timesteps": "@none"}, "'none', which is not there"),
    "channels": (
        {"network_def": definition("DiffusionModelUNet", UNET, channels=[400_000, 400_000])},
        "of another shape",
    ),
    "layers": (
        {"network_def": definition("DiffusionModelUNet", UNET, num_res_blocks=10**9)},
        "",
    ),
    "noise": ({"noise": "$torch.randn(1, 1, 10**6, 10**6)"}, r"\(1, 1000000, 1000000\)"),
    "train steps": ({"num_train_timesteps": 10**12}, "num_train_timesteps 1000000000000"),
    "power": ({"num_train_timesteps": "$9**9**9"}, "would run code"),
    "repetition": ({"ckpt_path": "$'a' * 10**9"}, "would run code"),
    "nested repetition": (
        {"network_def": definition("DiffusionModelUNet", UNET, channels="$[[[0]*64]*64]*64")},
        "would run code",
    ),
    "schedule": (
        {"scheduler": {"_target_": "DDPMScheduler", "schedule": "no"}},
        "'scheduler' of its config cannot be built",
    ),
    "nonsense": ({"num_train_timesteps": "$1 / 0"}, "ZeroDivisionError"),
    "other words": (
        {"network_def": definition("DiffusionModelUNet", UNET, widths=[1])},
        "DiffusionModelUNet cannot be built",
    ),
    "fewer": (
        {"network_def": definition("DiffusionModelUNet", UNET, attention_levels=[False, False])},
        "unexpected",
    ),
    "more": (
        {"network_def": definition("DiffusionModelUNet", UNET, num_res_blocks=2)},
        "missing",
    ),
    "no scheduler": ({"scheduler": None, "inferer": None}, "but no scheduler"),
    "no network": ({"network_def": None}, "no network that can be sampled"),
    "control": (
        {"controlnet_def": {"_target_": "monai.networks.nets.ControlNet"}},
        "ControlNet.*cannot sample",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_and_mistaken_configs(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('canary', 'w')\n")
    changes, said = HOSTILE[kind]
    path = ddpm(tmp_path / "a", **changes)
    (path / "scripts").mkdir()
    (path / "scripts" / "__init__.py").write_text("open('canary', 'w')\n")
    torch.save({}, tmp_path / "outside.pt")
    if said:
        assert re.search(said, refusal(path))
    else:
        with pytest.raises(GeneratorError):
            load_generator(path).sample(2, 0)
    assert not (tmp_path / "canary").exists()


def test_what_sampling_does_not_need_is_never_touched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = ddpm(
        tmp_path / "a",
        initialize=[TOUCH],
        dataset={"_target_": "os.system", "command": "touch canary"},
        handlers=[{"_target_": "builtins.eval", "_requires_": TOUCH}],
        validator={"_target_": "os.system", "_disabled_": TOUCH},
        lr={"_target_": "CheckpointLoader", "load_path": TOUCH, "load_dict": {"x": TOUCH}},
        run=TOUCH,
        _meta_={"x": TOUCH},
    )
    load_generator(path).sample(2, 0)
    assert not (tmp_path / "canary").exists()


def test_aliases_of_yaml_do_not_grow_without_end(tmp_path):
    path = ddpm(tmp_path / "a")
    (path / "configs" / "inference.json").unlink()
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    lines += ["network_def: {_target_: DiffusionModelUNet, channels: *a11}"]
    lines += ["scheduler: {_target_: DDPMScheduler}"]
    (path / "configs" / "inference.yaml").write_text("\n".join(lines))
    assert "grows without end" in refusal(path)
    lines[-2] = lines[-2].replace("channels: *a11", "")
    (path / "configs" / "inference.yaml").write_text("\n".join(lines))
    assert "grows without end" in refusal(path)
    (path / "configs" / "inference.yaml").write_text("a: !!python/object/apply:os.mkdir [canary]")
    assert "damaged config" in refusal(path)
    (path / "configs" / "inference.yaml").unlink()
    (path / "configs" / "inference.json").write_text("[" * 100_000)
    assert "damaged config" in refusal(path)


def test_damaged_and_foreign_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = ddpm(tmp_path / "a")
    file = path / "models" / "model.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert "damaged or truncated" in refusal(path)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    assert "git lfs pull" in refusal(path)
    file.write_bytes(b"words")
    assert "no torch or safetensors file" in refusal(path)
    torch.save({"model": Bomb()}, file)
    assert "--nriqm-trust" in refusal(path)
    state = network("DiffusionModelUNet", UNET).state_dict()
    huge = {k: torch.zeros(1).expand(v.shape) for k, v in state.items()}
    torch.save(huge, file)
    assert "does not hold them" in refusal(path)
    file.unlink()
    assert "'./models/model.pt', which is not there" in refusal(path)
    (path / "large_files.yml").write_text("large_files: []")
    assert "download_large_files" in refusal(path)
    outside = tmp_path / "outside.pt"
    outside.write_bytes(whole)
    file.symlink_to(outside)
    assert "leads out of the folder" in refusal(path)
    assert not (tmp_path / "canary").exists()


def test_flipped_bits_give_a_sentence_or_images(tmp_path):
    path = ddpm(tmp_path / "a")
    rng = np.random.default_rng(0)
    for name in ("models/model.pt", "configs/inference.json", "configs/metadata.json"):
        whole = (path / name).read_bytes()
        for _ in range(6):
            damaged = bytearray(whole)
            for position in rng.integers(0, len(whole), 10):
                damaged[position] ^= 1 << int(rng.integers(8))
            (path / name).write_bytes(damaged)
            with contextlib.suppress(GeneratorError):
                load_generator(path).sample(2, 0)
        (path / name).write_bytes(whole)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("canary",)


@pytest.mark.parametrize("name", ["../escaped/configs/metadata.json", "/tmp/x/configs/a", "link"])
def test_hostile_zips(tmp_path, name):
    shutil.make_archive(str(tmp_path / "a"), "zip", ddpm(tmp_path / "folder"))
    assert load_generator(tmp_path / "a.zip").kind == "monai-bundle"
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        member = zipfile.ZipInfo(name)
        if name == "link":
            member.external_attr = 0o120777 << 16
        archive.writestr(member, "../../outside")
    said = "symbolic link" if name == "link" else "lead outside the archive"
    assert said in refusal(tmp_path / "a.zip")
    assert not (tmp_path / "escaped").exists()


# What a trusted bundle may do.

OWN = """
import torch
open("canary", "w").close()
class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.in_channels = self.out_channels = 1
        self.conv = torch.nn.Conv2d(1, 1, width, padding="same")
    def forward(self, x, timesteps, context=None):
        return self.conv(x)
class Sampler:
    def sampling_fn(self, noise, autoencoder, diffusion, scheduler):
        for t in scheduler.timesteps:
            noise, _ = scheduler.step(diffusion(noise, t[None]), t, noise)
        return noise.sigmoid()
def width():
    return 3
"""


def test_a_trusted_bundle_runs_its_own_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {
        "imports": ["$from scripts.mine import width"],
        "inferer": {"_target_": "scripts.mine.Sampler"},
        "num_train_timesteps": "$width() * 4",
    }
    path = ddpm(tmp_path / "a", **changes)
    (path / "scripts").mkdir()
    (path / "scripts" / "__init__.py").write_text("")
    (path / "scripts" / "mine.py").write_text(OWN)
    assert "scripts.mine" in refusal(path)
    assert not (tmp_path / "canary").exists()
    generator = load_generator(path, trust=True)
    assert (tmp_path / "canary").exists()
    assert "DDPMScheduler, 12 steps" in generator.describe()
    drawn(generator)
    assert not [name for name in sys.modules if name.startswith("scripts.mine")]


def test_any_allowed_network_that_maps_a_latent_of_the_metadata(tmp_path):
    arguments = {"in_channels": 8, "out_channels": 1, "kernel_size": 16}
    with seeded(7, "cpu"):
        net = torch.nn.ConvTranspose2d(**arguments)
    metadata = {
        "network_data_format": {
            "inputs": {"z": {"type": "noise", "num_channels": 8, "spatial_shape": [1, 1]}},
            "outputs": {"pred": WIDE},
        }
    }
    config = {"network_def": {"_target_": "torch.nn.ConvTranspose2d", **arguments}}
    path = write(tmp_path / "a", config, {"model.pt": net.state_dict()}, metadata=metadata)
    expected = directly(lambda z: net(z), (8, 1, 1))
    np.testing.assert_allclose(drawn(load_generator(path)).images, expected / 100 + 0.5, atol=1e-6)
    metadata["network_data_format"]["inputs"]["z"]["type"] = "image"
    ConfigParser.export_config_file(metadata, path / "configs" / "metadata.json")
    assert "does not say what it maps to images" in refusal(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"other": definition("DiffusionModelUNet", UNET), "network_def": None}, ""),
        (
            {
                "network_def": None,
                "a": definition("DiffusionModelUNet", UNET),
                "b": definition("DiffusionModelUNet", UNET),
            },
            r"2 diffusion networks \(a, b\)",
        ),
        (
            {"network_def": {**UNET, "_target_": "generative.networks.nets.DiffusionModelUNet"}},
            "moved into MONAI",
        ),
        ({"noise": None, "image_dim": None}, "does not say the shape of its noise"),
        (
            {"network_def": definition("DiffusionModelUNet", UNET, spatial_dims=4)},
            "cannot be built|spatial_dims 4",
        ),
        (
            {"inferer": {"_target_": "monai.inferers.LatentDiffusionInferer"}},
            "configures no autoencoder",
        ),
        (
            {
                "network_def": definition(
                    "DiffusionModelUNet", UNET, with_conditioning=True, cross_attention_dim=3
                )
            },
            "missing",
        ),
    ],
)
def test_layouts_that_are_ambiguous_or_incomplete(tmp_path, changes, said):
    path = ddpm(tmp_path / "a", load_state="", network="", **changes)
    if said:
        assert re.search(said, refusal(path))
    else:
        load_generator(path).sample(2, 0)


def test_a_network_that_needs_a_condition_asks_for_it(tmp_path):
    arguments = {**UNET, "with_conditioning": True, "cross_attention_dim": 3}
    net = network("DiffusionModelUNet", arguments)
    config = ddpm_config(network_def=definition("DiffusionModelUNet", arguments))
    path = write(tmp_path / "a", config, {"model.pt": net.state_dict()}, outputs=WIDE)
    assert "needs a condition of 3 values, but its config gives none" in refusal(path)
