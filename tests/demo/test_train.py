"""The demo generators are really trained, and the shipped ones are what data/demo says of them."""

from __future__ import annotations

import argparse
import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from nriqm_bench import datasets, load_generator
from nriqm_bench.demo import train
from nriqm_bench.demo.fitting import Pairs, fit
from nriqm_bench.generators.architectures import signed_distances

DEMO = Path(__file__).parents[2] / "data" / "demo"
NAMES = ("vae", "gan", "ddpm")


@pytest.fixture(scope="module")
def pairs():
    return Pairs.of_phantoms(12, train.progress)


@pytest.fixture(scope="module")
def shipped():
    return {name: load_generator(DEMO / f"{name}.pt").sample(32, seed=0) for name in NAMES}


def weights(model):
    return torch.cat([w.detach().float().flatten() for w in model.parameters()])


def asked(*words):
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(list(words))


def test_masks_survive_their_signed_distances():
    masks = datasets.get("phantom-tumour")(32, size=64).masks
    distances = signed_distances.encode(masks)
    assert np.abs(distances).max() <= 1
    np.testing.assert_array_equal(signed_distances.decode(torch.from_numpy(distances)), masks)


def test_signed_distances_of_a_square_are_known():
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[0, 4:12, 4:12] = 2
    whole, core, necrosis = signed_distances.encode(masks)[0]
    # The pixels on either side of the outline are half a pixel from it.
    np.testing.assert_allclose(whole[8, 3:6], np.array([-0.5, 0.5, 1.5]) / signed_distances.REACH)
    assert (core == -1).all()
    assert (necrosis == -1).all()
    assert (signed_distances.encode(masks)[1] == -1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_checkpoint_loads_without_trust_and_samples_pairs(name, tmp_path, monkeypatch):
    # A sheet of fewer samples: a DDPM takes all its steps for each.
    monkeypatch.setattr(train, "sheet", partial(train.sheet, columns=2))
    told = train.run(asked(name, "--steps", "2", "--images", "8", "--out", str(tmp_path)))
    assert [line.split(":")[0] for line in told] == [str(tmp_path / f"{name}.pt")]
    assert (tmp_path / f"{name}.png").stat().st_size < 150_000
    digest = hashlib.sha256((tmp_path / f"{name}.pt").read_bytes()).hexdigest()
    assert (tmp_path / "SHA256SUMS").read_text() == f"{digest}  {name}.pt\n"
    generator = load_generator(tmp_path / f"{name}.pt")
    found, again, other = (generator.sample(2, seed=seed) for seed in (5, 5, 6))
    assert found.images.shape == (2, 1, 64, 64)
    assert found.masks.shape == (2, 64, 64)
    assert set(np.unique(found.masks)) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(found.images, again.images)
    np.testing.assert_array_equal(found.masks, again.masks)
    assert np.abs(found.images - other.images).max() > 0


@pytest.mark.parametrize("name", NAMES)
def test_training_repeats_itself_and_leaves_the_random_state_alone(name, pairs):
    state = torch.get_rng_state()
    one, same, longer = (weights(fit(name, pairs, n, train.progress)) for n in (2, 2, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, longer)


@pytest.mark.parametrize("name", ["vae", "ddpm"])
def test_training_lowers_the_loss(name, pairs):
    def loss(model):
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            return float(model.train().loss(pairs.images, pairs.distances, generator))

    assert loss(fit(name, pairs, 30, train.progress)) < loss(fit(name, pairs, 1, train.progress))


def test_unknown_names_and_no_steps_are_refused():
    with pytest.raises(ValueError, match="'vea', must be one of vae, gan, ddpm"):
        train.run(asked("vea"))
    with pytest.raises(ValueError, match="--steps 0"):
        train.run(asked("vae", "--steps", "0"))


@pytest.mark.parametrize("name", NAMES)
def test_shipped_checkpoints_are_small_and_match_their_checksum(name):
    path = DEMO / f"{name}.pt"
    assert path.stat().st_size < 4_000_000
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{digest}  {name}.pt" in (DEMO / "SHA256SUMS").read_text().splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_shipped_samples_are_brains_with_lesions(name, shipped):
    found = shipped[name]
    assert found.images.shape == (32, 1, 64, 64)
    # The VAE averages thin rims and small cores away.
    assert set(np.unique(found.masks)) >= ({0, 2} if name == "vae" else {0, 1, 2, 3})
    assert found.masks.max() <= 3
    lesions = (found.masks > 0).mean((1, 2))
    assert 0.5 < np.mean(lesions > 0) <= 1
    assert lesions.max() < 0.4
    images = found.images[:, 0]
    # A head in the middle, air in the corners.
    assert images[:, 24:40, 24:40].mean() > images[:, :4, :4].mean() + 0.2
    oedema, brain = found.masks == 2, (images > 0.2) & (found.masks == 0)
    assert images[oedema].mean() > images[brain].mean() + 0.1


@pytest.mark.parametrize("name", NAMES)
def test_shipped_samples_all_differ(name, shipped):
    flat = shipped[name].images.reshape(32, -1)
    apart = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(2)) + np.eye(32)
    assert apart.min() > 0.03


def test_shipped_generators_are_distinct(shipped):
    means = [found.images.mean(0) for found in shipped.values()]
    for i, one in enumerate(means):
        for other in means[i + 1 :]:
            assert np.abs(one - other).max() > 0.02
    assert len({found.images.tobytes() for found in shipped.values()}) == len(NAMES)
