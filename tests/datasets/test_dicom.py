"""The dataset dicom:DIR on series written by pydicom."""

from __future__ import annotations

import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from nriqm_bench import datasets
from nriqm_bench.datasets.dicom import dicom, scan
from nriqm_bench.datasets.folder import read_folder

PLANES = {
    # What DICOM's columns, rows and slices run along, of the axes right, front, above (RAS).
    "axial": ((-1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "axial from above": ((-1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "sagittal": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    "coronal": ((-1, 0, 0), (0, 0, -1), (0, 1, 0)),
}


@pytest.fixture
def write(heads):
    """Write a RAS volume as one file a slice; the names do not tell their order."""

    def write(folder, data, patient, *, plane="axial", mm=heads.mm, slope=1.0, inter=0.0,
              inverted=False, description="AX FLAIR", change=None):  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        directions = np.array(PLANES[plane], float)
        axes = np.abs(directions).argmax(axis=1)
        signs = directions.sum(axis=1)
        turned = data.transpose(axes)
        for axis, sign in enumerate(signs):
            turned = np.flip(turned, axis) if sign < 0 else turned
        first = np.where(signs < 0, np.array(data.shape)[axes] - 1, 0)
        series = generate_uid()
        steps = np.random.default_rng(3).permutation(turned.shape[2])
        for number, k in enumerate(steps.tolist()):
            at = np.zeros(3)
            for axis, index in zip(range(3), (first[0], first[1], None), strict=True):
                place = k if index is None else 0
                start = first[axis]
                at += (start + signs[axis] * place) * mm[axes[axis]] * np.eye(3)[axes[axis]]
            file = _slice(turned[:, :, k].T, inverted)
            file.PatientID = patient
            file.SeriesInstanceUID = series
            file.SeriesDescription = description
            # DICOM's patient axes are left, back, above.
            file.ImagePositionPatient = [float(v) for v in at * (-1, -1, 1)]
            file.ImageOrientationPatient = [
                float(v) for d in directions[:2] for v in d * (-1, -1, 1)
            ]
            file.PixelSpacing = [float(mm[axes[1]]), float(mm[axes[0]])]
            file.SliceThickness = float(mm[axes[2]])
            file.RescaleSlope, file.RescaleIntercept = slope, inter
            if change is not None:
                change(file, k)
            file.save_as(folder / f"IM{number:04}.dcm", enforce_file_format=True)
        return folder

    return write


def _slice(pixels, inverted):
    file = pydicom.Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = MRImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 16, 15
    file.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    stored = 4095 - pixels if inverted else pixels
    file.PixelData = np.ascontiguousarray(stored, dtype=np.uint16).tobytes()
    return file


@pytest.fixture
def three(tmp_path, write, heads):
    """Three patients with a series each; gives the folder."""

    def three(place="dicom", **options):
        for i in range(3):
            write(tmp_path / place / f"study{i}" / "1", heads.head(i)[0], f"P-{i}", **options)
        return tmp_path / place

    return three


@pytest.mark.parametrize("plane", PLANES)
def test_series_are_seen_as_nifti_is(three, tmp_path, heads, split_apart, plane):
    for i in range(3):
        heads.save(tmp_path / "nifti" / f"P-{i}.nii.gz", heads.head(i)[0])
    wanted = read_folder(tmp_path / "nifti")
    root = three(plane=plane, mm=heads.mm)
    for found in split_apart(dicom, root).values():
        same = wanted[wanted.subjects == found.subjects[0]]
        assert found.images == pytest.approx(same.images, abs=1e-6)
        assert found.spacing == same.spacing == (1.0, 1.0)
        assert found.masks is None


def test_slope_intercept_and_inversion(three):
    plain = dicom(three())
    scaled = dicom(three("scaled", slope=0.5, inter=-100.0))
    inverted = dicom(three("inverted", inverted=True))
    assert scaled.images == pytest.approx(plain.images, abs=1e-5)
    assert inverted.images == pytest.approx(plain.images, abs=1e-5)


def test_slope_may_differ_between_the_slices_of_a_series(three, heads):
    def own(file, k):
        stored = np.frombuffer(file.PixelData, np.uint16)
        file.RescaleSlope = 1 / (1 + k % 3)
        file.PixelData = (stored * (1 + k % 3)).astype(np.uint16).tobytes()

    found = dicom(three("own", change=own))
    assert found.images == pytest.approx(dicom(three()).images, abs=1e-4)


def test_pixels_become_square(three):
    found = dicom(three(plane="coronal", mm=(1.0, 3.0, 1.0)))
    assert found.spatial == (132, 40)
    assert found.spacing == (1.0, 1.0)


def test_patients_sites_and_parts(tmp_path, write, heads):
    for i in range(4):
        for series in range(2):
            folder = tmp_path / f"site-{'ab'[i % 2]}" / f"study{i}" / str(series)
            write(folder, heads.head(i)[0], f"P-{i // 2}" if i < 2 else "")
    cases = {case.name: case for case in scan(tmp_path).cases}
    assert len(cases) == 8
    assert {case.subject for case in cases.values()} == {"P-0", "study2", "study3"}
    assert cases["site-a/study0/0"].site == "site-a"
    for part, name in (("train", "train"), ("reference", "val"), ("held-out", "test")):
        write(tmp_path / "parts" / name / "x", heads.head(0)[0], f"Q-{part}")
    assert set(dicom(tmp_path / "parts", part="reference").subjects) == {"Q-reference"}


def test_description_is_the_contrast(tmp_path, write, heads):
    for i in range(3):
        write(tmp_path / f"{i}" / "a", heads.head(i)[0], f"P-{i}", description="AX  FLAIR")
        write(tmp_path / f"{i}" / "b", heads.head(i)[0], f"P-{i}", description="Sag T1")
    inventory = scan(tmp_path)
    assert list(inventory.contrasts) == ["any", "ax flair", "sag t1"]
    assert len(dicom(tmp_path)) == 8
    assert len(dicom(tmp_path, contrast="Ax Flair")) == 4
    assert datasets.open(f"dicom:{tmp_path}?contrast=SAG T1").contrast == "sag t1"
    with pytest.raises(ValueError, match="'t2', must be one of any, ax flair, sag t1"):
        dicom(tmp_path, contrast="t2")


def gone(file, k):
    if k == 7:
        file.ImagePositionPatient = [0.0, 0.0, 500.0]


def twice(file, k):
    if k % 2:
        file.ImagePositionPatient[2] -= 2.0


def other_series(file, k):
    if k > 9:
        file.SeriesInstanceUID = "1.2.3"


def other_plane(file, k):
    if k == 4:
        file.ImageOrientationPatient = [1, 0, 0, 0, 0, 1]


def without(*words):
    def change(file, k):
        for word in words:
            delattr(file, word)

    return change


def frames(file, k):
    file.NumberOfFrames = 2


def colour(file, k):
    file.PhotometricInterpretation = "RGB"


def no_pixels(file, k):
    del file.PixelData


def short(file, k):
    file.PixelData = file.PixelData[:100]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (gone, r"lie 2 to \d+ mm apart, must be evenly spaced: a slice is missing or foreign"),
        (twice, "several of its slices lie at one place"),
        (other_series, "it holds 2 series in 20 files; put each into a folder of its own"),
        (other_plane, r"ImageOrientationPatient is .* but .*must be one for the series"),
        (without("ImagePositionPatient"), "does not tell ImagePositionPatient, so that its place"),
        (without("PixelSpacing"), "does not tell PixelSpacing"),
        (without("Rows"), "it holds no image"),
        (frames, r"holds 2 frames \(enhanced DICOM\), must be one slice a file"),
        (colour, "is RGB, must be MONOCHROME1 or MONOCHROME2"),
        (no_pixels, r"IM\d+.dcm cannot be used: "),
        (short, r"IM\d+.dcm cannot be used: "),
    ],
)
def test_mixed_and_broken_series_are_refused_in_one_sentence(three, change, told):
    root = three(change=change)
    with pytest.raises(ValueError, match=told) as raised:
        dicom(root)
    assert str(raised.value).startswith(str(root))
    assert "\n" not in str(raised.value)


def test_damaged_and_foreign_files(three):
    root = three()
    (root / "study0" / "1" / "notes.txt").write_text("not a slice")
    (root / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (root / "empty").mkdir()
    assert len(scan(root).cases) == 3
    wanted = dicom(root).fingerprint()
    for folder in root.glob("study*/1"):
        (folder / "IM0003.dcm").rename(folder / "IM0003")
    assert dicom(root).fingerprint() == wanted
    for folder in root.glob("study*/1"):
        (folder / "IM0000.dcm").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"study\d/1 cannot be used: IM0000.dcm cannot be used: "):
        dicom(root)


def test_without_pydicom_the_error_says_how_to_install_it(three, monkeypatch):
    root = three()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ValueError, match=r"needs pydicom: pip install 'nriqm-bench\[dicom\]'"):
        datasets.open(f"dicom:{root}")


def test_identity_is_that_of_all_files_of_the_series(three, tmp_path):
    root = three()
    before = datasets.open(f"dicom:{root}").key()
    (tmp_path / "dicom" / "notes.txt").write_text("counts for nothing")
    assert datasets.open(f"dicom:{root}").key() == before
    file = root / "study2" / "1" / "IM0011.dcm"
    data = bytearray(file.read_bytes())
    data[-9] ^= 1
    file.write_bytes(data)
    assert datasets.open(f"dicom:{root}").key() != before
