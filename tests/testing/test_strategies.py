"""The strategies draw what they say, and shrink to what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from nriqm_bench import metrics
from nriqm_bench.images import ImageSet
from nriqm_bench.testing import strategies

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def least(strategy, condition=lambda x: True):
    found = settings(QUICK, max_examples=2000, database=None)
    return find(strategy, condition, settings=found)


@QUICK
@given(strategies.features(rows=(3, 9), columns=(2, 5)))
def test_features_are_finite_rows(x):
    assert 3 <= x.shape[0] <= 9
    assert 2 <= x.shape[1] <= 5
    assert x.dtype in (np.float32, np.float64)
    assert np.isfinite(x).all()


PROPERTIES = {
    "fewer rows than columns": lambda x: x.shape[0] < x.shape[1],
    "equal rows": lambda x: len(np.unique(x, axis=0)) < len(x),
    "all rows equal": lambda x: len(x) > 2 and (x == x[0]).all(),
    "rank-deficient": lambda x: (
        len(x) > 2 and x.shape[1] > 2 and 0 < np.linalg.matrix_rank(x - x[0]) < min(x.shape) - 1
    ),
    "far from the origin": lambda x: np.abs(x.mean(0)).min() > 100 * x.std() > 0,
    "a far row": lambda x: len(x) > 20 and x[-1].min() > 20 * np.abs(x[:-1]).max(),
    "clusters": lambda x: len(x) > 20 and x.shape[1] > 4 and _gap(x) > 3,
    "float32": lambda x: x.dtype == np.float32,
}


def _gap(x):
    """The largest step between sorted distances from the first row, in units of the smallest."""
    reach = np.sort(np.linalg.norm(x - x[0], axis=1))[1:]
    return np.diff(reach).max() / max(reach[0], 1e-9)


@pytest.mark.parametrize("name", list(PROPERTIES))
def test_every_kind_of_sample_occurs(name):
    assert PROPERTIES[name](least(strategies.features(), PROPERTIES[name]))


def test_features_shrink_to_the_simplest():
    x = least(strategies.features(rows=(2, 40), columns=(1, 12)))
    assert x.shape == (2, 1)
    assert x.dtype == np.float64
    assert np.array_equal(x, np.random.default_rng(0).normal(size=(2, 1)))


def test_a_failing_size_shrinks_to_the_boundary():
    assert least(strategies.features(), lambda x: x.shape[0] >= 7).shape == (7, 1)
    assert least(strategies.grids(rows=(1, 6)), lambda x: len(x) >= 3).tolist() == [[0.0]] * 3


def test_grids_shrink_entry_by_entry():
    x = least(strategies.grids(columns=2), lambda x: x.sum() >= 2)
    assert sorted(x.ravel().tolist()) in ([0.0, 2.0], [1.0, 1.0])


@QUICK
@given(strategies.grids(rows=(1, 4), columns=(1, 3), largest=2))
def test_grids_are_small_integers(x):
    assert 1 <= x.shape[0] <= 4
    assert 1 <= x.shape[1] <= 3
    assert set(x.ravel().tolist()) <= {-2.0, -1.0, 0.0, 1.0, 2.0}


@QUICK
@given(strategies.triples(rows=(2, 9)))
def test_samples_that_go_together_have_one_width_and_dtype(samples):
    assert len({x.shape[1] for x in samples}) == len({x.dtype for x in samples}) == 1
    assert len(samples) == 3


def test_the_samples_of_the_simplest_pair_differ():
    real, fake = least(strategies.pairs())
    assert real.shape == fake.shape == (2, 1)
    assert not np.array_equal(real, fake)


@QUICK
@given(strategies.images(count=(1, 3), side=(8, 12), channels=(1, 2)))
def test_images_are_valid(x):
    made = ImageSet(x)
    assert x.dtype == np.float32
    assert made.channels in (1, 2)
    assert made.spatial[0] == made.spatial[1] >= 8


@settings(QUICK, max_examples=10)
@given(strategies.images(count=1, side=8, dimensions=3))
def test_volumes_are_valid(x):
    assert ImageSet(x).spatial == (8, 8, 8)


def test_images_shrink_to_one_plain_object():
    x = least(strategies.images())
    assert x.shape == (1, 1, 8, 8)
    assert x[0, 0, 4, 4] > 0.3
    assert x[0, 0, 0, 0] < 0.01


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: strategies.features(rows=0), "rows was 0, must be a number >= 1"),
        (lambda: strategies.features(columns=(3, 2)), r"columns was \(3, 2\), must be"),
        (lambda: strategies.pairs(kinds=["odd"]), r"kinds was \['odd'\], must be a list of normal"),
        (lambda: strategies.features(kinds="normal"), "kinds was 'normal', must be a list"),
        (lambda: strategies.features(dtypes=[]), r"dtypes was \[\], must be a list of float64"),
        (lambda: strategies.grids(largest=0), "largest was 0, must be a whole number >= 1"),
        (lambda: strategies.images(dimensions=1), "dimensions was 1, must be 2 or 3"),
    ],
)
def test_arguments_are_validated(call, told):
    with pytest.raises(ValueError, match=told):
        call()


@QUICK
@given(strategies.pairs(rows=(6, 20)), st.sampled_from(["fid", "kid", "precision", "coverage"]))
def test_registered_metrics_stay_in_range_on_whatever_is_drawn(pair, name):
    metric = metrics.get(name)
    low, high = metric.range
    # The scale of squares (of cubes, for the kernel) sets the size of rounding.
    slack = 1e-9 * max(1.0, np.abs(np.concatenate(pair)).max() ** 6)
    assert low - slack <= metric(*pair) <= high + slack
