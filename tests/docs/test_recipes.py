"""The recipes for CI do what they say: their own lines are run on the example repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from nriqm_bench import settings
from nriqm_bench.reporting import from_json
from tests.docs.blocks import ROOT
from tests.docs.conftest import SMALL, write_flair
from tests.zygote import outside

EXAMPLE = ROOT / "docs/examples/model-repository"

# What the page shows of the repository, file by file.
SHOWN = (
    "pyproject.toml",
    "scripts/pre-release.sh",
    ".github/workflows/release-gate.yml",
    ".github/workflows/nightly.yml",
    ".gitlab-ci.yml",
)


@pytest.mark.parametrize("name", SHOWN)
def test_the_page_shows_the_files_that_are_tried(name):
    page = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    assert f"\n{(EXAMPLE / name).read_text(encoding='utf-8')}```" in page


def test_the_repository_tells_of_all_its_files():
    told = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLE.rglob("*"):
        name = path.relative_to(EXAMPLE).as_posix()
        assert path.is_dir() or "__pycache__" in name or name == "README.md" or name in told, name


class Forge:
    """Stands where GitHub or GitLab would be, and keeps what it is sent."""

    def __init__(self):
        kept = self.kept = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                kept.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(201)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def forge():
    found = Forge()
    yield found
    found.server.shutdown()
    found.server.server_close()


class Repository:
    """The example in a folder of its own, where the lines of a recipe are run in order."""

    def __init__(self, folder, box):
        self.folder, self.box = folder, box
        self.env = {
            **SMALL,
            "NRIQM_CACHE": str(box.folder / "cache"),
            "NRIQM_DATASET": "folder:data",
            "PYTHONPATH": str(box.folder / "site"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, lines, **env):
        """The exit codes of the lines; those of Python alone run in copies of one process."""
        codes = []
        for line in lines:
            words = shlex.split(line, comments=True)
            if words[0] in ("pytest", "python") and not re.search(r"[$&|*]", line):
                code, output = self.box.run(words, cwd=self.folder, **{**self.env, **env})
            else:
                # What is installed already: pip finds nothing to do, without an index.
                found = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", line],
                    cwd=self.folder,
                    env={**outside(), **self.env, **env, "PIP_NO_INDEX": "1"},
                    capture_output=True,
                    text=True,
                )
                code, output = found.returncode, found.stdout + found.stderr
            assert "Traceback (most recent call last)" not in output, output[-3000:]
            self.said = output
            codes.append(code)
        return codes


@pytest.fixture
def repository(tmp_path, box):
    folder = tmp_path / "model-repository"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    write_flair(folder / "data", side=64)
    return Repository(folder, box)


def steps(path):
    """The lines of a workflow of GitHub, with the environment that they set."""
    (job,) = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [(step["run"], step.get("env", {}), step) for step in job["steps"] if "run" in step]


def gates_failed(repository):
    run = from_json((repository.folder / "out/run.json").read_text(encoding="utf-8"))
    return [gate.name for gate in run.gates if gate.verdict == "fail"]


def test_github_gates_comments_and_uploads(repository, forge, tmp_path):
    summary = tmp_path / "summary.md"
    env = {
        "GITHUB_STEP_SUMMARY": str(summary),
        "GITHUB_API_URL": forge.url,
        "GITHUB_REPOSITORY": "team/model",
        "GITHUB_TOKEN": "secret",
        "PULL": "7",
    }
    codes, always = {}, {}
    for line, own, step in steps(repository.folder / ".github/workflows/release-gate.yml"):
        assert set(own) <= set(env)
        (codes[line],) = repository.run([line], **env)
        always[line] = step.get("if") == "always()"
    # The toy fails the gate, and what tells so comes nevertheless.
    assert gates_failed(repository)
    assert [line.split()[0] for line, code in codes.items() if code] == ["pytest"]
    after = list(codes)[[line.split()[0] for line in codes].index("pytest") + 1 :]
    assert after
    assert all(always[line] for line in after)
    told = summary.read_text(encoding="utf-8")
    assert told.startswith("## ❌ DO NOT RELEASE model")
    ((path, headers, body),) = forge.kept
    assert path == "/repos/team/model/issues/7/comments"
    assert headers["Authorization"] == "Bearer secret"
    assert body["body"] == told
    assert len(list((repository.folder / "out").glob("run.*"))) == 3


def test_gitlab_gates_comments_and_uploads(repository, forge):
    job = yaml.safe_load((repository.folder / ".gitlab-ci.yml").read_text())["release-gate"]
    codes = repository.run(job["script"])
    assert codes == [0, 0, 1]
    env = {
        "CI_API_V4_URL": f"{forge.url}/api/v4",
        "CI_PROJECT_ID": "12",
        "CI_MERGE_REQUEST_IID": "3",
        "GITLAB_TOKEN": "secret",
    }
    assert repository.run(job["after_script"], **env) == [0]
    ((path, headers, body),) = forge.kept
    assert path == "/api/v4/projects/12/merge_requests/3/notes"
    assert headers["Private-Token"] == "secret"
    assert "DO NOT RELEASE" in body["body"]
    there = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert all((repository.folder / path).stat().st_size for path in there)


def test_the_pre_release_script_keeps_a_run_that_passed(repository):
    # A limit that the toy keeps: it passes, and its run is the next baseline.
    config = repository.folder / "pyproject.toml"
    config.write_text(config.read_text().replace("fidelity = 0.1", "fidelity = 1.0"))
    assert repository.run(["scripts/pre-release.sh"]) == [0], repository.said
    kept = from_json((repository.folder / "released/run.json").read_text(encoding="utf-8"))
    assert {gate.verdict for gate in kept.gates} == {"pass"}


def test_the_night_runs_on_all_cores_and_draws_the_history(repository):
    lines = [line for line, _, _ in steps(repository.folder / ".github/workflows/nightly.yml")]
    codes = repository.run(lines, PYTEST_ADDOPTS=f"{SMALL['PYTEST_ADDOPTS']} -k gates")
    assert [line.split()[0] for line, code in zip(lines, codes, strict=True) if code] == ["mkdir"]
    assert len(list((repository.folder / "runs").glob("*.json"))) == 1
    assert "<svg" in (repository.folder / "out/history.html").read_text(encoding="utf-8")


def test_the_settings_of_the_repository_are_read():
    table = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["nriqm"]
    found = settings.Settings.load({}, environ={}, root=EXAMPLE)
    assert found.generator == tuple(table["generator"])
    assert dict(found.gates) == table["gates"]


def test_a_pytest_ini_alone_is_enough(repository):
    page = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    (ini,) = re.findall(r"^```ini\n(.*?)^```", page, re.M | re.S)
    (repository.folder / "pyproject.toml").unlink()
    (repository.folder / "pytest.ini").write_text(ini.replace("folder:/data", "folder:data"))
    assert repository.run(["python model/train.py", "pytest"]) == [0, 1]
    assert (repository.folder / "run.html").stat().st_size > 10_000
