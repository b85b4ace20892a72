"""`GateSpec` and `Finding`: what a gate asks, and what it found before it is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nriqm_bench.evidence import Floor

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab


@dataclass(frozen=True)
class Finding:
    """One value and what fresh real data score, before a threshold is applied.

    Attributes
    ----------
    value
        What the gate measures of a generator.
    floor
        The same of fresh real images.
    told
        The reason's beginning: what was measured, in words and numbers.
    interval
        The value's 95 % interval, or None.
    tolerance
        A threshold that is allowed whatever the floor says; None for none.
    limit
        The threshold, where what was found decides it; None where spec and floor do.
    """

    value: float
    floor: Floor
    told: str
    interval: Sequence[float] | None = None
    tolerance: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class GateSpec:
    """What one gate looks at, and what its metric must see in this run before it may decide.

    Attributes
    ----------
    name, metric, direction
        Its name, what it measures, and ``"above"`` or ``"below"``: the side on which it fails.
    space
        Says where, given the lab: a feature space, or what else is looked at.
    missing
        Says why there is nothing to look at, given lab and generator; empty when there is.
    measure
        The `Finding` of lab and generator.
    trial
        Whether the metric may decide, and if not why.
    range
        The least and the largest threshold that means something.
    unit
        Of value and threshold.
    calibrated
        Whether the floor sets the threshold, within the family that Holm's correction covers.
    limit
        The threshold when nothing else is said, whatever the floor.
    level
        The false alarm rate of a gate that the floor decides, but outside of the family.
    pairs
        Of a memorisation gate: the nearest training images.
    needs_metric
        Whether the gate exists only where its metric was asked for.
    """

    name: str
    metric: str
    direction: str
    space: Callable[[Lab], str]
    measure: Callable[[Lab, str, GateSpec], Finding]
    trial: Callable[[Lab, GateSpec], tuple[bool, str]]
    missing: Callable[[Lab, str, GateSpec], str]
    range: tuple[float, float] = (0.0, 1.0)
    unit: str = ""
    calibrated: bool = True
    limit: float | None = None
    level: float | None = None
    pairs: Callable[[Lab, str, str], list[dict[str, Any]]] | None = None
    needs_metric: bool = True
