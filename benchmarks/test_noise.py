"""Noise: the more of it, the worse every metric of fidelity must say the images are."""

import pytest


@pytest.mark.nriqm_case(
    "gaussian-noise",
    "poisson-noise",
    "rician-noise",
)
def test_noise(curve, expectation):
    assert curve.meets(expectation)
