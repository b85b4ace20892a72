"""Send the whole corpus, or the files named, through the real command line.

``python -m tests.generators.hostile.command_line [NAME...]`` ends with exit code 0 when every file
was refused with exit code 4 in one sentence, no canary appeared and nothing was written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.generators.hostile.corpus import CORPUS, Hostile
from tests.generators.hostile.trial import ROOT, names_below

SECONDS = 900


def trial(entry: Hostile, home: Path) -> tuple[bool, str]:
    """Whether the file was refused as it must be, and a line about it."""
    folder, canary = home / entry.name, home / f"canary-{entry.name}"
    folder.mkdir()
    path = entry.write(folder, canary)
    before = names_below(home)
    started = time.monotonic()
    gates = "benchmarks/test_gates.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", gates]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*command, "--generator", str(path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        peak = _wait(process)
        output.seek(0)
        said = [line for line in output.read().splitlines() if line.startswith("ERROR")]
    seconds = time.monotonic() - started
    clean = not canary.exists() and names_below(home) == before
    refused = process.returncode == 4 and len(said) == 1 and entry.says in said[0]
    line = f"{entry.name:45} exit {process.returncode}  {peak / 2**20:6.0f} MiB  {seconds:5.1f} s"
    if not refused:
        line += f"  {said}"
    return refused and clean, line + ("" if clean else "  CANARY")


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end; the process's own peak of memory in bytes."""
    deadline = time.monotonic() + SECONDS
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            scale = 1 if sys.platform == "darwin" else 1024
            return usage.ru_maxrss * scale
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.05)


def main() -> int:
    chosen = [CORPUS[name] for name in sys.argv[1:] or CORPUS]
    good = 0
    with tempfile.TemporaryDirectory() as home:
        for entry in chosen:
            fine, line = trial(entry, Path(home))
            good += fine
            print(line, flush=True)
    print(f"{good} of {len(chosen)} refused with exit code 4, canary absent")
    return 0 if good == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
