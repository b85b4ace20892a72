"""Diversity: repeated images and missing kinds of image must be noticed."""

import pytest


@pytest.mark.nriqm_case("internal-duplication")
def test_internal_duplication(curve, expectation):
    assert curve.meets(expectation)


@pytest.mark.nriqm_case("mode-drop")
def test_mode_drop(curve, expectation):
    assert curve.meets(expectation)
