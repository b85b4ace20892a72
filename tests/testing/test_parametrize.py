"""`parametrize_with_checks` in a real pytest run."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nriqm_bench.testing import checks_for, parametrize_with_checks

HEADER = """
import numpy as np
from nriqm_bench.metrics import as_metric
from nriqm_bench.testing import parametrize_with_checks

def gap(real, fake):
    return np.linalg.norm(real.mean(0) - fake.mean(0))

GAP = as_metric(gap, "gap", higher_is_better=False)
BLIND = {"check_spread": "it compares means", "check_dependence": "it compares means"}
"""
BODY = """
def test_metric(metric, check):
    check(metric)
"""


def run(pytester, decorator, *arguments):
    pytester.makepyfile(f"{HEADER}\n{decorator}{BODY}")
    options = ("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)
    return pytester.runpytest_inprocess(*options)


def test_every_check_is_a_case_with_a_readable_id(pytester):
    result = run(pytester, '@parametrize_with_checks(["fid"])', "-v")
    expected = len(list(checks_for("fid")))
    result.assert_outcomes(passed=expected)
    result.stdout.fnmatch_lines(["*::test_metric[[]fid-shift[]] PASSED*"])


def test_failures_are_failures(pytester):
    result = run(pytester, "@parametrize_with_checks([GAP])")
    assert result.parseoutcomes()["failed"] == 2
    result.stdout.fnmatch_lines(["*gap got worse by * must get worse by more than 3*"])


@pytest.mark.parametrize("expected", ["BLIND", "{'gap': BLIND}"])
def test_expected_failures_are_xfailed_with_their_reason(pytester, expected):
    decorator = f"@parametrize_with_checks([GAP], expected_failures={expected})"
    result = run(pytester, decorator, "-rx")
    outcomes = result.parseoutcomes()
    assert outcomes["xfailed"] == 2
    assert "failed" not in outcomes
    result.stdout.fnmatch_lines(["XFAIL *[[]gap-spread[]] - it compares means*"])


def test_an_expected_failure_that_passes_fails_the_run(pytester):
    decorator = "@parametrize_with_checks([GAP], expected_failures={'check_shift': 'a test'})"
    result = run(pytester, decorator)
    assert result.parseoutcomes()["failed"] == 3
    result.stdout.fnmatch_lines(["*XPASS(strict)*a test*"])


def test_two_metrics_of_one_name_are_two_cases(pytester):
    result = run(pytester, "@parametrize_with_checks([GAP, GAP])", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*[[]gap-2-shift[]]*"])
    assert result.ret == 0


@pytest.mark.parametrize(
    ("expected", "error", "told"),
    [
        ({"check_shfit": "a"}, KeyError, "did you mean 'check_shift'"),
        ({"fidd": {"check_shift": "a"}}, KeyError, "unknown metric on trial 'fidd'"),
        ({"fid": {"check_shift": ""}}, ValueError, "must be the reason in words"),
        ({"fid": {"check_scale": "a"}}, ValueError, "must name checks that apply"),
        ({"check_copies": "a"}, ValueError, "must name checks that apply"),
        ({"fid": {}, "kid": "a"}, ValueError, "must be {check: reason}"),
    ],
)
def test_wrong_expectations_are_refused(expected, error, told):
    with pytest.raises(error) as caught:
        parametrize_with_checks(["fid", "kid"], expected_failures=expected)
    assert told in str(caught.value)


def test_a_reason_for_all_may_be_needed_by_one():
    parametrize_with_checks(["fid", "mmd-rbf"], expected_failures={"check_scale": "a test"})


def test_a_single_name_is_refused():
    with pytest.raises(TypeError, match="subjects was 'fid', must be a list of metrics"):
        parametrize_with_checks("fid")


def test_pytest_is_imported_when_it_is_asked_for():
    script = (
        "import sys\n"
        "from nriqm_bench.testing import check_metric, parametrize_with_checks, checks\n"
        "checks()['check_shift']('fid')\n"
        "assert 'pytest' not in sys.modules and 'hypothesis' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
        "parametrize_with_checks(['fid'])\n"
        "assert 'pytest' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
