"""What each gate says about each generator of the gallery, in runs of several seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from nriqm_bench import gates
from nriqm_bench.demo import rogues
from nriqm_bench.experiment import Lab
from nriqm_bench.generators import Generator
from nriqm_bench.reporting import Gate
from nriqm_bench.settings import Settings

# These train a network for each generator, and need not catch any of the rogues.
COSTLY = frozenset({"downstream"})


@dataclass(frozen=True)
class Exhibit:
    """One generator before the gates of one run.

    Parameters
    ----------
    name, dataset, seed
        Who was judged in which run.
    gates
        The outcomes, in the order of the gates, without the pairs of memorisation gates.
    skipped
        Gates that had nothing to look at, and why.
    draw
        Which of several perfect generators of one run.
    """

    name: str
    dataset: str
    seed: int
    gates: tuple[Gate, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    draw: int = 0

    @property
    def failed(self) -> tuple[str, ...]:
        """The gates that it failed."""
        return tuple(gate.name for gate in self.gates if gate.verdict == "fail")

    @property
    def passed_all(self) -> bool:
        """Whether it was judged and no gate failed it."""
        return bool(self.gates) and not self.failed

    @property
    def should_fail(self) -> tuple[str, ...]:
        """Of the gates that judged it, those of which one should have failed it."""
        known = rogues.ROGUES.get(self.name)
        return tuple(
            gate.name
            for gate in self.gates
            if known and any(fnmatchcase(gate.name, pattern) for pattern in known.caught_by)
        )

    @property
    def caught(self) -> bool | None:
        """Whether a gate that should catch it did; None where none of these judged it."""
        if not self.should_fail:
            return None
        return not set(self.should_fail).isdisjoint(self.failed)

    @property
    def as_expected(self) -> bool | None:
        """Whether a rogue was caught, or the perfect generator let pass; None: nothing expected."""
        return self.passed_all if self.name == "perfect" else self.caught

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "dataset": self.dataset,
            "seed": self.seed,
            "gates": [gate.to_dict() for gate in self.gates],
            "skipped": dict(self.skipped),
            "draw": self.draw,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Exhibit:
        """From what `to_dict` made."""
        judged = tuple(Gate.from_dict(gate) for gate in found["gates"])
        who = (found["name"], found["dataset"], found["seed"])
        return cls(*who, judged, found["skipped"], found["draw"])


def judged(
    settings: Settings,
    generators: Sequence[Generator],
    patterns: Sequence[str] = ("*",),
    spared: Collection[str] = (),
) -> list[Exhibit]:
    """What the gates that match a pattern say about each generator in one run.

    Parameters
    ----------
    settings
        Dataset, seed, n and so on; the metrics of the gates are the only ones computed.
    generators
        Of one size.
    patterns
        Of names of gates.
    spared
        Generators that the gates of `COSTLY` do not judge.
    """
    return exhibits(Lab(limited(settings), generators), patterns, spared)


def exhibits(
    lab: Lab,
    patterns: Sequence[str] = ("*",),
    spared: Collection[str] = (),
) -> list[Exhibit]:
    """What the gates that match a pattern say about each generator of `lab`.

    Raises
    ------
    ValueError
        When no gate matches.
    """
    names = [n for n in gates.available(lab) if any(fnmatchcase(n, p) for p in patterns)]
    if not names:
        raise ValueError(
            f"no gate matches {' or '.join(patterns)}, must be of {', '.join(gates.available(lab))}"
        )
    found = []
    for generator in lab.generators:
        skipped = {n: why for n in names if (why := gates.unreadable(lab, generator, n))}
        if generator in spared:
            skipped |= {n: "not asked: a training for each generator" for n in names if n in COSTLY}
        outcomes = tuple(
            replace(gates.judge(lab, generator, n), pairs=[]) for n in names if n not in skipped
        )
        found.append(Exhibit(generator, lab.settings.dataset, lab.settings.seed, outcomes, skipped))
    return found


def limited(settings: Settings) -> Settings:
    """The same run with the metrics of the gates alone: floors of others are not needed."""
    return replace(
        settings,
        metric=tuple(dict.fromkeys(spec.metric for spec in gates.SPECS if spec.needs_metric)),
    )
