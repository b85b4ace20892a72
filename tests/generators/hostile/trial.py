"""Ask a worker about files, one after another, and survive its death."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
# A guard against hanging, no promise of speed; the first answer includes the imports.
SECONDS = 300


class Worker:
    """A process that loads what it is told; a new one takes its place when it dies or hangs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path, architecture: str | None = None) -> dict:
        """The worker's answer, or the outcome ``died`` or ``hung``."""
        if self.process is None:
            self.process = self._start()
        process = self.process
        assert process.stdin
        assert process.stdout
        question = {"path": str(path), "architecture": architecture}
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        line = process.stdout.readline() if ready else b""
        if line:
            return json.loads(line)
        self.close()
        return {"outcome": "died" if ready else "hung", "said": str(process.returncode), "peak": 0}

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self) -> subprocess.Popen[bytes]:
        path = [str(ROOT), str(self.folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.generators.hostile.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        )


@contextlib.contextmanager
def worker(folder: Path) -> Iterator[Worker]:
    """A worker whose current folder is `folder`, ended afterwards."""
    made = Worker(folder)
    try:
        yield made
    finally:
        made.close()


def names_below(folder: Path, but: Iterable[Path] = ()) -> set[str]:
    """Every name below `folder`, links not followed, without the trees in `but`."""
    left_out = {str(path) for path in but}
    found = set()
    for where, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if str(Path(where, f)) not in left_out]
        found |= {str(Path(where, name)) for name in (*folders, *files)}
    return found
