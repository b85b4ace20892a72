"""``python -m nriqm_bench power``, ``false-alarms`` and ``copies``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from nriqm_bench.settings import OPTIONS, Settings

SIZES = (32, 64, 128, 256)
_SHARED = ("dataset", "extractor", "metric", "seed", "device", "cache")
_GENERATED = ("generator", "architecture", "dataset", "extractor", "seed", "device", "cache")

# Feature spaces side by side, so that a table keeps within 80 columns.
_BESIDE = 3


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


def add_copies(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``copies``."""
    parser.add_argument("--n", type=int, default=200, help="images in each set (default: 200)")
    parser.add_argument(
        "--share", type=float, default=0.05, help="of them, what is copied (default: .05)"
    )
    parser.add_argument("--seeds", type=int, default=10, help="how many times (default: 10)")
    parser.add_argument(
        "--trust", action="store_true", help="allow a checkpoint to run its own Python"
    )
    _shared(parser, _GENERATED)


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


def run_copies(asked: argparse.Namespace) -> list[str]:
    """The tables of ``copies``, in lines of at most 80 columns."""
    from nriqm_bench.calibration.copies import copy_detection

    settings = _settings(asked, asked.n, (*_GENERATED, "trust"))
    found = {
        (row.disguise, row.extractor): row
        for row in copy_detection(settings, asked.share, asked.seeds, progress)
    }
    disguises = list(dict.fromkeys(disguise for disguise, _ in found))
    spaces = list(dict.fromkeys(space for _, space in found))
    who = settings.generator[0] if settings.generator else "held-out images"
    lines = [
        f"{who} of {settings.dataset}"[-80:],
        f"n {asked.n}, of which {round(asked.share * asked.n)} are copies of training images, "
        f"{asked.seeds} seeds",
    ]
    for start in range(0, len(spaces), _BESIDE):
        beside = spaces[start : start + _BESIDE]
        lines += ["", "AUC of copies against the others, by copy score (95 % interval of the mean)"]
        lines.append(_beside("", beside))
        for disguise in disguises:
            rows = [found[disguise, space] for space in beside]
            cells = [f"{r.auc:.3f} ({r.interval[0]:.3f}-{r.interval[1]:.3f})" for r in rows]
            lines.append(_beside(disguise, cells))
        lines += [
            "",
            "share called copies by the copy rate, which allows itself 1 % of honest ones",
        ]
        lines.append(_beside("", beside))
        for disguise in disguises:
            rows = [found[disguise, space] for space in beside]
            lines.append(_beside(disguise, [f"{fmean(r.found):.1%}" for r in rows]))
        honest = [[a for d in disguises for a in found[d, space].alarms] for space in beside]
        lines.append(_beside("honest images", [f"{fmean(rates):.1%}" for rates in honest]))
    return lines


def progress(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    """A bar on the terminal; silent when there is none."""
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    shown: Iterable[Any] = tqdm(items, description, total, leave=False, disable=quiet)
    return shown


def _line(name: str, cells: Sequence[str], last: str) -> str:
    return f"  {name:19}" + "".join(f"{cell:>9}" for cell in cells) + f"{last:>11}"


def _beside(name: str, cells: Sequence[str]) -> str:
    return (f"{name:17.17}" + "".join(f"{cell:>21.20}" for cell in cells)).rstrip()


def _shared(parser: argparse.ArgumentParser, names: Sequence[str] = _SHARED) -> None:
    for option in OPTIONS:
        if option.name in names:
            parser.add_argument(
                f"--{option.name}",
                action="append" if option.repeatable else "store",
                metavar=option.metavar,
                help=option.help,
            )


def _settings(asked: argparse.Namespace, n: int, names: Sequence[str] = _SHARED) -> Settings:
    given = {name: getattr(asked, name) for name in names}
    return Settings.load({**given, "n": n})
