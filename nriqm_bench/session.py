"""What one pytest session knows: settings, the lab, and the rows as they arrive.

Imports the standard library and pytest alone, like the plugin.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from fnmatch import fnmatchcase
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nriqm_bench import expected
from nriqm_bench.settings import OPTIONS, Option, Settings, SettingsError

if TYPE_CHECKING:
    from tqdm import tqdm

    from nriqm_bench.cases import Case
    from nriqm_bench.experiment import Lab
    from nriqm_bench.reporting import Agreement, Downstream, Gate, Picture, Row, Run

# Properties of a report that carry a row, a gate or what was found downstream.
ROW, GATE = "nriqm_row", "nriqm_gate"
DOWNSTREAM, AGREEMENT = "nriqm_downstream", "nriqm_agreement"
CARRIERS = frozenset({ROW, GATE, DOWNSTREAM, AGREEMENT})


class Session:
    """One pytest session: a plugin of its own, registered under `NAME`."""

    NAME = "nriqm-session"

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rows: list[Row] = []
        self.gates: list[Gate] = []
        self.downstream: list[Downstream] = []
        self.agreement: list[Agreement] = []
        self._lab: Lab | None = None
        self._run: Run | None = None
        self._screen: _Below | None = None
        self._bars: list[tqdm[Any]] = []

    @property
    def lab(self) -> Lab:
        """The lab of this run, opened on first use."""
        if self._lab is None:
            settings = self.settings()
            self.config.hook.pytest_nriqm_register(config=self.config)
            from nriqm_bench.experiment import Lab

            _ = self.expected_failures
            self._lab = Lab.open(settings, progress=self.progress)
        return self._lab

    @cached_property
    def expected_failures(self) -> tuple[expected.ExpectedFailure, ...]:
        """The failures that the user declared."""
        path = self.settings().expected_failures
        return expected.read(path) if path else ()

    def settings(self) -> Settings:
        """The settings of this run; a bad one ends the run as a usage error."""
        return Settings.load(self._given(), root=self.config.rootpath)

    def _given(self) -> dict[str, Any]:
        return {option.name: self.config.getoption(dest(option)) for option in OPTIONS}

    def asked(self) -> bool:
        """Whether the user asked for anything of ours on the command line or by environment."""
        return any(v is not None for v in self._given().values()) or any(
            os.environ.get(option.variable) for option in OPTIONS
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Open what the command line names before anything is collected: errors exit with 4."""
        if self.asked():
            with _usage():
                _ = self.lab.size

    def pytest_report_header(self) -> list[str]:
        """What is on trial, when the command line or the environment says so."""
        if not self.asked():
            return []
        try:
            s = self.settings()
        except SettingsError as error:
            raise pytest.UsageError(str(error)) from error
        on_trial = ", ".join(s.generator) or "none given; held-out real images stand in"
        return [
            f"nriqm: generator: {on_trial}",
            f"nriqm: dataset {s.dataset}, n {s.n}, seed {s.seed}, extractor "
            f"{', '.join(s.extractor)}, device {s.device}{', quick' if s.quick else ''}",
        ]

    def points(self, names: Sequence[str]) -> list[Any]:
        """The parameters of some cases: every source, extractor and metric they speak of."""
        from nriqm_bench import cases

        with _usage():
            found, lab = [cases.get(name) for name in names], self.lab
        return [point for case in found for point in self._points_of(case, lab)]

    def _points_of(self, case: Case, lab: Lab) -> list[Any]:
        if case.region and case.region != lab.dataset.region:
            reason = (
                f"it damages {case.region}s, and {lab.dataset.spec} shows {lab.dataset.region}s"
            )
            return [_skipped(reason, case.name)]
        return [
            pytest.param(
                (case, source, extractor, metric),
                id=f"{case.name}-{source}-{Path(extractor).name}-{metric}",
            )
            for source in (lab.sources[:1] if case.held_out_only else lab.sources)
            for extractor in lab.spaces(case)
            for metric in lab.metrics_in(extractor)
        ]

    def gate_points(self, names: Sequence[str]) -> list[Any]:
        """The parameters of the gates: every generator and every gate whose name fits a pattern."""
        from nriqm_bench import gates

        with _usage():
            lab = self.lab
        chosen = [name for name in gates.available(lab) if any(fnmatchcase(name, p) for p in names)]
        points = [
            pytest.param((generator, name), id=f"{generator}-{name}")
            for generator in lab.generators
            for name in chosen
        ]
        if lab.generators and not chosen:
            return [_skipped(f"no gate of this run is called {' or '.join(names)}")]
        return points or [_skipped("no --generator was given, so none can be released")]

    def source_points(self) -> list[Any]:
        """The parameters of what each source of images is worth downstream."""
        with _usage():
            return [pytest.param(source, id=source) for source in self.lab.sources]

    def damage_points(self) -> list[Any]:
        """The parameters of what damage to training images costs downstream."""
        from nriqm_bench import downstream

        with _usage():
            return [pytest.param(case, id=case.name) for case in downstream.damages(self.lab)]

    def progress(self, items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        """Show a long step below pytest's line, past its capture; of steps in steps the innermost.

        Silent with ``-q``, in an xdist worker, and where standard error is no terminal.
        """
        return self._shown(items, description, total) if self._watched() else items

    def _shown(self, items: Iterable[Any], description: str, total: int) -> Iterator[Any]:
        from tqdm import tqdm

        # All on one line: by itself tqdm would draw a step inside another one line lower.
        place: dict[str, Any] = {"file": self._screen, "position": 0, "dynamic_ncols": True}
        bar = tqdm(items, description, total, leave=False, **place)
        self._bars.append(bar)
        try:
            yield from bar
        finally:
            self._close(bar)

    def _close(self, bar: tqdm[Any]) -> None:
        bar.close()
        if bar in self._bars:
            self._bars.remove(bar)
            # What this step was a part of is seen again.
            for outer in self._bars[-1:]:
                outer.refresh()

    def pytest_runtest_logfinish(self) -> None:
        """Close what is shown: an error in the midst of a step leaves it open."""
        while self._bars:
            self._close(self._bars[-1])

    def _watched(self) -> bool:
        """Whether somebody looks at a terminal on which a step can be shown."""
        if hasattr(self.config, "workerinput") or self.config.get_verbosity() < 0:
            return False
        if self._screen is None:
            capture = self.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                self._screen = _Below.standard_error()
        return self._screen.isatty() and os.environ.get("TERM") != "dumb"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect rows and gates, in the main process also those of xdist workers.

        What carried them there ends here: JUnit shows the properties that people read.
        """
        if hasattr(self.config, "workerinput"):
            return
        carried = [(name, value) for name, value in report.user_properties if name in CARRIERS]
        report.user_properties = [p for p in report.user_properties if p[0] not in CARRIERS]
        for name, value in carried if report.when != "teardown" else ():
            self._collect(name, json.loads(str(value)), report)

    def _collect(self, name: str, found: Any, report: pytest.TestReport) -> None:
        from nriqm_bench.reporting import Agreement, Downstream, Gate, Row

        if name == ROW:
            self.rows.append(Row.from_dict(found))
        elif name == GATE and (report.when == "call" or report.skipped):
            self.gates.append(Gate.from_dict(found))
        elif name == DOWNSTREAM and report.when == "call":
            self.downstream.append(Downstream.from_dict(found))
        elif name == AGREEMENT and report.when == "call":
            self.agreement += [Agreement.from_dict(row) for row in found]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Make the run of what was found, before JUnit is written: it says what was decided."""
        if hasattr(self.config, "workerinput"):
            self._leave_pictures()
        elif self.rows or self.gates or self.downstream or self.agreement:
            self._run = self.lab.run(
                self.rows,
                self.gates,
                expected.notes(self.expected_failures, self.rows),
                self.downstream,
                self.agreement,
                self._pictures(),
            )
            self._tell_junit(self._run)

    def _tell_junit(self, run: Run) -> None:
        """Properties of the whole suite, where a JUnit report is written."""
        from nriqm_bench.reporting import summary

        for plugin in self.config.pluginmanager.get_plugins():
            if hasattr(plugin, "add_global_property"):
                for name, told in summary.properties(run):
                    plugin.add_global_property(f"nriqm_{name}", told)

    def _pictures(self) -> list[Picture]:
        """What a report shows of the images; nothing where no report was asked for that does."""
        if not self.lab.settings.pictured:
            return []
        from nriqm_bench import pictures

        return pictures.of_run(self.lab, self.rows, self.gates)

    def _leave_pictures(self) -> None:
        """In the cache, of samples that this worker has made: the main process has none."""
        if self._lab is not None and self._lab.settings.pictured:
            from nriqm_bench import pictures

            pictures.of_images_at_hand(self._lab)

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_nriqm_write(self) -> None:
        """Write the reports that were asked for."""
        if self._run is not None:
            from nriqm_bench import reporting

            self.config.hook.pytest_nriqm_finished(config=self.config, run=self._run)
            paths = self.lab.settings.report
            for path in self.progress(paths, "writing reports", len(paths)):
                reporting.write(self._run, Path(path))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The tables at the end."""
        if self._run is None:
            return
        from nriqm_bench.reporting import terminal

        writer = terminalreporter._tw
        verbosity = self.config.get_verbosity()
        if verbosity > -2:
            terminalreporter.section("nriqm_bench", sep="=")
        for line in terminal.render(
            self._run,
            width=max(80, writer.fullwidth),
            unicode=_unicode(writer._file),
            verbosity=verbosity,
            reports=self.lab.settings.report,
        ):
            terminalreporter.write_line(line, **terminal.markup(line))

    def pytest_unconfigure(self) -> None:
        """Close the copy of the terminal."""
        if self._screen is not None:
            self._screen.close()


def session_of(config: pytest.Config) -> Session:
    """The session of a pytest run."""
    found = config.pluginmanager.getplugin(Session.NAME)
    assert isinstance(found, Session)
    return found


def dest(option: Option) -> str:
    """Where pytest keeps the value of an option."""
    return f"nriqm_{option.name}"


@contextmanager
def _usage() -> Iterator[None]:
    """What cannot be opened as the settings say is a usage error, in one sentence."""
    try:
        yield
    except (SettingsError, KeyError, ValueError, OSError, ImportError) as error:
        raise pytest.UsageError(str(error) or type(error).__name__) from error


def _skipped(reason: str, name: str = "none") -> Any:
    """The one parameter of a test that has nothing to try, and why."""
    return pytest.param(None, id=name, marks=pytest.mark.skip(reason=reason))


class _Below(TextIOWrapper):
    """A copy of standard error, which pytest's capture does not reach, one line below the cursor.

    pytest leaves its cursor in the middle of a line of dots. Every write makes room below it (at
    the bottom the screen scrolls), goes there and comes back: DEC's IND, RI, DECSC and DECRC.
    """

    @classmethod
    def standard_error(cls) -> _Below:
        encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
        return cls(os.fdopen(os.dup(2), "wb"), encoding, errors="replace", newline="")

    def write(self, text: str) -> int:
        written = super().write(f"\x1bD\x1bM\x1b7\r\n{text}\x1b8")
        # tqdm does not always: late, it would come between lines of pytest.
        self.flush()
        return written


def _unicode(stream: Any) -> bool:
    encoding = getattr(stream, "encoding", None) or "ascii"
    try:
        "±▁█─".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
