"""Every file of the hostile corpus is refused in one sentence, and nothing in it runs.

The tests load and sample each file in a process of its own. To send every file through the real
command line instead, about six seconds each::

    python -m tests.generators.hostile.command_line
    python -m tests.generators.hostile.command_line --fork    # torch is imported once

It prints exit code, peak memory and time of each, and how many were refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.generators.hostile.corpus import CORPUS
from tests.generators.hostile.trial import ROOT, names_below, worker

# Peak memory above that of a process that has imported torch and MONAI.
MEMORY = 1.5 * 2**30
LONGEST = 450


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    (home / "here").mkdir()
    with worker(home / "here") as found:
        yield found, home


def refused(answer: dict, path: Path, says: str) -> None:
    assert answer["outcome"] == "refused", answer
    said = answer["said"]
    assert says in said
    assert said.isprintable()
    assert len(said.replace(str(path), "")) < LONGEST
    assert "Traceback" not in said
    assert answer["peak"] < MEMORY


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_file_is_refused(name, asked):
    found, home = asked
    folder, canary = home / name, home / f"canary-{name}"
    folder.mkdir()
    path = CORPUS[name].write(folder, canary)
    before = names_below(home)
    refused(found.ask(path), path, CORPUS[name].says)
    assert not canary.exists()
    assert names_below(home) == before


BEYOND = [name for name in CORPUS if name.startswith("module-")]


@pytest.mark.parametrize("name", BEYOND)
def test_the_current_folder_lends_no_code(name, tmp_path):
    path = CORPUS[name].write(tmp_path, tmp_path / "canary")
    with worker(tmp_path) as found:
        refused(found.ask(path), path, CORPUS[name].says)
    assert not (tmp_path / "canary").exists()


def test_the_corpus_is_large_and_every_file_says_what_it_tries():
    assert len(CORPUS) >= 40
    assert all(entry.tries.strip().endswith(".") for entry in CORPUS.values())


@pytest.mark.parametrize("name", ["state-dict-bomb", "legacy-bomb", "lightning-bomb"])
def test_the_bombs_are_live(name, tmp_path):
    (tmp_path / "files").mkdir()
    path = CORPUS[name].write(tmp_path / "files", tmp_path / "canary")
    code = f"import torch; torch.load({str(path)!r}, weights_only=False)"
    subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL)
    assert (tmp_path / "canary").exists()


ON_THE_COMMAND_LINE = ["lightning-bomb", "packed-zeros", "link-to-a-secret", "script-that-saves"]


@pytest.mark.parametrize("name", ON_THE_COMMAND_LINE)
def test_the_command_line_ends_with_exit_code_4(name, tmp_path):
    (tmp_path / "files").mkdir()
    path = CORPUS[name].write(tmp_path / "files", tmp_path / "canary")
    gates = str(ROOT / "benchmarks" / "test_gates.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", gates, "--generator", str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    told = [line for line in done.stderr.splitlines() if CORPUS[name].says in line]
    assert len(told) == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "canary").exists()
