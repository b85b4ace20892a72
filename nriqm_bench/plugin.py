"""The pytest plugin: options, parametrised cases, rows on their way to the report.

Imports the standard library and pytest alone: a project that merely has the package installed
pays nothing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from nriqm_bench.settings import OPTIONS, Option, Settings, SettingsError

if TYPE_CHECKING:
    from nriqm_bench.cases import Case
    from nriqm_bench.evidence import Curve, Expectation
    from nriqm_bench.experiment import Lab
    from nriqm_bench.reporting import Gate, Row, Run

_ROW, _GATE = "nriqm_row", "nriqm_gate"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--generator`` and the ``--nriqm-*`` options."""
    group = parser.getgroup("nriqm", "image quality metrics and generators on trial")
    for option in OPTIONS:
        group.addoption(option.flag, dest=_dest(option), help=_help(option), **_kind(option))
    group.addoption(
        "--nriqm-list",
        action="store_true",
        dest="nriqm_list",
        help="list metrics, extractors, perturbations, datasets, generators and cases, and stop",
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks of `nriqm_bench.hookspecs`."""
    from nriqm_bench import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and this run's state."""
    config.addinivalue_line(
        "markers",
        "nriqm_case(name): one experiment of nriqm_bench.cases; the test gets `curve` and "
        "`expectation` for each source, extractor and metric.",
    )
    config.addinivalue_line(
        "markers",
        "nriqm_gate(*names): release gates; the test gets `gate` for each generator and name.",
    )
    config.pluginmanager.register(_Session(config), _Session.NAME)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """``--nriqm-list`` prints what there is and stops."""
    if not config.getoption("nriqm_list"):
        return None
    from nriqm_bench.__main__ import main

    config.hook.pytest_nriqm_register(config=config)
    return main(["list"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Turn a marked test into one item for each source, extractor and metric, or each gate."""
    session = _session(metafunc.config)
    if "nriqm_point" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("nriqm_case")
        if marker is None or len(marker.args) != 1:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid} uses `curve`, so it needs one case name: "
                '@pytest.mark.nriqm_case("gaussian-noise")'
            )
        metafunc.parametrize("nriqm_point", session.points(marker.args[0]), indirect=True)
    elif "nriqm_gate_point" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("nriqm_gate")
        names = marker.args if marker is not None else ()
        metafunc.parametrize("nriqm_gate_point", session.gate_points(names), indirect=True)


@pytest.fixture(scope="session")
def nriqm_lab(pytestconfig: pytest.Config) -> Lab:
    """The `nriqm_bench.Lab` of this run: images, features, floors and curves, each made once."""
    return _session(pytestconfig).lab


@pytest.fixture
def nriqm_point(request: pytest.FixtureRequest) -> tuple[Case, str, str, str]:
    """Case, source, extractor and metric of this item."""
    point: tuple[Case, str, str, str] = request.param
    return point


@pytest.fixture
def nriqm_gate_point(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Generator and gate name of this item."""
    point: tuple[str, str] = request.param
    return point


@pytest.fixture
def expectation(nriqm_point: tuple[Case, str, str, str]) -> Expectation:
    """What the metric of this item must do along the case."""
    case, source, _, metric = nriqm_point
    return case.expectation(metric, source)


@pytest.fixture
def curve(
    request: pytest.FixtureRequest, nriqm_lab: Lab, nriqm_point: tuple[Case, str, str, str]
) -> Curve:
    """The `nriqm_bench.Curve` of this item's metric along its case."""
    case, source, extractor, metric = nriqm_point
    if missing := nriqm_lab.missing(case, source):
        pytest.skip(f"{source} images have no {missing}, which {case.perturbation} needs")
    started = time.perf_counter()
    found = nriqm_lab.curve(case, source, extractor, metric)
    request.node.stash[_CURVE] = (found, time.perf_counter() - started)
    if reason := nriqm_lab.saturated(case, source, extractor, metric):
        pytest.skip(f"saturated: {reason}")
    return found


@pytest.fixture
def gate(request: pytest.FixtureRequest, nriqm_lab: Lab, nriqm_gate_point: tuple[str, str]) -> Gate:
    """The outcome of one release gate; one whose metric is not trusted is skipped."""
    from nriqm_bench import gates

    found = gates.judge(nriqm_lab, *nriqm_gate_point)
    request.node.user_properties += [
        ("nriqm_verdict", found.verdict),
        ("nriqm_value", found.value),
        ("nriqm_threshold", found.threshold),
        (_GATE, json.dumps(found.to_dict())),
    ]
    if found.verdict == "untrusted":
        pytest.skip(f"untrusted: {found.reason}")
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the row of a finished case to its report, so that it survives xdist and JUnit."""
    report = yield
    made = item.stash.get(_CURVE, None)
    if made is not None and (report.when == "call" or (report.when == "setup" and report.skipped)):
        row = _row(item, *made, report, call)
        report.user_properties += [
            ("nriqm_verdict", row.verdict),
            ("nriqm_effect", row.effect),
            (_ROW, json.dumps(row.to_dict())),
        ]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A case that fails where a blind spot is declared is an expected failure, with its reason."""
    try:
        return (yield)
    except AssertionError:
        params = getattr(getattr(pyfuncitem, "callspec", None), "params", {})
        if "nriqm_point" not in params:
            raise
        case, source, extractor, metric = params["nriqm_point"]
        blind = case.blind_spot(metric, extractor, source)
        if blind is not None:
            pytest.xfail(f"{_BLIND}{blind.reason}")
        raise


_BLIND = "blind (known): "
_CURVE = pytest.StashKey[tuple["Curve", float]]()


class _Session:
    """What one pytest session knows: settings, the lab, and the rows as they arrive."""

    NAME = "nriqm-session"

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rows: list[Row] = []
        self.gates: list[Gate] = []
        self._lab: Lab | None = None
        self._run: Run | None = None
        self._screen: TextIO | None = None

    @property
    def lab(self) -> Lab:
        """The lab of this run, opened on first use."""
        if self._lab is None:
            settings = self.settings()
            self.config.hook.pytest_nriqm_register(config=self.config)
            from nriqm_bench.experiment import Lab

            self._lab = Lab.open(settings, progress=self.progress)
        return self._lab

    def settings(self) -> Settings:
        """The settings of this run; a bad one ends the run as a usage error."""
        return Settings.load(self._given(), root=self.config.rootpath)

    def _given(self) -> dict[str, Any]:
        return {option.name: self.config.getoption(_dest(option)) for option in OPTIONS}

    def asked(self) -> bool:
        """Whether the user asked for anything of ours on the command line or by environment."""
        return any(v is not None for v in self._given().values()) or any(
            os.environ.get(option.variable) for option in OPTIONS
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Open what the command line names before anything is collected: errors exit with 4."""
        if self.asked():
            try:
                _ = self.lab.size
            except (SettingsError, KeyError, ValueError, OSError, ImportError) as error:
                raise pytest.UsageError(_sentence(error)) from error

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

    def points(self, name: str) -> list[Any]:
        """The parameters of one case: every source, extractor and metric that it speaks of."""
        from nriqm_bench import cases
        from nriqm_bench.registry import UnknownName

        try:
            case, lab = cases.get(name), self.lab
        except UnknownName as error:
            raise pytest.UsageError(str(error)) from error
        return [
            pytest.param(
                (case, source, extractor, metric),
                id=f"{source}-{Path(extractor).name}-{metric}",
            )
            for source in (lab.sources[:1] if case.held_out_only else lab.sources)
            for extractor in lab.extractors
            for metric in lab.metrics_in(extractor)
        ]

    def gate_points(self, names: Iterable[str]) -> list[Any]:
        """The parameters of the gates: every generator and every gate of this run."""
        from nriqm_bench import gates

        lab = self.lab
        chosen = [name for name in gates.available(lab) if name in names]
        points = [
            pytest.param((generator, name), id=f"{generator}-{name}")
            for generator in lab.generators
            for name in chosen
        ]
        no_generator = pytest.mark.skip(reason="no --generator was given, so none can be released")
        return points or [pytest.param(("", ""), id="none", marks=no_generator)]

    def progress(self, items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
        """Show a long step on the terminal, past pytest's capture; silent when it is none."""
        from tqdm import tqdm

        if self._screen is None:
            capture = self.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled():
                self._screen = _terminal()
        quiet = not self._screen.isatty() or hasattr(self.config, "workerinput")
        shown: Iterable[Any] = tqdm(
            items, description, total, leave=False, file=self._screen, disable=quiet
        )
        return shown

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect rows and gates, in the main process also those of xdist workers."""
        from_teardown = report.when == "teardown"
        for name, value in () if from_teardown else report.user_properties:
            if name == _ROW:
                from nriqm_bench.reporting import Row

                self.rows.append(Row.from_dict(json.loads(str(value))))
            elif name == _GATE and (report.when == "call" or report.skipped):
                from nriqm_bench.reporting import Gate

                self.gates.append(Gate.from_dict(json.loads(str(value))))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports that were asked for."""
        if (self.rows or self.gates) and not hasattr(self.config, "workerinput"):
            from nriqm_bench import reporting

            self._run = self.lab.run(self.rows, self.gates)
            self.config.hook.pytest_nriqm_finished(config=self.config, run=self._run)
            for path in self.lab.settings.report:
                reporting.write(self._run, Path(path))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The tables at the end."""
        if self._run is None:
            return
        from nriqm_bench.reporting import terminal

        writer = terminalreporter._tw
        terminalreporter.section("nriqm_bench", sep="=")
        for line in terminal.render(
            self._run,
            width=max(80, writer.fullwidth),
            unicode=_unicode(writer._file),
            verbosity=self.config.get_verbosity(),
            reports=self.lab.settings.report,
        ):
            terminalreporter.write_line(line)

    def pytest_unconfigure(self) -> None:
        """Close the copy of the terminal."""
        if self._screen is not None:
            self._screen.close()


def _session(config: pytest.Config) -> _Session:
    found = config.pluginmanager.getplugin(_Session.NAME)
    assert isinstance(found, _Session)
    return found


def _row(
    item: pytest.Item,
    curve: Curve,
    seconds: float,
    report: pytest.TestReport,
    call: pytest.CallInfo[None],
) -> Row:
    from nriqm_bench.reporting import Row

    assert isinstance(item, pytest.Function)
    point: Any = item.callspec.params["nriqm_point"]
    case, source, extractor, metric = point
    expectation = case.expectation(metric, source)
    verdict, reason = _outcome(report, call, expectation)
    return Row(
        case=case.name,
        experiment=case.experiment,
        perturbation=case.perturbation,
        metric=metric,
        extractor=extractor,
        levels=list(curve.levels),
        values=list(curve.values),
        floor_mean=curve.floor.mean,
        floor_sd=curve.floor.sd,
        effect=curve.effect,
        rank=curve.rank,
        detection_level=curve.detection_level,
        noise_equivalent=curve.noise_equivalent,
        expectation=str(expectation),
        verdict=verdict,
        reason=reason or str(curve.meets(expectation)),
        seconds=seconds,
        source=source,
    )


def _outcome(
    report: pytest.TestReport, call: pytest.CallInfo[None], expectation: Expectation
) -> tuple[str, str]:
    """The verdict word of a finished case, and its reason when it is not the verdict's own."""
    if report.passed:
        return ("pass" if expectation.specified else "unspecified"), expectation.reason
    if report.skipped and hasattr(report, "wasxfail"):
        return "blind (known)", report.wasxfail.removeprefix("reason: ").removeprefix(_BLIND)
    if report.skipped:
        told = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        word = "saturated" if "saturated: " in told else "skipped"
        return word, told.removeprefix("Skipped: ").removeprefix("saturated: ")
    if call.excinfo is not None and not call.excinfo.errisinstance(AssertionError):
        return "error", call.excinfo.exconly()
    return "fail", ""


def _terminal() -> TextIO:
    """A copy of the standard error stream, which pytest's capture does not reach."""
    return open(os.dup(2), "w", encoding="utf-8")


def _dest(option: Option) -> str:
    return f"nriqm_{option.name}"


def _help(option: Option) -> str:
    default = ", ".join(option.default) if option.repeatable else option.default
    return option.help + (f" (default: {default})" if default not in (None, False, "") else "")


def _kind(option: Option) -> dict[str, Any]:
    if option.default is False:
        return {"action": "store_const", "const": True, "default": None}
    action = "append" if option.repeatable else "store"
    return {"action": action, "default": None, "metavar": option.metavar}


def _sentence(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _unicode(stream: Any) -> bool:
    encoding = getattr(stream, "encoding", None) or "ascii"
    try:
        "±▁█─".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
