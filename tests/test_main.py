"""The command line beside pytest: list, report, compare."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path

import pytest

from nriqm_bench.__main__ import KINDS, main
from nriqm_bench.reporting import write

_spec = importlib.util.spec_from_file_location(
    "reporting_examples", Path(__file__).parent / "reporting" / "conftest.py"
)
_examples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_examples)


@pytest.fixture
def saved(tmp_path):
    found = _examples.run.__wrapped__() if hasattr(_examples.run, "__wrapped__") else None
    found = found or _examples.run._get_wrapped_function()()
    write(found, tmp_path / "run.json")
    return tmp_path / "run.json", found


def test_list_text(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert all(kind in out.splitlines() for kind in KINDS)
    assert "FID" in out


def test_list_for_programs(capsys):
    assert main(["list", "--json", "perturbations"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["perturbations"]
    assert all(found["perturbations"].values())


@pytest.mark.parametrize(
    ("form", "start"), [("json", "{"), ("md", "## "), ("csv", "source,"), ("terminal", "generator")]
)
def test_report_again(saved, capsys, form, start):
    assert main(["report", str(saved[0]), "--to", form]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_report_to_a_file(saved, tmp_path):
    assert main(["report", str(saved[0]), "-o", str(tmp_path / "x.md")]) == 0
    assert (tmp_path / "x.md").read_text(encoding="utf-8").startswith("## ")


def test_compare(saved, tmp_path, capsys):
    path, found = saved
    gates = [dataclasses.replace(g, verdict="fail") for g in found.gates]
    write(dataclasses.replace(found, gates=gates), tmp_path / "after.json")
    both = [str(path), str(tmp_path / "after.json")]
    assert main(["compare", *both]) == 0
    assert main(["compare", *both, "--fail-on-regression"]) == 1
    assert main(["compare", both[0], both[0], "--fail-on-regression"]) == 0
    assert "REGRESSION" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", '{"schema_version": "9.0"}'])
def test_errors_are_one_sentence(tmp_path, capsys, text):
    (tmp_path / "run.json").write_text(text)
    assert main(["report", str(tmp_path / "run.json")]) == 2
    assert main(["report", str(tmp_path / "missing.json")]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 2
    assert "run.json: " in err[0]
