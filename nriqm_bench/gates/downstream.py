"""The downstream gate: is a segmenter trained on samples nearly as good as one trained on real?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nriqm_bench import downstream
from nriqm_bench.downstream.estimates import ratio
from nriqm_bench.downstream.trial import REAL, scored
from nriqm_bench.gates.spec import Finding, GateSpec

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

# Trainings are costly, so that the floor is of a few pairs of real sets alone: this gate stands
# beside the family, which it would make costly too, with a false alarm rate of its own.
FALSE_ALARM = 0.01
# Whoever trains on samples must reach this share of what real images give.
TOLERANCE = 0.9


def task(lab: Lab) -> str:
    """What is looked at."""
    return f"{lab.dataset.region} segmentation"


def missing(lab: Lab, generator: str, spec: GateSpec) -> str:
    """Why nothing can be trained on the samples and tested."""
    return downstream.impossible(lab, generator)


def measure(lab: Lab, generator: str, spec: GateSpec) -> Finding:
    """The Dice coefficient of training on samples over that of training on real images."""
    # Not `usefulness`, whose network of both real and fake images no gate asks for.
    synthetic, real = scored(lab, generator), scored(lab, REAL)
    found = ratio(synthetic.draws[0], real.draws[0], "Dice coefficient")
    return Finding(
        value=found.value,
        floor=downstream.floor(lab),
        told=(
            f"trained on samples a segmenter reaches a Dice coefficient of "
            f"{synthetic.dice.value:.3f} on real images, trained on as many real images "
            f"{real.dice.value:.3f}: {found.value:.3f} of it"
        ),
        interval=[found.low, found.high],
        tolerance=TOLERANCE,
    )


def trial(lab: Lab, spec: GateSpec) -> tuple[bool, str]:
    """Whether real images suffice for the task, and images that contradict their masks do not."""
    verdict = downstream.trusted(lab)
    return bool(verdict), str(verdict)
