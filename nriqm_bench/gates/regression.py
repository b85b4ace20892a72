"""The regression gate: is any gate's value worse than in an earlier run, beyond chance?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nriqm_bench.evidence import Floor
from nriqm_bench.gates.spec import Finding, GateSpec
from nriqm_bench.reporting import Run, from_json
from nriqm_bench.reporting.comparable import comparable
from nriqm_bench.reporting.compare import Change, Comparison, compare, critical, only
from nriqm_bench.reporting.compared import worse
from nriqm_bench.settings import SettingsError

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

# What is judged is a difference in SD of what chance makes of it: mean 0, SD 1.
_CHANCE = Floor((-math.sqrt(0.5), math.sqrt(0.5)))

# Reports hold numbers: a gate of the baseline that is not judged any more counts as this.
GONE = 1e12

_READ: WeakKeyDictionary[Lab, Run | None] = WeakKeyDictionary()


def baseline(lab: Lab) -> Run | None:
    """The earlier run that the settings name, read once; None where there is none (yet).

    Raises
    ------
    SettingsError
        When it cannot be read, or was made with other data or settings: the sentence names them.
    """
    if lab not in _READ:
        path, absent = lab.settings.baseline, _absent(lab)
        lab.notes += [absent] if absent else []
        _READ[lab] = None if path is None or absent else _opened(lab, Path(path))
    return _READ[lab]


def _opened(lab: Lab, path: Path) -> Run:
    try:
        before = from_json(path.read_text(encoding="utf-8"))
        comparable(before, lab.run([], []))
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"the baseline {path} is of no use: {told}") from error
    return before


def _absent(lab: Lab) -> str:
    """That the first run of a project has nothing to be compared with; empty where it has."""
    path = lab.settings.baseline
    return "" if path is None or Path(path).exists() else f"no baseline yet: {path} does not exist"


def earlier(lab: Lab) -> str:
    """What is looked at."""
    return "baseline"


def missing(lab: Lab, generator: str, spec: GateSpec) -> str:
    """Why there is nothing to compare with."""
    before = baseline(lab)
    if before is None:
        return _absent(lab) or "no baseline yet: no --nriqm-baseline RUN.json was given"
    if not any(gate.name != spec.name for gate in _before(lab, before, generator).gates):
        return f"the baseline {lab.settings.baseline} has no gate of {generator}"
    return ""


def measure(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The largest worsening of a gate that both runs have, in SD of what chance makes of it.

    A gate that decided in the baseline and has nothing to look at any more counts as `GONE`.
    """
    found = _comparison(lab, generator, spec)
    measured = [c for c in found.gates if c.effect is not None]
    decided = [c for c in measured if c.word != "undecided"]
    regressed = sorted((c for c in found.gates if c.regressed), key=_amount, reverse=True)
    worst = max(decided, key=_amount, default=None)
    told = f"of {len(decided)} gates {len(regressed) or 'none'} regressed against the baseline"
    if regressed:
        told += f": {', '.join(map(worse, regressed))}"
    elif worst is not None:
        told += f"; most of all {worse(worst)}"
    if found.named:
        told += f"; also differing: {', '.join(found.named)}"
    return Finding(
        value=max(map(_amount, [*decided, *regressed]), default=0.0),
        floor=_CHANCE,
        told=told,
        limit=critical(len(decided)),
    )


def trial(lab: Lab, spec: GateSpec) -> tuple[bool, str]:
    """A difference needs no trial of its own: gates that are not trusted are told apart."""
    return True, ""


def _comparison(lab: Lab, generator: str, spec: GateSpec) -> Comparison:
    from nriqm_bench import gates

    earlier = baseline(lab)
    assert earlier is not None
    before = _before(lab, earlier, generator)
    known = {gate.name for gate in before.gates} & {*gates.available(lab)} - {spec.name}
    judged = [
        gates.judge(lab, generator, name)
        for name in sorted(known)
        if not gates.unreadable(lab, generator, name)
    ]
    (found,) = compare(before, only(lab.run([], judged), generator))
    return found


def _before(lab: Lab, before: Run, generator: str) -> Run:
    """What the baseline says of a generator; one in each run: whatever it is called."""
    alone = len(before.generator) == len(lab.generators) == 1
    return before if alone else only(before, generator)


def _amount(change: Change) -> float:
    if change.word == "gone":
        return GONE
    return -math.inf if change.z is None else change.z
