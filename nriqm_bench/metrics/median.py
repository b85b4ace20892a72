"""The median distance between the rows of a sample, exactly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.neighbours_pass import squared_distances
from nriqm_bench.metrics.pairs import steps
from nriqm_bench.metrics.sample import Float64, Indices, Sample
from nriqm_bench.metrics.screens import Block, Screen


def median_distance(sample: Sample) -> float:
    """The median distance between two different rows of a sample; kept with it."""
    if "median distance" not in sample.own:
        sample.own["median distance"] = _median(sample)
    return float(sample.own["median distance"])


def _median(sample: Sample) -> float:
    n = len(sample)
    pairs = n * (n - 1) // 2
    low, high = (pairs - 1) // 2, pairs // 2
    screen = Screen(sample, None, "float64")

    def bounds() -> Iterator[tuple[Indices, Indices, Float64, Float64]]:
        for i in steps(n):
            for j in steps(n):
                if i.start <= j.start:
                    rows, columns = np.nonzero(np.ones((i.stop - i.start, j.stop - j.start)))
                    upward = rows + i.start < columns + j.start
                    rows, columns = rows[upward], columns[upward]
                    found = Block([lambda: screen], i, j, own=True).bounds(rows, columns)
                    yield rows + i.start, columns + j.start, *found

    # Too many pairs to keep: bins by the leading bits say between what limits the median lies.
    counts = np.zeros((2, _BINS), dtype=np.int64)
    for _, _, lower, upper in bounds():
        counts[0] += np.bincount(_bin(lower), minlength=_BINS)
        counts[1] += np.bincount(_bin(upper), minlength=_BINS)
    least = int(np.searchsorted(np.cumsum(counts[0]), low, side="right"))
    most = int(np.searchsorted(np.cumsum(counts[1]), high, side="right"))
    below, parts = 0, []
    for i, j, lower, upper in bounds():
        open_ = (_bin(upper) >= least) & (_bin(lower) <= most)
        below += int(np.count_nonzero(_bin(upper) < least))
        parts.append((i[open_], j[open_], lower[open_], upper[open_]))
    i, j, lower, upper = (np.concatenate(p) for p in zip(*parts, strict=True))
    # Of what is left, the bounds decide all but the pairs about the middle ranks themselves.
    start = np.partition(lower, low - below)[low - below]
    stop = np.partition(upper, high - below)[high - below]
    below += int(np.count_nonzero(upper < start))
    middle = (upper >= start) & (lower <= stop)
    exact = np.sort(squared_distances(sample, sample, i[middle], j[middle]))
    return float(np.sqrt(exact[[low - below, high - below]]).mean())


_BINS = 1 << 16


def _bin(values: Float64) -> NDArray[np.int64]:
    """Bins in rising order, finer than half a per cent of the value."""
    with np.errstate(over="ignore", under="ignore"):
        small = np.maximum(values, 0).astype(np.float32)
    return (small.view(np.uint32) >> 15).astype(np.int64)
