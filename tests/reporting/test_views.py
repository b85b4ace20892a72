"""Terminal, Markdown and CSV: pure views that say the same."""

from __future__ import annotations

import csv
import dataclasses
import io
import re

import pytest

from nriqm_bench.reporting import Gate, csv_table, html, markdown, summary, terminal, write
from tests.reporting.conftest import golden


@pytest.fixture
def several(run):
    """Three generators: one that fails, one that passes, one of which nothing is known."""
    passes = [dataclasses.replace(g, generator="good", verdict="pass") for g in run.gates]
    unknown = [
        dataclasses.replace(g, generator="unheard-of", verdict="untrusted") for g in run.gates[:1]
    ]
    gates = sorted([*run.gates, *passes, *unknown], key=Gate.sort_key)
    return dataclasses.replace(run, gates=gates)


@pytest.mark.parametrize("unicode", [True, False], ids=["utf8", "ascii"])
@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize(
    ("name", "verbosity"), [("decision", -2), ("quiet", -1), ("normal", 0), ("verbose", 1)]
)
def test_terminal_is_as_it_was_looked_at(run, width, unicode, name, verbosity):
    lines = terminal.render(run, width, unicode, verbosity, ["run.json", "run.html"])
    assert max(map(len, lines)) <= width
    assert "\n".join(lines).isascii() or unicode
    golden(f"terminal_{width}_{'utf8' if unicode else 'ascii'}_{name}.txt", lines)


@pytest.mark.parametrize("width", [80, 140])
def test_generators_side_by_side_are_as_they_were_looked_at(several, width):
    lines = terminal.render(several, width, verbosity=-1)
    assert max(map(len, lines)) <= width
    golden(f"several_{width}.txt", lines)


@pytest.mark.parametrize(
    ("name", "options"),
    [("downstream_80.txt", {}), ("downstream_80_verbose.txt", {"verbosity": 1})],
)
def test_downstream_is_as_it_was_looked_at(tested, name, options):
    lines = terminal.render(tested, **options)
    assert max(map(len, lines)) <= 80
    start = next(i for i, line in enumerate(lines) if line.startswith("Downstream"))
    golden(name, lines[start : lines.index("Gates")])
    assert "\n".join(terminal.render(tested, unicode=False, **options)).isascii()
    quiet = terminal.render(tested, verbosity=-1)
    assert not any("Downstream" in line for line in quiet)


def test_downstream_in_every_form(tested):
    text = markdown.render(tested)
    assert "<details><summary>Downstream: U-Nets tested on 200 real images</summary>" in text
    assert "| held-out, lesion-displacement 1 | .551 | .785 | .74-.83 |" in text
    assert text.index("coverage | +1") < text.index("fid | -.33")
    assert "a random order agrees fully 1 in 6 times" in text
    found = list(csv.DictReader(io.StringIO(csv_table.render(tested))))
    dice = [r for r in found if r["metric"] == "dice_ratio"]
    assert [(r["source"], r["case"], r["value"]) for r in dice] == [
        ("held-out", "downstream", "0.994"),
        ("model", "downstream", "1.0"),
        ("held-out", "downstream lesion-displacement", "0.785"),
    ]
    taus = {(r["extractor"], r["metric"]): r["value"] for r in found if "agree" in r["case"]}
    assert taus["efficientnet-lite0", "coverage"] == "1.0"
    assert len(taus) == 3


def test_ascii_is_ascii(run):
    run = dataclasses.replace(run, notes=["façade"])
    assert "\n".join(terminal.render(run, unicode=False, verbosity=1)).isascii()


def test_failures_come_before_the_matrix_and_the_decision_last(run):
    lines = terminal.render(run)
    at = {
        word: next(i for i, line in enumerate(lines) if word in line)
        for word in ("Failed cases", "Sensitivity", "Gates", "DO NOT RELEASE")
    }
    assert list(at) == sorted(at, key=at.get)


@pytest.mark.parametrize("width", [60, 80, 100, 120, 140, 200])
def test_names_of_any_length_fit_any_width(tested, several, width):
    long = "a-name-" * 20
    rows = [dataclasses.replace(r, metric=long, extractor=long, source=long) for r in tested.rows]
    gates = [
        dataclasses.replace(g, name=long, generator=f"{g.generator}-{long}") for g in several.gates
    ]
    for found in (
        tested,
        several,
        dataclasses.replace(tested, rows=rows, gates=gates, notes=[long]),
    ):
        for verbosity in (-2, -1, 0, 1):
            lines = terminal.render(found, width, verbosity=verbosity, reports=[long])
            assert max(map(len, lines)) <= width


def test_no_line_ends_within_a_ranking(tested):
    rows = [dataclasses.replace(tested.agreement[0], metric=f"metric-{i:02}") for i in range(30)]
    lines = terminal.render(dataclasses.replace(tested, agreement=rows))
    shown = [line for line in lines if "metric-" in line]
    assert len(shown) > 3
    assert all(line.rstrip(",").endswith(" -.33") for line in shown)


def test_more_metrics_than_fit_go_on_below(run):
    rows = [dataclasses.replace(run.rows[0], metric=f"m-{i:02}") for i in range(14)]
    lines = terminal.render(dataclasses.replace(run, rows=rows))
    assert max(map(len, lines)) <= 80
    assert all(any(f"m-{i:02}" in line for line in lines) for i in range(14))


def test_matrix_leaves_out_what_nothing_is_asked_of(run):
    asked = dataclasses.replace(run.rows[0], case="asked", verdict="fail")
    rows = [asked, dataclasses.replace(asked, case="unasked", verdict="unspecified")]
    lines = terminal.render(dataclasses.replace(run, rows=rows))
    assert any(line.startswith("A1 asked") for line in lines)
    assert not any("A1 unasked" in line for line in lines)


def test_matrix_holds_one_table_a_source_and_space(run):
    found = summary.matrices(run)
    assert [(m.source, m.space) for m in found] == [
        ("held-out", "efficientnet-lite0"),
        ("held-out", "pixels"),
        ("model", "efficientnet-lite0"),
    ]
    assert found[0].labels == ["A1 blur", "N1 gaussian-noise"]
    cells = dict(zip(found[0].metrics, found[0].cells[0], strict=True))
    assert cells["density"].effect == 2.0
    assert cells["kid"] is None


@pytest.mark.parametrize(
    ("verdicts", "released", "told"),
    [
        (["pass", "pass"], True, "2 of 2 gates passed"),
        (["pass", "fail"], False, "1 of 2 gates failed: g1"),
        (["fail", "untrusted"], False, "1 of 2 gates failed: g0; untrusted: g1"),
        (["untrusted", "pass"], True, "1 of 2 gates passed; untrusted: g0"),
        (["untrusted", "untrusted"], False, "none of 2 gates could decide; untrusted: g0, g1"),
    ],
)
def test_decision(run, verdicts, released, told):
    gates = [
        dataclasses.replace(run.gates[0], name=f"g{i}", verdict=v) for i, v in enumerate(verdicts)
    ]
    ((name, found, why),) = summary.decisions(dataclasses.replace(run, gates=gates))
    assert (name, found) == ("model", released)
    # One line, in the ordinary case.
    assert len(terminal.render(dataclasses.replace(run, gates=gates), verbosity=-2)) == 1
    assert why == told


def test_without_a_generator(run):
    alone = dataclasses.replace(run, generator=[], gates=[])
    text = "\n".join(terminal.render(alone))
    assert "held-out real images stand in" in text
    assert "No generator was given" in text
    assert "RELEASE" not in text
    assert markdown.render(alone).startswith("## nriqm_bench: ")
    assert "Metrics on trial" in html.render(alone)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123456, ".0123"),
        (-0.5, "-.5"),
        (0, "0"),
        (None, "-"),
        (1234.5, "1234"),
        (2.0, "2"),
        (1e-9, "1e-09"),
        (12345678.0, "1.23e+07"),
    ],
)
def test_number(value, text):
    assert summary.number(value) == text


def test_effects_and_equivalents(run):
    assert [summary.effect(v) for v in (0.04, -2.46, 9.94, 12.4, -33.3, 1e9, -2e3)] == [
        "+0.0",
        "-2.5",
        "+9.9",
        "+12",
        "-33",
        ">+999",
        "<-999",
    ]
    at = {(r.metric, r.source): summary.as_noise(r, run) for r in run.rows}
    assert at["density", "held-out"] == ">=.2"
    assert at["fid", "model"] == ".01"
    assert at["kid", "held-out"] == "-"


def test_sparkline():
    assert terminal.sparkline([0, 1, 2], unicode=False) == "_+@"
    assert terminal.sparkline([0.0, 7.0]) == "▁█"
    assert terminal.sparkline([3.0, 3.0]) == "▁▁"


def test_markdown_is_as_it_was_looked_at(run, tested):
    golden("run.md", markdown.render(run).splitlines())
    golden("tested.md", markdown.render(tested).splitlines())


def test_markdown_fits_a_comment(run):
    rows = [
        dataclasses.replace(run.rows[0], case=f"case-{i}", metric=f"metric-{k}", extractor=space)
        for i in range(40)
        for k in range(24)
        for space in ("efficientnet-lite0", "b", "c", "d", "e", "f")
    ]
    failing = dataclasses.replace(run, rows=rows)
    passing = [dataclasses.replace(row, verdict="pass") for row in rows]
    for found in (failing, dataclasses.replace(run, rows=passing)):
        text = markdown.render(found)
        assert 30_000 < len(text) <= markdown.LIMIT
        assert "Left out, to stay below 65000 characters: Sensitivity on held-out" in text
        assert text.count("<details>") == text.count("</details>")
        assert "| memorisation |" in text
    assert re.search(r"^\d+ more, to stay below", markdown.render(failing), re.MULTILINE)
    gates = [dataclasses.replace(g, generator=f"g-{i}") for i in range(300) for g in run.gates]
    crowded = dataclasses.replace(failing, gates=gates, notes=["long " * 40] * 999)
    text = markdown.render(crowded)
    assert len(text) <= markdown.LIMIT
    assert "### Failed cases (5760)" in text
    assert "DO NOT RELEASE g-0" in text


def test_markdown_escapes_what_others_wrote(run):
    evil = "a|b <img src=x> @everyone [x](http://example.org) `c`\n# d *b* _i_ owner#12 plain_name"
    gate = dataclasses.replace(run.gates[1], name=evil, reason=evil, generator=evil)
    rows = [dataclasses.replace(run.rows[0], case=evil, reason=evil)]
    text = markdown.render(dataclasses.replace(run, gates=[gate], rows=rows, notes=[evil]))
    assert not [
        p for p in ("<img", "@e", "[x]", "`", "\n# d", "owner#12", "*b", " _i") if p in text
    ]
    # GitHub looks for names in what is shown: an entity would be shown as @.
    assert "@&#8203;everyone" in text
    assert "owner#&#8203;12" in text
    assert "plain_name" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| a&#124;b")]
    assert line.count("|") == 8


def test_csv_is_as_it_was_looked_at(tested):
    golden("run.csv", csv_table.render(tested).splitlines())


def test_csv_holds_no_formula(run):
    rows = [dataclasses.replace(run.rows[0], metric="=cmd()", source="-x", case="@y")]
    gates = [dataclasses.replace(run.gates[0], value=-1.5)]
    found = list(
        csv.DictReader(
            io.StringIO(csv_table.render(dataclasses.replace(run, rows=rows, gates=gates)))
        )
    )
    assert (found[0]["metric"], found[0]["source"], found[0]["case"]) == ("'=cmd()", "'-x", "'@y")
    # Numbers stay numbers.
    assert found[-1]["value"] == "-1.5"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("RELEASE model: 3 of 3 gates passed", {"green": True, "bold": True}),
        ("DO NOT RELEASE model: 1 of 3 gates failed: fidelity", {"red": True, "bold": True}),
        ("FAIL  blur: density on held-out", {"red": True}),
        ("fidelity  fid  .2  .007 +- .006  <= .125     FAIL", {"red": True}),
        ("note: values were clipped", {"yellow": True}),
        ("gate  metric  value", {}),
    ],
)
def test_colour_joins_words_that_say_the_same(line, told):
    assert terminal.markup(line) == told


def test_a_gates_place_between_floor_and_limit(run):
    fails, passes = run.gates[2], run.gates[0]
    assert (fails.name, passes.name) == ("memorisation", "diversity")
    drawn = terminal.position(fails, unicode=False)
    assert drawn.index("=") < drawn.index("|") < drawn.index("o")
    # The interval, and worse to the right whatever the direction of the gate.
    assert drawn[drawn.index("o") - 1] == "-"
    passes = dataclasses.replace(passes, interval=[8.3, 8.5])
    drawn = terminal.position(passes, unicode=False)
    assert drawn.index("o") < drawn.index("|")
    assert drawn[0] == "="
    near = dataclasses.replace(passes, interval=None, value=passes.threshold - 1e-9)
    drawn = terminal.position(near, unicode=False)
    assert drawn.index("|") < drawn.index("o")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_what_is_not_finite_is_shown(run, number):
    """A metric that breaks must not take the report with it; JSON turns such numbers into null."""
    rows = [dataclasses.replace(run.rows[0], values=[0.0, number], effect=number)]
    gates = [dataclasses.replace(g, value=number, floor_mean=number) for g in run.gates]
    broken = dataclasses.replace(run, rows=rows, gates=gates)
    for width in (80, 140):
        for verbosity in (0, 1):
            text = "\n".join(terminal.render(broken, width, verbosity=verbosity))
            assert "▁?" in text
    assert "| blur |" in markdown.render(broken).replace("A1 blur", "blur")
    assert csv_table.render(broken)


def test_names_of_others_do_not_steer_the_terminal(run):
    evil = "a\x1b[31m\nb\x07"
    gate = dataclasses.replace(run.gates[0], name=evil, generator=evil, reason=evil)
    rows = [dataclasses.replace(run.rows[0], case=evil, reason=evil, source=evil)]
    hostile = dataclasses.replace(run, gates=[gate], rows=rows, notes=[evil])
    for verbosity in (-2, 0, 1):
        lines = terminal.render(hostile, 80, verbosity=verbosity)
        assert all(line.isprintable() for line in lines)


def test_csv_has_one_row_a_value(run):
    found = list(csv.DictReader(io.StringIO(csv_table.render(run))))
    assert len(found) == sum(len(r.values) for r in run.rows) + len(run.gates)
    fid = [r for r in found if r["metric"] == "fid" and r["source"] == "held-out"]
    assert [(r["level"], r["value"]) for r in fid] == [
        ("0.0", "200.0"),
        ("0.05", "300.0"),
        ("0.2", "800.0"),
    ]
    assert found[-1]["case"].startswith("gate ")


def test_write_by_suffix(run, tmp_path):
    for suffix, start in (
        (".json", "{"),
        (".md", "##"),
        (".html", "<!doctype"),
        (".csv", "source"),
    ):
        path = tmp_path / "new" / f"run{suffix}"
        write(run, path)
        assert path.read_text(encoding="utf-8").startswith(start)
    assert len(list((tmp_path / "new").iterdir())) == 4
    with pytest.raises(ValueError, match=r"'.pdf', must end in .json, .md, .html, .csv"):
        write(run, tmp_path / "run.pdf")
