"""The regression gate: a worse gate fails it, chance does not, and other runs are refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from nriqm_bench import Lab, Settings, gates
from nriqm_bench.gates import regression
from nriqm_bench.reporting import from_json, to_json
from nriqm_bench.reporting.compare import compare, critical
from nriqm_bench.settings import SettingsError

N = 24
JUDGED = ("fidelity", "memorisation", "diversity")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("regression")
    rng = np.random.default_rng(0)
    parts = ["train"] * N + ["reference"] * N + ["held-out"] * N
    np.savez(folder / "data.npz", images=rng.random((3 * N, 1, 24, 24), np.float32), part=parts)
    np.savez(folder / "model.npz", images=rng.random((N, 1, 24, 24), np.float32))
    return folder


@pytest.fixture
def opened(data):
    def opened(**given):
        settings = {
            "generator": (str(data / "model.npz"),),
            "dataset": f"npz:{data / 'data.npz'}",
            "extractor": ("pixels",),
            "metric": ("fid", "train-share", "vendi"),
            "n": N,
            "cache": str(data / "cache"),
        }
        return Lab.open(Settings(**(settings | given)))

    return opened


@pytest.fixture
def baseline(opened, tmp_path):
    """A run whose gates were better than now by `by` floor SD."""

    def baseline(by=0.0, names=JUDGED, **changes):
        lab = opened()
        found = [gates.judge(lab, "model", n) for n in names]
        better = [
            dataclasses.replace(
                g, value=g.value - (by if g.direction == "above" else -by) * g.floor_sd
            )
            for g in found
        ]
        path = tmp_path / "before.json"
        path.write_text(to_json(dataclasses.replace(lab.run([], better), **changes)))
        return str(path)

    return baseline


def test_without_a_baseline_there_is_nothing_to_compare_with(opened, tmp_path):
    told = gates.unreadable(opened(), "model", "regression")
    assert told == "no baseline yet: no --nriqm-baseline RUN.json was given"
    path = tmp_path / "none.json"
    lab = opened(baseline=str(path))
    told = f"no baseline yet: {path} does not exist"
    assert gates.unreadable(lab, "model", "regression") == told
    assert lab.notes.count(told) == 1


@pytest.mark.parametrize("by", [0.0, 3.0, 20.0])
def test_the_gate_says_what_comparing_the_runs_says(opened, baseline, by):
    path = baseline(by)
    lab = opened(baseline=path)
    assert gates.unreadable(lab, "model", "regression") == ""
    gate = gates.judge(lab, "model", "regression")
    now = lab.run([], [gates.judge(lab, "model", name) for name in JUDGED])
    (found,) = compare(from_json(Path(path).read_text()), now)
    assert (gate.verdict == "fail") is found.regressed is (by == 20)
    assert gate.value == pytest.approx(max(c.z for c in found.gates if c.word != "undecided"))
    assert gate.threshold == pytest.approx(critical(3))
    assert gate.floor_sd == pytest.approx(1)


def test_what_is_worse_is_named_with_its_difference_and_interval(opened, baseline):
    reason = gates.judge(opened(baseline=baseline(20)), "model", "regression").reason
    assert reason.startswith("of 3 gates 3 regressed against the baseline: ")
    assert "diversity (" in reason
    assert "worse by +20 floor SD, 95 % +17 to +23)" in reason
    assert reason.endswith("the limit is 2.713")


def test_an_improvement_is_no_regression(opened, baseline):
    gate = gates.judge(opened(baseline=baseline(-20)), "model", "regression")
    assert gate.verdict == "pass"
    assert "none regressed against the baseline; most of all" in gate.reason


def test_a_gate_that_is_not_judged_any_more_fails(opened, baseline):
    limited = opened(gates=(("fid", 100.0),))
    gone = gates.judge(limited, "model", "limit-fid")
    path = baseline()
    found = json.loads(Path(path).read_text())
    decided = dataclasses.replace(gone, verdict="pass").to_dict()
    Path(path).write_text(json.dumps(found | {"gates": [*found["gates"], decided]}))
    gate = gates.judge(opened(baseline=path), "model", "regression")
    assert gate.verdict == "fail"
    assert gate.value == regression.GONE
    assert "limit-fid (it decided before, and is not judged any more)" in gate.reason


def test_the_user_sets_how_much_worse_is_too_much(opened, baseline):
    lab = opened(baseline=baseline(20), gates=(("regression", 30.0),))
    assert gates.judge(lab, "model", "regression").verdict == "pass"


def test_a_run_of_other_data_or_settings_is_refused(opened, baseline):
    other = baseline()
    with pytest.raises(SettingsError, match=r"of no use: .*differ in n \(24 and 20\)"):
        opened(baseline=other, n=20)
    with pytest.raises(SettingsError, match=r"they differ in dataset"):
        opened(baseline=baseline(dataset={"key": "x", "spec": "other", "size": 24}))


@pytest.mark.parametrize(
    ("text", "told"),
    [("{", "no JSON"), ("{}", "no schema_version"), ('{"schema_version": "9.0"}', "version 9.0")],
)
def test_what_is_no_run_is_refused_in_one_sentence(opened, tmp_path, text, told):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=rf"run.json is of no use: .*{told}"):
        opened(baseline=str(path))
    with pytest.raises(SettingsError, match="of no use: Is a directory"):
        opened(baseline=str(tmp_path))


def test_the_file_is_read_once(opened, baseline):
    path = baseline()
    lab = opened(baseline=path)
    Path(path).write_text("{")
    assert gates.judge(lab, "model", "regression").verdict == "pass"


def test_a_baseline_of_another_generator_is_told(opened, baseline, data):
    two = (str(data / "model.npz"), str(data / "model.npz"))
    lab = opened(baseline=baseline(), generator=two)
    assert gates.unreadable(lab, "model", "regression") == ""
    assert gates.unreadable(lab, "model-2", "regression").endswith("has no gate of model-2")
