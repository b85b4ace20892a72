"""One training: paired seeds, early stopping, what damaged images cost, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from nriqm_bench import ImageSet, Settings
from nriqm_bench.downstream import Budget, training
from tests.downstream.conftest import discs

SHORT = Budget(steps=90, batch=8, side=32, every=15)


def weights(trained):
    return torch.cat([p.flatten() for p in trained.network.state_dict().values()])


def dice(images, real, budget=SHORT, seed=0):
    return np.mean(training.trial(images, real, budget, seed)["dice"])


@pytest.fixture(scope="module")
def real():
    return discs(64, 2)


@pytest.fixture(scope="module")
def learnt():
    return training.learn(discs(48, 1), SHORT, 0)


def test_it_learns(learnt, real):
    table = training.evaluate(learnt.network, real)
    assert np.mean(table["dice"]) > 0.7
    assert sum(table["hit"]) > 0.9 * 56
    assert set(map(len, table.values())) == {64}
    # Looks after 60, 75 and 90 of 90 steps.
    assert len(learnt.validation) == 3
    assert learnt.validation[-1] < 0.5


def test_equal_data_and_seed_give_equal_networks_whatever_the_threads(learnt):
    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    try:
        torch.set_num_threads(2)
        again = training.learn(discs(48, 1), SHORT, 0)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(weights(again), weights(learnt))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_another_seed_gives_another_network(learnt):
    assert not torch.equal(weights(training.learn(discs(48, 1), SHORT, 1)), weights(learnt))


def test_two_sets_share_batches_by_rank_and_flips():
    one = discs(40, 1)
    x, y = training.standardised(one.images), (one.masks > 0).astype(np.float32)
    rows = np.arange(40)
    batches = [
        training._batch(a, y, rows, SHORT, np.random.default_rng(5)) for a in (x, x + 1, 2 * x)
    ]
    for a, b in batches[1:]:
        np.testing.assert_array_equal(b, batches[0][1])
        assert not np.array_equal(a, batches[0][0])
    # Masks elsewhere move the crops that are drawn about them; what follows stays in step.
    rng, other = np.random.default_rng(5), np.random.default_rng(5)
    training._batch(x, y, rows, SHORT, rng)
    training._batch(x, np.zeros_like(y), rows, SHORT, other)
    assert rng.random() == other.random()


def test_half_of_the_crops_show_the_mask():
    mask = np.zeros((1, 96, 96), np.float32)
    mask[0, 90, 90] = 1
    x = np.zeros((1, 1, 96, 96), np.float32)
    _, masks = training._batch(
        x, mask, np.arange(1), Budget(batch=64, side=24), np.random.default_rng(0)
    )
    assert masks.shape == (64, 24, 24)
    assert masks[::2].any(axis=(1, 2)).all()
    assert masks[1::2].any(axis=(1, 2)).mean() < 0.3


def test_training_stops_when_nothing_gets_better():
    rng = np.random.default_rng(0)
    # Masks that say nothing about the images: validation cannot improve for long.
    noise = ImageSet(
        rng.random((24, 1, 16, 16), np.float32),
        masks=(rng.random((24, 16, 16)) < 0.3).astype(np.uint8),
    )
    budget = Budget(steps=160, batch=4, side=16, every=4, patience=2)
    found = training.learn(noise, budget, 0)
    assert 80 < found.steps < 160
    assert found.steps % 4 == 0
    stale = found.validation[int(np.argmin(found.validation)) + 1 :]
    assert len(stale) >= 2
    endless = dataclasses.replace(budget, patience=1000)
    assert training.learn(noise, endless, 0).steps == 160


def test_the_weights_of_all_looks_are_averaged(monkeypatch):
    images = discs(40, 1)
    budget = Budget(steps=48, batch=4, side=32, every=6, patience=100)
    seen = []

    def loss(self, network):
        seen.append({k: v.clone() for k, v in network.state_dict().items()})
        return 0.5

    monkeypatch.setattr(training._Watch, "_loss", loss)
    found = training.learn(images, budget, 0)
    assert found.validation == [0.5] * 4
    name = "model.0.conv.unit0.conv.weight"
    assert not torch.equal(seen[3][name], seen[1][name])
    mean = torch.stack([weights[name] for weights in seen]).mean(0)
    torch.testing.assert_close(found.network.state_dict()[name], mean)


def test_validation_shares_no_subject_with_training():
    images = discs(40, 1)
    rows, kept = training._apart(images, 0.2, np.random.default_rng(0))
    assert len(rows) + len(kept) == 40
    assert len(kept) == 8
    assert not set(images.subjects[rows]) & set(images.subjects[kept])
    # One subject cannot be parted; nothing is asked for; without subjects each image is one.
    one = images.replace(subjects=np.full(40, "s"))
    assert len(training._apart(one, 0.2, np.random.default_rng(0))[1]) == 0
    assert len(training._apart(images, 0.0, np.random.default_rng(0))[1]) == 0
    alone = images.replace(subjects=None)
    assert len(training._apart(alone, 0.2, np.random.default_rng(0))[1]) == 8


def test_damage_costs_dice(real):
    train = discs(48, 1)
    clean = dice(train, real)
    moved = np.roll(train.masks, 4, axis=2)
    assert dice(train.replace(masks=moved), real) < clean - 0.1
    shrunk = ndimage.binary_erosion(train.masks, np.ones((1, 3, 3)), iterations=2)
    assert dice(train.replace(masks=shrunk.astype(np.uint8)), real) < clean - 0.1
    none = train.replace(masks=np.zeros_like(train.masks))
    assert dice(none, real) == pytest.approx(1 / 8, abs=0.02)


def test_brightness_and_contrast_of_a_set_do_not_matter(real):
    train = discs(48, 1)
    other = train.replace(images=0.1 + 0.6 * train.images)
    assert dice(other, real) == pytest.approx(dice(train, real), abs=0.02)


def test_a_trial_is_json_and_tells_its_cost(real):
    import json

    budget = Budget(steps=2, batch=2, side=16)
    found = training.trial(discs(8, 1), real, budget, 0)
    assert json.loads(json.dumps(found)) == found
    assert found["steps"] == 2
    assert found["seconds"] > 0


def test_spacing_makes_millimetres(learnt, real):
    budget = {"spacing": (2.0, 2.0)}
    pixels = training.evaluate(learnt.network, real)["hd95"]
    doubled = training.evaluate(learnt.network, real.replace(**budget))["hd95"]
    np.testing.assert_allclose(doubled, 2 * np.asarray(pixels))


def test_what_cannot_be_learnt_from_is_refused():
    with pytest.raises(ValueError, match="no masks, must be 2-D with a mask each"):
        training.learn(discs(8).replace(masks=None), SHORT, 0)
    volume = ImageSet(np.zeros((2, 1, 8, 8, 8), np.float32), masks=np.zeros((2, 8, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="3 spatial axes, must be 2-D"):
        training.learn(volume, SHORT, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"steps": 0}, "steps was 0, must be at least 1"),
        ({"side": 7}, "side was 7, must be at least 8"),
        ({"batch": 1}, "batch was 1, must be at least 2"),
        ({"seeds": 0}, "seeds was 0"),
        ({"validation": 1.0}, "validation was 1"),
        ({"rate": 0.0}, "rate 0"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Budget(**given)


def test_quick_is_cheaper():
    quick, full = (Budget.of(Settings(quick=q)) for q in (True, False))
    assert quick.steps < full.steps
    assert full == Budget()
