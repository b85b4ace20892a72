"""Copy scores: counted by hand, by brute force, and what pairs and shares say of the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import metrics
from nriqm_bench.metrics import copy_scores, nearest_pairs
from nriqm_bench.metrics.sample import Sample


def column(*values):
    return np.array(values, dtype=float)[:, None]


def test_scores_counted_by_hand():
    found = copy_scores(column(0, 4), column(7, 8, 11, 1, -2), column(10, 14))
    assert found == pytest.approx(np.log([3 / 3, 4 / 2, 7 / 1, 1 / 9, 2 / 12]))


def test_rows_that_coincide():
    found = copy_scores(column(0, 5), column(5, 9, 0), column(5, 9))
    assert found.tolist() == [0, np.inf, -np.inf]


def test_scores_by_brute_force():
    rng = np.random.default_rng(0)
    real, fake, train = (rng.normal(size=(n, 7)) for n in (50, 40, 30))

    def away(rows):
        return np.linalg.norm(fake[:, None] - rows, axis=2).min(axis=1)

    expected = np.log(away(real) / away(train))
    assert copy_scores(real, fake, train) == pytest.approx(expected)
    assert copy_scores(Sample(real), Sample(fake), Sample(train)) == pytest.approx(expected)
    turn = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    moved = [3 * rows @ turn + 5 for rows in (real, fake, train)]
    assert copy_scores(*moved) == pytest.approx(expected)


def test_scores_swap_their_sign_when_real_and_train_swap():
    real, fake, train = np.random.default_rng(1).normal(size=(3, 30, 4))
    assert copy_scores(train, fake, real) == pytest.approx(-copy_scores(real, fake, train))


def test_the_share_of_positive_scores_is_the_train_share():
    real, fake, train = np.random.default_rng(2).normal(size=(3, 60, 4))
    fake[:5], fake[5] = train[:5], train[0]
    share = (copy_scores(real, fake, train) > 0).mean()
    assert metrics.get("train-share")(real, fake, train=train) == share


match_rate = metrics.get("match-rate")


@pytest.mark.parametrize(("ratio", "rate"), [(0.5, 2 / 6), (0.16, 1 / 6), (0.99, 3 / 6)])
def test_match_rate_counted_by_hand(ratio, rate):
    # Training over real distance: 3 / 3, 2 / 4, 1 / 7, 9 / 1, 0 / 0 and 6 / 8.
    real, fake, train = column(0, 4, 40), column(7, 8, 11, 1, 40, 32), column(10, 26, 40)
    assert match_rate(real, fake, train=train, ratio=ratio) == rate


def test_match_rate_counts_scores_beyond_the_logarithm():
    real, fake, train = np.random.default_rng(4).normal(size=(3, 300, 2))
    for ratio in (0.3, 0.5, 0.8):
        share = (copy_scores(real, fake, train) > -np.log(ratio)).mean()
        assert match_rate(real, fake, train=train, ratio=ratio) == share


def test_match_rate_of_honest_rows_is_nothing_however_bad_they_are():
    rng = np.random.default_rng(5)
    real, fake, train = rng.normal(size=(3, 100, 64))
    for honest in (fake, 0.1 * fake, 3 * fake, fake + 1, np.repeat(fake[:5], 20, axis=0)):
        assert match_rate(real, honest, train=train) == 0
    fake[:5] = train[:5] + 0.2 * rng.normal(size=(5, 64))
    assert match_rate(real, fake, train=train) == 0.05
    # Real rows that were trained on hide their own copies.
    assert match_rate(train, fake, train=train) == 0


@pytest.mark.parametrize("ratio", [0, 1, -0.5, 2, "x"])
def test_ratio_is_below_one(ratio):
    with pytest.raises(ValueError, match=r"ratio was .*, must be a number between 0 and 1"):
        match_rate(column(0, 1), column(0, 1), train=column(0, 1), ratio=ratio)


def test_pairs_come_in_the_order_of_scores():
    real, fake, train = np.random.default_rng(3).normal(size=(3, 40, 4))
    fake[7] = train[3]
    scores = copy_scores(real, fake, train)
    pairs = nearest_pairs(fake, train, real, k=40)
    assert [pair["fake"] for pair in pairs] == np.argsort(-scores, kind="stable").tolist()
    assert [np.exp(-scores[pair["fake"]]) for pair in pairs] == pytest.approx(
        [pair["ratio"] for pair in pairs]
    )


def test_honest_scores_are_symmetric_about_zero():
    draws = [np.random.default_rng(seed).normal(size=(3, 50, 3)) for seed in range(200)]
    medians = [np.median(copy_scores(*draw)) for draw in draws]
    error = np.std(medians, ddof=1) / np.sqrt(len(medians))
    assert abs(np.mean(medians)) < 4 * error
    assert error < 0.02


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("real", np.zeros((3, 5)), r"real had shape \(3, 5\), must be \(n, 4\) like fake"),
        ("train", np.zeros((0, 4)), "train"),
        ("fake", np.full((3, 4), np.nan), "fake"),
        ("fake", np.zeros(4), "fake"),
    ],
)
def test_scores_say_what_is_wrong(name, rows, message):
    good = dict.fromkeys(("real", "fake", "train"), np.eye(4))
    with pytest.raises(ValueError, match=message):
        copy_scores(**{**good, name: rows})
