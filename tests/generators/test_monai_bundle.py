"""MONAI bundles, written by MONAI's own tools, give what MONAI's own inferers give."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.inferers import DiffusionInferer, LatentDiffusionInferer
from monai.networks import nets, schedulers

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
        "num_train_timesteps": 20,
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


def drawn(generator, n: int = 5, seed: int = 3):
    """The first images, after the checks that every kind must pass."""
    images = generator.sample(n, seed)
    again = generator.sample(n, seed)
    np.testing.assert_array_equal(images.images, again.images)
    assert not np.array_equal(images.images, generator.sample(n, seed + 1).images)
    assert len({image.tobytes() for image in images.images}) == n
    return images


def directly(call, shape, n: int = 5, seed: int = 3) -> np.ndarray:
    """`call` on the noise and under the seed of the first chunk."""
    first = chunk_seed(seed, 0)
    with seeded(first, "cpu"), torch.inference_mode():
        return call(latents(16, shape, first, "cpu")).numpy()[:n]


def test_ddpm_is_what_the_inferer_samples(tmp_path):
    generator = load_generator(ddpm(tmp_path / "bundle"))
    scheduler = schedulers.DDPMScheduler(num_train_timesteps=20, clip_sample_min=0)
    inferer = DiffusionInferer(scheduler)
    net = network("DiffusionModelUNet", UNET)
    expected = directly(lambda z: inferer.sample(z, net, verbose=False), (1, 16, 16))
    images = drawn(generator)
    assert (generator.name, generator.kind, generator.size) == ("bundle", "monai-bundle", (16, 16))
    assert "DDPMScheduler, 20 steps" in generator.describe()
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
    assert "DDPMScheduler takes 20 of 20" in " ".join(load_generator(ddpm(tmp_path / "b")).notes)


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
    scheduler = schedulers.DDPMScheduler(num_train_timesteps=20, clip_sample_min=0)
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
