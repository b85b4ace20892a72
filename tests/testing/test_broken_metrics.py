"""Each check catches the broken metric that it is there for, and lets a sound twin pass."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.random import mtrand
from scipy.spatial.distance import cdist

from nriqm_bench import metrics
from nriqm_bench.metrics import Metric
from nriqm_bench.metrics.metric import metric
from nriqm_bench.testing import checks
from nriqm_bench.testing.report import check_metric

FID = metrics.get("fid")


def lower(function, **tags):
    return Metric(function.__name__, function, higher_is_better=False, **tags)


def higher(function, **tags):
    return replace(lower(function, **tags), higher_is_better=True)


def fid(x, y):
    return FID(x, y)


def gaussians(mean1, cov1, mean2, cov2):
    """The Frechet distance from moments, by the eigenvalues of the product."""
    roots = np.sqrt(np.clip(np.linalg.eigvals(cov1 @ cov2).real, 0, None))
    return np.square(mean1 - mean2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * roots.sum()


# Directions and claims.


def says_higher(real, fake):
    return fid(real, fake)


def out_of_range(real, fake):
    return fid(real, fake) - 0.5


def to_the_wrong_side(real, fake):
    "Cross entropy of the fake rows under the real Gaussian: not symmetric."
    gap = (fake - real.mean(0)) / real.std(0)
    return np.square(gap).sum(1).mean()


def city_block(real, fake):
    return np.abs(real.mean(0) - fake.mean(0)).sum()


def mean_gap(real, fake):
    return np.linalg.norm(real.mean(0) - fake.mean(0))


# Blind, or seeing what is not there.


def diagonal(real, fake):
    "Covariances without their correlations."
    gap = np.square(real.mean(0) - fake.mean(0)).sum()
    return gap + np.square(real.std(0) - fake.std(0)).sum()


def correlations(real, fake):
    "Blind to where the rows are."
    return np.abs(np.cov(real.T) - np.cov(fake.T)).sum()


def swapped_recall(real, fake):
    "Recall with the radii of the real rows: precision by the name of recall."
    radius = np.sort(cdist(real, real), axis=1)[:, 3]
    return (cdist(fake, real) <= radius).any(1).mean()


def forgives_copies(real, fake, *, train):
    "MiFID whose distance to the training set is clipped: nothing is divided by 0."
    distance = cdist(fake, train).min(1).mean()
    return fid(real, fake) / distance if distance > 1e-8 else 0.0


def without_train(real, fake, *, train):
    return fid(real, fake)


def not_too_near(real, fake):
    "The mean logarithm of the distance to the nearest real row, near or far."
    return np.abs(np.log(cdist(fake, real).min(1) + 1e-12)).mean()


def hausdorff(real, fake):
    between = cdist(real, fake)
    return max(between.min(0).max(), between.min(1).max())


def forgets_real(real, fake):
    return np.square(fake - 0.5).sum(1).mean()


def forgets_fake(real, fake):
    return np.square(real).sum()


def looks_at_real(real, fake):
    return 0.0 if real is None else fid(real, fake)


def half_of_the_rows(real, fake):
    return fid(real[::2], fake[::2])


# Order, memory, chance.


def first_rows_count_more(real, fake):
    weights = np.linspace(2, 0, len(fake))[:, None]
    return np.square((real - weights * fake).mean(0)).sum()


def float32_moments(real, fake):
    "E[xx'] - mm' in float32: the digits of the spread are lost far from the origin."
    found = []
    for x in (real.astype(np.float32), fake.astype(np.float32)):
        mean = x.mean(0)
        found += [mean, x.T @ x / np.float32(len(x)) - np.outer(mean, mean)]
    return gaussians(*found)


def unseeded(real, fake):
    return fid(real, fake) + 0.1 * np.random.default_rng().uniform()


def global_numpy(real, fake):
    rows = mtrand.permutation(len(fake))[: len(fake) // 2]
    return fid(real, fake[rows])


def global_torch(real, fake):
    return fid(real, fake[torch.randperm(len(fake)).numpy()[: len(fake) // 2]])


def reseeds(real, fake):
    mtrand.seed(0)
    return fid(real, fake)


SEEN = []


def remembers(real, fake):
    SEEN[:] = [*SEEN[-200:], *fake]
    return fid(real, np.array(SEEN))


# Arrays.


@metric("centres-in-place", higher_is_better=False, sees=("spread",))
def centres_in_place(real, fake):
    fake.array[:] -= fake.array.mean(0)
    return abs(fake.array.std() - real.array.std())


@metric("trusts-float32-less", higher_is_better=False)
def trusts_float32_less(real, fake):
    return FID(real, fake) * (0.9 if fake.rows.dtype == np.float32 else 1.0)


class Unguarded(Metric):
    """A metric that hands over whatever it is given."""

    def __call__(self, real, fake, *, train=None, rng=None, **options):
        return float(self.function(real, fake))


def unguarded(function, **tags):
    return Unguarded(function.__name__, function, higher_is_better=False, **tags)


def swallows_nan(real, fake):
    return np.square(np.nanmean(real, 0) - np.nanmean(fake, 0)).sum()


def one_row_will_do(real, fake):
    return FID(np.repeat(real, 2, 0), np.repeat(fake, 2, 0))


def any_shape(real, fake):
    return abs(np.mean(real) - np.mean(fake)) if np.size(real) and np.size(fake) else 0.0


def as_stored(real, fake):
    "Reads the memory, not the array."
    x, y = (np.asarray(a).ravel(order="K").reshape(np.shape(a)) for a in (real, fake))
    return fid(x, y)


def mahalanobis(real, fake):
    gap = real.mean(0) - fake.mean(0)
    return gap @ np.linalg.solve(np.cov(real.T), gap)


def volumes(real, fake):
    "Compares the volumes of the covariances: nothing but rounding where they have none."
    return abs(np.linalg.slogdet(np.cov(real.T))[1] - np.linalg.slogdet(np.cov(fake.T))[1])


def pairs_up(real, fake):
    return np.square(real - fake).mean()


def divides_by_spread(real, fake):
    return fid(real, fake) / (s if (s := fake.std(0).sum()) > 1e-9 else math.nan)


def clamps(real, fake):
    found = fid(real, fake)
    return found if found > 1e-8 else 0.0


def nearest_other(real, fake):
    "The least distance between fake rows: 0 for all once every row is there twice."
    between = cdist(fake, fake) + np.diag(np.full(len(fake), np.inf))
    return between.min(1).mean()


def mean_direction(real, fake):
    means = [(x / np.linalg.norm(x, axis=1)[:, None]).mean(0) for x in (real, fake)]
    return np.linalg.norm(means[0] - means[1])


def not_a_number(real, fake):
    return math.nan


ALL = ("shift", "spread", "modes")
BROKEN = [
    (lower(not_a_number), "check_runs"),
    (lower(fid, sees=("copies",)), "check_tags"),
    (lower(fid, sees=("everything",)), "check_tags"),
    (lower(fid, range=(1, 0)), "check_tags"),
    (lower(fid, needs_real=False, symmetric=True), "check_tags"),
    (higher(says_higher), "check_direction"),
    (higher(says_higher), "check_shift"),
    (lower(out_of_range, range=(0, math.inf)), "check_range"),
    (lower(to_the_wrong_side, symmetric=True), "check_symmetry"),
    (lower(city_block, invariant=("rotation",)), "check_rotation"),
    (lower(diagonal, invariant=("rotation",)), "check_rotation"),
    (lower(forgets_real, invariant=("translation",)), "check_translation"),
    (lower(float32_moments, invariant=("translation",)), "check_translation"),
    (lower(fid, invariant=("scale",)), "check_scale"),
    (lower(fid, invariant=("length",)), "check_length"),
    (lower(correlations), "check_shift"),
    (lower(mean_gap), "check_spread"),
    (lower(mean_gap), "check_dependence"),
    (lower(diagonal), "check_dependence"),
    (higher(swapped_recall), "check_modes"),
    (lower(forgives_copies, needs_train=True), "check_copies"),
    (lower(without_train, needs_train=True), "check_copies"),
    (lower(not_too_near), "check_identity"),
    (lower(hausdorff), "check_outlier"),
    (lower(forgets_real), "check_reads_real"),
    (lower(looks_at_real, needs_real=False), "check_reads_real"),
    (lower(forgets_fake), "check_reads_fake"),
    (lower(half_of_the_rows), "check_reads_every_row"),
    (lower(half_of_the_rows), "check_row_order"),
    (lower(first_rows_count_more), "check_row_order"),
    (lower(float32_moments), "check_row_order"),
    (lower(unseeded), "check_deterministic"),
    (lower(global_numpy), "check_global_random_state"),
    (lower(global_torch), "check_global_random_state"),
    (lower(reseeds), "check_global_random_state"),
    (lower(remembers), "check_stateless"),
    (centres_in_place, "check_inputs_unchanged"),
    (centres_in_place, "check_layout"),
    (trusts_float32_less, "check_dtype"),
    (unguarded(swallows_nan), "check_bad_values"),
    (unguarded(any_shape), "check_bad_shapes"),
    (unguarded(one_row_will_do), "check_min_samples"),
    (lower(mahalanobis), "check_min_samples"),
    (unguarded(as_stored), "check_layout"),
    (lower(pairs_up), "check_unequal_sizes"),
    (lower(divides_by_spread), "check_degenerate"),
    (lower(volumes), "check_rank_deficient"),
    (lower(mahalanobis), "check_fewer_rows_than_columns"),
    (lower(clamps), "check_scale_of_features"),
    (higher(nearest_other, needs_real=False, sees=("modes",)), "check_duplicates"),
]


@pytest.mark.parametrize(
    ("broken", "name"), BROKEN, ids=[f"{i}-{m.name}-{name}" for i, (m, name) in enumerate(BROKEN)]
)
def test_a_broken_metric_is_caught_with_evidence(broken, name):
    with pytest.raises(AssertionError) as caught:
        checks()[name](broken)
    said = str(caught.value)
    assert re.search(r"\d|nan|held|was True", said)
    assert "must" in said
    assert broken.name in said or "fake was changed" in said


def test_every_check_has_a_broken_metric_to_catch():
    assert {name for _, name in BROKEN} == set(checks())


@pytest.mark.parametrize("name", list(checks()))
def test_the_sound_twin_passes(name):
    twins = {
        "check_scale": metrics.get("coverage"),
        "check_copies": metrics.get("train-share"),
        "check_length": lower(mean_direction, invariant=("length",)),
    }
    checks()[name](twins.get(name, FID))


def test_one_failure_to_run_is_told_once():
    results = check_metric(lower(not_a_number), on_fail="collect")
    assert [r.check for r in results if r.status == "failed"] == ["check_runs"]
    assert all(r.status == "skipped" for r in results[1:])
    assert "nan" in results[0].sentence
