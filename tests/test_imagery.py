"""Images and features of a run: made once, damaged with common random numbers, told apart."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import Lab, Settings, cases, extractors, gates
from nriqm_bench.cases import HELD_OUT
from nriqm_bench.imagery import KEPT

N = 24


@pytest.fixture
def lab(tmp_path):
    def lab(*spaces, masks=True, **given):
        rng = np.random.default_rng(0)
        images = rng.random((3 * N, 1, 24, 24), np.float32)
        found = {"masks": np.zeros((3 * N, 24, 24), np.uint8)} if masks else {}
        if masks:
            found["masks"][:, 8:16, 8:16] = 1
        path = tmp_path / "data.npz"
        parts = ["train"] * N + ["reference"] * N + ["held-out"] * N
        np.savez(path, images=images, part=parts, **found)
        settings = {"dataset": f"npz:{path}", "n": N, "cache": "off", "metric": ["fid", "ct"]}
        return Lab.open(Settings.load(settings | {"extractor": spaces} | given, environ={}))

    return lab


def test_damage_is_made_once_and_few_sets_are_kept(lab):
    found = lab("pixels")
    noise = cases.GAUSSIAN_NOISE
    first = found.perturbed(HELD_OUT, noise, 0.1)
    assert found.perturbed(HELD_OUT, noise, 0.1) is first
    for i in range(KEPT):
        found.perturbed(HELD_OUT, noise, (i + 1) / 100)
    again = found.perturbed(HELD_OUT, noise, 0.1)
    assert again.fingerprint() == first.fingerprint()
    assert len(found._perturbed) == KEPT


def test_levels_share_their_random_numbers(lab):
    found = lab("pixels")
    clean = found.images(HELD_OUT).images
    low, high = (found.perturbed(HELD_OUT, cases.GAUSSIAN_NOISE, v).images for v in (0.01, 0.02))
    inside = np.abs(clean - 0.5) < 0.3
    assert (high - clean)[inside] == pytest.approx(2 * (low - clean)[inside], abs=1e-6)


def test_a_control_spends_the_energy_of_the_very_damage(lab):
    found = lab("pixels")
    clean = found.images(HELD_OUT).images
    local = found.perturbed(HELD_OUT, cases.get("boundary-blur"), 2.0).images
    control = found.perturbed(HELD_OUT, cases.get("boundary-blur-control"), 2.0).images
    energies = [np.square(x - clean).sum((1, 2, 3)) for x in (local, control)]
    assert energies[0].min() > 0
    assert energies[1] == pytest.approx(energies[0], rel=0.01)


def test_recipes_tell_damage_apart(lab):
    found = lab("pixels")
    case = cases.get("copies-flip")
    keys = [
        found.recipe(HELD_OUT),
        found.recipe("train"),
        found.recipe(HELD_OUT, case, 0.5),
        found.recipe(HELD_OUT, case, 1.0),
        found.recipe(HELD_OUT, cases.TRAINING_COPIES, 0.5),
    ]
    assert all(a != b for i, a in enumerate(keys) for b in keys[:i])
    assert found.recipe(HELD_OUT, case, 0.0) == found.recipe(HELD_OUT)


def test_an_extractor_gets_masks_when_it_needs_them(lab):
    found = lab("lesion")
    image = found.images(HELD_OUT)
    expected = extractors.get("lesion")()(image.images, masks=image.masks)
    assert found.features(HELD_OUT, "lesion") == pytest.approx(expected)


def test_images_with_equal_pixels_and_other_masks_are_other_images(lab):
    found = lab("lesion")
    clean = found.images(HELD_OUT)
    empty = clean.replace(masks=np.zeros_like(clean.masks))
    extractor = found.extractor("lesion")
    rows = [
        found.store.features(extractor, {"of": i}, lambda s=s: s)
        for i, s in enumerate((clean, empty))
    ]
    assert not np.array_equal(*rows)


def test_what_is_missing_is_told(lab):
    found = lab("pixels", "lesion", "lesion-found", masks=False)
    noise, blur = cases.GAUSSIAN_NOISE, cases.get("boundary-blur")
    assert found.missing(noise, HELD_OUT) == ""
    assert found.missing(noise, HELD_OUT, "pixels") == ""
    assert found.missing(blur, HELD_OUT) == "masks"
    assert found.missing(noise, HELD_OUT, "lesion") == "masks"
    assert found.missing(noise, HELD_OUT, "lesion-found") == "masks of training images"
    assert found.missing(cases.get("stenosis"), HELD_OUT) == "vessels"
    assert found.missing(cases.get("mode-drop"), HELD_OUT) == "sites"
    assert found.unreadable(HELD_OUT, "pixels") == ""


def test_nothing_is_missing_where_there_are_masks(lab):
    found = lab("pixels", "lesion", "lesion-found")
    assert found.missing(cases.get("boundary-blur"), HELD_OUT, "lesion") == ""
    assert found.missing(cases.GAUSSIAN_NOISE, HELD_OUT, "lesion-found") == ""


def test_feature_spaces_join_where_they_have_a_say(lab):
    found = lab("imagenet-classes", "remedies")
    remedies = {"lesion", "lesion-found", "efficientnet-lite0-maps"}
    copying = {"circular-harmonics", "pixels"}
    assert set(found.extractors) == {"imagenet-classes"} | copying | remedies
    assert found.main == "imagenet-classes"
    assert set(found.spaces(cases.GAUSSIAN_NOISE)) == {"imagenet-classes"} | remedies
    assert set(found.spaces(cases.get("boundary-blur"))) == {"imagenet-classes"} | remedies
    assert set(found.spaces(cases.BLUR)) == {"imagenet-classes"}
    assert set(found.spaces(cases.TRAINING_COPIES)) == {"imagenet-classes"} | copying


def test_a_space_that_was_asked_for_is_always_judged(lab):
    found = lab("pixels", "lesion")
    assert found.spaces(cases.BLUR) == ("pixels", "lesion")
    assert found.metrics_in("lesion") == ("fid", "ct")


def test_metrics_that_need_more_images_are_left_out_and_it_is_said(lab):
    found = lab("pixels", n=20, metric=["fid", "fid-infinity"])
    assert found.metrics == ("fid",)
    assert found.notes == [
        "fid-infinity was left out: it needs 20 images in every split, and n is 20"
    ]
    assert lab("pixels", metric=["fid", "fid-infinity"]).notes == []


def test_a_generator_is_known_by_its_content_and_not_by_its_name(lab, tmp_path):
    images = np.random.default_rng(3).random((N, 1, 24, 24), np.float32)
    paths = [tmp_path / "one.npz", tmp_path / "other.npz"]
    for path in paths:
        np.savez(path, images=images)
    found = lab("pixels", generator=list(map(str, paths)), metric=["fid", "sliced-wasserstein"])
    one, other = found.sources[1:]
    noise = cases.GAUSSIAN_NOISE
    assert found.recipe(one, noise, 0.1) == found.recipe(other, noise, 0.1)
    damaged = [found.perturbed(source, noise, 0.1).fingerprint() for source in (one, other)]
    assert damaged[0] == damaged[1]
    assert found.scores(noise, one, "pixels", 0.1) == found.scores(noise, other, "pixels", 0.1)


def test_gates_decide_in_a_space_that_noise_moves(lab, tmp_path):
    """Where nothing is asked of FID under noise, its equivalent of noise means nothing."""
    path = tmp_path / "samples.npz"
    masks = np.zeros((N, 24, 24), np.uint8)
    masks[:, 8:16, 8:16] = 1
    images = np.random.default_rng(3).random((N, 1, 24, 24), np.float32)
    np.savez(path, images=images, masks=masks)
    found = lab("lesion", generator=[str(path)])
    gate = gates.judge(found, "samples", "fidelity")
    assert gate.verdict == "untrusted"
    assert "nothing is asked of fid in lesion" in gate.reason


def test_a_gate_without_masks_to_look_at_says_so(lab, tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(path, images=np.random.default_rng(3).random((N, 1, 24, 24), np.float32))
    found = lab("lesion", generator=[str(path)])
    told = gates.unreadable(found, "samples", "fidelity")
    assert told == "samples images have no masks, which lesion needs"
    assert gates.unreadable(found, "samples", "memorisation-pixels") == ""
