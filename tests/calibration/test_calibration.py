"""False alarms and power on images whose answer is known: independent noise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from nriqm_bench import Lab, Settings, cases, metrics
from nriqm_bench.__main__ import main
from nriqm_bench.calibration.alarms import false_alarms
from nriqm_bench.calibration.power import Power, power
from nriqm_bench.evidence import degrades, not_better

N = 480


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of 8 x 8 independent pixels: every set is a draw of one distribution."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    rng = np.random.default_rng(0)
    np.savez(
        path,
        images=np.clip(0.5 + 0.1 * rng.standard_normal((3 * N, 1, 8, 8)), 0, 1).astype("f4"),
        part=["train"] * N + ["reference"] * N + ["held-out"] * N,
    )
    return path


def lab(data, *names):
    return Lab.open(
        Settings.load(
            {
                "dataset": f"npz:{data}",
                "extractor": ["pixels"],
                "metric": names,
                "n": N,
                "cache": "off",
            },
            environ={},
        )
    )


@pytest.fixture
def only(monkeypatch):
    """Make a registry of the given cases alone."""

    def only(*chosen):
        found = {case.name: case for case in chosen}
        monkeypatch.setattr(cases, "names", lambda: list(found))
        monkeypatch.setattr(cases, "get", found.__getitem__)

    return only


def test_nothing_done_is_hardly_ever_called_a_change(data, only):
    blur = cases.BLUR
    hard = {"*": degrades()}
    loose = {"*": degrades(effect=0.0, rank=-1.0)}
    reward = {"*": not_better(effect=1.0)}
    only(
        dataclasses.replace(blur, name="hard", expect=hard),
        dataclasses.replace(blur, name="loose", expect=loose),
        dataclasses.replace(blur, name="reward", expect=reward),
        dataclasses.replace(blur, name="the same again", expect=hard),
    )
    found = {a.expectation: a for a in false_alarms(lab(data, "kid"), n=40, seeds=40)}
    assert found["degrades by 3 SD"].trials == 40
    assert found["degrades by 3 SD"].rate <= 0.05
    # Half of all draws end worse than they began; some of four lie a floor SD below the first.
    assert 0.25 < found["degrades by 0 SD at last"].rate < 0.75
    assert 0.2 < found["not better by 1 SD"].rate < 0.9


def test_what_nothing_is_asked_of_is_not_counted(data, only):
    only(cases.GAUSSIAN_NOISE)
    assert {a.metric for a in false_alarms(lab(data, "kid", "vendi"), n=40, seeds=1)} == {"kid"}


def test_power_grows_with_the_sample(data):
    (found,) = power(lab(data, "fid"), cases.GAUSSIAN_NOISE, 0.05, (8, 32, 128), draws=20)
    assert isinstance(found, Power)
    assert (found.extractor, found.metric) == ("pixels", "fid")
    assert found.effects[0] < found.effects[1] < found.effects[2]
    assert found.shares[0] < 0.8 <= found.shares[2]
    assert found.smallest in (32, 128)


def test_power_of_nothing_is_none(data):
    (found,) = power(lab(data, "kid"), cases.BLUR, 0.0, (8, 16), draws=5)
    assert found.effects == (0.0, 0.0)
    assert found.shares == (0.0, 0.0)
    assert found.smallest is None


@pytest.mark.parametrize(
    ("shares", "smallest"),
    [
        ((0, 0.9, 1.0), 20),
        ((0.9, 0.1, 1.0), 30),
        ((1.0, 1.0, 0.7), None),
        ((0.8, 0.8, 0.8), 10),
    ],
)
def test_smallest_size_is_that_from_which_on_it_is_seen(shares, smallest):
    assert Power("e", "m", (10, 20, 30), (0.0, 0.0, 0.0), shares).smallest == smallest


def test_higher_is_better_counts_the_other_way(data):
    metrics.register("blackness", lambda real, fake: -fake.mean(), higher_is_better=True)
    try:
        (found,) = power(lab(data, "blackness"), cases.GAUSSIAN_NOISE, 0.2, (32,), draws=5)
        noisier = found.effects[0]
        metrics.unregister("blackness")
        metrics.register("blackness", lambda real, fake: -fake.mean(), higher_is_better=False)
        (found,) = power(lab(data, "blackness"), cases.GAUSSIAN_NOISE, 0.2, (32,), draws=5)
    finally:
        metrics.unregister("blackness")
    assert found.effects[0] == pytest.approx(-noisier)
    assert noisier != 0


def test_a_case_that_needs_masks_is_refused_without_them(data):
    with pytest.raises(ValueError, match=r"has no masks, which boundary-blur needs"):
        power(lab(data, "kid"), cases.get("boundary-blur"), 1.0, (8,))


def test_cases_that_replace_images_are_refused(data):
    with pytest.raises(ValueError, match="training-copies replaces images of a set"):
        power(lab(data, "kid"), cases.TRAINING_COPIES, 0.5, (8,))


def test_metrics_that_need_more_images_than_the_smallest_size_are_left_out(data):
    names = ("kid", "fid-infinity")
    found = power(lab(data, *names), cases.BLUR, 0.6, (16, 32), draws=3)
    assert {p.metric for p in found} == {"kid"}


def test_the_floor_is_that_of_sets_without_a_common_image(data):
    """At half of the pool draws of one set hold much the same images; the floor must not."""
    found = lab(data, "fid")
    (power_of,) = power(found, cases.GAUSSIAN_NOISE, 0.1, (240,), draws=30)
    pool = np.concatenate([found.features(p, "pixels") for p in ("train", "reference", "held-out")])
    orders = [np.random.default_rng(i).permutation(3 * N) for i in range(60)]
    fid = metrics.get("fid")
    floor = np.std([fid(pool[o[:240]], pool[o[240:480]]) for o in orders], ddof=1)
    damaged = found.features("held-out", "pixels", cases.GAUSSIAN_NOISE, 0.1)
    clean = found.features("held-out", "pixels")
    effect = (fid(pool[:240], damaged[:240]) - fid(pool[:240], clean[:240])) / floor
    assert power_of.effects[0] == pytest.approx(effect, rel=0.3)


def test_false_alarms_leave_out_what_the_images_cannot_show(data):
    """Without masks there is no lesion space, and no case of lesions."""
    settings = {"dataset": f"npz:{data}", "metric": ["fid"], "n": N, "cache": "off"}
    spaces = {"extractor": ["pixels", "lesion", "lesion-found"]}
    found = Lab.open(Settings.load(settings | spaces, environ={}))
    assert {a.extractor for a in false_alarms(found, n=24, seeds=1)} == {"pixels"}


def test_commands(data, capsys):
    args = [f"--dataset=npz:{data}", "--extractor=pixels", "--metric=kid", "--cache=off"]
    assert main(["power", "blur", "--level=.6", "--n", "8", "64", "--draws=4", *args]) == 0
    told = capsys.readouterr().out.splitlines()
    assert any(line.split()[:1] == ["kid"] for line in told)
    assert max(map(len, told)) <= 80
    assert main(["false-alarms", "--n=40", "--seeds=2", f"--pool={3 * N}", *args]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2].startswith("all: a change was called in ")
    assert max(map(len, told)) <= 80
    assert main(["power", "blurr", "--level=1", *args]) == 2
    assert "did you mean 'blur'" in capsys.readouterr().err
