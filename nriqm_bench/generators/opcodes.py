"""What a pickle would build, told from its opcodes: nothing of it is built or imported.

torch's restricted unpickler runs no code of the file, but it calls functions that take memory by a
number in the file, trusts the sizes of storages, and hashes whatever is nested. This outline is
made beforehand, of the opcodes that `torch.save` and TorchScript write.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Weights lie beside the pickle; one with more entries or deeper nesting is no checkpoint.
MOST_ITEMS = 4_000_000
DEEPEST = 100
_BYTES = {
    "Double": 8,
    "Float": 4,
    "Half": 2,
    "BFloat16": 2,
    "Long": 8,
    "Int": 4,
    "Short": 2,
    "ComplexDouble": 16,
    "ComplexFloat": 8,
    "QInt32": 4,
}


class PickleError(ValueError):
    """The opcodes are damaged, or those of no checkpoint."""


@dataclass(eq=False, slots=True)
class _Node:
    """One object: how many it holds when written out in full, and how deeply they are nested.

    `value` is kept for words, numbers, names of globals (``("global", name)``) and tuples.
    """

    value: Any = None
    items: int = 1
    depth: int = 0
    # Inside another object: one that still changed would make its counts wrong, or a circle.
    placed: bool = False

    def take(self, parts: list[_Node]) -> _Node:
        if parts and (self.placed or self in parts):
            raise PickleError("it changes an object that it has already stored")
        for part in parts:
            part.placed = True
            self.items += part.items
            self.depth = max(self.depth, part.depth + 1)
        if self.items > MOST_ITEMS or self.depth > DEEPEST:
            raise PickleError(
                f"it holds more than {MOST_ITEMS} objects or {DEEPEST} levels, written out in full"
            )
        return self


@dataclass
class Outline:
    """What one pickle names.

    Attributes
    ----------
    globals
        Classes and functions, ``module.name``.
    called
        Those of them that are called.
    storages
        (key, bytes) of each tensor storage.
    """

    globals: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    storages: set[tuple[str, int]] = field(default_factory=set)


def outline(stream: Any) -> Outline:
    """Follow the opcodes of one pickle up to its end.

    Parameters
    ----------
    stream
        Bytes, or anything with ``read`` and ``readline``; no more than one pickle is read.

    Raises
    ------
    PickleError
        When the opcodes make no sense, are unusual, or nest or repeat too much.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > 2 * MOST_ITEMS:
                raise PickleError(f"it has more than {2 * MOST_ITEMS} opcodes")
            machine.step(opcode.name, argument)
    except (IndexError, KeyError) as error:
        raise PickleError("its opcodes are damaged") from error
    except (ValueError, UnicodeError) as error:
        raise PickleError(str(error)) from error
    return machine.found


class _Machine:
    """The stack machine of pickle, on `_Node` instead of objects."""

    def __init__(self) -> None:
        self.found = Outline()
        self.stack: list[_Node] = []
        self.marked: list[list[_Node]] = []
        self.memo: dict[int, _Node] = {}

    def step(self, name: str, argument: Any) -> None:
        if name in _CONSTANTS:
            self.stack.append(_Node(_CONSTANTS[name](argument)))
        elif name in _TUPLES:
            count = _TUPLES[name]
            parts = self._popped() if count is None else self._last(count)
            self.stack.append(_Node(tuple(parts)).take(parts))
        elif name in ("EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"):
            self.stack.append(_Node())
        elif name in ("LIST", "DICT"):
            self.stack.append(_Node().take(self._popped()))
        elif name in ("APPENDS", "SETITEMS"):
            parts = self._popped()
            self.stack[-1].take(parts)
        elif name in ("APPEND", "SETITEM", "BUILD"):
            parts = self._last(2 if name == "SETITEM" else 1)
            self.stack[-1].take(parts)
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = self._last(2)
            self._call(function.value)
            self.stack.append(_Node().take([arguments]))
        elif name == "GLOBAL":
            found = argument.replace(" ", ".")
            self.found.globals.add(found)
            self.stack.append(_Node(("global", found)))
        elif name == "BINPERSID":
            self._storage(self._last(1)[0].value)
            self.stack.append(_Node())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "MARK":
            self.marked.append(self.stack)
            self.stack = []
        elif name == "PROTO":
            if argument != 2:
                raise PickleError(f"it is of pickle protocol {argument}, must be 2")
        elif name != "STOP":
            raise PickleError(f"it has the opcode {name}, which torch does not write")

    def _popped(self) -> list[_Node]:
        parts, self.stack = self.stack, self.marked.pop()
        return parts

    def _last(self, count: int) -> list[_Node]:
        if len(self.stack) < count:
            raise IndexError
        parts = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return parts

    def _call(self, function: Any) -> None:
        name = function[1] if isinstance(function, tuple) and function[:1] == ("global",) else ""
        self.found.called.add(name or "an object that is no function")

    def _storage(self, identity: Any) -> None:
        """``("storage", type, key, device, count)``; TorchScript and `torch.save` agree on it."""
        if not isinstance(identity, tuple) or len(identity) < 5:
            return  # no storage, which torch refuses
        _, kind, key, _, count = (node.value for node in identity[:5])
        if not isinstance(kind, tuple) or kind[:1] != ("global",) or type(count) is not int:
            raise PickleError("it refers to a storage without telling its type and size")
        width = _BYTES.get(kind[1].rpartition(".")[2].removesuffix("Storage"), 1)
        if count < 0:
            raise PickleError(f"it refers to a storage of {count} numbers")
        self.found.storages.add((str(key), count * width))


def _same(argument: Any) -> Any:
    return argument


_CONSTANTS: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "BININT": _same,
    "BININT1": _same,
    "BININT2": _same,
    "LONG1": _same,
    "LONG4": _same,
    "BINFLOAT": _same,
    "BINUNICODE": _same,
    "BINSTRING": _same,
    "SHORT_BINSTRING": _same,
}
# How many objects go into the tuple; None is all above the mark.
_TUPLES: dict[str, int | None] = {
    "EMPTY_TUPLE": 0,
    "TUPLE1": 1,
    "TUPLE2": 2,
    "TUPLE3": 3,
    "TUPLE": None,
}
