"""Artefacts of the whole image: the stronger, the worse every metric of fidelity must say it is."""

import pytest


@pytest.mark.nriqm_case(
    "bias-field",
    "blur",
    "elastic",
    "gamma",
    "ghosting",
    "gibbs",
    "motion",
    "spike",
    "translation",
)
def test_artefact(curve, expectation):
    assert curve.meets(expectation)
