"""``python -m nriqm_bench power`` and ``false-alarms``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from nriqm_bench.settings import OPTIONS, Settings

SIZES = (32, 64, 128, 256)
_SHARED = ("dataset", "extractor", "metric", "seed", "device", "cache")


def add_power(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``power``."""
    parser.add_argument("case", help="a case, such as boundary-blur")
    parser.add_argument(
        "--level", type=float, required=True, help="the size of the defect, in the case's unit"
    )
    parser.add_argument(
        "--n",
        type=int,
        nargs="+",
        default=list(SIZES),
        help=f"images in each set (default: {' '.join(map(str, SIZES))})",
    )
    parser.add_argument("--draws", type=int, default=50, help="at each size (default: 50)")
    _shared(parser)


def add_false_alarms(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``false-alarms``."""
    parser.add_argument("--n", type=int, default=200, help="images in each set (default: 200)")
    parser.add_argument("--seeds", type=int, default=200, help="how many times (default: 200)")
    parser.add_argument(
        "--pool", type=int, default=4500, help="images to draw from (default: 4500)"
    )
    _shared(parser)


def run_power(asked: argparse.Namespace) -> list[str]:
    """The table of ``power``, in lines of at most 80 columns."""
    from nriqm_bench import cases, perturbations
    from nriqm_bench.calibration.power import ENOUGH, SEEN, power
    from nriqm_bench.experiment import Lab

    case = cases.get(asked.case)
    sizes = tuple(sorted(set(asked.n)))
    # Larger than the largest size, so that the draws differ.
    lab = Lab.open(_settings(asked, 2 * sizes[-1]), progress)
    unit = perturbations.get(case.perturbation).unit
    found = power(lab, case, asked.level, sizes, asked.draws, progress)
    lines = [
        f"{case.name}, level {asked.level:g} ({unit}), on {lab.dataset.spec}",
        "median effect in floor SD at each n, and the smallest n that sees it",
    ]
    space = None
    for row in found:
        if row.extractor != space:
            space = row.extractor
            lines += ["", space, _line("metric", [f"n {n}" for n in row.sizes], "seen from")]
        smallest = f"> {row.sizes[-1]}" if row.smallest is None else str(row.smallest)
        lines.append(_line(row.metric, [f"{e:+.1f}" for e in row.effects], smallest))
    lines += ["", f"seen: an effect of {SEEN:g} in {ENOUGH:.0%} of {asked.draws} draws, from n on"]
    return lines


def run_false_alarms(asked: argparse.Namespace) -> list[str]:
    """The table of ``false-alarms``, in lines of at most 80 columns."""
    from nriqm_bench.calibration.alarms import false_alarms
    from nriqm_bench.experiment import Lab

    lab = Lab.open(_settings(asked, -(-asked.pool // 3)), progress)
    found = false_alarms(lab, asked.n, asked.seeds, progress)
    lines = [f"{lab.dataset.spec}, n {asked.n}, {asked.seeds} seeds: nothing was done, and"]
    for space in dict.fromkeys(row.extractor for row in found):
        lines += ["", space]
        for row in found:
            if row.extractor == space:
                told = f"{row.calls} of {row.trials}"
                what = f"{row.expectation}, {row.levels} levels"
                lines.append(f"  {row.metric:18} {what:36} {told:>11} {row.rate:7.1%}")
    if not found:
        return [*lines, "no case asks anything of these metrics"]
    trials, calls = sum(r.trials for r in found), sum(r.calls for r in found)
    worst = max(found, key=lambda r: r.rate)
    lines += [
        "",
        f"all: a change was called in {calls} of {trials}, {calls / trials:.2%}; most often "
        f"{worst.rate:.1%}",
        f"  ({worst.metric} in {worst.extractor}: {worst.expectation})",
    ]
    return lines


def progress(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    """A bar on the terminal; silent when there is none."""
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    shown: Iterable[Any] = tqdm(items, description, total, leave=False, disable=quiet)
    return shown


def _line(name: str, cells: Sequence[str], last: str) -> str:
    return f"  {name:19}" + "".join(f"{cell:>9}" for cell in cells) + f"{last:>11}"


def _shared(parser: argparse.ArgumentParser) -> None:
    for option in OPTIONS:
        if option.name in _SHARED:
            parser.add_argument(
                f"--{option.name}",
                action="append" if option.repeatable else "store",
                metavar=option.metavar,
                help=option.help,
            )


def _settings(asked: argparse.Namespace, n: int) -> Settings:
    given = {name: getattr(asked, name) for name in _SHARED}
    return Settings.load({**given, "n": n})
