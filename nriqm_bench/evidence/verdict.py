"""A yes or no that says why: the outcome of one expectation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """True when the expectation was met; its text is one sentence with the numbers.

    Written so that ``assert curve.degrades()`` shows the sentence when it fails.
    """

    met: bool
    sentence: str

    def __bool__(self) -> bool:
        return self.met

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        return f"<{'met' if self.met else 'not met'}: {self.sentence}>"
