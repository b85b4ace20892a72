"""Noise: the more of it, the worse every metric of fidelity must say the images are."""

import pytest


@pytest.mark.nriqm_case("gaussian-noise")
def test_gaussian_noise(curve, expectation):
    assert curve.meets(expectation)


@pytest.mark.nriqm_case("rician-noise")
def test_rician_noise(curve, expectation):
    assert curve.meets(expectation)
