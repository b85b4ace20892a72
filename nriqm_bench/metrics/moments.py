"""`Moments`: mean and covariance of more rows than fit in memory, batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from nriqm_bench.metrics.sample import Float64, as_rows, triangle, unit_rows


class Moments:
    """Mean and covariance of rows that come in batches; what FID needs of a set of features.

    Give it to a metric in place of an array: ``metrics.get("fid")(real, fake)`` takes a `Moments`
    on either side. The memory is that of a few ``(d, d)`` arrays, however many rows there are.

    Batches are centred about their own mean and merged by Chan's formula in the form of a
    triangular factor, so that nothing cancels: the covariance ``F'F`` is never formed from sums of
    squares. Results do not depend on the size or order of batches beyond rounding.

    Parameters
    ----------
    name
        What an error message calls the rows.
    unit
        Whether each row is brought to length 1 first, as the Vendi score needs it.

    Examples
    --------
    >>> import numpy as np
    >>> from nriqm_bench import metrics
    >>> rows = np.random.default_rng(0).normal(size=(60, 4))
    >>> whole, first, second = metrics.Moments(), metrics.Moments(), metrics.Moments()
    >>> for batch in np.array_split(rows, 7):
    ...     whole.update(batch)
    >>> first.update(rows[:25])
    >>> second.update(rows[25:])
    >>> first.merge(second)
    >>> len(first), bool(np.allclose(first.covariance, np.cov(rows.T)))
    (60, True)
    >>> metrics.get("fid")(whole, first) < 1e-12
    True

    Source: Chan, Golub and LeVeque 1983, equation 2.1.
    """

    def __init__(self, name: str = "features", *, unit: bool = False) -> None:
        self.unit = unit
        self._name = name
        self._n = 0
        self._origin: Float64 | None = None
        self._offset: Float64 = np.zeros(0)
        self._factor: Float64 = np.zeros((0, 0))
        self._waiting: list[Float64] = []
        self._rows_waiting = 0

    def __len__(self) -> int:
        return self._n + self._rows_waiting

    def __repr__(self) -> str:
        return f"Moments({len(self)} x {self.dim})"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns so far."""
        return (len(self), self.dim)

    @property
    def dim(self) -> int:
        """The number of columns; 0 before the first batch."""
        return 0 if self._origin is None else len(self._origin)

    def update(self, rows: Any) -> None:
        """Take in a batch.

        Parameters
        ----------
        rows
            ``(n, d)`` NumPy or torch array of any float dtype.

        Raises
        ------
        ValueError
            When it is not of that form, holds NaN or infinity, or has another d than before; the
            batch is then left out whole.
        """
        batch = as_rows(rows, self._name)
        if self._origin is not None and batch.shape[1] != self.dim:
            raise ValueError(
                f"{self._name} had shape {batch.shape}, must be (n, {self.dim}) like the batches "
                "before"
            )
        if not len(batch):
            return
        if self.unit:
            batch = unit_rows(batch, self._name)
        if self._origin is None:
            self._origin = np.asarray(batch.mean(0, dtype=np.float64), dtype=np.float64)
            self._offset = np.zeros(batch.shape[1])
            self._factor = np.zeros((0, batch.shape[1]))
        self._waiting.append(np.asarray(batch - self._origin, dtype=np.float64))
        self._rows_waiting += len(batch)
        if self._rows_waiting >= 2 * max(512, self.dim):
            self._settle()

    def merge(self, other: Moments) -> None:
        """Take in all rows that `other` has seen; `other` is left as it was.

        Raises
        ------
        ValueError
            When the numbers of columns differ, or only one of the two has rows of unit length.
        """
        if self.unit != other.unit:
            raise ValueError(f"other had unit={other.unit}, must have unit={self.unit}")
        if not len(other):
            return
        if self._origin is not None and other.dim != self.dim:
            raise ValueError(f"other had {other.dim} columns, must have {self.dim}")
        self._settle()
        other._settle()
        assert other._origin is not None
        if self._origin is None:
            self._origin, self._offset = other._origin, np.zeros(other.dim)
            self._factor = np.zeros((0, other.dim))
        offset = (other._origin - self._origin) + other._offset
        self._join(other._n, offset, other._factor)

    @property
    def mean(self) -> Float64:
        """``(d,)`` mean."""
        near, rest = self.mean_parts
        return np.asarray(near + rest)

    @property
    def mean_parts(self) -> tuple[Float64, Float64]:
        """The mean of the first batch, and how far the mean of all is from it."""
        self._settle()
        if self._origin is None:
            raise ValueError(f"{self._name} had 0 rows, must have at least 1")
        return self._origin, self._offset

    @property
    def factor(self) -> Float64:
        """``(r, d)`` matrix F with F'F the unbiased covariance; needs two rows."""
        self._settle()
        if self._n < 2:
            raise ValueError(f"{self._name} had {self._n} rows, must have at least 2")
        return np.asarray(self._factor / np.sqrt(self._n - 1))

    @property
    def trace(self) -> float:
        """The trace of the unbiased covariance."""
        return float(np.square(self.factor).sum())

    @property
    def covariance(self) -> Float64:
        """``(d, d)`` unbiased covariance."""
        factor = self.factor
        return np.asarray(factor.T @ factor)

    def _settle(self) -> None:
        """Merge the batches that wait."""
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting, self._rows_waiting = [], 0
        near = rows.mean(0)
        rows -= near
        rest = rows.mean(0)
        rows -= rest
        self._join(len(rows), near + rest, rows)

    def _join(self, n: int, offset: Float64, factor: Float64) -> None:
        """Chan's formula: the scatter between the two means is one more row of the factor."""
        total = self._n + n
        gap = (offset - self._offset)[None]
        stacked = [self._factor, factor, gap * np.sqrt(self._n * n / total)]
        self._factor = triangle(np.concatenate(stacked if self._n else stacked[1:2]))
        self._offset = self._offset + gap[0] * (n / total)
        self._n = total
