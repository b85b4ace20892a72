"""``python -m nriqm_bench demo``: the gallery before the gates, and how often they are right."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nriqm_bench.calibration.command import progress
from nriqm_bench.demo import train
from nriqm_bench.settings import OPTIONS, Settings

if TYPE_CHECKING:
    from nriqm_bench.demo.gallery import Exhibit

DATASETS = ("phantom-tumour", "phantom-vessel")
# The gates together let a perfect generator pass in so many runs: their false alarms are 5 %.
ENOUGH = 0.95
_SHARED = ("dataset", "extractor", "n", "seed", "device", "quick", "cache")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``demo``."""
    parser.add_argument(
        "--rogue",
        action="append",
        metavar="GLOB",
        help="show only these generators of the gallery; repeatable",
    )
    parser.add_argument(
        "--gates", action="append", metavar="GLOB", help="only these gates; repeatable"
    )
    parser.add_argument("--seeds", type=_least_one, default=1, help="how many, from --seed on")
    parser.add_argument(
        "--perfect",
        type=_count,
        default=0,
        metavar="N",
        help="also how many of N perfect generators pass every gate",
    )
    parser.add_argument(
        "--each",
        type=_least_one,
        default=10,
        metavar="N",
        help="perfect generators judged against the same real images (default: 10)",
    )
    parser.add_argument("--jobs", type=_least_one, default=1, help="processes at work (default: 1)")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="keep what was judged and go on from there"
    )
    parser.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="show the checkpoints of a folder too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes to FILE")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="what every gate said, in its own words"
    )
    for option in OPTIONS:
        if option.name not in _SHARED:
            continue
        told: dict[str, Any] = {"help": option.help, "dest": option.name}
        if isinstance(option.default, bool):
            told |= {"action": "store_true", "default": None}
        else:
            many = option.repeatable or option.name == "dataset"
            told |= {"action": "append" if many else "store", "metavar": option.metavar}
        if option.name == "dataset":
            told["help"] = f"a built-in phantom; repeatable (default: {' and '.join(DATASETS)})"
        parser.add_argument(f"--{option.name}", **told)
    commands = parser.add_subparsers(title="of its own", metavar="train")
    trained = commands.add_parser("train", help="train the demo generators of data/demo")
    train.add_arguments(trained)
    trained.set_defaults(of_demo=_train)
    parser.set_defaults(of_demo=show)


def run(asked: argparse.Namespace) -> tuple[list[str], bool]:
    """The lines of ``demo`` or ``demo train``, and whether all was as it should be."""
    told: tuple[list[str], bool] = asked.of_demo(asked)
    return told


def _train(asked: argparse.Namespace) -> tuple[list[str], bool]:
    return train.run(asked), True


def show(asked: argparse.Namespace) -> tuple[list[str], bool]:
    """The tables, in lines of at most 80 columns, and whether all was as it should be."""
    from nriqm_bench.demo import table
    from nriqm_bench.demo.calibration import perform, planned

    settings = [_settings(asked, name) for name in asked.dataset or DATASETS]
    tasks = planned(
        settings,
        rogues=asked.rogue or ["*"],
        gates=asked.gates or ["*"],
        seeds=asked.seeds,
        perfect=asked.perfect,
        each=asked.each,
        checkpoints=_checkpoints(asked.checkpoints),
    )
    found = perform(tasks, asked.jobs, asked.keep, progress)
    exhibits = [e for task in tasks for e in found[task]]
    last = settings[0].seed + asked.seeds
    shown = [e for e in exhibits if e.draw == 0 and e.seed < last]
    lines = table.render(shown, asked.verbose) if shown else []
    fresh = [e for e in exhibits if e.name == "perfect" and e.dataset == settings[0].dataset]
    if asked.perfect:
        lines += ["", *table.counts(fresh)]
    if asked.json is not None:
        text = json.dumps([e.to_dict() for e in exhibits], indent=1)
        asked.json.write_text(text + "\n", encoding="utf-8")
    return lines, right(shown, fresh if asked.perfect else ())


def right(shown: Sequence[Exhibit], fresh: Sequence[Exhibit] = ()) -> bool:
    """Whether every rogue was caught, and the share `ENOUGH` of perfect generators let pass."""
    perfect = fresh or [e for e in shown if e.name == "perfect"]
    passed = sum(e.passed_all for e in perfect)
    return passed >= ENOUGH * len(perfect) and all(e.caught is not False for e in shown)


def _settings(asked: argparse.Namespace, dataset: str) -> Settings:
    given = {name: getattr(asked, name) for name in _SHARED}
    if given["extractor"] is None:
        # Gates judge in the first space asked for; remedies would be floors that no gate reads.
        given["extractor"] = ["efficientnet-lite0"]
    return Settings.load({**given, "dataset": dataset})


def _checkpoints(folder: Path | None) -> Sequence[str]:
    if folder is None:
        return ()
    found = sorted(str(path) for path in folder.glob("*.pt"))
    if not found:
        raise ValueError(f"there is no .pt file in {folder}; pass a folder of checkpoints")
    return found


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"was {text!r}, must be a whole number, at least 0")
    return int(text)


def _least_one(text: str) -> int:
    if not _count(text):
        raise argparse.ArgumentTypeError("was '0', must be at least 1")
    return int(text)
