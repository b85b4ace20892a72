"""A project that merely has the package installed pays nothing: no import, no header, no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import nriqm_bench

HEAVY = ("torch", "numpy", "scipy", "monai", "nibabel", "nilearn", "matplotlib")
ROOT = Path(nriqm_bench.__file__).parents[1]
ROOMS = ("datasets", "extractors", "generators", "metrics", "perturbations", "reporting", "testing")


def python(script, cwd, *path):
    """What a fresh interpreter prints, with the package on its path."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NRIQM_", "PYTEST_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=cwd,
        env=kept | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path)))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def imported(statement, cwd):
    """The top-level packages that a fresh interpreter has after `statement`."""
    told = python(f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))", cwd)
    return {name.partition(".")[0] for name in json.loads(told)}


@pytest.mark.parametrize("module", ["nriqm_bench", "nriqm_bench.plugin", "nriqm_bench.settings"])
def test_importing_brings_nothing_heavy(module, tmp_path):
    assert imported(f"import {module}", tmp_path).isdisjoint(HEAVY)


def test_the_plugin_needs_the_standard_library_and_pytest_alone(tmp_path):
    with_plugin = imported("import nriqm_bench.plugin", tmp_path)
    others = with_plugin - imported("import pytest", tmp_path) - sys.stdlib_module_names
    assert others == {"nriqm_bench"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lists_its_names_without_heavy_imports(room, tmp_path):
    script = f"from nriqm_bench import {room}\ngetattr({room}, 'names', list)()"
    assert imported(script, tmp_path).isdisjoint(set(HEAVY) - {"numpy"})


def test_evidence_knows_neither_torch_nor_pytest(tmp_path):
    found = imported("from nriqm_bench import evidence", tmp_path)
    assert "scipy" in found, "the probe must see what is imported"
    assert found.isdisjoint({"torch", "pytest", "monai", "matplotlib"})


def installed_plugin(folder):
    """The metadata by which an installed package announces its pytest plugin."""
    info = folder / "nriqm_bench-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nriqm-bench\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[pytest11]\nnriqm = nriqm_bench.plugin\n")
    return folder


def others():
    """What keeps the plugins of other packages (some of which import NumPy) out of the way."""
    names = {point.name for point in entry_points(group="pytest11")} - {"nriqm"}
    return [f"-pno:{name}" for name in sorted(names)]


PROBE = """
import json, sys
import pytest

code = pytest.main({arguments!r})
print("PROBE", json.dumps([int(code), sorted(sys.modules)]))
"""


def run_pytest(project, path, *arguments):
    told = python(PROBE.format(arguments=list(arguments)), project, *path)
    shown, _, probe = told.partition("PROBE ")
    code, modules = json.loads(probe)
    return shown, code, modules


@pytest.mark.parametrize("way", ["loaded by -p", "installed"])
@pytest.mark.parametrize("tests", [0, 2])
def test_pytest_in_another_project_pays_nothing(way, tests, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    if tests:
        (project / "test_own.py").write_text(
            "import pytest\n\n"
            "@pytest.mark.parametrize('number', [1, 2])\n"
            "def test_own(number, tmp_path):\n"
            "    assert number\n"
        )
    before = {p.name for p in project.iterdir()}
    if way == "installed":
        path, arguments = [installed_plugin(tmp_path / "site")], others()
    else:
        path, arguments = [], [*others(), "-pno:nriqm", "-p", "nriqm_bench.plugin"]
    shown, code, modules = run_pytest(project, path, *arguments)
    assert code == (0 if tests else 5)
    assert "nriqm_bench.plugin" in modules, "the plugin was not loaded at all"
    assert {name.partition(".")[0] for name in modules}.isdisjoint(HEAVY)
    assert not [line for line in shown.splitlines() if line.startswith("nriqm")]
    assert "nriqm_bench" not in shown
    assert {p.name for p in project.iterdir()} - before <= {".pytest_cache", "__pycache__"}
    assert (tmp_path / "site").exists() == (way == "installed")


def test_the_options_are_there_all_the_same(tmp_path):
    arguments = (*others(), "-pno:nriqm", "-p", "nriqm_bench.plugin", "--help")
    shown, _, _ = run_pytest(tmp_path, [], *arguments)
    assert "--nriqm-dataset=SPEC" in shown


def test_public_names_are_loaded_on_first_use(tmp_path):
    script = (
        "import sys, nriqm_bench\n"
        "assert 'nriqm_bench.settings' not in sys.modules\n"
        "assert nriqm_bench.Settings().n == 200\n"
        "assert nriqm_bench.metrics is sys.modules['nriqm_bench.metrics']\n"
        "assert 'numpy' not in sys.modules\n"
        "nriqm_bench.ImageSet, nriqm_bench.Curve, nriqm_bench.Floor, nriqm_bench.Verdict\n"
        "assert 'numpy' in sys.modules and 'torch' not in sys.modules\n"
    )
    python(script, tmp_path)


@pytest.mark.parametrize("name", ["ImageSet", "Curve", "Floor", "Verdict", "Settings", "Case"])
def test_public_names_are_those_of_their_modules(name):
    found = getattr(nriqm_bench, name)
    assert found.__name__ == name
    assert found.__module__.startswith("nriqm_bench.")
    assert name in dir(nriqm_bench)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'nriqm_bench' has no attribute 'metric'"):
        _ = nriqm_bench.metric
