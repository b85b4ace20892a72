"""``python -m nriqm_bench``: list what there is, check metrics and data, report and compare."""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from nriqm_bench.calibration import command as calibration
from nriqm_bench.demo import command as demo
from nriqm_bench.testing.command import add_arguments

KINDS = ("metrics", "extractors", "perturbations", "datasets", "generators", "cases")
_FORMS = {"json": ".json", "md": ".md", "html": ".html", "csv": ".csv"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 0, 1 for a failure or a regression and 2 for a wrong call."""
    parser = _parser()
    asked = parser.parse_args(argv)
    try:
        return int(asked.run(asked))
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 2


def listing(kind: str) -> dict[str, str]:
    """Name to one line about each thing of a kind (one of `KINDS`)."""
    room = import_module(f"nriqm_bench.{kind}")
    return {name: _summary(room.get(name)) for name in room.names()}


def _summary(thing: Any) -> str:
    found = getattr(thing, "summary", None)
    if not isinstance(found, str):
        described = thing
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
            described = type(thing)
        found = (inspect.getdoc(described) or "").partition("\n")[0]
    return found.rstrip(".")


def _list(asked: argparse.Namespace) -> int:
    chosen = [asked.kind] if asked.kind else list(KINDS)
    found = {kind: listing(kind) for kind in chosen}
    if asked.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return 0
    for kind, things in found.items():
        sys.stdout.write(f"{kind}\n")
        width = max(map(len, things))
        for name, told in things.items():
            sys.stdout.write(f"  {name:{width}}  {told}\n")
    return 0


def _check(asked: argparse.Namespace) -> int:
    from nriqm_bench.testing.command import run

    lines, ok = run(asked)
    sys.stdout.write("\n".join(lines) + "\n")
    return int(not ok)


def _report(asked: argparse.Namespace) -> int:
    from nriqm_bench.reporting import terminal
    from nriqm_bench.reporting.write import renderer, write

    run = _read(asked.run_file)
    if asked.output is not None:
        write(run, asked.output)
    elif asked.to == "terminal":
        width = max(80, shutil.get_terminal_size().columns)
        lines = terminal.render(run, width, _unicode(), asked.verbose - asked.quiet)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    else:
        sys.stdout.write(renderer(_FORMS[asked.to])(run))
    return 0


def _compare(asked: argparse.Namespace) -> int:
    from nriqm_bench.reporting.compare import compare, render

    changes = compare(_read(asked.before), _read(asked.after))
    sys.stdout.write("\n".join(render(changes)) + "\n")
    return int(asked.fail_on_regression and any(c.regressed for c in changes))


def _power(asked: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(calibration.run_power(asked)) + "\n")
    return 0


def _false_alarms(asked: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(calibration.run_false_alarms(asked)) + "\n")
    return 0


def _demo(asked: argparse.Namespace) -> int:
    lines, ok = demo.run(asked)
    sys.stdout.write("\n".join(lines).strip("\n") + "\n")
    return int(not ok)


def _copies(asked: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(calibration.run_copies(asked)) + "\n")
    return 0


def _read(path: Path) -> Any:
    from nriqm_bench.reporting import SchemaError, from_json

    try:
        return from_json(path.read_text(encoding="utf-8"))
    except (SchemaError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _unicode() -> bool:
    return (sys.stdout.encoding or "ascii").lower().startswith("utf")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m nriqm_bench", description=__doc__)
    commands = parser.add_subparsers(required=True)
    listed = commands.add_parser("list", help="what there is, one line each")
    listed.add_argument("kind", nargs="?", choices=KINDS)
    listed.add_argument("--json", action="store_true", help="for programs")
    listed.set_defaults(run=_list)
    check = commands.add_parser(
        "check", help="check a metric, or the files of a dataset; exit 1 when something fails"
    )
    add_arguments(check)
    check.set_defaults(run=_check)
    report = commands.add_parser("report", help="render a run again")
    report.add_argument("run_file", type=Path, metavar="RUN.json")
    report.add_argument("--to", choices=[*_FORMS, "terminal"], default="terminal")
    report.add_argument(
        "-v", "--verbose", action="count", default=0, help="in the terminal: every curve"
    )
    report.add_argument(
        "-q", "--quiet", action="count", default=0, help="in the terminal: failures and gates alone"
    )
    report.add_argument("-o", "--output", type=Path, help="a file whose suffix names the form")
    report.set_defaults(run=_report)
    compare = commands.add_parser("compare", help="what moved between two runs")
    compare.add_argument("before", type=Path, metavar="BEFORE.json")
    compare.add_argument("after", type=Path, metavar="AFTER.json")
    compare.add_argument("--fail-on-regression", action="store_true", help="exit 1 on one")
    compare.set_defaults(run=_compare)
    power = commands.add_parser("power", help="how many images a metric needs to see a defect")
    calibration.add_power(power)
    power.set_defaults(run=_power)
    alarms = commands.add_parser("false-alarms", help="how often a case sees what was not done")
    calibration.add_false_alarms(alarms)
    alarms.set_defaults(run=_false_alarms)
    shown = commands.add_parser(
        "demo", help="which gate catches which rogue; exit 1 when one gets away"
    )
    demo.add_arguments(shown)
    shown.set_defaults(run=_demo)
    copies = commands.add_parser("copies", help="how well copied images are told from the others")
    calibration.add_copies(copies)
    copies.set_defaults(run=_copies)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
