"""Each gate passes fresh real images and fails its defect; what is asked of all of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nriqm_bench import Lab, Settings, gates
from nriqm_bench.gates import fidelity

N = 96

FAMILY = tuple(spec.name for spec in gates.SPECS if spec.calibrated)
CHEAP = (*FAMILY, "fidelity")


def test_fresh_real_images_pass_every_gate(lab):
    judged = [gates.judge(lab, "perfect", name) for name in CHEAP]
    assert {g.name: g.verdict for g in judged} == dict.fromkeys(CHEAP, "pass"), [
        g.reason for g in judged if g.verdict != "pass"
    ]


@pytest.mark.parametrize(
    ("generator", "name"),
    [
        ("noisy", "fidelity"),
        ("blurry", "fidelity"),
        ("eraser", "anatomy"),
        ("eraser", "anatomy-distribution"),
        ("copier", "memorisation-disguised"),
        ("collapsed", "diversity"),
        ("one-site", "sites"),
    ],
)
def test_a_defect_fails_its_gate(lab, generator, name):
    gate = gates.judge(lab, generator, name)
    assert gate.verdict == "fail", gate.reason
    assert gate.trusted
    worse = gate.value - gate.threshold
    assert (worse > 0) == (gate.direction == "above")
    assert f"{gate.threshold:.4g}" in gate.reason


def test_the_reason_says_what_is_off(lab):
    erased = gates.judge(lab, "eraser", "anatomy-distribution")
    assert "farthest off is the presence" in erased.reason
    assert "presence" in gates.judge(lab, "eraser", "anatomy").reason
    assert "total variation" in gates.judge(lab, "one-site", "sites").reason


def test_copies_are_listed_with_the_images_that_they_match(lab):
    pairs = gates.judge(lab, "copier", "memorisation-disguised").pairs
    assert all(pair["train"] < N // 2 and pair["train_distance"] == 0 for pair in pairs)
    assert pairs[0]["train_subject"].startswith("train-0-")


def test_a_generator_wrong_in_one_way_passes_what_looks_elsewhere(lab):
    assert gates.judge(lab, "eraser", "memorisation-disguised").verdict == "pass"
    assert gates.judge(lab, "noisy", "sites").verdict == "pass"
    assert gates.judge(lab, "collapsed", "fidelity").verdict == "pass"


def test_gates_look_at_the_masks_that_are_found_and_not_at_those_that_are_given(lab, sets):
    """The samples have no masks at all; downstream, which needs them, says so."""
    assert gates.unreadable(lab, "perfect", "anatomy") == ""
    told = gates.unreadable(lab, "perfect", "downstream")
    assert "without masks" in told


def test_holm_holds_the_family_at_its_rate(lab):
    """The gate that is farthest out is held against a share of the rate, the others against more.

    With all others at no more than their own level, the least tail is held against rate / size.
    """
    levels = gates._family(lab, "perfect")
    assert set(levels) == set(FAMILY)
    assert min(levels.values()) == pytest.approx(gates.FALSE_ALARM / len(FAMILY))
    rejected = gates._family(lab, "one-site")
    assert max(rejected.values()) > gates.FALSE_ALARM / len(FAMILY)


def test_what_is_judged_once_is_not_computed_again(lab):
    first = gates.judge(lab, "perfect", "anatomy")
    computed = lab.store.counts["computed"]
    assert gates.judge(lab, "perfect", "anatomy") == first
    assert lab.store.counts["computed"] == computed


def with_gates(lab, **limits):
    """The same run with thresholds of the user's, sharing what was computed."""
    settings = dataclasses.replace(lab.settings, gates=tuple(sorted(limits.items())))
    return Lab(settings, list(lab.generators.values()), store=lab.store)


def test_the_user_sets_the_threshold_of_a_gate(lab):
    strict = with_gates(lab, fidelity=0.0001, diversity=1.0)
    assert gates.judge(strict, "perfect", "fidelity").verdict == "fail"
    assert gates.judge(strict, "collapsed", "diversity").verdict == "pass"
    assert gates.judge(strict, "collapsed", "diversity").threshold == 1


def test_the_user_sets_a_limit_for_a_metric(lab):
    own = with_gates(lab, fid=1.0, vendi=1.0)
    assert gates.available(own)[-2:] == ("limit-fid", "limit-vendi")
    gate = gates.judge(own, "perfect", "limit-fid")
    assert (gate.verdict, gate.threshold, gate.metric) == ("fail", 1.0, "fid")
    assert gates.judge(own, "perfect", "limit-vendi").verdict == "pass"
    assert gates.judge(own, "perfect", "limit-vendi").direction == "below"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("fidelty", 0.1, r"unknown gate or metric 'fidelty'; did you mean 'fidelity'"),
        ("anatomy", 1.2, r"anatomy was 1.2, must be a number from 0 to 1"),
        ("coverage", -0.1, r"coverage was -0.1, must be a number from 0 to 1"),
        ("fidelity", float("nan"), r"fidelity was nan, must be a number"),
        ("fidelity", float("inf"), r"fidelity was inf, must be a number"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(lab, name, value, told):
    with pytest.raises(ValueError, match=rf"^\[tool.nriqm.gates\]: {told}"):
        gates.check(with_gates(lab, **{name: value}))


def test_a_metric_that_did_not_see_its_case_does_not_decide(lab, monkeypatch):
    def blind(lab, spec):
        return False, "it saw nothing"

    specs = tuple(
        dataclasses.replace(s, trial=blind) if s.name == "fidelity" else s for s in gates.SPECS
    )
    monkeypatch.setattr(gates, "SPECS", specs)
    gate = gates.judge(lab, "noisy", "fidelity")
    assert gate.verdict == "untrusted"
    assert gate.reason == "does not decide: it saw nothing"


def test_a_gate_exists_where_its_metric_was_asked_for(lab):
    alone = Lab(
        dataclasses.replace(lab.settings, metric=("vendi",)),
        list(lab.generators.values()),
        store=lab.store,
    )
    named = gates.available(alone)
    assert "diversity" in named
    assert not {"fidelity", "memorisation", "memorisation-disguised"} & set(named)


def test_masks_that_show_nothing_teach_no_segmenter(tmp_path):
    rng = np.random.default_rng(0)
    data, samples = tmp_path / "data.npz", tmp_path / "samples.npz"
    np.savez(
        data,
        images=rng.random((240, 1, 24, 24), np.float32),
        masks=np.zeros((240, 24, 24), np.uint8),
        part=["train"] * 80 + ["reference"] * 80 + ["held-out"] * 80,
    )
    np.savez(samples, images=rng.random((80, 1, 24, 24), np.float32))
    lab = Lab.open(Settings(generator=(str(samples),), dataset=f"npz:{data}", n=80, cache="off"))
    assert gates.unreadable(lab, "samples", "anatomy").endswith("and all are empty")


def test_one_limit_is_told_for_noise_and_blur(lab):
    gate = gates.judge(lab, "blurry", "fidelity")
    assert gate.threshold == fidelity.LIMIT
    assert "blur of" in gate.reason


def test_data_without_masks_or_sites_have_fewer_gates(tmp_path):
    rng = np.random.default_rng(0)
    data, samples = tmp_path / "data.npz", tmp_path / "samples.npz"
    parts = ["train"] * 24 + ["reference"] * 24 + ["held-out"] * 24
    np.savez(data, images=rng.random((72, 1, 24, 24), np.float32), part=parts)
    np.savez(samples, images=rng.random((24, 1, 24, 24), np.float32))
    lab = Lab.open(
        Settings(
            generator=(str(samples),),
            dataset=f"npz:{data}",
            extractor=("pixels",),
            metric=("fid", "train-share"),
            n=24,
            cache="off",
        )
    )
    told = {name: gates.unreadable(lab, "samples", name) for name in gates.available(lab)}
    assert told["memorisation"] == told["fidelity"] == ""
    assert "masks of the training images" in told["anatomy"]
    assert "two sites or more" in told["sites"]
    assert told["regression"] == "no baseline yet: no --nriqm-baseline RUN.json was given"
    assert gates.judge(lab, "samples", "memorisation").verdict in ("pass", "untrusted")
