"""The expressions in a MONAI config, understood without running them.

An expression is parsed, never evaluated: literals, arithmetic, references and a handful of calls
whose meaning is known become plain data or a description of what they would make. Everything else
raises `CodeError`.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MOST_CHARACTERS = 2_000
_MOST_ITEMS = 10_000
# References become names that Python can parse.
_REFERENCE = re.compile(r"@(\w+(?:(?:::|#)\w+)*)")
_LOCAL = "__reference_{}__"


@dataclass(frozen=True)
class Component:
    """A dict with ``_target_``, not built; equal when it stands at the same key."""

    key: str
    target: str
    raw: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The class name that the target ends with."""
        return re.split(r"[.:]", self.target)[-1]


@dataclass(frozen=True)
class Stored:
    """What ``torch.load(path)`` would return, and the keys that lead inside it."""

    path: str
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Loading:
    """``component.load_state_dict(stored)``; `old` for weights of MONAI Generative Models."""

    component: Component
    stored: Stored
    old: bool = False


@dataclass(frozen=True)
class Loader:
    """The bound method ``component.load_state_dict``."""

    component: Component
    old: bool


@dataclass(frozen=True)
class Steps:
    """``scheduler.set_timesteps(count)``."""

    component: Component
    count: int


@dataclass(frozen=True)
class Noise:
    """``torch.randn(shape)`` or, when `uniform`, ``torch.rand(shape)``."""

    shape: tuple[int, ...]
    uniform: bool


@dataclass(frozen=True)
class Values:
    """``torch.tensor(values)``."""

    values: Any


@dataclass(frozen=True)
class Device:
    """Any ``torch.device``: the one that the user asked for is used in its place."""


class CodeError(Exception):
    """An expression is outside the language that is understood here; says which part."""


def understand(expression: str, refer: Callable[[str], Any]) -> Any:
    """The value or description that an expression (without its ``$``) stands for.

    Parameters
    ----------
    expression
        Python, with references ``@name`` or ``@name::inner::0``.
    refer
        ``name -> value`` of a reference; called for those that the value depends on.

    Raises
    ------
    CodeError
        When it would have to run.
    ArithmeticError, LookupError, TypeError, ValueError
        When it is understood, but computes nonsense.
    """
    if len(expression) > _MOST_CHARACTERS:
        raise CodeError("an expression so long")
    names: dict[str, str] = {}

    def name_of(match: re.Match[str]) -> str:
        local = _LOCAL.format(len(names))
        names[local] = match[1]
        return local

    try:
        tree = ast.parse(_REFERENCE.sub(name_of, expression.strip()), mode="eval")
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        raise CodeError("it does not read as an expression") from error
    return _Reader(names, refer).node(tree.body)


class _Reader:
    def __init__(self, names: Mapping[str, str], refer: Callable[[str], Any]) -> None:
        self.names = names
        self.refer = refer

    def node(self, node: ast.expr) -> Any:
        """The value of one node of an expression; what is not listed here is code."""
        value = self.node
        match node:
            case ast.Constant(value=int() | float() | str() | None as constant):
                return constant
            case ast.Name(id=name) if name in self.names:
                return self.refer(self.names[name])
            case ast.List(elts=items):
                return [value(item) for item in items]
            case ast.Tuple(elts=items):
                return tuple(value(item) for item in items)
            case ast.Dict(keys=keys, values=values) if None not in keys:
                return {value(k): value(v) for k, v in zip(keys, values, strict=True) if k}
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](_plain(value(operand)))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _combine(op, value(left), value(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
                return _COMPARE[type(op)](_plain(value(left)), _plain(value(right)))
            case ast.BoolOp(op=op, values=values):
                wanted = isinstance(op, ast.Or)
                last: Any = None
                for item in values:
                    last = _plain(value(item))
                    if bool(last) is wanted:
                        break
                return last
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return value(body) if _plain(value(test)) else value(orelse)
            case ast.Subscript(value=inner, slice=index):
                return _item(value(inner), value(index))
            case ast.ListComp(elt=element, generators=[ast.comprehension()]):
                drawn = value(element)
                if isinstance(drawn, Noise):
                    return drawn
            case ast.Attribute(value=inner, attr=attribute):
                return _attribute(value(inner), attribute)
            case ast.Call(func=function, args=positional, keywords=keywords):
                words = {word.arg: word.value for word in keywords if word.arg is not None}
                if len(words) == len(keywords):
                    return self._call(function, positional, words)
        raise CodeError(ast.unparse(node)[:60])

    def _call(
        self,
        function: ast.expr,
        positional: list[ast.expr],
        words: Mapping[str, ast.expr],
    ) -> Any:
        value = self.node
        name = ast.unparse(function)
        if name == "torch.device":
            return Device()
        if name == "torch.cuda.is_available" and not positional and not words:
            return False
        if name == "torch.load":
            path = value(positional[0] if positional else words["f"])
            if isinstance(path, str):
                return Stored(path)
        elif name in ("torch.randn", "torch.rand"):
            given = [value(a) for a in positional] or [value(words["size"])]
            sizes = given[0] if isinstance(given[0], list | tuple) else given
            if all(isinstance(s, int) for s in sizes):
                return Noise(tuple(sizes), name == "torch.rand")
        elif name == "torch.tensor" and len(positional) == 1:
            return Values(_plain(value(positional[0])))
        elif name == "os.path.join" and positional and not words:
            parts = [value(a) for a in positional]
            if all(isinstance(part, str) for part in parts):
                return "/".join(parts)
        elif name in _BUILTIN and len(positional) == 1 and not words:
            return _BUILTIN[name](_plain(value(positional[0])))
        elif isinstance(function, ast.Attribute):
            return _method(value(function.value), function.attr, positional, words, value)
        elif isinstance(function, ast.Name):
            return _method(value(function), "", positional, words, value)
        raise CodeError(f"it calls {name[:60]}")


def _method(
    owner: Any,
    name: str,
    positional: list[ast.expr],
    words: Mapping[str, ast.expr],
    value: Callable[[ast.expr], Any],
) -> Any:
    """A method of something described; moving it to a device leaves it what it is."""
    if isinstance(owner, Component):
        if name in ("to", "cuda", "cpu", "eval", "float"):
            return owner
        if name in _LOADERS:
            owner, name = Loader(owner, _LOADERS[name]), ""
        elif name == "set_timesteps":
            count = value(positional[0] if positional else words["num_inference_steps"])
            if isinstance(count, int):
                return Steps(owner, count)
    if isinstance(owner, Loader) and name == "":
        stored = value(positional[0] if positional else words["state_dict"])
        if isinstance(stored, Stored):
            return Loading(owner.component, stored, owner.old)
    if isinstance(owner, Stored | Noise | Values) and name in ("to", "cuda", "cpu", "float"):
        return owner
    if isinstance(owner, Stored) and name == "item":
        return owner
    if isinstance(owner, Values) and name == "unsqueeze" and len(positional) == 1:
        import torch

        return Values(torch.tensor(owner.values).unsqueeze(int(value(positional[0]))).tolist())
    raise CodeError(f"it calls .{name[:60]}")


def _attribute(owner: Any, name: str) -> Any:
    if isinstance(owner, Component) and name in _LOADERS:
        return Loader(owner, _LOADERS[name])
    raise CodeError(f"it reads .{name[:60]}")


def _item(owner: Any, index: Any) -> Any:
    if isinstance(owner, Stored) and isinstance(index, str):
        return Stored(owner.path, (*owner.keys, index))
    if isinstance(owner, list | tuple | dict | str) and isinstance(index, int | str):
        return owner[index]  # type: ignore[index]
    raise CodeError("it takes an item of something else than a list or dict")


def _combine(op: ast.operator, left: Any, right: Any) -> Any:
    numbers = (int, float)
    if isinstance(left, numbers) and isinstance(right, numbers):
        if isinstance(op, ast.Pow) and (abs(right) > 64 or abs(left) > 2**16):
            raise CodeError("a power so large")
        result = _BINARY[type(op)](left, right)
        if isinstance(result, int) and abs(result) >= 2**63:
            raise CodeError("a number so large")
        return result
    if (
        isinstance(op, ast.Add)
        and type(left) is type(right)
        and isinstance(left, str | list | tuple)
    ):
        if len(left) + len(right) > _MOST_ITEMS:
            raise CodeError("a sum so large")
        return left + right
    if isinstance(op, ast.Mult):
        series, count = (left, right) if isinstance(right, int) else (right, left)
        # Lists of lists would grow by a factor with every level.
        flat = isinstance(series, list | tuple) and not any(
            isinstance(item, list | tuple | dict) for item in series
        )
        if flat and isinstance(count, int) and count <= 64 and len(series) <= 64:
            return series * count
    raise CodeError("it combines something else than numbers, words and lists")


def _plain(value: Any) -> Any:
    """`value` where it is plain data; truth and arithmetic of a description mean nothing."""
    items = value.values() if isinstance(value, dict) else value
    if isinstance(value, list | tuple | dict):
        for item in items:
            _plain(item)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise CodeError(f"it computes with a {type(value).__name__}")
    return value


_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_BUILTIN: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "len": len,
    "list": list,
    "tuple": tuple,
}
_LOADERS = {"load_state_dict": False, "load_old_state_dict": True}
