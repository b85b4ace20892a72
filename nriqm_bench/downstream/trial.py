"""Train on synthetic, test on real: what a source of images is worth, against equally many real."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nriqm_bench.cases import HELD_OUT
from nriqm_bench.dealing import deal
from nriqm_bench.downstream.estimates import (
    Estimate,
    Tested,
    difference,
    open_ratio,
    ratio,
    subject_draws,
)
from nriqm_bench.downstream.training import VERSION, Budget
from nriqm_bench.downstream.two_sample import auc
from nriqm_bench.evidence import Floor, Verdict
from nriqm_bench.images import concatenate
from nriqm_bench.provenance import rng_for

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab
    from nriqm_bench.images import ImageSet

# The part that the generator saw, and what every network is tested on: apart by subject.
REAL, TEST = "train", "reference"

# A network trained on real images that finds less than this shows nothing about other images.
SANE = 0.3


@dataclass(frozen=True, eq=False)
class Usefulness:
    """What a source of images is worth to somebody who trains a segmenter on it.

    All three networks are tested on the real images of the part ``reference``.

    Attributes
    ----------
    source
        ``held-out`` or the name of a generator.
    synthetic
        Trained on the source (TSTR).
    real
        Trained on equally many real images (TRTR), those that a generator was trained on.
    both
        Trained on the two together.
    ratio, hd95_ratio, f1_ratio
        Synthetic over real, of Dice (below 1 is worse), distance (above 1 is worse) and F1 (below
        1 is worse).
    gain
        Dice of both less Dice of real: what the source adds to real images.
    auc
        Of a classifier of source against real images, in the main feature space; .5 is perfect.
    unit
        Of the distances: ``mm`` or ``px``.
    images
        How many test images there are.
    seconds
        Of all trainings.
    """

    source: str
    synthetic: Tested
    real: Tested
    both: Tested
    ratio: Estimate
    hd95_ratio: Estimate
    f1_ratio: Estimate
    gain: Estimate
    auc: Estimate
    unit: str
    images: int
    seconds: float

    def sane(self) -> Verdict:
        """Whether the network trained on real images is good enough to compare with: `SANE`."""
        value = self.real.dice.value
        return Verdict(
            value >= SANE,
            f"trained on real images the network reaches a Dice coefficient of {value:.3f} on "
            f"others, must be at least {SANE:g} to say something about {self.source} images",
        )


def impossible(lab: Lab, source: str) -> str:
    """Why the images of `source` can train no segmenter to be tested on real ones; empty if not.

    A sentence that names what is lacking: masks, or the real images' number of channels.
    """
    for name in (REAL, TEST, HELD_OUT):
        if "masks" in lab.lacking(name):
            return f"{lab.dataset.spec} has no masks of {name} images, which a segmenter needs"
    if "masks" in lab.lacking(source):
        return (
            f"{source} makes images without masks, so that nothing can be trained on them and "
            "tested on real ones; make pairs of image and mask"
        )
    own, real = _channels(lab, source), _channels(lab, TEST)
    if own != real:
        return (
            f"{source} images have {own} channels and real ones {real}: a network trained on the "
            "one cannot look at the other; bring both to one number"
        )
    return ""


def usefulness(lab: Lab, source: str, budget: Budget | None = None) -> Usefulness:
    """Train on a source, on equally many real images and on both; test each on other real ones.

    Every network has the same budget, first weights, order of batches and augmentation. Intervals
    are 95 % over test subjects, those of ratios and differences draw by draw. Costs three trainings
    a seed, one of them shared by all sources; scores are cached by content.

    Parameters
    ----------
    lab
        Of this run.
    source
        ``held-out`` or the name of a generator.
    budget
        By default that of the run's settings.

    Raises
    ------
    ValueError
        Where `impossible` gives a reason, or when a network trained on real images finds nothing.
    """
    if reason := impossible(lab, source):
        raise ValueError(reason)
    real, synthetic = scored(lab, REAL, budget), scored(lab, source, budget)
    both = trained_on(
        lab,
        {"both": [lab.recipe(REAL), lab.recipe(source)]},
        lambda: _joined(lab, source),
        f"real and {source}",
        budget,
    )
    return Usefulness(
        source=source,
        synthetic=synthetic,
        real=real,
        both=both,
        ratio=ratio(synthetic.draws[0], real.draws[0], "Dice coefficient"),
        hd95_ratio=open_ratio(synthetic.draws[1], real.draws[1]),
        f1_ratio=open_ratio(synthetic.draws[2], real.draws[2]),
        gain=difference(both.draws[0], real.draws[0]),
        auc=told_apart(lab, source),
        unit=unit(lab),
        images=len(lab.subjects(TEST)),
        seconds=real.seconds + synthetic.seconds + both.seconds,
    )


def floor(lab: Lab, budget: Budget | None = None) -> Floor:
    """Dice ratios of networks trained on two sets of real images that share no subject.

    One pair are the parts train and held-out. Others are halves of the two together, dealt anew by
    subject `Budget.redeals` times, at two trainings a seed each. Which of a pair stands below is
    arbitrary, so that each gives its ratio and the inverse: the mean is 1 but for rounding. A set
    that shared subjects with the part train would resemble it more than a fresh one does.

    Raises
    ------
    ValueError
        When real images have no masks, or a network trained on them finds nothing.
    """
    if reason := impossible(lab, HELD_OUT):
        raise ValueError(reason)
    chosen = budget or Budget.of(lab.settings)
    pairs = [(scored(lab, REAL, chosen), scored(lab, HELD_OUT, chosen))]
    for number in range(chosen.redeals):
        one, other = (
            trained_on(
                lab,
                {"deal": number, "half": half, "of": [lab.recipe(REAL), lab.recipe(HELD_OUT)]},
                partial(_dealt, lab, number, half),
                f"real images dealt anew, {2 * number + half + 1} of {2 * chosen.redeals}",
                chosen,
            )
            for half in (0, 1)
        )
        pairs.append((one, other))
    values = []
    for one, other in pairs:
        for over, under in ((one, other), (other, one)):
            values.append(ratio(over.draws[0], under.draws[0], "Dice coefficient").value)
    return Floor(tuple(values))


def scored(lab: Lab, source: str, budget: Budget | None = None) -> Tested:
    """The scores of a network trained on one part of the dataset or one generator's samples."""
    return trained_on(lab, lab.recipe(source), lambda: lab.images(source), source, budget)


def trained_on(
    lab: Lab,
    recipe: Mapping[str, Any],
    make: Callable[[], ImageSet],
    told: str,
    budget: Budget | None = None,
) -> Tested:
    """The scores of networks trained on any images, tested on real ones; cached by content.

    Parameters
    ----------
    lab
        Of this run.
    recipe
        What decides the images, as JSON types.
    make
        Makes the images, which must have masks; called on a miss only.
    told
        What they are, for the progress bar.
    budget
        By default that of the run's settings.
    """
    chosen = budget or Budget.of(lab.settings)
    cost = asdict(chosen)
    seeds, _ = cost.pop("seeds"), cost.pop("redeals")

    def run(seed: int) -> dict[str, Any]:
        from nriqm_bench.downstream.training import trial

        def show(steps: Iterable[int]) -> Iterable[int]:
            if lab.progress is None:
                return steps
            return lab.progress(steps, f"U-Net on {told}", chosen.steps)

        # Seeds of their own, whatever is trained on: all networks of a run are paired.
        start = int(rng_for(lab.settings.seed, "downstream", seed).integers(2**31))
        device = lab.settings.device
        return trial(make(), lab.images(TEST), chosen, start, device, show)

    tables = []
    for seed in range(seeds):
        key = {
            "downstream": VERSION,
            "train": dict(recipe),
            "test": lab.recipe(TEST),
            "budget": cost,
            "seed": [lab.settings.seed, seed],
        }
        tables.append(lab.store.value(key, partial(run, seed)))
    return Tested.of(tables, _weights(lab))


def told_apart(lab: Lab, source: str) -> Estimate:
    """The AUC of a classifier of `source` against real images, in the main feature space."""

    def compute() -> list[float]:
        found = auc(
            lab.features(TEST, lab.main),
            lab.features(source, lab.main),
            lab.subjects(TEST),
            lab.subjects(source),
            rng_for(lab.settings.seed, "two-sample", lab.identity(source)),
        )
        return list(found)

    recipe = {
        "two-sample": VERSION,
        "extractor": lab.extractor(lab.main).key(),
        "of": [lab.recipe(TEST), lab.recipe(source)],
        "seed": lab.settings.seed,
    }
    return Estimate(*lab.store.value(recipe, compute))


def unit(lab: Lab) -> str:
    """Of distances between outlines: ``mm`` where the test images' spacing is known."""
    return "px" if lab.images(TEST).spacing is None else "mm"


def _channels(lab: Lab, source: str) -> int:
    recipe = {"channels": lab.recipe(source)}
    return int(lab.store.value(recipe, lambda: lab.images(source).channels))


def _weights(lab: Lab) -> Any:
    return subject_draws(lab.subjects(TEST), rng_for(lab.settings.seed, "test-subjects"))


def _joined(lab: Lab, source: str) -> ImageSet:
    """Real images and those of a source; each keeps its subjects, which never mix."""
    parts = []
    for name in (REAL, source):
        owners = np.asarray([f"{name}: {subject}" for subject in lab.subjects(name)])
        parts.append(lab.images(name).replace(subjects=owners, sites=None))
    return concatenate(*parts)


def _dealt(lab: Lab, number: int, half: int) -> ImageSet:
    """One half of the two real parts, dealt by subject."""
    pool = concatenate(lab.images(REAL), lab.images(HELD_OUT))
    subjects = [*lab.subjects(REAL), *lab.subjects(HELD_OUT)]
    rng = rng_for(lab.settings.seed, "downstream-deal", number)
    return pool[deal(subjects, 2, rng)[half]]
