"""Runs of metrics: what is drawn, when a run may stop, and agreement with the package prdc."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from nriqm_bench import metrics, sanity
from nriqm_bench.sanity import Check, Criterion, Part, criteria, measuring


@pytest.fixture
def registered():
    made = []

    def register(name, function, **options):
        made.append(name)
        metrics.register(name, function, **{"higher_is_better": True, **options})
        return name

    yield register
    for name in made:
        metrics.unregister(name)


def counts(k, ties, real, fake):
    """All four metrics from the matrices of distances, by their definitions."""
    own_real, own_fake = (np.sort(cdist(x, x))[:, k, None] for x in (real, fake))
    between = cdist(real, fake)
    compare = np.less_equal if ties == "inclusive" else np.less
    in_real, in_fake = compare(between, own_real), compare(between, own_fake.T)
    return {
        "precision": in_real.any(axis=0).mean(),
        "recall": in_fake.any(axis=1).mean(),
        "density": in_real.sum() / k / len(fake),
        "coverage": in_real.any(axis=1).mean(),
    }


CLOUDS = [
    ("mean-difference", "d=8", 30),
    ("spread-difference", "d=1", 20),
    ("sphere-torus", "real torus", 3),
    ("discrete-against-continuous", "real discrete", 0),
    ("one-disjoint-dimension", "d=2 to 1001", 9),
]


def cloud(name, part, level):
    (found,) = (p for p in sanity.get(name).parts if p.name == part)
    _, real, fake = next(found.clouds(np.random.default_rng(4), (level,)))
    return real[:400], fake[:500]


@pytest.mark.parametrize(("name", "part", "level"), CLOUDS)
@pytest.mark.parametrize("ties", ["strict", "inclusive"])
def test_ours_by_definition(name, part, level, ties):
    real, fake = cloud(name, part, level)
    expected = counts(5, ties, real, fake)
    options = {metric: {"k": 5, "ties": ties} for metric in expected}
    found = metrics.evaluate(expected, real, fake, options=options)
    assert found == pytest.approx(expected, abs=2e-3)
    assert 0 < sum(found.values()) < 10


@pytest.mark.parametrize(("name", "part", "level"), CLOUDS[:3])
def test_ours_as_the_package_prdc(name, part, level):
    prdc = pytest.importorskip("prdc")
    real, fake = cloud(name, part, level)
    expected = prdc.compute_prdc(real, fake, nearest_k=5)
    options = {metric: {"k": 5, "ties": "strict"} for metric in expected}
    assert metrics.evaluate(expected, real, fake, options=options) == pytest.approx(expected)


def test_the_published_k_follows_from_the_expected_coverage():
    def expected(k, n=1000, m=1000):
        i = np.arange(1, k + 1)
        return 1 - np.prod((n - i) / (n + m - i))

    assert min(k for k in range(1, 20) if expected(k) > 0.95) == 5
    for name, k in {"precision": 3, "recall": 3, "density": 5, "coverage": 5}.items():
        options = {**metrics.get(name).options, **sanity.OPTIONS.get(name, {})}
        assert options == {"k": k, "ties": "inclusive"}


SEEN = []


def spy(real, fake):
    SEEN.append((real, fake))
    return float(np.clip(1 - np.abs(real.mean(0) - fake.mean(0)).max() / 5, 0, 1))


def steps(*cell, parts=("a", "b"), one_real=True):
    def real(rng, level):
        return rng.normal(3.0, 2.0, (50, 1))

    def fake(rng, level):
        return rng.normal(3.0 + level, 2.0, (50, 1))

    made = tuple(Part(p, (0.0, 5.0, 20.0), (0, 2), real, fake, one_real) for p in parts)
    return Check("steps", "steps", "Means differ.", made, {"D1": cell})


FALLS = Criterion("falls", criteria.falls())


def test_metrics_see_both_clouds_in_units_of_the_real_one(registered):
    SEEN.clear()
    sanity.run(steps(FALLS), [registered("sanity-spy", spy)], repeats=1)
    assert len(SEEN) == 4
    for real, fake in SEEN:
        assert real.mean() == pytest.approx(0, abs=1e-12)
        assert real.std() == pytest.approx(1)
        assert 0.5 < fake.std() < 2
    gaps = [fake.mean() for _, fake in SEEN]
    assert gaps == pytest.approx([0, 10, 0, 10], abs=3)


def test_a_run_stops_when_the_outcome_is_beyond_doubt(registered):
    name = registered("sanity-spy", spy)
    done = sanity.run(steps(FALLS), [name])[name].sweeps
    assert {part: len(s.values) for part, s in done.items()} == {"a": 3, "b": 3}
    every = sanity.run(steps(FALLS), [name], until_sure=False, every_level=True)[name].sweeps
    assert {part: s.values.shape for part, s in every.items()} == {"a": (10, 3), "b": (10, 3)}
    np.testing.assert_array_equal(every["a"].values[:3, [0, 2]], done["a"].values)


def test_a_run_goes_on_while_the_outcome_is_open(registered):
    def on_the_threshold(real, fake):
        noise = float(fake[0, 0] * 1000) % 1
        return (0.9 if fake.mean() < 3 else 0.7) - 0.2 * noise

    name = registered("sanity-noise", on_the_threshold)
    found = sanity.run(steps(FALLS), [name])[name]
    assert found.cells["fidelity"]["D1"].on_threshold
    assert len(found.sweeps["a"].values) == sanity.REPEATS


def test_a_failed_cell_needs_no_more_parts(registered):
    name = registered("sanity-constant", lambda real, fake: 1.0)
    found = sanity.run(steps(FALLS), [name])[name]
    assert list(found.sweeps) == ["a"]
    assert not found.cells["fidelity"]["D1"].passed


def test_a_metric_does_not_change_with_its_company(registered):
    name = registered("sanity-spy", spy)
    alone = sanity.run(steps(FALLS), ["density"])["density"]
    beside = sanity.run(steps(FALLS), [name, "precision", "density"])["density"]
    for part, sweep in alone.sweeps.items():
        np.testing.assert_array_equal(sweep.values, beside.sweeps[part].values)


def test_seeds_change_draws_and_nothing_else(registered):
    name = registered("sanity-spy", spy)

    def values(seed):
        return sanity.run(steps(FALLS), [name], seed=seed, repeats=2)[name].sweeps["a"].values

    np.testing.assert_array_equal(values(1), values(1))
    assert (values(1)[:, 0] != values(2)[:, 0]).all()


def test_metrics_that_we_do_not_know_are_judged_as_both_kinds(registered):
    assert sanity.kinds("clipped-density") == ("fidelity",)
    assert sanity.kinds("clipped-coverage") == ("diversity",)
    name = registered("sanity-spy", spy)
    assert set(sanity.run(steps(FALLS), [name], repeats=1)[name].cells) == {
        "fidelity",
        "diversity",
    }


def test_no_repeats_are_refused():
    with pytest.raises(ValueError, match="repeats was 0, must be at least 1"):
        measuring.run(steps(FALLS), ["density"], repeats=0)


def test_an_ideal_metric_passes_the_cubes():
    """What the metric ought to be, the share of fakes inside the real cube, passes both cells."""
    check = sanity.get("cube-overlap-fake-size")
    part = check.parts[-1]
    rows = []
    for repeat in range(3):
        drawn = part.clouds(np.random.default_rng(repeat))
        rows.append([np.mean((fake >= 0) & (fake <= 1)) for _, _, fake in drawn])
    cells = sanity.judge(check, "fidelity", {part.name: sanity.Sweep(part.levels, np.array(rows))})
    assert [cell.mark for cell in cells.values()] == ["T", "T"]
