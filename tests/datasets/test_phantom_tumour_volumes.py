"""The tumour phantom as volumes: continuous in depth, masks, parts; the slices are untouched."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nriqm_bench import datasets
from nriqm_bench.datasets.phantom_atlas import atlas
from nriqm_bench.datasets.phantom_grid import Slices, Volume
from nriqm_bench.datasets.phantom_lesion import CORE, OEDEMA, RIM
from nriqm_bench.datasets.phantom_tumour import VOLUME, draw_subject, render

make = datasets.get("phantom-tumour")


@pytest.fixture(scope="module")
def found():
    return make(n=10, seed=3, volumes=True)


def test_shapes_and_fields(found):
    assert found.images.shape == (10, 1, 40, 96, 96)
    assert found.images.dtype == np.float32
    assert found.masks.shape == (10, 40, 96, 96)
    assert len(set(found.subjects)) == 10
    assert len(set(found.sites)) > 2
    assert found.spacing == pytest.approx((1.6 * 128 / 96,) * 3)


def test_a_smaller_n_gives_the_first_of_a_larger(found):
    few = make(n=2, seed=3, volumes=True)
    assert np.array_equal(few.images, found.images[:2])
    assert np.array_equal(few.masks, found.masks[:2])


def test_seeds_and_parts_are_different_people():
    sets = [make(n=1, seed=s, part=p, volumes=True) for s in (0, 1) for p in ("train", "held-out")]
    assert len({s.images.tobytes() for s in sets}) == 4
    assert len({name for s in sets for name in s.subjects}) == 4


def test_every_volume_shows_one_bright_tumour_with_all_its_parts(found):
    assert set(np.unique(found.masks)) == {0, CORE, OEDEMA, RIM}
    for image, mask in zip(found.images[:, 0], found.masks, strict=True):
        tumour = mask > 0
        assert tumour.sum() > 100
        brain = (image > 0.15) & ~tumour
        assert image[mask == OEDEMA].mean() > image[brain].mean() + 0.1
        # Oedema stops at the brain's edge and may be cut there, but it is one tumour.
        parts, count = ndimage.label(tumour, np.ones((3, 3, 3)))
        sizes = ndimage.sum_labels(tumour, parts, range(1, count + 1))
        assert max(sizes) > 0.8 * tumour.sum()


def test_core_lies_inside_rim_inside_oedema(found):
    core = found.masks == CORE
    around = ndimage.binary_dilation(core, np.ones((1, 3, 3, 3))) & ~core & (found.masks > 0)
    assert core.any()
    # The thinnest rims are narrower than a voxel here.
    assert (found.masks[around] == RIM).mean() > 0.9


def test_neighbouring_planes_are_as_alike_along_every_axis(found):
    """A stack of unrelated slices would be alike within planes only."""

    def alike(axis):
        volume = np.moveaxis(found.images[:, 0], axis, 1)
        inside = (volume[:, 1:] > 0.2) & (volume[:, :-1] > 0.2)
        return np.corrcoef(volume[:, 1:][inside], volume[:, :-1][inside])[0, 1]

    along = [alike(axis) for axis in (1, 2, 3)]
    assert min(along) > 0.75
    assert max(along) - min(along) < 0.15


def test_tumours_are_as_deep_as_they_are_wide(found):
    extents = []
    for mask in found.masks:
        where = np.argwhere(mask > 0)
        # Those that the volume cuts say nothing of their depth.
        if where[:, 0].min() > 0 and where[:, 0].max() < mask.shape[0] - 1:
            extents.append(where.max(0) - where.min(0) + 1)
    assert len(extents) >= 4
    depth, height, width = np.mean(extents, 0)
    assert 0.6 < depth / np.sqrt(height * width) < 1.6


def test_volumes_are_of_the_same_kind_as_slices(found):
    slices = make(n=40, seed=3)
    for some in (slices, found):
        tissue = some.images[:, 0][(some.images[:, 0] > 0.2) & (some.masks == 0)]
        assert 0.45 < tissue.mean() < 0.8
        assert 0.05 < tissue.std() < 0.25


def test_fields_of_volumes_are_as_strong_as_those_of_slices():
    spreads = []
    for grid in (Slices(), Volume()):
        rng = np.random.default_rng(0)
        spreads.append(
            [
                np.sqrt(np.mean([(grid.field(rng, 32) ** 2).mean() for _ in range(20)])),
                np.sqrt(np.mean([(grid.warp(rng, 5) ** 2).mean() for _ in range(60)])),
                np.sqrt(np.mean([(grid.bias(rng) ** 2).mean() for _ in range(150)])),
            ]
        )
    np.testing.assert_allclose(spreads[1], spreads[0], rtol=0.12)


def test_the_volume_is_isotropic_brain():
    """Bright voxels are brain: those of a subject lie as far apart in depth as within slices."""
    image, mask = render(draw_subject(0, "train", 0), atlas(), grid=VOLUME)
    assert image.shape == mask.shape == (40, 96, 96)
    assert image.min() == 0
    assert image.max() == 1
    brain = image > 0.25
    share = brain.mean((1, 2))
    assert share.min() > 0.05
    assert share.max() < 0.6


def test_other_sizes_are_averages(found):
    small = make(n=1, seed=3, size=48, volumes=True)
    averaged = found.images[:1].reshape(1, 1, 20, 2, 48, 2, 48, 2).mean((3, 5, 7))
    np.testing.assert_allclose(small.images, averaged, atol=1e-6)
    assert small.masks.shape == (1, 20, 48, 48)
    assert small.spacing[0] == 2 * found.spacing[0]
    assert make(n=1, size=120, volumes=True).images.shape == (1, 1, 50, 120, 120)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"n": 0}, "n was 0"), ({"size": 8}, "size 8"), ({"part": "test"}, "part was 'test'")],
)
def test_errors(options, told):
    with pytest.raises(ValueError, match=told):
        make(volumes=True, **options)
