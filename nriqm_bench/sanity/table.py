"""The pass/fail table as plain text: a row for each check and desideratum, a column a metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from nriqm_bench.sanity.check import Kind
from nriqm_bench.sanity.checks import CHECKS
from nriqm_bench.sanity.judging import Cell
from nriqm_bench.sanity.measuring import METRICS, kinds
from nriqm_bench.sanity.published import CHANCE, mark

WIDTH = 79

_COLUMN = 9
_PER_BLOCK = 6
_SHORT = {"clipped-density": "clip-den", "clipped-coverage": "clip-cov"}

_LEGEND = (
    "T pass, F fail, L/H pass as a low/high diversity metric; ~ on a threshold:",
    "chance decides; ! not as published (Raisa et al. 2025, arXiv 2505.22450).",
    "D1 purpose, D2 hyperparameters, D3 data, D4 bounds, D5 invariance.",
)


@dataclass(frozen=True)
class Entry:
    """One cell on its way to the table; plain JSON types."""

    check: str
    desideratum: str
    metric: str
    kind: Kind
    mark: str
    on_threshold: bool
    published: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """As a dict of plain JSON types."""
        return asdict(self)


def entries(check: str, metric: str, kind: Kind, cells: dict[str, Cell]) -> list[Entry]:
    """The entries of one metric and check."""
    return [
        Entry(
            check,
            name,
            metric,
            kind,
            cell.mark,
            cell.on_threshold or (check, name, metric) in CHANCE,
            mark(check, name, metric, kind),
            cell.sentence,
        )
        for name, cell in cells.items()
    ]


def render(found: Iterable[Entry]) -> list[str]:
    """The table, in lines of fewer than 80 characters; more than six columns make more blocks."""
    by_column: dict[tuple[str, Kind], dict[tuple[str, str], Entry]] = {}
    for entry in found:
        column = by_column.setdefault((entry.metric, entry.kind), {})
        column[entry.check, entry.desideratum] = entry
    columns = sorted(by_column, key=_order)
    lines: list[str] = []
    for start in range(0, len(columns), _PER_BLOCK):
        block = {c: by_column[c] for c in columns[start : start + _PER_BLOCK]}
        lines += [*_block(block), ""]
    return [*lines, *_LEGEND] if lines else []


def _order(column: tuple[str, Kind]) -> tuple[int, str, bool]:
    name, kind = column
    return METRICS.index(name) if name in METRICS else len(METRICS), name, kind == "diversity"


def _block(columns: dict[tuple[str, Kind], dict[tuple[str, str], Entry]]) -> Iterator[str]:
    yield _line("", "", [_heading(*column) for column in columns])
    for check in CHECKS:
        for i, name in enumerate(check.cells):
            cells = [rows.get((check.name, name)) for rows in columns.values()]
            if any(cells):
                yield _line("" if i else check.title, name, [_cell(e) for e in cells])
    yield _line("failed", "", [_failed(rows, False) for rows in columns.values()])
    if any(entry.published for rows in columns.values() for entry in rows.values()):
        yield _line("published", "", [_failed(rows, True) for rows in columns.values()])


def _line(title: str, name: str, cells: list[str]) -> str:
    return f"{title:22}{name:3}{''.join(f'{cell:>{_COLUMN}}' for cell in cells)}".rstrip()


def _heading(metric: str, kind: Kind) -> str:
    if len(kinds(metric)) == 1:
        return _SHORT.get(metric, metric)
    return f"{metric[: _COLUMN - 3]}:{kind[0]}"


def _cell(entry: Entry | None) -> str:
    if entry is None:
        return ""
    differs = entry.published not in ("", entry.mark)
    return f"{entry.mark}{'~' if entry.on_threshold else ' '}{'!' if differs else ' '}"


def _failed(rows: dict[tuple[str, str], Entry], published: bool) -> str:
    marks = [e.published if published else e.mark for e in rows.values()]
    return f"{marks.count('F')}/{len(marks)}" if all(marks) else ""
