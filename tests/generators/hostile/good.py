"""A good file of each kind, to be damaged; `NETWORK` is the architecture of those without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.networks.nets import Generator as Network
from PIL import Image
from safetensors.torch import save_file

from nriqm_bench import save_generator
from tests.generators.hostile.arrays import dicom
from tests.generators.hostile.bundles import bundle
from tests.generators.hostile.exported import program
from tests.generators.hostile.scripts import Plain, script

# The module a worker imports from its folder, and what is in it.
NETWORK = "good_network:build"
CODE = """
from monai.networks.nets import Generator

def build(**_):
    network = Generator([8], [4, 4, 4], [4, 1], [2, 2])
    network.latent_dim = 8
    network.value_range = (-8.0, 8.0)
    return network
"""
_SHAPE = {
    "latent_shape": [8],
    "start_shape": [4, 4, 4],
    "channels": [4, 1],
    "strides": [2, 2],
}
GOOD: dict[str, Callable[[Path], Path]] = {}


def good(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Add a function ``folder -> path``."""
    GOOD[write.__name__.replace("_", "-")] = write
    return write


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return Network(**_SHAPE)


def _images(n: int = 4) -> np.ndarray:
    return np.random.default_rng(0).random((n, 1, 16, 16), np.float32)


@good
def torchscript(folder: Path) -> Path:
    return script(Plain(), folder / "a.pt")


@good
def checkpoint(folder: Path) -> Path:
    declared = {"sampler": {"latent_dim": 8}, "value_range": (-8, 8), "size": (16, 16)}
    return save_generator(folder / "a.pt", _network(), config=_SHAPE, **declared)


@good
def state_dict(folder: Path) -> Path:
    torch.save({"epoch": 1, "ema": _network().state_dict()}, folder / "a.pt")
    return folder / "a.pt"


@good
def legacy(folder: Path) -> Path:
    torch.save(_network().state_dict(), folder / "a.pt", _use_new_zipfile_serialization=False)
    return folder / "a.pt"


@good
def safetensors(folder: Path) -> Path:
    save_file(_network().state_dict(), folder / "a.safetensors", {"format": "pt"})
    return folder / "a.safetensors"


@good
def npz(folder: Path) -> Path:
    np.savez(folder / "a.npz", images=_images(), masks=np.zeros((4, 16, 16), np.uint8))
    return folder / "a.npz"


@good
def npz_packed(folder: Path) -> Path:
    np.savez_compressed(folder / "a.npz", images=_images())
    return folder / "a.npz"


@good
def npy(folder: Path) -> Path:
    np.save(folder / "a.npy", _images())
    return folder / "a.npy"


@good
def folder_of_png(folder: Path) -> Path:
    for i, image in enumerate(_images()):
        Image.fromarray((image[0] * 255).astype(np.uint8)).save(folder / f"{i}.png")
    return folder


@good
def folder_of_npy(folder: Path) -> Path:
    for i, image in enumerate(_images()):
        np.save(folder / f"{i}.npy", image)
    return folder


@good
def folder_of_nifti(folder: Path) -> Path:
    for i, image in enumerate(_images()):
        nibabel.save(nibabel.Nifti1Image(image[0], np.eye(4)), folder / f"{i}.nii")
    return folder


@good
def folder_of_packed_nifti(folder: Path) -> Path:
    for i, image in enumerate(_images()):
        nibabel.save(nibabel.Nifti1Image(image[0], np.eye(4)), folder / f"{i}.nii.gz")
    return folder


@good
def folder_of_volumes(folder: Path) -> Path:
    for i in range(2):
        volume = np.random.default_rng(i).random((16, 16, 16), np.float32)
        nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / f"{i}.nii.gz")
    return folder


@good
def lightning(folder: Path) -> Path:
    state = {f"net.{k}": v for k, v in _network().state_dict().items()}
    content = {"epoch": 1, "pytorch-lightning_version": "2.5.0", "state_dict": state}
    torch.save(content, folder / "a.ckpt")
    return folder / "a.ckpt"


@good
def exported(folder: Path) -> Path:
    (folder / "a.pt2").write_bytes(program())
    return folder / "a.pt2"


@good
def monai_bundle(folder: Path) -> Path:
    return bundle(folder)


@good
def folder_of_dicom(folder: Path) -> Path:
    for i, image in enumerate(_images()):
        (folder / str(i)).mkdir()
        values = (image[0] * 65_535).astype(np.uint16)
        dicom(folder / str(i), "1.2.840.10008.1.2.1", 16, values.tobytes())
        (folder / str(i) / "a.dcm").rename(folder / f"{i}.dcm")
        (folder / str(i)).rmdir()
    return folder
