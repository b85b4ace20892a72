"""Do two scores rank the same items alike? Kendall's tau, with what few items can say at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

# With fewer items than this a bootstrap of them has nothing to draw from.
LEAST = 5
# Up to so many items every order is tried: 5040.
EXACT = 7
DRAWS = 5000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Kendall's tau-b of two scores of the same items.

    Attributes
    ----------
    tau
        -1 (opposite order) to 1 (same order); 0 when one of the two does not tell items apart.
    low, high
        95 % interval from a bootstrap of the items; -1 and 1 for fewer than `LEAST` of them, which
        are too few to say.
    p
        The chance that a random order agrees at least as well (one-sided), over all orders of up
        to `EXACT` items and `DRAWS` random ones of more. Of three items it is 1/6 at best.
    n
        How many items.
    """

    tau: float
    low: float
    high: float
    p: float
    n: int


def kendall(x: Sequence[float], y: Sequence[float], rng: np.random.Generator) -> Agreement:
    """How well `x` and `y` rank their items alike.

    Parameters
    ----------
    x, y
        One finite number an item; at least two items. Ties count as tau-b has them.
    rng
        Draws bootstraps and, of many items, orders.

    Raises
    ------
    ValueError
        When lengths differ, there are fewer than two items or a number is not finite.

    Source: Kendall 1945, "The treatment of ties in ranking problems", Biometrika 33.

    Examples
    --------
    >>> found = kendall([1, 2, 3], [10, 20, 30], np.random.default_rng(0))
    >>> found.tau, round(found.p, 4)
    (1.0, 0.1667)
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2 or not np.isfinite([a, b]).all():
        raise ValueError(
            f"x and y had shapes {a.shape} and {b.shape}, must be two rows of equally many finite "
            "numbers, at least two"
        )
    tau = float(_taus(a[None], b[None])[0])
    p = _chance(a, b, tau, rng)
    low, high = (-1.0, 1.0) if len(a) < LEAST else _interval(a, b, rng)
    return Agreement(tau, low, high, p, len(a))


def _taus(x: Floats, y: Floats) -> Floats:
    """``(r,)`` tau-b of the rows of `x` and `y`, ``(r or 1, n)``; 0 where a row is all ties."""
    i, j = np.triu_indices(x.shape[1], 1)
    a, b = np.sign(x[:, i] - x[:, j]), np.sign(y[:, i] - y[:, j])
    size = np.sqrt(np.count_nonzero(a, axis=1) * np.count_nonzero(b, axis=1))
    return np.asarray((a * b).sum(axis=1) / np.maximum(size, 1))


def _chance(x: Floats, y: Floats, tau: float, rng: np.random.Generator) -> float:
    n = len(x)
    if n <= EXACT:
        orders = np.asarray(list(permutations(range(n))))
    else:
        orders = np.stack([rng.permutation(n) for _ in range(DRAWS)])
    count = np.count_nonzero(_taus(x[None], y[orders]) >= tau - 1e-9)
    # The order that was observed counts among the random ones.
    return float(count / len(orders) if n <= EXACT else (count + 1) / (len(orders) + 1))


def _interval(x: Floats, y: Floats, rng: np.random.Generator) -> tuple[float, float]:
    """Percentiles over bootstraps of the items in which both scores tell some apart."""
    rows = rng.integers(len(x), size=(1000, len(x)))
    apart = (np.ptp(x[rows], axis=1) > 0) & (np.ptp(y[rows], axis=1) > 0)
    if not apart.any():
        return -1.0, 1.0
    low, high = np.percentile(_taus(x[rows[apart]], y[rows[apart]]), [2.5, 97.5])
    return float(low), float(high)
