"""The MNI152 maps that the phantoms are built from, as nilearn ships them in its wheel."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_FILE = "mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"

Float32 = NDArray[np.float32]


class Atlas(NamedTuple):
    """Maps on one grid of 1 mm voxels (x, y, z).

    `near` holds every voxel that interpolation at a point of the brain can touch; `origin` is the
    voxel of MNI (0, 0, 0).
    """

    grey: Float32
    white: Float32
    fluid: Float32
    texture: Float32
    near: NDArray[np.bool_]
    origin: tuple[float, float, float]

    def sample(self, where: Float32) -> tuple[Float32, Float32, Float32, Float32]:
        """The four maps at voxels ``(3, ...)``, linearly interpolated; 0 away from the brain."""
        last = np.asarray(self.near.shape).reshape(3, *[1] * (where.ndim - 1)) - 1
        nearest = np.clip(np.rint(where).astype(np.intp), 0, last)
        inside = self.near[tuple(nearest)]
        points = where[:, inside]
        found = []
        for m in (self.grey, self.white, self.fluid, self.texture):
            out = np.zeros(where.shape[1:], np.float32)
            out[inside] = ndimage.map_coordinates(m, points, order=1, prefilter=False)
            found.append(out)
        return found[0], found[1], found[2], found[3]


@cache
def atlas() -> Atlas:
    """Probabilities of grey matter, white matter and fluid, and the T1's detail within tissue.

    Raises
    ------
    FileNotFoundError
        When nilearn does not hold its maps where every release so far has had them.
    """
    t1, affine = _load("t1")
    grey, _ = _load("gm")
    white, _ = _load("wm")
    brain = ndimage.binary_fill_holes(ndimage.binary_closing(grey + white > 0.3, iterations=3))
    brain = ndimage.gaussian_filter(brain.astype(np.float32), 0.7)
    fluid = np.clip(brain - grey - white, 0, 1)
    mean = [np.average(t1, weights=m) for m in (grey, white, fluid)]
    texture = t1 - grey * mean[0] - white * mean[1] - fluid * mean[2]
    texture = np.where(brain > 0.5, texture / np.average(t1, weights=white), 0).astype(np.float32)
    texture -= ndimage.gaussian_filter(texture, 8)
    origin = tuple(float(v) for v in np.linalg.solve(affine, [0, 0, 0, 1])[:3])
    near = ndimage.binary_dilation(grey + white + fluid > 0, iterations=2)
    return Atlas(grey, white, fluid, texture, near, (origin[0], origin[1], origin[2]))


def _load(name: str) -> tuple[Float32, NDArray[np.float64]]:
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the phantoms need nilearn's MNI152 maps: pip install nilearn")
    path = Path(spec.origin).parent / "datasets" / "data" / _FILE.format(name)
    if not path.is_file():
        raise FileNotFoundError(
            f"nilearn holds no {path.name} where it is looked for ({path.parent}); "
            "install a release in which it does, such as nilearn 0.14"
        )
    image = nibabel.as_closest_canonical(nibabel.load(path))
    data = np.asarray(image.dataobj, dtype=np.float32)
    return np.clip(data / data.max(), 0, 1), np.asarray(image.affine)
