"""Commands in forked copies of a process that has imported everything once: torch takes seconds.

`Zygote` is the client. The process reads one JSON object a line (``argv``, ``cwd``, ``env``,
``output``) and answers each with its exit code. Nothing runs beside a fork: no thread was started.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def outside():
    """The environment of somebody who is in no test."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "NRIQM_"))}


class Zygote:
    """The process, started when it is first needed; packages come from the first of `places`."""

    def __init__(self, *places):
        self.places = [*map(str, places), str(ROOT)]
        self._process = None

    def run(self, argv, cwd, **env):
        """Exit code and output of ``pytest ...``, ``python -m ...`` or ``python FILE ...``."""
        output = Path(cwd) / "output.txt"
        output.write_text("")
        asked = {"argv": list(map(str, argv)), "cwd": str(cwd), "env": env, "output": str(output)}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        code = int(self.process.stdout.readline())
        return code, output.read_text(encoding="utf-8", errors="replace")

    @property
    def process(self):
        """The running process."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                env={
                    **outside(),
                    "OMP_NUM_THREADS": "1",
                    "PYTHONPATH": os.pathsep.join(self.places),
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._process.stdout.readline() == "ready\n"
        return self._process

    def close(self):
        """Ends it."""
        if self._process is not None:
            self._process.communicate()


def main():
    import nriqm_bench

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.walk_packages(nriqm_bench.__path__, "nriqm_bench."):
            if "benchmarks" not in module.name and "__main__" not in module.name:
                importlib.import_module(module.name)
    print("ready", flush=True)
    for line in sys.stdin:
        print(_run(**json.loads(line)), flush=True)


def _run(argv, cwd, env, output):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        os.chdir(cwd)
        os.environ.update(env)
        sys.path.insert(0, cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        code = _program(argv)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _program(argv):
    """What ``pytest ...``, ``python -m ...`` and ``python FILE ...`` run."""
    if argv[0] == "pytest":
        # Of plugins that are imported already pytest warns.
        sys.argv = [*argv, "-W", "ignore::pytest.PytestAssertRewriteWarning"]
        return int(pytest.main(sys.argv[1:]))
    if argv[1] == "-m":
        sys.argv = argv[2:]
        runpy.run_module(argv[2], run_name="__main__", alter_sys=True)
    else:
        sys.argv = argv[1:]
        runpy.run_path(argv[1], run_name="__main__")
    return 0


if __name__ == "__main__":
    main()
