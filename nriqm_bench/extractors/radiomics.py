"""Radiomic features, defined by the Image Biomarker Standardisation Initiative (IBSI)."""

from __future__ import annotations

import logging
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.extractors.images import as_tensor

# The classes of the published Frechet radiomic distance, version 1.
_FAMILIES = ("statistics", "glcm", "glrlm", "glszm", "ngtdm")
_PREFIXES = ("stat_", "cm_", "rlm_", "szm_", "ngt_")
_BINS = 32


class Radiomics:
    """80 IBSI features of the whole image: intensity statistics and four texture matrices.

    Channels are averaged. Volumes are taken in three dimensions, images slice by slice. Grey values
    are sorted into 32 bins between the image's minimum and maximum for the textures. About a tenth
    of a second for 128 x 128 pixels.

    Parameters
    ----------
    device
        Only ``cpu``; other devices are not used.

    Raises
    ------
    ImportError
        Without the package mirp (extra ``radiomics``).

    Source: features: Zwanenburg et al. 2020 (IBSI, Radiology 295), computed by mirp; choice of
    classes: Konz, Osuala et al. 2025 (arXiv 2412.01496), without their filtered images.
    """

    name = "radiomics"
    dim = 80

    def __init__(self, device: str = "cpu") -> None:
        self.require()
        self.device = "cpu"

    @staticmethod
    def require() -> None:
        """Say how to get the package that this extractor needs, where it is missing."""
        if find_spec("mirp") is None:
            raise ImportError(
                "the extractor 'radiomics' needs the package mirp: "
                "pip install 'nriqm-bench[radiomics]'"
            )

    def key(self) -> str:
        """Name, version of mirp, settings."""
        return f"{self.name}:mirp-{version('mirp')}:{','.join(_FAMILIES)}:{_BINS}"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, 80)`` float32.

        Raises
        ------
        ValueError
            For an image of which a feature is not defined, as of a constant one.
        """
        from mirp import extract_features

        stack = as_tensor(images).mean(1).numpy()
        flat = stack.ndim == 3
        volumes = [image[None] if flat else image for image in stack]
        told = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            tables = extract_features(
                image=volumes,
                mask=[np.ones(volume.shape, dtype=bool) for volume in volumes],
                by_slice=flat,
                base_feature_families=list(_FAMILIES),
                base_discretisation_method="fixed_bin_number",
                base_discretisation_n_bins=_BINS,
            )
        finally:
            logging.disable(told)
        columns = [name for name in tables[0].columns if name.startswith(_PREFIXES)]
        found = np.stack([table[columns].to_numpy(dtype=np.float64)[0] for table in tables])
        if not np.isfinite(found).all():
            i, j = np.argwhere(~np.isfinite(found))[0]
            raise ValueError(
                f"image {i} has no radiomic feature {columns[j]}, must have different grey values"
            )
        return np.asarray(found, dtype=np.float32)
