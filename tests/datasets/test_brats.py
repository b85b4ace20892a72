"""The dataset brats:DIR on files in the layouts of every release since 2018."""

from __future__ import annotations

import shutil

import nibabel
import numpy as np
import pytest

from nriqm_bench import datasets
from nriqm_bench.datasets import readers
from nriqm_bench.datasets.brats import brats, scan

EARLY = ("flair", "t1", "t1ce", "t2")
LATE = ("t2f", "t1n", "t1c", "t2w")


@pytest.fixture
def write(heads):
    """Write one case; each contrast is another head, so that they cannot be taken for another."""

    def write(folder, case, seed=0, *, late=False, ending=".nii.gz", without=(), **options):
        data, labels = heads.head(seed)
        for i, contrast in enumerate(LATE if late else EARLY):
            if contrast not in without:
                path = folder / case / f"{case}{'-' if late else '_'}{contrast}{ending}"
                heads.save(path, (data // (i + 1)) ** (1 + i % 2), **options)
        if "seg" not in without:
            path = folder / case / f"{case}{'-' if late else '_'}seg{ending}"
            heads.save(path, labels, **{k: v for k, v in options.items() if k in ("mm", "codes")})
        return data, labels

    return write


def only(folder, **options):
    """Everything in a folder of few cases: those of all parts."""
    found = []
    for part in ("train", "reference", "held-out"):
        images = brats(folder, part=part, **options)
        found += [images[images.subjects == s] for s in dict.fromkeys(images.subjects.tolist())]
    return {str(one.subjects[0]): one for one in found}


@pytest.mark.parametrize(
    ("late", "ending", "names", "place"),
    [
        (False, ".nii.gz", ["Brats18_TCIA08_469_1", "Brats18_CBICA_AQP_1", "Brats18_2013_1_1"], ""),
        (False, ".nii", ["BraTS20_Training_001", "BraTS20_Training_2", "BraTS20_Training_3"], ""),
        (False, ".nii.gz", ["BraTS2021_00000", "BraTS2021_00002", "BraTS2021_00003"], "a/b"),
        (True, ".nii.gz", ["BraTS-GLI-00003-000", "BraTS-MEN-00004-000", "BraTS-SSA-5-0"], ""),
    ],
)  # fmt: skip
def test_layouts_of_all_releases(tmp_path, write, heads, late, ending, names, place):
    wanted = {name: write(tmp_path / place, name, i, late=late, ending=ending)
              for i, name in enumerate(names)}  # fmt: skip
    inventory = scan(tmp_path)
    assert [case.name for case in inventory.cases] == sorted(names)
    assert all(inventory.count(contrast) == 3 for contrast in EARLY)
    assert not inventory.notes
    found = only(tmp_path)
    for case in inventory.cases:
        data, labels = wanted[case.name]
        whole = heads.unit(heads.seen(data))
        of_case = found[case.subject]
        chosen = readers.axial(whole.astype(np.float32), lesion=heads.seen(labels))
        assert of_case.images[:, 0] == pytest.approx(whole[chosen], abs=1e-6)
        assert np.array_equal(of_case.masks, heads.seen(labels)[chosen])
        assert set(np.unique(of_case.masks)) == {0, 1, 2, 4}
        assert of_case.spacing == (1.0, 1.0)


def test_grades_of_2018_to_2020_are_folders_that_do_not_matter(tmp_path, write):
    for i, place in enumerate(["HGG/CBICA_A_1", "HGG/2013_3_1", "LGG/TCIA09_2_1"]):
        grade, name = place.split("/")
        write(tmp_path / grade, f"BraTS19_{name}", i)
    cases = scan(tmp_path).cases
    assert [c.subject for c in cases] == ["BraTS19_2013_3", "BraTS19_CBICA_A", "BraTS19_TCIA09_2"]
    assert [c.site for c in cases] == ["2013", "CBICA", "TCIA"]
    sites = {str(site) for one in only(tmp_path).values() for site in one.sites}
    assert sites == {"2013", "CBICA", "TCIA"}


def test_sites_are_told_for_all_cases_or_for_none(tmp_path, write):
    for i, name in enumerate(["BraTS19_CBICA_A_1", "BraTS19_TCIA01_2_1", "BraTS20_Training_9"]):
        write(tmp_path, name, i)
    assert [c.site for c in scan(tmp_path).cases] == ["CBICA", "TCIA", None]
    assert all(one.sites is None for one in only(tmp_path).values())


@pytest.mark.parametrize(
    ("asked", "name"),
    [(None, "flair"), ("flair", "flair"), ("T1", "t1"), ("t1c", "t1ce"), ("t2w", "t2")],
)
@pytest.mark.parametrize("late", [False, True])
def test_contrast_is_chosen_by_any_of_its_names(tmp_path, write, heads, late, asked, name):
    wanted = {f"BraTS2021_0{i}": write(tmp_path, f"BraTS2021_0{i}", i, late=late)
              for i in range(3)}  # fmt: skip
    i = EARLY.index(name)
    for subject, found in only(tmp_path, contrast=asked).items():
        data, labels = wanted[subject]
        whole = heads.unit(heads.seen((data // (i + 1)) ** (1 + i % 2)))
        chosen = readers.axial(whole.astype(np.float32), lesion=heads.seen(labels))
        assert found.images[:, 0] == pytest.approx(whole[chosen], abs=1e-6)


def test_unknown_contrast_ends_the_run_before_anything_is_read(tmp_path, write):
    write(tmp_path, "BraTS2021_00000")
    for contrast in ("dwi", "flair2"):
        with pytest.raises(ValueError, match=rf"was '{contrast}', must be one of flair, t1, "):
            datasets.open(f"brats:{tmp_path}?contrast={contrast}")
    for option in ("modality=t1", "contrast=", "contrast"):
        with pytest.raises(ValueError, match=r"the option '.*', must be contrast=\.\.\."):
            datasets.open(f"brats:{tmp_path}?{option}")


@pytest.mark.parametrize("codes", ["LPS", "LAS", "PIR", "SAL", "IRP"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_orientation_of_the_file_does_not_matter(tmp_path, write, codes, ending):
    for i in range(3):
        write(tmp_path / "ras", f"BraTS2021_{i}", i)
        write(tmp_path / "other", f"BraTS2021_{i}", i, codes=codes, ending=ending)
    for part in ("train", "held-out"):
        one, other = (brats(tmp_path / place, part=part) for place in ("ras", "other"))
        assert one.fingerprint() == other.fingerprint()


def test_integers_with_slope_and_intercept_give_the_same_images(tmp_path, write):
    for i in range(3):
        write(tmp_path / "plain", f"BraTS2021_{i}", i)
        write(tmp_path / "scaled", f"BraTS2021_{i}", i, slope=0.37, inter=-220.0)
    stored = next((tmp_path / "scaled").rglob("*_flair.nii.gz"))
    assert nibabel.load(stored).get_data_dtype() == np.int16
    assert nibabel.load(stored).get_fdata().min() == pytest.approx(-220)
    one, other = (brats(tmp_path / place) for place in ("plain", "scaled"))
    # Images do not depend on the unit; a tie at a percentile may move a voxel by rounding.
    assert np.abs(one.images - other.images).max() < 1e-5
    assert np.array_equal(one.masks, other.masks)


def test_pixels_become_square(tmp_path, write, heads):
    for i in range(3):
        write(tmp_path, f"BraTS2021_{i}", i, mm=(1.0, 2.5, 2.0))
    found = brats(tmp_path)
    assert found.spatial == (110, 40)
    assert found.spacing == (1.0, 1.0)
    data, labels = heads.head(int(found.subjects[0][-1]))
    whole = heads.unit(heads.seen(data))
    chosen = readers.axial(whole.astype(np.float32), lesion=heads.seen(labels))
    # Area is kept in mm, and so is the mean intensity.
    area = 2.5 * (heads.seen(labels)[chosen] > 0).sum()
    assert (found.masks > 0).sum() == pytest.approx(area, rel=0.03)
    assert found.images.mean() == pytest.approx(whole[chosen].mean(), rel=0.02)
    sized = brats(tmp_path, size=32)
    assert sized.spatial == (32, 32)
    assert sized.spacing == pytest.approx((110 / 32, 110 / 32))
    # 110 mm by 40 mm of head lie within a square of 110 mm: the sides are empty.
    assert sized.images[..., :8].max() == 0
    assert sized.images[..., 12:20].mean() > 0.3


def test_half_of_the_slices_show_the_lesion_where_there_is_one(tmp_path, write, heads):
    for i, tumour in enumerate([(5, 6), (3, 6), (0, 20), (0, 0), (8, 16)]):
        data, labels = heads.head(i, tumour=tumour)
        heads.save(tmp_path / f"c{i}" / f"c{i}_flair.nii.gz", data)
        heads.save(tmp_path / f"c{i}" / f"c{i}_seg.nii.gz", labels)
    shown = {s: int(f.masks.any(axis=(1, 2)).sum()) for s, f in only(tmp_path).items()}
    assert {s: len(f) for s, f in only(tmp_path).items()} == dict.fromkeys(shown, 4)
    assert shown == {"c0": 1, "c1": 2, "c2": 4, "c3": 0, "c4": shown["c4"]}
    assert shown["c4"] >= 2


def test_a_lesion_outside_the_candidates_is_shown_all_the_same():
    values = np.zeros((12, 8, 8), np.float32)
    values[2:10] = 1
    values[0, :2] = 1
    lesion = np.zeros((12, 8, 8), np.uint8)
    lesion[0, 0] = 3
    assert readers.axial(values).tolist() == [3, 5, 7, 9]
    assert readers.axial(values, lesion=lesion).tolist() == [0, 3, 6, 8]
    lesion[4:6, 0] = 1
    lesion[5, 0, 0] = 0
    assert readers.axial(values, lesion=lesion).tolist() == [3, 4, 5, 8]
    # A trace of the lesion, less than a tenth of its largest area, does not count.
    lesion[:] = 0
    lesion[3, 0, 0] = lesion[7, 0, 0] = 1
    lesion[4:6] = 1
    assert set(readers.axial(values, lesion=lesion)) >= {4, 5}


def test_visits_of_a_patient_are_never_in_two_parts(tmp_path, write, split_apart):
    for patient in range(3):
        for visit in range(2):
            write(tmp_path, f"BraTS-GLI-0000{patient}-00{visit}", patient, late=True)
    write(tmp_path / "rt", "BraTS-MEN-RT-0007-2")
    assert [c.subject for c in scan(tmp_path / "rt").cases] == ["BraTS-MEN-RT-0007"]
    shutil.rmtree(tmp_path / "rt")
    for seed in range(6):
        found = split_apart(brats, tmp_path, seed=seed)
        assert {len(images) for images in found.values()} == {8}
        assert {s for f in found.values() for s in f.subjects.tolist()} == {
            f"BraTS-GLI-0000{p}" for p in range(3)
        }


def test_folders_may_say_who_was_trained_on(tmp_path, write):
    for i, part in enumerate(["train", "train", "val", "test"]):
        write(tmp_path / part, f"BraTS2021_{i}", i)
    assert set(brats(tmp_path).subjects) == {"BraTS2021_0", "BraTS2021_1"}
    assert set(brats(tmp_path, part="reference").subjects) == {"BraTS2021_2"}
    write(tmp_path, "BraTS2021_9")
    with pytest.raises(ValueError, match="parts are told for 4 of 5 cases"):
        brats(tmp_path)


def test_cases_without_the_contrast_or_the_labels_are_left_out(tmp_path, write):
    write(tmp_path, "BraTS2021_0", without=["t1ce"])
    write(tmp_path, "BraTS2021_1", without=["seg"])
    for i in range(2, 5):
        write(tmp_path, f"BraTS2021_{i}", i)
    assert set(only(tmp_path)) == {"BraTS2021_0", "BraTS2021_2", "BraTS2021_3", "BraTS2021_4"}
    assert set(only(tmp_path, contrast="t1ce")) == {"BraTS2021_2", "BraTS2021_3", "BraTS2021_4"}
    source = datasets.open(f"brats:{tmp_path}?contrast=t1ce")
    assert "; 2 of 5 cases left out)" in source.describe()
    assert source.spec == f"brats:{tmp_path.name}?contrast=t1ce"
    for file in tmp_path.rglob("*_seg.nii.gz"):
        file.unlink()
    assert all(one.masks is None for one in only(tmp_path).values())
    for file in tmp_path.rglob("*_flair.nii.gz"):
        file.unlink()
    with pytest.raises(ValueError, match=r"holds no flair volume.* t1 \(5\), t1ce \(4\), t2 \(5\)"):
        brats(tmp_path)


def test_a_case_that_is_there_twice_counts_once(tmp_path, write):
    for i in range(3):
        write(tmp_path / "one", f"BraTS2021_{i}", i)
    write(tmp_path / "two", "BraTS2021_1", 1)
    (note,) = scan(tmp_path).notes
    assert note.startswith("two/BraTS2021_1/BraTS2021_1 doubles one/BraTS2021_1/BraTS2021_1")
    assert {len(one) for one in only(tmp_path).values()} == {4}
    (tmp_path / "one").rename(tmp_path / "train")
    (tmp_path / "two").rename(tmp_path / "test")
    with pytest.raises(ValueError, match=r"subject 'BraTS2021_1' in both held-out and train"):
        brats(tmp_path)


def test_the_mask_of_another_name_in_2020_is_found(tmp_path, write):
    for i in range(3):
        write(tmp_path, f"BraTS20_Training_{i}", i, ending=".nii")
    place = tmp_path / "BraTS20_Training_1"
    (place / "BraTS20_Training_1_seg.nii").rename(place / "W39_1998.09.19_Segm.nii")
    inventory = scan(tmp_path)
    assert not inventory.notes
    assert not inventory.left_out("flair")
    assert only(tmp_path)["BraTS20_Training_1"].masks.any()


def test_hidden_foreign_and_stray_files_are_passed_over_and_told(tmp_path, write, heads):
    for i in range(3):
        write(tmp_path, f"BraTS2021_{i}", i)
    (tmp_path / "BraTS2021_0" / "._BraTS2021_0_flair.nii.gz").write_bytes(b"resource fork")
    heads.save(tmp_path / "atlas.nii.gz", np.zeros((3, 3, 3), np.uint8))
    heads.save(tmp_path / "lost" / "lost_seg.nii.gz", np.zeros((3, 3, 3), np.uint8))
    assert len(scan(tmp_path).cases) == 3
    assert [note.partition(" ")[0] for note in scan(tmp_path).notes] == [
        "atlas.nii.gz",
        "lost/lost_seg.nii.gz",
    ]


def test_only_the_volumes_that_are_needed_are_read(tmp_path, write):
    for i in range(6):
        write(tmp_path, f"BraTS2021_{i}", i)
    seen = []

    def progress(items, desc, total):
        assert (desc, total) == (f"{tmp_path.name}, train", 2)
        for item in items:
            seen.append(item.subject)
            yield item

    found = brats(tmp_path, 3, progress=progress)
    assert len(found) == 3
    assert len(seen) == 1
    with pytest.raises(ValueError, match="holds 8 train images, but 9 were asked for"):
        brats(tmp_path, 9)
    for file in tmp_path.rglob("*.nii.gz"):
        if not file.name.startswith((f"{seen[0]}_flair", f"{seen[0]}_seg")):
            file.write_bytes(b"never opened")
    assert brats(tmp_path, 3).fingerprint() == found.fingerprint()


def damage(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)


@pytest.mark.parametrize("hurt", [damage, flip])
@pytest.mark.parametrize("which", ["flair", "seg"])
def test_damaged_files_are_named_in_one_sentence(tmp_path, write, hurt, which):
    for i in range(3):
        write(tmp_path, f"BraTS2021_{i}", i)
    for file in tmp_path.rglob(f"*_{which}.nii.gz"):
        hurt(file)
    with pytest.raises(ValueError, match=rf"_{which}.nii.gz cannot be used: ") as raised:
        brats(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path, write, heads):
    for i in range(3):
        _, labels = write(tmp_path, f"BraTS2021_{i}", i, codes="LPS")
        path = tmp_path / f"BraTS2021_{i}" / f"BraTS2021_{i}_seg.nii.gz"
        stored = np.asarray(nibabel.load(path).dataobj)
        # The same array without its affine: it would be mirrored.
        nibabel.save(nibabel.Nifti1Image(stored, np.eye(4)), path)
    with pytest.raises(ValueError, match="its axes run LPS but those of its mask RAS, and they"):
        brats(tmp_path)
    for file in tmp_path.rglob("*_seg.nii.gz"):
        heads.save(file, labels[:, :, 1:])
    with pytest.raises(ValueError, match=r"shape \(20, 44, 40\) .* its mask \(19, 44, 40\)"):
        brats(tmp_path)


def test_identity_is_the_content_of_the_files_that_count(tmp_path, write):
    for place in ("a", "b"):
        for i in range(3):
            write(tmp_path / place, f"BraTS2021_{i}", i)
    one, other = (datasets.open(f"brats:{tmp_path / place}") for place in ("a", "b"))
    assert one.key() == other.key()
    t1 = datasets.open(f"brats:{tmp_path / 'a'}?contrast=t1")
    assert t1.key() != one.key()
    assert datasets.open(f"brats:{tmp_path / 'a'}?contrast=t2f").key() == one.key()
    write(tmp_path / "b", "BraTS2021_2", 7, without=["flair", "seg"])
    assert datasets.open(f"brats:{tmp_path / 'b'}").key() == one.key()
    write(tmp_path / "b", "BraTS2021_2", 7)
    assert datasets.open(f"brats:{tmp_path / 'b'}").key() != one.key()
