"""Quality measures of single MR images: signal, contrast, entropy, background and blur.

No tissue maps are given, so the classes come from the image: Otsu's threshold divides foreground
from background, and the foreground once more into a dark and a bright tissue. Each measure is
taken of each image, its channels averaged, and the value of a set is the mean over its images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.metrics.estimate import Spread, spread_of_mean
from nriqm_bench.metrics.metric import Metric, metric
from nriqm_bench.metrics.sample import Float64

Noise = Literal["detail", "background"]

_BINS = 256

# The median of |x| of a normal variable is this many standard deviations.
_MAD = 0.6744897501960817

# The deviation of a Rayleigh variable (magnitude noise without signal) over that of its noise.
_RAYLEIGH = math.sqrt((4 - math.pi) / 2)


class Classes(NamedTuple):
    """The values of one image (or channel) by class."""

    background: Float64
    foreground: Float64
    dark: Float64
    bright: Float64


def iqm_values(name: str, images: Any, **options: Any) -> Float64:
    """The measure `name` (snr, cnr, cjv, efc, fber, blur) of each image.

    Parameters
    ----------
    images
        ``(n, channels, *spatial)`` in [0, 1], two or three spatial axes.
    **options
        As of the metric.

    Returns
    -------
    ``(n,)`` float64.

    Raises
    ------
    KeyError
        For an unknown name.
    ValueError
        For an image of which the measure is not defined; the message names its number.
    """
    if name not in _MEASURES:
        raise KeyError(f"no image quality measure {name!r}, must be one of {sorted(_MEASURES)}")
    return _values(_MEASURES[name], images, options)


def otsu_threshold(values: Float64) -> float:
    """Otsu's threshold from a histogram of 256 bins; the class above it is strictly larger.

    Where bins are empty several thresholds are equally good, and the middle one is taken.

    Raises
    ------
    ValueError
        When all values are equal.

    Source: Otsu 1979.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ValueError(f"was constant ({low:.4g}), must have at least two grey values")
    counts, edges = np.histogram(values, _BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), np.cumsum(counts[::-1])[::-1]
    moment = counts * centres
    mean_below = np.cumsum(moment) / np.maximum(below, 1)
    mean_above = np.cumsum(moment[::-1])[::-1] / np.maximum(above, 1)
    between = below[:-1] * above[1:] * np.square(mean_below[:-1] - mean_above[1:])
    # Empty bins between two classes are all as good: the middle is safest from noise.
    best = np.flatnonzero(between == between.max())
    return float(centres[best[0]] + centres[best[-1]]) / 2


def classes(image: NDArray[Any]) -> Classes:
    """The background, foreground, dark and bright values of one image, see the module."""
    x = np.asarray(image, dtype=np.float64).ravel()
    inside = x > otsu_threshold(x)
    foreground = x[inside]
    if np.ptp(foreground) == 0:
        raise ValueError("had a foreground of one grey value, must have two tissues")
    bright = foreground > otsu_threshold(foreground)
    return Classes(x[~inside], foreground, foreground[~bright], foreground[bright])


def _noise_sd(image: NDArray[Any], found: Classes, how: str) -> float:
    if how == "background":
        sd = float(found.background.std()) / _RAYLEIGH
        if sd == 0:
            raise ValueError(
                "had a background of one value (skull-stripped?), must have noise there; "
                "give noise='detail'"
            )
        return sd
    if how != "detail":
        raise ValueError(f"was measured with noise={how!r}, must be 'detail' or 'background'")
    detail = np.asarray(image, dtype=np.float64)
    inside = detail >= found.foreground.min()
    for axis in range(detail.ndim):
        detail = np.diff(detail, axis=axis) / math.sqrt(2)
        ends = [slice(None)] * detail.ndim
        first, second = list(ends), list(ends)
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        inside = inside[tuple(first)] & inside[tuple(second)]
    sd = float(np.median(np.abs(detail[inside]))) / _MAD if inside.any() else 0.0
    if sd == 0:
        raise ValueError("had no noise in its foreground, so its ratio to noise is not defined")
    return sd


def _snr(image: NDArray[Any], *, noise: str = "detail") -> float:
    found = classes(image)
    return float(found.foreground.mean()) / _noise_sd(image, found, noise)


def _cnr(image: NDArray[Any], *, noise: str = "detail") -> float:
    found = classes(image)
    contrast = float(found.bright.mean() - found.dark.mean())
    return contrast / _noise_sd(image, found, noise)


def _cjv(image: NDArray[Any], *, robust: bool = False) -> float:
    found = classes(image)
    if robust:
        dark, bright = np.median(found.dark), np.median(found.bright)
        spread = np.median(np.abs(found.dark - dark)) + np.median(np.abs(found.bright - bright))
        return float(spread / _MAD / (bright - dark))
    spread = found.dark.std() + found.bright.std()
    return float(spread / (found.bright.mean() - found.dark.mean()))


def _efc(image: NDArray[Any]) -> float:
    x = np.abs(np.asarray(image, dtype=np.float64).ravel())
    energy = math.sqrt(float(np.square(x).sum()))
    if energy == 0:
        raise ValueError("was 0 everywhere, must have a signal")
    p = x[x > 0] / energy
    return -float(np.sum(p * np.log(p))) / (math.sqrt(x.size) * math.log(math.sqrt(x.size)))


def _fber(image: NDArray[Any], *, average: str = "mean") -> float:
    if average not in ("mean", "median"):
        raise ValueError(f"was measured with average={average!r}, must be 'mean' or 'median'")
    x = np.asarray(image, dtype=np.float64).ravel()
    inside = x > otsu_threshold(x)
    mean = np.mean if average == "mean" else np.median
    energy = float(mean(np.square(x[~inside])))
    if energy == 0:
        raise ValueError("had a background of zeros (skull-stripped?), must have a signal there")
    return float(mean(np.square(x[inside]))) / energy


def _blur(image: NDArray[Any], *, size: int = 11) -> float:
    from scipy import ndimage

    x = np.asarray(image, dtype=np.float64)
    if min(x.shape) < 4:
        raise ValueError(f"had shape {x.shape}, must have at least 4 pixels a side")
    # Without the edge, where the filters see reflections.
    inner = tuple(slice(2, side - 1) for side in x.shape)
    worst = 0.0
    for axis in range(x.ndim):
        sharp = np.abs(ndimage.sobel(x, axis))
        soft = np.abs(ndimage.sobel(ndimage.uniform_filter1d(x, size, axis), axis))
        total = float(sharp[inner].sum())
        if total == 0:
            raise ValueError("had no edges, must have some to be sharp or blurred")
        lost = float(np.maximum(0, sharp - soft)[inner].sum())
        worst = max(worst, abs(total - lost) / total)
    return worst


_MEASURES: dict[str, Callable[..., float]] = {
    "blur": _blur,
    "cjv": _cjv,
    "cnr": _cnr,
    "efc": _efc,
    "fber": _fber,
    "snr": _snr,
}


def _values(measure: Callable[..., float], images: Any, options: dict[str, Any]) -> Float64:
    stack = np.asarray(images)
    if stack.ndim not in (4, 5):
        raise ValueError(
            f"images had shape {stack.shape}, must be (n, channels, *spatial) with two or three "
            "spatial axes"
        )
    found = np.empty(stack.shape[:2])
    for i, image in enumerate(stack):
        for c, channel in enumerate(image):
            try:
                found[i, c] = measure(channel, **options)
            except ValueError as error:
                raise ValueError(f"image {i} {error}") from None
    return np.asarray(found.mean(axis=1))


def _iqm(
    name: str, *, higher_is_better: bool, top: float = math.inf
) -> Callable[[Callable[..., float]], Metric]:
    """What all measures of this room have in common."""

    def spread(real: Any, fake: NDArray[Any], **options: Any) -> Spread:
        return spread_of_mean(_values(_MEASURES[name], fake, options))

    return metric(
        name,
        higher_is_better=higher_is_better,
        needs="images",
        min_samples=1,
        needs_real=False,
        range=(0.0, top),
        spread=spread,
    )


@_iqm("snr", higher_is_better=True)
def snr(real: Any, fake: NDArray[Any], *, noise: Noise = "detail") -> float:
    """Signal-to-noise ratio: mean of the foreground over the standard deviation of the noise.

    Parameters
    ----------
    noise
        ``"detail"``: the median absolute second difference (one along each axis) within the
        foreground, scaled to the deviation of normal noise, which needs no background (Donoho and
        Johnstone 1994); ``"background"``: the deviation of the background, corrected for magnitude
        images (Dietrich et al. 2007), an error where it is exactly constant.

    Direction: higher is better, though a smooth image has a high one too: compare with real images.
    Range: (0, inf). Invariant under scale of intensities and the order of images.

    Needs 1 image ``(n, channels, *spatial)`` with a foreground and noise. Cost: linear.

    Interval: of the mean over images.

    Source: MRIQC (Esteban et al. 2017, PLoS ONE 12), ``snr`` and ``snrd``.
    """
    return float(_values(_snr, fake, {"noise": noise}).mean())


@_iqm("cnr", higher_is_better=True)
def cnr(real: Any, fake: NDArray[Any], *, noise: Noise = "detail") -> float:
    """Contrast-to-noise ratio: difference of the means of two tissues over the noise.

    Parameters
    ----------
    noise
        As for `snr`.

    Direction: higher is better. Range: (0, inf). Invariant under scale and offset of intensities
    and the order of images.

    Needs 1 image with a foreground of two tissues and noise. Cost: linear.

    Interval: of the mean over images.

    Source: Magnotta and Friedman 2006 (J. Digital Imaging 19); tissues by Otsu's threshold.
    """
    return float(_values(_cnr, fake, {"noise": noise}).mean())


@_iqm("cjv", higher_is_better=False)
def cjv(real: Any, fake: NDArray[Any], *, robust: bool = False) -> float:
    """Coefficient of joint variation: sum of two tissues' deviations over their means' difference.

    Parameters
    ----------
    robust
        Whether medians and median absolute deviations stand for means and deviations, as in MRIQC.

    Direction: lower is better; noise and intensity inhomogeneity raise it. Range: [0, inf).
    Invariant under scale and offset of intensities and the order of images.

    Needs 1 image with a foreground of two tissues. Cost: linear.

    Interval: of the mean over images.

    Source: Ganzetti, Wenderoth and Mantini 2016 (Front. Neuroinformatics 10); tissues by Otsu.
    """
    return float(_values(_cjv, fake, {"robust": robust}).mean())


@_iqm("efc", higher_is_better=False, top=1.0)
def efc(real: Any, fake: NDArray[Any]) -> float:
    """Entropy focus criterion: entropy of the voxel energies over its maximum.

    ``-sum(p log p) / (sqrt(N) log sqrt(N))`` with p the intensity over the root of the sum of
    squares, N voxels.

    Direction: lower is better; ghosting and blur spread the energy and raise it. Range: [0, 1]; 1
    for a constant image, 0 for one bright voxel. Invariant under scale of intensities and the
    order of images.

    Needs 1 image that is not 0 everywhere. Cost: linear.

    Interval: of the mean over images.

    Source: Atkinson et al. 1997 (IEEE TMI 16), normalised as in MRIQC.
    """
    return float(_values(_efc, fake, {}).mean())


@_iqm("fber", higher_is_better=True)
def fber(real: Any, fake: NDArray[Any], *, average: Literal["mean", "median"] = "mean") -> float:
    """Foreground-to-background energy ratio: mean square inside the object over that outside.

    Parameters
    ----------
    average
        ``"mean"`` (QAP) or ``"median"`` (MRIQC) of the squares.

    Direction: higher is better. Range: (0, inf). Invariant under scale of intensities and the order
    of images.

    Needs 1 image whose background is not exactly 0. Cost: linear.

    Interval: of the mean over images.

    Source: Shehzad et al. 2015 (Front. Neuroscience, the QAP); MRIQC. Foreground by Otsu.
    """
    return float(_values(_fber, fake, {"average": average}).mean())


@_iqm("blur", higher_is_better=False, top=1.0)
def blur(real: Any, fake: NDArray[Any], *, size: int = 11) -> float:
    """Perceptual blur: how little an image changes when it is blurred once more.

    The share of the edges' strength that a mean filter leaves, along the worst axis.

    Parameters
    ----------
    size
        Length of the mean filter in voxels (published: 9; 11 in scikit-image).

    Direction: lower is better. Range: [0, 1]; 0 sharp, 1 blurred. Invariant under scale and offset
    of intensities and the order of images. Noise lowers it.

    Needs 1 image with edges. Cost: linear.

    Interval: of the mean over images.

    Source: Crete et al. 2007 (SPIE 6492); equal to ``skimage.measure.blur_effect``.
    """
    return float(_values(_blur, fake, {"size": size}).mean())
