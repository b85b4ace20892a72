"""Can a classifier tell samples from real images? Its AUC on subjects that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nriqm_bench.downstream.estimates import Estimate, subject_draws

FOLDS = 5
# The penalty, in units of the mean eigenvalue of the features' Gram matrix.
PENALTY = 1.0

Floats = NDArray[np.float64]


def auc(
    real: ArrayLike,
    fake: ArrayLike,
    real_subjects: Sequence[str],
    fake_subjects: Sequence[str],
    rng: np.random.Generator,
) -> Estimate:
    """The area under the ROC curve of a classifier of real against fake, .5 to 1; less is better.

    Ridge regression on standardised features (Fisher's discriminant with a penalty of `PENALTY`
    mean eigenvalues), cross-validated in `FOLDS` folds, fewer where there are fewer subjects: all
    images of a subject are in one fold.
    .5 is expected of a perfect generator, and values below it are chance; 1 is told apart without
    error. The value is the mean of the folds, the interval 95 % over subjects, the classifiers
    being held fixed.

    Parameters
    ----------
    real, fake
        Features ``(n, d)`` and ``(m, d)``.
    real_subjects, fake_subjects
        The subject of each row.
    rng
        Draws folds and subjects.

    Raises
    ------
    ValueError
        When one of the two has fewer than two subjects.

    Source: classifier two-sample tests, Lopez-Paz and Oquab 2017 (arXiv 1610.06545).
    """
    x = np.concatenate([np.asarray(real, np.float64), np.asarray(fake, np.float64)])
    y = np.concatenate([-np.ones(len(real_subjects)), np.ones(len(fake_subjects))])
    owners = [
        np.unique(np.asarray(subjects), return_inverse=True)[1]
        for subjects in (real_subjects, fake_subjects)
    ]
    counts = [int(owner.max()) + 1 for owner in owners]
    folds = min(FOLDS, *counts)
    if folds < 2:
        raise ValueError(
            f"real images are of {counts[0]} and fake ones of {counts[1]} subjects, must be of two "
            "at least: one to learn from and one to be told apart"
        )
    fold = np.concatenate(
        [
            rng.permutation(np.arange(count) % folds)[owner]
            for owner, count in zip(owners, counts, strict=True)
        ]
    )
    weights = np.concatenate(
        [subject_draws(subjects, rng) for subjects in (real_subjects, fake_subjects)], axis=1
    )
    found = np.mean([_fold(x, y, fold == k, weights) for k in range(folds)], axis=0)
    # Draws in which a fold lost all subjects of a class say nothing.
    low, high = np.nanpercentile(found[1:], [2.5, 97.5])
    return Estimate(float(found[0]), float(low), float(high))


def _fold(x: Floats, y: Floats, test: NDArray[np.bool_], weights: Floats) -> Floats:
    """The AUC of one fold under every weighting of its images; NaN where a class is not drawn."""
    score = _ridge(x[~test], y[~test], x[test])
    positive = y[test] > 0
    won = np.sign(score[positive][:, None] - score[~positive]) / 2 + 0.5
    fake, real = weights[:, test][:, positive], weights[:, test][:, ~positive]
    pairs = fake.sum(axis=1) * real.sum(axis=1)
    wins = np.einsum("bi,ij,bj->b", fake, won, real, optimize=True)
    return np.where(pairs > 0, wins / np.where(pairs > 0, pairs, 1), np.nan)


def _ridge(x: Floats, y: Floats, new: Floats) -> Floats:
    """Ridge regression in its dual form; the classes weigh the same."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    sd = np.where(sd > 0, sd, 1)
    a, b = (x - mean) / sd, (new - mean) / sd
    gram = a @ a.T
    share = np.where(y > 0, np.mean(y > 0), np.mean(y < 0))
    penalty = PENALTY * np.trace(gram) / len(x)
    target = y / (2 * share)
    found: Floats = b @ (a.T @ np.linalg.solve(gram + penalty * np.eye(len(x)), target))
    return found
