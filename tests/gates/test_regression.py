"""The regression gate: a worse gate fails it, chance does not, and other runs are refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nriqm_bench import Lab, Settings, gates
from nriqm_bench.reporting import to_json
from nriqm_bench.reporting.compare import REGRESSION
from nriqm_bench.settings import SettingsError

N = 24


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

    def baseline(by=0.0, **changes):
        lab = opened()
        found = [gates.judge(lab, "model", n) for n in ("fidelity", "memorisation", "diversity")]
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


def test_without_a_baseline_there_is_nothing_to_compare_with(opened):
    assert gates.unreadable(opened(), "model", "regression").startswith("no --nriqm-baseline")


@pytest.mark.parametrize(("by", "verdict"), [(0.0, "pass"), (4.0, "pass"), (4.5, "fail")])
def test_a_worsening_beyond_the_difference_of_two_draws_fails(opened, baseline, by, verdict):
    lab = opened(baseline=baseline(by))
    assert gates.unreadable(lab, "model", "regression") == ""
    gate = gates.judge(lab, "model", "regression")
    assert gate.verdict == verdict, gate.reason
    assert gate.value == pytest.approx(by, abs=1e-6)
    assert gate.threshold == pytest.approx(3 * np.sqrt(2)) == REGRESSION
    assert gate.floor_sd == pytest.approx(np.sqrt(2))


def test_the_worst_gate_is_named(opened, baseline):
    reason = gates.judge(opened(baseline=baseline(9)), "model", "regression").reason
    assert "of 3 gates 3 are worse than in the baseline" in reason
    assert "+9.0 floor SD" in reason


def test_an_improvement_is_no_regression(opened, baseline):
    assert gates.judge(opened(baseline=baseline(-9)), "model", "regression").verdict == "pass"


def test_the_user_sets_how_much_worse_is_too_much(opened, baseline):
    lab = opened(baseline=baseline(4.5), gates=(("regression", 6.0),))
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
    with pytest.raises(SettingsError, match="No such file"):
        opened(baseline=str(tmp_path / "none.json"))


def test_a_baseline_of_another_generator_is_told(opened, baseline, data):
    two = (str(data / "model.npz"), str(data / "model.npz"))
    lab = opened(baseline=baseline(), generator=two)
    assert gates.unreadable(lab, "model-2", "regression").endswith("has no gate of model-2")
