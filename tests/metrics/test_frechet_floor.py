"""The expected FID of one distribution against simulation, and where a closed form is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import gammaln

from nriqm_bench.metrics.frechet_floor import expected_distance, population_spectrum

SPECTRA = {
    "equal": np.ones,
    "falling": lambda d: np.geomspace(1, 1e-2, d),
    "spiked": lambda d: np.concatenate([[30.0], np.ones(d - 1)]),
    "half empty": lambda d: np.repeat([1.0, 0.0], [d - d // 2, d // 2]),
}


def factors(r, rounds, n, roots):
    x = r.normal(size=(rounds, n, len(roots))) * roots
    mean = x.mean(1)
    return mean, (x - mean[:, None]) / math.sqrt(n - 1)


def simulated(eigenvalues, n, m, rounds, seed=0):
    """Mean squared Frechet distance of two samples, and its standard error, by singular values."""
    r = np.random.default_rng(seed)
    roots, values = np.sqrt(eigenvalues), []
    for _ in range(0, rounds, 50):
        mean1, a = factors(r, 50, n, roots)
        mean2, b = factors(r, 50, m, roots)
        overlap = np.linalg.svd(a @ b.transpose(0, 2, 1), compute_uv=False).sum(1)
        traces = np.square(a).sum((1, 2)) + np.square(b).sum((1, 2))
        values.append(np.square(mean1 - mean2).sum(1) + traces - 2 * overlap)
    values = np.concatenate(values)
    return values.mean(), values.std() / math.sqrt(len(values))


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize(
    ("d", "n", "m", "rounds"),
    [
        (8, 12, 40, 8000),
        (8, 30, 30, 6000),
        (16, 10, 10, 4000),
        (32, 20, 50, 1000),
        (64, 32, 90, 400),
        (64, 65, 65, 300),
    ],
)
def test_within_one_per_cent_of_simulation_from_eight_columns_on(kind, d, n, m, rounds):
    eigenvalues = SPECTRA[kind](d)
    mean, error = simulated(eigenvalues, n, m, rounds)
    assert error < 0.02 * mean
    found = expected_distance(eigenvalues, np.ones(d), n, m)
    assert found == pytest.approx(mean, abs=0.01 * mean + 3 * error)


@pytest.mark.parametrize("kind", ["equal", "falling"])
@pytest.mark.parametrize(("d", "n", "m"), [(2, 10, 20), (3, 8, 8), (4, 30, 12)])
def test_within_two_per_cent_of_simulation_below(kind, d, n, m):
    eigenvalues = SPECTRA[kind](d)
    mean, error = simulated(eigenvalues, n, m, 20000)
    found = expected_distance(eigenvalues, np.ones(d), n, m)
    assert found == pytest.approx(mean, abs=0.02 * mean + 3 * error)


@pytest.mark.parametrize(("n", "m"), [(10, 10), (10, 40), (100, 30)])
def test_one_dimension_is_known_exactly(n, m):
    """The means differ by s^2 (1 / n + 1 / m); a deviation has the mean c4 s of a chi."""

    def c4(size):
        return math.sqrt(2 / (size - 1)) * math.exp(gammaln(size / 2) - gammaln((size - 1) / 2))

    exact = 9 * (1 / n + 1 / m + 2 - 2 * c4(n) * c4(m))
    assert expected_distance(np.array([9.0]), np.ones(1), n, m) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize("kind", ["equal", "falling", "spiked"])
@pytest.mark.parametrize("d", [1, 4, 40])
def test_many_rows_follow_the_delta_method(kind, d):
    """The distance of close covariances: sum of |dC_ij|^2 / (2 (l_i + l_j)) along their axes."""
    values = SPECTRA[kind](d)
    n, m = 3000 * d, 5000 * d
    product, total = np.outer(values, values), values[:, None] + values
    covariances = (product * (1 + np.eye(d)) / total / 2).sum() * (1 / (n - 1) + 1 / (m - 1))
    expected = values.sum() * (1 / n + 1 / m) + covariances
    assert expected_distance(values, np.ones(d), n, m) == pytest.approx(expected, rel=0.01)


def test_scales_with_the_eigenvalues_and_changes_places():
    values = SPECTRA["falling"](20)
    one = expected_distance(values, np.ones(20), 30, 15)
    assert expected_distance(7 * values, np.ones(20), 30, 15) == pytest.approx(7 * one, rel=1e-9)
    assert expected_distance(values, np.ones(20), 15, 30) == pytest.approx(one, rel=1e-9)
    assert expected_distance(values, np.ones(20), 60, 30) < one


def test_weights_stand_for_repeated_eigenvalues():
    values = np.array([3.0, 1.0, 0.0])
    weights = np.array([5, 12, 3])
    repeated = np.repeat(values, weights)
    assert expected_distance(values, weights.astype(float), 30, 15) == pytest.approx(
        expected_distance(repeated, np.ones(20), 30, 15), rel=1e-9
    )


def test_nothing_varies_and_nothing_is_expected():
    assert expected_distance(np.zeros(3), np.ones(3), 10, 10) == 0
    values, weights = population_spectrum(np.zeros(4), 4, 20)
    assert (values.tolist(), weights.tolist()) == ([0], [4])
    assert population_spectrum(np.zeros(0), 4, 20)[1].sum() == 4


def sample_spectrum(r, eigenvalues, n):
    _, factor = factors(r, 1, n, np.sqrt(eigenvalues))
    return np.square(np.linalg.svd(factor[0], compute_uv=False))


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize(("d", "n", "within"), [(64, 40, 0.03), (64, 200, 0.02), (128, 100, 0.02)])
def test_the_floor_from_one_sample(kind, d, n, within):
    """With what the trace of a single sample misses taken off, which is no fault of the method."""
    eigenvalues = SPECTRA[kind](d)
    truth = expected_distance(eigenvalues, np.ones(d), n, n)
    r = np.random.default_rng(0)
    ratios = []
    for _ in range(4):
        found = sample_spectrum(r, eigenvalues, n)
        scale = eigenvalues.sum() / found.sum()
        ratios.append(expected_distance(*population_spectrum(found, d, n), n, n) * scale / truth)
    assert np.mean(ratios) == pytest.approx(1, abs=within)


@pytest.mark.parametrize(("d", "n"), [(3, 10), (8, 12), (16, 8)])
def test_the_floor_from_tiny_samples(d, n):
    eigenvalues = SPECTRA["falling"](d)
    truth = expected_distance(eigenvalues, np.ones(d), n, n)
    r = np.random.default_rng(0)
    found = np.array(
        [
            expected_distance(*population_spectrum(sample_spectrum(r, eigenvalues, n), d, n), n, n)
            for _ in range(60)
        ]
    )
    error = found.std() / math.sqrt(60)
    assert found.mean() == pytest.approx(truth, abs=0.08 * truth + 3 * error)


@pytest.mark.parametrize("kind", SPECTRA)
@pytest.mark.parametrize(("d", "n"), [(32, 20), (32, 100), (4, 500)])
def test_a_population_spectrum_keeps_columns_and_trace(kind, d, n):
    found = sample_spectrum(np.random.default_rng(0), SPECTRA[kind](d), n)
    values, weights = population_spectrum(found, d, n)
    assert weights.sum() == pytest.approx(d, rel=1e-12)
    assert values @ weights == pytest.approx(found.sum(), rel=0.02)
    assert np.all(weights >= 0)
    assert np.all(values >= 0)


def test_a_population_spectrum_undoes_the_spread_of_a_small_sample():
    """Equal eigenvalues look like 0 to 4 where there are as many rows as columns."""
    d = 200
    found = sample_spectrum(np.random.default_rng(0), np.ones(d), d + 1)
    assert found[0] > 3.5
    assert found[-1] < 0.01
    values, weights = population_spectrum(found, d, d + 1)
    second = weights @ values**2 / d
    # The sample's own second moment is 1 + d / n.
    assert (found**2).sum() / d == pytest.approx(2, rel=0.1)
    assert second == pytest.approx(1, rel=0.2)


def test_a_population_spectrum_of_many_rows_is_that_of_the_sample():
    found = np.array([4.0, 2.0, 1.0])
    values, weights = population_spectrum(found, 5, 1000)
    np.testing.assert_array_equal(values, [4, 2, 1, 0])
    np.testing.assert_array_equal(weights, [1, 1, 1, 2])
