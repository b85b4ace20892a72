"""Arrays and images whose headers claim what is not there, or unpack to too much."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from tests.generators.hostile.registry import hostile

ABSENT = "its header tells of"


def npy_header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    described = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    return buffer.getvalue()


@hostile(ABSENT)
def npy_of_a_terabyte(folder, canary):
    """A header of 10^12 numbers before 64 bytes."""
    (folder / "a.npy").write_bytes(npy_header((10**12, 1, 1, 1)) + bytes(64))
    return folder / "a.npy"


@hostile(ABSENT)
def npz_of_a_terabyte(folder, canary):
    """The same in an archive, where NumPy takes the memory first and reads then."""
    with zipfile.ZipFile(folder / "a.npz", "w") as file:
        file.writestr("images.npy", npy_header((10**9, 1, 8, 8), "<f4") + bytes(64))
    return folder / "a.npz"


@hostile(ABSENT)
def npy_of_wide_words(folder, canary):
    """Few entries, each of 2 GB."""
    (folder / "a.npy").write_bytes(npy_header((30, 1, 1, 1), "|V2147483647") + bytes(64))
    return folder / "a.npy"


@hostile("damaged or truncated NumPy file")
def npy_header_of_code(folder, canary):
    """A header that is Python code."""
    code = f"__import__('os').mkdir({str(canary)!r})\n".encode()
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(code))
    (folder / "a.npy").write_bytes(head + code)
    return folder / "a.npy"


@hostile(ABSENT)
def folder_of_a_terabyte(folder, canary):
    """A header of 10^12 numbers in one sample of a folder."""
    (folder / "a.npy").write_bytes(npy_header((10**6, 10**6)) + bytes(64))
    return folder


def _safetensors(path: Path, header: bytes, data: bytes = bytes(64)) -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


def _described(shape: list[int], start: int = 0, end: int = 64) -> dict:
    return {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}


@hostile("damaged or truncated safetensors file")
def safetensors_of_an_exabyte(folder, canary):
    """A header of 2^60 numbers before 64 bytes."""
    header = json.dumps({"w": _described([2**30, 2**30], 0, 2**62)}).encode()
    return _safetensors(folder / "a.safetensors", header)


@hostile("damaged or truncated safetensors file")
def safetensors_overflow(folder, canary):
    """A shape whose product wraps around to the size that is there."""
    header = json.dumps({"w": _described([2**62, 4, 16])}).encode()
    return _safetensors(folder / "a.safetensors", header)


@hostile("damaged or truncated safetensors file")
def safetensors_overlap(folder, canary):
    """Two tensors in the same bytes."""
    header = json.dumps({"a": _described([16]), "b": _described([16])}).encode()
    return _safetensors(folder / "a.safetensors", header)


@hostile("in no format that a loader knows")
def safetensors_long_header(folder, canary):
    """A header of a tebibyte."""
    (folder / "a.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{" + bytes(64))
    return folder / "a.safetensors"


@hostile("damaged or truncated safetensors file")
def safetensors_deep_header(folder, canary):
    """A header of 10 000 lists within each other."""
    header = b'{"w":' + b"[" * 10_000 + b"]" * 10_000 + b"}"
    return _safetensors(folder / "a.safetensors", header)


def _nifti(shape: tuple[int, ...], offset: int = 352) -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header["vox_offset"] = offset
    header["magic"] = b"n+1"
    return header.binaryblock


def _gz(path: Path, start: bytes, zeros: int) -> Path:
    part = gzip.compress(bytes(2**20))
    path.write_bytes(gzip.compress(start) + part * (zeros >> 20))
    return path


@hostile(ABSENT)
def nifti_of_terabytes(folder, canary):
    """A volume of 32767 x 32767 x 32767 in a file of 416 bytes."""
    (folder / "a.nii").write_bytes(_nifti((32767,) * 3) + bytes(68))
    return folder


@hostile("would unpack to 32765.0 GiB")
def packed_nifti_of_terabytes(folder, canary):
    """The same, packed."""
    _gz(folder / "a.nii.gz", _nifti((32767,) * 3) + bytes(4), 2**20)
    return folder


@hostile("would unpack to 1.0 GiB")
def packed_zeros_nifti(folder, canary):
    """A volume of a gibibyte of zeros that is really there, in a megabyte."""
    _gz(folder / "a.nii.gz", _nifti((1024, 1024, 1024)) + bytes(4), 2**30)
    return folder


@hostile("would unpack to")
def packed_tail_nifti(folder, canary):
    """A small volume with a gibibyte of zeros behind it."""
    volume = np.random.default_rng(0).integers(0, 99, (16, 16, 16), np.uint8).tobytes()
    _gz(folder / "a.nii.gz", _nifti((16, 16, 16)) + bytes(4) + volume, 2**30)
    return folder


@hostile("header extension")
def packed_extension_nifti(folder, canary):
    """A header extension of a gibibyte of zeros before a small picture."""
    head = _nifti((16, 16), 1024) + b"\1\0\0\0" + struct.pack("<ii", 0, 6)
    _gz(folder / "a.nii.gz", head, 2**30)
    return folder


@hostile("could not be read as an image")
def png_of_gigapixels(folder, canary):
    """A picture of 60 000 x 60 000 pixels in 36 kB of packed zeros."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    packer = zlib.compressobj(9)
    rows = packer.compress(bytes(60_001 * 600)) + packer.flush()
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return folder


@hostile("could not be read as an image")
def postscript_named_png(folder, canary):
    """A PostScript program, which Pillow would hand to Ghostscript."""
    code = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({canary}) (w) file closefile\n"
    (folder / "a.png").write_text(code + "%%EOF\n")
    return folder


@hostile("could not be read as an image")
def truncated_png(folder, canary):
    """A picture that ends too early, after good ones."""
    noise = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    for name in "abc":
        Image.fromarray(noise).save(folder / f"{name}.png")
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:200])
    return folder


@hostile("could not be read as an image")
def truncated_nifti(folder, canary):
    """A volume that ends within its header."""
    (folder / "a.nii").write_bytes(_nifti((16, 16))[:100])
    return folder


def dicom(folder: Path, syntax: str, rows: int, pixels: bytes) -> Path:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, generate_uid

    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = UID(syntax)
    found.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    found.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["a"])
    found.Rows = found.Columns = rows
    found.SamplesPerPixel, found.BitsAllocated, found.BitsStored, found.HighBit = 1, 16, 16, 15
    found.PhotometricInterpretation, found.PixelRepresentation = "MONOCHROME2", 0
    found.PixelData = pixels
    found["PixelData"].VR = "OW"
    found.save_as(folder / "a.dcm", enforce_file_format=True)
    return folder


@hostile("would unpack to")
def dicom_of_gigapixels(folder, canary):
    """A picture of 65 000 x 65 000 pixels, run-length coded in 64 bytes."""
    from pydicom.encaps import encapsulate

    return dicom(folder, "1.2.840.10008.1.2.5", 65_000, encapsulate([bytes(64)]))


@hostile("deflated as a whole")
def deflateddicom(folder, canary):
    """A data set of half a gibibyte that is packed into half a megabyte."""
    return dicom(folder, "1.2.840.10008.1.2.1.99", 16_384, bytes(2**29))
