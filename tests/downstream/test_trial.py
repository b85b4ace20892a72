"""Usefulness and its floor: paired, cached, told apart, and refused where nothing can be said."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import downstream
from nriqm_bench.downstream import Budget, training, trial, two_sample
from nriqm_bench.features import FeatureStore
from tests.downstream.conftest import discs

BUDGET = Budget(steps=60, batch=8, side=32, every=15, redeals=1)


def eroded(images):
    from scipy import ndimage

    masks = ndimage.binary_erosion(images.masks, np.ones((1, 3, 3)), iterations=3)
    return images.replace(masks=masks.astype(np.uint8))


def test_a_generator_of_real_images_is_worth_as_much_bit_for_bit(make_lab, make_generator):
    perfect = make_generator("perfect", discs(32, 1))
    found = downstream.usefulness(make_lab(generators=[perfect]), "perfect", BUDGET)
    # The generator's images have no subjects, so that another part of them validates.
    assert found.ratio.value == pytest.approx(1, abs=0.1)
    alone = discs(32, 1).replace(subjects=None)
    twice = [training.trial(alone, discs(32, 2), BUDGET, 3) for _ in range(2)]
    assert twice[0]["dice"] == twice[1]["dice"]


def test_held_out_images_stand_in(make_lab):
    lab = make_lab()
    found = downstream.usefulness(lab, "held-out", BUDGET)
    assert found.sane()
    assert found.real.dice.value > 0.6
    assert found.ratio.low < found.ratio.value < found.ratio.high
    assert found.ratio.value == pytest.approx(found.synthetic.dice.value / found.real.dice.value)
    assert found.gain.value == pytest.approx(found.both.dice.value - found.real.dice.value)
    # Paired: what is hard for both cancels.
    assert found.ratio.high - found.ratio.low < (
        (found.real.dice.high - found.real.dice.low) / found.real.dice.value
        + (found.synthetic.dice.high - found.synthetic.dice.low) / found.synthetic.dice.value
    )
    assert found.unit == "px"
    assert found.images == 32
    assert found.seconds > 0
    assert downstream.impossible(lab, "held-out") == ""


def test_shrunken_masks_are_worth_less_than_real_ones(make_lab, make_generator):
    bad = make_generator("bad", eroded(discs(32, 4)))
    lab = make_lab(generators=[bad])
    found = downstream.usefulness(lab, "bad", BUDGET)
    floor = downstream.floor(lab, BUDGET)
    assert found.ratio.value < 0.85
    assert found.f1_ratio.value <= 1.1
    assert floor.tail(found.ratio.value, "below") < 0.05
    held_out = downstream.usefulness(lab, "held-out", BUDGET).ratio.value
    assert floor.tail(held_out, "below") > 0.05


def test_the_floor_compares_real_sets_that_share_no_subject(make_lab):
    lab = make_lab()
    for deal in range(3):
        one, other = (trial._dealt(lab, deal, half) for half in (0, 1))
        assert len(one) + len(other) == 64
        assert abs(len(one) - 32) <= 4
        assert not set(one.subjects) & set(other.subjects)
        assert trial._dealt(lab, deal, 0).fingerprint() == one.fingerprint()
    floor = downstream.floor(lab, BUDGET)
    assert len(floor.values) == 4
    assert floor.values[0] * floor.values[1] == pytest.approx(1)
    assert floor.values[0] == pytest.approx(
        trial.scored(lab, "train", BUDGET).dice.value
        / trial.scored(lab, "held-out", BUDGET).dice.value
    )


def test_what_is_cached_is_not_trained_again(make_lab, tmp_path, monkeypatch):
    lab = make_lab(cache=str(tmp_path / "cache"))
    short = Budget(steps=10, batch=4, side=32, every=5)
    found = downstream.usefulness(lab, "held-out", short)

    def trained(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "learn", trained)
    fresh = make_lab(cache=str(tmp_path / "cache"))
    assert isinstance(fresh.store, FeatureStore)
    again = downstream.usefulness(fresh, "held-out", short)
    assert again.ratio == found.ratio
    assert again.seconds == found.seconds
    with pytest.raises(AssertionError, match="trained again"):
        downstream.usefulness(fresh, "held-out", Budget(steps=11, batch=4, side=32, every=5))


def test_seeds_are_averaged(make_lab):
    lab = make_lab()
    short = {"steps": 10, "batch": 4, "side": 32, "every": 5}
    one, two = (trial.scored(lab, "train", Budget(seeds=k, **short)) for k in (1, 2))
    assert len(two.steps) == 2
    first = lab.store.counts["memory"]
    assert trial.scored(lab, "train", Budget(seeds=2, **short)).dice == two.dice
    assert lab.store.counts["memory"] > first
    assert one.dice != two.dice


def test_steps_are_shown(make_lab):
    shown = []

    def progress(items, description, total):
        shown.append((description, total))
        return items

    lab = make_lab(progress=progress)
    trial.scored(lab, "train", Budget(steps=3, batch=2, side=16))
    assert ("U-Net on train", 3) in shown


def test_a_generator_without_masks_is_told(make_lab, make_generator):
    lab = make_lab(generators=[make_generator("plain", discs(32, 5).replace(masks=None))])
    told = downstream.impossible(lab, "plain")
    assert "plain makes images without masks" in told
    with pytest.raises(ValueError, match="plain makes images without masks"):
        downstream.usefulness(lab, "plain", BUDGET)


def test_another_number_of_channels_is_told(make_lab, make_generator):
    images = discs(32, 5)
    coloured = images.replace(images=np.repeat(images.images, 3, axis=1))
    lab = make_lab(generators=[make_generator("rgb", coloured)])
    assert "rgb images have 3 channels and real ones 1" in downstream.impossible(lab, "rgb")


def test_real_images_without_masks_are_told(make_lab):
    lab = make_lab(masks=False)
    assert "has no masks of train images" in downstream.impossible(lab, "held-out")
    with pytest.raises(ValueError, match="has no masks of train images"):
        downstream.floor(lab, BUDGET)


def test_nothing_to_compare_with_is_told():
    zero, one = np.zeros(3), np.ones(3)
    with pytest.raises(ValueError, match="Dice coefficient of the network trained on real images"):
        downstream.estimates.ratio(one, zero, "Dice coefficient")
    assert downstream.estimates.open_ratio(zero, zero) == (1, 1, 1)
    assert downstream.estimates.open_ratio(one, zero).value == np.inf
    assert downstream.estimates.open_ratio(one, 2 * one) == (0.5, 0.5, 0.5)


def test_subjects_are_drawn_whole():
    subjects = ["a", "a", "b", "c", "c", "c"]
    weights = downstream.estimates.subject_draws(subjects, np.random.default_rng(0))
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 5]).all()
    assert (weights[1:, [0, 2, 3]].sum(axis=1) == 3).all()


class TestToldApart:
    def auc(self, shift, seed=0, n=100):
        rng = np.random.default_rng(seed)
        real, fake = rng.standard_normal((n, 20)), rng.standard_normal((n, 20))
        fake[:, 0] += shift
        subjects = [str(i // 2) for i in range(n)]
        return two_sample.auc(real, fake, subjects, subjects, rng)

    def test_one_distribution_scores_a_half(self):
        found = [self.auc(0, seed) for seed in range(20)]
        assert np.mean([f.value for f in found]) == pytest.approx(0.5, abs=0.03)
        assert sum(f.low <= 0.5 <= f.high for f in found) >= 16

    def test_a_shift_scores_as_the_normal_distribution_says(self):
        from scipy import stats

        # The best classifier sees the shift alone.
        found = [self.auc(2, seed, n=300).value for seed in range(3)]
        assert np.mean(found) == pytest.approx(stats.norm.cdf(2 / np.sqrt(2)), abs=0.03)

    def test_two_worlds_score_one(self):
        assert self.auc(50) == pytest.approx((1, 1, 1), abs=1e-6)

    def test_subjects_do_not_straddle_the_folds(self):
        # Every subject has a mark of its own: images of one subject would give each other away.
        rng = np.random.default_rng(0)
        marks = np.repeat(rng.standard_normal((50, 200)) * 5, 4, axis=0)
        x = marks + 0.01 * rng.standard_normal(marks.shape)
        subjects = [str(i // 4) for i in range(100)]
        parted = two_sample.auc(x[:100], x[100:], subjects, subjects, rng).value
        alone = [str(i) for i in range(100)]
        leaking = two_sample.auc(x[:100], x[100:], alone, alone, rng).value
        assert parted < 0.7 < 0.95 < leaking

    def test_few_subjects_make_few_folds_and_one_is_told(self):
        x = np.random.default_rng(0).standard_normal((8, 3))
        found = two_sample.auc(x, x + 9, list("aabbccdd"), list("aaaabbbb"), rng=rng_of(0))
        assert found.value == 1
        with pytest.raises(ValueError, match="real images are of 1 and fake ones of 8 subjects"):
            two_sample.auc(x, x, ["a"] * 8, list("abcdefgh"), rng_of(0))


def rng_of(seed):
    return np.random.default_rng(seed)


def test_metrics_are_ranked_against_what_damage_costs(make_lab):
    lab = make_lab(n=16)
    assert downstream.unranked(lab, "perturbations") == ""
    found = downstream.over_perturbations(lab, Budget(steps=12, batch=4, side=32, redeals=1))
    (row,) = found
    assert (row.metric, row.extractor, row.over) == ("fid", "pixels", "perturbations")
    assert row.items == [case.name for case in downstream.damages(lab)]
    # Of the strongest noise the pixels' FID must know.
    assert row.values[-1] > 0
    assert -1 <= row.interval[0] <= row.tau <= row.interval[1] <= 1


def test_two_generators_are_not_ranked(make_lab, make_generator):
    pair = [make_generator(name, discs(16, 5 + k)) for k, name in enumerate("ab")]
    lab = make_lab(n=16, generators=pair)
    with pytest.raises(ValueError, match="2 of 2 generators make images with masks, must be at"):
        downstream.over_generators(lab, BUDGET)


def test_damage_keeps_the_masks_and_is_judged_in_floor_sd(make_lab):
    from nriqm_bench import cases

    lab = make_lab()
    found = downstream.damage(lab, cases.get("lesion-removal"), BUDGET)
    assert found.must_cost
    assert found.costs()
    assert found.effect == pytest.approx((1 - found.ratio.value) / downstream.floor(lab, BUDGET).sd)
    assert found.drop.value == pytest.approx(found.clean.dice.value - found.damaged.dice.value)
    # Masks that came along would say that nothing is there, and the network that too.
    assert found.damaged.dice.value < found.clean.dice.value - 0.2
