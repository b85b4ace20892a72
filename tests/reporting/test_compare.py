"""Comparing two runs: what is chance, what is a regression, what is named, what is refused."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nriqm_bench.reporting import Gate, Row, Run, compared
from nriqm_bench.reporting.compare import LEVEL, SPREAD_SAME, compare, critical, within
from tests.reporting.conftest import golden

# Gates of runs that were really made; docs/statistics.md says how.
MEASURED = json.loads((Path(__file__).parent / "seeds.json").read_text(encoding="utf-8"))


def run_of(gates=(), rows=(), generator="model", key="ab", **settings):
    gates = [replace(gate, generator=generator) for gate in gates]
    return Run(
        environment={"torch": "2.12", "made": "2026-01-01T00:00:00+00:00", "code": "aa"},
        generator=[{"name": generator, "kind": "torchscript", "key": key, "describe": generator}],
        dataset={"spec": "folder:x", "key": "folder:cd", "describe": "folder:x (cd)", "size": 64},
        settings={"n": 200, "seed": 0, "extractor": ["pixels"], "metric": ["*"], "quick": False}
        | settings,
        rows=list(rows),
        gates=gates,
    )


def gate_of(name="diversity", value=8.0, sd=0.5, verdict="pass", direction="below", **given):
    given = {"interval": [value - 1.96 * sd, value + 1.96 * sd]} | given
    return Gate(
        name=name,
        metric="vendi",
        extractor="pixels",
        value=value,
        threshold=6.0,
        floor_mean=8.2,
        floor_sd=sd,
        trusted=verdict != "untrusted",
        verdict=verdict,
        reason="",
        direction=direction,
        **given,
    )


def row_of(verdict="pass", last=9.0, source="held-out", **given):
    names = {"case": "blur", "metric": "fid"} | given
    return Row(
        **names,
        experiment="A1",
        perturbation="blur",
        extractor="pixels",
        levels=[0.0, 1.0],
        values=[5.0, last],
        floor_mean=5.0,
        floor_sd=0.2,
        effect=(last - 5.0) / 0.2,
        rank=1.0,
        detection_level=None,
        noise_equivalent=None,
        expectation="degrades",
        verdict=verdict,
        reason="",
        seconds=0.0,
        source=source,
    )


def measured(one, other):
    """Two runs with the gates that were measured in both, of seeds or planted regressions."""
    fields = ("metric", "direction", "value", "interval", "threshold")
    fields += ("floor_mean", "floor_sd", "verdict")
    told = [
        {name: dict(zip(fields, gate, strict=True)) for name, gate in MEASURED[which].items()}
        for which in (one, other)
    ]
    runs = [
        run_of(
            [
                Gate(name=name, extractor="-", trusted=True, reason="", **found[name])
                for name in found
                if name in told[0] and name in told[1]
            ],
            seed=which.rpartition("@")[2],
        )
        for which, found in zip((one, other), told, strict=True)
    ]
    return runs


def words(before, after):
    (found,) = compare(before, after)
    return {change.name: change.word for change in found.gates}


numbers = st.floats(-1e3, 1e3)
gates = st.builds(
    lambda name, value, sd, width, direction, verdict: gate_of(
        name,
        value,
        sd,
        verdict,
        direction,
        interval=None if width is None else [value - width, value + width],
    ),
    st.sampled_from("abcdefg"),
    numbers,
    st.floats(1e-9, 10),
    st.none() | st.floats(0.001, 10),
    st.just("above"),
    st.sampled_from(["pass", "fail", "untrusted"]),
)
families = st.lists(gates, min_size=1, max_size=7, unique_by=lambda gate: gate.name)


@given(families, families)
def test_there_and_back_is_the_same_difference_with_the_other_sign(one, other):
    (there,), (back,) = compare(run_of(one), run_of(other)), compare(run_of(other), run_of(one))
    opposite = {"regression": "improvement", "improvement": "regression", "gone": "new"}
    for a, b in zip(there.gates, back.gates, strict=True):
        assert (a.name, a.before, a.after) == (b.name, b.after, b.before)
        if a.effect is not None:
            assert a.effect == pytest.approx(-b.effect)
            assert (a.low, a.high) == pytest.approx((-b.high, -b.low))
            assert b.word == opposite.get(a.word, a.word)


@given(families)
def test_a_run_against_itself_is_no_change(family):
    (found,) = compare(run_of(family), run_of(family))
    assert not found.regressed
    assert all(c.effect == 0 and c.word in ("within chance", "undecided") for c in found.gates)


@given(families, families)
def test_no_scale_is_finer_than_the_value_is_known(one, other):
    (found,) = compare(run_of(one), run_of(other))
    known = {gate.name: gate for gate in one}
    for change in found.gates:
        if change.effect is not None and (interval := known[change.name].interval) is not None:
            half = (interval[1] - interval[0]) / 2
            moved = abs(change.after - change.before)
            assert abs(change.effect) <= moved / (half / 1.96 / math.sqrt(2)) * (1 + 1e-9)


@pytest.mark.parametrize(("share", "word"), [(0.005, "within chance"), (0.1, "regression")])
def test_the_first_match_is_no_alarm_and_the_twentieth_is(share, word):
    """Where no real image matches, the floor is 0 +- 1e-9."""
    interval = {0.0: [0.0, 0.0188], 0.005: [0.00088, 0.0278], 0.1: [0.0657, 0.149]}
    none, some = (
        gate_of("memorisation-disguised", v, 1e-9, direction="above", interval=interval[v])
        for v in (0.0, share)
    )
    assert words(run_of([none]), run_of([some])) == {"memorisation-disguised": word}


def test_a_floor_without_spread_counts_whole_images():
    one, other = (gate_of("x", v, 0.0, direction="above", interval=None) for v in (0.0, 0.01))
    (found,) = compare(run_of([one]), run_of([other]))
    assert found.gates[0].effect == pytest.approx(0.01 * 200)


def test_failing_by_chance_is_told_and_is_no_regression():
    before, after = gate_of(value=6.01), gate_of(value=5.99, verdict="fail")
    assert words(run_of([before]), run_of([after])) == {"diversity": "flipped"}
    (found,) = compare(run_of([before]), run_of([after]))
    assert not found.regressed
    assert "chance, pass -> fail" in compared.text([found])


def test_worse_is_worse_on_either_side():
    down, up = gate_of("x", 4.0), gate_of("x", 4.0, direction="above")
    base, other = gate_of("x", 8.0), gate_of("x", 8.0, direction="above")
    assert words(run_of([base]), run_of([down])) == {"x": "regression"}
    assert words(run_of([other]), run_of([up])) == {"x": "improvement"}


def test_the_more_gates_the_more_one_must_differ():
    """Holm: 3 SD of chance are a regression of one gate, and may happen to one of nine."""
    worse = gate_of(value=8.0 - 3.0 * SPREAD_SAME * math.sqrt(2) * 0.5)
    others = [gate_of(f"gate-{i}") for i in range(8)]
    assert critical(1) < 3 < critical(9)
    assert words(run_of([gate_of()]), run_of([worse]))["diversity"] == "regression"
    found = words(run_of([gate_of(), *others]), run_of([worse, *others]))
    assert set(found.values()) == {"within chance"}


def test_gates_that_do_not_decide_are_told_apart():
    before = [gate_of("gone"), gate_of("lost", verdict="untrusted"), gate_of("doubted")]
    after = [gate_of("new"), gate_of("doubted", value=1.0, verdict="untrusted")]
    (found,) = compare(run_of(before), run_of(after))
    told = {c.name: c.word for c in found.gates}
    assert told == {"gone": "gone", "lost": "undecided", "doubted": "undecided", "new": "new"}
    assert [c.name for c in found.gates if c.regressed] == ["gone"]
    bad, why = compared.verdict([found])
    assert bad
    assert why == "REGRESSION: gone (it decided before, and is not judged any more)"


def test_no_number_is_no_difference():
    none = replace(gate_of(), value=None, interval=None)
    assert words(run_of([none]), run_of([gate_of()])) == {"diversity": "undecided"}
    assert "-" in compared.text(compare(run_of([gate_of()]), run_of([none])))


def test_the_regression_gate_is_not_compared():
    both = run_of([gate_of("regression", 0.0), gate_of()])
    assert words(both, both) == {"diversity": "within chance"}


@pytest.mark.parametrize(
    ("after", "key", "word"),
    [
        (row_of("fail", 5.1), "ab", "regression"),
        (row_of("fail", 8.5), "ab", "flipped"),
        (row_of("error"), "ab", "regression"),
        (row_of("blind (known)", 5.1), "ab", "flipped"),
        (row_of("fail", 5.1), "other", "regression"),
        (row_of("fail", 5.1, "model"), "ab", "regression"),
        (row_of("fail", 5.1, "model"), "other", "flipped"),
        (row_of("error", 5.1, "model"), "other", "regression"),
    ],
)
def test_a_metric_that_sees_less_or_breaks(after, key, word):
    """On another generator's images it may well see less: that is no step back of either."""
    before = run_of([], [row_of(source=after.source)])
    (found,) = compare(before, run_of([], [after], key=key))
    assert [row.word for row in found.rows] == [word]
    assert found.regressed is (word == "regression")


def test_rows_that_got_better_or_vanished_are_told():
    rows = [row_of("fail"), row_of(case="gamma"), row_of(case="gamma", metric="kid")]
    (found,) = compare(run_of([], rows), run_of([], [row_of()]))
    assert [row.word for row in found.rows] == ["flipped"]
    assert found.vanished == ["gamma (fid, kid)"]
    assert not found.regressed
    assert "not run any more: gamma (fid, kid)" in compared.text([found])


def test_a_floor_that_is_rounding_is_no_scale_for_a_row():
    before, after = replace(row_of(), floor_sd=1e-9), replace(row_of("fail", 5.1), floor_sd=1e-9)
    (found,) = compare(run_of([], [before]), run_of([], [after]))
    assert not found.regressed


def test_other_data_and_settings_are_named_in_one_sentence():
    other = run_of(n=64, extractor=["pixels", "x"], quick=True, metric=["fid"])
    other = replace(other, dataset={"key": "x", "spec": "brats:y", "size": 32})
    with pytest.raises(ValueError, match="cannot be compared") as error:
        compare(run_of(), other)
    assert str(error.value) == (
        "the runs cannot be compared: they differ in dataset (folder:x (cd) and brats:y), "
        "n (200 and 64), extractor (pixels and pixels, x), quick (False and True), "
        "metric (* and fid), size of the images (64 and 32); make one of them again with what the "
        "other was made with"
    )


def test_what_may_have_moved_a_number_is_named():
    before = run_of(seed=1, extractor_keys={"pixels": "1", "gone": "2"})
    after = replace(
        run_of(seed=2, extractor_keys={"pixels": "3"}),
        environment={"torch": "2.13", "made": "2026-02-02T00:00:00+00:00", "code": "bb"},
        schema_version="1.9",
    )
    (found,) = compare(before, after)
    told = "\n".join(found.named)
    assert "seed (1 and 2)" in told
    assert "torch (2.12 and 2.13)" in told
    assert "code (aa and bb)" in told
    assert "weights of pixels (1 and 3)" in told
    assert "schema version" in told
    assert "2026" not in told
    assert compare(before, before)[0].named == []


def several(*names):
    parts = [run_of([gate_of(value=8.0 - i)], [row_of(source=n)], n) for i, n in enumerate(names)]
    return replace(
        parts[0],
        generator=[g for part in parts for g in part.generator],
        gates=[g for part in parts for g in part.gates],
        rows=[row_of(), *(r for part in parts for r in part.rows)],
    )


def test_generators_are_compared_by_name_and_alone_whatever_their_names():
    assert [one.title for one in compare(run_of(), run_of(generator="b"))] == ["model -> b"]
    found = compare(several("a", "b", "c"), several("c", "a", "d"))
    assert [one.title for one in found] == ["c", "a"]
    assert [one.gates[0].effect for one in found] == pytest.approx([-4.0, 2.0])
    assert {"b is in one run only", "d is in one run only"} <= {*found[0].named}
    # Rows of real images belong to the run: they are compared once.
    assert [one.compared_rows for one in found] == [2, 1]
    with pytest.raises(ValueError, match=r"no generator in common \(a, b and model\)"):
        compare(several("a", "b"), run_of())


def test_runs_of_real_images_alone_are_compared_too():
    real = [replace(run_of([], [row_of(verdict)]), generator=[]) for verdict in ("pass", "error")]
    (found,) = compare(*real)
    assert found.title == "held-out"
    assert found.regressed


def test_every_generator_of_a_run_against_its_first():
    found = within(several("a", "b", "c"))
    assert [one.title for one in found] == ["a -> b", "a -> c"]
    assert [one.gates[0].effect for one in found] == pytest.approx([2.0, 4.0])
    with pytest.raises(ValueError, match="has 1 generator, must have two or more"):
        within(run_of())


def test_dice_is_told_in_its_own_unit(tested):
    (found,) = compare(tested, tested)
    assert [c.name for c in found.downstream] == ["dice", "dice ratio"]
    lost = found.downstream[0]
    assert (lost.effect, lost.word) == (0.0, "")
    # Half widths of .048 and .042 on either side of .698, twice, are independent.
    assert lost.high == pytest.approx(math.sqrt(2) * (0.74 - 0.65) / 2)


SEEDS = sorted((name for name in MEASURED if name.isdigit()), key=int)


def test_a_rerun_with_another_seed_is_no_regression():
    """Against the first, and of all pairs: the stated false alarm is that of one comparison."""
    assert len(SEEDS) == 21
    again = [compare(*measured(SEEDS[0], seed))[0].regressed for seed in SEEDS[1:]]
    assert again.count(False) >= 19
    pairs = [(a, b) for a in SEEDS for b in SEEDS if a != b]
    alarms = [pair for pair in pairs if compare(*measured(*pair))[0].regressed]
    assert len(alarms) <= LEVEL * len(pairs), alarms


def test_other_samples_for_the_same_images_are_no_regression():
    others = [name for name in MEASURED if name.startswith("other")]
    assert len(others) >= 5
    assert not any(compare(*measured("1", name))[0].regressed for name in others)


# Damage that was done to the samples, and gates that see it, each in every run.
PLANTED = {
    "memoriser": "memorisation memorisation-disguised memorisation-pixels diversity fidelity sites",
    "copies20": "memorisation-disguised",
    "copies10": "memorisation-disguised",
    "blur1": "fidelity",
    "noise05": "fidelity",
    "noise10": "fidelity",
    "quarter": "fidelity",
    "tenth": "fidelity diversity anatomy-distribution",
}


@pytest.mark.parametrize(("name", "gates"), PLANTED.items())
def test_a_planted_regression_is_caught(name, gates):
    runs = [run for run in MEASURED if run.startswith(f"{name}@")]
    assert runs
    for run in runs:
        seed = run.rpartition("@")[2]
        (found,) = compare(*measured(seed, run))
        assert set(gates.split()) <= {c.name for c in found.gates if c.word == "regression"}, run


def test_other_seeds_are_told_less_surely():
    runs = [run_of([gate_of()]), run_of([gate_of(value=7.0)]), run_of([gate_of(value=7.0)], seed=1)]
    (same,), (other,) = compare(*runs[:2]), compare(runs[0], runs[2])
    assert same.gates[0].effect == other.gates[0].effect
    assert other.gates[0].low < same.gates[0].low
    assert "other seeds mean other images" in compared.text([other])


@pytest.fixture
def pair(run, tested):
    """A baseline, and a run that is worse in some ways."""
    gates = [
        replace(g, value=6.1, interval=[5.6, 6.6], verdict="fail") if g.name == "diversity" else g
        for g in run.gates
    ]
    rows = [
        replace(r, verdict="pass") if r.verdict == "fail" else replace(r, verdict="error")
        for r in run.rows
        if r.metric in ("density", "fid") and r.source == "held-out"
    ]
    after = replace(tested, gates=gates, rows=rows, settings=run.settings | {"seed": 1})
    return compare(tested, after)


@pytest.mark.parametrize("unicode", [True, False])
def test_the_table_is_as_it_was_looked_at(pair, unicode):
    text = compared.text(pair, unicode=unicode)
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii() is not unicode
    golden(f"compare_80_{'utf8' if unicode else 'ascii'}.txt", text.splitlines())


def test_markdown_is_as_it_was_looked_at(pair):
    golden("compare.md", compared.markdown(pair).splitlines())


def test_programs_read_the_same(pair):
    told = json.loads(compared.as_json(pair))
    (one,) = told["comparisons"]
    assert one["regressed"] is True
    rows = list(csv.DictReader(io.StringIO(compared.as_csv(pair))))
    gates = {r["name"]: r for r in rows if r["what"] == "gate"}
    for change in one["gates"]:
        assert gates[change["name"]]["word"] == change["word"]
        assert gates[change["name"]]["effect"] == str(change["effect"])
    assert {r["what"] for r in rows} == {"gate", "row", "downstream"}


def test_html_says_what_the_text_says(pair):
    page = compared.html(pair)
    assert page.startswith("<!doctype html>")
    assert "✗ REGRESSION" in page
    assert '<th scope="row">diversity</th>' in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_names_are_no_markup(pair):
    odd = [replace(pair[0], after="<b>|x</b>")]
    assert "<b>" not in compared.html(odd)
    assert "<b>" not in compared.markdown(odd)
