"""Release gates: may this generator be released, as far as trusted metrics can tell?"""

import pytest


@pytest.mark.nriqm_gate("memorisation", "memorisation-pixels")
def test_memorisation(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("diversity")
def test_diversity(gate):
    assert gate.verdict == "pass", gate.reason


@pytest.mark.nriqm_gate("fidelity")
def test_fidelity(gate):
    assert gate.verdict == "pass", gate.reason
