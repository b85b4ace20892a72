"""Progress bars in a real terminal: shown below pytest's line, which they leave as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

SUITE = """
import time
import pytest

@pytest.mark.parametrize("i", range(3))
def test_step(pytestconfig, i):
    session = pytestconfig.pluginmanager.getplugin("nriqm-session")
    for _ in session.progress(range(4), "features", 4):
        for _ in session.progress(range(2), "inside", 2):
            time.sleep(0.06)

def test_broken(pytestconfig):
    for _ in pytestconfig.pluginmanager.getplugin("nriqm-session").progress([1, 2], "broken", 2):
        raise ValueError("in the midst of a step")

def test_after(pytestconfig):
    for _ in pytestconfig.pluginmanager.getplugin("nriqm-session").progress([1], "after", 1):
        pass
"""


class Screen:
    """What a terminal of the VT100 family shows of the bytes that it is sent."""

    def __init__(self, rows: int, columns: int) -> None:
        self.lines = [[" "] * columns for _ in range(rows)]
        self.scrolled: list[str] = []
        self.row = self.column = 0
        self.saved = (0, 0)

    def down(self) -> None:
        if self.row == len(self.lines) - 1:
            self.scrolled.append("".join(self.lines.pop(0)))
            self.lines.append([" "] * len(self.scrolled[0]))
        else:
            self.row += 1

    def feed(self, text: str) -> None:
        for code in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|.|[\r\n]", text):
            if code == "\r":
                self.column = 0
            elif code in ("\n", "\x1bD"):
                self.down()
            elif code == "\x1bM":
                assert self.row
                self.row -= 1
            elif code == "\x1b7":
                self.saved = (self.row, self.column)
            elif code == "\x1b8":
                self.row, self.column = self.saved
            elif code.startswith("\x1b["):
                assert code.endswith("m"), f"{code!r} is no colour"
            else:
                if self.column == len(self.lines[0]):
                    self.down()
                    self.column = 0
                self.lines[self.row][self.column] = code
                self.column += 1

    def text(self) -> list[str]:
        return [line.rstrip() for line in (*self.scrolled, *map("".join, self.lines))]


def in_a_terminal(command, folder, rows=24, columns=80):
    """Every byte that a command wrote, with a pseudo-terminal as its output and error."""
    screen, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, cwd=folder, stdin=end, stdout=end, stderr=end, env=env | {"TERM": "xterm"}
    )
    os.close(end)
    found = b""
    while True:
        try:
            part = os.read(screen, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        found += part
    os.close(screen)
    process.wait()
    return found.decode()


def plain(text):
    """Without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture
def command(tmp_path, monkeypatch):
    (tmp_path / "test_steps.py").write_text(SUITE)
    # No other plugins: they take a second to load.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    options = ["-pno:cacheprovider", "-pnriqm_bench.plugin", "--rootdir=."]
    return [sys.executable, "-m", "pytest", "--tb=no", *options]


@pytest.mark.parametrize("rows", [40, 6], ids=["roomy", "scrolling"])
def test_a_step_is_shown_with_rate_and_time_left_below_the_dots(command, tmp_path, rows):
    said = in_a_terminal(command, tmp_path, rows)
    assert re.search(r"features: +50%.* 2/4 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+(it/s|s/it)\]", said)
    # A step inside another is seen in its place, and then the other again.
    assert re.search(r"features: +0%.*inside: +0%.*features: +25%", said, re.DOTALL)
    assert "broken: " in said
    # A step after one that an error left open.
    assert "after: " in said
    assert said.endswith("\r\n")
    screen = Screen(rows, 80)
    screen.feed(said)
    shown = screen.text()
    assert any(re.fullmatch(r"test_steps\.py \.\.\.F\. +\[100%\]", line) for line in shown)
    assert not any("it/s" in line or "s/it" in line for line in shown)


@pytest.mark.parametrize("options", [["-q"], ["-pxdist", "-n1"]], ids=["quiet", "worker"])
def test_no_step_is_shown(command, tmp_path, options):
    said = in_a_terminal([*command, *options], tmp_path)
    assert "1 failed, 4 passed" in plain(said)
    assert "features" not in said


def test_no_step_is_shown_where_there_is_no_terminal(command, tmp_path):
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 4 passed" in done.stdout
    assert not done.stderr
