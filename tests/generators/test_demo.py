"""The credible generator and the memoriser are what data/demo/README.md says."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from nriqm_bench import datasets, load_generator
from nriqm_bench.generators.architectures.atlas import StatisticalAtlas, blurred, stretched
from nriqm_bench.generators.architectures.memoriser import Memoriser

DEMO = Path(__file__).parents[2] / "data" / "demo"
NAMES = ("credible", "memoriser")
REMEMBERED = 48


@pytest.fixture(scope="module")
def phantoms():
    source = datasets.get("phantom-tumour")
    return {part: source(REMEMBERED, seed=0, part=part) for part in ("train", "reference")}


@pytest.fixture(scope="module")
def samples():
    return {name: load_generator(DEMO / f"{name}.pt").sample(32, seed=0) for name in NAMES}


def nearest(images, others):
    """The root mean squared difference of each image from the nearest of `others`."""
    a, b = images.images.reshape(len(images), -1), others.images.reshape(len(others), -1)
    squared = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    return np.sqrt(np.maximum(squared.min(1), 0) / a.shape[1])


def test_checksums_are_those_of_the_files():
    lines = (DEMO / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    told = {name: digest for digest, name in (line.split() for line in lines)}
    assert told == {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in DEMO.glob("*.pt")
    }
    assert set(told) > {f"{name}.pt" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_are_small(name):
    assert (DEMO / f"{name}.pt").stat().st_size < 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_images_with_masks(name, samples):
    found = samples[name]
    assert found.images.shape == (32, 1, 128, 128)
    assert found.masks.shape == (32, 128, 128)
    assert set(np.unique(found.masks)) == {0, 1, 2, 3}
    lesions = (found.masks > 0).mean((1, 2))
    assert np.mean(lesions > 0.001) > 0.5
    assert lesions.max() < 0.4


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_the_samples(name, samples):
    generator = load_generator(DEMO / f"{name}.pt")
    again = generator.sample(16, seed=0)
    np.testing.assert_array_equal(again.images, samples[name].images[:16])
    np.testing.assert_array_equal(again.masks, samples[name].masks[:16])
    assert np.abs(generator.sample(16, seed=1).images - again.images).mean() > 0.01


def test_credible_samples_all_differ(samples):
    others = [
        nearest(samples["credible"][[i]], samples["credible"][np.arange(32) != i])[0]
        for i in range(32)
    ]
    assert min(others) > 0.05


def test_lesions_are_brighter_than_the_brain_around_them(samples):
    for found in samples.values():
        images, masks = found.images[:, 0], found.masks
        brain = (images > 0.2) & (masks == 0)
        with_oedema = (masks == 2).sum((1, 2)) > 30
        contrast = [
            image[mask == 2].mean() - image[around].mean()
            for image, mask, around in zip(
                images[with_oedema], masks[with_oedema], brain[with_oedema], strict=True
            )
        ]
        assert np.median(contrast) > 0.1
        assert np.mean(np.asarray(contrast) > 0) > 0.8


def test_the_memoriser_copies_and_the_credible_one_does_not(samples, phantoms):
    copied = nearest(samples["memoriser"], phantoms["train"])
    elsewhere = nearest(samples["memoriser"], phantoms["reference"])
    assert np.max(copied / elsewhere) < 0.5
    assert np.median(copied) < 0.04
    own = nearest(samples["credible"], phantoms["train"])
    others = nearest(samples["credible"], phantoms["reference"])
    assert np.min(own) > 3 * np.max(copied)
    assert 0.2 < np.mean(own < others) < 0.8


def test_credible_images_have_the_statistics_of_the_phantoms(samples, phantoms):
    """Brightness, contrast and fine texture are those of the data, within a third."""
    for statistic in (np.mean, np.std, lambda images: np.abs(np.diff(images, axis=-1)).mean()):
        real = statistic(phantoms["reference"].images)
        assert statistic(samples["credible"].images) == pytest.approx(real, rel=0.33)


def test_temperature_narrows_the_population():
    model = StatisticalAtlas(levels=2, grid=(8, 8), modes=2, knots=4, shapes=1, crop=8, size=32)
    with torch.no_grad():
        model.template.fill_(200)
        model.factors.copy_(torch.eye(model.factors.shape[-1])[None])
        spread = torch.linspace(-0.1, 0.1, model.marginals.shape[1])
        model.marginals.copy_(spread.expand_as(model.marginals))
    seeded = [torch.Generator().manual_seed(0) for _ in range(2)]
    cold = model.unpack(model.marginal(torch.zeros(4, model.marginals.shape[0])))
    assert all(torch.allclose(part, torch.zeros(()), atol=1e-6) for part in cold.values())
    wide, narrow = (
        model.sample(4, generator, temperature=t)[0]
        for generator, t in zip(seeded, (1.0, 0.0), strict=True)
    )
    assert wide.shape == (4, 1, 32, 32)
    assert not torch.equal(wide, narrow)


def test_blur_keeps_the_mean_and_widens_a_point():
    point = torch.zeros(1, 1, 32, 32)
    point[0, 0, 16, 16] = 1
    seen = blurred(point, torch.tensor([2.0]))
    offset = torch.arange(32) - 16.0
    assert float(seen.sum()) == pytest.approx(1, abs=1e-5)
    assert float((seen[0, 0].sum(0) * offset**2).sum()) == pytest.approx(4, rel=0.01)


def test_stretching_ends_at_the_percentiles():
    ramp = torch.linspace(3, 5, 1000).view(1, 1, 20, 50)
    found = stretched(ramp)
    assert float(found.min()) == 0
    assert float(found.max()) == 1
    assert float(found.flatten()[500]) == pytest.approx(0.5, abs=0.01)


def test_a_memoriser_without_jitter_repeats_its_decoded_codes():
    torch.manual_seed(0)
    model = Memoriser(images=2, labels=2, code=3, width=8, size=16)
    with torch.no_grad():
        images, masks = model.sample(8, torch.Generator().manual_seed(0), jitter=0.0)
        known = model(model.codes)[0].clamp(0, 1)
    assert masks.shape == (8, 16, 16)
    assert all(min(float((i - k).abs().max()) for k in known) < 1e-6 for i in images)
