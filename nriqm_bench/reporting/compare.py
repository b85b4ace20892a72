"""Two runs side by side: what moved, by how many floor SD, and what of it is beyond chance.

Both runs are draws: of samples, of real images and, with another seed, of everything. A difference
is told in floor SD with its interval, and is a regression only where chance makes one so large in
fewer than `LEVEL` of comparisons, over all gates together (Holm). docs/statistics.md has the
measurements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scipy import stats

from nriqm_bench.evidence import holm
from nriqm_bench.reporting.comparable import comparable, differences
from nriqm_bench.reporting.schema import Downstream, Gate, Row, Run

# How often equal generators may differ beyond chance: any gate, and again any row.
LEVEL = 0.01
# Values of one generator vary by up to so many floor SD (docs/statistics.md, 21 seeds). With the
# same seed the real images are the same, and only samples differ. With another the floor, which is
# known from one finite set of images, says less than there is; where a value has no interval of its
# own, nothing says how much more a generator that is not real varies.
SPREAD_SAME = 1.0
SPREAD = 1.25
SPREAD_ALONE = 1.6
# What damage does to a metric spreads over seeds by a floor SD and by this share of itself.
ROW_SPREAD = 0.2

_TWO_SIDED = 1.96
# Below this share of a mean a floor's SD is rounding (`nriqm_bench.evidence.Floor`).
_ROUNDING = 2e-9
_DECIDED = ("pass", "fail")
_HELD_OUT = "held-out"


@dataclass(frozen=True)
class Change:
    """One value in both runs.

    Attributes
    ----------
    name
        The gate, or what was measured downstream.
    before, after
        The values in their own unit; None where a run has none.
    effect
        By how much it is worse, in floor SD (the root mean square of both runs'), of what is
        downstream in its own unit; None where there is nothing to compare.
    low, high
        The 95 % interval of `effect`.
    before_verdict, after_verdict
        Of the gates; empty where a run has none.
    word
        ``regression`` or ``improvement`` (beyond chance), ``within chance``, ``flipped`` (another
        verdict, within chance), ``gone`` (decided before, and is not judged any more), ``new`` or
        ``undecided`` (in one run its metric was not trusted, or there is no number); empty for what
        is downstream, of which the gate of that name decides.
    """

    name: str
    before: float | None
    after: float | None
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    before_verdict: str = ""
    after_verdict: str = ""
    word: str = "within chance"

    @property
    def regressed(self) -> bool:
        """Whether it counts: worse beyond chance, or a decision that is made no more."""
        return self.word in ("regression", "gone")

    @property
    def z(self) -> float | None:
        """`effect` in SD of what chance makes of it."""
        if self.effect is None or self.high is None:
            return None
        return self.effect * _TWO_SIDED / (self.high - self.effect)

    @property
    def turned(self) -> str:
        """The verdict, or both where they differ."""
        both = (self.before_verdict or "none", self.after_verdict or "none")
        return both[1] if both[0] == both[1] else " -> ".join(both)


@dataclass(frozen=True)
class RowChange:
    """One metric along one case, with another verdict; `word` as in `Change`.

    ``regression``: it breaks, or it fails and its effect differs beyond chance, on the same images
    or the same generator.
    """

    case: str
    source: str
    metric: str
    extractor: str
    before: float
    after: float
    before_verdict: str
    after_verdict: str
    word: str

    @property
    def regressed(self) -> bool:
        """Whether it counts."""
        return self.word == "regression"


@dataclass(frozen=True)
class Comparison:
    """One generator before and after.

    Attributes
    ----------
    before, after
        The generators' names.
    named
        What else differs between the runs and may have moved a number: seed, code, libraries.
    gates, rows, downstream
        What was compared: every gate, rows whose verdict changed, Dice coefficients (told, and
        decided by the gate of that name).
    compared_rows
        How many rows both runs have.
    vanished
        Rows of the first run that the second has not, by case and by metric.
    """

    before: str
    after: str
    named: Sequence[str] = ()
    gates: Sequence[Change] = ()
    rows: Sequence[RowChange] = ()
    downstream: Sequence[Change] = ()
    compared_rows: int = 0
    vanished: Sequence[str] = ()

    @property
    def regressed(self) -> bool:
        """Whether any gate or row counts as a regression."""
        return any(c.regressed for c in self.gates) or any(c.regressed for c in self.rows)

    @property
    def title(self) -> str:
        """Both names, or one where they agree."""
        return self.after if self.before == self.after else f"{self.before} -> {self.after}"


def critical(gates: int) -> float:
    """The `Change.z` that is beyond chance for the worst of so many gates."""
    return float(stats.norm.isf(LEVEL / max(gates, 1)))


def compare(before: Run, after: Run) -> list[Comparison]:
    """Each generator of both runs, by name; one in each run, whatever they are called.

    The gate ``regression`` is itself a comparison and left out.

    Raises
    ------
    ValueError
        As `comparable`, or when the runs have several generators and none in common.
    """
    comparable(before, after)
    old, new = _names(before), _names(after)
    named = differences(before, after)
    if len(old) == len(new) <= 1:
        pairs = [(*old, *new)] if old else [(_HELD_OUT, _HELD_OUT)]
    else:
        pairs = [(name, name) for name in new if name in old]
        named += [f"{name} is in one run only" for name in sorted({*old} ^ {*new})]
    if not pairs:
        raise ValueError(
            f"the runs have no generator in common ({', '.join(old) or 'none'} and "
            f"{', '.join(new) or 'none'}); runs of one generator each are compared whatever their "
            "names"
        )
    return [
        _compared(only(before, a, i == 0), only(after, b, i == 0), a, b, named)
        for i, (a, b) in enumerate(pairs)
    ]


def within(run: Run) -> list[Comparison]:
    """Every generator of one run against the first.

    Raises
    ------
    ValueError
        When the run has fewer than two generators.
    """
    names = _names(run)
    if len(names) < 2:
        raise ValueError(
            f"the run has {len(names) or 'no'} generator{'s' * (len(names) != 1)}, must have two "
            "or more to compare them; name a second run, or pass --generator twice"
        )
    first = only(run, names[0], False)
    return [_compared(first, only(run, name, False), names[0], name, []) for name in names[1:]]


def _compared(before: Run, after: Run, old: str, new: str, named: Sequence[str]) -> Comparison:
    one, other = ([g.get("key") for g in run.generator] for run in (before, after))
    rows, shared, vanished = _rows(before, after, old, new, one == other)
    return Comparison(
        before=old,
        after=new,
        named=list(named),
        gates=_gates(before, after),
        rows=rows,
        downstream=_downstream(before, after, old, new),
        compared_rows=shared,
        vanished=vanished,
    )


def _gates(before: Run, after: Run) -> list[Change]:
    old = {g.name: g for g in before.gates if g.name != "regression"}
    new = {g.name: g for g in after.gates if g.name != "regression"}
    n = int(after.settings.get("n", 1))
    same = before.settings.get("seed") == after.settings.get("seed")
    changes = [_change(old.get(name), new.get(name), n, same) for name in sorted({*old, *new})]
    family = [i for i, c in enumerate(changes) if c.word == "within chance"]
    for sign, word in ((1, "regression"), (-1, "improvement")):
        # Worse and better are asked for apart: twice the one-sided question.
        tails = [float(stats.norm.sf(sign * (changes[i].z or 0.0))) for i in family]
        for i, (beyond, _) in zip(family, holm(tails, LEVEL), strict=True):
            if beyond:
                changes[i] = replace(changes[i], word=word)
    return [
        replace(c, word="flipped")
        if c.word == "within chance" and c.before_verdict != c.after_verdict
        else c
        for c in changes
    ]


def _change(old: Gate | None, new: Gate | None, n: int, same: bool) -> Change:
    """One gate, before the family is looked at; `same` says that both saw the same real images."""
    some = old or new
    assert some is not None
    found = Change(
        name=some.name,
        before=old.value if old else None,
        after=new.value if new else None,
        before_verdict=old.verdict if old else "",
        after_verdict=new.verdict if new else "",
    )
    if old is None:
        return replace(found, word="new")
    if new is None:
        return replace(found, word="gone" if old.verdict in _DECIDED else "undecided")
    if old.value is None or new.value is None:
        return replace(found, word="undecided")
    sign = 1 if new.direction == "above" else -1
    scale = math.hypot(_scale(old, n), _scale(new, n)) / math.sqrt(2)
    effect = sign * (new.value - old.value) / scale
    spread = SPREAD if old.interval and new.interval else SPREAD_ALONE
    if same:
        spread = SPREAD_SAME
    margin = _TWO_SIDED * spread * math.sqrt(2)
    decided = old.verdict in _DECIDED and new.verdict in _DECIDED
    return replace(
        found,
        effect=effect,
        low=effect - margin,
        high=effect + margin,
        word="within chance" if decided else "undecided",
    )


def _scale(gate: Gate, n: int) -> float:
    """The floor SD; never less than the value's own interval says, or one sample in `n`.

    That no real image matches makes the floor of a share 0, and the first match no alarm.
    """
    scale = gate.floor_sd or 0.0
    if gate.interval is not None and None not in gate.interval:
        low, high = gate.interval
        scale = max(scale, (high - low) / (2 * _TWO_SIDED))
    return scale if scale > _ROUNDING * max(1.0, abs(gate.floor_mean)) else 1 / n


def _rows(
    before: Run, after: Run, old: str, new: str, same: bool
) -> tuple[list[RowChange], int, list[str]]:
    """Rows with another verdict, how many rows both runs have, and what vanished."""

    def keyed(run: Run, own: str) -> dict[tuple[str, str, str, str], Row]:
        # The generators stand for each other, whatever they are called.
        return {
            (r.case, "" if r.source == own else r.source, r.metric, r.extractor): r
            for r in run.rows
        }

    first, second = keyed(before, old), keyed(after, new)
    shared = [key for key in first if key in second]
    # Asked is whether a metric that saw enough sees less, or more than it should.
    family = [k for k in shared if first[k].verdict == "pass" and second[k].verdict in _DECIDED]
    tails = holm([_row_tail(first[key], second[key]) for key in family], LEVEL)
    beyond = {key for key, (found, _) in zip(family, tails, strict=True) if found}
    changes = []
    for key in shared:
        a, b = first[key], second[key]
        if a.verdict == b.verdict:
            continue
        # Cases judge metrics: on another generator's images they may well say something else.
        fell = key in beyond and (b.source == _HELD_OUT or same) and b.verdict == "fail"
        broke = a.verdict == "pass" and b.verdict == "error"
        word = "regression" if fell or broke else "flipped"
        names = (b.case, b.source, b.metric, b.extractor)
        changes.append(RowChange(*names, a.effect, b.effect, a.verdict, b.verdict, word))
    changes.sort(key=lambda c: (not c.regressed, c.after_verdict not in ("error", "fail")))
    return changes, len(shared), _vanished([r for key, r in first.items() if key not in second])


def _row_tail(before: Row, after: Row) -> float:
    """How often chance makes one curve rise or fall so much more or less, two-sided.

    Changes from first to last level in floor SD of both runs: the floors' own errors, which grow
    with an effect, do not make a difference. 1 where the floor is rounding, which is no scale.
    """
    values = [*before.values, *after.values, before.floor_sd, after.floor_sd]
    if None in values or min(before.floor_sd, after.floor_sd) <= _ROUNDING * max(
        1.0, abs(before.floor_mean)
    ):
        return 1.0
    scale = math.hypot(before.floor_sd, after.floor_sd) / math.sqrt(2)
    one, other = ((row.values[-1] - row.values[0]) / scale for row in (before, after))
    spread = math.hypot(1, 1, ROW_SPREAD * one, ROW_SPREAD * other)
    return float(2 * stats.norm.sf(abs(one - other) / spread))


def _vanished(rows: Sequence[Row]) -> list[str]:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.case, set()).add(row.metric)
    return [f"{case} ({', '.join(sorted(metrics))})" for case, metrics in found.items()]


def _downstream(before: Run, after: Run, old: str, new: str) -> list[Change]:
    """Dice coefficients of networks that were trained on samples: how much less they are."""

    def of(run: Run, own: str) -> Downstream | None:
        return next((r for r in run.downstream if r.source == own and not r.case), None)

    a, b = of(before, old), of(after, new)
    if a is None or b is None:
        return []
    found = []
    for name in ("dice", "dice_ratio"):
        (one, *first), (other, *second) = getattr(a, name), getattr(b, name)
        # Half widths of intervals over test subjects.
        margin = math.hypot(*((high - low) / 2 for low, high in (first, second)))
        lost = one - other
        found.append(
            Change(name.replace("_", " "), one, other, lost, lost - margin, lost + margin, word="")
        )
    return found


def only(run: Run, generator: str, held_out: bool = True) -> Run:
    """The run as if it had one generator alone; with or without what held-out images said."""
    sources = {generator, _HELD_OUT} if held_out else {generator}
    return replace(
        run,
        generator=[g for g in run.generator if g.get("name") == generator],
        gates=[g for g in run.gates if g.generator == generator],
        rows=[r for r in run.rows if r.source in sources],
        downstream=[r for r in run.downstream if r.source in sources],
    )


def _names(run: Run) -> list[str]:
    return [str(g.get("name")) for g in run.generator]
