"""Every example of the pages is run: Python as it stands, settings by what reads them."""

from __future__ import annotations

import doctest
import json
import re
import tomllib

import numpy as np
import pytest
import torch
import torchmetrics

import nriqm_bench
from nriqm_bench import (
    cases,
    datasets,
    expected,
    extractors,
    gates,
    generators,
    metrics,
    perturbations,
)
from nriqm_bench.metrics import as_metric
from nriqm_bench.settings import Settings
from nriqm_bench.testing import check_metric
from tests.docs.blocks import ROOT, blocks

# What others run, by what an example holds: files of this repository.
ELSEWHERE = {
    "torch.onnx.export": "tests/generators/test_onnx.py",
}
# What is put for sizes that would take a minute.
SMALLER = (('("phantom-tumour")(n=64)', '("phantom-tumour")(n=4)'),)

PYTHON = blocks("python")


@pytest.fixture
def tidy(monkeypatch):
    """What an example registers is forgotten after it."""
    rooms = (metrics, extractors, perturbations, datasets)
    for registry in (*(room._REGISTRY for room in rooms), cases.registry, generators._KINDS):
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))


@pytest.fixture(scope="module")
def given():
    """Names that examples take for known."""
    rng = np.random.default_rng(0)
    train, reference, samples = (
        datasets.get("phantom-tumour")(8, 0, part=part, size=32)
        for part in ("train", "reference", "held-out")
    )
    real, fake, kept = (rng.normal(size=(60, 16)) for _ in range(3))
    return {
        "np": np,
        "nriqm_bench": nriqm_bench,
        "torch": torch,
        "torchmetrics": torchmetrics,
        "monai": pytest.importorskip("monai"),
        "metrics": metrics,
        "extractors": extractors,
        "as_metric": as_metric,
        "check_metric": check_metric,
        "rng": rng,
        "real": real,
        "fake": fake,
        "train": kept,
        "batches_of_real": [real[:30], real[30:]],
        "batches_of_fake": [fake[:30], fake[30:]],
        "sets": {"train": train, "reference": reference, "samples": samples},
        "images": samples.images,
        "masks": samples.masks,
        "subjects": samples.subjects,
        "sites": samples.sites,
    }


@pytest.mark.parametrize("block", PYTHON, ids=[f"{i} {b.page}" for i, b in enumerate(PYTHON)])
def test_python_runs(block, given, tidy, tmp_path, monkeypatch, box):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(box.folder))
    text = block.text
    for written, put in SMALLER:
        text = text.replace(written, put)
    if text.startswith("# test_mine.py"):
        (box.folder / "test_mine.py").write_text(text)
        code, output = box.run(["pytest", "test_mine.py"])
        assert code in (0, 1), output[-2000:]
        assert re.search(r"\d+ (passed|failed)", output), output[-2000:]
        return
    names = dict(given)
    if block.page == "docs/remedies.md":
        names |= given["sets"]
    if text.startswith(">>>"):
        found = doctest.DocTestRunner()
        found.run(doctest.DocTestParser().get_doctest(text, names, block.page, block.page, 0))
        assert found.failures == 0
    elif "check_copies failed" in text:
        with pytest.raises(AssertionError, match="check_copies"):
            exec(text, names)
    elif "torch.onnx.export" in text:
        assert "torch.onnx.export" in (ROOT / ELSEWHERE["torch.onnx.export"]).read_text()
    else:
        exec(text, names)
        if "pytest_nriqm_register" in names:
            names["pytest_nriqm_register"](None)


TOML = blocks("toml")


@pytest.mark.parametrize("block", TOML, ids=[f"{i} {b.page}" for i, b in enumerate(TOML)])
def test_settings_are_understood(block, tmp_path):
    table = tomllib.loads(block.text)
    if "expected-failure" in table:
        (tmp_path / "known.toml").write_text(block.text, encoding="utf-8")
        assert len(expected.read(tmp_path / "known.toml")) == len(table["expected-failure"])
    elif "tool" in table:
        (tmp_path / "pyproject.toml").write_text(block.text, encoding="utf-8")
        found = Settings.load({}, environ={}, root=tmp_path)
        for name, _ in found.gates:
            assert name in gates.NAMES or name in metrics.names()
    else:
        assert re.fullmatch(r"nriqm_bench\.\w+", next(iter(table["project"]["entry-points"])))


def test_json_is_json():
    for block in blocks("json"):
        json.loads(block.text)


def test_no_language_is_left_out():
    tried = {"python", "toml", "json", "yaml", "ini", "sh", "bash", "text", ""}
    known = {b.language for b in blocks(*tried)}
    text = "".join(p.read_text(encoding="utf-8") for p in ROOT.glob("docs/*.md"))
    assert set(re.findall(r"^```(\w+)$", text, re.M)) <= known | {"text"}
