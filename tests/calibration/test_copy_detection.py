"""Copy detection: AUC on the phantom by disguise, and what is known of images of pure noise."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import Settings
from nriqm_bench.__main__ import main
from nriqm_bench.calibration.copies import Detection, copy_detection
from nriqm_bench.settings import SettingsError

CLEAR = (
    "copies-noise-01",
    "copies-noise-02",
    "copies-intensity",
    "copies-rotation-3",
    "copies-rotation-5",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of 8 x 8 independent pixels: every set is a draw of one distribution."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    rng = np.random.default_rng(0)
    images = np.clip(0.5 + 0.1 * rng.standard_normal((180, 1, 8, 8)), 0, 1).astype("f4")
    np.savez(path, images=images, part=["train", "reference", "held-out"] * 60)
    return path


def settings(**given):
    return Settings.load({"cache": "off", "extractor": ["pixels"]} | given, environ={})


def test_circular_harmonics_see_every_copy_that_pixels_see_and_the_flipped_ones():
    found = {
        (row.disguise, row.extractor): row
        for row in copy_detection(settings(n=100), share=0.1, seeds=2)
    }
    for disguise in CLEAR:
        assert found[disguise, "circular-harmonics"].auc >= 0.95, disguise
    assert found["copies-flip", "circular-harmonics"].auc >= 0.9
    assert found["copies-flip", "pixels"].auc < 0.9
    for (disguise, space), row in found.items():
        assert (row.disguise, row.extractor, len(row.aucs)) == (disguise, space, 2)
        assert max(row.alarms) < 0.15


def test_plain_copies_are_told_apart_and_noise_mixed_away_is_not(data):
    found = {
        row.disguise: row
        for row in copy_detection(settings(dataset=f"npz:{data}", n=60), share=0.2, seeds=2)
        if row.extractor == "pixels"
    }
    assert found["training-copies"].aucs == (1.0, 1.0)
    assert found["training-copies"].found == (1.0, 1.0)
    # Of independent pixels a flip leaves nothing that could be known again.
    assert 0.2 < found["copies-flip"].auc < 0.8


def test_interval_of_the_mean():
    row = Detection("pixels", "copies-flip", (0.5, 0.6, 0.7), (0.0,) * 3, (0.0,) * 3)
    assert row.auc == pytest.approx(0.6)
    # t of 2 degrees of freedom, 97.5 %, is 4.3027; the SD of the mean is .1 / sqrt(3).
    assert row.interval == pytest.approx((0.6 - 0.2484, 0.6 + 0.2484), abs=1e-4)
    sure = Detection("pixels", "copies-flip", (1.0, 1.0), (1.0,) * 2, (0.0,) * 2)
    assert sure.interval == (1.0, 1.0)
    assert Detection("pixels", "copies-flip", (0.7,), (1.0,), (0.0,)).interval == (0.0, 1.0)


@pytest.mark.parametrize(("share", "seeds"), [(0.001, 1), (1.0, 1), (0.5, 0)])
def test_nothing_or_everything_replaced_is_refused(data, share, seeds):
    with pytest.raises(ValueError, match="must replace at least one image"):
        copy_detection(settings(dataset=f"npz:{data}", n=60), share, seeds)


def test_one_generator_at_a_time():
    with pytest.raises(SettingsError, match="one generator at a time"):
        copy_detection(settings(generator=["a.pt", "b.pt"]))


def test_the_command_prints_two_tables_within_80_columns(data, capsys):
    call = ["copies", "--dataset", f"npz:{data}", "--n", "60", "--seeds", "2", "--cache", "off"]
    assert main([*call, "--share", ".2", "--extractor", "pixels"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1] == "n 60, of which 12 are copies of training images, 2 seeds"
    plain = [line.split() for line in lines if line.startswith("training-copies")]
    assert plain == [
        ["training-copies", *["1.000", "(1.000-1.000)"] * 2],
        ["training-copies", "100.0%", "100.0%"],
    ]
    assert sum(line.startswith("honest images") for line in lines) == 1
    assert main([*call, "--share", "2"]) == 2
    assert "must replace at least one image" in capsys.readouterr().err
