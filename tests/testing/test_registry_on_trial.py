"""Every metric of this package runs the gauntlet that others are sent through."""

from __future__ import annotations

import pytest

from nriqm_bench import metrics
from nriqm_bench.testing import parametrize_with_checks

# What a metric is by nature not able to do.
LIMITS = {
    "precision": {
        "check_outlier": "the ball of a far real row reaches over the fake ones (Naeem et al. 2020)"
    },
    "recall": {
        "check_outlier": "the ball of a far fake row reaches over the real ones (Naeem et al. 2020)"
    },
}


def loads(name):
    try:
        metrics.get(name)
    except (ImportError, AttributeError):
        # test_every_name_loads says so.
        return False
    return True


NAMES = [name for name in metrics.names() if loads(name)]
EXPECTED = {name: found for name, found in LIMITS.items() if name in NAMES}


@pytest.mark.parametrize("name", metrics.names())
def test_every_name_loads(name):
    assert metrics.get(name).name == name


@parametrize_with_checks(NAMES, expected_failures=EXPECTED)
def test_metric(metric, check):
    check(metric)
