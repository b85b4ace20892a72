"""Inception score: are single images easy to classify, and the classes many?"""

from __future__ import annotations

import math

import numpy as np

from nriqm_bench.metrics.estimate import Spread
from nriqm_bench.metrics.metric import metric
from nriqm_bench.metrics.sample import Float64, Sample


def _spread(
    real: Sample | None,
    fake: Sample,
    *,
    logits: bool = False,
    splits: int = 1,
    rng: np.random.Generator | None = None,
) -> Spread:
    information = _information(_probabilities(fake, logits))
    score = math.exp(float(information.mean()))
    sd = float(information.std(ddof=1)) / math.sqrt(len(fake)) if len(fake) > 1 else math.inf
    return Spread(len(fake), score * sd)


@metric(
    "inception-score",
    higher_is_better=True,
    needs="logits",
    min_samples=2,
    needs_real=False,
    range=(1.0, math.inf),
    spread=_spread,
)
def inception_score(
    real: Sample | None,
    fake: Sample,
    *,
    logits: bool = False,
    splits: int = 1,
    rng: np.random.Generator | None = None,
) -> float:
    """Inception score: ``exp(mean KL(p(class | row) || p(class)))``.

    The rows of `fake` are class probabilities (of any classifier; the published one is trained on
    ImageNet, which says little of medical images); `real` is not read.

    Parameters
    ----------
    logits
        Whether the rows are logits, to be turned into probabilities.
    splits
        In how many parts the rows are cut, at random; the value is the mean of the parts' scores.
        The published code takes 10 parts of 5000 in the order given; the published formula, and the
        default here, has one.
    rng
        The source of the parts; required with `splits` above 1.

    Direction: higher is better. Range: [1, number of classes]; 1 when all rows are equal, K when
    each row is certain and K classes are equally frequent. Invariant under the order of rows and of
    classes. Biased downwards for few rows.

    Needs 2 rows of probabilities that sum to 1. Cost: ``n`` times the number of classes.

    Interval: from the spread of the rows' information.

    Source: Salimans et al. 2016 (arXiv 1606.03498), section 4; one part: Barratt and Sharma 2018
    (arXiv 1801.01973), section 4.1.
    """
    p = _probabilities(fake, logits)
    if not isinstance(splits, int) or not 1 <= splits <= len(p):
        raise ValueError(f"splits was {splits!r}, must be between 1 and the {len(p)} rows of fake")
    if splits == 1:
        return math.exp(float(_information(p).mean()))
    if rng is None:
        raise ValueError("rng was None, must be a numpy Generator when fake is cut in parts")
    parts = np.array_split(rng.permutation(len(p)), splits)
    return math.fsum(math.exp(float(_information(p[rows]).mean())) for rows in parts) / splits


def _information(p: Float64) -> Float64:
    """``KL(p(class | row) || p(class))`` of each row; a class of no probability adds nothing."""
    overall = p.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * (np.log(p) - np.log(overall))
    # A probability near the least float may leave a mean of 0: it adds nothing either.
    return np.asarray(np.where((p > 0) & (overall > 0), terms, 0).sum(1))


def _probabilities(fake: Sample, logits: bool) -> Float64:
    if fake.dim < 2:
        raise ValueError(f"fake had {fake.dim} column, must have one for each of 2 or more classes")
    x = fake.array
    if logits:
        x = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(x / x.sum(axis=1, keepdims=True))
    sums = x.sum(axis=1)
    if x.min() < 0 or np.abs(sums - 1).max() > 1e-3:
        wrong = int(np.count_nonzero((x < 0).any(1) | (np.abs(sums - 1) > 1e-3)))
        raise ValueError(
            f"fake held {wrong} of {len(x)} rows that are no class probabilities, must have rows "
            ">= 0 that sum to 1; give logits=True for logits, and not features"
        )
    return np.asarray(x / sums[:, None])
