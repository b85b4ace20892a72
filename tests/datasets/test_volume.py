"""Volumes: every orientation, part by part, and files that are not what their headers say."""

from __future__ import annotations

import gzip
from itertools import permutations, product

import nibabel
import numpy as np
import pytest

from nriqm_bench.datasets import readers
from nriqm_bench.datasets.slicing import square
from nriqm_bench.datasets.volume import Volume, check_alike, check_whole, from_nifti

ORIENTATIONS = [
    (order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]


def affine_of(order, signs, tilt=0.0):
    """An affine whose columns are signed anatomical axes of 1, 2 and 3 mm, turned a little."""
    columns = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        columns[axis, column] = sign * (axis + 1)
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ columns
    affine[:3, 3] = (-31, 17, 5.5)
    return affine


@pytest.mark.parametrize("tilt", [0.0, 0.3])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_any_orientation_is_turned_as_nibabel_turns_it(order, signs, tilt):
    data = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    affine = affine_of(order, signs, tilt)
    image = nibabel.Nifti1Image(data.astype(np.int16), affine)
    wanted = nibabel.as_closest_canonical(image)
    volume = Volume(data, affine)
    whole = np.asarray(wanted.dataobj).transpose(2, 1, 0)[:, ::-1]
    assert np.array_equal(volume.read(), whole)
    assert volume.shape == whole.shape
    assert volume.codes == "".join(nibabel.aff2axcodes(affine))
    assert volume.spacing == (3.0, 2.0, 1.0)
    last = np.array(wanted.shape) - 1
    ends = nibabel.affines.apply_affine(wanted.affine, np.stack([np.zeros(3), last]))
    assert volume.corners == pytest.approx(ends)
    # A slab is what the whole holds there.
    assert np.array_equal(volume.read(1, 3), whole[1:3])


def test_a_file_is_read_slab_by_slab_and_volume_by_volume(tmp_path):
    data = np.random.default_rng(0).integers(0, 99, (4, 5, 6, 3)).astype(np.int16)
    for ending in (".nii", ".nii.gz"):
        nibabel.save(nibabel.Nifti1Image(data, np.diag([-1, -1, 1, 1])), tmp_path / f"a{ending}")
        volume = from_nifti(tmp_path / f"a{ending}", 2)
        assert volume.seekable == (ending == ".nii")
        turned = data[::-1, ::-1, :, 2].transpose(2, 1, 0)[:, ::-1]
        assert np.array_equal(volume.read(2, 5), turned[2:5])
        with pytest.raises(ValueError, match="it holds 3 volumes, but volume 4 is wanted"):
            from_nifti(tmp_path / f"a{ending}", 3)


def test_an_affine_that_tells_no_directions_is_refused():
    data = np.zeros((3, 3, 3))
    for affine in (np.diag([1.0, 1, 0, 1]), np.full((4, 4), np.nan)):
        with pytest.raises(ValueError, match="does not tell three directions"):
            Volume(data, affine)
    with pytest.raises(ValueError, match="must be a volume of 3 dimensions"):
        Volume(np.zeros((3, 0, 3)), np.eye(4))


def test_masks_of_other_axes_must_lie_where_the_image_lies():
    image = Volume(np.zeros((8, 9, 10)), np.diag([-1.0, -1, 1, 1]))
    same = np.diag([1.0, 1, 1, 1])
    same[:3, 3] = (-7, -8, 0)
    check_alike(image, Volume(np.zeros((8, 9, 10)), same))
    with pytest.raises(ValueError, match="they lie 8 mm apart"):
        check_alike(image, Volume(np.zeros((8, 9, 10)), np.eye(4)))
    # Equal axes are taken at their word: only the origin was lost.
    moved = np.diag([-1.0, -1, 1, 1])
    moved[:3, 3] = 90
    check_alike(image, Volume(np.zeros((8, 9, 10)), moved))


def test_files_in_several_gzip_members_are_whole(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.int16), np.eye(4)), tmp_path / "a.nii")
    data = (tmp_path / "a.nii").read_bytes()
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(data[:700]) + gzip.compress(data[700:]) + gzip.compress(b""))
    check_whole(path)
    assert from_nifti(path).read().sum() == 729
    path.write_bytes(gzip.compress(data[:700]) + gzip.compress(data[700:-6]))
    with pytest.raises(
        ValueError, match=f"it ends too early: {len(data) - 6} bytes of {len(data)}"
    ):
        check_whole(path)


def test_pixels_are_made_square_by_the_finer_side():
    rng = np.random.default_rng(0)
    images = rng.random((2, 6, 9), np.float32)
    assert square(images, (1.0, 1.0005)) is images
    tall = square(images, (1.5, 1.0))
    assert tall.shape == (2, 9, 9)
    # Linear interpolation stays within its neighbours and leaves constant rows alone.
    assert images.min() <= tall.min()
    assert tall.max() <= images.max()
    rows = np.broadcast_to(images[:, :, :1], images.shape)
    assert np.ptp(square(np.ascontiguousarray(rows), (0.5, 1.0)), axis=2).max() < 1e-6
    labels = (images > 0.5).astype(np.uint8) * 4
    doubled = square(labels, (1.0, 2.0), masks=True)
    assert np.array_equal(doubled, labels.repeat(2, axis=2))


def test_damage_that_unpacks_without_an_error_is_seen_by_the_checksum(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((9, 9, 9), np.int16), np.eye(4)), tmp_path / "a.nii")
    # Level 0 stores the bytes as they are: another voxel is no fault of the packing.
    data = bytearray(gzip.compress((tmp_path / "a.nii").read_bytes(), 0))
    data[-200] ^= 1
    path = tmp_path / "a.nii.gz"
    path.write_bytes(data)
    with gzip.open(path) as stream:
        assert len(stream.read(1000)) == 1000
    with pytest.raises(ValueError, match=r"a.nii.gz cannot be used: CRC check failed"):
        readers.read(path)
