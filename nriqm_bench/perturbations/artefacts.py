"""Artefacts of intensity and sharpness: blur, bias field, gamma."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.perturbation import perturbation


@perturbation("blur", unit="px", range=(0.0, 64.0))
def blur(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Gaussian smoothing of standard deviation `level` pixels along every spatial axis.

    Edges are continued by their outermost value, so that a uniform image stays as it is.
    """
    sigma = (0, 0, *[level] * len(images.spatial))
    return images.replace(images=ndimage.gaussian_filter(images.images, sigma, mode="nearest"))


@perturbation("bias-field", unit="share", range=(0.0, 1.0))
def bias_field(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Uneven sensitivity of the receive coil: a smooth factor from 1 - `level` to 1 + `level`.

    The field is that of MONAI's `RandBiasField`, a polynomial of degree 3 along each axis with
    coefficients drawn for each image, shifted and scaled so that its extremes within the image
    are exactly these two. All channels of an image share it. The result is clipped to [0, 1].

    Source: van Leemput et al. 1999, IEEE Transactions on Medical Imaging 18, 885-896.
    """
    from monai.transforms import RandBiasField

    # Coefficients this small keep the exponential, which MONAI applies, within float32.
    draw = RandBiasField(degree=3, coeff_range=(-0.1, 0.1), prob=1.0)
    flat = np.ones((1, *images.spatial), dtype=np.float32)
    out = np.empty_like(images.images)
    for i, image in enumerate(images.images):
        draw.set_random_state(seed=int(rng.integers(2**32)))
        field = np.log(np.asarray(draw(flat), dtype=np.float64))
        low, high = field.min(), field.max()
        factor = 1 + level * (2 * (field - low) / max(high - low, 1e-12) - 1)
        out[i] = image * factor
    return images.replace(images=np.clip(out, 0, 1, out=out))


@perturbation("gamma", unit="log gamma", range=(0.0, 3.0))
def gamma(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Another contrast curve: intensities to the power ``exp(level)`` or ``exp(-level)``.

    Half of the images, drawn at random, become darker and the others brighter. As in MONAI's
    `AdjustContrast`, which does it, the power acts on the range from the least to the greatest
    value of each channel, which stay as they are. A level of .69 is a power of 2 or 1/2.
    """
    from monai.transforms import AdjustContrast

    darker = rng.random(len(images)) < 0.5
    out = np.empty_like(images.images)
    for i, image in enumerate(images.images):
        curve = AdjustContrast(float(np.exp(level if darker[i] else -level)))
        for c, channel in enumerate(image):
            out[i, c] = curve(channel.copy())
    return images.replace(images=np.clip(out, 0, 1, out=out))
