"""What an image file may claim to hold: looked at before any memory is taken for it."""

from __future__ import annotations

import gzip
import math
import struct
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

# A packed file is a bomb when it grows beyond both: voxels of real images pack 2 to 10 times,
# masks 100 times.
UNPACKED = 2**28
RATIO = 200
# Header extensions of NIfTI files (DICOM, AFNI) are kilobytes.
_EXTENSIONS = 2**24
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PIXELS = ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated")
# Length of a NIfTI header: where the offset of the image stands, types, where its shape stands.
_MAGIC = {348: (108, "f", "h", 40), 540: (168, "q", "q", 16)}


def check_unpacked(claimed: int, packed: int) -> None:
    """Raise `ValueError` when `packed` bytes claim to unpack to implausibly many.

    Parameters
    ----------
    claimed
        Bytes after unpacking.
    packed
        Bytes of the file.
    """
    if claimed > UNPACKED and claimed > RATIO * packed:
        raise ValueError(
            f"it would unpack to {claimed / 2**30:.1f} GiB, more than {RATIO} times its size, "
            "which no real one does; it is refused"
        )


def load_npy(path: Path) -> NDArray[Any]:
    """The array of an .npy file, once the file is known to be as long as its header says.

    Raises
    ------
    ValueError
        For a damaged file, Python objects, or a header that claims more than there is.
    """
    with path.open("rb") as stream:
        _check_npy(stream, path.stat().st_size)
        stream.seek(0)
        found: NDArray[Any] = np.load(stream, allow_pickle=False)
    return found


def check_npz(path: Path) -> None:
    """Raise `ValueError` when an array of an .npz file claims more than its member holds."""
    with zipfile.ZipFile(path) as archive:
        inside = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        check_unpacked(sum(info.file_size for info in inside), path.stat().st_size)
        for info in inside:
            with archive.open(info) as stream:
                _check_npy(stream, info.file_size)


def _check_npy(stream: IO[bytes], held: int) -> None:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is of .npy version {version}, must be (1, 0) or (2, 0)")
    read = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects; allow_pickle is off")
    if min(shape, default=0) < 0 or stream.tell() + math.prod(shape) * dtype.itemsize > held:
        raise ValueError(f"its header tells of shape {shape}, but there are only {held} bytes")


@contextmanager
def open_png(path: Path) -> Iterator[Any]:
    """A PNG picture of at most `PIL.Image.MAX_IMAGE_PIXELS` pixels; no other format.

    Of the formats that Pillow would recognise under any name, some start other programs (EPS).

    Raises
    ------
    Exception
        What Pillow raises for another format, a damaged file or too many pixels.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=("PNG",)) as picture:
            yield picture


def check_nifti(path: Path) -> None:
    """Raise `ValueError` when a NIfTI file claims more than it holds or can plausibly unpack to.

    Only the header and the heads of its extensions are read: nibabel reads an extension whole
    before it can be asked for the size of the image.
    """
    packed = path.suffix.lower() == ".gz"
    size = path.stat().st_size
    opening: Any = gzip.open if packed else open
    with opening(path, "rb") as stream:
        head = stream.read(544)
        order, kind = _layout(head)
        at, offset_type, dim_type, dim_at = _MAGIC[kind]
        offset = int(struct.unpack_from(order + offset_type, head, at)[0])
        dims = struct.unpack_from(f"{order}8{dim_type}", head, dim_at)
        bits = struct.unpack_from(f"{order}h", head, 72 if kind == 348 else 14)[0]
        claimed = offset + math.prod(max(1, d) for d in dims[1 : 1 + max(0, dims[0])]) * bits // 8
        if packed:
            check_unpacked(claimed, size)
        elif claimed > size:
            raise ValueError(f"its header tells of {claimed} bytes, but there are {size}")
        if head[kind : kind + 1] > b"\0":
            _check_extensions(stream, order, kind + 4, offset)


def _layout(head: bytes) -> tuple[str, int]:
    """Byte order, and the length of the header, which tells NIfTI-1 from NIfTI-2."""
    for order in "<>":
        kind = struct.unpack_from(f"{order}i", head)[0] if len(head) > 4 else 0
        if kind in _MAGIC and len(head) >= kind + 4:
            return order, kind
    raise ValueError("it is no NIfTI file, or ends within the header")


def _check_extensions(stream: IO[bytes], order: str, start: int, offset: int) -> None:
    if not start <= offset <= _EXTENSIONS:
        raise ValueError(f"its image starts at byte {offset}, where no header extension ends")
    while offset - start >= 16:
        stream.seek(start)
        head = stream.read(8)
        length = struct.unpack(f"{order}i", head[:4])[0] if len(head) == 8 else 0
        if not 8 <= length <= offset - start:
            raise ValueError(f"it has a header extension of {length} bytes, which is damaged")
        start += length


def read_dicom(path: Path, **options: Any) -> Any:
    """What `pydicom.dcmread` reads, once the file is known to hold what it claims.

    Raises
    ------
    Exception
        What pydicom raises for a damaged file, and `ValueError` for one that is deflated as a
        whole, which pydicom unpacks without a bound, or whose pixels implausibly outgrow it.
    """
    import pydicom
    from pydicom.filereader import read_file_meta_info

    if str(read_file_meta_info(path).get("TransferSyntaxUID")) == _DEFLATED:
        raise ValueError("it is deflated as a whole; save it uncompressed, or its pixels as RLE")
    found = pydicom.dcmread(path, **options)
    counts = (found.get(name) or 1 for name in _PIXELS)
    check_unpacked(math.prod(int(count) for count in counts) // 8, path.stat().st_size)
    return found


def unpack(path: Path) -> bytes:
    """The content of a .gz file, whole, with its checksum tested.

    Raises
    ------
    Exception
        What gzip raises for a damaged file, and `ValueError` for one that unpacks to implausibly
        many bytes.
    """
    size = path.stat().st_size
    content = bytearray()
    with gzip.open(path) as stream:
        while part := stream.read(1 << 20):
            content += part
            check_unpacked(len(content), size)
    return bytes(content)
