"""Real torchmetrics and MONAI metrics as metrics of this package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics
from monai.metrics import FIDMetric, MMDMetric, RMSEMetric
from monai.metrics.metric import Metric as MonaiMetric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from nriqm_bench import metrics
from nriqm_bench.metrics import as_metric
from nriqm_bench.metrics.adapters import passthrough


def data(n=40, m=40, d=5):
    r = np.random.default_rng(0)
    return r.normal(size=(n, d)), r.normal(size=(m, d)) + 0.3


def test_torchmetrics_fid_by_instance_and_by_class():
    x, y = data(m=30)
    expected = metrics.get("fid")(x, y)
    for thing in (
        FrechetInceptionDistance,
        FrechetInceptionDistance(feature=passthrough(5)),
        FrechetInceptionDistance(feature=passthrough(5), reset_real_features=False),
    ):
        metric = as_metric(thing)
        assert metric.higher_is_better is False
        assert metric.name == "FrechetInceptionDistance"
        assert metric.summary.startswith("Calculate Fr")
        for _ in range(2):
            assert metric(x, y) == pytest.approx(expected, rel=1e-9)


def test_an_instance_is_left_as_it_was():
    x, y = data()
    kept = FrechetInceptionDistance(feature=passthrough(5), reset_real_features=False)
    as_metric(kept)(x, y)
    assert kept.reset_real_features is False
    assert kept.real_features_num_samples == 0


def test_torchmetrics_kid_over_all_rows_is_ours():
    x, y = data()
    metric = as_metric(KernelInceptionDistance)
    assert metric(x, y, subsets=1, subset_size=40) == pytest.approx(metrics.get("kid")(x, y))
    with pytest.raises(ValueError, match="subset_size"):
        metric(x, y)


def test_torch_draws_from_rng_and_keeps_its_own_state():
    x, y = data()
    with pytest.warns(UserWarning, match="will save all extracted features"):
        kid = KernelInceptionDistance(feature=passthrough(5), subsets=3, subset_size=10)
    metric = as_metric(kid)
    state = torch.get_rng_state()
    first = metric(x, y, rng=np.random.default_rng(1))
    assert torch.equal(state, torch.get_rng_state())
    assert first == metric(x, y, rng=np.random.default_rng(1))
    assert first != metric(x, y, rng=np.random.default_rng(2))


def test_a_registered_object_is_evaluated_beside_ours():
    x, y = data()
    made = metrics.register("tm-fid", FrechetInceptionDistance(feature=passthrough(5)))
    try:
        assert metrics.get("tm-fid") is made
        assert not made.builtin
        found = metrics.evaluate(["fid", "tm-fid"], x, y)
    finally:
        metrics.unregister("tm-fid")
    assert found["tm-fid"] == pytest.approx(found["fid"], rel=1e-9)


def test_torchmetrics_of_predictions_and_target():
    x, y = data()
    metric = as_metric(torchmetrics.MeanSquaredError())
    assert metric.higher_is_better is False
    for _ in range(2):
        assert metric(x, y) == pytest.approx(((x - y) ** 2).mean())
    quotient = as_metric(torchmetrics.MeanAbsolutePercentageError)
    assert quotient(x, y) == pytest.approx((np.abs(x - y) / np.abs(x)).mean())


# A deviation over one split has no degrees of freedom.
@pytest.mark.filterwarnings("ignore:std\\(\\):UserWarning")
def test_torchmetrics_of_fake_alone():
    x, y = data()
    with pytest.warns(UserWarning, match="will save all extracted features"):
        score = InceptionScore(feature=passthrough(5), splits=1)
    metric = as_metric(score, "is")
    assert metric.higher_is_better is True
    p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    expected = np.exp((p * np.log(p / p.mean(0))).sum(1).mean())
    assert metric(x, y) == pytest.approx(expected)


def test_torchmetrics_of_images():
    r = np.random.default_rng(0)
    x, y = (r.random((4, 3, 8, 8)).astype(np.float32) for _ in range(2))

    class Means(torch.nn.Module):
        num_features = 3

        def forward(self, images):
            return images.mean((2, 3)).double()

    instance = FrechetInceptionDistance(feature=Means(), normalize=True)
    expected = metrics.get("fid")(x.mean((2, 3)), y.mean((2, 3)))
    assert as_metric(instance, needs="images")(x, y) == pytest.approx(expected, rel=1e-4)
    psnr = as_metric(torchmetrics.image.PeakSignalNoiseRatio, needs="images")
    error = ((x - y) ** 2).mean()
    assert psnr(x, y, data_range=1.0) == pytest.approx(10 * np.log10(1 / error), rel=1e-5)


@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")
def test_monai_fid():
    x, y = data(60, 50)
    for thing in (FIDMetric, FIDMetric()):
        metric = as_metric(thing, higher_is_better=False)
        assert metric(x, y) == pytest.approx(metrics.get("fid")(x, y), rel=1e-7)


def test_monai_mmd_is_the_linear_one():
    x, y = data()
    n = len(x)

    def own(a):
        return (a @ a.T).sum() - (a * a).sum()

    expected = (own(x) + own(y)) / (n * (n - 1)) - 2 * (x @ y.T).mean()
    assert as_metric(MMDMetric(), higher_is_better=False)(x, y) == pytest.approx(expected)


def test_monai_knows_which_set_is_fake():
    class Gap(MonaiMetric):
        def __call__(self, y_pred, y):
            return y_pred.mean() - y.mean()

    x, y = data()
    expected = y.mean() - x.mean()
    assert as_metric(Gap(), higher_is_better=False)(x, y) == pytest.approx(expected)


def test_monai_cumulative_metrics_are_aggregated_and_reset():
    x, y = data()
    metric = as_metric(RMSEMetric(), higher_is_better=False)
    for _ in range(2):
        assert metric(x, y) == pytest.approx(np.sqrt(((x - y) ** 2).mean(1)).mean())


def test_the_direction_must_be_known():
    with pytest.raises(TypeError, match="metric 'FIDMetric' does not say whether higher is better"):
        as_metric(FIDMetric())


def test_more_than_one_number_is_refused():
    x, y = data()
    metric = as_metric(torchmetrics.MeanSquaredError(num_outputs=5))
    with pytest.raises(TypeError, match=r"MeanSquaredError returned Tensor of shape \(5,\), must"):
        metric(x, y)


def test_a_metric_takes_the_name_it_is_asked_for_by():
    fid = metrics.get("fid")
    assert as_metric(fid) is fid
    renamed = as_metric(fid, "frechet")
    assert renamed.name == "frechet"
    assert renamed.function is fid.function
