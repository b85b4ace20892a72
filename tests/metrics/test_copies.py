"""Copy rate and memorisation index: counted by hand, by brute force, and on copies in disguise."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import metrics
from nriqm_bench.metrics.copies import fit_whitener, memorisation_indices
from nriqm_bench.metrics.sample import Sample

copy_rate = metrics.get("copy-rate")
index = metrics.get("memorisation-index")

ROUNDED = 1e-9


def column(*values):
    return np.array(values, dtype=float)[:, None]


def clusters(rng, n, d):
    fixed = np.random.default_rng(9)
    centres, widths = 10 * fixed.normal(size=(10, d)), fixed.uniform(0.1, 2, size=(10, 1))
    kind = rng.integers(10, size=n)
    return centres[kind] + widths[kind] * rng.normal(size=(n, d))


# Both training rows are 10 from their neighbour. Real ratios: .3, .4, .4; fake: 0, .1, .3, .5.
TRAIN, REAL, FAKE = column(0, 10), column(3, 4, 6), column(0, 1, 3, 5)


@pytest.mark.parametrize(("quantile", "rate"), [(0.01, 2 / 4), (0.4, 2 / 4), (0.6, 3 / 4)])
def test_copy_rate_counted_by_hand(quantile, rate):
    assert copy_rate(REAL, FAKE, train=TRAIN, quantile=quantile) == rate


def test_copy_rate_weighs_by_the_isolation_of_the_training_row():
    train, real = column(0, 1, 10), column(4, 8, 0.3)
    # Real ratios: 3 / 1, 2 / 9 and .3 / 1. Fake ratios: 1 / 9, .5 / 1 and 3 / 9.
    assert copy_rate(real, column(9, 0.5, 7), train=train) == 1 / 3


def test_a_ratio_as_small_as_the_limit_is_no_copy():
    assert copy_rate(REAL, column(3, -3), train=TRAIN) == 0
    assert copy_rate(REAL, column(2.999, 3), train=TRAIN) == 0.5


@pytest.mark.parametrize("extra", [(0,), (10,), (0, 0, 10, 10, 0)])
def test_leaked_real_rows_are_set_aside(extra):
    leaked = np.vstack([REAL, column(*extra)])
    assert copy_rate(leaked, FAKE, train=TRAIN) == 2 / 4
    assert copy_rate(leaked, TRAIN, train=TRAIN) == 1


def test_repeated_training_rows_count_once():
    assert copy_rate(REAL, FAKE, train=np.repeat(TRAIN, 2, axis=0)) == 2 / 4


def test_floor_of_copy_rate():
    assert copy_rate.estimate(REAL, FAKE, train=TRAIN).floor == 1 / 4
    leaked = np.vstack([REAL, column(0)])
    assert copy_rate.estimate(leaked, FAKE, train=TRAIN).floor == 1 / 4 + 3 / 4 * 1 / 4
    assert copy_rate.estimate(REAL, FAKE, train=TRAIN, quantile=0.6).floor == 2 / 4


def test_copy_rate_by_brute_force():
    rng = np.random.default_rng(0)
    for _ in range(5):
        real, fake, train = (rng.normal(size=(n, 2)) for n in (60, 50, 40))
        gaps = np.linalg.norm(train[:, None] - train, axis=-1) + np.diag([np.inf] * 40)

        def ratios(rows, train=train, gaps=gaps):
            away = np.linalg.norm(rows[:, None] - train, axis=-1)
            return away.min(axis=1) / gaps.min(axis=1)[away.argmin(axis=1)]

        expected = np.mean(ratios(fake) < np.sort(ratios(real))[5])
        assert copy_rate(real, fake, train=train, quantile=0.1) == expected


def test_without_held_out_rows_there_is_no_copy_rate():
    with pytest.raises(ValueError, match="real held 3 of 3 rows that coincide with training rows"):
        copy_rate(column(0, 10, 0), FAKE, train=TRAIN)
    with pytest.raises(ValueError, match="train had 2 equal rows"):
        copy_rate(REAL, FAKE, train=column(1, 1))


@pytest.mark.parametrize("quantile", [0, 1, -0.1, 2, "x"])
def test_quantile_is_a_share(quantile):
    with pytest.raises(ValueError, match=r"quantile was .*, must be a number between 0 and 1"):
        copy_rate(REAL, FAKE, train=TRAIN, quantile=quantile)


def test_honest_rows_are_called_copies_as_often_as_the_floor_says():
    draws = [np.random.default_rng(seed).normal(size=(3, 60, 2)) for seed in range(300)]
    values = [copy_rate(real, fake, train=train, quantile=0.1) for real, fake, train in draws]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values) - 6 / 61) < 4 * error
    assert error < 0.01


@pytest.mark.parametrize("shape", ["2", "64", "1280", "clustered"])
def test_five_per_cent_of_copies_are_seen_among_200_rows(shape):
    honest, copied = [], []
    for seed in range(8 if shape == "1280" else 30):
        rng = np.random.default_rng(seed)
        if shape == "clustered":
            real, fake, train = (clusters(rng, 200, 16) for _ in range(3))
        else:
            real, fake, train = rng.normal(size=(3, 200, int(shape)))
        honest.append(copy_rate(real, fake, train=train))
        fake[:10] = train[:10]
        copied.append(copy_rate(real, fake, train=train))
    assert np.mean(copied) - np.mean(honest) > 3 * np.std(honest, ddof=1)
    # Every copy is one; a few of the rows that they replaced were called copies too.
    assert np.all(np.subtract(copied, honest) > 0)
    assert np.all(np.array(copied) >= 0.05)


# Whitening only scales these: their mean is 0 and their covariance a multiple of the identity.
CROSS = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
HELD_OUT = np.array([[1.0, 1], [2, 0], [3, 4]])


@pytest.mark.parametrize("whitening", ["shrunk", "full", "columns"])
def test_index_by_hand(whitening):
    null = np.array([np.sqrt(0.5), 1, 0.8])
    fake = np.array([[0.0, 5], [-1, -1], [4, -3]])
    expected = (np.array([1, np.sqrt(0.5), 0.8]) - null.mean()) / null.std()
    found = memorisation_indices(HELD_OUT, fake, CROSS, whitening=whitening)
    assert found == pytest.approx(expected)
    options = {"train": CROSS, "whitening": whitening}
    # A permutation of the null: its mean is the null's.
    assert index(HELD_OUT, fake, **options) == pytest.approx(0, abs=ROUNDED)
    copies = np.array([[1.0, 0], [0, 1], [7, 0]])
    assert index(HELD_OUT, copies, **options) == pytest.approx((1 - null.mean()) / null.std())
    bounded = index(HELD_OUT, fake, bounded=True, **options)
    assert bounded == pytest.approx(np.tanh(expected).mean())


def test_layers_are_joined_by_their_geometric_mean():
    train = np.hstack([CROSS, CROSS])
    real = np.hstack([HELD_OUT, HELD_OUT[[1, 1, 0]]])
    null = np.sqrt([np.sqrt(0.5) * 1, 1 * 1, 0.8 * np.sqrt(0.5)])
    fake = np.array([[1.0, 1, 1, 1], [1, 0, 1, 0], [3, 4, 4, 3]])
    expected = (np.array([np.sqrt(0.5), 1, 0.8]) - null.mean()) / null.std()
    found = memorisation_indices(real, fake, train, layers=(2, 2))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("layers", [(), (2,), (3, 2), (4, 0)])
def test_layers_must_fill_the_columns(layers):
    with pytest.raises(
        ValueError, match=r"layers was .*, must be whole numbers >= 1 that sum to 4"
    ):
        index(np.eye(4), np.eye(4), train=np.eye(4), layers=layers)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (6, 9)])
def test_shrunk_whitening_from_its_definition(n, d):
    rows = np.random.default_rng(0).normal(size=(n, d)) @ np.diag(np.arange(1.0, d + 1)) + 3
    centred = rows - rows.mean(0)
    s = sum(np.outer(x, x) for x in centred) / n
    target = np.trace(s) / d * np.eye(d)
    error = sum(np.square(np.outer(x, x) - s).sum() for x in centred) / n**2
    weight = min(1, error / np.square(s - target).sum())
    precision = np.linalg.inv((1 - weight) * s + weight * target)
    queries = np.random.default_rng(1).normal(size=(5, d))
    whitened = fit_whitener(Sample(rows))(queries)
    away = queries - rows.mean(0)
    assert whitened @ whitened.T == pytest.approx(away @ precision @ away.T, rel=1e-9, abs=1e-9)
    assert 0 < weight < 1


def test_full_whitening_leaves_no_covariance():
    rows = np.random.default_rng(0).normal(size=(50, 4)) @ np.random.default_rng(1).normal(
        size=(4, 4)
    )
    whitened = fit_whitener(Sample(rows), "full")(rows)
    assert np.cov(whitened, rowvar=False) == pytest.approx(np.eye(4), abs=1e-9)


def test_index_is_zero_on_average_without_copying():
    draws = [np.random.default_rng(seed).normal(size=(3, 50, 8)) for seed in range(200)]
    values = [index(real, fake, train=train) for real, fake, train in draws]
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    assert abs(np.mean(values)) < 4 * error
    assert error < 0.05


def test_interval_of_the_index_is_as_wide_as_its_spread():
    draws = [np.random.default_rng(seed).normal(size=(3, 60, 8)) for seed in range(150)]
    found = [index.estimate(real, fake, train=train, level=0.9) for real, fake, train in draws]
    held = np.mean([e.low <= 0 <= e.high for e in found])
    assert 0.82 <= held <= 0.98


def test_index_sees_copies_with_noise():
    rng = np.random.default_rng(0)
    real, fake, train = rng.normal(size=(3, 200, 64))
    honest = index(real, fake, train=train)
    fake[:10] = train[:10] + 0.2 * rng.normal(size=(10, 64))
    assert index(real, fake, train=train) > honest + 0.4


def test_index_needs_rows_that_differ():
    alike = np.ones((4, 3))
    with pytest.raises(ValueError, match="train was constant in every column"):
        index(np.eye(4, 3), np.eye(4, 3), train=alike)
    with pytest.raises(ValueError, match="real had one similarity to train in all rows"):
        index(alike, np.eye(4, 3), train=np.eye(4, 3))
    with pytest.raises(ValueError, match="whitening was 'zca', must be"):
        index(np.eye(4), np.eye(4), train=np.eye(4), whitening="zca")
