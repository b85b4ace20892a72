"""The trial of the downstream task itself: what known damage to real images costs a segmenter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nriqm_bench import cases
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.downstream.estimates import (
    Estimate,
    Tested,
    difference,
    open_ratio,
    ratio,
)
from nriqm_bench.downstream.training import Budget
from nriqm_bench.downstream.trial import (
    REAL,
    SANE,
    TEST,
    floor,
    impossible,
    scored,
    trained_on,
    unit,
)
from nriqm_bench.evidence import Verdict

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab
    from nriqm_bench.images import ImageSet

# By what images show: the damage that is tried, at the strongest level of its case.
DAMAGES = {
    "lesion": (
        "boundary-blur",
        "lesion-displacement",
        "lesion-growth",
        "lesion-removal",
        "lesion-shrinkage",
        "lesion-tilt",
        "gaussian-noise",
    ),
    "vessel": (
        "dilation",
        "gaps",
        "missing-branches",
        "stenosis",
        "translation",
        "gaussian-noise",
    ),
}
# Those after which image and mask contradict each other so far that a segmenter must learn worse. A
# few missing or narrowed branches are outvoted by all others: their price is told, not asked for.
CONTRADICTIONS = {
    "lesion": (
        "boundary-blur",
        "lesion-displacement",
        "lesion-growth",
        "lesion-removal",
        "lesion-shrinkage",
    ),
    "vessel": ("translation",),
}

# Floor SD by which the damage of `trusted` must lower the Dice coefficient.
EFFECT = 3.0


@dataclass(frozen=True, eq=False)
class Damage:
    """What one kind of damage to the training images costs on undamaged real ones.

    Attributes
    ----------
    case, level
        The damage.
    damaged, clean
        Scores after training on held-out images with and without it.
    ratio, hd95_ratio, f1_ratio
        Damaged over clean, of Dice, distance and F1.
    drop
        Dice of clean less Dice of damaged.
    effect
        1 less the ratio, in SD of the ratio's floor; + is worse.
    unit
        Of the distances.
    images
        How many test images there are.
    must_cost
        Whether image and mask contradict each other after this damage.
    """

    case: str
    level: float
    damaged: Tested
    clean: Tested
    ratio: Estimate
    hd95_ratio: Estimate
    f1_ratio: Estimate
    drop: Estimate
    effect: float
    unit: str
    images: int
    must_cost: bool

    def costs(self) -> Verdict:
        """Whether the damage lowered the Dice coefficient: the interval of `drop` is above 0.

        Both networks saw the same images in the same order, so that this asks for less than the
        floor does, which is of sets that share no subject; `effect` says how much less.
        """
        return Verdict(
            self.drop.low > 0,
            f"{self.case} at {self.level:g} in training lowered the Dice coefficient on real "
            f"images from {self.clean.dice.value:.3f} to {self.damaged.dice.value:.3f}, by "
            f"{self.drop.low:.3f} to {self.drop.high:.3f} ({self.effect:.1f} floor SD): "
            "must be above 0",
        )


def damages(lab: Lab) -> tuple[Case, ...]:
    """The damage that is tried on what the dataset shows."""
    return tuple(cases.get(name) for name in DAMAGES[lab.dataset.region])


def damage(lab: Lab, case: Case, budget: Budget | None = None) -> Damage:
    """Train on held-out images that are damaged at the strongest level of `case`; test on real.

    The masks stay those of the undamaged images: what a generator was asked for or says that it
    shows, while the image shows something else. Costs one training a seed.

    Raises
    ------
    ValueError
        When real images have no masks, or a network trained on them finds nothing.
    """
    if reason := impossible(lab, HELD_OUT):
        raise ValueError(reason)
    level = lab.levels(case)[-1]
    clean = scored(lab, HELD_OUT, budget)

    def make() -> ImageSet:
        kept = lab.images(HELD_OUT).masks
        return lab.perturbed(HELD_OUT, case, level).replace(masks=kept)

    recipe = {"masks": "undamaged", "images": lab.recipe(HELD_OUT, case, level)}
    damaged = trained_on(lab, recipe, make, f"{case.name} {level:g}", budget)
    found = ratio(damaged.draws[0], clean.draws[0], "Dice coefficient")
    return Damage(
        case=case.name,
        level=level,
        damaged=damaged,
        clean=clean,
        ratio=found,
        hd95_ratio=open_ratio(damaged.draws[1], clean.draws[1]),
        f1_ratio=open_ratio(damaged.draws[2], clean.draws[2]),
        drop=difference(clean.draws[0], damaged.draws[0]),
        effect=(1 - found.value) / floor(lab, budget).sd,
        unit=unit(lab),
        images=len(lab.subjects(TEST)),
        must_cost=case.name in CONTRADICTIONS[lab.dataset.region],
    )


def trusted(lab: Lab, budget: Budget | None = None) -> Verdict:
    """Whether the downstream task may decide: real images suffice, and contradictions cost Dice.

    For the gate: the network trained on real images must reach `SANE`, and those trained on images
    that were moved away from their masks (tumours, or vessel images as a whole) must lose `EFFECT`
    floor SD.
    """
    reached = scored(lab, REAL, budget).dice.value
    if reached < SANE:
        return Verdict(
            False,
            f"trained on real images the network reaches a Dice coefficient of {reached:.3f} on "
            f"others, must be at least {SANE:g}",
        )
    name = {"lesion": "lesion-displacement", "vessel": "translation"}[lab.dataset.region]
    found = damage(lab, cases.get(name), budget)
    return Verdict(
        found.effect >= EFFECT,
        f"{name} in training lowered the Dice coefficient on real images by {found.effect:.1f} "
        f"floor SD, must be at least {EFFECT:g}",
    )
