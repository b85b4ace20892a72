"""Every command of the pages is run, in the smallest form that is whole; none is missed."""

from __future__ import annotations

import glob
import re
import shlex
import subprocess
import sys

import pytest

from tests.docs.blocks import ROOT, commands

# What others run, and who: files of this repository.
ELSEWHERE = {
    r"python3 -m venv": ".ci/run",
    r"pytest benchmarks/? --generator (X$|gan|vae|w\.|last|my|samples|net)": (
        "tests/generators/test_main_job.py"
    ),
    r"pytest --pyargs .* '?(brats|msd|ixi|dicom):": "tests/datasets/test_data_check.py",
    r"python -m nriqm_bench check brats:": "tests/datasets/test_data_check.py",
    r"python model/train.py|pytest -k gates": "tests/docs/test_recipes.py",
    r"pytest -s tests/": "tests/datasets/test_phantom_calibration.py",
    r"python data/demo/train.py": "data/demo/train.py",
    r"python -m nriqm_bench demo train": "tests/demo/test_train.py",
    r"pytest benchmarks/test_downstream.py --nriqm-n 256": "tests/downstream/test_suite.py",
}

# What is written in a page, and what is put for it: paths of this folder, placeholders, sizes.
WRITTEN = (
    (":/data/", ":data/"),
    ("CASE --level L", "blur --level 1"),
    ("zoo.json credible.json", "zoo.json perturbed.json"),
    ("compare run.json", "compare both.json"),
)

# What is added to commands that would take minutes; a later argument counts.
PHANTOMS = "--dataset phantom-tumour --extractor pixels"
SHORT = "--n 32 --quick --gates fidelity --extractor pixels"
ADDED = {
    r"credible\.pt --nriqm-report": "-k noise",
    r"near_copier": "-k noise",
    r"--pyargs .*--junitxml": "-k 'noise or fidelity'",
    r"nriqm_bench power": f"--n 16 32 --draws 2 {PHANTOMS}",
    r"nriqm_bench false-alarms": f"--n 16 --seeds 1 --pool 200 {PHANTOMS}",
    r"nriqm_bench copies": "--n 16 --seeds 1 --extractor pixels",
    r"nriqm_bench demo --seeds": f"--perfect 1 --jobs 1 --seeds 1 {SHORT}",
    r"nriqm_bench demo$": f"--rogue noisy {SHORT}",
    r"tests\.generators\.hostile": "--fork empty-file",
    r"test_speed\.py": "-k vendi",
    r"test_sanity.*my-": "-k 'pareto and my'",
    r"test_sanity\.py$": "-k 'pareto and coverage'",
    r"^pytest benchmarks/$": "-k noise",
}
# Whose own selection calls for more than one metric.
ROOMY = {r"test_sanity": {"NRIQM_METRIC": "*"}}


ALL = commands()
LINES = [line for _, lines in ALL for line in lines]


def elsewhere(line):
    return next((where for pattern, where in ELSEWHERE.items() if re.match(pattern, line)), None)


RUN = [(page, lines) for page, lines in ALL if not all(map(elsewhere, lines))]


@pytest.mark.parametrize(
    ("page", "lines"), RUN, ids=[f"{page}: {lines[0][:60]}" for page, lines in RUN]
)
def test_commands_run(box, page, lines):
    for line in lines:
        if elsewhere(line) is None:
            run(box, line)


def run(box, line):
    for written, put in WRITTEN:
        line = line.replace(written, put)
    added = next((more for pattern, more in ADDED.items() if re.search(pattern, line)), "")
    argv = [
        name
        for word in shlex.split(f"{line} {added}")
        for name in (sorted(glob.glob(word, root_dir=box.folder)) if "/*" in word else [word])
    ]
    env = {
        k: v for pattern, more in ROOMY.items() if re.search(pattern, line) for k, v in more.items()
    }
    if argv[0] == "pip":
        # What is installed already: pip finds nothing to do, without an index.
        code = subprocess.run(
            [sys.executable, "-m", *argv, "--no-index", "-q"], check=False
        ).returncode
        assert code == 0
        return
    code, output = box.run(argv, **env)
    assert code in (0, 1), output[-2000:]
    assert "Traceback (most recent call last)" not in output
    if argv[0] == "pytest" and not {"--help", "--nriqm-list"} & set(argv):
        assert re.search(r"\d+ (passed|failed|skipped)", output.splitlines()[-1]), output[-2000:]
    for i, word in enumerate(argv):
        if word == "--nriqm-report":
            assert (box.folder / argv[i + 1]).stat().st_size > 1000


def test_there_is_something_to_run():
    assert len(RUN) > 20
    for pattern, where in ELSEWHERE.items():
        assert (ROOT / where).exists()
        assert any(re.match(pattern, line) for line in LINES), pattern
    for pattern in (*ADDED, *ROOMY):
        assert any(re.search(pattern, line) for line in LINES), pattern
