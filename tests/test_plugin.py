"""The plugin in real pytest runs: exit codes, rows, reports, order, workers and the cache."""

from __future__ import annotations

import importlib
import json
import pkgutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import nriqm_bench

# What optimisers import when they take their first step, and what survives no second import.
importlib.import_module("torch._dynamo")

# Pytest runs inside this process forget the modules that they import, and torch and NumPy do not
# survive a second import: everything is imported here first.
for _module in pkgutil.walk_packages(nriqm_bench.__path__, "nriqm_bench."):
    importlib.import_module(_module.name)

SUITE = Path(__file__).parents[1] / "benchmarks"

N = 24


def write_dataset(path, seed=0):
    """Smooth random images with masks, subjects and sites, in the three parts."""
    rng = np.random.default_rng(seed)
    images = ndimage.gaussian_filter(rng.random((3 * N, 1, 32, 32)), (0, 0, 2, 2))
    images = (images - images.min()) / np.ptp(images)
    masks = np.zeros((3 * N, 32, 32), np.uint8)
    masks[:, 10:20, 12:22] = 1
    np.savez(
        path,
        images=images.astype(np.float32),
        masks=masks,
        subjects=[f"s{i // 2}" for i in range(3 * N)],
        sites=[f"site-{i // 2 % 3}" for i in range(3 * N)],
        part=["train"] * N + ["reference"] * N + ["held-out"] * N,
    )
    return path


@pytest.fixture
def run(pytester, monkeypatch):
    """Run the suite on a small dataset in pixel space; the run as written is returned too."""
    for name in ("NRIQM_CACHE", "NRIQM_N", "NRIQM_SEED"):
        monkeypatch.delenv(name, raising=False)
    data = write_dataset(pytester.path / "data.npz")

    def run(*args, suite="test_noise.py", report="run.json"):
        result = pytester.runpytest(
            "." if suite is None else str(SUITE / suite),
            f"--rootdir={pytester.path}",
            "--import-mode=importlib",
            "-pno:cacheprovider",
            f"--nriqm-dataset=npz:{data}",
            "--nriqm-extractor=pixels",
            f"--nriqm-n={N}",
            f"--nriqm-cache={pytester.path / 'cache'}",
            f"--nriqm-report={pytester.path / report}",
            *args,
        )
        path = pytester.path / report
        return result, json.loads(path.read_text()) if path.is_file() else None

    run.data = data
    return run


def rows(found):
    """The rows as text, without what a clock says."""
    return json.dumps([{k: v for k, v in row.items() if k != "seconds"} for row in found["rows"]])


def junit(path):
    """Properties of every test case in a JUnit file."""
    cases = ElementTree.parse(path).getroot().iter("testcase")
    return {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in cases
    }


def samples(path, images):
    np.savez(path, images=np.asarray(images, np.float32))
    return path


def test_suite_reports_every_metric_on_held_out_images(run, pytester):
    result, found = run("-k", "gaussian", "--junitxml=junit.xml")
    assert result.ret in (0, 1)
    told = junit(pytester.path / "junit.xml")
    assert len(told) == len(found["rows"])
    for row in found["rows"]:
        of_case = told[f"test_noise[gaussian-noise-held-out-pixels-{row['metric']}]"]
        assert of_case["nriqm_verdict"] == row["verdict"]
        assert float(of_case["nriqm_effect"]) == row["effect"]
        assert of_case["nriqm_reason"] == row["reason"]
        assert "nriqm_row" not in of_case
    metrics = {row["metric"] for row in found["rows"]}
    assert {"fid", "kid", "precision", "recall", "density", "coverage", "vendi"} <= metrics
    fid = next(row for row in found["rows"] if row["metric"] == "fid")
    assert fid["verdict"] == "pass"
    assert fid["effect"] > 3
    assert fid["levels"][0] == 0
    assert len(fid["values"]) == len(fid["levels"])
    assert found["generator"] == []
    result.stdout.fnmatch_lines(["*held-out real images stand in*", "*nriqm_bench*"])


def test_noise_equivalent_of_noise_is_on_the_noise_scale(run):
    _, found = run("-k", "rician and fid")
    (row,) = (row for row in found["rows"] if row["metric"] == "fid")
    assert 0 < row["noise_equivalent"] <= 0.2


def test_metric_glob_selects(run):
    _, found = run("--nriqm-metric=*density", "--nriqm-metric=kid", "-k", "gaussian")
    assert {row["metric"] for row in found["rows"]} == {"density", "clipped-density", "kid"}


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--generator=missing.pt", "*missing.pt*"),
        ("--nriqm-metric=fjd", "*unknown metric 'fjd'*did you mean*fid*"),
        ("--nriqm-dataset=phantom-tumor", "*unknown dataset 'phantom-tumor'*phantom-tumour*"),
        ("--nriqm-extractor=pixel", "*unknown extractor 'pixel'*pixels*"),
        ("--nriqm-n=3", "*--nriqm-n was '3'*at least 16*"),
        ("--nriqm-device=gpu", "*--nriqm-device was 'gpu'*cpu*"),
        ("--nriqm-report=run.pdf", "*run.pdf*.json*"),
        ("--nriqm-report=run.htm", "*run.htm*.html*"),
        ("--nriqm-extracter=pixels", "unknown option --nriqm-extracter; did you mean --nriqm-ex*"),
        ("--generator=data.npy", "*no generator at*did you mean*data.npz*"),
    ],
)
def test_usage_errors_exit_with_4_and_one_sentence(run, option, told):
    result, found = run(option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {told}"])
    assert found is None


def test_unreadable_checkpoint_exits_with_4(run, pytester):
    (pytester.path / "broken.pt").write_bytes(b"not a checkpoint")
    result, _ = run("--generator=broken.pt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *broken.pt*"])


def test_nothing_collected_exits_with_5(run):
    result, _ = run("-k", "no_such_case")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_copies_of_training_images_fail_the_memorisation_gates(run, pytester):
    with np.load(run.data) as data:
        copies = samples(pytester.path / "copies.npz", data["images"][:N])
    result, found = run(f"--generator={copies}", "--junitxml=junit.xml", suite="test_gates.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (gate,) = (g for g in found["gates"] if g["name"] == "memorisation-pixels")
    assert gate["verdict"] == "fail"
    assert gate["value"] > gate["threshold"] > gate["floor_mean"]
    assert gate["pairs"][0]["train_distance"] == 0
    suite = ElementTree.parse(pytester.path / "junit.xml").getroot().find("testsuite")
    assert int(suite.get("failures")) >= 1
    values = {p.get("value") for p in suite.iter("property") if p.get("name") == "nriqm_verdict"}
    assert "fail" in values
    result.stdout.fnmatch_lines(["*memorisation-pixels*", "*DO NOT RELEASE*"])


def test_fresh_real_images_pass_every_gate(run, pytester):
    fresh = write_dataset(pytester.path / "fresh.npz", seed=1)
    with np.load(fresh) as data:
        path = samples(pytester.path / "perfect.npz", data["images"][:N])
    result, found = run(f"--generator={path}", suite="test_gates.py")
    assert {g["verdict"] for g in found["gates"]} <= {"pass", "untrusted"}
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*RELEASE*"])


def test_thresholds_of_the_file_decide_and_junit_counts_them(run, pytester):
    fresh = write_dataset(pytester.path / "fresh.npz", seed=1)
    with np.load(fresh) as data:
        path = samples(pytester.path / "model.npz", data["images"][:N])
    pytester.makepyprojecttoml("[tool.nriqm.gates]\ndiversity = 1000\nfid = 1e9\n")
    result, found = run(
        f"--generator={path}",
        "--junitxml=junit.xml",
        "--nriqm-metric=fid",
        "--nriqm-metric=vendi",
        "-k=diversity or limit",
        suite="test_gates.py",
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    told = {g["name"]: (g["verdict"], g["threshold"]) for g in found["gates"]}
    assert told == {"diversity": ("fail", 1000), "limit-fid": ("pass", 1e9)}
    suite = ElementTree.parse(pytester.path / "junit.xml").getroot().find("testsuite")
    assert suite.get("failures") == "1"
    (failure,) = suite.iter("failure")
    assert "the limit is 1000" in failure.get("message")
    of_run = {p.get("name"): p.get("value") for p in suite.find("properties")}
    assert of_run["nriqm_decision_model"] == "DO NOT RELEASE: 1 of 2 gates failed: diversity"
    assert of_run["nriqm_n"] == str(N)
    case = next(c for c in suite.iter("testcase") if c.find("failure") is not None)
    of_gate = {p.get("name"): p.get("value") for p in case.find("properties")}
    assert (of_gate["nriqm_verdict"], of_gate["nriqm_threshold"]) == ("fail", "1000.0")
    # What travels between processes is not for readers.
    assert not {"nriqm_row", "nriqm_gate"} & {p.get("name") for p in suite.iter("property")}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("memorisaton = 0.5", "*unknown gate or metric 'memorisaton'*did you mean 'memorisation'*"),
        ("anatomy = 2", "*anatomy was 2, must be a number from 0 to 1*"),
    ],
)
def test_a_threshold_that_means_nothing_is_a_usage_error(run, pytester, line, told):
    pytester.makepyprojecttoml(f"[tool.nriqm.gates]\n{line}\n")
    result, found = run(suite="test_gates.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *tool.nriqm.gates*{told}"])
    assert found is None


def test_a_baseline_of_other_settings_is_a_usage_error(run, pytester):
    run("--nriqm-metric=fid", "-k", "gaussian", report="before.json")
    before = pytester.path / "before.json"
    result, _ = run(f"--nriqm-baseline={before}", suite="test_gates.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *before.json is of no use*differ in metric*"])


def test_gate_of_an_untrusted_metric_does_not_decide(run, pytester):
    with np.load(run.data) as data:
        copies = samples(pytester.path / "copies.npz", data["images"][:N])
    pytester.makeconftest(
        """
        import dataclasses
        from nriqm_bench import cases, gates
        from nriqm_bench.evidence import degrades

        def pytest_nriqm_register(config):
            hard = dataclasses.replace(
                cases.TRAINING_COPIES, expect={"*": degrades(effect=1e9)}
            )
            trial = gates.scores.passed_its_case(hard)
            gates.SPECS = tuple(
                dataclasses.replace(s, trial=trial) if s.metric == "train-share" else s
                for s in gates.SPECS
            )
        """
    )
    from nriqm_bench import gates

    specs = gates.SPECS
    try:
        pytester.makepyfile(
            """
            import pytest

            @pytest.mark.nriqm_gate("memorisation-pixels")
            def test_memorisation(gate):
                assert gate.verdict == "pass"
            """
        )
        result, found = run(f"--generator={copies}", suite=None)
    finally:
        gates.SPECS = specs
    assert result.ret == 0
    assert [g["verdict"] for g in found["gates"]] == ["untrusted"]


def test_cases_that_need_masks_are_skipped_without_them(run, pytester):
    with np.load(run.data) as data:
        kept = {k: data[k] for k in data if k not in ("masks", "sites")}
    np.savez(run.data, **kept)
    result, found = run("-rs", suite="test_lesion.py")
    assert result.ret == 0
    assert found is None
    result.stdout.fnmatch_lines(
        ["*held-out images have no masks, which boundary-blur in pixels needs*"]
    )
    run("-rs", suite="test_diversity.py")[0].stdout.fnmatch_lines(["*have no sites*"])


def test_without_a_generator_gates_are_skipped_with_a_reason(run):
    result, _ = run("-rs", suite="test_gates.py")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*no --generator was given*"])


def test_known_blind_spot_is_an_expected_failure(run, pytester):
    pytester.makeconftest(
        """
        import dataclasses
        from nriqm_bench import cases, evidence

        def pytest_nriqm_register(config):
            spot = cases.BlindSpot("fid", "it does not look", extractor="pixels")
            cases.registry.add("reversed", dataclasses.replace(
                cases.GAUSSIAN_NOISE, name="reversed",
                expect={"*": evidence.degrades(effect=1e9)}, blind=(spot,),
            ))
        """
    )
    from nriqm_bench import cases

    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.nriqm_case("reversed")
        def test_reversed(curve, expectation):
            assert curve.meets(expectation)
        """
    )
    try:
        result, found = run("--nriqm-metric=fid", "--nriqm-metric=kid", suite=None)
    finally:
        cases.registry.discard("reversed")
    assert result.ret == 1
    verdicts = {row["metric"]: row["verdict"] for row in found["rows"]}
    assert verdicts == {"fid": "blind (known)", "kid": "fail"}
    assert "it does not look" in next(r["reason"] for r in found["rows"] if r["metric"] == "fid")
    result.assert_outcomes(xfailed=1, failed=1)


def test_failures_that_the_user_declares_are_expected_and_spare_entries_are_told(run, pytester):
    known = pytester.path / "known.toml"
    known.write_text(
        """
        [[expected-failure]]
        case = "gaussian-*"
        metric = "fid"
        reason = "we know"

        [[expected-failure]]
        metric = "no-such-metric"
        reason = "left over"
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.nriqm_case("gaussian-noise")
        def test_noise(curve):
            assert curve.degrades(effect=1e9)
        """
    )
    result, found = run(
        f"--nriqm-expected-failures={known}",
        "--nriqm-metric=fid",
        "--nriqm-metric=kid",
        suite=None,
    )
    result.assert_outcomes(xfailed=1, failed=1)
    told = {row["metric"]: (row["verdict"], row["reason"]) for row in found["rows"]}
    assert told["fid"] == ("blind (known)", "we know")
    assert told["kid"][0] == "fail"
    (note,) = found["notes"]
    assert note == "the expected failure of metric 'no-such-metric' matched nothing in this run"
    result.stdout.fnmatch_lines(["note: *no-such-metric*"])


def test_a_file_of_expected_failures_that_cannot_be_read_is_a_usage_error(run):
    result, _ = run("--nriqm-expected-failures=none.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: none.toml cannot be read: No such file*"])


def test_cases_of_what_the_images_do_not_show_are_skipped_with_a_reason(run):
    result, found = run("-rs", suite="test_vessel.py")
    assert result.ret == 0
    assert found is None
    result.assert_outcomes(skipped=5)
    result.stdout.fnmatch_lines(["*it damages vessels, and npz:data.npz shows lesions*"])


def test_remedies_join_local_cases_and_noise_alone(run):
    """Asked for by their common name they are judged where they have something to say."""
    _, found = run(
        "--nriqm-extractor=remedies",
        "--nriqm-metric=fid",
        "--nriqm-metric=vendi",
        "-k",
        "(gaussian or boundary-blur or poisson) and not found and not maps and not control",
        suite="",
    )
    spaces = {(row["case"], row["extractor"]) for row in found["rows"]}
    assert spaces >= {("gaussian-noise", "lesion"), ("boundary-blur", "lesion")}
    assert ("poisson-noise", "lesion") not in spaces
    assert {r["metric"] for r in found["rows"] if r["extractor"] == "lesion"} == {"fid"}


def test_failing_case_shows_its_sentence(run, pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.nriqm_case("gaussian-noise")
        def test_noise(curve):
            assert curve.degrades(effect=1e9)
        """
    )
    result, _ = run("--nriqm-metric=fid", suite=None)
    result.stdout.fnmatch_lines(
        ["*fid under gaussian-noise 0 to 0.2*worsened by*must be >= 1e+09*"]
    )


def test_registered_metric_joins_every_case(run, pytester):
    pytester.makeconftest(
        """
        import numpy as np

        def pytest_nriqm_register(config):
            from nriqm_bench import metrics
            @metrics.register("mean-distance", higher_is_better=False)
            def mean_distance(real, fake):
                return float(np.linalg.norm(real.mean(0) - fake.mean(0)))
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.nriqm_case("gaussian-noise")
        def test_noise(curve):
            assert curve.values[0] > 0
        """
    )
    try:
        result, found = run("--nriqm-metric=mean-distance", suite=None)
    finally:
        nriqm_bench.metrics.unregister("mean-distance")
    assert result.ret == 0
    assert [row["metric"] for row in found["rows"]] == ["mean-distance"]


def test_case_marker_is_required(run, pytester):
    pytester.makepyfile("def test_it(curve): pass")
    result, _ = run(suite=None)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*nriqm_case*"])


def test_serial_shuffled_and_distributed_runs_give_equal_rows(run, pytester):
    _, serial = run("--nriqm-cache=off", "--junitxml=serial.xml", report="serial.json")
    _, shuffled = run("--nriqm-cache=off", "-p", "randomly", report="shuffled.json")
    _, workers = run("--nriqm-cache=off", "-n2", "--junitxml=workers.xml", report="workers.json")
    told = junit(pytester.path / "serial.xml")
    assert told == junit(pytester.path / "workers.xml")
    assert sum("nriqm_verdict" in of_case for of_case in told.values()) == len(serial["rows"])
    assert not {"nriqm_row", "nriqm_gate"} & {name for of_case in told.values() for name in of_case}
    assert len(serial["rows"]) >= 16
    assert rows(serial) == rows(shuffled) == rows(workers)


def test_second_run_is_served_from_the_cache_and_a_changed_seed_is_not(run, pytester):
    def entries():
        found = (pytester.path / "cache").rglob("*")
        return {p for p in found if p.is_file() and p.suffix != ".lock"}

    _, first = run("-k", "gaussian")
    before = entries()
    assert before
    _, second = run("-k", "gaussian")
    assert entries() == before
    assert rows(first) == rows(second)
    run("-k", "gaussian", "--nriqm-seed=1")
    assert entries() > before


def test_list_names_everything_and_stops(pytester):
    result = pytester.runpytest("--nriqm-list")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*fid*", "*gaussian-noise*"])
