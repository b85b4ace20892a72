"""What a report shows of the images: kept by content, made of the images of the run, small."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from nriqm_bench import Lab, Settings, cases, perturbations, pictures
from nriqm_bench.cases import HELD_OUT
from nriqm_bench.pictures import SAMPLES, SIDE
from nriqm_bench.reporting import Gate

N, SIZE = 24, 40


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE, :SIZE]
    smooth = [0.4 + 0.3 * np.sin(x / rng.uniform(3, 9) + y / rng.uniform(3, 9)) for _ in range(96)]
    images = np.float32(smooth)[:, None]
    masks = np.zeros((72, SIZE, SIZE), np.uint8)
    masks[:, 4:12, 26:34] = 1
    parts = ["train"] * N + ["reference"] * N + ["held-out"] * N
    np.savez(folder / "data.npz", images=images[:72], masks=masks, part=parts)
    np.savez(folder / "model.npz", images=images[72:])
    return Lab.open(
        Settings(
            generator=(str(folder / "model.npz"),),
            dataset=f"npz:{folder / 'data.npz'}",
            extractor=("pixels",),
            metric=("fid", "train-share"),
            n=N,
            cache=str(folder / "cache"),
        )
    )


def read(file):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(file))).convert("L")) / 255


def gate(verdict="fail", **pair):
    found = {"fake": 3, "train": 5, "real": 7, "train_distance": 0.1, "real_distance": 2.0}
    found |= {"ratio": 0.05, "train_subject": "sub-5"} | pair
    return Gate("memorisation", "train-share", "pixels", 1, None, 0.6, 0.5, 0.05, True, verdict,
                "", "model", "above", [found, found | {"fake": 4}])  # fmt: skip


def close(file, image):
    return np.abs(read(file) - image).mean() < 0.02


def test_a_sheet_shows_images_evenly_through_the_set(lab):
    found = pictures.samples(lab, "model")
    assert len(found.images) == SAMPLES
    assert (found.labels[0], found.labels[-1]) == ("0", str(N - 1))
    for label, file in zip(found.labels, found.images, strict=True):
        assert close(file, lab.images("model").images[int(label), 0])


def test_a_pair_is_sample_training_image_and_another_real_one(lab):
    (found,) = pictures.copies(lab, gate())
    assert found.labels == [
        "sample 3",
        "training image 5 (sub-5): distance .1",
        "nearest other real image 7: distance 2",
    ]
    shown = (("model", 3), ("train", 5), ("reference", 7))
    for file, (source, i) in zip(found.images, shown, strict=True):
        assert close(file, lab.images(source).images[i, 0])


def test_of_gates_that_did_not_fail_no_pair_is_shown(lab):
    assert pictures.copies(lab, gate("pass")) == pictures.copies(lab, gate("untrusted")) == []


def test_a_strip_goes_from_no_damage_to_the_strongest(lab):
    found = pictures.strip(lab, cases.GAUSSIAN_NOISE)
    assert found.labels[0] == "0 sigma"
    assert found.labels[-1] == f"{lab.levels(cases.GAUSSIAN_NOISE)[-1]:g} sigma"
    shown = [read(file) for file in found.images]
    off = [np.abs(image - shown[0]).mean() for image in shown]
    assert off == sorted(off)
    # Noise of sigma .2, clipped, moves a grey by .8 sigma at most.
    assert 0.1 < off[-1] < 0.16


def test_a_strip_of_local_damage_is_cut_to_the_lesion(lab):
    found = pictures.strip(lab, cases.get("lesion-removal"))
    shown = [read(file) for file in found.images]
    assert shown[0].shape == (24, 24)
    window = lab.images(HELD_OUT).images[:, 0, :24, 16:]
    assert min(np.abs(window - shown[0]).mean(axis=(1, 2))) < 0.02
    assert np.abs(shown[-1] - shown[0]).mean() > 0.003


def test_damage_to_sets_and_what_images_lack_has_no_strip(lab):
    assert perturbations.get("truncation").kind == "population"
    assert pictures.strip(lab, cases.get("truncation")) is None
    assert pictures.strip(lab, cases.get("stenosis")) is None


def test_pictures_are_kept_by_content(lab):
    before = pictures.samples(lab, "model")
    again = Lab.open(lab.settings)
    assert pictures.samples(again, "model") == before
    # Nothing was loaded for it.
    assert not again.loaded("model")
    pictures.of_images_at_hand(again)
    assert not again.loaded("model")


def test_a_run_shows_sheets_then_copies_then_damage(lab):
    found = pictures.of_run(lab, [], [gate("pass"), gate()])
    assert [(p.kind, p.source, p.case) for p in found] == [
        ("samples", "held-out", ""),
        ("samples", "model", ""),
        ("copies", "model", "memorisation"),
        ("strip", "held-out", "blur"),
        ("strip", "held-out", "gaussian-noise"),
    ]


@pytest.mark.parametrize("shape", [(300, 200), (96, 400), (128, 128), (20, 30)])
def test_large_images_are_scaled_with_their_proportions(shape):
    found = pictures._small(np.full((2, *shape), 0.5, np.float32))
    assert max(found.shape) == min(SIDE, max(shape))
    assert abs(found.shape[0] / found.shape[1] - shape[0] / shape[1]) < 0.02 * shape[0] / shape[1]
    assert np.allclose(found, 0.5)


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"report": ("a.json",)}, True),
        ({"report": ("a.md", "b.html")}, True),
        ({"report": ("a.csv",)}, False),
        ({}, False),
        ({"report": ("a.html",), "no_pictures": True}, False),
    ],
)
def test_pictures_are_made_where_a_report_shows_them(given, asked):
    assert Settings(**given).pictured == asked
