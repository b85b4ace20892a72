"""What `check_metric` accepts and how it reports."""

from __future__ import annotations

import numpy as np
import pytest
from monai.metrics import FIDMetric, MMDMetric
from numpy.random import mtrand
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.mifid import MemorizationInformedFrechetInceptionDistance

from nriqm_bench import metrics, testing
from nriqm_bench.__main__ import main
from nriqm_bench.metrics.adapters import passthrough
from nriqm_bench.testing import (
    CheckFailed,
    CheckWarning,
    check_metric,
    checks,
    checks_for,
    why_not,
)

BLIND = {"check_spread": "it compares means", "check_dependence": "it compares means"}


def mean_gap(real, fake):
    return np.linalg.norm(real.mean(0) - fake.mean(0))


def failed(results):
    return {r.check for r in results if r.status == "failed"}


def by_check(results):
    return {r.check: r for r in results}


def test_a_registered_name_passes():
    results = check_metric("fid")
    assert [r.check for r in results] == list(checks())
    assert {r.status for r in results} == {"passed", "skipped"}


def test_what_is_skipped_says_why():
    told = by_check(check_metric("fid", on_fail="collect"))
    assert told["check_copies"].sentence == "fid does not claim to see copies"
    assert told["check_scale"].sentence == "fid claims no invariance under scale"
    assert why_not("fid", "check_scale") == told["check_scale"].sentence
    assert why_not("fid", "check_shift") == ""


def test_failures_are_raised_together():
    with pytest.raises(CheckFailed) as caught:
        check_metric(mean_gap, higher_is_better=False)
    lines = str(caught.value).splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["mean_gap", "check_spread", "failed:"],
        ["mean_gap", "check_dependence", "failed:"],
    ]
    assert issubclass(CheckFailed, AssertionError)


def test_failures_as_warnings():
    with pytest.warns(CheckWarning) as caught:
        results = check_metric(mean_gap, higher_is_better=False, on_fail="warn")
    assert len(caught) == 2
    assert {str(w.message).split()[1] for w in caught} == failed(results) == set(BLIND)


def test_expected_failures_bring_their_reason():
    results = check_metric(mean_gap, higher_is_better=False, expected_failures=BLIND)
    told = by_check(results)["check_spread"]
    assert told.status == "expected"
    assert told.sentence.startswith("it compares means (mean_gap got worse by")
    assert not failed(results)


def test_an_expected_failure_that_passes_is_reported():
    expected = {"check_shift": "it is blind"}
    with pytest.raises(CheckFailed, match="fid check_shift xpass: passed, must fail as expected"):
        check_metric("fid", expected_failures=expected)


def test_an_expected_failure_that_does_not_apply_is_reported():
    results = check_metric("fid", expected_failures={"check_scale": "units"}, on_fail="collect")
    told = by_check(results)["check_scale"]
    assert (told.status, told.ok) == ("xpass", False)
    assert "does not apply (fid claims no invariance under scale)" in told.sentence


@pytest.mark.parametrize("wrong", ["check_shfit", "shift"])
def test_an_expected_failure_that_names_no_check_is_refused(wrong):
    with pytest.raises(KeyError, match=f"unknown check {wrong!r}; did you mean 'check_shift'"):
        check_metric("fid", expected_failures={wrong: "a reason"})


@pytest.mark.parametrize("reason", ["", None, True])
def test_an_expected_failure_needs_a_reason(reason):
    with pytest.raises(ValueError, match="must be the reason in words"):
        check_metric("fid", expected_failures={"check_shift": reason})


def test_unknown_ways_to_fail_are_refused():
    with pytest.raises(ValueError, match="on_fail was 'shout', must be one of raise, warn"):
        check_metric("fid", on_fail="shout")


def test_no_direction_no_trial():
    with pytest.raises(TypeError, match="higher_is_better"):
        check_metric(mean_gap)


@pytest.mark.parametrize(
    "thing",
    [FrechetInceptionDistance, FrechetInceptionDistance(feature=passthrough(8)), FIDMetric()],
    ids=["torchmetrics class", "torchmetrics instance", "monai"],
)
def test_metrics_of_other_libraries(thing):
    # An instance is made for one width of features, and refuses the others in its own words.
    narrow = {"check_rank_deficient", "check_fewer_rows_than_columns"}
    results = check_metric(thing, higher_is_better=False, on_fail="collect")
    fixed = isinstance(thing, FrechetInceptionDistance)
    assert failed(results) == (narrow if fixed else set())


def test_a_linear_kernel_is_found_blind():
    results = check_metric(MMDMetric(), higher_is_better=False, on_fail="collect")
    assert failed(results) == {"check_unequal_sizes", "check_spread", "check_dependence"}


def test_copies_alone_are_best_for_torchmetrics_mifid():
    theirs = metrics.as_metric(MemorizationInformedFrechetInceptionDistance)

    def mifid(real, fake, *, train):
        return theirs(train, fake)

    results = check_metric(mifid, higher_is_better=False, needs_train=True, on_fail="collect")
    told = by_check(results)["check_copies"]
    assert told.status == "failed"
    assert "share of training rows copied: 1" in told.sentence


def test_options_are_those_of_the_metric():
    results = check_metric("density", options={"ties": "inclusive"}, on_fail="collect")
    assert not failed(results)
    with pytest.raises(TypeError, match="coverage has no option 'j'; its options: k, ties"):
        check_metric("coverage", options={"j": 3})


def test_an_option_reaches_the_function():
    def power(real, fake, *, power=1):
        return float("nan") if power == 2 else np.abs(real.mean(0) - fake.mean(0)).sum()

    results = check_metric(power, higher_is_better=False, options={"power": 2}, on_fail="collect")
    assert failed(results) == {"check_runs"}


def test_the_caller_s_random_numbers_go_on_as_if_nothing_had_been():
    expected = mtrand.RandomState(3).uniform(size=4)
    mtrand.seed(3)
    first = mtrand.uniform(size=2)
    check_metric("kid", on_fail="collect")
    rest = mtrand.uniform(size=2)
    assert np.concatenate([first, rest]).tolist() == expected.tolist()


def test_the_checks_of_a_stranger_are_those_of_two_samples():
    stranger = metrics.as_metric(mean_gap, higher_is_better=False)
    names = {check.__name__ for check in checks_for(stranger)}
    assert {"check_shift", "check_spread", "check_modes", "check_identity"} <= names
    assert not names & {"check_copies", "check_scale", "check_rotation", "check_symmetry"}


def test_the_checks_of_a_stranger_with_training_rows_are_copies():
    stranger = metrics.as_metric(mean_gap, higher_is_better=False, needs_train=True)
    names = {check.__name__ for check in checks_for(stranger)}
    assert "check_copies" in names
    assert not names & {"check_shift", "check_spread", "check_modes", "check_dependence"}


def test_every_check_is_an_attribute_of_the_room():
    for name, check in checks().items():
        assert getattr(testing, name) is check
        assert name in dir(testing)
        assert check.__doc__
    with pytest.raises(AttributeError, match="check_nothing"):
        _ = testing.check_nothing


def test_command(capsys):
    assert main(["check", "fid", "kid"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].startswith("fid: ")
    assert out.splitlines()[1].startswith("kid: ")
    assert "FAILED" not in out


def test_command_with_a_failure(capsys):
    assert main(["check", "monai.metrics:MMDMetric", "--lower-is-better"]) == 1
    out = capsys.readouterr().out
    assert "  FAILED check_spread" in out.splitlines()
    assert max(map(len, out.splitlines())) <= 80


def test_command_with_expected_failures_and_options(capsys):
    arguments = ["check", "coverage", "--option", "k=3", "--expect", "check_shift=a test", "-v"]
    assert main(arguments) == 1
    out = capsys.readouterr().out
    assert "  XPASS check_shift" in out.splitlines()
    assert "  passed check_runs" in out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fidd"], "did you mean 'fid'"),
        (["monai.metrics:MMDMetric"], "does not say whether higher is better"),
        (["nowhere:thing"], "nowhere:thing could not be loaded"),
        (["monai.metrics:Nothing"], "could not be loaded"),
        (["fid", "--expect", "check_shift"], "must be NAME=VALUE"),
        (["fid", "--option", "k=3"], "fid has no option 'k'"),
    ],
)
def test_wrong_calls_of_the_command(arguments, told, capsys):
    assert main(["check", *arguments]) == 2
    assert told in capsys.readouterr().err
