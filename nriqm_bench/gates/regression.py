"""The regression gate: is any gate's value worse than in an earlier run, beyond chance?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nriqm_bench.evidence import Floor
from nriqm_bench.gates.spec import Finding, GateSpec
from nriqm_bench.reporting import Run, from_json
from nriqm_bench.reporting.compare import REGRESSION, comparable, compare
from nriqm_bench.settings import SettingsError

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

LIMIT = REGRESSION

# Worsening is told in floor SD, and is the difference of two draws: mean 0, SD root 2.
_DIFFERENCE = Floor((-1.0, 1.0))


def baseline(lab: Lab) -> Run | None:
    """The earlier run that the settings name.

    Raises
    ------
    SettingsError
        When it cannot be read, or was made with other data or settings: the sentence names them.
    """
    path = lab.settings.baseline
    if path is None:
        return None
    try:
        before = from_json(Path(path).read_text(encoding="utf-8"))
        comparable(before, lab.run([], []))
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(f"the baseline {path} is of no use: {told}") from error
    return before


def earlier(lab: Lab) -> str:
    """What is looked at."""
    return "baseline"


def missing(lab: Lab, generator: str, spec: GateSpec) -> str:
    """Why there is nothing to compare with."""
    before = baseline(lab)
    if before is None:
        return "no --nriqm-baseline RUN.json was given"
    alone = len(before.generator) == len(lab.generators) == 1
    if not any(alone or gate.generator == generator for gate in before.gates):
        return f"the baseline {lab.settings.baseline} has no gate of {generator}"
    return ""


def measure(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The largest worsening of a gate that both runs have, in floor SD of the baseline."""
    from nriqm_bench import gates

    before = baseline(lab)
    assert before is not None
    names = [
        name
        for name in gates.available(lab)
        if name != spec.name and not gates.unreadable(lab, generator, name)
    ]
    after = lab.run([], [gates.judge(lab, generator, name) for name in names])
    changes = compare(before, after)
    if not changes:
        return Finding(0.0, _DIFFERENCE, "no gate of the baseline is a gate of this run")
    worst = max(changes, key=lambda change: change.effect)
    worse = sum(change.effect > LIMIT for change in changes)
    return Finding(
        value=worst.effect,
        floor=_DIFFERENCE,
        told=(
            f"of {len(changes)} gates {worse} are worse than in the baseline; {worst.name} most, "
            f"from {worst.before:.4g} to {worst.after:.4g}, {worst.effect:+.1f} floor SD"
        ),
    )


def trial(lab: Lab, spec: GateSpec) -> tuple[bool, str]:
    """A difference needs no trial of its own: gates that are not trusted are told apart."""
    return True, ""
