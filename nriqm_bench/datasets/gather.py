"""From files to one `ImageSet`: those of a part, read in order until there are enough images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from nriqm_bench.datasets import split
from nriqm_bench.datasets.source import Progress
from nriqm_bench.images import ImageSet, concatenate


class _Placed(Protocol):
    """What a file must tell: where it is, whom it shows and, perhaps, the part it belongs to."""

    @property
    def path(self) -> Path: ...

    @property
    def subject(self) -> str: ...

    @property
    def part(self) -> str | None: ...


E = TypeVar("E", bound=_Placed)


def in_part(entries: Sequence[E], part: str, seed: int, where: str) -> list[E]:
    """The entries of one part, subject by subject in the order that `seed` decides.

    Where entries name no parts, the subjects are dealt into thirds by a hash.

    Raises
    ------
    ValueError
        For a subject in two parts, a part without entries, or fewer than three subjects.
    """
    parts = [e.part for e in entries if e.part is not None]
    if parts:
        split.check_apart([e.subject for e in entries], parts, where)
        order = split.shuffled((e.subject for e in entries if e.part == part), seed)
        if not order:
            raise ValueError(
                f"{where} has folders for {', '.join(sorted(set(parts)))}, but none for {part}; "
                f"add one ({' or '.join(split.WORDS[part])}), or put all images into one folder "
                "to have them split by subject"
            )
    else:
        order = split.third((e.subject for e in entries), part, seed, where)
    rank = {subject: i for i, subject in enumerate(order)}
    return sorted((e for e in entries if e.subject in rank), key=lambda e: rank[e.subject])


def gather(
    entries: Sequence[E],
    read: Callable[[E], ImageSet],
    desc: str,
    progress: Progress | None = None,
    n: int | None = None,
    part: str = "",
) -> ImageSet:
    """The first `n` images of `entries`; no more files are read than that takes.

    Parameters
    ----------
    entries
        Which files, in order.
    read
        The images of one file.
    desc
        What the progress says: ``name, part``.
    progress
        Shows the files as they are read.
    n
        How many images; None is all.
    part
        For the error about too few.

    Raises
    ------
    ValueError
        For images of different sizes, masks for some only, or fewer than `n` images.
    """
    shown: Iterable[E] = entries
    if progress is not None:
        shown = progress(entries, desc, len(entries))
    found: list[ImageSet] = []
    count = 0
    for entry in shown:
        images = read(entry)
        if found and images.spatial != found[0].spatial:
            raise ValueError(
                f"{entry.path} is {_by(images)} pixels but {entries[0].path} is {_by(found[0])}: "
                "give a size to bring all to one"
            )
        if found and (images.masks is None) != (found[0].masks is None):
            raise ValueError(
                f"of {entry.path} and {entries[0].path} one has masks and one has none, "
                "must be both or neither"
            )
        found.append(images)
        count += len(images)
        if n is not None and count >= n:
            break
    if n is not None and count < n:
        raise split.too_few(desc.partition(",")[0], part, count, n)
    return concatenate(*found)[:n]


def _by(found: ImageSet) -> str:
    return " x ".join(str(s) for s in found.spatial)
