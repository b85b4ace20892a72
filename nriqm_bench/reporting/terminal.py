"""The tables at the end of a pytest run: plain text that fits the width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from nriqm_bench.reporting import downstream, summary
from nriqm_bench.reporting.schema import Gate, Row, Run

# Characters of a cell of the matrix: an effect and its verdict.
_COLUMN = 8
# Characters of the name of a case beside it, on a page of 80.
_LABEL = 26

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"

# From this width on, and how wide, a gate's place between floor and limit is drawn.
_WIDE, _POSITION = 139, 20

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.-=+*#@"


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
        Below -1 the decision alone, at -1 failures and gates too; 0 the sensitivity matrix; above 0
        every curve.
    reports
        Where reports were written.
    """
    page = _Page(run, max(60, width), unicode)
    if verbosity < -1:
        page.decisions()
        return page.lines
    for name, told in summary.on_trial(run):
        page.wrapped(f"{name + ':':11}{told}", indent=11)
    page.failures()
    if verbosity == 0:
        for matrix in summary.matrices(run):
            page.matrix(matrix)
        if run.rows:
            page.legend()
    if verbosity > 0:
        page.curves()
    if verbosity >= 0:
        page.blind_spots(names=verbosity > 0)
        if run.rows:
            page.gap()
            page.wrapped(f"cases:     {summary.counts(run)}", indent=11)
        page.downstream(every=verbosity > 0)
    page.gates()
    page.decisions()
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
        self.lines.append(text)
        self.lines.append(("─" if self.unicode else "-") * min(len(text), self.width))

    def wrapped(self, text: str, indent: int = 0, first: int = 0) -> None:
        self.lines += textwrap.wrap(
            self.plain(text),
            self.width,
            initial_indent=" " * first,
            subsequent_indent=" " * indent,
        ) or [""]

    def plain(self, text: str) -> str:
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

    def legend(self) -> None:
        self.gap()
        self.wrapped(summary.MARK_LEGEND)
        self.wrapped("cases of which nothing is asked are left out; -v shows every curve")
        self.wrapped(summary.EXPLAINED[0])

    def curves(self) -> None:
        header = ["case", "metric", "effect", "sees from", "as noise", "curve", "verdict"]
        for source in dict.fromkeys(row.source for row in self.run.rows):
            self.heading(f"Every curve on {source}")
            rows = [
                [
                    row.case,
                    summary.metric_name(row, self.run),
                    summary.effect(row.effect),
                    summary.number(row.detection_level, 2),
                    summary.as_noise(row, self.run),
                    sparkline(row.values, self.unicode),
                    row.verdict,
                ]
                for row in self.run.rows
                if row.source == source
            ]
            self.table(header, rows, left=2)
        for line in summary.EXPLAINED:
            self.wrapped(line)

    def blind_spots(self, names: bool) -> None:
        known = summary.blind_spots(self.run, names)
        if not known:
            return
        self.heading("Known blind spots" if names else "Known blind spots (how many metrics)")
        for reason, where in known:
            self.wrapped(f"{', '.join(where)}:", indent=4)
            self.wrapped(reason, indent=4, first=4)

    def downstream(self, every: bool) -> None:
        """What segmenters found; of the metrics that rank alike all in a line, or one each."""
        if self.run.downstream:
            self.heading(downstream.title(self.run))
            self.table(downstream.header(self.run), downstream.table(self.run), gap=1)
            for line in (*downstream.EXPLAINED, downstream.cost(self.run)):
                self.wrapped(line, indent=2)
        last = ""
        for over, space, rows in downstream.rankings(self.run):
            title = downstream.ranking_title(over, rows)
            if title != last:
                self.heading(title)
                self.wrapped(f"{downstream.AGREEMENT}; {downstream.caution(rows)}")
            last = title
            if every:
                self.gap()
                lines = [
                    [
                        row.metric,
                        downstream.tau(row),
                        downstream.interval(row),
                        summary.number(row.p, 2),
                    ]
                    for row in rows
                ]
                self.table([f"in {space}", "tau", "95 %", "p"], lines)
            else:
                told = ", ".join(f"{row.metric} {downstream.tau(row)}" for row in rows)
                self.wrapped(f"{space}: {told}", indent=4)

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
            self.gate_table([g for g in self.run.gates if g.generator == name])

    def side_by_side(self, names: Sequence[str]) -> None:
        """Values and verdicts, in blocks of as many generators as fit."""
        at = {(g.name, g.generator): g for g in self.run.gates}
        gates = list(dict.fromkeys(g.name for g in self.run.gates))
        cells = {key: f"{summary.number(g.value)} {_word(g)}" for key, g in at.items()}
        column = max(map(len, [*cells.values(), *names]))
        room = max(1, (self.width - max(map(len, gates))) // (column + 2))
        for start in range(0, len(names), room):
            shown = names[start : start + room]
            if start:
                self.gap()
            self.table(
                ["gate", *shown],
                [[gate, *(cells.get((gate, n), "-") for n in shown)] for gate in gates],
            )

    def gate_table(self, gates: Sequence[Gate]) -> None:
        plus = "±" if self.unicode else "+-"
        wide = self.width >= _WIDE
        header = ["gate", "metric", *(["in"] if wide else []), "value"]
        header += [*(["95 %"] if wide else []), "floor", "limit"]
        header += [*(["floor, limit, value"] if wide else []), "verdict"]
        rows = []
        for g in gates:
            row = [g.name, g.metric, *([g.extractor] if wide else []), summary.number(g.value)]
            row += [_interval(g)] if wide else []
            row += [
                f"{summary.number(g.floor_mean)} {plus} {summary.number(g.floor_sd, 2)}",
                summary.threshold(g),
            ]
            row += [*([position(g, self.unicode)] if wide else []), _word(g)]
            rows.append(row)
        self.table(header, rows, left=3 if wide else 2)
        for g in gates:
            if g.verdict != "pass" or g.name == "fidelity":
                self.wrapped(f"{g.name}: {g.reason}", indent=2)
            if g.verdict == "fail":
                for pair in list(g.pairs)[:3]:
                    self.wrapped(summary.pair_line(pair), indent=6, first=4)

    def decisions(self) -> None:
        self.gap()
        if not self.run.gates:
            if self.run.rows and not self.run.generator:
                self.wrapped("No generator was given, so there is nothing to release.")
            return
        for generator, released, why in summary.decisions(self.run):
            word = "RELEASE" if released else "DO NOT RELEASE"
            self.wrapped(f"{word} {generator}: {why}", indent=2)


def sparkline(values: Sequence[float], unicode: bool = True) -> str:
    """The shape of a curve in one line."""
    blocks = _BLOCKS if unicode else _ASCII_BLOCKS
    low, high = min(values), max(values)
    if high == low:
        return blocks[0] * len(values)
    return "".join(blocks[round((v - low) / (high - low) * (len(blocks) - 1))] for v in values)


def position(gate: Gate, unicode: bool = True) -> str:
    """Where a gate's value lies: the floor (two SD), the limit and the value on one line."""
    line, band, limit, value = "·░│◆" if unicode else ".=|o"
    low, high = gate.floor_mean - 2 * gate.floor_sd, gate.floor_mean + 2 * gate.floor_sd
    shown = [low, high, gate.threshold, gate.value]
    left, span = min(shown), (max(shown) - min(shown)) or 1.0

    def at(x: float) -> int:
        return round((x - left) / span * (_POSITION - 1))

    cells = [band if at(low) <= i <= at(high) else line for i in range(_POSITION)]
    cells[at(gate.threshold)] = limit
    cells[at(gate.value)] = value
    return "".join(cells)


def _word(gate: Gate) -> str:
    return "FAIL" if gate.verdict == "fail" else gate.verdict


def _interval(gate: Gate) -> str:
    if gate.interval is None:
        return ""
    return " to ".join(summary.number(end) for end in gate.interval)


def _cell(row: Row | None) -> str:
    return "" if row is None else f"{summary.effect(row.effect)} {summary.MARKS[row.verdict]}"


def _broken(name: str) -> list[str]:
    """A metric's name in lines that a column of the matrix holds."""
    wrapped = textwrap.wrap(name.replace("-", "- "), _COLUMN, break_long_words=False)
    lines = [line.replace("- ", "-") for line in wrapped]
    return [line if len(line) <= _COLUMN else f"{line[: _COLUMN - 1]}." for line in lines]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "~"
