"""Comparing two runs."""

from __future__ import annotations

import dataclasses

import pytest

from nriqm_bench.reporting.compare import compare, render


def worse(run, by):
    gates = [
        dataclasses.replace(g, value=g.value - by * g.floor_sd, verdict=g.verdict)
        if g.name == "diversity"
        else g
        for g in run.gates
    ]
    return dataclasses.replace(run, gates=gates)


def test_equal_runs_do_not_regress(run):
    changes = compare(run, run)
    assert len(changes) == len(run.gates)
    assert not any(c.regressed for c in changes)
    assert all(c.effect == 0 for c in changes)


@pytest.mark.parametrize(("by", "regressed"), [(4.2, False), (4.3, True), (-9, False)])
def test_a_gate_regresses_by_three_sd_of_the_difference_of_two_runs(run, by, regressed):
    (change,) = (c for c in compare(run, worse(run, by)) if c.name == "diversity")
    assert change.effect == pytest.approx(by)
    assert change.regressed is regressed
    assert ("REGRESSION" in "\n".join(render([change]))) is regressed


def test_a_gate_that_fails_where_it_passed_regresses(run):
    failed = dataclasses.replace(
        run, gates=[dataclasses.replace(g, verdict="fail") for g in run.gates]
    )
    found = {c.name: c.regressed for c in compare(run, failed)}
    assert found == {"memorisation": False, "diversity": True, "fidelity": False}
    assert "pass -> fail" in "\n".join(render(compare(run, failed)))


def test_other_data_or_settings_are_named(run):
    other = dataclasses.replace(
        run, dataset=dict(run.dataset, key="x"), settings=dict(run.settings, n=64)
    )
    with pytest.raises(ValueError, match=r"dataset .* n \(200 and 64\)"):
        compare(run, other)


def test_nothing_in_common(run):
    assert render(compare(run, dataclasses.replace(run, gates=[]))) == [
        "The runs have no gate in common."
    ]
