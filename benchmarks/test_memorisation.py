"""Memorisation: copies of training images must be detected, and must not be rewarded."""

import pytest


@pytest.mark.nriqm_case("training-copies")
def test_training_copies(curve, expectation):
    assert curve.meets(expectation)
