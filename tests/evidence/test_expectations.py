"""Each expectation clause by clause: a curve that meets it, one that does not, the sentence."""

from __future__ import annotations

import re

import pytest

from nriqm_bench.evidence import (
    Curve,
    Expectation,
    Floor,
    Verdict,
    bell,
    converges,
    degrades,
    flat,
    improves,
    linear,
    not_better,
    unspecified,
)

LEVELS = (0.0, 0.01, 0.05, 0.1, 0.2)

# The floor of all curves here has mean 0 and SD 1, so that values are effects.
FLOOR = Floor((-1.0, 0.0, 1.0))


def curve(values, higher_is_better=False):
    return Curve(LEVELS[: len(values)], tuple(values), FLOOR, higher_is_better, "fid", "blur", "px")


def mirrored(values):
    return curve([-v for v in values], higher_is_better=True)


# Expectation, a curve that meets it, one that fails in this clause alone, and the clause.
CLAUSES = [
    (degrades(), [0, 1, 2, 3], [0, 1, 2, 2.99], "effect just short"),
    (degrades(), [0, 1, 2, 9], [0, -1, -2, -9], "effect the other way"),
    (degrades(effect=1), [0, 0.2, 0.5, 1], [0, 0.2, 0.5, 0.9], "another effect"),
    (degrades(), [0, 1, 2, 9], [0, 8, 2, 9], "rank .8"),
    (degrades(rank=0.8), [0, 8, 2, 9], [0, 9, 8, 8.5], "another rank"),
    (degrades(rank=1), [0, 1, 2, 9], [0, 1, 1, 9], "rank of a tie"),
    (degrades(), [0, 1, 1, 9], [0, 0, 0, 0], "no movement at all"),
    (degrades(rank=0.8, strictly=True), [0, 1, 2, 9], [0, 2, 1.9, 9], "a step back"),
    (degrades(strictly=True), [0, 1, 2, 9], [0, 2, 2, 9], "a step that stands still"),
    (improves(), [0, -1, -2, -3], [0, -1, -2, -2.99], "effect just short"),
    (improves(), [0, -1, -2, -9], [0, 1, 2, 9], "effect the other way"),
    (improves(effect=1), [0, -0.2, -0.5, -1], [0, -0.2, -0.5, -0.9], "another effect"),
    (improves(), [0, -1, -2, -9], [0, -8, -2, -9], "rank .8"),
    (improves(rank=0.8), [0, -8, -2, -9], [0, -9, -8, -8.5], "another rank"),
    (flat(), [0, 1.35, -1.35, 0], [0, 1.36, 0, 0], "a level in between is worse"),
    (flat(), [0, 0, 0, -1.35], [0, 0, 0, -1.36], "the last is better"),
    (flat(within=10), [0, 8.35, 0, 0], [0, -8.36, 0, 0], "another width"),
    (not_better(), [0, 9, -2.99, 0], [0, 9, -3, 9], "a level in between improves"),
    (not_better(effect=1), [0, 0, 0, -0.9], [0, 0, 0, -1], "another effect"),
    (converges(5, 0.5), [0, 9, 9, 5.5], [5, 5, 5, 5.51], "the last is above"),
    (converges(5, 0.5), [0, 9, 9, 4.5], [5, 5, 5, 4.49], "the last is below"),
    (linear(), [7, 7.1, 7.5, 8], [0, 1, 0, 1], "no line"),
    (bell(), [0, -1, -3, -1, 0], [0, -1, -2.99, -1, 0], "both ends too low"),
    (bell(), [0, -1, -3, -1, 0], [0, -1, -3, -1, -0.01], "the right end too low"),
    (bell(), [0, -1, -3, -1, 0], [0, 1, 0.5, 3, 9], "the left end too low"),
    (bell(), [0, -5.5, -4, -5.5, 0], [0, -5.6, -4, -1, 0], "best beside the centre"),
    (bell(rise=1), [0, -0.5, -1, -0.5, 0], [0, -0.5, -0.9, -0.5, 0], "another rise"),
    (bell(rise=8), [0, -12, -8, -4, 0], [0, -12.1, -8, -4, 0], "the overshoot of another rise"),
]


@pytest.mark.parametrize(
    ("expectation", "good", "bad"),
    [pytest.param(*row[:3], id=f"{row[0]}, {row[3]}") for row in CLAUSES],
)
def test_each_clause_decides(expectation, good, bad):
    for values, met in ((good, True), (bad, False)):
        verdict = expectation.judge(curve(values))
        assert isinstance(verdict, Verdict)
        assert verdict.met is met, verdict.sentence


DIRECTED = [row for row in CLAUSES if not str(row[0]).startswith("converges")]


@pytest.mark.parametrize(
    ("expectation", "good", "bad"),
    [pytest.param(*row[:3], id=f"{row[0]}, {row[3]}") for row in DIRECTED],
)
def test_each_clause_follows_the_metric_s_direction(expectation, good, bad):
    assert expectation.judge(mirrored(good))
    assert not expectation.judge(mirrored(bad))


def sentence(expectation, values):
    return str(expectation.judge(curve(values)))


@pytest.mark.parametrize(
    ("expectation", "values", "told"),
    [
        (
            degrades(),
            [0, 2, 1, 2.5],
            "fid under blur 0 to 0.1 px worsened by 2.50 floor SD with rank correlation 0.80, "
            "must be >= 3 and >= 0.9",
        ),
        (
            degrades(),
            [5, 5, 5],
            "fid under blur 0 to 0.05 px worsened by 0.00 floor SD with rank correlation 0.00, "
            "must be >= 3 and >= 0.9",
        ),
        (
            improves(2, 0.5),
            [0, 2, 3, 4],
            "fid under blur 0 to 0.1 px improved by -4.00 floor SD with rank correlation -1.00, "
            "must be >= 2 and >= 0.5",
        ),
        (
            degrades(rank=0.5, strictly=True),
            [0, 2, 1.25, 9],
            "fid under blur 0 to 0.1 px worsened by -0.75 floor SD in the step to level 0.05, "
            "must worsen at every step",
        ),
        (
            degrades(rank=0.5, strictly=True),
            [0, 2, 2, 9],
            "fid under blur 0 to 0.1 px worsened by 0 floor SD in the step to level 0.05, "
            "must worsen at every step",
        ),
        (
            flat(),
            [0, 1, -2.5, 0],
            "fid under blur 0 to 0.1 px moved by at most -2.50 floor SD (at level 0.05), must be "
            "shown to stay within 3: at most 1.35",
        ),
        (
            not_better(),
            [0, 1, -4.25, 0],
            "fid under blur 0 to 0.1 px improved by at most 4.25 floor SD (at level 0.05), must "
            "improve by less than 3",
        ),
        (
            not_better(),
            [0, 1, 2],
            "fid under blur 0 to 0.05 px improved by at most 0.00 floor SD (at level 0), must "
            "improve by less than 3",
        ),
        (
            bell(),
            [0, -6, -4, 0, -3],
            "fid under blur 0 to 0.2 px worsened from the centre by 4.00 and 1.00 floor SD, both "
            "must be >= 3, and was better than there by at most 2.00, must be <= 1.5",
        ),
        (
            converges(5, 0.5),
            [0, 1, 2, 6.25],
            "fid under blur 0 to 0.1 px ended at 6.25, must be 5 +- 0.5",
        ),
        (
            unspecified("repeats are no copies"),
            [0, 1, 2, 6],
            "fid under blur 0 to 0.1 px moved by +6.0 floor SD: repeats are no copies",
        ),
    ],
)
def test_the_sentence_holds_the_numbers(expectation, values, told):
    assert sentence(expectation, values) == told


def test_an_effect_just_short_does_not_read_as_enough():
    assert "worsened by 2.96 floor SD" in sentence(degrades(), [0, 1, 2, 2.96])


def test_r_squared_by_hand():
    # The line of least squares through (0, 0), (1, 0), (2, 3) is -.5 + 1.5 x: residuals .5 -1 .5
    # with sum of squares 1.5 of 6 about the mean: R2 = .75.
    found = Curve((0, 1, 2), (0, 0, 3), FLOOR, False)
    assert "fits a line with R2 0.750, must be >= 0.9" in str(found.linear())
    assert not found.linear()
    assert not found.linear(r2=0.7501)
    assert found.linear(r2=0.7499)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, -7e5])
def test_a_constant_is_a_line(constant):
    # Of three .1 the mean is not .1 in floating point.
    for n in (2, 3, 4, 5):
        assert curve([constant] * n).linear(r2=1)


def test_flat_is_an_equivalence_test():
    with pytest.raises(ValueError, match=r"^within was 1.645, must exceed 1.645 floor SD"):
        flat(within=1.645)
    assert flat(within=1.65).judge(curve([0, 0]))


def test_unspecified_demands_nothing_but_a_reason():
    expectation = unspecified("noise reads as diversity")
    for values in ([0, 99], [0, -99], [0, 0]):
        assert expectation.judge(curve(values))
    assert expectation.reason == "noise reads as diversity"
    assert not expectation.specified
    for reason in ("", "  "):
        with pytest.raises(ValueError, match=r"^unspecified\(\) needs a reason"):
            unspecified(reason)


@pytest.mark.parametrize(
    ("expectation", "text"),
    [
        (degrades(), "degrades by 3 SD"),
        (degrades(2.5, strictly=True), "degrades by 2.5 SD, strictly"),
        (improves(4), "improves by 4 SD"),
        (flat(5), "flat within 5 SD"),
        (not_better(2), "not better by 2 SD"),
        (linear(0.8), "linear, R2 0.8"),
        (bell(2), "bell of 2 SD"),
        (converges(1, 0.05), "converges to 1 +- 0.05"),
        (unspecified("why"), "unspecified"),
    ],
)
def test_an_expectation_is_told_in_words(expectation, text):
    assert str(expectation) == text
    assert isinstance(expectation, Expectation)
    assert expectation.worsens is text.startswith("degrades")
    assert expectation.specified is (text != "unspecified")


def test_equal_demands_are_equal():
    assert degrades() == degrades()
    assert degrades(2) != degrades(3)
    assert unspecified("a") != unspecified("b")


def test_a_verdict_is_true_or_false_and_reads_as_a_sentence():
    met, missed = Verdict(True, "all is well"), Verdict(False, "it is not")
    assert met
    assert not missed
    assert str(missed) == "it is not"
    assert repr(met) == "<met: all is well>"
    assert repr(missed) == "<not met: it is not>"


FAILING = [
    ("degrades", {}, [0, -1, -2, -123.4]),
    ("degrades", {"rank": 0.5, "strictly": True}, [0, 123.4, 99.9, 987.6]),
    ("improves", {}, [0, 1, 2, 123.4]),
    ("flat", {}, [0, 1, 2, -123.4]),
    ("not_better", {}, [0, 1, 2, -123.4]),
    ("linear", {}, [0, 1, 0, 1]),
    ("bell", {}, [0, -123.4, 123.4, 0]),
    ("converges", {"to": 0.123456, "within": 0.001}, [0, 1, 2, 123.4]),
]
LONG = ("clipped-coverage", "internal-duplication", "of the images")


def test_assert_in_a_pytest_run_prints_each_sentence_whole(pytester):
    tests = [
        f"def test_{i}():\n"
        f"    curve = Curve((0.0, 0.01, 0.05, 0.1), {values}, FLOOR, False, *{LONG})\n"
        f"    assert curve.{name}(**{arguments})\n"
        for i, (name, arguments, values) in enumerate(FAILING)
    ]
    pytester.makepyfile(
        "from nriqm_bench.evidence import Curve, Floor\n"
        "FLOOR = Floor((-1.0, 0.0, 1.0))\n" + "\n".join(tests)
    )
    result = pytester.runpytest_inprocess("-p", "no:randomly", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=len(FAILING))
    printed = [
        found.group(1)
        for line in result.outlines
        if (found := re.fullmatch(r"E +(?:AssertionError: )?assert <not met: (.*)>", line))
    ]
    for told, (name, arguments, values) in zip(printed, FAILING, strict=True):
        verdict = getattr(Curve(LEVELS[:4], tuple(values), FLOOR, False, *LONG), name)(**arguments)
        assert not verdict
        assert told == str(verdict)


def test_assert_in_a_pytest_run_passes_in_silence(pytester):
    pytester.makepyfile(
        """
        from nriqm_bench.evidence import Curve, Floor

        def test_it():
            curve = Curve((0, 1, 2), (0, 2, 9), Floor((-1, 0, 1)), higher_is_better=False)
            assert curve.degrades(strictly=True)
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
