"""The dataset msd:DIR on files laid out as Task01 of the Medical Segmentation Decathlon."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from nriqm_bench import datasets
from nriqm_bench.datasets import readers
from nriqm_bench.datasets.msd import msd, scan

MODALITY = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}


@pytest.fixture
def task(tmp_path, heads):
    """Write a task of a few cases; volume i of each is another picture of the head."""

    def write(count=3, *, modality=None, volumes=4, place="Task01_BrainTumour", **options):
        root = tmp_path / place
        listed = []
        for i in range(count):
            data, labels = heads.head(i)
            stack = np.stack([(data // (v + 1)) ** (1 + v % 2) for v in range(volumes)], axis=-1)
            name = f"BRATS_{i:03}.nii.gz"
            heads.save(root / "imagesTr" / name, stack if volumes > 1 else stack[..., 0], **options)
            heads.save(root / "labelsTr" / name, labels)
            listed.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        for place in ("imagesTr", "imagesTs"):
            (root / place).mkdir(exist_ok=True)
            (root / place / "._BRATS_000.nii.gz").write_bytes(b"resource fork")
        (root / "imagesTs" / "BRATS_900.nii.gz").write_bytes(b"has no labels and is never read")
        table = {
            "name": "BRATS",
            "modality": modality or MODALITY,
            "labels": {"0": "background", "1": "edema", "2": "non-enhancing", "3": "enhancing"},
            "training": listed,
            "test": ["./imagesTs/BRATS_900.nii.gz"],
        }
        (root / "dataset.json").write_text(json.dumps(table))
        return root

    return write


@pytest.mark.parametrize(
    ("asked", "volume"),
    [(None, 0), ("flair", 0), ("t1", 1), ("T1w", 1), ("t1ce", 2), ("t1gd", 2), ("t2", 3)],
)
def test_contrast_is_the_volume_that_the_table_names(task, heads, split_apart, asked, volume):
    root = task()
    for found in split_apart(msd, root, contrast=asked).values():
        (subject,) = set(found.subjects)
        data, labels = heads.head(int(subject[-1]))
        whole = heads.unit(heads.seen((data // (volume + 1)) ** (1 + volume % 2)))
        chosen = readers.axial(whole.astype(np.float32), lesion=heads.seen(labels))
        assert found.images[:, 0] == pytest.approx(whole[chosen], abs=1e-6)
        assert np.array_equal(found.masks, heads.seen(labels)[chosen])
        assert found.sites is None


def test_the_order_of_the_table_counts_and_not_its_names(task, heads):
    plain = task(place="a")
    turned = task(place="b", modality={"0": "T2w", "3": "FLAIR", "2": "T1w", "1": "t1gd"})
    for one, other in (("flair", "t2"), ("t1ce", "t1"), ("t2", "flair")):
        assert msd(plain, contrast=one).fingerprint() == msd(turned, contrast=other).fingerprint()


def test_the_folder_above_will_do(task, tmp_path):
    root = task()
    assert msd(tmp_path).fingerprint() == msd(root).fingerprint()
    with pytest.raises(ValueError, match=r"imagesTr holds no dataset.json, nor does a folder"):
        datasets.open(f"msd:{root / 'imagesTr'}")


def test_other_tasks_have_other_contrasts(task):
    root = task(modality={"0": "MRI"}, volumes=1, place="Task04_Hippocampus")
    assert scan(root).contrast() == "mri"
    assert len(msd(root)) == 4
    with pytest.raises(ValueError, match="the contrast was 'flair', must be one of mri for Task04"):
        datasets.open(f"msd:{root}?contrast=flair")


def test_orientation_and_unpacking_do_not_matter(task):
    plain, turned = task(place="a"), task(place="b", codes="PIR")
    assert msd(plain).fingerprint() == msd(turned).fingerprint()
    for file in [*plain.glob("*Tr/B*.nii.gz")]:
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    assert not scan(plain).notes
    assert msd(plain).fingerprint() == msd(turned).fingerprint()


def test_missing_images_are_told_and_cases_without_labels_left_out(task):
    root = task(5)
    (root / "imagesTr" / "BRATS_001.nii.gz").unlink()
    (root / "labelsTr" / "BRATS_003.nii.gz").unlink()
    inventory = scan(root)
    assert inventory.notes == ("imagesTr/BRATS_001.nii.gz is in dataset.json but missing",)
    assert inventory.left_out("flair") == ["BRATS_003: no mask"]
    assert [e.subject for e in inventory.entries("flair")] == [
        "BRATS_000",
        "BRATS_002",
        "BRATS_004",
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"modality": {"0": "FLAIR", "2": "T1w"}}, '"modality" that names volumes'),
        ({"modality": {"0": "FLAIR", "1": "FLAIR"}}, "must be names that differ"),
        ({"modality": None}, '"modality"'),
        ({"training": ["imagesTr/BRATS_000.nii.gz"]}, '"training" as pairs'),
        ({"training": [{"image": "../x.nii.gz", "label": "y.nii.gz"}]}, "outside the folder"),
        ({"training": []}, "holds no case"),
    ],
)
def test_broken_tables_are_refused_in_one_sentence(task, change, told):
    root = task()
    table = json.loads((root / "dataset.json").read_text()) | change
    (root / "dataset.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=told) as raised:
        msd(root)
    assert str(raised.value).count("cannot be used") <= 1
    (root / "dataset.json").write_text("{")
    with pytest.raises(ValueError, match=r"dataset.json cannot be used: "):
        msd(root)


def test_a_table_that_promises_more_volumes_than_a_file_has_is_refused(task):
    root = task(volumes=2)
    assert len(msd(root, contrast="t1")) == 4
    with pytest.raises(ValueError, match="it holds 2 volumes, but volume 4 is wanted"):
        msd(root, contrast="t2")


def test_identity_knows_the_contrast(task):
    root = task()
    keys = {datasets.open(f"msd:{root}{option}").key() for option in ("", "?contrast=t1")}
    assert len(keys) == 2
