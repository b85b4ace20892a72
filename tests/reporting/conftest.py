"""A run as the suite makes them, for every view."""

from __future__ import annotations

import base64
import dataclasses
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nriqm_bench.reporting import Agreement, Downstream, Gate, Picture, Row, Run

GOLDEN = Path(__file__).parent / "golden"


def golden(name, lines):
    """Hold what a report says against a file that was looked at.

    ``NRIQM_GOLDEN=write`` in the environment writes the file anew, to be looked at again.
    """
    text = "\n".join(lines).rstrip("\n") + "\n"
    if os.environ.get("NRIQM_GOLDEN") == "write":
        (GOLDEN / name).write_text(text, encoding="utf-8")
    assert text == (GOLDEN / name).read_text(encoding="utf-8")


def make_row(**changes):
    row = {
        "case": "gaussian-noise",
        "experiment": "N1",
        "perturbation": "gaussian-noise",
        "metric": "fid",
        "extractor": "efficientnet-lite0",
        "levels": [0.0, 0.05, 0.2],
        "values": [200.0, 300.0, 800.0],
        "floor_mean": 198.0,
        "floor_sd": 8.0,
        "effect": 75.0,
        "rank": 1.0,
        "detection_level": 0.05,
        "noise_equivalent": None,
        "expectation": "degrades by 3 SD",
        "verdict": "pass",
        "reason": "fid under gaussian-noise worsened by 75.00 floor SD",
        "seconds": 0.5,
    }
    return Row(**(row | changes))


def make_gate(**changes):
    gate = {
        "name": "memorisation",
        "metric": "train-share",
        "extractor": "efficientnet-lite0",
        "value": 0.97,
        "interval": [0.93, 0.99],
        "threshold": 0.61,
        "floor_mean": 0.506,
        "floor_sd": 0.047,
        "trusted": True,
        "verdict": "fail",
        "reason": "train-share in efficientnet-lite0 is 0.97; the limit is 0.61",
        "generator": "model",
        "pairs": [
            {
                "fake": 7,
                "train": 3,
                "train_distance": 0.125,
                "real": 5,
                "real_distance": 2.5,
                "ratio": 0.05,
                "train_subject": "sub-03",
            }
        ],
    }
    return Gate(**(gate | changes))


def make_downstream(**changes):
    row = {
        "source": "held-out",
        "case": "",
        "level": 0.0,
        "dice": [0.698, 0.65, 0.74],
        "hd95": [45.7, 38.0, 54.2],
        "f1": [0.74, 0.7, 0.78],
        "real_dice": [0.702, 0.66, 0.75],
        "dice_ratio": [0.994, 0.97, 1.02],
        "hd95_ratio": [0.92, 0.8, 1.1],
        "f1_ratio": [1.04, 0.96, 1.1],
        "both_dice": [0.731, 0.69, 0.77],
        "auc": [0.52, 0.45, 0.6],
        "unit": "mm",
        "images": 200,
        "steps": [220],
        "seconds": 9.5,
    }
    return Downstream(**(row | changes))


def make_agreement(**changes):
    row = {
        "over": "perturbations",
        "metric": "fid",
        "extractor": "efficientnet-lite0",
        "items": ["boundary-blur", "gaps", "gaussian-noise"],
        "values": [3.0, 1.5, 640.0],
        "downstream": [0.1, 0.04, 0.02],
        "tau": -1 / 3,
        "interval": [-1.0, 1.0],
        "p": 5 / 6,
    }
    return Agreement(**(row | changes))


@pytest.fixture
def tested(run):
    """The run with what was found downstream."""
    damage = make_downstream(
        case="lesion-displacement",
        level=1.0,
        dice=[0.551, 0.5, 0.6],
        dice_ratio=[0.785, 0.74, 0.83],
        both_dice=None,
        auc=None,
    )
    model = make_downstream(source="model", dice_ratio=[1.0, 0.96, 1.03], hd95_ratio=[None] * 3)
    better = make_agreement(metric="coverage", tau=1.0, p=1 / 6, values=[0.2, 0.1, 0.05])
    return dataclasses.replace(
        run,
        downstream=sorted([damage, model, make_downstream()], key=Downstream.sort_key),
        agreement=[make_agreement(), better, make_agreement(extractor="pixels", tau=0.0, p=0.5)],
    )


def make_run(**changes):
    blur = {"case": "blur", "experiment": "A1", "levels": [0.0, 1.0], "values": [0.8, 0.7]}
    rows = [
        make_row(
            **blur,
            metric="density",
            effect=2.0,
            verdict="fail",
            detection_level=None,
            noise_equivalent=0.2,
            floor_sd=0.05,
            reason="density under blur worsened by 2.00",
        ),
        make_row(**blur, metric="recall", effect=-0.04, verdict="unspecified", floor_sd=0.04),
        make_row(),
        make_row(metric="kid", effect=9.94, verdict="blind (known)", reason="it does not look"),
        make_row(metric="authpct", extractor="pixels", effect=0.0, verdict="unspecified"),
        make_row(source="model", verdict="saturated", effect=1.0, noise_equivalent=0.0104),
    ]
    gates = [
        make_gate(),
        make_gate(
            name="diversity",
            metric="vendi",
            value=8.4,
            interval=[8.2, 8.6],
            threshold=8.1,
            direction="below",
            verdict="pass",
            floor_mean=8.6,
            floor_sd=0.26,
            pairs=[],
        ),
        make_gate(
            name="fidelity",
            metric="fid",
            interval=None,
            verdict="untrusted",
            trusted=False,
            reason="does not decide: fid failed",
            pairs=[],
        ),
    ]
    found = Run(
        environment={"python": "3.11"},
        generator=[{"name": "model", "kind": "torchscript", "key": "ab", "describe": "model (ab)"}],
        dataset={
            "spec": "folder:flair",
            "key": "folder:cd",
            "describe": "folder:flair (cd)",
            "size": 128,
        },
        settings={
            "n": 200,
            "seed": 0,
            "extractor": ["efficientnet-lite0"],
            "noise_levels": [0.0, 0.05, 0.2],
        },
        rows=sorted(rows, key=Row.sort_key),
        gates=sorted(gates, key=Gate.sort_key),
        notes=["model: values were clipped"],
    )
    return dataclasses.replace(found, **changes)


@pytest.fixture
def run():
    return make_run()


def webp(seed=0):
    out = io.BytesIO()
    greys = np.random.default_rng(seed).integers(0, 256, (24, 24), np.uint8)
    Image.fromarray(greys).save(out, "WEBP")
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture
def pictured(run):
    """The run with what it shows of its images."""
    pictures = [
        Picture("samples", "held-out", "", ["0", "9"], [webp(0), webp(1)]),
        Picture("samples", "model", "", ["0", "9"], [webp(2), webp(3)]),
        Picture(
            "copies",
            "model",
            "memorisation",
            ["sample 7", "training image 3 (sub-03): distance .125", "nearest other real image 5"],
            [webp(4), webp(4), webp(5)],
        ),
        Picture("strip", "held-out", "blur", ["0", "1"], [webp(6), webp(7)]),
        Picture("strip", "held-out", "motion", ["0", "4"], [webp(6), webp(8)]),
    ]
    return dataclasses.replace(run, pictures=pictures)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, or what else there is of it."""
    api = pytest.importorskip("playwright.sync_api", reason="the extra test has playwright")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no chromium here (apt install chromium)")
    with api.sync_playwright() as found:
        opened = found.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()
