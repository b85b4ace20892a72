"""One run for all tests of gates: fresh real phantoms, and generators that are wrong in one way."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import Lab, Settings, datasets, perturbations

N = 96
SIDE = 64


def images(seed, part="held-out", n=N):
    return datasets.get("phantom-tumour")(n, seed, part=part, size=SIDE)


def damaged(found, name, level, **context):
    return perturbations.get(name)(found, level, np.random.default_rng(0), **context)


def write(path, found, masks=False):
    given = {"masks": found.masks} if masks else {}
    np.savez(path, images=found.images, **given)
    return str(path)


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Paths of samples by name."""
    folder = tmp_path_factory.mktemp("samples")
    fresh, train = images(1001), images(0, part="train")
    mirrored = fresh.images.copy()
    mirrored[: N // 2] = train.images[: N // 2, :, :, ::-1]
    one_site = images(1002, n=5 * N)
    one_site = one_site[np.flatnonzero(one_site.sites == one_site.sites[0])[:N]]
    wrong = {
        "perfect": fresh,
        "noisy": damaged(fresh, "gaussian-noise", 0.2),
        "blurry": damaged(fresh, "blur", 3.0),
        "eraser": damaged(fresh, "lesion-removal", 1.0),
        "copier": fresh.replace(images=mirrored),
        "collapsed": fresh[np.arange(N) % 6],
        "one-site": one_site[np.arange(N) % len(one_site)],
    }
    return {name: write(folder / f"{name}.npz", found) for name, found in wrong.items()}


@pytest.fixture(scope="session")
def lab(sets, tmp_path_factory):
    """All of them in one run, so that real images are looked at once."""
    return Lab.open(
        Settings(
            generator=tuple(sets.values()),
            extractor=("efficientnet-lite0",),
            metric=("fid", "vendi", "train-share", "match-rate"),
            n=N,
            quick=True,
            cache=str(tmp_path_factory.mktemp("cache")),
        )
    )
