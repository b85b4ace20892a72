"""How well masks were found: Dice, 95 % Hausdorff distance, and lesions found, missed and made up.

A mask is anything above 0. Where there is nothing to find, the conventions of BraTS hold (Baid et
al. 2021, arXiv 2107.02314): an empty prediction of an empty truth is perfect, and when one of the
two is empty the Dice coefficient is 0 and the distance is the image's diagonal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

# The share of a lesion that must be covered for it to count as found, or as more than made up.
OVERLAP = 0.1

Bools = NDArray[np.bool_]


def dice(truth: ArrayLike, found: ArrayLike) -> float:
    """The Dice coefficient ``2 |T and F| / (|T| + |F|)``, 0 to 1; more is better.

    Parameters
    ----------
    truth, found
        Masks of one shape, of any number of axes. Both empty: 1; one of them: 0.

    Raises
    ------
    ValueError
        When the shapes differ.

    Source: Dice 1945, Ecology 26.

    Examples
    --------
    >>> dice([1, 1, 0, 0], [0, 1, 1, 0])
    0.5
    """
    t, f = _both(truth, found)
    total = np.count_nonzero(t) + np.count_nonzero(f)
    return 2 * np.count_nonzero(t & f) / total if total else 1.0


def hausdorff95(
    truth: ArrayLike, found: ArrayLike, spacing: tuple[float, ...] | None = None
) -> float:
    """The 95 % Hausdorff distance of two masks' outlines, 0 or more; less is better.

    Of the distances from each outline's pixels to the nearest of the other the 95th percentile,
    and of the two directions the larger, as in MONAI. An outline is made of the mask's pixels that
    touch a pixel outside it by an edge; the image's border is outside.

    Parameters
    ----------
    truth, found
        Masks of one shape. Both empty: 0; one of them: the diagonal of the image.
    spacing
        Millimetres per pixel along each axis; without it the unit is pixels.

    Raises
    ------
    ValueError
        When the shapes differ.

    Source: Huttenlocher et al. 1993; the percentile as in Menze et al. 2015 (BraTS), III-B.
    """
    t, f = _both(truth, found)
    steps = np.ones(t.ndim) if spacing is None else np.asarray(spacing, dtype=float)
    if not t.any() or not f.any():
        return float(np.linalg.norm(steps * t.shape)) if t.any() or f.any() else 0.0
    # Nothing outside the box of both masks is nearer to an outline.
    box = ndimage.find_objects((t | f).astype(np.uint8))[0]
    outlines = [_outline(mask[box]) for mask in (t, f)]
    directed = [
        np.percentile(ndimage.distance_transform_edt(~other, sampling=steps)[own], 95)
        for own, other in (outlines, outlines[::-1])
    ]
    return float(max(directed))


def lesions(truth: ArrayLike, found: ArrayLike) -> tuple[int, int, int]:
    """How many lesions were found, made up and missed: true and false positives, false negatives.

    A lesion is a connected component; pixels that touch by a corner are connected. One of the
    truth is found when at least `OVERLAP` of it is covered by the prediction; one of the
    prediction is made up when less than `OVERLAP` of it lies on the truth. In the manner of ISLES
    2022 (Hernandez Petzsche et al., arXiv 2206.06694), where any overlap will do.

    Parameters
    ----------
    truth, found
        Masks of one shape.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    t, f = _both(truth, found)
    covered, real = _covered(t, f), _covered(f, t)
    hit = int(np.count_nonzero(covered >= OVERLAP))
    return hit, int(np.count_nonzero(real < OVERLAP)), len(covered) - hit


def f1(hit: Any, false: Any, missed: Any) -> Any:
    """The lesion-wise F1 score ``2 hit / (2 hit + false + missed)``, 0 to 1; more is better.

    Numbers or arrays of counts, as of `lesions`; where there is nothing to find and nothing was
    found it is 1.
    """
    total = 2 * np.asarray(hit, dtype=float) + false + missed
    return np.where(total > 0, 2 * np.asarray(hit) / np.where(total > 0, total, 1), 1.0)[()]


def _both(truth: ArrayLike, found: ArrayLike) -> tuple[Bools, Bools]:
    t, f = np.asarray(truth) > 0, np.asarray(found) > 0
    if t.shape != f.shape:
        raise ValueError(f"found had shape {f.shape}, must be {t.shape} as the truth")
    return t, f


def _outline(mask: Bools) -> Bools:
    inner: Bools = ndimage.binary_erosion(mask)
    return mask & ~inner


def _covered(mask: Bools, by: Bools) -> NDArray[np.float64]:
    """Of each component of `mask` the share that lies in `by`."""
    labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    inside = np.bincount(labels[by], minlength=count + 1)[1:]
    return inside / sizes
