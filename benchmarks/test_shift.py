"""Distribution shift: another mix of the same sites."""

import pytest


@pytest.mark.nriqm_case(
    "density-shift",
)
def test_shift(curve, expectation):
    assert curve.meets(expectation)
