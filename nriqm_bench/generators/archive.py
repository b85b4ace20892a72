"""What is inside a zip archive (torch files and .npz are zips), known to be safe to read."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from nriqm_bench.datasets.limits import RATIO, UNPACKED
from nriqm_bench.generators.errors import GeneratorError, listed

_BLOCK = 1 << 20


def members(text: str, file: Path | io.BytesIO) -> tuple[str, ...]:
    """The names inside an archive, which may lie in memory; nothing is unpacked.

    Raises
    ------
    GeneratorError
        When the archive is damaged, names files outside itself or one twice, or would unpack to
        implausibly many bytes.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            inside = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(text, str(error)) from error
    size = file.stat().st_size if isinstance(file, Path) else len(file.getbuffer())
    names = [info.filename for info in inside]
    if outside := [name for name in names if _leads_outside(name)]:
        raise GeneratorError(
            f"{text} has members that lead outside the archive ({listed(outside)}), which no "
            "checkpoint needs; it is refused"
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise GeneratorError(
            f"{text} has members of the same name ({listed(twice)}), so that what is checked may "
            "not be what is read; it is refused"
        )
    unpacked = sum(info.file_size for info in inside)
    if unpacked > UNPACKED and unpacked > RATIO * size:
        raise GeneratorError(
            f"{text} would unpack to {unpacked / 2**30:.1f} GiB, more than {RATIO} times "
            "its size, which no checkpoint does; it is refused"
        )
    if sum(info.compress_size for info in inside) > size:
        raise _damaged(text, "its members overlap or reach beyond its end")
    return tuple(names)


def check_torch(text: str, file: Path | io.BytesIO) -> None:
    """Refuse a torch archive whose members are damaged, packed or in more than one folder.

    torch itself reads neither checksums nor the way in which tensors were packed. Files written
    without checksums (``torch.serialization.set_crc32_options(False)``) hold zeros in their place.

    Raises
    ------
    GeneratorError
        In one sentence.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            inside = archive.infolist()
            tops = {info.filename.split("/")[0] for info in inside}
            if len(tops) > 1:
                raise GeneratorError(
                    f"{text} has members in {len(tops)} folders ({listed(sorted(tops))}), a torch "
                    "file has one; it is refused"
                )
            for info in inside:
                # TorchScript packs its code, nothing packs weights.
                if info.compress_type != zipfile.ZIP_STORED and "/code/" not in info.filename:
                    raise GeneratorError(
                        f"{text} has a packed member {info.filename!r}, which torch does not "
                        "write; save the checkpoint again with torch.save"
                    )
                if info.CRC:
                    with archive.open(info) as stream:
                        while stream.read(_BLOCK):
                            pass
    except GeneratorError:
        raise
    except Exception as error:
        raise _damaged(text, str(error)) from error


def _damaged(text: str, why: str) -> GeneratorError:
    return GeneratorError(
        f"{text} is a damaged or truncated archive ({why or 'it ends too early'}); copy or "
        "download it again"
    )


def _leads_outside(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or any(":" in part for part in path.parts[:1])
