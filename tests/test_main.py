"""The command line beside pytest: list, report, compare."""

from __future__ import annotations

import dataclasses
import json

import pytest

from nriqm_bench.__main__ import main
from nriqm_bench.listing import KINDS, listing
from nriqm_bench.reporting import write
from tests.reporting.conftest import make_run


@pytest.fixture
def saved(tmp_path):
    found = make_run()
    write(found, tmp_path / "run.json")
    return tmp_path / "run.json", found


def test_list_text(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert all(kind in out for kind in KINDS)
    assert any("(FID)" in line for line in out)
    assert max(map(len, out)) <= 80
    # Read by people: no markup of docstrings, no rule of how kinds are found.
    assert not any("`" in line or "None when" in line for line in out)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_has_its_line(kind):
    found = listing(kind)
    assert found
    for name, told in found.items():
        assert len(told["summary"]) > 10, name
        assert "\n" not in told["summary"]


def test_list_for_programs(capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == list(KINDS)
    fid = found["metrics"]["fid"]
    assert (fid["higher_is_better"], fid["needs"], fid["range"]) == (False, "features", [0, None])
    assert found["perturbations"]["boundary-blur"]["needs"] == ["masks"]
    assert found["cases"]["gaussian-noise"]["levels"][-1] == 0.2
    assert found["gates"]["fidelity"]["direction"] == "above"


@pytest.mark.parametrize(
    ("argv", "meant"),
    [
        (["lst"], "'list'"),
        (["list", "metric"], "'metrics'"),
        (["report", "run.json", "--to", "htm"], "'html'"),
        (["compare", "a.json", "b.json", "--fail-on-regresion"], "'--fail-on-regression'"),
        (["check", "fid", "--qqq"], None),
    ],
)
def test_a_word_that_is_nearly_right(argv, meant, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    err = capsys.readouterr().err
    assert ("did you mean" in err) == (meant is not None)
    assert meant is None or f"did you mean {meant}" in err


@pytest.mark.parametrize(
    ("form", "start"), [("json", "{"), ("md", "## "), ("csv", "source,"), ("terminal", "generator")]
)
def test_report_again(saved, capsys, form, start):
    assert main(["report", str(saved[0]), "--to", form]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_report_to_a_file(saved, tmp_path):
    assert main(["report", str(saved[0]), "-o", str(tmp_path / "x.md")]) == 0
    assert (tmp_path / "x.md").read_text(encoding="utf-8").startswith("## ")


@pytest.fixture
def both(saved, tmp_path):
    """A run, and one whose diversity is far worse."""
    path, found = saved
    gates = [
        dataclasses.replace(g, value=2.0, interval=None) if g.name == "diversity" else g
        for g in found.gates
    ]
    write(dataclasses.replace(found, gates=gates), tmp_path / "after.json")
    return [str(path), str(tmp_path / "after.json")]


def test_compare(both, capsys):
    assert main(["compare", *both]) == 0
    assert main(["compare", *both, "--fail-on-regression"]) == 1
    assert "REGRESSION: diversity (8.4 -> 2, worse by +25 floor SD" in capsys.readouterr().out
    # The other way around it got better.
    assert main(["compare", *reversed(both), "--fail-on-regression"]) == 0
    assert main(["compare", both[0], both[0], "--fail-on-regression"]) == 0
    assert capsys.readouterr().out.endswith(
        "NO REGRESSION: 3 gates and 6 rows compared; undecided: fidelity\n"
    )


@pytest.mark.parametrize("form", ["md", "html", "json", "csv"])
def test_compare_in_every_form(both, tmp_path, capsys, form):
    assert main(["compare", *both, "--to", form]) == 0
    told = capsys.readouterr().out
    path = tmp_path / "new" / f"compared.{form}"
    assert main(["compare", *both, "-o", str(path), "--fail-on-regression"]) == 1
    assert path.read_text(encoding="utf-8") == told
    assert capsys.readouterr().out.startswith("REGRESSION: diversity")


def test_compare_the_generators_of_one_run(saved, tmp_path, capsys):
    path, found = saved
    assert main(["compare", str(path)]) == 2
    assert "must have two or more" in capsys.readouterr().err
    gates = [*found.gates, *(dataclasses.replace(g, generator="new") for g in found.gates)]
    two = dataclasses.replace(found, generator=[*found.generator, {"name": "new"}], gates=gates)
    write(two, tmp_path / "two.json")
    assert main(["compare", str(tmp_path / "two.json")]) == 0
    assert capsys.readouterr().out.startswith("model -> new\n")


def test_compare_refuses_other_data_and_forms(saved, both, tmp_path, capsys):
    other = dataclasses.replace(saved[1], settings=saved[1].settings | {"n": 64})
    write(other, tmp_path / "other.json")
    assert main(["compare", both[0], str(tmp_path / "other.json")]) == 2
    assert main(["compare", *both, "-o", str(tmp_path / "x.txt")]) == 2
    err = capsys.readouterr().err.splitlines()
    assert "they differ in n (200 and 64)" in err[0]
    assert "must end in .md, .html, .json, .csv" in err[1]


@pytest.mark.parametrize(("form", "start"), [("html", "<!doc"), ("svg", "<?xml"), ("md", "## His")])
def test_history(both, tmp_path, capsys, form, start):
    path = tmp_path / f"history.{form}"
    assert main(["history", *both, "-o", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith(start)
    assert ("after.json" in text) is (form != "svg")
    assert main(["history", *both, "-o", str(tmp_path / "x.png")]) == 2
    assert "must end in .html, .svg, .md" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", '{"schema_version": "9.0"}'])
def test_errors_are_one_sentence(tmp_path, capsys, text):
    (tmp_path / "run.json").write_text(text)
    assert main(["report", str(tmp_path / "run.json")]) == 2
    assert main(["report", str(tmp_path / "missing.json")]) == 2
    err = capsys.readouterr().err.strip().splitlines()
    assert len(err) == 2
    assert "run.json: " in err[0]
