"""Sources: parsing, identity by content, and the registry behind them."""

from __future__ import annotations

import gzip
import shutil

import numpy as np
import pytest
from PIL import Image

import nriqm_bench.datasets as datasets
from nriqm_bench.datasets.source import Source
from nriqm_bench.images import ImageSet


@pytest.fixture
def images():
    return np.random.default_rng(0).random((6, 8, 8), np.float32)


@pytest.fixture
def file(tmp_path, images):
    np.savez(tmp_path / "data.npz", images=images)
    return tmp_path / "data.npz"


@pytest.fixture
def pictures(tmp_path):
    place = tmp_path / "pictures"
    place.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(place / f"p{i}.png")
    return place


@pytest.fixture
def mine():
    calls = []

    @datasets.register("mine")
    def make(*args, **options):
        """Grey images."""
        calls.append((args, options))
        return ImageSet(np.full((2, 1, 4, 4), 0.5))

    yield calls
    datasets.unregister("mine")


def test_file_is_loaded_in_parts(file):
    source = datasets.open(f"npz:{file}")
    assert source.spec == "npz:data.npz"
    assert not source.builtin
    assert len(source.load("train", 2, 0, 8)) == 2
    assert source.load("reference", 2, 0, 4).spatial == (4, 4)


def test_folder_is_loaded_with_progress(pictures):
    source = datasets.open(f"folder:{pictures}")
    shown = []
    found = source.load("held-out", 1, 0, 16, lambda i, desc, total: shown.append(desc) or i)
    assert found.spatial == (16, 16)
    assert shown == ["pictures, held-out"]


def test_size_is_the_archives_own_only(file, pictures):
    assert datasets.open(f"npz:{file}").size() == 8
    assert datasets.open(f"folder:{pictures}").size() is None
    assert datasets.open("phantom-tumour").size() is None


def test_phantom_is_made_here():
    source = datasets.open("phantom-tumour")
    assert source.builtin
    assert source.spec == "phantom-tumour"
    assert source.describe() == "phantom-tumour, made here"
    assert source.key().startswith("phantom-tumour:")


def test_key_is_content_and_not_place(file, pictures, tmp_path):
    for spec, path in (("npz", file), ("folder", pictures)):
        copy = tmp_path / "elsewhere" / path.name
        copy.parent.mkdir(exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
        source, other = Source(spec, path), Source(spec, copy)
        assert source.key() == other.key()
        assert source.key() == source.key()
        assert str(tmp_path) not in source.key() + source.describe()
        assert source.key().partition(":")[2][:12] in source.describe()
        changed = copy if copy.is_file() else copy / "p0.png"
        data = bytearray(changed.read_bytes())
        data[-1] ^= 1
        changed.write_bytes(data)
        assert Source(spec, copy).key() != source.key()


def test_key_of_a_folder_knows_the_names(pictures):
    before = Source("folder", pictures).key()
    (pictures / "p0.png").rename(pictures / "p9.png")
    assert Source("folder", pictures).key() != before


def test_key_moves_with_the_name_of_the_dataset(file):
    assert Source("npz", file).key() != Source("folder", file).key()


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        ("phantom-tumor", KeyError, "unknown dataset 'phantom-tumor'; did you mean 'phantom-tum"),
        ("npz", ValueError, "'npz' needs a path: npz:FILE"),
        ("folder:", ValueError, "'folder' needs a path: folder:DIR"),
        ("phantom-tumour:x", ValueError, "'phantom-tumour' takes no path; 'x' was given"),
        ("npz:/no/such.npz", ValueError, "there is no '/no/such.npz' for the dataset 'npz'"),
    ],
)
def test_wrong_specifications_are_refused(spec, error, told):
    with pytest.raises(error, match=told):
        datasets.open(spec)


def test_registered_dataset_is_opened_by_name_with_and_without_a_path(mine, tmp_path):
    source = datasets.open("mine")
    assert len(source.load("train", 2, 7, 4)) == 2
    assert mine[-1] == ((2, 7), {"part": "train", "size": 4, "progress": None})
    assert source.key() == "mine:1"
    assert source.size() is None
    datasets.open(f"mine:{tmp_path}").load("train", 2, 7, 4)
    assert mine[-1][0] == (tmp_path, 2, 7)


def test_options_follow_the_path_as_text(tmp_path):
    taken = {}

    @datasets.register("chosen")
    def chosen(path, n, seed, *, part, size, progress, contrast="t1", plane="axial"):
        """Grey images."""
        taken.update(path=path, contrast=contrast, plane=plane)
        return ImageSet(np.full((2, 1, 4, 4), 0.5))

    try:
        source = datasets.open(f"chosen:{tmp_path}?contrast=t2&plane=coronal")
        source.load("train", 2, 0, 4)
        assert taken == {"path": tmp_path, "contrast": "t2", "plane": "coronal"}
        assert source.spec == f"chosen:{tmp_path.name}?contrast=t2&plane=coronal"
        assert source.key() != datasets.open(f"chosen:{tmp_path}?contrast=t2").key()
        for wrong in ("size=4", "other=1", "contrast="):
            with pytest.raises(ValueError, match=f"'{wrong}', must be contrast=..., plane=..."):
                datasets.open(f"chosen:{tmp_path}?{wrong}")
    finally:
        datasets.unregister("chosen")
    with pytest.raises(ValueError, match=r"'folder' was given the option 'a=1', but takes none"):
        datasets.open(f"folder:{tmp_path}?a=1")


def test_a_question_mark_in_the_name_of_a_folder_is_no_option(tmp_path):
    place = tmp_path / "which?contrast=t1"
    place.mkdir()
    assert datasets.open(f"folder:{place}") == Source("folder", place)


def test_masks_of_any_other_dataset_show_lesions(mine, file):
    assert datasets.open("mine").region == "lesion"
    assert datasets.open(f"npz:{file}").region == "lesion"
    assert Source("phantom-vessel").region == "vessel"
    assert Source("ixi").region == "vessel"


def test_key_of_packed_files_is_what_their_checksum_says(tmp_path):
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.nii.gz").write_bytes(gzip.compress(content * 100, mtime=0))
    same, equal, other = (Source("folder", tmp_path / name).key() for name in "abc")
    assert same == equal != other


def test_registering_checks_the_name_and_takes_plain_functions(mine):
    with pytest.raises(ValueError, match="'mine' is taken"):
        datasets.register("mine", print)
    assert datasets.register("other", print) is print
    assert "other" in datasets.names()
    datasets.unregister("other")
    assert "other" not in datasets.names()
