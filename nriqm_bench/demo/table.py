"""The gallery as text of 80 columns: generators against gates, and what was missed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from scipy import stats

from nriqm_bench.demo.gallery import Exhibit
from nriqm_bench.demo.rogues import ROGUES

WIDTH = 80
_NAME = 18
_NARROWEST, _WIDEST = 6, 9
_LEGEND = (
    "*  should catch it; one such gate is enough   -  not asked, or nothing to see",
    "?  untrusted: its metric failed its own trial, so it does not decide",
)
_VERDICTS = {"pass": "pass", "fail": "FAIL", "untrusted": "?"}


def render(exhibits: Sequence[Exhibit], reasons: bool = False) -> list[str]:
    """One table a dataset, then what the rogues are and which were missed.

    With several seeds a cell counts the seeds in which the gate failed the generator.

    Parameters
    ----------
    exhibits
        At least one.
    reasons
        Tell what every gate said about every generator, not only where something went wrong.
    """
    lines: list[str] = []
    for dataset in dict.fromkeys(e.dataset for e in exhibits):
        lines += ["", *_table([e for e in exhibits if e.dataset == dataset])]
    lines += ["", *_LEGEND]
    known = [n for n in dict.fromkeys(e.name for e in exhibits) if n in ROGUES]
    for name in known:
        lines += _folded(f"{name:{_NAME}}{ROGUES[name].wrong}", _NAME)
    told = exhibits if reasons else [e for e in exhibits if e.as_expected is False]
    for exhibit in told:
        lines += ["", f"{exhibit.name}, {exhibit.dataset}, seed {exhibit.seed}"]
        for gate in exhibit.gates:
            if reasons or gate.name in (exhibit.should_fail or exhibit.failed):
                lines += _folded(f"  {gate.name}: {gate.verdict}: {gate.reason}", 4)
        for gate_name, why in exhibit.skipped.items():
            lines += _folded(f"  {gate_name}: {why}", 4)
    return [*lines, "", *_summary(exhibits)]


def counts(exhibits: Sequence[Exhibit]) -> list[str]:
    """How many perfect generators passed all gates, with Clopper and Pearson's interval."""
    n = len(exhibits)
    passed = sum(e.passed_all for e in exhibits)
    interval = stats.binomtest(passed, n).proportion_ci(method="exact")
    lines = [
        f"{passed} of {n} perfect generators passed all gates ({exhibits[0].dataset})",
        f"  95 % interval, were they independent: {interval.low:.1%} to {interval.high:.1%}",
    ]
    runs: dict[int, list[bool]] = {}
    for exhibit in exhibits:
        runs.setdefault(exhibit.seed, []).append(exhibit.passed_all)
    if len(runs) < n:
        told = ", ".join(str(sum(found)) for found in runs.values())
        lines += _folded(f"  by run, against the same real images: {told}", 4)
    for name in _gate_names(exhibits):
        found = [gate for e in exhibits for gate in e.gates if gate.name == name]
        failed = sum(gate.verdict == "fail" for gate in found)
        untrusted = sum(gate.verdict == "untrusted" for gate in found)
        told = f"  {name:22} failed {failed:3} of {len(found)}"
        lines.append(told + (f", untrusted {untrusted}" if untrusted else ""))
    for exhibit in exhibits:
        for gate in exhibit.gates:
            if gate.verdict == "fail":
                who = f"seed {exhibit.seed}, draw {exhibit.draw}"
                lines += _folded(f"  {who}: {gate.name}: {gate.reason}", 4)
    return lines


def _table(exhibits: Sequence[Exhibit]) -> list[str]:
    names = _gate_names(exhibits)
    rows = list(dict.fromkeys(e.name for e in exhibits))
    seeds = list(dict.fromkeys(e.seed for e in exhibits))
    pitch = min(_WIDEST, max(_NARROWEST, (WIDTH - _NAME) // max(len(names), 1)))
    told = f"seed {seeds[0]}" if len(seeds) == 1 else f"in how many of {len(seeds)} seeds it failed"
    lines = [f"{exhibits[0].dataset}, {told}"]
    for i, name in enumerate(names):
        lines.append(_head(name, _NAME + pitch * i, pitch))
    lines.append(f"{'generator':{_NAME}}" + f"{'|':{pitch}}" * len(names))
    for row in rows:
        own = [e for e in exhibits if e.name == row]
        cells = [f"{_cell(own, name):{pitch}}" for name in names]
        lines.append(f"{row:{_NAME}}{''.join(cells)}")
    return [line.rstrip() for line in lines]


def _head(name: str, place: int, pitch: int) -> str:
    """The name of a column above its bar, or left of it where the line ends."""
    bars = " " * _NAME + f"{'|':{pitch}}" * ((place - _NAME) // pitch)
    if place + len(name) <= WIDTH:
        return bars + name
    return f"{bars[: place - len(name) - 2]} {name} |"


def _cell(exhibits: Sequence[Exhibit], gate_name: str) -> str:
    found = [gate for e in exhibits for gate in e.gates if gate.name == gate_name]
    if not found:
        return "-"
    mark = "*" if any(gate_name in e.should_fail for e in exhibits) else ""
    if len(exhibits) == 1:
        return _VERDICTS[found[0].verdict] + mark
    if all(gate.verdict == "untrusted" for gate in found):
        return "?" + mark
    return f"{sum(gate.verdict == 'fail' for gate in found)}{mark}"


def _summary(exhibits: Sequence[Exhibit]) -> list[str]:
    lines = []
    rogues = [e for e in exhibits if e.caught is not None]
    if rogues:
        lines.append(
            f"{sum(e.caught is True for e in rogues)} of {len(rogues)} rogues were caught by a "
            "gate that should"
        )
    untried = sorted({e.name for e in exhibits if e.name in ROGUES and e.as_expected is None})
    if untried:
        lines += _folded(f"no gate that should catch it judged: {', '.join(untried)}", 2)
    perfect = [e for e in exhibits if e.name == "perfect"]
    if perfect:
        lines.append(
            f"{sum(e.passed_all for e in perfect)} of {len(perfect)} perfect generators passed"
        )
    return lines


def _gate_names(exhibits: Iterable[Exhibit]) -> list[str]:
    """In the order in which they judge; what judged nobody is left out."""
    found: dict[str, None] = {}
    for exhibit in exhibits:
        found |= dict.fromkeys(gate.name for gate in exhibit.gates)
    return list(found)


def _folded(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
