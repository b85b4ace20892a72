"""A metric of our own: how far mean brightness drifts, in any feature space."""


def pytest_nriqm_register(config):
    import numpy as np
    from nriqm_bench import metrics

    @metrics.register("mean-drift", higher_is_better=False)
    def mean_drift(real, fake):
        "Distance between the means of real and fake features."
        return float(np.linalg.norm(real.mean(0) - fake.mean(0)))
