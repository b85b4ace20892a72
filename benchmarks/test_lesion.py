"""Local damage that a radiologist would see at once: the tumour alone is altered."""

import pytest


@pytest.mark.nriqm_case("boundary-blur")
def test_boundary_blur(curve, expectation):
    assert curve.meets(expectation)
