"""AuthPct, train share and nearest pairs, counted by hand and by brute force."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nriqm_bench import metrics

authpct = metrics.get("authpct")
train_share = metrics.get("train-share")


def column(*values):
    return np.array(values, dtype=float)[:, None]


def published_authpct(fake, train):
    own = np.linalg.norm(train[:, None] - train, axis=-1)
    np.fill_diagonal(own, np.inf)
    between = np.linalg.norm(train[:, None] - fake, axis=-1)
    return 100 * np.mean(own.min(0)[between.argmin(0)] < between.min(0))


def test_authpct_counted_by_hand():
    train, fake = column(0, 1, 3, 6), column(0, 0.4, 2.1, 10)
    assert authpct(None, fake, train=train) == 25
    assert authpct(column(5, 5), fake, train=train) == 25


def test_authpct_as_far_as_the_neighbour_is_not_authentic():
    train = column(0, 1, 3)
    assert authpct(None, column(-1, -1), train=train) == 0
    assert authpct(None, column(-1.001, -1), train=train) == 50


def test_authpct_as_published():
    r = np.random.default_rng(0)
    for _ in range(5):
        fake, train = r.normal(size=(50, 3)), r.normal(size=(40, 3))
        value = authpct(None, fake, train=train)
        assert value == pytest.approx(published_authpct(fake, train), abs=1e-12)
        assert 5 < value < 95


def test_authpct_of_copies_is_zero_and_of_strangers_all():
    train = np.random.default_rng(0).normal(size=(30, 4))
    assert authpct(None, train, train=train) == 0
    assert authpct(None, train + 100, train=train) == 100


def test_authpct_takes_the_most_isolated_of_equally_near_rows():
    train = column(0, 1, 4, 5, 9)
    # 2.5 is 1.5 from both 1 and 4, which are 1 from theirs; 7 is 2 from 5 (1) and from 9 (4).
    assert authpct(None, column(2.5, 2.5), train=train) == 100
    assert authpct(None, column(7, 7), train=train) == 0
    assert authpct(None, column(7, 7), train=train[::-1]) == 0


def test_train_share_counted_by_hand():
    real, train = column(0, 10), column(4, 20)
    fake = column(1, 3, 21, 2)
    assert train_share(real, fake, train=train) == (0 + 1 + 1 + 0.5) / 4
    assert train_share(train, fake, train=real) == (1 + 0 + 0 + 0.5) / 4


def test_train_share_of_copies_and_of_an_honest_generator():
    r = np.random.default_rng(0)
    real, train, fake = r.normal(size=(3, 400, 3))
    assert train_share(real, train, train=train) == 1
    assert train_share(real, real, train=train) == 0
    assert train_share(real, fake, train=train) == pytest.approx(0.5, abs=0.1)


def test_train_share_corrected_for_sizes():
    r = np.random.default_rng(0)
    real, train, fake = (r.normal(size=(n, 2)) for n in (100, 400, 2000))
    plain = train_share(real, fake, train=train)
    corrected = train_share(real, fake, train=train, corrected=True)
    assert plain == pytest.approx(0.8, abs=0.06)
    assert corrected == pytest.approx(plain * 100 / (plain * 100 + (1 - plain) * 400))
    assert corrected == pytest.approx(0.5, abs=0.1)
    assert train_share(real, train, train=train, corrected=True) == 1
    assert train_share(real, real, train=train, corrected=True) == 0


lattice = arrays(np.float64, (6, 2), elements=st.integers(-2, 2))


@settings(max_examples=40, deadline=None)
@given(lattice, lattice, lattice, st.permutations(range(6)))
def test_order_shift_and_scale_do_not_matter(real, fake, train, order):
    for metric in (authpct, train_share):
        value = metric(real, fake, train=train)
        assert metric(real[order], fake[order], train=train[order]) == value
        assert metric(2 * real + 4, 2 * fake + 4, train=2 * train + 4) == value


@pytest.mark.parametrize("metric", [authpct, train_share], ids=["authpct", "train-share"])
def test_needs_train(metric):
    x = column(1, 2, 3)
    with pytest.raises(ValueError, match=r"train was None, must be an \(n, d\) array: .* reads it"):
        metric(x, x)
    with pytest.raises(ValueError, match="train had 1 row, must have at least 2"):
        metric(x, x, train=x[:1])


def test_nearest_pairs():
    fake, train, real = column(0.1, 5, 8, 3), column(0, 7, 100), column(2, 6, 9)
    pairs = metrics.nearest_pairs(fake, train, real, k=3)
    assert [p["fake"] for p in pairs] == [0, 2, 1]
    first = pairs[0]
    assert first["train"] == 0
    assert first["real"] == 0
    assert first["train_distance"] == pytest.approx(0.1)
    assert first["real_distance"] == pytest.approx(1.9)
    assert first["ratio"] == pytest.approx(0.1 / 1.9)
    # 8 is 1 from 7 and 1 from 9: a ratio of 1; 5 is 2 from 7 and 1 from 6; 3 is 3 from 0, 1 from 2.
    assert [p["ratio"] for p in pairs[1:]] == [1, 2]
    assert len(metrics.nearest_pairs(fake, train, real)) == 4
    assert json.loads(json.dumps(pairs, allow_nan=False)) == pairs


def test_nearest_pairs_without_real_are_the_nearest():
    pairs = metrics.nearest_pairs(column(0.5, 5, 7), column(0, 7), k=2)
    assert [(p["fake"], p["train"], p["train_distance"]) for p in pairs] == [(2, 1, 0), (0, 0, 0.5)]
    assert pairs[0]["ratio"] is None


def test_nearest_pairs_of_rows_that_coincide():
    train, real = column(0, 1), column(0, 2)
    pairs = metrics.nearest_pairs(column(0, 1, 2), train, real)
    # 2 is a real row and no training row: an infinite ratio, and left out.
    assert [(p["fake"], p["ratio"]) for p in pairs] == [(1, 0), (0, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((column(1), np.zeros((3, 2))), r"train had shape \(3, 2\), must be \(n, 1\) like fake"),
        ((column(1), column(1), np.zeros((3, 2))), r"real had shape \(3, 2\)"),
        ((column(1), np.zeros((0, 1))), "train had 0 rows, must have at least 1"),
        ((column(np.nan), column(1)), "fake held NaN or infinity in 1 of 1 rows"),
        ((column(1), column(1), None, 0), "k was 0, must be a whole number >= 1"),
    ],
)
def test_nearest_pairs_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        metrics.nearest_pairs(*arguments)
