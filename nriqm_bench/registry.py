"""Named, lazily loaded collections: how every room finds its metrics, datasets and the rest."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class UnknownName(KeyError):
    """A `KeyError` whose message reads as a sentence (a plain `KeyError` prints its repr)."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Generic[T]):
    """A collection of named things of one kind.

    Parameters
    ----------
    kind
        What one thing is called in an error message, for instance ``"metric"``.
    group
        The entry point group in which other packages announce theirs.
    builtin
        Name to ``"module:attribute"``; the module is imported when the name is first asked for.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)
        self._registered: dict[str, T] = {}

    def get(self, name: str) -> T:
        """The thing called `name`; an unknown name raises `KeyError` with the closest names."""
        if name in self._registered:
            return self._registered[name]
        if name in self._builtin:
            module, _, attribute = self._builtin[name].partition(":")
            found: T = getattr(importlib.import_module(module), attribute)
        elif (point := self._entry_points().get(name)) is not None:
            found = point.load()
        else:
            raise UnknownName(unknown(self.kind, name, self.names()))
        self._registered[name] = found
        return found

    def names(self) -> list[str]:
        """Every known name, sorted; nothing is imported to find them."""
        return sorted({*self._builtin, *self._registered, *self._entry_points()})

    def match(self, pattern: str) -> list[str]:
        """The names that fit a shell pattern; none at all raises `KeyError` like `get`."""
        found = fnmatch.filter(self.names(), pattern)
        if not found:
            raise UnknownName(unknown(self.kind, pattern, self.names()))
        return found

    def add(self, name: str, thing: T) -> T:
        """Register `thing` under a new `name`; a taken name raises `ValueError`."""
        if not isinstance(name, str) or name.split() != [name]:
            raise ValueError(f"the name of a {self.kind} was {name!r}, must be one word")
        if name in self.names():
            raise ValueError(f"the {self.kind} name {name!r} is taken; choose another one")
        self._registered[name] = thing
        return thing

    def discard(self, name: str) -> None:
        """Forget a thing that was registered at run time; built-in names come back as shipped."""
        self._registered.pop(name, None)

    def _entry_points(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self.group)}


def unknown(kind: str, name: str, valid: Iterable[str]) -> str:
    """The sentence that says which name was wrong, what was probably meant, and what exists."""
    valid = sorted(valid)
    close = closest(name, valid)
    hint = f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else "."
    return f"unknown {kind} {name!r}{hint} Valid names: {', '.join(valid) or 'none'}."


def closest(name: str, valid: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """At most three of the valid names, the likeliest first, whatever their case."""
    plain = {v.lower(): v for v in valid}
    return [plain[v] for v in difflib.get_close_matches(str(name).lower(), plain, 3, cutoff)]
