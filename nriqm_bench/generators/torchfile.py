"""Read what `torch.save` or safetensors wrote, without running anything that is in it."""

from __future__ import annotations

import io
import mmap
import re
import warnings
from pathlib import Path
from typing import Any

from nriqm_bench.generators import archive, opcodes
from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.source import Source

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# What weights and plain data are made of. torch's own list is longer: it has functions that take
# memory by a number in the file (bytearray, torch.Tensor, _codecs.encode).
_PLAIN = re.compile(
    r"collections\.(OrderedDict|Counter)|(builtins|__builtin__)\.(set|complex)"
    r"|torch(\.cuda|\.storage)?\.\w+Storage|torch\.(Size|device)"
    r"|torch\.((b?float|complex|q?u?int|bool)\w*|half|double|long|short)"
    r"|torch\.(nn\.parameter\.Parameter|serialization\._get_layout)"
    r"|torch\._utils\._rebuild_(tensor(_v2|_v3)?|parameter(_with_state)?)"
)
# More entries than any checkpoint has beside its weights.
_PICKLE = 2**24
# A legacy file holds its magic number, version, system, content and the keys of its storages.
_LEGACY_PICKLES = 5


def is_torch(source: Source) -> bool:
    """Whether the bytes are a torch archive or start like a pickle."""
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in source.members):
        return True
    return source.head[:1] == b"\x80" and source.head[1:2] in b"\x02\x03\x04\x05"


def is_torchscript(source: Source) -> bool:
    """Whether the bytes are a TorchScript archive."""
    return is_torch(source) and any(n.endswith("constants.pkl") for n in source.members)


def is_safetensors(source: Source) -> bool:
    """Whether the bytes start with a safetensors header."""
    head = source.head
    if len(head) < 10 or head[8:9] != b"{":
        return False
    return int.from_bytes(head[:8], "little") < 100_000_000


def read(source: Source, *, trust: bool = False) -> Any:
    """The content of a torch file: with ``weights_only=True`` unless `trust`.

    Raises
    ------
    GeneratorError
        When the file is damaged, or when it would have to run code and `trust` is off.
    """
    import torch

    if "torch" in source.read:
        return source.read["torch"]
    if not source.members and not source.head.startswith(_LEGACY):
        raise GeneratorError(
            f"{source.text} is a bare Python pickle, which can only be read by running code and is "
            "refused; save the state dict with torch.save, or use nriqm_bench.save_generator"
        )
    if not trust:
        check(source)
    try:
        with warnings.catch_warnings():
            # Old files make torch warn about its own storage classes; nothing a user could do.
            warnings.filterwarnings("ignore", message=".*TypedStorage is deprecated")
            try:
                content = torch.load(source.path, map_location="cpu", weights_only=True)
            except Exception:
                if not trust:
                    raise
                content = torch.load(source.path, map_location="cpu", weights_only=False)
    except Exception as error:
        if trust and isinstance(error, AttributeError | ImportError):
            raise GeneratorError(
                f"{source.text} needs Python code that is not importable here ({brief(error)}); "
                "run where it is, or save the state dict"
            ) from error
        raise damaged(source.text, error) from error
    source.read["torch"] = content
    return content


def check(source: Source) -> None:
    """Refuse a torch file that would run code, or take more memory than it has bytes.

    Nothing is unpickled. `read` does this itself; a loader that hands the file to another reader
    calls it first.

    Raises
    ------
    GeneratorError
        In one sentence.
    """
    if source.members:
        return check_archive(source.text, source.path)
    try:
        with (
            source.path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream,
        ):
            found = [opcodes.outline(stream) for _ in range(_LEGACY_PICKLES)]
            held = sum(count for plan in found for _, count in plan.storages)
            if held > len(stream):
                raise opcodes.PickleError(f"it claims {held} bytes of weights, more than it is")
    except opcodes.PickleError as error:
        raise damaged(source.text, error) from error
    _check_names(source.text, found)


def check_archive(text: str, file: Path | io.BytesIO) -> None:
    """`check` for an archive that may lie in memory, within another one."""
    archive.check_torch(text, file)
    try:
        _check_names(text, [outline_of(records(text, file), "data.pkl", "data")])
    except opcodes.PickleError as error:
        raise damaged(text, error) from error


def _check_names(text: str, found: list[opcodes.Outline]) -> None:
    """Refuse pickles that name or call anything but what weights are made of."""
    named = {name for plan in found for name in plan.globals}
    called = {name for plan in found for name in plan.called}
    odd = {n for n in named if not _PLAIN.fullmatch(n)} | {n for n in called if n not in named}
    odd |= {name for name in called if name.endswith("Storage")}
    if odd:
        raise GeneratorError(
            f"{text} holds Python objects ({listed(sorted(odd))}) that only exist by "
            "running code from the file, which is refused; save the state dict, a TorchScript file "
            "or use nriqm_bench.save_generator, or pass --nriqm-trust if you trust whoever made it"
        )


def records(text: str, file: Path | io.BytesIO) -> Any:
    """torch's own reader of an archive, so that what is checked is what torch will read."""
    import torch

    if isinstance(file, io.BytesIO):
        file.seek(0)
    try:
        return torch._C.PyTorchFileReader(str(file) if isinstance(file, Path) else file)
    except (RuntimeError, UnicodeError) as error:
        raise damaged(text, error) from error


def outline_of(reader: Any, name: str, folder: str) -> opcodes.Outline:
    """The outline of one pickle in a torch archive, whose storages lie in `folder` beside it.

    Raises
    ------
    PickleError
        When it is damaged, too large, or claims storages larger than their members.
    """
    try:
        size = reader.get_record_size(name)
        if size > _PICKLE:
            raise opcodes.PickleError(f"{name} has {size} bytes; weights belong beside it")
        plan = opcodes.outline(reader.get_record(name))
        for key, count in plan.storages:
            held = reader.get_record_size(f"{folder}/{key}") if count else 0
            if count > held:
                raise opcodes.PickleError(f"it claims {count} bytes of weights {key!r}, has {held}")
    except (RuntimeError, UnicodeError) as error:
        raise opcodes.PickleError(brief(error)) from error
    return plan


def damaged(text: str, error: Exception) -> GeneratorError:
    """The sentence about a file that torch cannot read."""
    return GeneratorError(
        f"{text} is no readable torch file: it is damaged, truncated or of another program "
        f"({brief(error)})"
    )


def read_safetensors(source: Source) -> dict[str, Any]:
    """The tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(source.path))
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise GeneratorError(
            f"{source.text} is a damaged or truncated safetensors file ({brief(error)}); copy or "
            "download it again"
        ) from error
