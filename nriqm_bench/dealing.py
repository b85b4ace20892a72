"""Real images dealt by subject: no two sets ever share one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def shuffled(subjects: Sequence[str], rng: np.random.Generator) -> tuple[Rows, Rows]:
    """The rows with the subjects in random order, and where among them each subject begins.

    Parameters
    ----------
    subjects
        The subject of each row.
    rng
        Decides the order of subjects; rows of one subject keep theirs.
    """
    _, owner = np.unique(np.asarray(subjects), return_inverse=True)
    place = rng.permutation(owner.max() + 1)[owner]
    rows = np.argsort(place, kind="stable")
    return rows, np.concatenate([[0], np.flatnonzero(np.diff(place[rows])) + 1])


def deal(subjects: Sequence[str], parts: int, rng: np.random.Generator) -> list[Rows]:
    """The rows of `parts` sets, as equal in size as whole subjects allow, none of them empty.

    Parameters
    ----------
    subjects
        The subject of each row, of at least `parts` subjects.
    parts
        How many sets.
    rng
        Decides which subjects are together.
    """
    rows, starts = shuffled(subjects, rng)
    cuts = [0]
    for part in range(1, parts):
        # A subject at least is left for each of the sets that follow.
        free = starts[: len(starts) - (parts - 1 - part)]
        free = free[free > cuts[-1]]
        cuts.append(int(free[np.argmin(np.abs(free - part * len(rows) / parts))]))
    return [rows[low:high] for low, high in zip(cuts, [*cuts[1:], len(rows)], strict=True)]
