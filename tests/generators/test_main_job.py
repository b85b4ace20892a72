"""The suite itself, run as a user runs it, for one file of every kind of generator.

A kind is one function below: it writes a file with the framework that writes such files, and gives
the command line that names it. The network is the same for all: principal components of phantoms,
64 x 64, so that what is judged looks like the real images.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from nriqm_bench import datasets, generators, save_generator
from tests.zygote import Zygote

SUITE = Path(__file__).parents[2] / "benchmarks"
SIDE = 64
COMPONENTS = 24
N = 24

# One case and the gate that trains nothing: how a kind reaches them is what is tested.
ASKED = "(gaussian and fid) or test_fidelity"

Arguments = list[str]
KINDS: dict[str, tuple[str, Callable[[Path], Arguments]]] = {}


def kind(name: str, loader: str | None = None):
    """Register a writer ``(folder) -> arguments`` under the name of a case.

    `loader` is the kind that must recognise the file, where it is not called `name`.
    """

    def add(write):
        KINDS[name] = (loader or name, write)
        return write

    return add


class Components(torch.nn.Module):
    """Images as a mean and weighted principal components of phantoms."""

    def __init__(self, side: int = SIDE):
        super().__init__()
        self.latent_dim = COMPONENTS
        self.value_range = (0.0, 1.0)
        self.size = [side, side]
        self.decode = torch.nn.Linear(COMPONENTS, side * side)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.decode(z).clamp(0.0, 1.0).reshape(-1, 1, 64, 64)


class Conditional(Components):
    """The same, brighter or darker by a label."""

    def __init__(self):
        super().__init__()
        self.num_classes = 2
        self.gain = torch.nn.Parameter(torch.tensor([0.95, 1.0]))

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images = self.decode(z).reshape(-1, 1, 64, 64) * self.gain[labels][:, None, None, None]
        return images.clamp(0.0, 1.0)


class Painter(torch.nn.Module):
    """Paints lesions where the mask has them, over components of phantoms."""

    def __init__(self):
        super().__init__()
        self.latent_dim = COMPONENTS
        self.value_range = (0.0, 1.0)
        self.size = [SIDE, SIDE]
        self.decode = torch.nn.Linear(COMPONENTS, SIDE * SIDE)

    def forward(self, z: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        images = self.decode(z).reshape(-1, 1, 64, 64) + 0.2 * (masks > 0)[:, None].float()
        return images.clamp(0.0, 1.0)


def fitted(network: torch.nn.Module) -> torch.nn.Module:
    """`network` with the mean and the components of training phantoms."""
    images = datasets.get("phantom-tumour")(48, seed=0, part="train", size=SIDE).images
    flat = images.reshape(len(images), -1).astype(np.float64)
    mean = flat.mean(0)
    _, singular, components = np.linalg.svd(flat - mean, full_matrices=False)
    scale = singular[:COMPONENTS] / math.sqrt(len(flat))
    with torch.no_grad():
        network.decode.weight.copy_(torch.from_numpy((components[:COMPONENTS] * scale[:, None]).T))
        network.decode.bias.copy_(torch.from_numpy(mean))
    return network.eval()


HERE = f"{__name__}:"


@kind("torchscript")
def torchscript(folder: Path) -> Arguments:
    torch.jit.save(torch.jit.script(fitted(Components())), folder / "net.ts")
    return ["--generator", str(folder / "net.ts")]


@kind("exported")
def exported(folder: Path) -> Arguments:
    batch = torch.export.Dim("n", min=2)
    program = torch.export.export(
        fitted(Components()), (torch.randn(4, COMPONENTS),), dynamic_shapes=({0: batch},)
    )
    declared = json.dumps({"value_range": [0, 1], "size": [SIDE, SIDE]})
    torch.export.save(program, folder / "net.pt2", extra_files={"nriqm.json": declared})
    return ["--generator", str(folder / "net.pt2")]


@kind("onnx")
def onnx(folder: Path) -> Arguments:
    batch = torch.export.Dim("n", min=2)
    program = torch.onnx.export(
        fitted(Components()),
        (torch.randn(4, COMPONENTS),),
        dynamo=True,
        input_names=["z"],
        dynamic_shapes=({0: batch},),
        verbose=False,
    )
    program.model.metadata_props["nriqm"] = json.dumps({"value_range": [0, 1]})
    program.save(folder / "net.onnx")
    return ["--generator", str(folder / "net.onnx")]


@kind("checkpoint")
def checkpoint(folder: Path) -> Arguments:
    save_generator(folder / "net.pt", fitted(Components()), value_range=(0, 1), size=(SIDE, SIDE))
    return ["--generator", str(folder / "net.pt"), "--nriqm-architecture", f"{HERE}Components"]


@kind("state-dict")
def state_dict(folder: Path) -> Arguments:
    save_file(fitted(Components()).state_dict(), folder / "net.safetensors")
    named = f"{HERE}Components"
    return ["--generator", str(folder / "net.safetensors"), "--nriqm-architecture", named]


@kind("training checkpoint", "state-dict")
def training_checkpoint(folder: Path) -> Arguments:
    net = fitted(Components())
    optimizer = torch.optim.Adam(net.parameters())
    wrapped = {f"module.{key}": value for key, value in net.state_dict().items()}
    content = {"epoch": 3, "model": wrapped, "optimizer": optimizer.state_dict()}
    torch.save(content, folder / "net.pth")
    return ["--generator", str(folder / "net.pth"), "--nriqm-architecture", f"{HERE}Components"]


@kind("lightning")
def lightning(folder: Path) -> Arguments:
    import lightning as pl

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Training(pl.LightningModule):
        def __init__(self, side: int = SIDE):
            super().__init__()
            self.save_hyperparameters()
            self.generator = fitted(Components(side))

        def training_step(self, batch, index):
            return self.generator(batch).mean()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Training(), torch.utils.data.DataLoader(torch.randn(8, COMPONENTS), batch_size=4))
    trainer.save_checkpoint(folder / "last.ckpt")
    return ["--generator", str(folder / "last.ckpt"), "--nriqm-architecture", f"{HERE}Components"]


@kind("pickled")
def pickled(folder: Path) -> Arguments:
    torch.save(fitted(Components()), folder / "whole.pt")
    return ["--generator", str(folder / "whole.pt"), "--nriqm-trust"]


@kind("samples of png", "samples")
def png(folder: Path) -> Arguments:
    found = datasets.get("phantom-tumour")(32, seed=5, part="train", size=SIDE)
    for i, (image, mask) in enumerate(zip(found.images, found.masks, strict=True)):
        Image.fromarray(np.rint(image[0] * 255).astype(np.uint8)).save(folder / f"{i}.png")
        Image.fromarray(mask).save(folder / f"{i}_mask.png")
    return ["--generator", str(folder)]


@kind("samples of dicom", "samples")
def dicom(folder: Path) -> Arguments:
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    found = datasets.get("phantom-tumour")(32, seed=5, part="train", size=SIDE)
    for i, image in enumerate(found.images):
        file = pydicom.Dataset()
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = MRImageStorage
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file.SeriesInstanceUID = generate_uid()
        file.Rows, file.Columns = image.shape[1:]
        file.SamplesPerPixel, file.PixelRepresentation = 1, 0
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
        file.PhotometricInterpretation = "MONOCHROME2"
        file.PixelData = np.rint(image[0] * 4095).astype(np.uint16).tobytes()
        file.save_as(folder / f"{i}.dcm", enforce_file_format=True)
    return ["--generator", str(folder)]


@kind("samples in npz", "samples")
def npz(folder: Path) -> Arguments:
    found = datasets.get("phantom-tumour")(32, seed=5, part="train", size=SIDE)
    np.savez(folder / "samples.npz", images=found.images, masks=found.masks)
    return ["--generator", str(folder / "samples.npz")]


_MINE = """
import numpy as np
from nriqm_bench import datasets

def draw(n, seed):
    return datasets.get("phantom-tumour")(n, seed=seed + 100, part="train", size=64)

draw.size = (64, 64)
"""


@kind("python")
def python(folder: Path) -> Arguments:
    # Beside the folder: where the suite is started.
    (folder.parent / "nriqm_test_mine.py").write_text(_MINE)
    return ["--generator", "nriqm_test_mine:draw"]


@kind("monai-bundle")
def monai_bundle(folder: Path) -> Arguments:
    from monai.networks.nets import DiffusionModelUNet

    settings = {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 1,
        "channels": [8, 8],
        "attention_levels": [False, False],
        "num_res_blocks": 1,
        "norm_num_groups": 4,
    }
    config = {
        "network_def": {"_target_": "monai.networks.nets.DiffusionModelUNet", **settings},
        "scheduler": {
            "_target_": "monai.networks.schedulers.DDPMScheduler",
            "num_train_timesteps": 4,
        },
        "inferer": {"_target_": "monai.inferers.DiffusionInferer", "scheduler": "@scheduler"},
        "noise": "$torch.randn(1, 1, 64, 64)",
    }
    output = {"type": "image", "num_channels": 1, "value_range": [-1, 1]}
    metadata = {"network_data_format": {"inputs": {}, "outputs": {"pred": output}}}
    for name, content in {"inference": config, "metadata": metadata}.items():
        place = folder / "bundle" / "configs" / f"{name}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(content))
    (folder / "bundle" / "models").mkdir()
    torch.save(drawn(DiffusionModelUNet(**settings)), folder / "bundle" / "models" / "model.pt")
    return ["--generator", str(folder / "bundle")]


@kind("diffusers")
def diffusers(folder: Path) -> Arguments:
    import diffusers as hf

    net = hf.UNet2DModel(
        sample_size=SIDE,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    hf.DDPMPipeline(net, hf.DDPMScheduler(4)).save_pretrained(folder / "pipeline")
    return ["--generator", str(folder / "pipeline")]


def drawn(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a network, all of them drawn: some layers start as zeros."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(0, 0.1)
    return network.state_dict()


@kind("labels", "torchscript")
def labels(folder: Path) -> Arguments:
    torch.jit.save(torch.jit.script(fitted(Conditional())), folder / "net.ts")
    return ["--generator", str(folder / "net.ts")]


@kind("masks", "state-dict")
def masks(folder: Path) -> Arguments:
    torch.save(fitted(Painter()).state_dict(), folder / "net.pt")
    return ["--generator", str(folder / "net.pt"), "--nriqm-architecture", f"{HERE}Painter"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Features of the real images are made once for all kinds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def zygote():
    found = Zygote()
    yield found
    found.close()


def test_every_kind_is_here():
    """A kind of this package that no case runs would be an untested promise."""
    here = {loader for loader, _ in KINDS.values()}
    assert here >= set(generators.BUILTIN)


@pytest.mark.parametrize("name", KINDS)
def test_the_suite_runs_on_a_file_of_this_kind(name, tmp_path, cache, zygote):
    loader, write = KINDS[name]
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    # Frameworks warn of their own deprecations when they write; reading is warning-free.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arguments = write(folder)
    # A process of its own: pytester would forget modules that torch cannot import twice.
    code, output = zygote.run(
        [
            "pytest",
            "--import-mode=importlib",
            "-pno:cacheprovider",
            "-pno:randomly",
            "-Werror",
            f"{SUITE}/test_noise.py",
            f"{SUITE}/test_gates.py",
            f"-k={ASKED}",
            "--nriqm-quick",
            "--nriqm-extractor=efficientnet-lite0",
            f"--nriqm-n={N}",
            "--nriqm-metric=fid",
            f"--nriqm-cache={cache}",
            "--nriqm-report=run.json",
            *arguments,
        ],
        tmp_path,
    )
    assert code in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED), output
    last = output.strip().splitlines()[-1]
    assert " error" not in last
    # The images of a poor generator may leave a metric nothing to lose: then its case is skipped.
    assert " passed" in last
    run = json.loads((tmp_path / "run.json").read_text())
    assert [g["kind"] for g in run["generator"]] == [loader]
    rows = [row for row in run["rows"] if row["source"] != "held-out"]
    assert rows
    assert all(np.isfinite(row["values"]).all() for row in rows)
    judged = [gate for gate in run["gates"] if gate["value"] is not None]
    assert judged
    if loader in ("samples", "python"):
        # Fresh phantoms are what a perfect generator would make.
        assert [gate["verdict"] for gate in judged if gate["name"] == "fidelity"] == ["pass"]
