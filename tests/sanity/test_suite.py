"""The suite's file in real pytest runs: when it is collected, its table, a metric of one's own.

The full run, whose cells are compared with the published ones, is the suite itself:
``pytest benchmarks/test_sanity.py``.
"""

from __future__ import annotations

import importlib
import pkgutil
import shutil
from pathlib import Path

import pytest

import nriqm_bench

# Pytest runs inside this process forget the modules that they import, and torch and NumPy do not
# survive a second import: everything is imported here first.
for _module in pkgutil.walk_packages(nriqm_bench.__path__, "nriqm_bench."):
    importlib.import_module(_module.name)

SUITE = Path(__file__).parents[2] / "benchmarks"

CONFTEST = """
import numpy as np

def pytest_nriqm_register(config):
    from nriqm_bench import metrics

    metrics.unregister("sanity-mine")

    @metrics.register("sanity-mine", higher_is_better=True)
    def mine(real, fake):
        return float(np.exp(-np.square(np.median(real, 0) - np.median(fake, 0)).sum()))
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Run a copy of the suite's folder beside a conftest with a metric of one's own."""
    for name in ("NRIQM_METRIC", "NRIQM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    folder = pytester.mkdir("benchmarks")
    for file in ("__init__.py", "conftest.py", "test_sanity.py"):
        shutil.copy(SUITE / file, folder / file)
    (folder / "test_other.py").write_text("def test_other():\n    pass\n")
    pytester.makeconftest(CONFTEST)

    def run(*args):
        return pytester.runpytest("--import-mode=importlib", "-pno:cacheprovider", *args)

    yield run
    nriqm_bench.metrics.unregister("sanity-mine")


def test_only_a_run_that_names_the_file_collects_it(run):
    assert run("benchmarks", "-q").parseoutcomes() == {"passed": 1}
    named = run("benchmarks/test_sanity.py", "--collect-only", "-q")
    named.stdout.fnmatch_lines(["90 tests collected*"])
    both = run("benchmarks", "benchmarks/test_sanity.py", "--collect-only", "-q")
    both.stdout.fnmatch_lines(["91 tests collected*"])


def test_known_metrics_agree_where_nothing_is_near_a_threshold(run):
    result = run("benchmarks/test_sanity.py", "-k", "sphere-surface and (precision or recall)")
    assert result.ret == 0
    assert result.parseoutcomes() == {"passed": 2, "deselected": 88}
    result.stdout.fnmatch_lines(
        [
            "*= sanity checks =*",
            "*precision   recall",
            "hypersphere surface   D1       F        F",
            "                      D4       F        F",
            "failed*2/2*2/2",
            "published*2/2*2/2",
        ]
    )


def test_a_metric_of_one_s_own_gets_its_columns_by_one_flag(run):
    result = run(
        "benchmarks/test_sanity.py",
        "--nriqm-metric=sanity-mine",
        "--nriqm-extractor=pixels",
        "-k",
        "scaling",
    )
    assert result.parseoutcomes() == {"passed": 2, "deselected": 28}
    result.stdout.fnmatch_lines(
        [
            "*sanity:f sanity:d",
            "scaling one dimension D5       T        T",
            "                      D4       T        T",
            "failed*0/2*0/2",
        ]
    )
    result.stdout.no_fnmatch_line("published*")


def test_a_failing_metric_of_one_s_own_does_not_fail_the_run(run):
    result = run(
        "benchmarks/test_sanity.py",
        "--nriqm-metric=sanity-mine",
        "--nriqm-extractor=pixels",
        "-k",
        "one-mode",
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["failed*2/2*2/2"])


def test_a_metric_that_cannot_be_judged_is_skipped_and_told(run):
    own = ("--nriqm-metric=fid", "--nriqm-extractor=pixels")
    result = run("benchmarks/test_sanity.py", *own, "-rs")
    assert result.parseoutcomes() == {"skipped": 1}
    result.stdout.fnmatch_lines(["*metric 'fid' was fid, must be one that compares*"])


def test_a_published_cell_that_comes_out_differently_fails(run, monkeypatch):
    from nriqm_bench.sanity import published

    row = published.PUBLISHED["sphere-surface", "D1"]
    monkeypatch.setitem(row, "density", "T")
    result = run("benchmarks/test_sanity.py", "-k", "sphere-surface-density")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*density in sphere-surface, D1: was F, published T; *", "*D1       F !*"]
    )
