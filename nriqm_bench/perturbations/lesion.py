"""Local damage: the lesion alone changes, everything else stays bit for bit."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations.perturbation import perturbation

# Half-width of the band around the lesion's outline in which `boundary_blur` acts, in pixels.
BAND = 6.0


@perturbation("boundary-blur", unit="px", needs=frozenset({"masks"}), range=(0.0, 32.0))
def boundary_blur(images: ImageSet, level: float, rng: np.random.Generator) -> ImageSet:
    """Gaussian smoothing of `level` pixels in a band around each lesion's outlines.

    The band holds every pixel within `BAND` pixels of an outline of the lesion or of one of its
    parts (any change of label). The smoothed image is blended in by a weight that is 1 on the
    outline and falls to 0 at the band's edge as a raised cosine, so there is no seam; outside the
    band every pixel is bit-identical. Images without a lesion come back as they were.
    """
    assert images.masks is not None
    out = images.images.copy()
    for i, mask in enumerate(images.masks):
        if not mask.any():
            continue
        distance = ndimage.distance_transform_edt(~_outlines(mask))
        band = distance < BAND
        weight = (0.5 + 0.5 * np.cos(np.pi * distance[band] / BAND)).astype(np.float32)
        for channel in out[i]:
            smooth = ndimage.gaussian_filter(channel, level, mode="nearest")
            channel[band] += weight * (smooth[band] - channel[band])
    return images.replace(images=np.clip(out, 0, 1, out=out))


def _outlines(mask: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour of another label."""
    low = ndimage.minimum_filter(mask, size=3)
    high = ndimage.maximum_filter(mask, size=3)
    return np.asarray(low != high)
