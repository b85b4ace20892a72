"""The registry, the one calling convention, and the sentences of its errors."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

import nriqm_bench
from nriqm_bench import ImageSet, metrics
from nriqm_bench.metrics import Estimate, Metric, Moments, Sample

NAMES = [
    "authpct",
    "coverage",
    "density",
    "fid",
    "kid",
    "precision",
    "recall",
    "train-share",
    "vendi",
]


@pytest.fixture
def registered():
    """Register under names that are forgotten afterwards."""
    made = []

    def register(name, *args, **options):
        made.append(name)
        return metrics.register(name, *args, **options)

    yield register
    for name in made:
        metrics.unregister(name)


def data(n=40, m=30, d=5, t=35):
    r = np.random.default_rng(0)
    return r.normal(size=(n, d)), r.normal(size=(m, d)) + 0.3, r.normal(size=(t, d))


def test_names():
    assert set(NAMES) <= set(metrics.names())
    assert metrics.names() == sorted(metrics.names())
    assert "evaluate" in dir(metrics)
    assert "fid" not in dir(metrics)


def test_an_unknown_name_lists_the_closest():
    with pytest.raises(KeyError, match="unknown metric 'presision'; did you mean 'precision'"):
        metrics.get("presision")
    with pytest.raises(AttributeError, match="no attribute 'fid'"):
        _ = metrics.fid


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_describes_itself(name):
    metric = metrics.get(name)
    assert metric.name == name
    assert metric.builtin
    assert metric.needs == "features"
    assert metric.higher_is_better == (name not in ("fid", "kid", "train-share"))
    assert metric.needs_train == (name in ("authpct", "train-share"))
    assert metric.min_samples >= 1
    assert len(metric.summary) > 20
    assert "\n" not in metric.summary
    for word in ("Direction:", "Range:", "Invariant", "Needs", "Cost:", "Source:"):
        assert word in metric.__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        metric.name = "other"


def test_minimum_and_options_as_data():
    assert {n: metrics.get(n).min_samples for n in NAMES} == {
        "authpct": 2, "coverage": 6, "density": 6, "fid": 2, "kid": 2,
        "precision": 4, "recall": 4, "train-share": 2, "vendi": 1,
    }  # fmt: skip
    assert metrics.get("precision").options == {"k": 3, "ties": "inclusive"}
    assert metrics.get("coverage").options == {"k": 5, "ties": "strict"}
    assert metrics.get("kid").options == {"subsets": None, "subset_size": 1000}
    assert metrics.get("vendi").options == {"order": 1.0}


@pytest.mark.parametrize("name", NAMES)
def test_min_samples_are_enough_and_one_less_is_not(name):
    metric = metrics.get(name)
    x, y, t = data()
    least = metric.min_samples
    assert np.isfinite(metric(x[:least], y[:least], train=t[: max(2, least)]))
    with pytest.raises(ValueError, match=rf"(real|fake) had {least - 1} rows?, must have"):
        metric(x[: least - 1], y[: least - 1], train=t)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_float_dtype_of_numpy_and_torch(name, dtype):
    arrays = [a.astype(dtype) for a in data()]
    x, y, t = (a.astype(np.float64) for a in arrays)
    expected = metrics.get(name)(x, y, train=t)
    assert isinstance(expected, float)
    x, y, t = arrays
    assert metrics.get(name)(x, y, train=t) == pytest.approx(expected, rel=1e-12)
    x, y, t = (torch.tensor(a, requires_grad=True) for a in arrays)
    assert metrics.get(name)(x, y, train=t) == pytest.approx(expected, rel=1e-12)
    x, y, t = (Sample(a) for a in arrays)
    assert metrics.get(name)(x, y, train=t) == pytest.approx(expected, rel=1e-12)


def test_bfloat16_and_integers_and_lists():
    fid = metrics.get("fid")
    x = torch.arange(12.0).reshape(4, 3)
    y = x.flip(1) * 2
    expected = fid(x, y)
    assert fid(x.bfloat16(), y.bfloat16()) == expected
    assert fid(x.int(), y.int()) == expected
    assert fid(x.tolist(), y.tolist()) == expected
    assert fid(np.asarray(x, dtype=np.longdouble), y) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("argument", ["real", "fake", "train"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda a: a[:, 0],
            r"had shape \(\d+,\), must be \(n, d\) with d >= 1; write x\[:, None\]",
        ),
        (lambda a: a[:, :0], r"had shape \(\d+, 0\), must be \(n, d\)"),
        (lambda a: a[None], r"had shape \(1, \d+, 5\), must be \(n, d\)"),
        (lambda a: np.where(a == a[3, 2], np.nan, a), "held NaN or infinity in 1 of "),
        (lambda a: np.where(a == a[3, 2], -np.inf, a), "held NaN or infinity in 1 of "),
        (lambda a: a * 1e60, r"held values up to \S+, must stay below 1e\+50"),
        (lambda a: a.astype(complex), "had dtype complex128, must be an"),
        (lambda a: a.astype(str), "had dtype <U"),
        (lambda a: [[1.0], [1.0, 2.0]], "had rows of unequal length"),
    ],
    ids=["flat", "empty", "deep", "nan", "infinite", "huge", "complex", "text", "ragged"],
)
def test_bad_arrays_are_named(name, argument, spoil, message):
    given = dict(zip(("real", "fake", "train"), data(), strict=True))
    given[argument] = spoil(given[argument])
    with pytest.raises(ValueError, match=f"^{argument} {message}"):
        metrics.get(name)(**given)


@pytest.mark.parametrize("name", NAMES)
def test_different_widths_are_named(name):
    x, y, t = data()
    with pytest.raises(ValueError, match=r"fake had shape \(30, 4\), must be \(n, 5\) like real"):
        metrics.get(name)(x, y[:, :4], train=t)
    with pytest.raises(ValueError, match=r"train had shape \(35, 3\), must be \(n, 5\) like real"):
        metrics.get(name)(x, y, train=t[:, :3])


def test_missing_arrays_are_named():
    x, y, _ = data()
    with pytest.raises(ValueError, match=r"real was None, must be an \(n, d\) array: fid reads it"):
        metrics.get("fid")(None, y)
    with pytest.raises(ValueError, match="fake was None"):
        metrics.get("vendi")(x, None)


def test_an_unknown_option_is_named():
    x, y, _ = data()
    with pytest.raises(TypeError, match="precision has no option 'q'; its options: k, ties"):
        metrics.get("precision")(x, y, q=3)
    with pytest.raises(TypeError, match="fid has no option 'k'; its options: none"):
        metrics.get("fid")(x, y, k=3)


OF_FEATURES = [n for n in metrics.names() if metrics.get(n).needs == "features"]
OF_IMAGES = [n for n in metrics.names() if metrics.get(n).needs == "images"]


def check_estimate(name, arrays):
    metric = metrics.get(name)
    found = metric.estimate(**arrays, level=0.9)
    assert isinstance(found, Estimate)
    assert found.value == metric(**arrays)
    assert metric.range[0] <= found.low <= found.value <= found.high <= metric.range[1]
    assert 1 <= found.n <= max(len(a) for a in arrays.values())
    if found.floor is not None:
        assert np.isfinite(found.floor)
    assert found == metric.estimate(**arrays, level=0.9)
    wide = metric.estimate(**arrays, level=0.99)
    assert wide.low <= found.low < found.high <= wide.high


@pytest.mark.parametrize("name", OF_FEATURES)
def test_every_metric_of_features_has_an_estimate(name):
    check_estimate(name, dict(zip(("real", "fake", "train"), data(), strict=True)))


def test_a_metric_of_logits_has_an_estimate():
    rows = np.random.default_rng(0).dirichlet(np.ones(4), size=30)
    check_estimate("inception-score", {"real": rows[:20], "fake": rows})


def pictures(n, seed):
    """Bright discs with texture on a dark ground with noise."""
    r = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:48j, -1:1:48j]
    disc = np.hypot(x, y) < r.uniform(0.5, 0.8, (n, 1, 1, 1))
    inner = np.hypot(x, y) < 0.3
    images = 0.5 * disc + 0.3 * inner + 0.02 * r.normal(size=(n, 1, 48, 48))
    return np.clip(images, 0, 1).astype(np.float32)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_every_metric_of_images_has_an_estimate(name):
    check_estimate(name, {"real": pictures(12, 0), "fake": pictures(10, 1)})


@pytest.mark.parametrize("name", [*OF_FEATURES, "inception-score"])
@pytest.mark.parametrize("argument", ["real", "fake", "train"])
def test_moments_are_refused_where_rows_are_read(name, argument):
    metric = metrics.get(name)
    given = dict(zip(("real", "fake", "train"), data(), strict=True))
    batches = Moments(unit=name == "vendi")
    batches.update(given[argument])
    given[argument] = batches
    if metric.moments:
        assert name in ("fid", "vendi")
        assert np.isfinite(metric(**given))
        with pytest.raises(ValueError, match=f"{argument} was Moments, must be rows: an interval"):
            metric.estimate(**given)
    else:
        with pytest.raises(ValueError, match=f"{argument} was Moments, must be rows: {name} reads"):
            metric(**given)
        with pytest.raises(ValueError, match=f"{argument} was Moments, must be rows"):
            metric.estimate(**given)


def test_evaluate_equals_single_calls():
    x, y, t = data()
    options = {"kid": {"subsets": 3, "subset_size": 20}, "recall": {"k": 2, "ties": "strict"}}
    rng = np.random.default_rng(5)
    found = metrics.evaluate(NAMES, x, y, train=t, rng=rng, options=options)
    assert list(found) == NAMES
    for name in NAMES:
        alone = metrics.get(name)(
            x, y, train=t, rng=np.random.default_rng(5), **options.get(name, {})
        )
        assert found[name] == pytest.approx(alone, rel=1e-13)
    backwards = metrics.evaluate(NAMES[::-1], x, y, train=t, rng=rng, options=options)
    assert backwards == found


def test_evaluate_shares_work_through_samples():
    x, y, t = (Sample(a) for a in data())
    first = metrics.evaluate(NAMES, x, y, train=t)
    assert "neighbours" in x.own
    assert metrics.evaluate(NAMES, x, y, train=t) == first


def test_evaluate_takes_metrics_and_checks_options():
    x, y, _ = data()
    gap = Metric("gap", lambda real, fake: real.mean() - fake.mean(), higher_is_better=False)
    assert metrics.evaluate([gap, "fid"], x, y)["gap"] == pytest.approx(x.mean() - y.mean())
    with pytest.raises(ValueError, match="options named 'kid', must name metrics that are asked"):
        metrics.evaluate(["fid"], x, y, options={"kid": {}})


def test_a_function_is_registered_by_decorator(registered):
    @registered("swd", higher_is_better=False, min_samples=3)
    def swd(real, fake, projections=2):
        """Sliced distance.

        More.
        """
        assert real.dtype == fake.dtype == np.float64
        return torch.tensor(real.mean() - fake.mean()) * projections

    x, y, t = data()
    metric = nriqm_bench.metrics.get("swd")
    assert "swd" in metrics.names()
    assert not metric.builtin
    assert metric.summary == "Sliced distance."
    assert metric.options == {"projections": 2}
    assert metric(x.astype(np.float32), y, train=t) == pytest.approx(
        2 * (x.mean() - y.mean()), rel=1e-6
    )
    assert metric(x, y, projections=3) == pytest.approx(3 * (x.mean() - y.mean()))
    assert swd(x, x) == 0
    with pytest.raises(ValueError, match="fake had 2 rows, must have at least 3 for swd"):
        metric(x, y[:2])
    with pytest.raises(ValueError, match="the metric name 'swd' is taken"):
        metrics.register("swd", higher_is_better=False)(swd)
    with pytest.raises(ValueError, match="the metric name 'fid' is taken"):
        metrics.register("fid", higher_is_better=False)(swd)


def test_a_function_may_do_what_it_likes_with_its_arrays(registered):
    @registered("rude", higher_is_better=True)
    def rude(real, fake):
        real -= real.mean(0)
        return real.sum()

    x, y, _ = data()
    before = x.copy()
    metrics.get("rude")(x, y)
    np.testing.assert_array_equal(x, before)


def test_train_and_rng_are_handed_to_those_who_take_them(registered):
    seen = {}

    @registered("greedy", higher_is_better=True, needs_train=True)
    def greedy(real, fake, *, train, rng, **rest):
        seen.update(train=train, rng=rng, rest=rest)
        return 0

    x, y, t = data()
    rng = np.random.default_rng(0)
    assert metrics.get("greedy")(x, y, train=t, rng=rng, colour="red") == 0.0
    np.testing.assert_array_equal(seen["train"], t)
    assert seen["rng"] is rng
    assert seen["rest"] == {"colour": "red"}
    with pytest.raises(ValueError, match="train was None"):
        metrics.get("greedy")(x, y)


def test_images_and_logits(registered):
    @registered("brightness", higher_is_better=True, needs="images", min_samples=1)
    def brightness(real, fake):
        return fake.mean() - real.mean()

    @registered("confidence", higher_is_better=True, needs="logits")
    def confidence(real, fake):
        return fake.max(1).mean()

    dark, light = np.zeros((3, 1, 4, 4)), np.ones((2, 1, 4, 4))
    assert metrics.get("brightness")(ImageSet(dark), light) == 1
    assert metrics.evaluate(["brightness"], dark, ImageSet(light)) == {"brightness": 1}
    with pytest.raises(ValueError, match="images had shape"):
        metrics.get("brightness")(dark[0], light)
    with pytest.raises(ValueError, match=r"fake had shape \(2, 1, 4, 3\), must be \(n, 1, 4, 4\)"):
        metrics.get("brightness")(dark, light[..., :3])
    with pytest.raises(ValueError, match="fake was None, must be images"):
        metrics.get("brightness")(dark, None)
    assert metrics.get("confidence").needs == "logits"
    assert metrics.get("confidence")(np.eye(2), np.eye(2)) == 1


@pytest.mark.parametrize(
    ("thing", "options", "message"),
    [
        (lambda real, fake: 0, {}, "metric 'x' does not say whether higher is better"),
        (lambda fake: 0, {"higher_is_better": True}, "cannot be called with two arrays"),
        (3, {"higher_is_better": True}, "metric 'x' was 3, must be a function"),
        (dict, {"higher_is_better": True}, "metric 'x' was <class 'dict'>, must be a function"),
        (lambda real, fake: 0, {"higher_is_better": "no"}, "must be True or False"),
    ],
)
def test_what_is_no_metric_is_refused(thing, options, message):
    with pytest.raises(TypeError, match=message):
        metrics.register("x", thing, **options)
    assert "x" not in metrics.names()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"needs": "sounds"}, "needs of metric 'x' was 'sounds', must be one of features, logits"),
        ({"min_samples": 0}, "min_samples of metric 'x' was 0, must be at least 1"),
    ],
)
def test_bad_declarations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        metrics.register("x", lambda real, fake: 0, higher_is_better=True, **options)


def test_a_function_of_its_own_that_is_not_callable():
    with pytest.raises(TypeError, match="function of metric 'x' was int, must be callable"):
        Metric("x", 3, higher_is_better=True)


def test_a_result_that_is_no_number_is_refused(registered):
    registered("odd", lambda real, fake: "much", higher_is_better=True)
    x, y, _ = data()
    with pytest.raises(TypeError, match="metric 'odd' returned str, must return one number"):
        metrics.get("odd")(x, y)


def test_listing_imports_nothing_heavy():
    code = (
        "import sys; from nriqm_bench import metrics; metrics.names();"
        "assert not {'numpy', 'torch', 'scipy', 'monai'} & set(sys.modules), sorted(sys.modules);"
        "metrics.get('fid')([[1.0], [2.0]], [[1.0], [3.0]]);"
        "assert not {'torch', 'scipy', 'monai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_sample_describes_itself():
    sample = Sample(np.zeros((3, 2), dtype=np.float32))
    assert repr(sample) == "Sample(3 x 2, float32)"
    assert len(sample) == 3
    with pytest.raises(ValueError, match="features had shape"):
        Sample(np.zeros(3))


def test_sample_statistics_take_two_passes():
    x = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    far = Sample(x.astype(np.float64) + 1e9)
    near = Sample((x.astype(np.float64) + 1e9) - 1e9)
    np.testing.assert_allclose(far.mean - 1e9, near.mean, atol=1e-7)
    assert far.trace == pytest.approx(near.trace, rel=1e-9)


def test_a_mean_that_no_float_can_hold():
    # Floats near 2^53 are two apart, and the mean is 2^53 + 4/3.
    sample = Sample(2.0**53 + np.array([[0.0], [2.0], [2.0]]))
    near, rest = sample.mean_parts
    assert (near[0] - 2.0**53) + rest[0] == pytest.approx(4 / 3)
    np.testing.assert_allclose(sample.centred[:, 0], [-4 / 3, 2 / 3, 2 / 3])
    assert sample.trace == pytest.approx(4 / 3)
