"""Memorisation: copies of training images must be detected, and must not be rewarded."""

import pytest


@pytest.mark.nriqm_case("training-copies")
def test_training_copies(curve, expectation):
    assert curve.meets(expectation)


@pytest.mark.nriqm_case(
    "copies-noise-01",
    "copies-noise-02",
    "copies-rotation-3",
    "copies-rotation-5",
    "copies-flip",
    "copies-intensity",
    "copies-blend",
    "copies-blur",
)
def test_disguised_copies(curve, expectation):
    assert curve.meets(expectation)
