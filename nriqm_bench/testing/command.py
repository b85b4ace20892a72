"""``python -m nriqm_bench check``: the gauntlet of a metric, or a dataset on disk looked over."""

from __future__ import annotations

import argparse
import importlib
import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nriqm_bench.testing.report import CheckResult

WIDTH = 80


def run(asked: argparse.Namespace) -> tuple[list[str], bool]:
    """The lines of the report, and whether every result is as it should be."""
    from nriqm_bench.testing.report import check_metric

    lines: list[str] = []
    ok = True
    for subject in asked.subjects:
        if is_dataset(subject):
            from nriqm_bench.datasets.survey import survey

            told, usable = survey(subject, verbose=asked.verbose)
            lines += told
            ok = ok and usable
            continue
        try:
            results = check_metric(
                load(subject),
                on_fail="collect",
                expected_failures=dict(_pair(text) for text in asked.expect),
                options={key: _value(text) for key, text in map(_pair, asked.option)},
                higher_is_better=asked.higher_is_better,
                needs=asked.needs,
                min_samples=asked.min_samples,
                needs_train=asked.needs_train,
            )
        except TypeError as error:
            raise ValueError(f"{subject}: {error}") from error
        lines += render(results, verbose=asked.verbose)
        ok = ok and all(r.ok for r in results)
    return lines, ok


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command; their defaults are those of `check_metric`."""
    parser.add_argument(
        "subjects",
        nargs="+",
        metavar="METRIC",
        help="a registered name, or package.module:object; or a dataset on disk, as brats:DIR",
    )
    better = parser.add_mutually_exclusive_group()
    for word in ("higher", "lower"):
        better.add_argument(
            f"--{word}-is-better",
            dest="higher_is_better",
            action="store_const",
            const=word == "higher",
            help="where the object does not say",
        )
    parser.add_argument("--needs", choices=("features", "logits", "images"), default="features")
    parser.add_argument("--needs-train", action="store_true", help="it reads training rows")
    parser.add_argument("--min-samples", type=int, default=2, metavar="N")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--expect", action="append", default=[], metavar="CHECK=REASON")
    parser.add_argument("-v", "--verbose", action="store_true", help="every check, every file")


def is_dataset(subject: str) -> bool:
    """Whether the text before a colon is a dataset's name."""
    from nriqm_bench import datasets

    name, colon, _ = subject.partition(":")
    return bool(colon) and name in datasets.names()


def load(subject: str) -> Any:
    """The metric of a registered name, or the object that ``package.module:object`` names.

    Raises
    ------
    KeyError
        For an unknown name.
    ValueError
        When the module cannot be imported, or has no such object.
    """
    if ":" not in subject:
        from nriqm_bench import metrics

        return metrics.get(subject)
    module, _, path = subject.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{subject} could not be loaded: {error}") from error
    return found


def render(results: Sequence[CheckResult], *, verbose: bool = False) -> list[str]:
    """A report on one metric, in lines of at most 80 columns unless a single word is longer."""
    counts: Counter[str] = Counter(r.status for r in results)
    order = ("passed", "failed", "expected", "xpass", "skipped")
    told = ", ".join(f"{counts[status]} {status}" for status in order if counts[status])
    lines = textwrap.wrap(f"{results[0].metric}: {told}", WIDTH, subsequent_indent="  ")
    for result in results:
        if result.ok and not verbose:
            continue
        lines.append(
            f"  {result.status.upper() if not result.ok else result.status} {result.check}"
        )
        lines += textwrap.wrap(
            result.sentence,
            WIDTH,
            initial_indent="    ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (key and sign and value):
        raise ValueError(f"{text!r} was given, must be NAME=VALUE")
    return key, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
