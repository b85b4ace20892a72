"""Artefacts of the whole image: the stronger, the worse every metric of fidelity must say it is."""

import pytest


@pytest.mark.nriqm_case("blur")
def test_blur(curve, expectation):
    assert curve.meets(expectation)
