"""KID against exact rational arithmetic, and its random subsets."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics
from nriqm_bench.metrics import kernel

kid = metrics.get("kid")


def exact(x, y):
    """The estimate in rational numbers, from its definition."""
    x, y = ([[Fraction(float(v)) for v in row] for row in a] for a in (x, y))
    d = len(x[0])

    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / d + 1) ** 3

    def own(rows):
        return sum(k(a, b) for a, b in itertools.permutations(rows, 2)) / (
            len(rows) * (len(rows) - 1)
        )

    between = sum(k(a, b) for a in x for b in y) / (len(x) * len(y))
    return own(x) + own(y) - 2 * between


def clouds(n=40, m=30, d=5):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)), rng.normal(size=(m, d)) + 0.4


def test_two_pairs_of_points():
    assert kid(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])) == pytest.approx(
        297.5, rel=1e-14
    )


def test_agrees_with_rational_arithmetic():
    x, y = clouds(9, 7)
    assert kid(x, y) == pytest.approx(float(exact(x, y)), rel=1e-12)
    assert kid(y, x) == pytest.approx(kid(x, y), rel=1e-12)


@pytest.mark.parametrize("offset", [2.0**10, 2.0**20])
def test_clouds_far_from_the_origin_lose_no_digits(offset):
    x, y = (np.round(a * 64) / 64 + offset for a in clouds(9, 7))
    truth = float(exact(x, y))
    assert kid(x, y) == pytest.approx(truth, rel=1e-11)
    naive = ((x @ y.T / 5 + 1) ** 3).mean()
    assert abs(naive) > 1e3 * abs(truth)


def test_is_unbiased_and_so_negative_for_a_sample_split_in_two():
    x = np.concatenate([np.eye(4), -np.eye(4)])
    assert kid(x, x) == pytest.approx(float(exact(x, x)), rel=1e-12)
    assert kid(x, x) < 0


@pytest.mark.parametrize("block", [1, 9, 100])
def test_blocks_do_not_matter(monkeypatch, block):
    x, y = clouds()
    whole = kid(x, y)
    monkeypatch.setattr(kernel, "BLOCK", block)
    assert kid(x, y) == pytest.approx(whole, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float64, (5, 2), elements=st.integers(-3, 3)),
    arrays(np.float64, (4, 2), elements=st.integers(-3, 3)),
    st.permutations(range(5)),
)
def test_neither_order_nor_rotation_matters(x, y, order):
    value = kid(x, y)
    assert value == pytest.approx(float(exact(x, y)), abs=1e-10)
    assert kid(x[order], y) == pytest.approx(value, abs=1e-10)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert kid(x @ turn, y @ turn) == pytest.approx(value, abs=1e-10)


def test_a_subset_of_everything_is_everything():
    x, y = clouds(30, 30)
    rng = np.random.default_rng(1)
    assert kid(x, y, subsets=2, subset_size=30, rng=rng) == pytest.approx(kid(x, y), rel=1e-12)


def test_subsets_are_drawn_from_rng_and_average_to_the_whole():
    x, y = clouds(12, 12)
    first = kid(x, y, subsets=5, subset_size=4, rng=np.random.default_rng(1))
    assert first == kid(x, y, subsets=5, subset_size=4, rng=np.random.default_rng(1))
    assert first != kid(x, y, subsets=5, subset_size=4, rng=np.random.default_rng(2))
    draws = [kid(x, y, subsets=1, subset_size=6, rng=np.random.default_rng(i)) for i in range(400)]
    error = np.std(draws) / np.sqrt(len(draws))
    assert np.mean(draws) == pytest.approx(kid(x, y), abs=4 * error)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subsets": 0}, "subsets was 0, must be a whole number >= 1"),
        ({"subsets": 1.5}, r"subsets was 1\.5"),
        ({"subsets": 3}, "rng was None, must be a numpy Generator"),
        (
            {"subsets": 3, "rng": np.random.default_rng(0)},
            "subset_size was 1000, must be between 2 and the rows of real, 40",
        ),
        (
            {"subsets": 3, "subset_size": 35, "rng": np.random.default_rng(0)},
            "subset_size was 35, must be between 2 and the rows of fake, 30",
        ),
        ({"subsets": 3, "subset_size": 1, "rng": np.random.default_rng(0)}, "subset_size was 1"),
    ],
)
def test_says_what_is_wrong_with_the_subsets(options, message):
    with pytest.raises(ValueError, match=message):
        kid(*clouds(), **options)
