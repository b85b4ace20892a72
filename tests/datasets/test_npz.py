"""The dataset npz:FILE: layout, parts, whole subjects, sizes, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench.datasets.npz import native_size, npz

PARTS = ("train", "reference", "held-out")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((18, 8, 8), np.float32)


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return save


def positions(found, images):
    """Where each found image is in the file."""
    return [int(np.flatnonzero((images == image).all((1, 2)))[0]) for image in found.images[:, 0]]


def test_images_keep_their_values(save, images):
    path = save(images=images, part=["train"] * 18)
    assert np.array_equal(npz(path).images, images[:, None])


def test_eight_bit_images_are_divided_by_255(save):
    grey = np.arange(4 * 16, dtype=np.uint8).reshape(4, 4, 4)
    found = npz(save(images=grey, part=["train"] * 4))
    assert found.images == pytest.approx(grey[:, None] / 255)


def test_every_field_is_read(save, images):
    masks = np.zeros((18, 8, 8), np.uint8)
    masks[:, 2:4, 3] = 2
    sites = [f"site-{i % 3}" for i in range(18)]
    subjects = [f"s{i // 2}" for i in range(18)]
    path = save(
        images=images,
        masks=masks,
        subjects=subjects,
        sites=sites,
        spacing=(1.5, 2.0),
        part=["train"] * 18,
    )
    found = npz(path)
    assert np.array_equal(found.masks, masks)
    assert found.subjects.tolist() == subjects
    assert found.sites.tolist() == sites
    assert found.spacing == (1.5, 2.0)


@pytest.mark.parametrize(
    "words", [("train", "reference", "held-out"), ("train", "val", "test"),
              ("Train", "validation", "heldout")]
)  # fmt: skip
def test_part_words_choose_the_images(save, images, words):
    path = save(images=images, part=np.repeat(words, 6))
    for i, part in enumerate(PARTS):
        assert np.array_equal(npz(path, part=part).images[:, 0], images[6 * i : 6 * i + 6])


def test_without_part_the_parts_are_thirds_of_subjects_that_share_none(save, images):
    path = save(images=images, subjects=[f"s{i // 2}" for i in range(18)])
    subjects = [set(npz(path, part=part).subjects.tolist()) for part in PARTS]
    assert [len(s) for s in subjects] == [3, 3, 3]
    assert len(set.union(*subjects)) == 9


def test_without_subjects_every_image_is_its_own(save, images):
    path = save(images=images)
    found = [positions(npz(path, part=part), images) for part in PARTS]
    assert sorted(found[0] + found[1] + found[2]) == list(range(18))
    assert [len(f) for f in found] == [6, 6, 6]


def test_the_seed_decides_the_parts_and_the_same_seed_repeats(save, images):
    path = save(images=images)
    drawn = {tuple(positions(npz(path, seed=seed), images)) for seed in range(6)}
    assert len(drawn) > 1
    assert npz(path, seed=3).fingerprint() == npz(path, seed=3).fingerprint()


def test_fewer_images_are_whole_subjects_and_one_cut(save, images):
    subjects = [f"s{i // 3}" for i in range(18)]
    path = save(images=images, subjects=subjects, part=["train"] * 18)
    _, counts = np.unique(npz(path, 7).subjects, return_counts=True)
    assert sorted(counts.tolist()) == [1, 3, 3]
    first = npz(path, 6, seed=0).subjects.tolist()
    assert first == sorted(first)
    assert {tuple(npz(path, 3, seed=s).subjects) for s in range(8)} > {tuple(first[:3])}


def test_fewer_images_are_among_more(save, images):
    path = save(images=images, subjects=[f"s{i // 3}" for i in range(18)], part=["train"] * 18)
    assert set(positions(npz(path, 5), images)) < set(positions(npz(path, 11), images))


def test_images_of_the_size_asked_for_are_left_alone(save, images):
    path = save(images=images, part=["train"] * 18)
    assert np.array_equal(npz(path, size=8).images[:, 0], images)


def test_images_of_another_size_are_resized_with_masks_and_spacing(save):
    images = np.full((3, 8, 4), 0.5)
    masks = np.ones((3, 8, 4), np.uint8)
    path = save(images=images, masks=masks, spacing=(1.0, 1.0), part=["train"] * 3)
    found = npz(path, size=4)
    assert found.spatial == (4, 4)
    assert found.spacing == (2.0, 2.0)
    # 8 x 4 becomes 8 x 8 by two columns of zeros on either side.
    assert found.masks.tolist() == [[[0, 1, 1, 0]] * 4] * 3
    assert found.images[:, 0, :, 1:3].min() > 0.3
    plain = npz(save(images=images, part=["train"] * 3), size=4)
    assert plain.masks is None
    assert plain.spacing is None


def test_volumes_keep_their_size(save):
    path = save(images=np.full((3, 1, 4, 5, 6), 0.5), part=["train"] * 3)
    assert npz(path, size=16).spatial == (4, 5, 6)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3, 8, 8), 8), ((3, 1, 8, 8), 8), ((3, 8, 4), None), ((3, 1, 8, 8, 8), None)],
)
def test_native_size_is_of_square_images_only(save, shape, size):
    assert native_size(save(images=np.zeros(shape))) == size


def test_native_size_reads_every_header_version_and_shrugs_at_other_files(tmp_path):
    import zipfile

    path = tmp_path / "new.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as stream:
        np.lib.format.write_array(stream, np.zeros((3, 8, 8)), version=(2, 0))
    assert native_size(path) == 8
    path.write_bytes(b"nothing")
    assert native_size(path) is None


def test_a_subject_in_two_parts_is_refused(save, images):
    path = save(images=images, subjects=["s"] * 18, part=["train"] * 9 + ["test"] * 9)
    with pytest.raises(ValueError, match=r"'s' in both train and held-out"):
        npz(path)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"pictures": np.zeros(3)}, "data.npz .* arrays pictures, must hold 'images'"),
        ({"images": np.array([None] * 3)}, "data.npz .* Python objects"),
        ({"images": np.zeros((3, 4, 4), np.int16)}, "data.npz: images had dtype int16"),
        ({"images": np.full((3, 4, 4), 7.0)}, r"data.npz: images ranged over \[7, 7\]"),
        ({"images": np.zeros((2, 4, 4))}, "data.npz holds 2 subjects .*at least 3"),
        ({"images": np.zeros((3, 4, 4)), "part": ["x"] * 3}, "part held 'x', must be one of train"),
        ({"images": np.zeros((3, 4, 4)), "part": ["train"]}, r"part had shape \(1,\), must be"),
        ({"images": np.zeros((3, 4, 4)), "part": ["val"] * 3}, r"no train images.*'reference'"),
        (
            {"images": np.zeros((3, 4, 4)), "masks": np.zeros((3, 5, 4), np.uint8)},
            r"data.npz: masks had shape \(3, 5, 4\)",
        ),
    ],
)
def test_refusals_name_the_file_and_what_was_wrong(save, arrays, told):
    with pytest.raises(ValueError, match=told):
        npz(save(**arrays))


def test_too_few_images_name_both_numbers_and_the_option(save, images):
    path = save(images=images, part=["train"] * 18)
    with pytest.raises(ValueError, match=r"18 train images, but 19 were .*--nriqm-n 18"):
        npz(path, 19)


def test_damaged_and_foreign_files_are_one_sentence(save, tmp_path, images):
    path = save(images=images)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match=r"data\.npz could not be read"):
        npz(path)
    np.save(tmp_path / "one.npy", images)
    with pytest.raises(ValueError, match=r"one\.npy .*single array"):
        npz(tmp_path / "one.npy")


def test_unknown_part_is_refused(save, images):
    with pytest.raises(ValueError, match=r"part was 'valid', must be one of train"):
        npz(save(images=images), part="valid")
