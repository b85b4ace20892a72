"""Strategies for Hypothesis: samples of features, and images with structure.

An array is drawn as a small seed with sizes and structural choices, not float by float: examples
are cheap, and a failing one shrinks to the least rows and columns, seed 0, the first kind, no
offset, scale 1 and float64. `grids` draws small integers one by one where the entries matter.

Examples
--------
>>> from hypothesis import given
>>> from nriqm_bench import metrics
>>> from nriqm_bench.testing import strategies
>>> @given(strategies.pairs(rows=(2, 20)))
... def test_fid_is_not_negative(pair):
...     assert metrics.get("fid")(*pair) >= 0
>>> test_fid_is_not_negative()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

__all__ = ["KINDS", "features", "grids", "images", "pairs", "triples"]

Array = NDArray[np.floating[Any]]
Sizes = int | tuple[int, int]

KINDS = ("normal", "clusters", "duplicates", "rank-deficient", "outlier", "constant")

_SEEDS = st.integers(0, 255)
_OFFSETS = st.sampled_from([0.0, 1.0, -10.0, 1000.0])
_SCALES = st.sampled_from([1.0, 0.01, 100.0])
_DTYPES = ("float64", "float32")


def features(
    rows: Sizes = (2, 40),
    columns: Sizes = (1, 12),
    *,
    kinds: Sequence[str] = KINDS,
    dtypes: Sequence[str] = _DTYPES,
) -> st.SearchStrategy[Array]:
    """One sample of feature rows.

    Parameters
    ----------
    rows, columns
        A number, or the least and the largest; fewer rows than columns occur.
    kinds
        Which of `KINDS`, the simplest first: standard normal rows; up to four clusters; rows that
        occur several times; rows in a subspace; one row far away; all rows alike.
    dtypes
        Which of ``"float64"`` and ``"float32"``, the simplest first.

    Returns
    -------
    SearchStrategy
        Of ``(n, d)`` arrays. Shrinks to the least rows and columns, seed 0, the first kind and
        dtype, no offset, scale 1.

    Raises
    ------
    ValueError
        For sizes below 1 or in the wrong order, and unknown or no kinds or dtypes.
    """
    return st.builds(
        _features,
        _between("rows", rows),
        _between("columns", columns),
        _SEEDS,
        _one_of("kinds", kinds, KINDS),
        _OFFSETS,
        _SCALES,
        _one_of("dtypes", dtypes, _DTYPES),
    )


def pairs(
    rows: Sizes = (2, 40),
    columns: Sizes = (1, 12),
    *,
    kinds: Sequence[str] = KINDS,
    dtypes: Sequence[str] = _DTYPES,
) -> st.SearchStrategy[tuple[Array, ...]]:
    """Real and fake rows of equally many columns.

    Parameters are those of `features`. Number, seed and kind are drawn for each sample; columns,
    offset, scale and dtype are common. It shrinks as `features` does; the two samples differ by
    their random numbers when all else is equal.
    """
    return _together(2, rows, columns, kinds, dtypes)


def triples(
    rows: Sizes = (2, 40),
    columns: Sizes = (1, 12),
    *,
    kinds: Sequence[str] = KINDS,
    dtypes: Sequence[str] = _DTYPES,
) -> st.SearchStrategy[tuple[Array, ...]]:
    """Real, fake and training rows, drawn as `pairs` are."""
    return _together(3, rows, columns, kinds, dtypes)


def grids(
    rows: Sizes = (1, 6), columns: Sizes = (1, 3), *, largest: int = 3
) -> st.SearchStrategy[Array]:
    """Rows of small integers in float64, drawn one by one: ties and duplicates are common.

    Parameters
    ----------
    rows, columns
        A number, or the least and the largest; keep them small.
    largest
        Entries lie within ``[-largest, largest]``.

    Returns
    -------
    SearchStrategy
        Of ``(n, d)`` arrays. Shrinks to the least rows and columns, each entry to 0.

    Raises
    ------
    ValueError
        For sizes or a `largest` below 1.
    """
    if not isinstance(largest, int) or largest < 1:
        raise ValueError(f"largest was {largest!r}, must be a whole number >= 1")
    entry = st.integers(-largest, largest)
    height = _between("rows", rows)

    def of_width(d: int) -> st.SearchStrategy[Array]:
        row = st.lists(entry, min_size=d, max_size=d)
        tables = height.flatmap(lambda n: st.lists(row, min_size=n, max_size=n))
        return tables.map(lambda table: np.array(table, dtype=np.float64))

    return _between("columns", columns).flatmap(of_width)


def images(
    count: Sizes = (1, 8),
    side: Sizes = (8, 32),
    *,
    channels: Sizes = 1,
    dimensions: int = 2,
) -> st.SearchStrategy[NDArray[np.float32]]:
    """Images with a smooth round object, smaller ones within it, noise and an empty background.

    Parameters
    ----------
    count, side, channels
        A number, or the least and the largest, of images, voxels along each axis and channels.
    dimensions
        2 or 3.

    Returns
    -------
    SearchStrategy
        Of ``(n, channels, *spatial)`` float32 arrays in [0, 1]. Shrinks to the fewest and smallest
        images, seed 0, no inner objects and no noise.

    Raises
    ------
    ValueError
        For sizes below 1, and dimensions other than 2 and 3.
    """
    if dimensions not in (2, 3):
        raise ValueError(f"dimensions was {dimensions!r}, must be 2 or 3")
    return st.builds(
        _images,
        _between("count", count),
        _between("side", side),
        _between("channels", channels),
        st.just(dimensions),
        _SEEDS,
        st.integers(0, 3),
        st.sampled_from([0.0, 0.02, 0.1]),
    )


def _together(
    number: int, rows: Sizes, columns: Sizes, kinds: Sequence[str], dtypes: Sequence[str]
) -> st.SearchStrategy[tuple[Array, ...]]:
    one = st.tuples(_between("rows", rows), _SEEDS, _one_of("kinds", kinds, KINDS))

    def make(parts: Sequence[tuple[int, int, str]], d: int, *common: Any) -> tuple[Array, ...]:
        # Equal draws must not make equal samples.
        return tuple(
            _features(n, d, seed + 256 * i, kind, *common)
            for i, (n, seed, kind) in enumerate(parts)
        )

    return st.builds(
        make,
        st.tuples(*[one] * number),
        _between("columns", columns),
        _OFFSETS,
        _SCALES,
        _one_of("dtypes", dtypes, _DTYPES),
    )


def _features(
    n: int, d: int, seed: int, kind: str, offset: float, scale: float, dtype: str
) -> Array:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d))
    if kind == "clusters":
        rows = 0.3 * rows + 5 * rng.normal(size=(4, d))[rng.integers(4, size=n)]
    elif kind == "duplicates":
        rows = rows[rng.integers(max(1, n // 3), size=n)]
    elif kind == "rank-deficient":
        rank = max(1, min(n, d) // 2)
        rows = rows[:, :rank] @ rng.normal(size=(rank, d))
    elif kind == "outlier":
        rows[-1] += 100
    elif kind == "constant":
        rows[:] = rows[0]
    return (offset + scale * rows).astype(dtype)


def _images(
    n: int, side: int, channels: int, dimensions: int, seed: int, objects: int, noise: float
) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    shape = (n, channels, *[1] * dimensions)
    at = (np.arange(side) + 0.5) / side * 2 - 1
    axes = np.meshgrid(*[at] * dimensions, indexing="ij")

    def blob(reach: Any, radius: Any) -> Any:
        centres = [reach * rng.uniform(-1, 1, size=shape) for _ in axes]
        squared = sum((x - c) ** 2 for x, c in zip(axes, centres, strict=True))
        return 1 / (1 + np.exp(np.clip((squared / radius**2 - 1) * 4, -50, 50)))

    image = 0.5 * blob(0.1, rng.uniform(0.6, 0.8, size=shape))
    for _ in range(objects):
        image = image + rng.uniform(-0.3, 0.3, size=shape) * blob(0.4, 0.2)
    image = image + noise * rng.normal(size=image.shape)
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)


def _between(name: str, given: Sizes) -> st.SearchStrategy[int]:
    low, high = (given, given) if isinstance(given, int) else given
    if not (isinstance(low, int) and isinstance(high, int) and 1 <= low <= high):
        raise ValueError(
            f"{name} was {given!r}, must be a number >= 1, or the least and the largest"
        )
    return st.integers(low, high)


def _one_of(name: str, given: Sequence[str], known: Sequence[str]) -> st.SearchStrategy[str]:
    wrong = [k for k in given if k not in known]
    if isinstance(given, str) or not given or wrong:
        raise ValueError(f"{name} was {given!r}, must be a list of {', '.join(known)}")
    return st.sampled_from(list(given))
