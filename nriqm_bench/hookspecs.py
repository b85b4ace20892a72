"""The hooks that this plugin calls; implement them in a conftest.py or a plugin of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nriqm_bench.reporting import Run


@pytest.hookspec()
def pytest_nriqm_register(config: pytest.Config) -> None:
    """Register metrics, extractors, perturbations, datasets or generators of your own.

    Called once, before names are looked up. A metric that every case then picks up::

        def pytest_nriqm_register(config):
            import numpy as np
            from nriqm_bench import metrics

            @metrics.register("mean-distance", higher_is_better=False)
            def mean_distance(real, fake):
                return float(np.linalg.norm(real.mean(0) - fake.mean(0)))
    """


@pytest.hookspec()
def pytest_nriqm_finished(config: pytest.Config, run: Run) -> None:
    """Read the finished run, for instance to send it somewhere.

    Called once, after the last test and before reports are written::

        def pytest_nriqm_finished(config, run):
            failed = [gate.name for gate in run.gates if gate.verdict == "fail"]
            notify("#model-releases", failed or "all gates passed")
    """
