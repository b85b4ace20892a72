"""Release gates: may this generator be released, as far as trusted metrics can tell?"""

import pytest


@pytest.mark.nriqm_gate("memorisation*")
def test_memorisation(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("diversity")
def test_diversity(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("fidelity")
def test_fidelity(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("anatomy*")
def test_anatomy(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("sites")
def test_sites(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("limit-*")
def test_limits(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("downstream")
def test_downstream(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("regression")
def test_regression(gate):
    assert gate.verdict == "pass", gate.reason
