"""`Sample`: one set of feature rows, with the statistics that several metrics share."""

from __future__ import annotations

import copy
import hashlib
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Indices = NDArray[np.intp]

# A cubic kernel of two such rows still fits a float64; nothing that is a feature comes near.
_LARGEST = 1e50

# From this many columns on, a QR decomposition takes long enough to look for a faster way.
_WIDE = 256


class Sample:
    """A set of feature rows; what is computed from it is kept and shared between metrics.

    Parameters
    ----------
    array
        ``(n, d)`` NumPy or torch array of any float dtype (integers are accepted). It is not
        copied: leave it unchanged while the sample is in use.
    name
        What an error message calls it.

    Raises
    ------
    ValueError
        When the array is not ``(n, d)`` with ``d >= 1``, or holds NaN or infinity.

    Examples
    --------
    >>> sample = Sample([[0.0, 2.0], [2.0, 2.0]])
    >>> sample.shape, sample.mean.tolist()
    ((2, 2), [1.0, 2.0])
    """

    def __init__(self, array: Any, name: str = "features") -> None:
        self.rows = as_rows(array, name)
        self._shared: WeakKeyDictionary[Sample, dict[Any, Any]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Sample({len(self)} x {self.dim}, {self.rows.dtype})"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return (len(self.rows), self.dim)

    @property
    def dim(self) -> int:
        """The number of columns."""
        return int(self.rows.shape[1])

    @cached_property
    def array(self) -> Float64:
        """The rows in float64."""
        return self.rows.astype(np.float64, copy=False)

    @cached_property
    def mean(self) -> Float64:
        """``(d,)`` mean."""
        near, rest = self.mean_parts
        return near + rest

    @cached_property
    def mean_parts(self) -> tuple[Float64, Float64]:
        """The mean in two passes, as what the first found and what it had lost to rounding."""
        # By parts, which keeps copies in float64 small.
        step = max(1, (1 << 18) // self.dim)
        parts = [self.rows[start : start + step] for start in range(0, len(self), step)]
        near = np.sum([part.sum(0, dtype=np.float64) for part in parts], axis=0) / len(self)
        rest = np.sum([(part - near).sum(0) for part in parts], axis=0) / len(self)
        return np.asarray(near, dtype=np.float64), np.asarray(rest, dtype=np.float64)

    @cached_property
    def centred(self) -> Float64:
        """``(n, d)`` rows less their mean, in float64."""
        near, rest = self.mean_parts
        return np.asarray((self.rows - near) - rest, dtype=np.float64)

    @cached_property
    def trace(self) -> float:
        """The trace of the unbiased covariance; needs two rows."""
        return float(np.sum(self.centred**2, axis=0).sum() / (len(self) - 1))

    @cached_property
    def factor(self) -> Float64:
        """``(min(n, d), d)`` matrix F with F'F the unbiased covariance; needs two rows."""
        return triangle(self.centred / np.sqrt(len(self) - 1))

    def take(self, rows: NDArray[np.intp]) -> Sample:
        """The sample of some rows."""
        taken = copy.copy(self)
        taken.__dict__ = {"rows": self.rows[rows], "_shared": WeakKeyDictionary()}
        return taken

    def shared_with(self, other: Sample) -> dict[Any, Any]:
        """What metrics keep about this sample and `other`, for as long as both live."""
        return self._shared.setdefault(other, {})

    @cached_property
    def own(self) -> dict[Any, Any]:
        """What metrics keep about this sample alone."""
        return {}


def shuffled(sample: Sample | NDArray[Any]) -> Indices:
    """Row numbers in an order that looks random and depends on the rows' values alone.

    Whoever takes a block of it draws the same rows, in whatever order they came.
    """
    keys = [
        hashlib.blake2b((row.astype(np.float64) + 0.0).tobytes(), digest_size=8).digest()
        for row in (sample.rows if isinstance(sample, Sample) else sample)
    ]
    return np.argsort(np.array(keys, dtype="S8").view(">u8"), kind="stable")


def as_sample(value: Any, name: str) -> Sample:
    """`value` itself when it is a `Sample`, else one made of the array."""
    return value if isinstance(value, Sample) else Sample(value, name)


def as_numpy(value: Any) -> NDArray[Any]:
    """A NumPy array of a NumPy or torch array (or nested lists); torch is not imported."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        return np.asarray(value.numpy())
    return np.asarray(value)


def triangle(rows: Float64) -> Float64:
    """A matrix of at most d rows with the same ``X'X`` as the ``(n, d)`` rows.

    For n > d the triangle of a QR decomposition, which keeps the digits of small eigenvalues. Of
    many columns the Cholesky factor of ``X'X`` instead, three times as fast, where that is well
    conditioned (reciprocal condition number above 1e-10).
    """
    n, d = rows.shape
    if n <= d:
        return rows
    if d >= _WIDE:
        from scipy.linalg import lapack

        gram = rows.T @ rows
        upper, failed = lapack.dpotrf(gram, lower=0, clean=1)
        if not failed:
            condition, _ = lapack.dpocon(upper, float(np.abs(gram).sum(axis=0).max()))
            if condition > 1e-10:
                return np.asarray(upper, dtype=np.float64)
    return np.asarray(np.linalg.qr(rows, mode="r"), dtype=np.float64)


def unit_rows(rows: NDArray[Any], name: str) -> Float64:
    """The rows brought to length 1, in float64.

    Raises
    ------
    ValueError
        For a row of zeros, which has no direction.
    """
    largest = np.abs(rows).max(axis=1, keepdims=True).astype(np.float64)
    if zeros := int(np.count_nonzero(largest == 0)):
        raise ValueError(
            f"{name} held {zeros} of {len(rows)} rows of zeros, must have none: a row of zeros "
            "has no direction"
        )
    found = rows / largest
    found /= np.sqrt(np.square(found).sum(axis=1, keepdims=True))
    return np.asarray(found, dtype=np.float64)


def as_rows(value: Any, name: str) -> NDArray[np.floating[Any]]:
    """``(n, d)`` array of finite floats, checked; float32 and float64 are kept as they are."""
    try:
        array = as_numpy(value)
    except ValueError:
        raise ValueError(f"{name} had rows of unequal length, must be an (n, d) array") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} had dtype {array.dtype}, must be an (n, d) array of numbers")
    if array.ndim != 2 or array.shape[1] == 0:
        hint = "; write x[:, None] for one feature a row" if array.ndim == 1 else ""
        raise ValueError(f"{name} had shape {array.shape}, must be (n, d) with d >= 1{hint}")
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array).all(1)))
        raise ValueError(
            f"{name} held NaN or infinity in {bad} of {len(array)} rows, must be finite"
        )
    if array.size and array.dtype.itemsize == 8 and np.abs(array).max() > _LARGEST:
        raise ValueError(
            f"{name} held values up to {np.abs(array).max():.3g}, must stay below {_LARGEST:g}"
        )
    return np.ascontiguousarray(array)
