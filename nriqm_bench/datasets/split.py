"""Who is in which part: train, reference and held-out never share a subject."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

# Each part by the words that name it, as a folder or in an array.
WORDS = {
    "train": ("train",),
    "reference": ("reference", "val", "validation"),
    "held-out": ("held-out", "heldout", "test"),
}
_PARTS = {word: part for part, words in WORDS.items() for word in words}


def part_of(word: str) -> str | None:
    """The part that a word names, ``train``, ``reference`` or ``held-out``; None for no part."""
    return _PARTS.get(word.lower())


def check_part(part: str) -> None:
    """Raise `ValueError` unless `part` is one of the three."""
    if part not in WORDS:
        raise ValueError(f"part was {part!r}, must be one of {', '.join(WORDS)}")


def check_apart(subjects: Sequence[str], parts: Sequence[str], where: str) -> None:
    """Raise `ValueError` when a subject is in two parts."""
    seen: dict[str, str] = {}
    for subject, part in zip(subjects, parts, strict=True):
        if seen.setdefault(subject, part) != part:
            raise ValueError(
                f"{where} holds subject {subject!r} in both {seen[subject]} and {part}, but parts "
                "must not share a subject; move all its images into one of them"
            )


def shuffled(subjects: Iterable[str], seed: int) -> list[str]:
    """The distinct subjects in the order of sha256(seed, subject): the same on any machine."""
    return sorted(
        set(subjects), key=lambda name: hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    )


def third(subjects: Iterable[str], part: str, seed: int, where: str) -> list[str]:
    """The subjects of one part, when nothing says who belongs where: a third each, by hash.

    Raises
    ------
    ValueError
        For fewer than three subjects.
    """
    order = shuffled(subjects, seed)
    if len(order) < len(WORDS):
        raise ValueError(
            f"{where} holds {len(order)} subject{'s' * (len(order) != 1)} "
            f"({', '.join(order)}), needs at least 3: one each for train, reference and held-out; "
            "add subjects, or name them apart if these are more"
        )
    cuts = [round(i * len(order) / len(WORDS)) for i in range(len(WORDS) + 1)]
    i = list(WORDS).index(part)
    return order[cuts[i] : cuts[i + 1]]


def too_few(where: str, part: str, found: int, asked: int) -> ValueError:
    """The error of a part that holds fewer images than were asked for."""
    return ValueError(
        f"{where} holds {found} {part} images, but {asked} were asked for; pass --nriqm-n {found} "
        "or fewer, or add images"
    )
