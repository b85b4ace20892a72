"""What may stand in a torch.export archive that is loaded without trust.

`torch.export.load` runs code in five ways: it unpickles weights, constants and example inputs; it
evaluates the symbolic expressions of shapes as Python (``sympy.sympify``); it resolves the target
of a node to any callable below ``torch``, ``math`` and ``operator``; it writes Python source with
the names in the file and executes it; and it loads compiled libraries (AOTInductor). So before it
is called, pickles other than plain tensors, compiled code, and every name, target and expression
outside a narrow grammar are refused, as is anything larger than the file that holds it. All is read
with torch's own reader: what is checked is what will be loaded.
"""

from __future__ import annotations

import ast
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from nriqm_bench.generators import archive, torchfile
from nriqm_bench.generators.errors import GeneratorError, brief, listed

MODEL = "models/model.json"
EXAMPLE = "data/sample_inputs/model.pt"
CONFIGS = {
    "data/weights/": "data/weights/model_weights_config.json",
    "data/constants/": "data/constants/model_constants_config.json",
}
_MEMBERS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/\w+|\.format_version|\.storage_alignment"
    r"|models/model\.json|data/sample_inputs/model\.pt"
    r"|data/(weights/weight_\d+|constants/tensor_\d+)"
    r"|data/(weights/model_weights|constants/model_constants)_config\.json"
    r"|extra/[\w.-]+"
)
_COMPILED = "data/aotinductor/"
# Views may share a payload; a thousand views of it would be unfolded when the weights are copied.
_SHARED = 4

_NAME = re.compile(r"(?!__)[A-Za-z_]\w{0,255}")
_PATH = re.compile(r"(?!.*__)[\w.]{0,512}")
# Text that torch keeps or prints, but neither evaluates nor writes into code.
_FREE = {"metadata", "as_string", "as_strings", "torch_version", "guards_code"}
_NAMES = {"name", "as_name"}
_SPECS = {"in_spec", "out_spec"}
_SPEC_TYPES = {None, "builtins.tuple", "builtins.list", "builtins.dict"}

_ATEN = re.compile(r"torch\.ops\.(aten|prims)\.(\w+)\.(\w+)")
_FORBIDDEN = {"save", "from_file"}
_HIGHER = {
    f"torch.ops.higher_order.{name}"
    for name in ("cond", "while_loop", "scan", "map_impl", "wrap_with_set_grad_enabled")
}
_NUMBERS = re.compile(
    r"_operator\.(add|and_|eq|floordiv|ge|getitem|gt|le|lshift|lt|mod|mul|ne|neg|not_|or_|pos|pow"
    r"|rshift|sub|truediv)|torch\.sym_(float|int|ite|max|min|not|sqrt|sum)|math\.(ceil|floor|trunc)"
)
_FUNCTIONS = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv"
    r"|CeilToInt|FloorToInt|IntTrueDiv|FloatTrueDiv|ToFloat|TruncToInt|TruncToFloat|RoundToInt"
    r"|ModularIndexing|Identity|Eq|Equality|Ne|Unequality|Lt|Le|Gt|Ge|(Strict)?(Less|Greater)Than"
    r"|And|Or|Not|Where|true|false"
)
_SYMPY_NODES = (
    ast.Expression,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.UnaryOp,
    ast.USub,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Compare,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
)
_LONGEST = 4096


def check(text: str, reader: Any, file_size: int, *, trust: bool) -> None:
    """Refuse an archive that could run code or take more memory than its file.

    Parameters
    ----------
    text
        The file, for the messages.
    reader
        A `torch._C.PyTorchFileReader` of it.
    file_size
        In bytes.
    trust
        Whether pickles, operators and compiled code are allowed; the sizes are checked all the
        same.

    Raises
    ------
    GeneratorError
        Naming what is refused.
    """
    names = list(reader.get_all_records())
    if len(set(names)) < len(names):
        raise GeneratorError(f"{text} holds two parts of one name, and is refused; export it again")
    sizes = {name: int(reader.get_record_size(name)) for name in names}
    # torch stores without compression: whatever unfolds was made by something else.
    if sum(sizes.values()) > file_size:
        raise GeneratorError(
            f"{text} would unpack to {sum(sizes.values()) / 2**20:.0f} MiB, more than its "
            f"{file_size / 2**20:.0f} MiB, which torch.export.save never writes; it is refused"
        )
    for name in (MODEL, EXAMPLE, *CONFIGS.values()):
        if name not in sizes:
            raise GeneratorError(
                f"{text} has no {name}: it is damaged, or holds no model of torch.export.save"
            )
    if not trust:
        if any(name.startswith(_COMPILED) for name in names):
            raise _refused(text, "compiled code (AOTInductor)", "save it with torch.export.save")
        if odd := [name for name in names if not _MEMBERS.fullmatch(name)]:
            raise _refused(
                text, f"the parts {listed([ascii(n) for n in odd])}", "save it with this torch"
            )
    for folder, config in CONFIGS.items():
        _check_payloads(text, _json(text, reader, config), folder, sizes, trust=trust)
    if not trust:
        _check_example(text, reader.get_record(EXAMPLE))
        for role, found in _walk(_json(text, reader, MODEL), ""):
            _check_text(text, role, found)


def _json(text: str, reader: Any, name: str) -> Any:
    try:
        return json.loads(bytes(reader.get_record(name)))
    except (ValueError, RecursionError) as error:
        raise GeneratorError(
            f"{text} is damaged: {name} in it is no JSON ({brief(error)}); copy it again"
        ) from error


def _check_payloads(
    text: str, config: Any, folder: str, sizes: Mapping[str, int], *, trust: bool
) -> None:
    """Every tensor must lie within the bytes that the archive holds for it."""
    import torch
    from torch._export.serde.serialize import _SERIALIZE_TO_TORCH_DTYPE

    total = 0
    try:
        entries = dict(config["config"])
        for name, entry in entries.items():
            if not trust and (entry["use_pickle"] or not _PATH.fullmatch(name)):
                raise _refused(
                    text, f"the pickled object {name!a}", "export plain parameters and buffers"
                )
            if entry["use_pickle"]:
                continue
            place = folder + entry["path_name"]
            meta = entry["tensor_meta"]
            shape = [int(size["as_int"]) for size in meta["sizes"]]
            width = torch.empty(0, dtype=_SERIALIZE_TO_TORCH_DTYPE[meta["dtype"]]).element_size()
            needed = math.prod(shape) * width
            if place not in sizes or min(shape, default=0) < 0 or needed > sizes[place]:
                raise GeneratorError(
                    f"{text} declares {name!r} of shape {tuple(shape)} but does not hold it; it is "
                    "refused"
                )
            total += needed
    except GeneratorError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GeneratorError(
            f"{text} is damaged: the list of its tensors cannot be read ({brief(error)}); copy it "
            "again"
        ) from error
    if total > _SHARED * sum(size for name, size in sizes.items() if name.startswith(folder)):
        raise GeneratorError(
            f"{text} declares {total / 2**20:.0f} MiB of tensors, far more than it holds; it is "
            "refused"
        )


def _check_example(text: str, content: Any) -> None:
    """torch would fall back to running the pickle; so it must be readable without."""
    import torch

    archive.members(text, io.BytesIO(bytes(content)))
    torchfile.check_archive(text, io.BytesIO(bytes(content)))
    try:
        torch.load(io.BytesIO(bytes(content)), map_location="cpu", weights_only=True)
    except Exception as error:
        raise _refused(
            text, f"example inputs that are no plain tensors ({brief(error)})", "export it again"
        ) from error


def _walk(node: Any, role: str) -> Iterator[tuple[str, str]]:
    """Every string with the key it stands under; keys of dicts as their own role."""
    stack = [(node, role)]
    while stack:
        found, under = stack.pop()
        if isinstance(found, dict):
            if under in _FREE:
                continue
            for key, value in found.items():
                yield "", key
                stack.append((value, key))
        elif isinstance(found, list):
            stack.extend((value, under) for value in found)
        elif isinstance(found, str):
            yield under, found


def _check_text(text: str, role: str, found: str) -> None:
    if role in _FREE:
        return
    if role in {"target", "as_operator"}:
        if not _is_operator(found):
            raise _refused(text, f"the operator {ascii(found)[:80]}", "export it without")
        return
    if role == "expr_str":
        good = _is_expression(found)
    elif role in _SPECS:
        good = _is_spec(found)
    elif role in _NAMES:
        good = not found or bool(_NAME.fullmatch(found))
    else:
        good = bool(_PATH.fullmatch(found))
    if not good:
        raise _refused(
            text,
            f"{ascii(found)[:80]} where torch writes {role or 'a name'}",
            "save it with torch.export.save",
        )


def _is_operator(target: str) -> bool:
    """Whether `target` is an operator of torch's own library that stays within memory."""
    import torch

    if target in _HIGHER or _NUMBERS.fullmatch(target):
        return True
    named = _ATEN.fullmatch(target)
    if not named or named[2] in _FORBIDDEN:
        return False
    try:
        packet = getattr(getattr(torch.ops, named[1]), named[2])
        overload = getattr(packet, named[3])
    except AttributeError:
        return False
    return isinstance(packet, torch._ops.OpOverloadPacket) and isinstance(
        overload, torch._ops.OpOverload
    )


def _is_expression(found: str) -> bool:
    """Whether `found` is arithmetic of symbols, as sympy prints it."""
    if len(found) > _LONGEST:
        return False
    try:
        tree = ast.parse(found, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _SYMPY_NODES):
            return False
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            return False
        if isinstance(node, ast.Name) and not _FUNCTIONS.fullmatch(node.id):
            return False
        if isinstance(node, ast.Constant):
            value = node.value
            small = isinstance(value, int | float) and abs(value) < 2**63
            if not small and not (isinstance(value, str) and _NAME.fullmatch(value)):
                return False
    return True


def _is_spec(found: str) -> bool:
    """Whether `found` describes tuples, lists and dicts of tensors."""
    try:
        version, tree = json.loads(found)
        stack = [tree]
        while stack:
            node = stack.pop()
            keys = json.loads(node["context"] or "null")
            named = isinstance(keys, list) and all(
                isinstance(k, str) and _NAME.fullmatch(k) for k in keys
            )
            if node["type"] not in _SPEC_TYPES or not (keys is None or named):
                return False
            stack.extend(node["children_spec"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(version, int)


def _refused(text: str, what: str, instead: str) -> GeneratorError:
    return GeneratorError(
        f"{text} holds {what}, which may run code when it is loaded and is refused; {instead}, or "
        "pass --nriqm-trust if you trust whoever made it"
    )
