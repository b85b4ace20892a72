"""The pytest plugin: options, parametrised cases, rows on their way to the report.

Imports the standard library and pytest alone: a project that merely has the package installed
pays nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from nriqm_bench.session import AGREEMENT, DOWNSTREAM, GATE, ROW, Session, dest, session_of
from nriqm_bench.settings import OPTIONS, Option

if TYPE_CHECKING:
    from nriqm_bench.cases import Case
    from nriqm_bench.downstream import Damage, Usefulness
    from nriqm_bench.evidence import Curve, Expectation
    from nriqm_bench.experiment import Lab
    from nriqm_bench.reporting import Agreement, Gate, Row


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare ``--generator`` and the ``--nriqm-*`` options."""
    group = parser.getgroup("nriqm", "image quality metrics and generators on trial")
    for option in OPTIONS:
        group.addoption(option.flag, dest=dest(option), help=_help(option), **_kind(option))
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


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(args: list[str]) -> None:
    """A mistyped flag of ours is a usage error that says what was probably meant."""
    known = {option.flag for option in OPTIONS} | {"--nriqm-list"}
    for flag in (arg.partition("=")[0] for arg in args):
        if flag.startswith("--nriqm-") and flag not in known:
            from nriqm_bench.registry import closest

            if close := closest(flag, known):
                raise pytest.UsageError(
                    f"unknown option {flag}; did you mean {' or '.join(close)}? "
                    "pytest --help, section nriqm, has all of them"
                )


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers and this run's state."""
    config.addinivalue_line(
        "markers",
        "nriqm_case(*names): experiments of nriqm_bench.cases; the test gets `curve` and "
        "`expectation` for each case, source, extractor and metric.",
    )
    config.addinivalue_line(
        "markers",
        "nriqm_gate(*patterns): release gates; the test gets `gate` for each generator and gate "
        "whose name fits a shell pattern.",
    )
    config.pluginmanager.register(Session(config), Session.NAME)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """``--nriqm-list`` prints what there is and stops."""
    if not config.getoption("nriqm_list"):
        return None
    from nriqm_bench.__main__ import main

    config.hook.pytest_nriqm_register(config=config)
    return main(["list"])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Turn a marked test into one item for each source, extractor and metric, or each gate."""
    session = session_of(metafunc.config)
    if "nriqm_point" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("nriqm_case")
        if marker is None or not marker.args:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid} uses `curve`, so it needs the name of a case: "
                '@pytest.mark.nriqm_case("gaussian-noise")'
            )
        metafunc.parametrize("nriqm_point", session.points(marker.args), indirect=True)
    elif "nriqm_gate_point" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("nriqm_gate")
        names = marker.args if marker is not None else ()
        metafunc.parametrize("nriqm_gate_point", session.gate_points(names), indirect=True)
    elif "nriqm_source_point" in metafunc.fixturenames:
        metafunc.parametrize("nriqm_source_point", session.source_points(), indirect=True)
    elif "nriqm_damage_point" in metafunc.fixturenames:
        metafunc.parametrize("nriqm_damage_point", session.damage_points(), indirect=True)
    elif "nriqm_over_point" in metafunc.fixturenames:
        over = ("generators", "perturbations")
        metafunc.parametrize("nriqm_over_point", over, indirect=True)


@pytest.fixture(scope="session")
def nriqm_lab(pytestconfig: pytest.Config) -> Lab:
    """The `nriqm_bench.Lab` of this run: images, features, floors and curves, each made once."""
    return session_of(pytestconfig).lab


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
    case, source, extractor, metric = nriqm_point
    return case.expectation(metric, source, extractor)


@pytest.fixture
def curve(
    request: pytest.FixtureRequest, nriqm_lab: Lab, nriqm_point: tuple[Case, str, str, str]
) -> Curve:
    """The `nriqm_bench.Curve` of this item's metric along its case."""
    case, source, extractor, metric = nriqm_point
    if missing := nriqm_lab.missing(case, source, extractor):
        pytest.skip(f"{source} images have no {missing}, which {case.name} in {extractor} needs")
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

    if reason := gates.unreadable(nriqm_lab, *nriqm_gate_point):
        pytest.skip(reason)
    found = gates.judge(nriqm_lab, *nriqm_gate_point)
    told = ("verdict", "metric", "extractor", "value", "threshold", "direction")
    request.node.user_properties += [
        *_properties(found, (*told, "interval", "floor_mean", "floor_sd", "reason")),
        (GATE, json.dumps(found.to_dict())),
    ]
    if found.pairs and nriqm_lab.settings.pictured:
        from nriqm_bench import pictures

        # Here, where the images are at hand: the main process of xdist has none.
        pictures.copies(nriqm_lab, found)
    if found.verdict == "untrusted":
        pytest.skip(f"untrusted: {found.reason}")
    return found


@pytest.fixture
def nriqm_source_point(request: pytest.FixtureRequest) -> str:
    """The source of images of this item."""
    source: str = request.param
    return source


@pytest.fixture
def nriqm_damage_point(request: pytest.FixtureRequest) -> Case:
    """The case whose damage this item looks at."""
    case: Case = request.param
    return case


@pytest.fixture
def nriqm_over_point(request: pytest.FixtureRequest) -> str:
    """What this item ranks: generators or perturbations."""
    over: str = request.param
    return over


@pytest.fixture
def usefulness(
    request: pytest.FixtureRequest, nriqm_lab: Lab, nriqm_source_point: str
) -> Usefulness:
    """What one source is worth downstream: ``held-out``, then each generator; see `Usefulness`.

    Skipped, with the reason, where there are no masks to learn from.
    """
    from nriqm_bench import downstream

    if reason := downstream.impossible(nriqm_lab, nriqm_source_point):
        pytest.skip(reason)
    found = downstream.usefulness(nriqm_lab, nriqm_source_point)
    _tell(request, DOWNSTREAM, downstream.row(found).to_dict())
    return found


@pytest.fixture
def damage(request: pytest.FixtureRequest, nriqm_lab: Lab, nriqm_damage_point: Case) -> Damage:
    """What one kind of damage to real training images costs downstream; see `Damage`."""
    from nriqm_bench import downstream

    if reason := downstream.impossible(nriqm_lab, "held-out"):
        pytest.skip(reason)
    found = downstream.damage(nriqm_lab, nriqm_damage_point)
    _tell(request, DOWNSTREAM, downstream.row(found).to_dict())
    return found


@pytest.fixture
def agreement(
    request: pytest.FixtureRequest, nriqm_lab: Lab, nriqm_over_point: str
) -> list[Agreement]:
    """How every metric ranks generators, and perturbations, against the downstream task."""
    from nriqm_bench import downstream

    if reason := downstream.unranked(nriqm_lab, nriqm_over_point):
        pytest.skip(reason)
    found = downstream.OVER[nriqm_over_point](nriqm_lab)
    _tell(request, AGREEMENT, [row.to_dict() for row in found])
    return found


def _properties(found: Row | Gate, names: Sequence[str]) -> list[tuple[str, object]]:
    """What JUnit says of an item, without what there is none of."""
    told = [(f"nriqm_{name}", getattr(found, name)) for name in names]
    return [(name, value) for name, value in told if value is not None]


def _tell(request: pytest.FixtureRequest, name: str, content: object) -> None:
    request.node.user_properties.append((name, json.dumps(content)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the row of a finished case to its report, so that it survives xdist and JUnit."""
    report = yield
    made = item.stash.get(_CURVE, None)
    if made is not None and (report.when == "call" or (report.when == "setup" and report.skipped)):
        row = _row(item, *made, report, call)
        told = ("source", "metric", "extractor", "verdict", "effect", "detection_level")
        properties = _properties(row, (*told, "noise_equivalent", "expectation", "reason"))
        report.user_properties += [*properties, (ROW, json.dumps(row.to_dict()))]
        # JUnit takes them from the report of the teardown, which is made of the item's.
        item.user_properties += properties
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
        entries = session_of(pyfuncitem.config).expected_failures
        known = [e for e in entries if e.covers(case.name, metric, extractor, source)]
        if (blind := case.blind_spot(metric, extractor, source)) is not None:
            known.append(blind)
        if known:
            pytest.xfail(f"{_BLIND}{known[0].reason}")
        raise


_BLIND = "blind (known): "
_CURVE = pytest.StashKey[tuple["Curve", float]]()


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
    expectation = case.expectation(metric, source, extractor)
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


def _help(option: Option) -> str:
    default = ", ".join(option.default) if option.repeatable else option.default
    return option.help + (f" (default: {default})" if default not in (None, False, "") else "")


def _kind(option: Option) -> dict[str, Any]:
    if option.default is False:
        return {"action": "store_const", "const": True, "default": None}
    action = "append" if option.repeatable else "store"
    return {"action": action, "default": None, "metavar": option.metavar}
