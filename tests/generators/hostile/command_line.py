"""Send the whole corpus, or the files named, through the real command line.

``python -m tests.generators.hostile.command_line [NAME...]`` ends with exit code 0 when every file
was refused with exit code 4 in one sentence, no canary appeared and nothing was written. With
``--fork`` before the names torch is imported once and pytest's own main runs in forked
processes, which takes a tenth of the time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from tests.generators.hostile.corpus import CORPUS, Hostile
from tests.generators.hostile.trial import ROOT, names_below

SECONDS = 900
COMMAND = ["pytest", "-q", "-p", "no:cacheprovider", "benchmarks/test_gates.py"]
Start = Callable[[list[str], IO[str]], tuple[int, int]]


def trial(entry: Hostile, home: Path, start: Start) -> tuple[bool, str]:
    """Whether the file was refused as it must be, and a line about it."""
    folder, canary = home / entry.name, home / f"canary-{entry.name}"
    folder.mkdir()
    path = entry.write(folder, canary)
    before = names_below(home)
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        code, peak = start([*COMMAND, "--generator", str(path)], output)
        output.seek(0)
        lines = output.read().splitlines()
    said, tail = [line for line in lines if line.startswith("ERROR")], lines[-1:]
    seconds = time.monotonic() - started
    clean = not canary.exists() and names_below(home) == before
    refused = code == 4 and len(said) == 1 and entry.says in said[0]
    line = f"{entry.name:45} exit {code}  {peak / 2**20:6.0f} MiB  {seconds:5.1f} s"
    if not refused:
        line += f"  {said or tail}"
    return refused and clean, line + ("" if clean else "  CANARY")


def in_a_process(command: list[str], output: IO[str]) -> tuple[int, int]:
    """Exit code and peak memory in bytes of a command."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
    code, peak = _wait(process.pid)
    process.returncode = code
    return code, peak


def in_a_fork(command: list[str], output: IO[str]) -> tuple[int, int]:
    """The same, of pytest's own main in a copy of this process, which has imported torch."""
    pid = os.fork()
    if pid:
        return _wait(pid)
    code = 70
    try:
        os.chdir(ROOT)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        # Of plugins that are imported already pytest warns, and here warnings are errors.
        sys.argv = [*command, "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        code = int(pytest.main(sys.argv[1:]))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise
    finally:
        os._exit(code)


def _wait(pid: int) -> tuple[int, int]:
    deadline = time.monotonic() + SECONDS
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            scale = 1 if sys.platform == "darwin" else 1024
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * scale
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def main() -> int:
    names = sys.argv[1:]
    forked = names[:1] == ["--fork"]
    chosen = [CORPUS[name] for name in names[forked:] or CORPUS]
    good = 0
    with tempfile.TemporaryDirectory() as home:
        for entry in chosen:
            fine, line = trial(entry, Path(home), in_a_fork if forked else in_a_process)
            good += fine
            print(line, flush=True)
    print(f"{good} of {len(chosen)} refused with exit code 4, canary absent")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
