"""Local damage that a radiologist would see at once: the tumour alone is altered."""

import pytest


@pytest.mark.nriqm_case(
    "boundary-blur",
    "lesion-tilt",
    "lesion-growth",
    "lesion-shrinkage",
    "lesion-displacement",
    "lesion-removal",
)
def test_lesion(curve, expectation):
    assert curve.meets(expectation)


@pytest.mark.nriqm_case(
    "boundary-blur-control",
    "lesion-tilt-control",
    "lesion-displacement-control",
    "lesion-removal-control",
)
def test_imperceptible_noise_of_the_same_energy(curve, expectation):
    assert curve.meets(expectation)
