"""``python -m nriqm_bench``: list what there is, check metrics and data, report and compare."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from nriqm_bench.calibration import command as calibration
from nriqm_bench.demo import command as demo
from nriqm_bench.listing import KINDS, listing, render
from nriqm_bench.registry import closest
from nriqm_bench.testing.command import add_arguments

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


def _list(asked: argparse.Namespace) -> int:
    found = {kind: listing(kind) for kind in ([asked.kind] if asked.kind else KINDS)}
    if asked.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(render(found, _width())) + "\n")
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
        lines = terminal.render(run, _width(), _unicode(), asked.verbose - asked.quiet)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    else:
        sys.stdout.write(renderer(_FORMS[asked.to])(run))
    return 0


def _compare(asked: argparse.Namespace) -> int:
    from nriqm_bench.reporting import compare, compared
    from nriqm_bench.reporting.write import save

    before = _read(asked.before)
    found = (
        compare.within(before)
        if asked.after is None
        else compare.compare(before, _read(asked.after))
    )
    form = asked.to
    if asked.output is not None:
        form = _form(asked.output, compared.FORMS)
    told = (
        compared.text(found, _width(), _unicode())
        if form == "terminal"
        else compared.FORMS[form](found)
    )
    if asked.output is None:
        sys.stdout.write(told)
    else:
        save(told, asked.output)
        sys.stdout.write(f"{compared.verdict(found)[1]}\n")
    return int(asked.fail_on_regression and any(one.regressed for one in found))


def _history(asked: argparse.Namespace) -> int:
    from nriqm_bench.reporting import history
    from nriqm_bench.reporting.write import save

    form, paths = _form(asked.output, history.FORMS), asked.run_files
    found = history.collect([(_short(path, paths), _read(path)) for path in paths])
    save(history.FORMS[form](found), asked.output)
    sys.stdout.write("".join(f"{told}\n" for told in found.left_out))
    return 0


def _short(path: Path, paths: Sequence[Path]) -> str:
    """The file's name, where no other has it."""
    return path.name if sum(p.name == path.name for p in paths) == 1 else str(path)


def _form(path: Path, forms: Collection[str]) -> str:
    """The form that a file's suffix names."""
    if path.suffix.removeprefix(".") not in forms:
        valid = ", ".join(f".{form}" for form in forms)
        raise ValueError(f"the file {path} must end in {valid}")
    return path.suffix.removeprefix(".")


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


def _width() -> int:
    return max(80, shutil.get_terminal_size().columns)


def _unicode() -> bool:
    return (sys.stdout.encoding or "ascii").lower().startswith("utf")


class _Parser(argparse.ArgumentParser):
    """Says what was probably meant where a choice or a flag is unknown."""

    flags: ClassVar[set[str]] = set()

    def add_argument(self, *names: Any, **given: Any) -> argparse.Action:
        """As ever, and the flag is remembered."""
        self.flags.update(name for name in names if name.startswith("--"))
        return super().add_argument(*names, **given)

    def error(self, message: str) -> NoReturn:
        """As ever, with the closest valid words."""
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        flag = re.search(r"unrecognized arguments: (--[\w-]+)", message)
        close: list[str] = []
        if choice:
            close = closest(choice[1], re.findall(r"[\w-]+", choice[2]))
        elif flag:
            close = closest(flag[1], self.flags)
        hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        super().error(message + hint)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m nriqm_bench", description=__doc__)
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
    compare = commands.add_parser(
        "compare", help="what moved between two runs, or between the generators of one"
    )
    compare.add_argument("before", type=Path, metavar="BEFORE.json")
    compare.add_argument(
        "after",
        type=Path,
        nargs="?",
        metavar="AFTER.json",
        help="without it every generator of the run is compared with its first",
    )
    compare.add_argument("--fail-on-regression", action="store_true", help="exit 1 on one")
    compare.add_argument("--to", choices=[*_FORMS, "terminal"], default="terminal")
    compare.add_argument("-o", "--output", type=Path, help="a file whose suffix names the form")
    compare.set_defaults(run=_compare)
    history = commands.add_parser("history", help="the gates over many runs, drawn")
    history.add_argument("run_files", type=Path, nargs="+", metavar="RUN.json")
    history.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="HISTORY",
        help="where to: .html, .svg or .md",
    )
    history.set_defaults(run=_history)
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
