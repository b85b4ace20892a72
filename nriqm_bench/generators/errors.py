"""`GeneratorError`: what a checkpoint that cannot be used raises, always one sentence."""

from __future__ import annotations

from collections.abc import Collection


class GeneratorError(ValueError):
    """A checkpoint is missing, unreadable, unsafe or unfit; the message says what to pass."""


def listed(items: Collection[str], limit: int = 5) -> str:
    """The first few of `items` and how many more there are."""
    shown = ", ".join(list(items)[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"


def brief(error: BaseException) -> str:
    """The last telling line of an exception, for use inside a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else "no message"
    return f"{type(error).__name__}: {text[:300]}"
