"""The tumour phantom: determinism, parts, masks, anatomy, variety."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import datasets
from nriqm_bench.datasets.phantom_lesion import CORE, OEDEMA, RIM
from nriqm_bench.datasets.phantom_tumour import SLICES


@pytest.fixture(scope="module")
def found():
    return datasets.get("phantom-tumour")(n=96, seed=3)


def test_shapes_and_fields(found):
    assert found.images.shape == (96, 1, 128, 128)
    assert found.images.dtype == np.float32
    assert found.masks.shape == (96, 128, 128)
    assert len(set(found.subjects)) == 96 // SLICES
    assert len(set(found.sites)) == 5
    for subject in set(found.subjects):
        assert len(set(found.sites[found.subjects == subject])) == 1


def test_a_smaller_n_gives_the_first_of_a_larger(found):
    few = datasets.get("phantom-tumour")(n=6, seed=3)
    assert np.array_equal(few.images, found.images[:6])
    assert np.array_equal(few.masks, found.masks[:6])
    assert list(few.subjects) == list(found.subjects[:6])


def test_seeds_and_parts_are_different_people():
    make = datasets.get("phantom-tumour")
    sets = [make(n=4), make(n=4, seed=1), make(n=4, part="reference"), make(n=4, part="held-out")]
    prints = {s.images.tobytes() for s in sets}
    assert len(prints) == 4
    assert len({name for s in sets for name in s.subjects}) == 4


def test_tumours_are_bright_and_most_slices_show_one(found):
    shown = (found.masks > 0).any((1, 2))
    assert 0.6 < shown.mean() < 0.98
    brain = (found.images[:, 0] > 0.15) & (found.masks == 0)
    oedema = found.images[:, 0][found.masks == OEDEMA].mean()
    assert oedema > found.images[:, 0][brain].mean() + 0.15
    assert set(np.unique(found.masks)) == {0, CORE, OEDEMA, RIM}


def test_core_lies_inside_rim_inside_oedema(found):
    from scipy import ndimage

    core = found.masks == CORE
    square = np.ones((1, 3, 3))
    around = ndimage.binary_dilation(core, square) & ~core & (found.masks > 0)
    assert core.any()
    assert (found.masks[around] == RIM).mean() > 0.95


def test_the_mask_is_the_tumour():
    """Rendering the same subject without its tumour changes the marked pixels, hardly others."""
    import dataclasses

    from nriqm_bench.datasets import phantom_tumour as room
    from nriqm_bench.datasets.phantom_atlas import atlas

    subject = room.draw_subject(0, "train", 1)
    image, mask = room.render(subject, atlas())
    original = room.draw_lesion
    try:
        room.draw_lesion = lambda *a: dataclasses.replace(original(*a), depth=a[2] * 0 + 9)
        without, _ = room.render(room.draw_subject(0, "train", 1), atlas())
    finally:
        room.draw_lesion = original
    # Scaling to [0, 1] sees the tumour too, so the two are compared after a fit of gain and offset.
    outside = (mask == 0) & (image > 0.1) & (image < 1) & (without < 1)
    gain, offset = np.polyfit(without[outside], image[outside], 1)
    change = np.abs(image - (gain * without + offset))
    assert (mask > 0).sum() > 100
    assert change[mask > 0].mean() > 10 * change[outside].mean()


def test_sites_differ_in_noise(found):
    corner = found.images[:, 0, :8, :8]
    levels = [corner[found.sites == s].std() for s in sorted(set(found.sites))]
    assert max(levels) > 2 * min(levels)


def test_other_sizes_are_averages():
    make = datasets.get("phantom-tumour")
    small, full = make(n=4, size=64), make(n=4)
    assert small.images.shape == (4, 1, 64, 64)
    averaged = full.images.reshape(4, 1, 64, 2, 64, 2).mean((3, 5))
    np.testing.assert_allclose(small.images, averaged, atol=1e-6)
    assert small.masks.shape == (4, 64, 64)
    assert np.isin(small.masks, [0, 1, 2, 3]).all()
    assert small.spacing[0] == 2 * full.spacing[0]
    assert make(n=1, size=256).images.shape == (1, 1, 256, 256)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"n": 0}, "n was 0"), ({"size": 8}, "size 8"), ({"part": "test"}, "part was 'test'")],
)
def test_errors(options, told):
    with pytest.raises(ValueError, match=told):
        datasets.get("phantom-tumour")(**options)


def test_progress_counts_subjects():
    seen = []

    def progress(items, description, total):
        seen.append((description, total))
        return items

    datasets.get("phantom-tumour")(n=5, progress=progress)
    assert seen == [("phantom-tumour, train", 2)]
