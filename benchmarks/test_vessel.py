"""Local damage to vessels that a radiologist would see at once."""

import pytest


@pytest.mark.nriqm_case("stenosis", "dilation", "missing-branches", "gaps")
def test_vessel(curve, expectation):
    assert curve.meets(expectation)


@pytest.mark.nriqm_case("stenosis-control")
def test_imperceptible_noise_of_the_same_energy(curve, expectation):
    assert curve.meets(expectation)
