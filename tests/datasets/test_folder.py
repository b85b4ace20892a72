"""The dataset folder:DIR on real NIfTI, PNG and NumPy files."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from nriqm_bench.datasets import readers
from nriqm_bench.datasets.folder import folder, read_folder, scan

PARTS = ("train", "reference", "held-out")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def write_png(path, pixels=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_mask(path, shape=(8, 8), label=1):
    pixels = np.zeros(shape, np.uint8)
    pixels[2:4, 5:7] = label
    return write_png(path, pixels)


def write_nifti(path, data, affine=None):
    nibabel.save(nibabel.Nifti1Image(data, np.eye(4) if affine is None else affine), path)
    return path


def scaled(array):
    low, high = np.percentile(array.astype(np.float32), (1, 99))
    return np.clip((array - low) / (high - low), 0, 1)


def volume():
    """A head in RAS order (9, 8, 12) that differs along every axis."""
    data = np.zeros((9, 8, 12), np.float32)
    data[2:8, 1:6, 2:11] = 100 + 50 * noise(6, 5, 9)
    data[7, 3, :] = 400
    return data


def stacked(data):
    """RAS (x, y, z) as slices with the front at the top and the left at the left."""
    return data.transpose(2, 1, 0)[:, ::-1]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "SAL"])
def test_every_orientation_of_a_volume_gives_the_same_slices(tmp_path, ending, codes):
    image = nibabel.Nifti1Image(volume(), np.diag([1.0, 2.0, 3.0, 1.0]))
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(image.affine), nibabel.orientations.axcodes2ornt(codes)
    )
    path = tmp_path / f"head{ending}"
    nibabel.save(image.as_reoriented(turn), path)
    stack = readers.read(path)
    assert stack.volume
    assert np.array_equal(stack.values, stacked(volume()))
    assert stack.spacing == (2.0, 1.0)


def test_oblique_affines_are_read_along_the_closest_axes(tmp_path):
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
    turn[:3, 3] = (-90, 12.5, 7)
    path = write_nifti(tmp_path / "head.nii", volume(), turn)
    assert np.array_equal(readers.read(path).values, stacked(volume()))


def test_slope_and_intercept_count(tmp_path):
    stored = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    # With a slope of its own, nibabel writes the numbers as they are.
    image.header.set_slope_inter(0.5, 10)
    path = tmp_path / "head.nii.gz"
    nibabel.save(image, path)
    assert nibabel.load(path).get_data_dtype() == np.int16
    assert readers.read(path).values == pytest.approx(stacked(stored * 0.5 + 10))


def test_of_four_dimensions_the_first_volume_is_read(tmp_path):
    data = np.stack([volume(), volume() + 7], axis=-1)
    assert np.array_equal(
        readers.read(write_nifti(tmp_path / "a.nii", data)).values, stacked(volume())
    )
    flat = readers.read(write_nifti(tmp_path / "b.nii", volume()[:, :, 5]))
    assert np.array_equal(flat.values, stacked(volume())[5:6])


def test_slices_are_evenly_spaced_among_those_with_enough_foreground():
    volume = np.zeros((20, 10, 10), np.float32)
    volume[2:18, :4] = 1
    volume[4:16, :8] = 1
    assert readers.axial(volume).tolist() == [4, 8, 12, 16]
    volume[2:4] = volume[16:18] = 0
    volume[2:4, :3] = volume[16:18, :3] = 1
    assert readers.axial(volume).tolist() == [5, 8, 11, 14]
    volume[2:4, :4] = 1
    assert readers.axial(volume).tolist() == [3, 7, 10, 14]


def test_faint_voxels_are_no_foreground_and_thin_volumes_give_all():
    volume = np.full((3, 4, 4), 0.05, np.float32)
    volume[1] = 0.5
    assert readers.axial(volume).tolist() == [1]
    assert readers.axial(np.ones((3, 4, 4), np.float32)).tolist() == [0, 1, 2]
    for depth in range(4, 30):
        assert len(set(readers.axial(np.ones((depth, 2, 2), np.float32)).tolist())) == 4


def test_volumes_are_rescaled_as_a_whole_and_then_sliced(tmp_path):
    write_nifti(tmp_path / "head.nii.gz", volume(), np.diag([1.0, 2.0, 3.0, 1.0]))
    mask = np.zeros((9, 8, 12), np.uint8)
    mask[3, 2, :] = 4
    write_nifti(tmp_path / "head_seg.nii.gz", mask, np.diag([1.0, 2.0, 3.0, 1.0]))
    found = read_folder(tmp_path)
    whole = scaled(stacked(volume()))
    chosen = readers.axial(whole.astype(np.float32))
    assert len(chosen) == 4
    assert found.images[:, 0] == pytest.approx(whole[chosen], abs=1e-6)
    assert np.array_equal(found.masks, stacked(mask)[chosen])
    assert found.spacing == (2.0, 1.0)
    assert set(found.subjects) == {"head"}


def test_last_volume_is_cut_to_the_number_asked_for(tmp_path):
    for i in range(2):
        (tmp_path / "train").mkdir(exist_ok=True)
        write_nifti(tmp_path / "train" / f"head{i}.nii.gz", volume())
    assert len(folder(tmp_path, 6)) == len(folder(tmp_path, 6).subjects) == 6
    _, counts = np.unique(folder(tmp_path, 6).subjects, return_counts=True)
    assert sorted(counts.tolist()) == [2, 4]


def test_size_brings_all_to_one(tmp_path):
    for i in range(3):
        write_nifti(tmp_path / f"head{i}.nii.gz", volume() + i, np.diag([1.0, 2.0, 3.0, 1.0]))
    found = folder(tmp_path, size=18)
    assert found.images.shape == (4, 1, 18, 18)
    # 8 x 9 pixels become 9 x 9, then 18 x 18.
    assert found.spacing == (1.0, 0.5)


def test_mni152_maps_as_volumes(tmp_path):
    maps = Path(find_spec("nilearn").origin).parent / "datasets" / "data"
    for i, name in enumerate(("t1", "gm", "wm")):
        (found,) = maps.glob(f"*_{name}_tal_*.nii.gz")
        image = nibabel.load(found)
        nibabel.save(image.slicer[::2, ::2, ::2], tmp_path / f"sub-{i}_{name}.nii.gz")
    sets = [folder(tmp_path, part=part, size=32) for part in PARTS]
    assert sorted(s.subjects[0] for s in sets) == ["sub-0", "sub-1", "sub-2"]
    for found in sets:
        assert found.images.shape == (4, 1, 32, 32)
        assert found.spacing[0] > 2
        # The head fills the middle, air the corners.
        assert found.images[:, 0, 8:24, 8:24].mean() > 5 * found.images[:, 0, :4, :4].mean()


def test_png_is_grey_whatever_its_mode(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (6, 7), np.uint8)
    deep = grey.astype(np.uint16) * 257
    colour = np.stack([grey, grey // 2, 255 - grey], -1)
    read = {
        name: readers.read(write_png(tmp_path / f"{name}.png", pixels)).values
        for name, pixels in {"grey": grey, "deep": deep, "colour": colour}.items()
    }
    assert np.array_equal(read["grey"], grey[None])
    assert np.array_equal(read["deep"], deep[None])
    assert read["colour"][0] == pytest.approx(colour @ [0.299, 0.587, 0.114], abs=1e-3)
    Image.fromarray(np.stack([grey, 0 * grey], -1)).save(tmp_path / "alpha.png")
    assert np.array_equal(readers.read(tmp_path / "alpha.png").values, grey[None])
    Image.fromarray(colour).quantize(4).save(tmp_path / "palette.png")
    shown = np.asarray(Image.open(tmp_path / "palette.png").convert("RGB"))
    assert readers.read(tmp_path / "palette.png").values[0] == pytest.approx(
        shown @ [0.299, 0.587, 0.114], abs=1e-3
    )
    picture = Image.open(tmp_path / "palette.png")
    assert np.array_equal(readers.read_labels(tmp_path / "palette.png")[0], np.asarray(picture))


def test_png_values_are_clipped_to_percentiles_per_file(tmp_path):
    dark = write_png(tmp_path / "a.png", np.arange(100, dtype=np.uint8).reshape(10, 10))
    bright = np.arange(100, 200, dtype=np.uint8).reshape(10, 10)
    write_png(tmp_path / "b.png", bright)
    found = read_folder(tmp_path)
    assert found.images[0] == pytest.approx(found.images[1], abs=1e-6)
    assert found.images[0, 0] == pytest.approx(scaled(np.asarray(Image.open(dark))), abs=1e-6)
    assert found.spacing is None


def test_numpy_files_hold_one_image_or_a_stack(tmp_path):
    one, stack = noise(8, 8) * 9 - 3, noise(3, 8, 8)
    np.save(tmp_path / "a.npy", one)
    np.save(tmp_path / "b.npy", stack)
    found = read_folder(tmp_path)
    assert found.images[:, 0] == pytest.approx(
        np.concatenate([scaled(one)[None], scaled(stack)]), abs=1e-5
    )
    assert found.subjects.tolist() == ["a", "b", "b", "b"]


def test_npz_files_keep_their_values_and_bring_their_masks(tmp_path):
    images = noise(3, 8, 8) / 2
    masks = (images > 0.25).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images, masks=masks, spacing=(1.0, 2.0))
    found = read_folder(tmp_path)
    assert np.array_equal(found.images[:, 0], images)
    assert np.array_equal(found.masks, masks)
    assert found.spacing == (1.0, 2.0)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("x.png", "x_mask.png"),
        ("x.png", "x_seg.png"),
        ("x.png", "x-seg.png"),
        ("x.png", "masks/x.png"),
        ("x.png", "masks/x_mask.png"),
        ("images/x.png", "masks/x.png"),
        ("train/images/x.png", "train/masks/x.png"),
        ("train/x.png", "train/masks/x.png"),
        ("train/site-1/x.png", "masks/train/site-1/x.png"),
        ("brats-01/brats-01-t1c.png", "brats-01/brats-01-seg.png"),
        ("brats_01/brats_01_flair.png", "brats_01/brats_01_seg.png"),
        ("B-GLI-03/B-GLI-03-000-t2f.png", "B-GLI-03/B-GLI-03-000-seg.png"),
    ],
)
def test_masks_are_found(tmp_path, image, mask):
    write_png(tmp_path / image)
    write_mask(tmp_path / mask, label=3)
    (entry,) = scan(tmp_path)
    assert entry.path == tmp_path / image
    assert entry.mask == tmp_path / mask
    assert read_folder(tmp_path).masks.sum() == 12


def test_mask_of_one_image_is_not_lent_to_another(tmp_path):
    for name in ("x", "x_left"):
        write_png(tmp_path / f"{name}.png")
    write_mask(tmp_path / "x_mask.png")
    with pytest.raises(ValueError, match=r"masks are told for 1 of 2 images.*x_left.png"):
        scan(tmp_path)
    write_mask(tmp_path / "x_left_mask.png")
    assert [e.mask.name for e in scan(tmp_path)] == ["x_mask.png", "x_left_mask.png"]


@pytest.mark.parametrize("name", ["x_1", "x_s3"])
def test_mask_of_a_series_is_not_the_mask_of_its_slices(tmp_path, name):
    write_png(tmp_path / f"{name}.png")
    write_mask(tmp_path / "x_mask.png")
    with pytest.raises(ValueError, match=r"the mask x_mask.png fits no image"):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("sub-07_T1w.nii.gz", "sub-07"),
        ("sub-07/ses-1/anat/sub-07_ses-1_T1w.nii.gz", "sub-07"),
        ("train/sub-A1.png", "sub-A1"),
        ("patient3/slice1.png", "patient3"),
        ("patient3/visit2/slice1.png", "patient3"),
        ("train/patient3/slice1.png", "patient3"),
        ("site-9/images/patient3/slice1.png", "patient3"),
        ("patient3.png", "patient3"),
        ("patient3_s12.png", "patient3"),
        ("patient3-slice-012.png", "patient3"),
        ("train/patient3_slice4.png", "patient3"),
        ("site-1/0001.png", "site-1/0001"),
        ("test/0001.png", "test/0001"),
        ("cross-sub.png", "cross-sub"),
        ("series12.png", "series12"),
    ],
)
def test_subject_is_told_by_the_path(tmp_path, path, subject):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).touch()
    (entry,) = scan(tmp_path)
    assert entry.subject == subject


def test_sites_are_folders(tmp_path):
    for i in range(6):
        write_png(tmp_path / f"site-{'ab'[i % 2]}" / f"p{i}.png", seed=i)
    assert read_folder(tmp_path).sites.tolist() == ["site-a"] * 3 + ["site-b"] * 3
    write_png(tmp_path / "p9.png")
    with pytest.raises(ValueError, match=r"sites are told for 6 of 7 images.*p9.png"):
        scan(tmp_path)


def test_without_part_folders_subjects_are_dealt_into_thirds(tmp_path):
    for subject in range(7):
        for s in range(3):
            write_png(tmp_path / f"p{subject}_s{s}.png", seed=subject)
    subjects = [set(folder(tmp_path, part=part).subjects.tolist()) for part in PARTS]
    assert sorted(len(s) for s in subjects) == [2, 2, 3]
    assert len(set.union(*subjects)) == 7
    others = [set(folder(tmp_path, seed=seed).subjects.tolist()) for seed in range(1, 5)]
    assert any(other != subjects[0] for other in others)


@pytest.mark.parametrize(
    "names", [("train", "reference", "held-out"), ("train", "val", "test"),
              ("Train", "validation", "heldout")]
)  # fmt: skip
def test_part_folders_decide(tmp_path, names):
    for i, name in enumerate(names):
        write_png(tmp_path / name / "0001.png", seed=i)
    for part, name in zip(PARTS, names, strict=True):
        assert folder(tmp_path, part=part).subjects.tolist() == [f"{name}/0001"]


def test_a_missing_part_a_stray_file_and_a_shared_subject_are_refused(tmp_path):
    write_png(tmp_path / "train" / "p1_s1.png")
    write_png(tmp_path / "test" / "p2_s1.png")
    with pytest.raises(ValueError, match=r"folders for held-out, train, but none for reference"):
        folder(tmp_path, part="reference")
    stray = write_png(tmp_path / "p5.png")
    with pytest.raises(ValueError, match=r"parts are told for 2 of 3 images.*p5.png"):
        folder(tmp_path)
    stray.unlink()
    write_png(tmp_path / "test" / "p1_s2.png")
    with pytest.raises(ValueError, match=r"subject 'p1' in both held-out and train"):
        folder(tmp_path)


def test_fewer_images_are_whole_subjects_and_only_their_files_are_read(tmp_path):
    for subject in range(4):
        for s in range(3):
            write_png(tmp_path / "train" / f"p{subject}_s{s}.png", seed=subject)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "q.png").write_bytes(b"never opened")
    seen = []

    def progress(items, desc, total):
        assert desc == f"{tmp_path.name}, train"
        assert total == 12
        for item in items:
            seen.append(item)
            yield item

    found = folder(tmp_path, 7, progress=progress)
    _, counts = np.unique(found.subjects, return_counts=True)
    assert sorted(counts.tolist()) == [1, 3, 3]
    assert len(seen) == 7
    assert len({folder(tmp_path, 1, seed=s).subjects[0] for s in range(8)}) > 1


def test_too_few_subjects_and_images_are_refused_with_numbers(tmp_path):
    for s in range(5):
        write_png(tmp_path / f"p1_s{s}.png")
    write_png(tmp_path / "p2.png")
    with pytest.raises(ValueError, match=r"holds 2 subjects \(p[12], p[12]\), needs at least 3"):
        folder(tmp_path)
    write_png(tmp_path / "p3.png")
    counts = {part: len(folder(tmp_path, part=part)) for part in PARTS}
    assert sorted(counts.values()) == [1, 1, 5]
    with pytest.raises(ValueError, match=rf"{counts['train']} train images, but 6 .*--nriqm-n"):
        folder(tmp_path, 6)


def test_hidden_and_other_files_are_passed_over(tmp_path):
    write_png(tmp_path / "a.png")
    (tmp_path / "._b.png").write_bytes(b"resource fork")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "c.png").write_bytes(b"hidden")
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "folder.png").mkdir()
    assert [e.path.name for e in scan(tmp_path)] == ["a.png"]


def test_empty_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no images"):
        folder(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        folder(tmp_path / "none")
    with pytest.raises(ValueError, match="part was 'dev'"):
        folder(tmp_path, part="dev")


def test_images_of_different_size_need_a_size(tmp_path):
    write_png(tmp_path / "a.png", (noise(8, 8) * 255).astype(np.uint8))
    write_png(tmp_path / "b.png", (noise(9, 8) * 255).astype(np.uint8))
    with pytest.raises(ValueError, match=r"b.png is 9 x 8 pixels but .*a.png is 8 x 8"):
        read_folder(tmp_path)
    assert read_folder(tmp_path, size=8).spatial == (8, 8)


def truncated(path):
    write_nifti(path, noise(20, 20, 20))
    path.write_bytes(path.read_bytes()[:2000])


def object_array(path):
    np.save(path, np.array([None, {}]), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("a.nii.gz", truncated, "cannot be used"),
        ("a.nii", truncated, "cannot be used"),
        ("a.nii.gz", lambda p: p.write_bytes(gzip.compress(b"no image")), "cannot be used"),
        ("a.png", lambda p: p.write_bytes(b"no image"), "cannot be used"),
        ("a.png", lambda p: write_png(p, np.full((8, 8), 7, np.uint8)), "both 7: a constant"),
        ("a.npy", lambda p: np.save(p, np.full((8, 8), np.nan)), "holds NaN or infinity"),
        ("a.npy", lambda p: np.save(p, np.zeros((2, 3, 4, 5))), r"shape \(2, 3, 4, 5\)"),
        ("a.npy", lambda p: np.save(p, np.array([["a"]])), "dtype <U1"),
        ("a.npy", object_array, "Python objects"),
        ("a.npz", lambda p: np.savez(p, a=1), "must hold 'images'"),
        ("a.npz", lambda p: np.savez(p, images=np.zeros((2, 3, 4, 4))), r"shape \(2, 3, 4, 4\)"),
    ],
)
def test_files_that_cannot_be_used_are_named_in_one_sentence(tmp_path, name, write, told):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=told) as raised:
        read_folder(tmp_path)
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "write", "told"),
    [
        ("a_mask.png", lambda p: write_mask(p, (8, 9)), r"its mask \(1, 8, 9\)"),
        ("a_mask.npy", lambda p: np.save(p, noise(8, 8)), "whole numbers from 0 to 255"),
        ("a_mask.npy", lambda p: np.save(p, np.full((8, 8), 300)), "from 0 to 255, 0 being"),
        ("a_mask.npz", lambda p: np.savez(p, images=noise(1, 8, 8)), "must be NIfTI, PNG or .npy"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(tmp_path, name, write, told):
    write_png(tmp_path / "a.png")
    write(tmp_path / name)
    with pytest.raises(ValueError, match=told):
        read_folder(tmp_path)


def test_archives_with_and_without_masks_do_not_mix(tmp_path):
    np.savez(tmp_path / "a.npz", images=noise(1, 8, 8), masks=np.zeros((1, 8, 8), np.uint8))
    np.savez(tmp_path / "b.npz", images=noise(1, 8, 8))
    with pytest.raises(ValueError, match=r"b.npz and .*a.npz one has masks"):
        read_folder(tmp_path)
