"""From curves to cells: readings, thresholds, parts that are missing."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import sanity
from nriqm_bench.sanity import Check, Criterion, Part, Sweep, criteria, judging

LEVELS = (0.0, 1.0)


def nothing(rng, level):
    return np.zeros((4, 1))


def check(*cell, parts=("a",)):
    made = tuple(Part(name, LEVELS, (0, 1), nothing, nothing) for name in parts)
    return Check("mine", "mine", "A check.", made, {"D1": cell})


def sweep(*last, first=1.0):
    return Sweep(LEVELS, np.array([[first, value] for value in last]))


def cell(of, kind="fidelity", **sweeps):
    return judging.judge(of, kind, sweeps)["D1"]


ZERO = Criterion("zero", criteria.close_to(0, 1.0))
EITHER = Criterion("either", criteria.close_to_zero_or_one(1.0), ("diversity",))


def test_the_mean_of_the_repeats_decides():
    found = cell(check(ZERO), a=sweep(0.0, 0.0, 0.12))
    assert found.passed
    assert found.mark == "T"
    assert found.margin == pytest.approx(0.01)
    assert not cell(check(ZERO), a=sweep(0.0, 0.0, 0.18)).passed


def test_the_error_is_that_of_the_mean():
    values = np.array([0.10, 0.13, 0.19, 0.11])
    found = cell(check(ZERO), a=sweep(*values))
    assert found.error == pytest.approx(values.std(ddof=1) / 2)


def test_a_cell_is_on_a_threshold_within_three_standard_errors():
    spread = np.array([-0.01, 0.0, 0.01])
    error = 0.01 / np.sqrt(3)
    for room, near in ((2.9, True), (3.1, False), (-2.9, True), (-3.1, False)):
        found = cell(check(ZERO), a=sweep(*(0.05 - room * error + spread)))
        assert found.on_threshold == near
        assert found.passed == (room > 0)


def test_one_repeat_is_never_sure():
    found = cell(check(ZERO), a=sweep(0.0))
    assert found.passed
    assert found.on_threshold
    assert np.isnan(found.error)


def test_all_parts_must_pass_and_the_worst_is_told():
    both = check(ZERO, parts=("a", "b"))
    found = cell(both, a=sweep(0.0, 0.0), b=sweep(0.3, 0.3))
    assert not found.passed
    assert found.sentence.startswith("b, zero: 0.300 at 1")


def test_a_certain_failure_outweighs_an_open_part():
    both = check(ZERO, parts=("a", "b"))
    open_part, failed = sweep(0.0, 0.1), sweep(0.5, 0.51)
    assert cell(both, a=open_part).on_threshold
    assert not cell(both, a=open_part, b=failed).on_threshold


def test_criteria_of_the_other_kind_and_of_other_parts_do_not_count():
    of = check(
        ZERO,
        Criterion("one", criteria.close_to(1, 1.0), ("diversity",)),
        Criterion("one in b", criteria.close_to(1, 1.0), part="b"),
    )
    assert cell(of, "fidelity", a=sweep(0.0)).passed
    assert not cell(of, "diversity", a=sweep(0.0)).passed
    assert not cell(of, "fidelity", b=sweep(0.0)).passed


@pytest.mark.parametrize(
    ("a", "b", "mark"), [(0.0, 0.0, "L"), (1.0, 1.0, "H"), (0.0, 1.0, "F"), (0.5, 0.5, "F")]
)
def test_low_in_one_part_and_high_in_another_fails(a, b, mark):
    of = check(EITHER, parts=("a", "b"))
    found = cell(of, "diversity", a=sweep(a, a), b=sweep(b, b))
    assert found.mark == mark
    assert found.passed == (mark != "F")
    assert not found.on_threshold


def test_beyond_doubt_is_a_t_test_on_three_repeats_or_more():
    of = check(ZERO)

    def outcome(*values):
        return judging.outcome(of, "D1", "fidelity", {"a": sweep(*values)})

    assert outcome(0.0, 0.0) == "open"
    assert outcome(0.0, 0.001, 0.002) == "pass"
    assert outcome(0.2, 0.201, 0.202) == "fail"
    # Room .03 and standard error .004: t = 7.5, where 2 degrees of freedom ask for 9.92 and 3 for
    # 5.84.
    wide, narrow = 0.004 * np.sqrt(3), 0.004 * np.sqrt(6)
    assert outcome(0.02 - wide, 0.02, 0.02 + wide) == "open"
    assert outcome(0.02 - narrow, 0.02, 0.02, 0.02 + narrow) == "pass"


def test_a_cell_without_a_criterion_is_an_error():
    with pytest.raises(ValueError, match="D1 of mine had no criterion for fidelity in a, must"):
        cell(check(EITHER), "fidelity", a=sweep(0.0))


def test_no_sweep_is_an_error():
    with pytest.raises(ValueError, match="sweeps were none, must be those of a part of mine"):
        judging.judge(check(ZERO), "fidelity", {})


def test_an_unknown_check_names_the_closest():
    with pytest.raises(KeyError, match="did you mean 'sphere-torus'"):
        sanity.get("sphere-tours")
