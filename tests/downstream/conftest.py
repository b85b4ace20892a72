"""A small world for the downstream task: textured discs, four slices of each subject."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nriqm_bench import ImageSet, Lab, Settings

SIZE = 32


def discs(n, seed=0, size=SIZE, subjects=4):
    """Bright discs with a sharp edge on a patterned ground; every eighth image has none."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size))
    masks = np.zeros((n, size, size), np.uint8)
    for i in range(n):
        if i % 8 != 7:
            cy, cx = rng.uniform(9, size - 9, 2)
            masks[i] = np.hypot(y - cy, x - cx) < rng.uniform(4, 8)
    ground = ndimage.gaussian_filter(rng.standard_normal(masks.shape), (0, 2, 2))
    images = 0.3 + 0.25 * masks + 0.15 * ground / ground.std() / 2
    images += 0.03 * rng.standard_normal(masks.shape)
    return ImageSet(
        np.clip(images, 0, 1).astype(np.float32)[:, None],
        masks=masks,
        subjects=np.asarray([f"s{seed}-{i // subjects}" for i in range(n)]),
    )


@pytest.fixture
def make_lab(tmp_path):
    """A lab on discs; generators by name, each an ImageSet or None."""

    def lab(n=32, masks=True, generators=(), progress=None, **given):
        path = write_discs(tmp_path / "data.npz", n, masks)
        chosen = {"dataset": f"npz:{path}", "n": n, "cache": "off", "metric": ["fid"]}
        chosen |= {"extractor": ("pixels",)} | given
        settings = Settings.load(chosen, environ={})
        return Lab(settings, generators, progress=progress)

    return lab


@pytest.fixture
def make_generator():
    """A generator that hands out an `ImageSet`."""
    from nriqm_bench.generators import Generator

    def generator(name, images):
        def draw(n, seed):
            if images.masks is None:
                return images.images[:n]
            return images.images[:n], images.masks[:n]

        return Generator(
            name,
            "python",
            draw,
            content=images.fingerprint(),
            chunk=None,
            size=images.spatial,
            value_range=(0.0, 1.0),
        )

    return generator


def write_discs(path, n=24, masks=True):
    """The three parts of the discs as a dataset file."""
    parts = {"train": discs(n, 1), "reference": discs(n, 2), "held-out": discs(n, 3)}
    arrays = {
        "images": np.concatenate([p.images for p in parts.values()]),
        "subjects": np.concatenate([p.subjects for p in parts.values()]),
        "part": np.repeat(list(parts), n),
    }
    if masks:
        arrays["masks"] = np.concatenate([p.masks for p in parts.values()])
    np.savez(path, **arrays)
    return path
