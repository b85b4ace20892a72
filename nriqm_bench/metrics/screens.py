"""Bounds on the squared distances of all pairs of two samples, by blocks of matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.sample import Float64, Indices, Sample

Bound = NDArray[np.floating[Any]]

# Pairs held at once: 8 MB a float32 block, small enough to stay near the cache.
BLOCK = 1 << 21

# Up to this many pairs a float64 screen costs little and leaves fewer pairs open.
SMALL = 1 << 24

# Where a screen leaves more than this share of a block open, a finer screen is cheaper.
OPEN = 0.02


class Screen:
    """Products of the rows of two samples about their centre, in one precision.

    All figures are squared distances times `scale`. The true one of a pair lies within
    ``relative * (left_norm + right_norm) + absolute`` of the one computed.

    Parameters
    ----------
    a, b
        The samples; `b` None for the pairs within `a`.
    precision
        ``"bfloat16"`` (products summed in float32), ``"float32"`` or ``"float64"``.
    """

    def __init__(self, a: Sample, b: Sample | None, precision: str) -> None:
        other = a if b is None else b
        self.precision = precision
        dtype = np.float64 if precision == "float64" else np.float32
        centre = a.mean if b is None else (a.mean + b.mean) / 2
        extremes = [end - centre for s in (a, other) for end in (s.rows.min(0), s.rows.max(0))]
        largest = float(np.abs(extremes).max())
        # A power of two scales without rounding; the limits keep its square finite.
        exponent = int(np.clip(-np.frexp(largest * a.dim**0.5)[1], -500, 500))
        self.scale = 2.0 ** (2 * exponent)
        left, self.left_norm, lost = _prepared(a, centre, 2.0**exponent, precision)
        right, self.right_norm, lost_right = left, self.left_norm, lost
        if b is not None:
            right, self.right_norm, lost_right = _prepared(b, centre, 2.0**exponent, precision)
        # Worst case of a dot product of d terms, of rounding to the dtype, and of the exact sum.
        unit, d = float(np.finfo(dtype).eps) / 2, a.dim
        self.relative = 1.1 * ((d + 32) * unit + (2 * d + 16) * 2.0**-53)
        self.absolute = d * (float(np.finfo(dtype).tiny) * 4 + 2.0**-1070 * self.scale)
        self._rounding: tuple[Float64, Float64] | None = None
        if precision == "bfloat16":
            # Both factors and the product are rounded by 2^-8 at most; the sum is float32.
            self._fine = self.relative
            self.relative += 1.02 * 3 * 2.0**-8
            self._rounding = (lost, lost_right)
        # Twice a float is exact, so that the factor -2 costs nothing here.
        if b is None:
            self._left, self._right = left * -2, right
        else:
            left *= -2
            self._left, self._right = left, right

    def products(self, i: slice, j: slice) -> Bound:
        """``-2 x.y`` of a block, an array of its own."""
        found = self._left[i] @ self._right[j].T
        return np.asarray(found.float().numpy() if self.precision == "bfloat16" else found)

    def error(self, i: Indices, j: Indices, products: Float64) -> Float64:
        """A bound on the error of single pairs, of which the products are known."""
        norms = self.left_norm[i] + self.right_norm[j]
        if self._rounding is None:
            return np.asarray(self.relative * norms + self.absolute)
        left, right = np.sqrt(self.left_norm[i]), np.sqrt(self.right_norm[j])
        rest_left, rest_right = self._rounding[0][i], self._rounding[1][j]
        lost = 2 * (rest_left * right + (left + rest_left) * rest_right)
        lost += 1.01 * 2.0**-8 * np.abs(products)
        return np.asarray(lost + self._fine * norms + self.absolute)


def _prepared(
    sample: Sample, centre: Float64, factor: float, precision: str
) -> tuple[Any, Float64, Float64]:
    """Rows about `centre` times `factor`, rounded; their squared norms; what rounding took off."""
    rounded: Any
    if precision == "bfloat16":
        import torch

        rounded = torch.empty(sample.rows.shape, dtype=torch.bfloat16)
    else:
        rounded = np.empty(sample.rows.shape, dtype=precision)
    norms, lost = np.empty(len(sample)), np.zeros(len(sample))
    step = max(1, BLOCK // 8 // sample.dim)
    for start in range(0, len(sample), step):
        part = slice(start, start + step)
        rows = sample.rows[part] - centre
        rows *= factor
        norms[part] = np.einsum("ij,ij->i", rows, rows)
        if precision == "bfloat16":
            rounded[part] = torch.from_numpy(rows)
            rows -= rounded[part].double().numpy()
            # The sum of squares itself is rounded.
            lost[part] = np.sqrt(np.einsum("ij,ij->i", rows, rows)) * (1 + 1e-9)
        else:
            rounded[part] = rows
    return rounded, norms, lost


@cache
def _coarsest() -> str:
    """``"bfloat16"`` on processors with instructions for it, where it is twice as fast."""
    import torch

    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    return "bfloat16" if bool(supported()) and _has_bfloat16_products() else "float32"


def _has_bfloat16_products() -> bool:
    """Whether products are fast: oneDNN supports them, slowly, on processors without them too."""
    import time

    import torch

    rows = np.ones((256, 2048), dtype=np.float32)
    coarse = torch.ones((256, 2048), dtype=torch.bfloat16)

    def seconds(left: Any) -> float:
        taken = []
        for _ in range(4):
            start = time.perf_counter()
            _ = left @ left.T
            taken.append(time.perf_counter() - start)
        return min(taken)

    return seconds(coarse) < 0.8 * seconds(rows)


class Block:
    """Some rows against some columns, screened as precisely as the question needs.

    ``lower(i, j) = gap(i, j) + row(i)``: a threshold on one side costs one comparison.
    """

    def __init__(self, screens: Sequence[Any], i: slice, j: slice, own: bool) -> None:
        self.i, self.j = i, j
        self.shape = (i.stop - i.start, j.stop - j.start)
        self.diagonal = own and i == j
        self._screens = screens
        self._gaps: dict[int, Bound] = {}
        self.level = 0

    @property
    def size(self) -> int:
        """Pairs in the block."""
        return int(self.shape[0] * self.shape[1])

    @property
    def finest(self) -> bool:
        """Whether no finer screen is left."""
        return bool(self.level == len(self._screens) - 1)

    @property
    def screen(self) -> Screen:
        """The screen in use."""
        found: Screen = self._screens[self.level]()
        return found

    @property
    def scale(self) -> float:
        """What squared distances are multiplied by."""
        return self.screen.scale

    @property
    def gap(self) -> Bound:
        """Lower bounds less what depends on the row alone."""
        if self.level not in self._gaps:
            found = self.screen.products(self.i, self.j)
            columns = self.screen.right_norm[self.j] * (1 - self.screen.relative)
            found += (columns - self.screen.absolute).astype(found.dtype)
            if self.diagonal:
                np.fill_diagonal(found, np.inf)
            self._gaps[self.level] = found
        return self._gaps[self.level]

    @property
    def row(self) -> Float64:
        """The part of the lower bounds that depends on the row alone."""
        return np.asarray(self.screen.left_norm[self.i] * (1 - self.screen.relative))

    def slack(self, rows: Indices | slice, columns: Indices | slice) -> tuple[Float64, Float64]:
        """What upper bounds add to lower ones: a part by row and a part by column."""
        screen = self.screen
        left = 2 * screen.relative * screen.left_norm[self.i][rows] + 2 * screen.absolute
        return left, 2 * screen.relative * screen.right_norm[self.j][columns]

    def within(self, reach: Float64, axis: int) -> tuple[Indices, Indices]:
        """The pairs whose lower bound is at most the `reach` of their row (0) or column (1)."""
        if axis == 0:
            near = self.gap <= rounded_up(reach - self.row, self.gap)[:, None]
        else:
            near = (
                self.gap - rounded_up(reach, self.gap)[None, :]
                <= rounded_up(-self.row, self.gap)[:, None]
            )
        flat = np.flatnonzero(near)
        return np.divmod(flat, self.shape[1])

    def bounds(self, rows: Indices, columns: Indices) -> tuple[Float64, Float64]:
        """Lower and upper bounds of some pairs."""
        screen = self.screen
        i, j = rows + self.i.start, columns + self.j.start
        fixed = screen.right_norm[j] * (1 - screen.relative) - screen.absolute
        products = self.gap[rows, columns].astype(np.float64) - fixed
        middle = products + (screen.left_norm[i] + screen.right_norm[j])
        error = screen.error(i, j, products)
        # A row and itself: both infinite.
        with np.errstate(invalid="ignore"):
            return middle - error, middle + error

    def kth(self, k: int, axis: int) -> Float64:
        """The k-th smallest upper bound of each row (axis 0) or column (axis 1)."""
        left, right = self.slack(slice(None), slice(None))
        if axis == 0:
            upper = self.gap + rounded_up(right, self.gap)[None, :]
            return np.partition(upper, k - 1, axis=1)[:, k - 1] + (self.row + left)
        upper = np.ascontiguousarray((self.gap + rounded_up(self.row + left, self.gap)[:, None]).T)
        return np.partition(upper, k - 1, axis=1)[:, k - 1] + right


def rounded_up(values: Float64, like: Bound) -> Bound:
    """`values` in the dtype of `like`, rounded up: a threshold that lets nothing slip."""
    if like.dtype == np.float64:
        return np.nextafter(values, np.inf)
    with np.errstate(over="ignore"):
        return np.nextafter(values.astype(like.dtype), np.array(np.inf, dtype=like.dtype))


def blocks(a: Sample, b: Sample | None) -> Iterator[Block]:
    """All pairs of rows; of the pairs within one sample each once, diagonal blocks first."""
    n, m = len(a), len(a if b is None else b)
    names = ("float64",) if n * m <= SMALL else (_coarsest(), "float32", "float64")
    screens = [cache(lambda p=p: Screen(a, b, p)) for p in dict.fromkeys(names)]
    if b is None:
        step = max(1, int(BLOCK**0.5))
        parts = [slice(s, min(s + step, n)) for s in range(0, n, step)]
        order = [(i, i) for i in parts] + [
            (i, j) for i in parts for j in parts if i.start < j.start
        ]
    else:
        width = min(m, 2048)
        height = max(1, BLOCK // width)
        rows = [slice(s, min(s + height, n)) for s in range(0, n, height)]
        columns = [slice(s, min(s + width, m)) for s in range(0, m, width)]
        order = [(i, j) for i in rows for j in columns]
    level = 0
    for i, j in order:
        block = Block(screens, i, j, b is None)
        block.level = level
        yield block
        # What was too coarse for one block will be for the next.
        level = block.level
