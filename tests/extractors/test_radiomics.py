"""Radiomic features; what needs mirp is skipped without it."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from nriqm_bench import Lab, Settings, datasets, extractors, metrics, perturbations
from nriqm_bench.extractors import radiomics


def without_mirp(monkeypatch):
    monkeypatch.setattr(radiomics, "find_spec", lambda name: None)


def test_without_mirp_one_sentence_says_what_to_install(monkeypatch):
    without_mirp(monkeypatch)
    with pytest.raises(ImportError, match=r"needs the package mirp: pip install 'nriqm-bench\[rad"):
        extractors.open("radiomics")


def test_without_mirp_the_run_ends_at_once(monkeypatch):
    without_mirp(monkeypatch)
    with pytest.raises(ImportError, match="needs the package mirp"):
        Lab.open(Settings.load({"extractor": ["radiomics"], "cache": "off"}))


@pytest.fixture(scope="module")
def phantoms():
    pytest.importorskip("mirp")
    return [datasets.get("phantom-tumour")(n=10, seed=seed) for seed in (0, 1)]


def test_statistics_are_those_of_the_pixels(phantoms):
    x = phantoms[0].images[:2]
    found = radiomics.Radiomics()(x)
    assert found.shape == (2, radiomics.Radiomics.dim)
    assert found.dtype == np.float32
    flat = x.reshape(2, -1).astype(np.float64)
    for column in (flat.mean(1), flat.var(1), np.median(flat, axis=1), flat.max(1)):
        close = np.isclose(found, column[:, None].astype(np.float32), rtol=1e-5, atol=1e-7)
        assert close.all(axis=0).any()


def test_rows_do_not_depend_on_the_batch(phantoms):
    x = phantoms[0].images[:3]
    one = radiomics.Radiomics()
    np.testing.assert_array_equal(one(x), np.concatenate([one(x[:1]), one(x[1:])]))


def test_the_distance_sees_noise(phantoms):
    one = radiomics.Radiomics()
    real, fresh = (one(p.images) for p in phantoms)
    rng = np.random.default_rng(0)
    noisy = one(perturbations.get("gaussian-noise")(phantoms[1], 0.1, rng).images)
    frd = metrics.get("frd")
    assert frd(real, noisy) > frd(real, fresh) + 1


def test_volumes_are_three_dimensional(phantoms):
    volumes = np.random.default_rng(0).random((2, 1, 8, 9, 10)).astype(np.float32)
    assert radiomics.Radiomics()(volumes).shape == (2, 80)


def test_a_constant_image_is_refused(phantoms):
    x = np.concatenate([phantoms[0].images[:1], np.full((1, 1, 128, 128), 0.5, dtype=np.float32)])
    with pytest.raises(ValueError, match=r"image 1 has no radiomic feature .*different grey"):
        radiomics.Radiomics()(x)


def test_logging_is_as_it_was(phantoms):
    before = logging.root.manager.disable
    radiomics.Radiomics()(phantoms[0].images[:1])
    assert logging.root.manager.disable == before
