"""The clouds of the sanity checks: sizes, moments, volumes and what is shared between levels."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import sanity
from nriqm_bench.sanity import clouds

N = 200_000


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_fifteen_checks_of_two_cells_each():
    assert len(sanity.CHECKS) == 15
    assert len({check.name for check in sanity.CHECKS}) == 15
    assert all(len(check.cells) == 2 for check in sanity.CHECKS)
    assert all(set(check.cells) <= set(sanity.DESIDERATA) for check in sanity.CHECKS)
    assert all(len(check.title) <= 21 for check in sanity.CHECKS)


PARTS = [pytest.param(c, p, id=f"{c.name}-{p.name}") for c in sanity.CHECKS for p in c.parts]


@pytest.mark.parametrize(("check", "part"), PARTS)
def test_every_criterion_reads_the_short_levels_as_it_reads_all(check, part):
    whole = np.linspace(1, 0, len(part.levels))
    few = tuple(part.levels[i] for i in part.few)
    assert part.levels == tuple(sorted(set(part.levels)))
    assert {0, len(part.levels) - 1} <= set(part.few) or part.few[-1] == len(part.levels) - 1
    judged = 0
    for cell in check.cells:
        for kind in sanity.KINDS:
            for criterion in check.criteria(cell, kind, part.name):
                short = criterion.judge(few, whole[list(part.few)])
                assert short.margin == pytest.approx(criterion.judge(part.levels, whole).margin)
                judged += 1
    assert judged >= 2


@pytest.mark.parametrize(("check", "part"), PARTS)
def test_a_level_is_drawn_alike_whichever_others_are(check, part):
    chosen = (part.few[0], part.few[1])
    both = {i: (real, fake) for i, real, fake in part.clouds(np.random.default_rng(3), chosen)}
    (alone,) = part.clouds(np.random.default_rng(3), chosen[1:])
    real, fake = both[chosen[1]]
    np.testing.assert_array_equal(alone[1], real)
    np.testing.assert_array_equal(alone[2], fake)
    assert (both[chosen[0]][0] is real) == part.one_real
    assert real.ndim == fake.ndim == 2
    assert real.shape[1] == fake.shape[1]
    assert not np.array_equal(real[:100], fake[:100])


def sizes(name):
    out = {}
    for part in sanity.get(name).parts:
        _, real, fake = next(part.clouds(np.random.default_rng(0), part.few[-1:]))
        out[part.name] = (real.shape, fake.shape)
    return out


def test_sizes_and_dimensions():
    assert sizes("mean-difference") == {f"d={d}": ((1000, d), (1000, d)) for d in (64, 8, 1)}
    assert sizes("mean-difference-outlier")["real outlier, d=8"] == ((1001, 8), (1000, 8))
    assert sizes("mean-difference-outlier")["fake outlier, d=1"] == ((1000, 1), (1001, 1))
    assert sizes("sphere-surface")["d=128"] == ((1000, 128), (1000, 128))
    assert sizes("cube-overlap")["d=1"] == ((10000, 1), (10000, 1))
    assert sizes("cube-overlap-fake-size")["d=1"] == ((1000, 1), (10000, 1))
    assert sizes("sphere-torus")["real torus"] == ((1000, 3), (10000, 3))
    assert sizes("one-disjoint-dimension") == {"d=2 to 1001": ((1000, 1001), (1000, 1001))}


@pytest.mark.parametrize("d", [1, 8, 64])
def test_cubes_share_a_fifth_of_their_volume(rng, d):
    start = clouds.overlap_start(d, 0.2)
    assert (1 - start) ** d == pytest.approx(0.2)
    first = clouds.cube(rng, N, d)
    inside = np.mean((first >= start).all(axis=1))
    assert inside == pytest.approx(0.2, abs=5 * np.sqrt(0.2 * 0.8 / N))


def test_mixtures_have_the_moments_of_their_modes(rng):
    centres = clouds.diagonal_modes(2, [0, 10])
    rows = clouds.mixture(rng, N, centres, 0.5, [1, 3])
    assert centres.tolist() == [[0, 0], [10, 10]]
    assert np.mean(rows[:, 0] > 5) == pytest.approx(0.75, abs=0.005)
    assert rows[rows[:, 1] > 5].std(axis=0) == pytest.approx([0.5, 0.5], rel=0.01)


def test_dropped_modes_are_gone_and_others_share_their_weight():
    part = sanity.get("sequential-mode-dropping").parts[-1]
    for k, _, fake in part.clouds(np.random.default_rng(0), (0, 4, 9)):
        nearest = np.abs(fake - np.linspace(0, 10, 10)).argmin(axis=1)
        share = np.bincount(nearest, minlength=10) / 1000
        kept = int(10 - k)
        assert share[:kept] == pytest.approx(1 / kept, abs=0.05)
        assert share[kept:].sum() < 0.005


def test_one_mode_has_the_moments_of_two():
    check = sanity.get("one-mode-against-two")
    for i, real, fake in check.parts[-1].clouds(np.random.default_rng(0), (19,)):
        gap = check.parts[-1].levels[i]
        assert real.std() == pytest.approx(np.sqrt(1 + gap**2 / 4), rel=0.05)
        assert fake.std() == pytest.approx(np.sqrt(1 + gap**2), rel=0.1)


def test_spheres_have_their_radius_and_a_ball_its_volume(rng):
    surface = clouds.sphere_surface(rng, 1000, 16, 0.3)
    np.testing.assert_allclose(np.linalg.norm(surface, axis=1), 0.3)
    assert np.abs(surface.mean(axis=0)).max() < 0.01
    radius = np.linalg.norm(clouds.ball(rng, N, 0.8), axis=1)
    assert radius.max() <= 0.8
    assert np.mean(radius < 0.4) == pytest.approx(1 / 8, abs=0.005)


def test_the_torus_surrounds_the_ball_and_leaves_it_alone(rng):
    rows = clouds.torus(rng, N)
    ring = np.hypot(rows[:, 0], rows[:, 1])
    tube = np.hypot(ring - 1, rows[:, 2])
    assert tube.max() <= 0.1
    assert np.mean(tube < 0.05) == pytest.approx(0.25, abs=0.005)
    assert np.linalg.norm(rows, axis=1).min() > 0.8 + 0.05
    assert np.abs(rows.mean(axis=0)).max() < 0.01


def test_pareto_starts_at_one_and_has_its_tail(rng):
    values = clouds.pareto(rng, N)
    assert values.min() >= 1
    assert np.mean(values > 10) == pytest.approx(10**-1.01, abs=0.005)


def test_the_outlier_is_where_the_last_mean_is():
    rows = clouds.with_outlier(np.zeros((3, 2)), 6.0)
    assert rows.tolist() == [[0, 0], [0, 0], [0, 0], [6, 6]]


def test_rounded_clouds_are_rounded_on_the_side_that_is_named():
    for part in sanity.get("discrete-against-continuous").parts:
        for _, real, fake in part.clouds(np.random.default_rng(0), (0, 19)):
            whole = [bool((rows == np.round(rows)).all()) for rows in (real, fake)]
            assert whole == [part.name == "real discrete", part.name == "fake discrete"]


def test_units_standardise_and_leave_constant_columns():
    real = np.array([[0.0, 5.0], [4.0, 5.0]])
    mean, sd = clouds.units(real)
    assert mean.tolist() == [2, 5]
    assert sd.tolist() == [2, 1]
