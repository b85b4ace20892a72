"""`GeneratorError`: what a checkpoint that cannot be used raises, always one sentence."""

from __future__ import annotations

import re
from collections.abc import Collection

# Last lines of torch's messages that say nothing about the error.
_UNTELLING = ("Check the documentation", "Please file an issue")


# A longer message keeps its beginning (what and where) and its end (what to pass).
_BEGINNING, _END = 360, 160


class GeneratorError(ValueError):
    """A checkpoint is missing, unreadable, unsafe or unfit; the message says what to pass.

    The message is one line of printable characters, whatever names the checkpoint holds.
    """

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        if len(line) > _BEGINNING + _END + 5:
            line = f"{line[:_BEGINNING]} ... {line[-_END:]}"
        super().__init__(line)


def listed(items: Collection[str], limit: int = 5) -> str:
    """The first few of `items` and how many more there are."""
    shown = ", ".join(list(items)[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def brief(error: BaseException) -> str:
    """The last telling line of an exception, for use inside a sentence."""
    text = str(error)
    if unpickler := re.search(r"WeightsUnpickler error: (.*)", text):
        text = unpickler[1]
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w", line)]
    told = [line for line in lines if not line.startswith(_UNTELLING) and "<--- HERE" not in line]
    if not told:
        return type(error).__name__
    line = told[-1].removeprefix(f"{type(error).__name__}: ").split(". This is an internal")[0]
    return f"{type(error).__name__}: {line[:200].rstrip('.')}"
