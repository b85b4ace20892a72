"""Feature likelihood: mixtures whose variances are known, and one fitted from the definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nriqm_bench import metrics
from nriqm_bench.metrics import likelihood

fls = metrics.get("fls")
overfit = metrics.get("fls-overfit")


def samples(seed=0, n=30, d=3):
    return np.random.default_rng(seed).normal(size=(3, n, d))


def log_densities(rows, centres, variances):
    d = rows.shape[1]
    return np.array(
        [
            [
                -np.sum((x - c) ** 2) / (2 * v) - d / 2 * math.log(2 * math.pi * v)
                for c, v in zip(centres, variances, strict=True)
            ]
            for x in rows
        ]
    )


def nll(rows, centres, variances):
    each = log_densities(rows, centres, variances)
    return -np.mean(np.logaddexp.reduce(each, axis=1)) + math.log(len(centres))


def standardised(real, *others):
    mean, sd = real.mean(0), real.std(0, ddof=1)
    return [(x - mean) / sd for x in (real, *others)]


def halves(train):
    """Every other row by its distance from the mean."""
    outwards = sorted(train, key=lambda x: np.linalg.norm(x - train.mean(0)))
    return np.array(outwards[::2]), np.array(outwards[1::2])


def test_one_centre_has_the_mean_squared_distance():
    rows = np.random.default_rng(0).normal(size=(20, 3))
    centre = np.array([[1.0, 0, -1]])
    variance = np.exp(likelihood._variances(centre, rows))
    assert variance == pytest.approx(np.square(rows - centre).sum(1).mean() / 3)


def test_centres_of_far_clusters_share_nothing():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(9, 2)), 3 * rng.normal(size=(5, 2)) + 1000])
    centres = np.array([[0.5, 0], [1000.0, 1000]])
    parts = (rows[:9] - centres[0], rows[9:] - centres[1])
    expected = [np.square(p).sum(1).mean() / 2 for p in parts]
    assert np.exp(likelihood._variances(centres, rows)) == pytest.approx(expected)


def test_fitted_variances_are_a_maximum():
    _, fake, train = samples()
    fitted = likelihood._variances(fake, train)
    least = nll(train, fake, np.exp(fitted))
    for i in range(len(fake)):
        for step in (-0.05, 0.05):
            moved = fitted.copy()
            moved[i] += step
            assert nll(train, fake, np.exp(moved)) > least - 1e-6


def test_score_from_its_definition():
    given = samples()
    real, fake, train = standardised(*given)
    value = nll(real, fake, np.exp(likelihood._variances(fake, train)))
    centres, rest = halves(train)
    baseline = nll(real, centres, np.exp(likelihood._variances(centres, rest)))
    gap = (value - baseline) / 3
    options = {"train": given[2]}
    assert fls(given[0], given[1], **options) == pytest.approx(100 * math.exp(-2 * gap))
    assert fls(given[0], given[1], scale="fld", **options) == pytest.approx(-100 * gap)


def test_blocks_of_rows_do_not_change_the_value(monkeypatch):
    real, fake, train = samples(n=40)
    expected = fls(real, fake, train=train), overfit(real, fake, train=train)
    monkeypatch.setattr(likelihood, "_STEP", 7 * 40)
    monkeypatch.setattr(likelihood, "_KEPT", 0)
    assert fls(real, fake, train=train) == pytest.approx(expected[0], rel=1e-9)
    assert overfit(real, fake, train=train) == expected[1]


def test_real_rows_score_about_100_and_others_less():
    values = [fls(r, f, train=t) for r, f, t in (samples(s, 150, 8) for s in range(5))]
    assert np.mean(values) == pytest.approx(100, abs=12)
    for seed, honest in enumerate(values):
        real, fake, train = samples(seed, 150, 8)
        assert fls(real, fake + 2, train=train) < honest - 20
        assert fls(real, 3 * fake, train=train) < honest - 20
        assert fls(real, train, train=train) < honest - 20


def test_units_and_origins_of_columns_do_not_matter():
    given = samples(n=50)
    moved = [x * np.array([2.0, 0.01, 1e5]) + np.array([0, 7, -1e6]) for x in given]
    for metric in (fls, overfit):
        expected = metric(given[0], given[1], train=given[2])
        assert metric(moved[0], moved[1], train=moved[2]) == pytest.approx(expected, rel=1e-5)


def test_repeated_training_rows_are_no_copies_of_each_other():
    real, fake, train = samples(n=60)
    twice = np.repeat(train, 2, axis=0)
    expected = fls(real, fake, train=train)
    assert fls(real, fake, train=twice) == pytest.approx(expected, rel=1e-6)


def test_overfit_counted_centre_by_centre():
    given = samples()
    real, fake, train = standardised(*given)
    variances = np.exp(likelihood._variances(fake, train))
    of_train, of_real = (
        np.logaddexp.reduce(log_densities(x, fake, variances), axis=0) for x in (train, real)
    )
    expected = 100 * np.mean(of_train > of_real) - 50
    assert overfit(given[0], given[1], train=given[2]) == pytest.approx(expected)


def test_every_centre_of_a_full_copy_overfits():
    real, _, train = samples(n=60)
    assert overfit(real, train, train=train) == 50
    assert overfit(real, real, train=train) < -20


@pytest.mark.parametrize("metric", [fls, overfit], ids=["fls", "fls-overfit"])
def test_columns_must_vary(metric):
    real, fake, train = samples()
    with pytest.raises(ValueError, match="real was constant in every column"):
        metric(np.ones_like(real), fake, train=train)


def test_unknown_scale():
    real, fake, train = samples()
    with pytest.raises(ValueError, match="scale was 'nll', must be 'fls' or 'fld'"):
        fls(real, fake, train=train, scale="nll")
