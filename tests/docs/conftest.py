"""A folder as a reader of the pages has it, and a quick way to run commands there."""

from __future__ import annotations

import shutil
import warnings

import nibabel
import numpy as np
import pytest
import torch
from scipy import ndimage

from nriqm_bench.reporting import write
from tests.docs.blocks import ROOT
from tests.reporting.conftest import make_agreement, make_downstream, make_run
from tests.zygote import Zygote

N, SIDE = 20, 32

# A first look at a few images in one space by one metric: the smallest run that is whole.
SMALL = {
    "NRIQM_QUICK": "1",
    "NRIQM_N": "16",
    "NRIQM_METRIC": "fid",
    "NRIQM_EXTRACTOR": "pixels",
    "NRIQM_DATASET": "folder:data/flair",
    "PYTEST_ADDOPTS": "-p no:randomly -p no:cacheprovider",
    "OMP_NUM_THREADS": "1",
    "COLUMNS": "80",
}


class Waves(torch.nn.Module):
    """Smooth images of 32 x 32 from a seed."""

    @torch.jit.export
    def sample(self, n: int, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        noise = torch.nn.functional.avg_pool2d(torch.rand(n, 1, 40, 40), 9, 1)
        low, high = noise.amin(), noise.amax()
        return (noise - low) / (high - low)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z


def smooth(n, seed, side):
    """Images of the kind of `Waves`."""
    noise = ndimage.uniform_filter(np.random.default_rng(seed).random((n, side, side)), (0, 9, 9))
    return np.float32((noise - noise.min()) / np.ptp(noise))


def write_flair(folder, side=SIDE):
    """NIfTI slices in the three parts, two a subject."""
    for part, seed in (("train", 0), ("reference", 1), ("held-out", 2)):
        (folder / part).mkdir(parents=True)
        for i, image in enumerate(smooth(N, seed, side)):
            name = f"sub-{seed}{i // 2:02}_slice-{i % 2}_flair.nii.gz"
            nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), folder / part / name)


def write_ranked(path, over):
    """A run that trained segmenters, which takes minutes."""
    found = make_agreement(over=over, items=["vae", "gan", "ddpm"])
    rows = [make_downstream(source=name) for name in ("vae", "gan", "ddpm")]
    write(make_run(downstream=[make_downstream(), *rows], agreement=[found]), path)


MODULE = '''
"""What users bring."""

import numpy as np


def mean_distance(real, fake):
    return float(np.linalg.norm(real.mean(0) - fake.mean(0)))
'''
CONFTEST = """
def pytest_nriqm_register(config):
    from mypackage import mean_distance
    from nriqm_bench import metrics

    metrics.register("mean-distance", higher_is_better=False)(mean_distance)
    for name in ("my-metric", "my-fidelity"):
        metrics.register(name, higher_is_better=True)(lambda real, fake: -mean_distance(real, fake))
"""


KNOWN = """
[[expected-failure]]
metric = "mean-distance"
reason = "it compares means"
"""


class Box:
    """The folder, with what runs commands there."""

    def __init__(self, folder):
        self.folder = folder
        # The package as a wheel lays it out.
        self.zygote = Zygote(folder / "site")

    def run(self, argv, cwd=None, **env):
        """Exit code and output of a command in the folder, or another."""
        return self.zygote.run(argv, cwd or self.folder, **{**SMALL, **self.env, **env})

    @property
    def env(self):
        """The cache of this folder, and where the package is."""
        return {"NRIQM_CACHE": str(self.folder / "cache"), "PYTHONPATH": str(self.folder / "site")}


@pytest.fixture(scope="session")
def box(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reader")
    dirt = shutil.ignore_patterns("__pycache__")
    for name in ("benchmarks", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=dirt)
    # As in the wheel, the suite within the package.
    shutil.copytree(ROOT / "nriqm_bench", folder / "site/nriqm_bench", ignore=dirt)
    shutil.copytree(ROOT / "benchmarks", folder / "site/nriqm_bench/benchmarks", ignore=dirt)
    (folder / "data").mkdir()
    shutil.copytree(ROOT / "data/demo", folder / "data/demo", ignore=dirt)
    for name in ("flair", "heldout"):
        write_flair(folder / "data" / name)
    (folder / "out").mkdir()
    with warnings.catch_warnings():
        # TorchScript is deprecated, and what most teams have.
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(Waves())
    for name in ("model.pt", "out/model.pt", "ckpt.pt"):
        scripted.save(str(folder / name))
    (folder / "mypackage.py").write_text(MODULE)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "known.toml").write_text(KNOWN)
    found = Box(folder)
    names = ("run.json", "before.json", "after.json", "both.json", "runs/1.json")
    code, output = found.run(
        ["pytest", "benchmarks/test_noise.py", "benchmarks/test_gates.py"]
        + ["--generator=model.pt", "--generator=out/model.pt"]
        + [f"--nriqm-report={name}" for name in names]
    )
    assert code in (0, 1), output
    write_ranked(folder / "zoo.json", "generators")
    write_ranked(folder / "perturbed.json", "perturbations")
    yield found
    found.zygote.close()
