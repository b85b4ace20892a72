"""What the downstream task found, as rows of a report."""

from __future__ import annotations

from nriqm_bench.cases import HELD_OUT
from nriqm_bench.downstream.damage import Damage
from nriqm_bench.downstream.trial import Usefulness
from nriqm_bench.reporting import Downstream


def row(found: Usefulness | Damage) -> Downstream:
    """The report's row of what a source is worth, or of what damage costs."""
    if isinstance(found, Damage):
        trained, other, source = found.damaged, found.clean, HELD_OUT
        case, level, both, auc = found.case, found.level, None, None
        seconds = trained.seconds
    else:
        trained, other, source = found.synthetic, found.real, found.source
        case, level, both, auc = "", 0.0, list(found.both.dice), list(found.auc)
        seconds = found.synthetic.seconds + found.both.seconds
    return Downstream(
        source=source,
        case=case,
        level=level,
        dice=list(trained.dice),
        hd95=list(trained.hd95),
        f1=list(trained.f1),
        real_dice=list(other.dice),
        dice_ratio=list(found.ratio),
        hd95_ratio=list(found.hd95_ratio),
        f1_ratio=list(found.f1_ratio),
        both_dice=both,
        auc=auc,
        unit=found.unit,
        images=found.images,
        steps=list(trained.steps),
        seconds=seconds,
    )
