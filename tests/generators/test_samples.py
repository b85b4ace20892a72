"""Folders of finished samples: DICOM, NIfTI, PNG and NumPy files, with masks where paired."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from nriqm_bench import datasets, load_generator
from nriqm_bench.generators import GeneratorError

N, H, W = 5, 32, 24


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, H, W)).astype(np.uint8)


@pytest.fixture
def masks(images) -> np.ndarray:
    found = np.zeros_like(images)
    for i in range(N):
        found[i, 4 : 10 + i, 5:9] = 1 + i % 3
    return found


def dicom(path: Path, pixels, *, bits=12, series=None, at=None, change=None) -> Path:
    file = pydicom.Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = MRImageStorage
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file.SeriesInstanceUID = series or generate_uid()
    file.PatientID = "synthetic"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, bits, bits - 1
    file.PhotometricInterpretation = "MONOCHROME2"
    if at is not None:
        file.ImagePositionPatient = [0.0, 0.0, float(at)]
        file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        file.PixelSpacing = [1.0, 1.0]
    file.PixelData = np.ascontiguousarray(pixels, dtype=np.uint16).tobytes()
    if change is not None:
        change(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    file.save_as(path, enforce_file_format=True)
    return path


def drawn(path, n=N):
    """All samples of a folder in the order of their mean, and the generator."""
    generator = load_generator(path)
    found = generator.sample(n, 0)
    order = np.argsort(found.images.mean((1, 2, 3)))
    return found[order], generator


def in_order(images, masks=None):
    order = np.argsort(images.reshape(len(images), -1).mean(1))
    return images[order], None if masks is None else masks[order]


def save_png(path, array):
    Image.fromarray(array).save(path)


def save_nifti(path, array):
    """As an axial slice: columns to the right, rows towards the back."""
    nibabel.save(nibabel.Nifti1Image(array.T[:, ::-1], np.eye(4)), path)


WRITERS = {
    "png": save_png,
    "npy": np.save,
    "nii": save_nifti,
    "nii.gz": save_nifti,
    "dcm": lambda path, array: dicom(path, array, bits=8),
}


@pytest.mark.parametrize("layout", ["beside", "folders", "below"])
@pytest.mark.parametrize("ending", WRITERS)
def test_images_come_with_their_masks(ending, layout, tmp_path, images, masks):
    for i in range(N):
        places = {
            "beside": (f"s{i}.{ending}", f"s{i}_mask.{ending}"),
            "folders": (f"images/s{i}.{ending}", f"masks/s{i}.{ending}"),
            "below": (f"s{i}.{ending}", f"masks/s{i}_seg.{ending}"),
        }[layout]
        for place, array in zip(places, (images[i], masks[i]), strict=True):
            (tmp_path / place).parent.mkdir(exist_ok=True)
            WRITERS[ending](tmp_path / place, array)
    found, generator = drawn(tmp_path)
    wanted, labels = in_order(images, masks)
    np.testing.assert_allclose(found.images[:, 0], wanted / 255, atol=1e-6)
    np.testing.assert_array_equal(found.masks, labels)
    assert generator.available == N


@pytest.mark.parametrize("image", ["dcm", "nii.gz", "npy"])
def test_masks_may_be_of_another_format(image, tmp_path, images, masks):
    for i in range(N):
        WRITERS[image](tmp_path / f"s{i}.{image}", images[i])
        save_png(tmp_path / f"s{i}_mask.png", masks[i])
    np.testing.assert_array_equal(drawn(tmp_path)[0].masks, in_order(images, masks)[1])


def test_a_nifti_slice_is_seen_as_the_dataset_sees_it(tmp_path, images):
    for i in range(N):
        save_nifti(tmp_path / f"sub-{i}.nii.gz", images[i].astype(np.float32) / 255)
    found, _ = drawn(tmp_path)
    real = np.concatenate(
        [
            datasets.get("folder")(tmp_path, part=part).images[:, 0]
            for part in ("train", "reference", "held-out")
        ]
    )
    # The dataset clips to percentiles; turned otherwise, the images would not correlate.
    for image in found.images[:, 0]:
        assert max(np.corrcoef(image.ravel(), r.ravel())[0, 1] for r in real) > 0.999


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_dicom_is_scaled_by_its_bits(bits, tmp_path, images):
    full = 2**bits - 1
    stored = np.rint(images / 255 * full).astype(np.uint16)
    for i in range(N):
        dicom(tmp_path / f"{i}.dcm", stored[i], bits=bits)
    found, generator = drawn(tmp_path)
    np.testing.assert_allclose(found.images[:, 0], in_order(stored)[0] / full, atol=1e-6)
    assert "by the window that they declare" in generator.notes[0]


def test_dicom_is_scaled_by_its_window(tmp_path, images):
    def window(file):
        file.RescaleSlope, file.RescaleIntercept = 2.0, -100.0
        file.WindowCenter, file.WindowWidth = [155.0, 1.0], [510.0, 1.0]

    for i in range(N):
        dicom(tmp_path / f"{i}.dcm", images[i], change=window)
    np.testing.assert_allclose(
        drawn(tmp_path)[0].images[:, 0], in_order(images)[0] / 255, atol=1e-6
    )


def test_dicom_that_is_white_on_black_is_turned(tmp_path, images):
    def inverted(file):
        file.PhotometricInterpretation = "MONOCHROME1"

    for i in range(N):
        dicom(tmp_path / f"IM{i}", images[i], bits=8, change=inverted)
    found, _ = drawn(tmp_path)
    np.testing.assert_allclose(found.images[:, 0], in_order(255 - images)[0] / 255, atol=1e-6)


def test_a_series_is_a_volume(tmp_path):
    """Slices of one series are read as the dataset reads real series."""
    rng = np.random.default_rng(1)
    for patient in range(3):
        series = generate_uid()

        def named(file, patient=patient):
            file.PatientID = f"p{patient}"

        for k in range(8):
            pixels = rng.integers(300, 900, (H, H)) * (np.hypot(*np.mgrid[-16:16, -16:16]) < 14)
            file = tmp_path / f"p{patient}" / f"{k}.dcm"
            dicom(file, pixels, series=series, at=k, change=named)
    found = load_generator(tmp_path)
    assert found.size == (128, 128)
    assert found.available == 3 * 4
    assert "DICOM series were cut into axial slices" in found.notes[0]
    made = found.sample(12, 0).images
    real = [
        datasets.get("dicom")(tmp_path, part=part, size=128).images
        for part in ("train", "reference", "held-out")
    ]
    real = {image.tobytes() for part in real for image in part}
    assert {image.tobytes() for image in made} == real


def test_slices_without_a_place_are_images(tmp_path, images):
    series = generate_uid()
    for i in range(N):
        dicom(tmp_path / f"{i}.dcm", images[i], bits=8, series=series)
    assert load_generator(tmp_path).available == N


def test_volumes_with_masks(tmp_path):
    """The masks of volumes are cut where the images are."""
    for i in range(3):
        data = np.zeros((H, H, 12), np.float32)
        data[4:28, 4:28, 1:11] = 0.4
        labels = np.zeros((H, H, 12), np.uint8)
        labels[8 + i : 16, 10:20, 3:9] = 2
        data[labels > 0] = 1.0
        for name, array in ((f"v{i}", data), (f"v{i}_seg", labels)):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / f"{name}.nii.gz")
    generator = load_generator(tmp_path)
    found = generator.sample(generator.available, 0)
    assert found.spatial == (128, 128)
    assert set(np.unique(found.masks)) == {0, 2}
    inside = found.masks > 0
    assert found.images[:, 0][inside].min() > found.images[:, 0][~inside].mean() + 0.3


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("I;16", 1)]
)
def test_png_modes(mode, channels, tmp_path, images):
    for i in range(N):
        if mode == "I;16":
            picture = Image.fromarray(images[i].astype(np.uint16) * 257)
        elif mode == "P":
            picture = Image.fromarray(images[i]).convert("P")
        else:
            picture = Image.fromarray(images[i]).convert(mode)
        picture.save(tmp_path / f"{i}.png")
    found, _ = drawn(tmp_path)
    assert found.channels == channels
    for channel in range(channels):
        np.testing.assert_allclose(found.images[:, channel], in_order(images)[0] / 255, atol=1e-6)


def refusal(path) -> str:
    with pytest.raises(GeneratorError) as caught:
        load_generator(path).sample(N, 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def signed(file):
    file.PixelRepresentation = 1


def colour(file):
    file.PhotometricInterpretation = "RGB"


def frames(file):
    file.NumberOfFrames = 3


def short(file):
    file.PixelData = file.PixelData[:10]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (signed, "declares no window"),
        (colour, "must be MONOCHROME1"),
        (frames, "holds 3 frames"),
        (short, "could not be read"),
    ],
)
def test_dicom_of_other_kinds(change, said, tmp_path, images):
    for i in range(N):
        dicom(tmp_path / f"{i}.dcm", images[i], change=change)
    message = refusal(tmp_path)
    assert said in message
    assert "0.dcm" in message


def test_masks_must_fit_their_images(tmp_path, images, masks):
    for i in range(N):
        save_png(tmp_path / f"{i}.png", images[i])
        save_png(tmp_path / f"{i}_mask.png", masks[i, :, :-1])
    assert "masks of (32, 23)" in refusal(tmp_path)
    save_png(tmp_path / "9_mask.png", masks[0])
    assert "fit no image (9_mask.png)" in refusal(tmp_path)
    (tmp_path / "9_mask.png").unlink()
    (tmp_path / "0_mask.png").unlink()
    assert "none for 0.png" in refusal(tmp_path)


def test_colour_masks_are_refused(tmp_path, images, masks):
    for i in range(N):
        save_png(tmp_path / f"{i}.png", images[i])
        Image.fromarray(masks[i]).convert("RGB").save(tmp_path / f"{i}_mask.png")
    assert "mask with 3 channels" in refusal(tmp_path)


def test_series_with_masks_and_mixed_folders(tmp_path, images, masks):
    series = generate_uid()
    for k in range(3):
        dicom(tmp_path / "a" / f"{k}.dcm", images[k], series=series, at=k)
        dicom(tmp_path / "a" / f"{k}_mask.dcm", masks[k], bits=8)
        dicom(tmp_path / "b" / f"{k}.dcm", images[k])
        save_png(tmp_path / "b" / f"{k + 5}.png", images[k])
    assert "save both as NIfTI" in refusal(tmp_path / "a")
    assert "must be of one kind" in refusal(tmp_path / "b")


def test_a_missing_pydicom_is_named(tmp_path, images, monkeypatch):
    import builtins

    dicom(tmp_path / "0.dcm", images[0])
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pydicom":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'nriqm-bench[dicom]'" in refusal(tmp_path)
