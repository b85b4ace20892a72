"""Diversity: repeated images and missing kinds of image must be noticed."""

import pytest


@pytest.mark.nriqm_case(
    "internal-duplication",
    "mode-drop",
    "lesion-mode-drop",
    "truncation",
)
def test_diversity(curve, expectation):
    assert curve.meets(expectation)
