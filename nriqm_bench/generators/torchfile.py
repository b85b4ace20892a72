"""Read what `torch.save` or safetensors wrote, without running anything that is in it."""

from __future__ import annotations

import re
import warnings
from typing import Any

from nriqm_bench.generators.errors import GeneratorError, brief
from nriqm_bench.generators.source import Source

_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_GLOBAL = re.compile(
    r"GLOBAL ([\w.]+)|Unsupported class ([\w.]+)|\[?'?([\w.]+)'?\]? is not allowed"
)


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
        raise _explain(source, error, trust) from error
    source.read["torch"] = content
    return content


def _explain(source: Source, error: Exception, trust: bool) -> GeneratorError:
    text = str(error)
    if not trust and ("Weights only load failed" in text or "weights_only" in text):
        named = _GLOBAL.search(text)
        found = next((g for g in named.groups() if g), "") if named else ""
        if found or "Unsupported" in text:
            what = f" ({found})" if found else ""
            return GeneratorError(
                f"{source.text} holds Python objects{what} that only exist by running code from "
                "the file, which is refused; save the state dict, a TorchScript file or use "
                "nriqm_bench.save_generator, or pass --nriqm-trust if you trust whoever made it"
            )
    if trust and isinstance(error, AttributeError | ImportError):
        return GeneratorError(
            f"{source.text} needs Python code that is not importable here ({brief(error)}); run "
            "where it is, or save the state dict"
        )
    return GeneratorError(
        f"{source.text} is no readable torch file: it is damaged, truncated or of another program "
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
