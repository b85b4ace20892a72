"""The published table, the comparison with it, and the table that is printed."""

from __future__ import annotations

import dataclasses

import pytest

from nriqm_bench import sanity
from nriqm_bench.sanity import Cell
from nriqm_bench.sanity.published import CHANCE
from nriqm_bench.sanity.published import METRICS as JUDGED


def test_the_table_has_every_cell_of_every_check():
    cells = [(check.name, cell) for check in sanity.CHECKS for cell in check.cells]
    assert sorted(sanity.PUBLISHED) == sorted(cells)
    assert len(cells) == 30
    assert all(set(row) == set(JUDGED) for row in sanity.PUBLISHED.values())


def test_the_counts_of_failures_are_the_published_totals():
    # The totals that the paper's tables have for these metrics, of 30 cells each.
    totals = {"precision": 19, "density": 12, "recall": 21, "coverage": 17}
    counted = {m: sum(row[m] == "F" for row in sanity.PUBLISHED.values()) for m in totals}
    assert counted == totals == sanity.FAILED


def test_no_metric_passed_what_none_can():
    for check in ("sphere-surface", "cube-overlap", "one-disjoint-dimension"):
        rows = [row for (name, _), row in sanity.PUBLISHED.items() if name == check]
        assert all(mark == "F" for row in rows for mark in row.values())


def cell(passed=True, on_threshold=False, reading=""):
    return Cell(passed, on_threshold, 0.01 if passed else -0.01, 0.002, reading, "what was found")


def compared(found, check="mean-difference", metric="precision", kind="fidelity", name="D1"):
    return sanity.compare(check, metric, kind, {name: found})


def test_agreement_is_silent():
    assert compared(cell()) == sanity.Comparison((), ())
    assert compared(cell(False), name="D4") == sanity.Comparison((), ())


def test_a_certain_difference_is_told():
    found = compared(cell(False))
    assert found.by_chance == ()
    (told,) = found.differ
    assert told.startswith("precision in mean-difference, D1: was F, published T; what was found")
    assert "-0.010 from the threshold, standard error 0.002" in told


def test_a_difference_on_a_threshold_is_told_apart():
    found = compared(cell(False, on_threshold=True))
    assert found.differ == ()
    assert found.by_chance[0].startswith("on a threshold: precision in mean-difference")


def test_cells_that_rare_repeats_decide_are_always_on_a_threshold():
    assert all(
        sanity.mark(check, name, metric, sanity.kinds(metric)[0]) for check, name, metric in CHANCE
    )
    assert all(0.05 < share < 0.95 for share in CHANCE.values())
    found = compared(cell(), check="mean-difference-pareto", name="D4")
    assert found.differ == ()
    assert found.by_chance[0].endswith("51% of runs fail")


def test_the_reading_counts():
    found = compared(cell(reading="low"), "spread-difference", "recall", "diversity")
    assert "was L, published H" in found.differ[0]
    same = compared(cell(reading="high"), "spread-difference", "recall", "diversity")
    assert same == sanity.Comparison((), ())


@pytest.mark.parametrize(
    ("metric", "kind"), [("clipped-density", "fidelity"), ("mine", "diversity")]
)
def test_metrics_without_a_published_column_never_differ(metric, kind):
    assert compared(cell(False), metric=metric, kind=kind) == sanity.Comparison((), ())
    assert sanity.mark("mean-difference", "D1", metric, kind) == ""


def test_a_known_metric_has_no_mark_of_the_other_kind():
    assert sanity.mark("mean-difference", "D1", "precision", "diversity") == ""


def every_cell(metric, kind, **changes):
    return [
        dataclasses.replace(entry, **changes)
        for check in sanity.CHECKS
        for entry in sanity.entries(check.name, metric, kind, {n: cell() for n in check.cells})
    ]


def test_the_table_fits_and_counts():
    columns = [(m, k) for m in sanity.METRICS for k in sanity.kinds(m)]
    lines = sanity.render(entry for m, k in columns for entry in every_cell(m, k))
    assert max(map(len, lines)) < 80
    assert sum(line.startswith("mean difference ") for line in lines) == 1
    failed = next(line for line in lines if line.startswith("failed"))
    published = next(line for line in lines if line.startswith("published"))
    assert failed.split() == ["failed"] + ["0/30"] * 6
    assert published.split() == ["published", "19/30", "12/30", "21/30", "17/30"]


def test_marks_in_the_table():
    passing = every_cell("precision", "fidelity")[:2]
    entries = [passing[0], dataclasses.replace(passing[1], on_threshold=True)]
    lines = sanity.render(entries)
    assert lines[1].split() == ["mean", "difference", "D1", "T"]
    assert lines[2].split() == ["D4", "T~!"]
    assert "published" in lines[4]


def test_metrics_of_one_s_own_come_last_in_blocks_of_six():
    entries = every_cell("precision", "fidelity")
    for name in ("mine", "a-long-name-of-a-metric", "third"):
        for kind in sanity.KINDS:
            entries += every_cell(name, kind)
    lines = sanity.render(entries)
    assert lines[0].split() == ["precision", "a-long:f", "a-long:d", "mine:f", "mine:d", "third:f"]
    second = lines[lines.index("") + 1]
    assert second.split() == ["third:d"]
    assert max(map(len, lines)) < 80
    assert sanity.render([]) == []


def test_six_columns_by_default():
    six = [(m, k) for m in sanity.METRICS for k in sanity.kinds(m)]
    assert len(six) == 6
    assert sanity.columns() == sanity.columns(["*"]) == six


def test_patterns_choose_metrics_that_the_checks_can_judge():
    assert sanity.columns(["precision", "dens*"]) == [
        ("precision", "fidelity"),
        ("density", "fidelity"),
    ]
    with pytest.raises(KeyError, match="did you mean 'precision'"):
        sanity.columns(["presision"])
    with pytest.raises(ValueError, match="metric 'fid' was fid, must be one that compares"):
        sanity.columns(["fid"])
    with pytest.raises(ValueError, match="metric 'authpct' was authpct, must be"):
        sanity.columns(["authpct"])
