"""The gates over many runs: order, what is left out, drawings that say in words what they show."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from nriqm_bench.reporting import history


def made(run, day, value=8.4, verdict="pass", **changes):
    """The run of a day whose diversity was `value`."""
    gates = [
        replace(g, value=value, verdict=verdict) if g.name == "diversity" else g for g in run.gates
    ]
    told = run.environment | ({"made": f"2026-03-{day:02}T00:00:00+00:00"} if day else {})
    return replace(run, gates=gates, environment=told, **changes)


def values(found):
    return [gate.value for gate in found.gates["diversity"]]


def test_runs_are_ordered_by_when_they_were_made_or_else_as_given(run):
    days = [("b", made(run, 2, 2.0)), ("c", made(run, 3, 3.0)), ("a", made(run, 1, 1.0))]
    found = history.collect(days)
    assert (found.names, values(found)) == (["a", "b", "c"], [1.0, 2.0, 3.0])
    found = history.collect([*days, ("d", made(run, 0, 4.0))])
    assert values(found) == [2.0, 3.0, 1.0, 4.0]


def test_what_cannot_be_compared_with_the_last_is_left_out_by_name(run):
    other = made(run, 1, settings=run.settings | {"n": 64})
    runs = [("other", other), ("none", replace(run, gates=[])), ("b", made(run, 2)), ("c", run)]
    found = history.collect(runs)
    assert found.names == ["b", "c"]
    assert found.left_out == [
        "none was left out: it has no gates",
        "other was left out: c and it cannot be compared, they differ in n (64 and 200)",
    ]
    with pytest.raises(ValueError, match="no run has a gate"):
        history.collect([("none", replace(run, gates=[]))])


def test_a_gate_that_a_run_has_not_leaves_a_hole(run):
    fewer = replace(run, gates=[g for g in run.gates if g.name != "diversity"])
    found = history.collect([("a", made(run, 0)), ("b", fewer), ("c", made(run, 0, 9.0))])
    assert [gate and gate.value for gate in found.gates["diversity"]] == [8.4, None, 9.0]
    assert "| 2 | b | model | - |" in history.markdown(found)
    assert "over 2 runs: from 8.4 to 9" in history.html(found)


def test_several_generators_have_lines_of_their_own(run):
    two = [{"name": "model"}, {"name": "other"}]
    gates = [*run.gates, *(replace(g, generator="other") for g in run.gates)]
    found = history.collect([("a", replace(run, generator=two, gates=gates))])
    assert "other: diversity" in found.gates
    assert len(found.gates) == 6


def test_every_panel_says_in_words_what_it_shows(run):
    found = history.collect([("a", made(run, 1)), ("b", made(run, 2, 7.9, "fail"))])
    page = history.html(found)
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', page)
    assert len(labels) == len(found.gates) == 3
    assert labels[0] == (
        "diversity over 2 runs: from 8.4 to 7.9, real images 8.6 ± .26, limit &gt;= 8.1; failed in "
        "run 2"
    )
    # The table beneath has every number with its verdict.
    assert "7.9 FAIL" in page
    assert ">diversity: 7.9, fail<" in page
    assert "http" not in re.sub(r'"http://www.w3.org[^"]*"|http://www.w3.org', "", page)


def test_the_marks_of_verdicts_differ_in_shape(run):
    def paths(verdict):
        one = made(run, 1, verdict=verdict)
        one = replace(one, gates=[g for g in one.gates if g.name == "diversity"])
        drawn = history.drawing(history.collect([("a", one)]))
        found = re.findall(r'<path id="m[^"]*" d="([^"]*)"', drawn)
        return frozenset(re.sub(r"-?[\d.]+", "0", path) for path in found)

    assert len({paths(v) for v in ("pass", "fail", "untrusted")}) == 3


def test_the_drawing_is_a_file_of_its_own_for_light_and_dark(run):
    runs = [(str(i), made(run, 1 + i % 28, 8 + i % 7 / 10)) for i in range(50)]
    text = history.drawing(history.collect(runs))
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert "diversity over 50 runs" in root.get("aria-label")
    assert "prefers-color-scheme: dark" in text
    assert "#000000" not in text
    # A drawing for a page, not a file for an archive.
    assert len(text) < 400_000
