"""Class probabilities for the Inception score."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import datasets, extractors, metrics


@pytest.fixture(scope="module")
def images():
    return datasets.get("phantom-tumour")(n=6).images


def test_rows_are_the_softmax_of_the_logits(images):
    found = extractors.get("imagenet-classes")()(images)
    logits = extractors.get("efficientnet-lite0")().logits(images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.shape == (6, 1000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_the_inception_score_reads_them(images):
    found = extractors.get("imagenet-classes")()(images)
    assert 1 <= metrics.get("inception-score")(None, found) <= 6


def test_features_are_told_apart_by_the_key():
    keys = {extractors.get(name)().key() for name in ("imagenet-classes", "efficientnet-lite0")}
    assert len(keys) == 2
