"""The inception score where it has a closed form, and against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics
from nriqm_bench.metrics import Sample

score = metrics.get("inception-score")


def softmax(x):
    return np.array([[math.exp(v - max(row)) for v in row] for row in x]) / np.array(
        [[sum(math.exp(v - max(row)) for v in row)] for row in x]
    )


def brute(p):
    overall = [math.fsum(column) / len(p) for column in zip(*p, strict=True)]
    information = [
        math.fsum(v * math.log(v / q) for v, q in zip(row, overall, strict=True) if v > 0)
        for row in p
    ]
    return math.exp(math.fsum(information) / len(p))


def probabilities(n=40, classes=6, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), size=n)


@pytest.mark.parametrize("classes", [2, 5, 1000])
def test_certain_rows_count_the_classes(classes):
    assert score(None, np.tile(np.eye(classes), (2, 1))) == pytest.approx(classes, rel=1e-12)


def test_certain_rows_of_unequal_classes_are_the_exponential_of_the_entropy():
    rows = np.eye(3)[[0, 0, 0, 1, 1, 2]]
    assert score(None, rows) == pytest.approx(2 ** (1 / 2) * 3 ** (1 / 3) * 6 ** (1 / 6), rel=1e-13)


def test_equal_rows_score_one():
    assert score(None, np.tile(probabilities(1), (9, 1))) == pytest.approx(1, rel=1e-14)
    assert score(None, np.full((4, 7), 1 / 7)) == pytest.approx(1, rel=1e-14)


def test_agrees_with_its_definition():
    p = probabilities()
    assert score(None, p) == pytest.approx(brute(p), rel=1e-12)
    assert 1 < score(None, p) < 6
    assert score(p[:9], p) == score(None, p)


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (5, 4), elements=st.floats(-30, 30)), st.permutations(range(5)))
def test_logits_are_brought_to_probabilities(x, order):
    value = score(None, x, logits=True)
    assert value == pytest.approx(brute(softmax(x)), rel=1e-9)
    assert 1 - 1e-12 <= value <= 4 + 1e-9
    assert score(None, x[order], logits=True) == pytest.approx(value, rel=1e-12)
    assert score(None, x[:, ::-1], logits=True) == pytest.approx(value, rel=1e-12)
    assert score(None, x + 1000, logits=True) == pytest.approx(value, rel=1e-9)


def test_far_logits_do_not_overflow():
    assert score(None, 1e4 * np.eye(5), logits=True) == pytest.approx(5, rel=1e-12)
    assert score(None, np.array([[0.0, -1e30], [0.0, -1e30]]), logits=True) == 1


def test_a_probability_near_the_least_float_adds_nothing():
    # exp(-745) is the least float, and its mean with 0 is 0.
    assert score(None, np.array([[0.0, -745.0], [0.0, -800.0]]), logits=True) == 1


def test_rows_that_nearly_sum_to_one_are_brought_to_it():
    p = probabilities()
    assert score(None, p.astype(np.float16)) == pytest.approx(score(None, p), rel=1e-2)
    assert score(None, p * 1.0005) == pytest.approx(score(None, p), rel=1e-12)


def test_more_information_scores_higher():
    blurred = 0.5 * probabilities() + 0.5 / 6
    assert score(None, blurred) < score(None, probabilities())


def test_parts_are_scored_alone_and_averaged():
    p = probabilities(4, 3)
    # Two parts of two rows: one of three ways to pair the rows.
    ways = [(brute(p[[0, i]]) + brute(np.delete(p, [0, i], axis=0))) / 2 for i in (1, 2, 3)]
    seen = set()
    for seed in range(40):
        value = score(None, p, splits=2, rng=np.random.default_rng(seed))
        at = int(np.argmin(np.abs(np.array(ways) - value)))
        assert value == pytest.approx(ways[at], rel=1e-12)
        seen.add(at)
    assert seen == {0, 1, 2}


def test_parts_of_one_row_know_nothing():
    p = probabilities(5)
    assert score(None, p, splits=5, rng=np.random.default_rng(0)) == pytest.approx(1, rel=1e-13)
    # And are scored as parts, not as a whole.
    assert score(None, p, splits=1) > 1.05


def test_parts_of_unequal_size_count_the_same():
    p = np.eye(3)[[0, 1, 2]]
    # Of three certain rows, one part has two classes and the other has one.
    assert score(None, p, splits=2, rng=np.random.default_rng(0)) == pytest.approx(1.5, rel=1e-13)


def test_the_deviation_is_that_of_the_jackknife():
    p = probabilities(300)
    spread = score.spread(None, Sample(p))
    left_out = np.array([brute(np.delete(p, i, axis=0)) for i in range(300)])
    expected = math.sqrt(299 * left_out.var())
    assert (spread.n, spread.sd) == (300, pytest.approx(expected, rel=0.02))


def test_intervals_cover_the_mean_over_new_rows():
    found = []
    for seed in range(200):
        p = probabilities(100, 5, seed)
        found.append(score.estimate(None, p, level=0.9))
    mean = np.mean([e.value for e in found])
    assert 0.83 <= np.mean([e.low <= mean <= e.high for e in found]) <= 0.97
    assert found[0].floor is None
    assert found[0].n == 100


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (np.ones((4, 1)), {}, "fake had 1 column, must have one for each of 2 or more classes"),
        (np.eye(4) * 2, {}, "fake held 4 of 4 rows that are no class probabilities, must have"),
        (np.eye(3) - [[0.1, 0, 0]], {}, "fake held 3 of 3 rows that are no class probabilities"),
        (
            np.array([[0.5, 0.5], [1.2, -0.2]]),
            {},
            r"fake held 1 of 2 rows .* give logits=True for logits, and not features",
        ),
        (np.eye(3), {"splits": 0}, "splits was 0, must be between 1 and the 3 rows of fake"),
        (np.eye(3), {"splits": 4}, "splits was 4, must be between 1 and the 3 rows of fake"),
        (np.eye(3), {"splits": 1.5}, r"splits was 1\.5, must be between 1 and the 3 rows"),
        (np.eye(3), {"splits": 2}, "rng was None, must be a numpy Generator when fake is cut"),
        (np.eye(3)[:1], {}, "fake had 1 row, must have at least 2 for inception-score"),
    ],
)
def test_says_what_is_wrong(rows, options, message):
    with pytest.raises(ValueError, match=message):
        score(None, rows, **options)


def test_classes_of_no_probability_add_nothing():
    p = probabilities(10, 3)
    for places in itertools.permutations([0, 1, 2, 3], 3):
        wide = np.zeros((10, 4))
        wide[:, places] = p
        assert score(None, wide) == pytest.approx(score(None, p), rel=1e-13)
