"""The tables at the end of a pytest run: plain text that fits the width."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence

from nriqm_bench.reporting import downstream, summary
from nriqm_bench.reporting.schema import Gate, Row, Run
from nriqm_bench.reporting.shapes import position, position_legend, sparkline

# Characters of a cell of the matrix: an effect and its verdict.
_COLUMN = 8
# Characters of the name of a case beside it, on a page of 80.
_LABEL = 26


# From this width on curves are told with their ends and floors.
_WIDE = 120
# The columns of gates that a narrow page does without, the first of them last.
_OPTIONAL = ("95 %", "worse to the right", "in")
# Characters of a generator's name where it heads a column.
_NAME = 20


def render(
    run: Run,
    width: int = 80,
    unicode: bool = True,
    verbosity: int = 0,
    reports: Sequence[str] = (),
) -> list[str]:
    """The report as lines of at most `width` characters.

    Parameters
    ----------
    run
        What to show.
    width
        Columns; below 60 is taken as 60.
    unicode
        False: ASCII alone.
    verbosity
        Below -1 the decision alone; -1 failures, gates and the decision; 0 also what is on trial,
        the sensitivity matrix of the main feature space, what was found downstream, notes and
        where reports lie; above 0 every matrix, every curve and every known blind spot.
    reports
        Where reports were written.
    """
    page = _Page(run, max(60, width), unicode)
    if verbosity >= 0:
        for name, told in summary.on_trial(run):
            page.wrapped(f"{name + ':':11}{told}", indent=11)
    if verbosity > -2:
        page.failures()
    if verbosity >= 0:
        page.sensitivity(every=verbosity > 0)
        page.downstream(every=verbosity > 0)
    if verbosity > -2:
        page.gates()
    page.decisions()
    if verbosity >= 0:
        for note in run.notes:
            page.wrapped(f"note: {note}", indent=6)
        if reports:
            page.wrapped(f"reports: {', '.join(reports)}", indent=9)
    return page.lines


def markup(line: str) -> dict[str, bool]:
    """How pytest's terminal writer shows a line that says a verdict; words say it already."""
    if line.startswith("RELEASE "):
        return {"green": True, "bold": True}
    if line.startswith("DO NOT RELEASE "):
        return {"red": True, "bold": True}
    if line.startswith(("FAIL  ", "ERROR ")) or line.endswith(" FAIL"):
        return {"red": True}
    if line.endswith(" untrusted") or line.startswith("note: "):
        return {"yellow": True}
    return {}


class _Page:
    def __init__(self, run: Run, width: int, unicode: bool) -> None:
        self.run = run
        self.width = width
        self.unicode = unicode
        self.lines: list[str] = []

    def gap(self) -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def heading(self, text: str) -> None:
        self.gap()
        shown = _cut(self.plain(text), self.width)
        self.lines += [shown, ("─" if self.unicode else "-") * len(shown)]

    def wrapped(self, text: str, indent: int = 0, first: int = 0) -> None:
        self.lines += textwrap.wrap(
            self.plain(text),
            self.width,
            initial_indent=" " * first,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        ) or [""]

    def listed(self, title: str, items: Sequence[str]) -> None:
        """Items after a title; no line ends within one."""
        line = self.plain(title)
        for i, item in enumerate(items):
            piece = f" {self.plain(item)}{',' if i < len(items) - 1 else ''}"
            if len(line + piece) > self.width:
                self.lines.append(line)
                line = "   "
            line += piece
        self.lines.append(_cut(line, self.width))

    def plain(self, text: str) -> str:
        """What the terminal can show; names of others may hold what would steer it."""
        text = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
        return text if self.unicode else text.encode("ascii", "replace").decode()

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[str]],
        left: int = 1,
        gap: int = 2,
    ) -> None:
        """Columns as wide as needed; the first shrinks when the page is too narrow."""
        table = [[self.plain(cell) for cell in row] for row in (header, *rows)]
        widths = [max(len(row[i]) for row in table) for i in range(len(header))]
        over = sum(widths) + gap * (len(widths) - 1) - self.width
        for i in range(left):
            if over > 0:
                cut = min(over, widths[i] - 8)
                widths[i] -= cut
                over -= cut
        for row in table:
            cells = [
                _cut(cell, w).ljust(w) if i < left else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            ]
            self.lines.append((" " * gap).join(cells).rstrip())

    def failures(self) -> None:
        failed = summary.failures(self.run)
        if not failed:
            return
        self.heading(f"Failed cases ({len(failed)})")
        for row in failed:
            shape = sparkline(row.values, self.unicode)
            what = f"{row.case}: {summary.metric_name(row, self.run)} on {row.source} {shape}: "
            self.wrapped(f"{row.verdict.upper():6}{what}{row.reason}", indent=6)

    def sensitivity(self, every: bool) -> None:
        """The matrix of the main feature space on held-out images, and how the others went."""
        if not self.run.rows:
            return
        found = summary.matrices(self.run)
        for matrix in found if every else found[:1]:
            self.matrix(matrix)
        self.gap()
        self.wrapped(summary.MARK_LEGEND)
        self.wrapped("cases of which nothing is asked are left out")
        self.wrapped(summary.EXPLAINED[0])
        if every:
            self.curves()
            self.blind_spots()
        else:
            self.other_matrices(found[1:])
        self.gap()
        more = "" if every else "; -v shows every table, curve and known blind spot"
        self.wrapped(f"cases:     {summary.counts(self.run)}{more}", indent=11)

    def other_matrices(self, matrices: Sequence[summary.Matrix]) -> None:
        """A line each: how many verdicts of every kind."""
        if not matrices:
            return
        told = [
            Counter(c.verdict for cells in m.cells for c in cells if c is not None)
            for m in matrices
        ]
        verdicts = [v for v in summary.MARKS if any(counted[v] for counted in told)]
        self.heading("Other images and feature spaces")
        self.table(
            ["on", "in", *verdicts],
            [
                [m.source, m.space, *(str(counted[v] or "") for v in verdicts)]
                for m, counted in zip(matrices, told, strict=True)
            ],
            left=2,
        )

    def matrix(self, matrix: summary.Matrix) -> None:
        """Blocks of as many metrics as fit; a case of which a block asks nothing is left out."""
        if not any(c is not None and c.verdict != "unspecified" for r in matrix.cells for c in r):
            return
        self.heading(matrix.title)
        label = min(max(map(len, ["case", *matrix.labels])), max(_LABEL, self.width - 80 + _LABEL))
        room = max(1, (self.width - label) // (_COLUMN + 1))
        for start in range(0, len(matrix.metrics), room):
            chosen = range(start, min(start + room, len(matrix.metrics)))
            rows = [
                [label, *(_cell(cells[j]) for j in chosen)]
                for label, cells in zip(matrix.labels, matrix.cells, strict=True)
                if any(c is not None and c.verdict != "unspecified" for c in cells[start:][:room])
            ]
            if rows:
                self.blocks(["case", *(matrix.metrics[j] for j in chosen)], rows)

    def blocks(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table whose headers break at their hyphens."""
        words = [_broken(cell) if i else [cell] for i, cell in enumerate(header)]
        height = max(map(len, words))
        lines = [
            [("" if height - i > len(word) else word[i - height]) for word in words]
            for i in range(height)
        ]
        if not self.lines[-1].startswith(("─", "-")):
            self.gap()
        self.table(lines[0], [*lines[1:], *rows], gap=1)

    def curves(self) -> None:
        """Under each case one line a curve; a wide page also has its ends and its floor."""
        wide = self.width >= _WIDE
        more = ["from", "to", "floor", "floor SD"] if wide else []
        header = ["case", *more, "effect", "sees from", "as noise", "curve", "verdict"]
        for matrix in summary.matrices(self.run):
            self.heading(f"Every curve on {matrix.source} in {matrix.space}")
            rows = []
            for label, cells in zip(matrix.labels, matrix.cells, strict=True):
                rows.append([label, *[""] * (len(header) - 1)])
                for row in cells:
                    if row is None:
                        continue
                    ends = (row.values[0], row.values[-1], row.floor_mean, row.floor_sd)
                    told = [
                        f"  {row.metric}",
                        *(summary.number(end) for end in (ends if wide else ())),
                        summary.effect(row.effect),
                        summary.number(row.detection_level, 2),
                        summary.as_noise(row, self.run),
                        sparkline(row.values, self.unicode),
                        row.verdict,
                    ]
                    rows.append(told)
            self.table(header, rows)
        self.gap()
        for line in summary.EXPLAINED[1:]:
            self.wrapped(line)

    def blind_spots(self) -> None:
        known = summary.blind_spots(self.run)
        if not known:
            return
        self.heading("Known blind spots")
        for reason, where in known:
            self.wrapped(f"{', '.join(where)}:", indent=4)
            self.wrapped(reason, indent=4, first=4)

    def downstream(self, every: bool) -> None:
        """What segmenters found, and which metrics rank alike: in the main space, or everywhere."""
        if self.run.downstream:
            self.heading(downstream.title(self.run))
            self.table(downstream.header(self.run), downstream.table(self.run), gap=1)
            for line in (*downstream.EXPLAINED, downstream.cost(self.run)):
                self.wrapped(line, indent=2)
        last = ""
        found = downstream.rankings(self.run)
        main = [ranking for ranking in found if ranking[1] == summary.main_space(self.run)]
        for over, space, rows in found if every else main:
            title = downstream.ranking_title(over, rows)
            if title != last:
                self.heading(title)
                self.wrapped(f"{downstream.AGREEMENT}; {downstream.caution(rows)}")
            last = title
            if every:
                self.gap()
                self.table([f"in {space}", "tau", "95 %", "p"], downstream.cells(rows))
            else:
                self.listed(f"{space}:", [f"{row.metric} {downstream.tau(row)}" for row in rows])

    def gates(self) -> None:
        """One table a generator, with more columns on a wide page; of several all side by side."""
        if not self.run.gates:
            return
        names = list(dict.fromkeys(g.generator for g in self.run.gates))
        if len(names) > 1:
            self.heading("Gates, generators side by side")
            self.side_by_side(names)
        for name in names:
            self.heading(f"Gates of {name}" if len(names) > 1 else "Gates")
            gates = summary.failed_first([g for g in self.run.gates if g.generator == name])
            self.gate_table(gates)
            self.gate_reasons(gates)

    def side_by_side(self, names: Sequence[str]) -> None:
        """Values and verdicts, in blocks of as many generators as fit."""
        at = {(g.name, g.generator): g for g in self.run.gates}
        gates = list(dict.fromkeys(g.name for g in self.run.gates))
        cells = {key: f"{summary.number(g.value)} {_word(g)}" for key, g in at.items()}
        heads = {name: _cut(name, _NAME) for name in names}
        column = max(map(len, [*cells.values(), *heads.values()]))
        room = max(1, (self.width - max(map(len, gates))) // (column + 2))
        for start in range(0, len(names), room):
            shown = names[start : start + room]
            if start:
                self.gap()
            self.table(
                ["gate", *(heads[name] for name in shown)],
                [[gate, *(cells.get((gate, n), "-") for n in shown)] for gate in gates],
            )

    def gate_table(self, gates: Sequence[Gate]) -> None:
        """All columns of `_OPTIONAL` that fit, beside those that are always there."""
        plus = "±" if self.unicode else "+-"
        columns = {
            "gate": [g.name for g in gates],
            "metric": [g.metric for g in gates],
            "in": [g.extractor for g in gates],
            "value": [summary.number(g.value) for g in gates],
            "95 %": [summary.interval(g) for g in gates],
            "floor": [
                f"{summary.number(g.floor_mean)} {plus} {summary.number(g.floor_sd, 2)}"
                for g in gates
            ],
            "limit": [summary.threshold(g) for g in gates],
            _OPTIONAL[1]: [position(g, self.unicode) for g in gates],
            "verdict": [_word(g) for g in gates],
        }
        optional = [name for name in _OPTIONAL if any(columns[name])]
        for name in set(_OPTIONAL) - set(optional):
            del columns[name]
        while optional and _wide(columns) > self.width:
            del columns[optional.pop()]
        self.table(
            list(columns),
            list(zip(*columns.values(), strict=True)),
            left=3 if "in" in columns else 2,
        )
        if _OPTIONAL[1] in columns:
            self.wrapped(position_legend(self.unicode))

    def gate_reasons(self, gates: Sequence[Gate]) -> None:
        """Why of what did not pass, with the nearest copies; fidelity is told in any case."""
        for g in gates:
            if g.verdict != "pass" or g.name == "fidelity":
                self.wrapped(f"{g.name}: {g.reason}", indent=2)
            if g.verdict == "fail":
                for pair in list(g.pairs)[:3]:
                    self.wrapped(summary.pair_line(pair), indent=4, first=2)

    def decisions(self) -> None:
        self.gap()
        if not self.run.gates:
            if self.run.rows and not self.run.generator:
                self.wrapped("No generator was given, so there is nothing to release.")
            return
        for generator, released, why in summary.decisions(self.run):
            word = "RELEASE" if released else "DO NOT RELEASE"
            self.wrapped(f"{word} {generator}: {why}", indent=2)


def _wide(columns: Mapping[str, Sequence[str]]) -> int:
    """Characters of a table of those columns."""
    return sum(max(map(len, [name, *cells])) + 2 for name, cells in columns.items()) - 2


def _word(gate: Gate) -> str:
    return "FAIL" if gate.verdict == "fail" else gate.verdict


def _cell(row: Row | None) -> str:
    return "" if row is None else f"{summary.effect(row.effect)} {summary.MARKS[row.verdict]}"


def _broken(name: str) -> list[str]:
    """A metric's name in lines that a column of the matrix holds."""
    wrapped = textwrap.wrap(name.replace("-", "- "), _COLUMN, break_long_words=False)
    lines = [line.replace("- ", "-") for line in wrapped]
    return [line if len(line) <= _COLUMN else f"{line[: _COLUMN - 1]}." for line in lines]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"
