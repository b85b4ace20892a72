"""benchmarks/test_downstream.py in real pytest runs: rows, reasons, workers and reports."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import nriqm_bench
from nriqm_bench.downstream import Budget, training
from nriqm_bench.reporting import from_json
from nriqm_bench.reporting.schema import SCHEMA_VERSION
from tests.downstream.conftest import discs, write_discs

# Pytest runs inside this process forget the modules that they import, and torch and NumPy do not
# survive a second import: everything is imported here first.
for _module in pkgutil.walk_packages(nriqm_bench.__path__, "nriqm_bench."):
    importlib.import_module(_module.name)
# Torch imports more when it trains first.
training.learn(discs(8), Budget(steps=1, batch=2, side=8), 0)

SUITE = Path(__file__).parents[2] / "benchmarks" / "test_downstream.py"
N = 24


@pytest.fixture
def run(pytester, monkeypatch):
    """Run the file on discs in pixel space; the run as written is returned too."""
    for name in ("NRIQM_CACHE", "NRIQM_N", "NRIQM_SEED"):
        monkeypatch.delenv(name, raising=False)

    def run(*args, masks=True):
        data = write_discs(pytester.path / "data.npz", N, masks)
        result = pytester.runpytest(
            str(SUITE),
            f"--rootdir={pytester.path}",
            "--import-mode=importlib",
            "-pno:cacheprovider",
            f"--nriqm-dataset=npz:{data}",
            "--nriqm-quick",
            "--nriqm-extractor=pixels",
            "--nriqm-metric=fid",
            "--nriqm-metric=coverage",
            f"--nriqm-n={N}",
            f"--nriqm-report={pytester.path / 'run.json'}",
            *args,
        )
        path = pytester.path / "run.json"
        return result, from_json(path.read_text()) if path.is_file() else None

    run.path = pytester.path
    return run


def test_everything_is_told_and_workers_change_nothing(run):
    # Fresh discs with masks, their masks drawn too small, and no masks at all.
    fresh = discs(N, 7)
    small = fresh.masks & np.roll(fresh.masks, 3, 1) & np.roll(fresh.masks, -3, 1)
    for name, masks in (("good", fresh.masks), ("small", small), ("plain", None)):
        arrays = {"images": fresh.images} | ({} if masks is None else {"masks": masks})
        np.savez(run.path / f"{name}.npz", **arrays)
    given = [f"--generator={run.path / name}.npz" for name in ("good", "small", "plain")]
    cache = f"--nriqm-cache={run.path / 'cache'}"
    chosen = ("-k", "usefulness or removal or generators", "-rs")
    result, found = run(*given, cache, *chosen)
    rows = {(row.source, row.case): row for row in found.downstream}
    assert set(rows) == {
        ("held-out", ""),
        ("good", ""),
        ("small", ""),
        ("held-out", "lesion-removal"),
    }
    assert rows["small", ""].dice_ratio[0] < rows["good", ""].dice_ratio[0]
    assert rows["held-out", "lesion-removal"].dice_ratio[0] < 0.8
    assert rows["small", ""].real_dice == rows["good", ""].real_dice
    told = str(result.stdout)
    assert "Downstream: U-Nets tested on 24 real images" in told
    assert "plain makes images without masks" in told
    assert "2 of 3 generators make images with masks, must be at least 3 to be ranked" in told
    again, workers = run(*given, cache, *chosen, "-n2")
    assert workers.downstream == found.downstream
    assert again.ret == result.ret


def test_without_masks_everything_is_skipped_with_a_reason(run):
    result, found = run("--nriqm-cache=off", "-rs", masks=False)
    assert result.ret == 0
    assert found is None
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"skipped"}
    assert "has no masks of train images, which a segmenter needs" in str(result.stdout)


def test_three_generators_are_ranked(run):
    names = []
    for k in range(3):
        made = discs(N, 10 + k)
        masks = made.masks if k else np.zeros_like(made.masks)
        np.savez(run.path / f"model-{k}.npz", images=made.images, masks=masks)
        names.append(f"--generator={run.path / f'model-{k}.npz'}")
    report = run.path / "run.html"
    _, found = run(*names, "--nriqm-cache=off", "-k", "generators", f"--nriqm-report={report}")
    assert {row.over for row in found.agreement} == {"generators"}
    (fid,) = (row for row in found.agreement if row.metric == "fid")
    assert fid.items == ["model-0", "model-1", "model-2"]
    assert int(np.argmin(fid.downstream)) == 0
    assert json.loads((run.path / "run.json").read_text())["schema_version"] == SCHEMA_VERSION
    assert "over 3 generators" in report.read_text()
