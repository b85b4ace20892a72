"""Real images drawn by subject from a large pool, many times over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nriqm_bench.dealing import Rows, shuffled


def draw(
    subjects: Sequence[str], n: int, sets: int, rng: np.random.Generator, where: str
) -> list[Rows]:
    """The rows of `sets` sets of `n` images each, of which no two share a subject.

    Parameters
    ----------
    subjects
        The subject of each row of the pool.
    n, sets
        Images in each set, and how many sets.
    rng
        Decides the order in which subjects are dealt; the last subject of a set is cut.
    where
        What an error calls the pool.

    Raises
    ------
    ValueError
        When the pool holds too few images.
    """
    rows, starts = shuffled(subjects, rng)
    ends = np.concatenate([starts, [len(rows)]])
    found: list[Rows] = []
    at = 0
    for _ in range(sets):
        if len(rows) - at < n:
            raise ValueError(
                f"{where} holds {len(rows)} images, too few for {sets} sets of {n} without a "
                "common subject; ask for a larger pool or smaller sets"
            )
        found.append(rows[at : at + n])
        at = int(ends[np.searchsorted(ends, at + n)])
    return found
