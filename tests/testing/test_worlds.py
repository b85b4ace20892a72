"""The samples that metrics are tried on have the defects that they are said to have."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench.images import ImageSet
from nriqm_bench.metrics import Metric
from nriqm_bench.testing import check_metric
from nriqm_bench.testing.worlds import (
    CLASSES,
    DIM,
    MODES,
    RADIUS,
    SIDE,
    SOUND,
    UNIT,
    Defect,
    direction,
    draw,
    far_row,
)

KINDS = ("features", "logits", "images")


def fake(needs, defect=SOUND, n=40, seed=0):
    return draw(needs, seed, n, defect).fake


@pytest.mark.parametrize("needs", KINDS)
def test_a_seed_is_a_draw(needs):
    first, again, other = (draw(needs, seed, 10) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.fake, other.fake)
    assert not np.array_equal(first.real, first.fake)
    assert not np.array_equal(first.real, first.train)


@pytest.mark.parametrize("needs", KINDS)
def test_a_defect_is_that_of_the_fake_rows_alone(needs):
    sound, worse = draw(needs, 0, 10), draw(needs, 0, 10, Defect(1.0, 2.0, 1))
    assert np.array_equal(sound.real, worse.real)
    assert np.array_equal(sound.train, worse.train)
    assert not np.array_equal(sound.fake, worse.fake)


def test_the_radius_is_the_root_mean_square_distance_from_the_mean():
    rows = fake("features", n=20000)
    assert rows.shape == (20000, DIM)
    found = np.sqrt(np.square(rows - rows.mean(0)).sum(1).mean())
    assert found == pytest.approx(RADIUS, rel=0.02)


def test_a_shift_moves_every_row_by_as_many_radii():
    moved = fake("features", Defect(shift=0.5)) - fake("features")
    assert np.linalg.norm(moved, axis=1) == pytest.approx(np.full(40, 0.5 * RADIUS))
    assert moved[0] / np.linalg.norm(moved[0]) == pytest.approx(direction(DIM))


def test_spread_is_a_factor_on_the_distances_between_rows():
    near, wide = fake("features"), fake("features", Defect(spread=3.0))
    assert wide[0] - wide[1] == pytest.approx(3 * (near[0] - near[1]))
    mean = UNIT * (1 + 4 * np.eye(MODES, DIM).mean(0))
    assert wide - mean == pytest.approx(3 * (near - mean))


@pytest.mark.parametrize("modes", range(1, MODES + 1))
def test_as_many_modes_as_are_left(modes):
    rows = fake("features", Defect(modes=modes), n=400) / UNIT - 1
    # A row's mode is the one of the first columns that stands out.
    found = np.bincount(rows[:, :MODES].argmax(1), minlength=MODES)
    assert (found[:modes] > 60).all()
    assert found[modes:].sum() < 40


def test_probabilities_sum_to_one_and_lose_confidence():
    sound, worse = fake("logits"), fake("logits", Defect(shift=1.0))
    for rows in (sound, worse):
        assert rows.shape == (40, CLASSES)
        assert rows.min() > 0
        assert rows.sum(1) == pytest.approx(np.ones(40))
    assert (worse.max(1) < sound.max(1)).all()
    assert len(set(fake("logits", Defect(modes=1)).argmax(1))) == 1
    assert len(set(sound.argmax(1))) == MODES


def test_images_are_images_of_several_kinds():
    sound = fake("images")
    assert ImageSet(sound).spatial == (SIDE, SIDE)
    alike = fake("images", Defect(modes=1))
    assert alike.std(0).mean() < 0.8 * sound.std(0).mean()
    wide = fake("images", Defect(spread=3.0, modes=1))
    assert wide.std(0).mean() > 1.2 * alike.std(0).mean()


def test_a_shift_of_images_is_noise():
    empty = np.s_[:, :, :6, :6]
    sound, noisy = (fake("images", Defect(shift=s))[empty].std() for s in (0, 1))
    assert sound < 0.02 < 0.05 < noisy


@pytest.mark.parametrize("needs", ["features", "images"])
def test_a_far_row_is_farther_than_rows_are_from_each_other(needs):
    rows = fake(needs)
    for side in (1.0, -1.0):
        far = far_row(needs, rows, side)
        assert far.shape == (1, *rows.shape[1:])
        own = [np.linalg.norm(x - y) for x in rows for y in rows]
        assert min(np.linalg.norm(x - far[0]) for x in rows) > np.max(own)


def test_a_far_row_of_probabilities_has_no_class():
    assert far_row("logits", fake("logits"), 1.0).tolist() == [[1 / CLASSES] * CLASSES]


def inception_like(real, fake):
    "Exponential of the mean information that a row has about its class."
    mean = fake.mean(0)
    return np.exp((fake * (np.log(fake) - np.log(mean))).sum(1).mean())


def alikeness(real, fake):
    "How alike two images are on average; it reads fake images alone."
    flat = fake.reshape(len(fake), -1)
    squared = np.square(flat[:, None] - flat[None]).mean(-1)
    return 1 - squared.sum() / (len(fake) * (len(fake) - 1))


def noise_of_background(real, fake):
    return fake[:, :, :6, :6].std(axis=(1, 2, 3)).mean()


def test_a_metric_of_class_probabilities_is_tried_on_them():
    metric = Metric(
        "inception-like",
        inception_like,
        higher_is_better=True,
        needs="logits",
        needs_real=False,
        range=(1, np.inf),
        sees=("shift", "modes", "spread"),
    )
    told = {r.check: r.status for r in check_metric(metric, on_fail="collect")}
    failures = {check for check, status in told.items() if status == "failed"}
    # It takes the logarithm of whatever it gets.
    assert failures <= {"check_degenerate"}
    assert told["check_modes"] == told["check_shift"] == "passed"
    assert told["check_rank_deficient"] == "skipped"


@pytest.mark.parametrize(
    ("function", "sees"), [(alikeness, ("modes", "spread")), (noise_of_background, ("shift",))]
)
def test_a_metric_of_images_is_tried_on_images(function, sees):
    metric = Metric(
        function.__name__,
        function,
        higher_is_better=False,
        needs="images",
        needs_real=False,
        sees=sees,
    )
    check_metric(metric)


def test_a_metric_of_images_that_sees_nothing_of_the_kind_fails():
    metric = Metric(
        "blind", noise_of_background, higher_is_better=False, needs="images", needs_real=False,
        sees=("modes",),
    )  # fmt: skip
    told = {r.check: r.status for r in check_metric(metric, on_fail="collect")}
    assert told["check_modes"] == "failed"
