"""Every metric of this package runs the gauntlet that others are sent through."""

from __future__ import annotations

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
    **{
        name: {"check_degenerate": "an image without structure has no tissues, noise or edges"}
        for name in ("blur", "cjv", "cnr", "fber", "snr")
    },
}


@parametrize_with_checks(metrics.names(), expected_failures=LIMITS)
def test_metric(metric, check):
    check(metric)
