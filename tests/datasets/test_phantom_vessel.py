"""The vessel phantom: Murray's law, known diameters, projections, masks, parts, sites."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from nriqm_bench import datasets
from nriqm_bench.datasets import phantom_vessel as room
from nriqm_bench.datasets.phantom_arteries import Segment, Tree, grow
from nriqm_bench.datasets.phantom_atlas import atlas
from nriqm_bench.datasets.phantom_coverage import CENTRE_LINE, VESSEL, render_tree

make = datasets.get("phantom-vessel")


@pytest.fixture(scope="module")
def found():
    return make(n=64, seed=3)


@pytest.fixture(scope="module")
def volumes():
    return make(n=3, seed=3, volumes=True)


@pytest.fixture(scope="module")
def trees():
    return [grow(np.random.default_rng(seed)) for seed in range(8)]


# The tree.


def test_murrays_law_holds_at_every_bifurcation(trees):
    for tree in trees:
        bifurcations = 0
        for index, segment in enumerate(tree.segments):
            children = tree.children(index)
            assert len(children) in (0, 2)
            if children:
                cubes = sum(tree.segments[c].radius[0] ** 3 for c in children)
                assert segment.radius[-1] ** 3 == pytest.approx(cubes, rel=1e-9)
                bifurcations += 1
        assert bifurcations > 60


def test_segments_hang_together_and_narrow_with_the_flow(trees):
    for tree in trees:
        roots = [s for s in tree.segments if s.parent is None]
        assert [s.name for s in roots] == ["basilar", "left carotid", "right carotid"]
        for index, segment in enumerate(tree.segments):
            assert segment.points.shape == (len(segment.radius), 3)
            assert (np.diff(segment.radius) <= 0).all()
            assert segment.radius.min() > 0.1
            if segment.parent is not None:
                assert segment.parent < index
                parent = tree.segments[segment.parent]
                assert np.array_equal(segment.points[0], parent.points[-1])
                assert segment.radius[0] < parent.radius[-1]


def test_centre_lines_are_continuous(trees):
    for tree in trees:
        for segment in tree.segments:
            steps = np.linalg.norm(np.diff(segment.points, axis=0), axis=1)
            assert steps.max() < 1.3
            assert segment.length == pytest.approx(steps.sum())


def test_arteries_lie_in_the_head_and_branches_end_in_the_brain(trees):
    maps = atlas()
    brain = maps.grey + maps.white + maps.fluid > 0.3
    away = ndimage.distance_transform_edt(~brain)
    for tree in trees:
        points = np.concatenate([s.points for s in tree.segments])
        voxels = np.rint(points + maps.origin).astype(int)
        assert (voxels >= 0).all()
        assert (voxels < brain.shape).all()
        # The carotids and the basilar run below the brain, not far from it.
        assert away[tuple(voxels.T)].max() < 25
        ends = [s.points[-1] for i, s in enumerate(tree.segments) if not tree.children(i)]
        voxels = np.rint(np.array(ends) + maps.origin).astype(int)
        assert (away[tuple(voxels.T)] <= 2).mean() > 0.9


def test_sides_have_their_own_arteries(trees):
    for tree in trees:
        for name, sign in (("left", -1), ("right", 1)):
            for artery in ("M1", "lower M2", "carotid"):
                points = [s.points for s in tree.segments if s.name == f"{name} {artery}"]
                # What is supplied beside the falx may meander across it.
                assert (sign * np.concatenate(points)[:, 0] > -6).all()


def test_large_arteries_are_as_wide_as_textbooks_say():
    """Medians within the ranges of adults: carotid 4-5.5, basilar 3-4.2, M1 2.5-4 mm."""
    wide = {"carotid": [], "basilar": [], "M1": []}
    for number in range(20):
        seen = set()
        for segment in room.tree(0, "train", number).segments:
            artery = segment.name.split(" ", 1)[-1]
            if artery in wide and segment.name not in seen:
                seen.add(segment.name)
                wide[artery].append(2 * segment.radius[0])
    assert 4 < np.median(wide["carotid"]) < 5.5
    assert 3 < np.median(wide["basilar"]) < 4.2
    assert 2.5 < np.median(wide["M1"]) < 4


def test_people_differ_in_shape_and_calibre():
    some = [room.tree(0, "train", number) for number in range(12)]
    assert len({len(t.segments) for t in some}) > 6
    roots = np.array([[s.radius[0] for s in t.segments if s.parent is None] for t in some])
    assert (roots.std(0) > 0.05 * roots.mean(0)).all()
    assert np.abs(roots[:, 1] / roots[:, 2] - 1).max() > 0.03
    twice = room.tree(0, "train", 0)
    assert all(
        np.array_equal(a.points, b.points) and np.array_equal(a.radius, b.radius)
        for a, b in zip(some[0].segments, twice.segments, strict=True)
    )


def test_moving_a_tree_moves_its_points(trees):
    matrix, shift = np.diag([2.0, -1.0, 1.0]), np.array([1.0, 2.0, 3.0])
    moved = trees[0].move(matrix, shift)
    for a, b in zip(trees[0].segments, moved.segments, strict=True):
        np.testing.assert_allclose(b.points, a.points * [2, -1, 1] + [1, 2, 3])
        assert np.array_equal(a.radius, b.radius)


# Partial volume.


def straight(radius, direction, length=60.0, centre=(16.0, 16.0, 16.0)):
    direction = np.array(direction) / np.linalg.norm(direction)
    points = np.array(centre) + np.linspace(-length / 2, length / 2, 61)[:, None] * direction
    return Tree((Segment(points, np.full(61, float(radius)), None, "test"),))


@pytest.mark.parametrize("radius", [0.3, 0.5, 1.0, 2.5])
def test_the_cross_section_is_pi_r_squared(radius):
    """Summed over whole planes: a slanted vessel is cut by 1 / cos, to which the sum is exact."""
    direction = np.array([1.0, 0.3, -0.2])
    cosine = 1 / np.linalg.norm(direction)
    found = render_tree(straight(radius, direction), (41, 41, 41), 0.8, spread=0.4)
    area = found.coverage[10:30].sum((1, 2)) * 0.8**2 * cosine
    assert area.mean() == pytest.approx(np.pi * radius**2, rel=0.03)
    assert found.coverage.max() <= 1


def test_the_profile_is_a_disc_blurred_by_voxel_and_point_spread():
    """The brute force: a disc on a grid a sixteenth of a voxel wide, both blurs applied to it."""
    fine, voxel, spread, radius = 16, 0.8, 0.4, 1.1
    y, x = np.indices((25 * fine, 25 * fine)) - (25 * fine - 1) / 2
    disc = (np.hypot(x, y) * voxel / fine <= radius).astype(float)
    blurred = ndimage.gaussian_filter(disc, spread / voxel * fine)
    expected = blurred.reshape(25, fine, 25, fine).mean((1, 3))
    centre = (12 * voxel,) * 3
    found = render_tree(straight(radius, (1, 0, 0), 40, centre), (25, 25, 25), voxel, spread)
    assert np.abs(found.coverage[12] - expected).max() < 0.03


def test_brightness_weighs_the_blood():
    tree = straight(1.0, (1, 0, 0))
    found = render_tree(tree, (41, 41, 41), 0.8, 0.4, [np.linspace(0, 1, 61)])
    # The line runs from -14 to 46 mm and its brightness from 0 to 1.
    for plane in (10, 20, 30):
        share = found.signal[plane].sum() / found.coverage[plane].sum()
        assert share == pytest.approx((plane * 0.8 + 14) / 60, abs=0.03)


def test_labels_are_the_voxels_within_the_radius_and_on_the_line():
    tree = straight(2.0, (1, 0.2, 0.1))
    labels = render_tree(tree, (41, 41, 41), 0.8).labels
    direction = np.array([1, 0.2, 0.1]) / np.linalg.norm([1, 0.2, 0.1])
    gap = np.stack(np.indices(labels.shape), -1) * 0.8 - 16
    distance = np.linalg.norm(gap - (gap @ direction)[..., None] * direction, axis=-1)
    assert (labels[distance < 1.99] > 0).all()
    assert (labels[distance > 2.01] == 0).all()
    line = labels == CENTRE_LINE
    assert (distance[line] < 0.8 * np.sqrt(3) / 2 + 1e-6).all()
    assert line.any((1, 2)).all()


def test_thin_vessels_keep_a_line():
    labels = render_tree(straight(0.1, (1, 0.7, 0.4)), (41, 41, 41), 0.8).labels
    parts = ndimage.label(labels > 0, np.ones((3, 3, 3)))[1]
    assert parts == 1


def test_vessels_may_leave_the_volume():
    inside = render_tree(straight(1.0, (0, 0, 1), 60, (16, 16, 16)), (41, 41, 41), 0.8, 0.4)
    edge = render_tree(straight(1.0, (0, 0, 1), 60, (0, 16, 16)), (41, 41, 41), 0.8, 0.4)
    away = render_tree(straight(1.0, (0, 0, 1), 60, (-20, 16, 16)), (41, 41, 41), 0.8, 0.4)
    np.testing.assert_allclose(edge.coverage[:3], inside.coverage[20:23], atol=1e-5)
    assert away.coverage.max() == 0
    assert away.labels.max() == 0


def test_a_vessel_too_wide_for_the_table_is_refused():
    with pytest.raises(ValueError, match=r"radius of 20 mm, must be at most 3\.7 mm"):
        render_tree(straight(20, (1, 0, 0)), (41, 41, 41), 0.8)


def test_known_diameters_are_found_in_a_rendered_volume():
    """Blood around the middle of a wide vessel of a subject, without tissue and noise: pi r^2."""
    compared = []
    for number in range(3):
        tree = room.tree(0, "train", number)
        for segment in tree.segments:
            if segment.length < 12 or segment.radius.mean() < 0.6:
                continue
            # The vessel alone: neighbours would be counted with it.
            alone = dataclasses.replace(segment, parent=None)
            found = render_tree(Tree((alone,)), room.SHAPE, room.VOXEL, 0.4)
            inside = (segment.points > 6).all(1) & (
                segment.points < np.array(room.SHAPE) * room.VOXEL - 6
            ).all(1)
            if not inside.all():
                continue
            blood = found.coverage.sum() * room.VOXEL**3
            lengths = np.linalg.norm(np.diff(segment.points, axis=0), axis=1)
            squares = ((segment.radius[1:] + segment.radius[:-1]) / 2) ** 2
            caps = 4 / 3 * np.pi * segment.radius.mean() ** 3
            known = np.pi * (squares * lengths).sum() + caps
            compared.append(blood / known)
    assert len(compared) >= 5
    # Ends are round or not, and bends overlap: a few per cent of blood, half as much of diameter.
    assert np.median(compared) == pytest.approx(1, abs=0.06)
    assert np.abs(np.array(compared) - 1).max() < 0.2


# Images and masks.


def test_shapes_and_fields(found, volumes):
    assert found.images.shape == (64, 1, 128, 128)
    assert found.images.dtype == np.float32
    assert len(set(found.subjects)) == 64 // room.SLABS
    assert set(found.sites) == {"Guys", "HH", "IOP"}
    for subject in set(found.subjects):
        assert len(set(found.sites[found.subjects == subject])) == 1
    assert found.spacing == (0.8, 0.8)
    assert volumes.images.shape == (3, 1, *room.SHAPE)
    assert volumes.spacing == (0.8, 0.8, 0.8)
    assert len(set(volumes.subjects)) == 3
    for some in (found, volumes):
        assert set(np.unique(some.masks)) == {0, VESSEL, CENTRE_LINE}


def test_projections_show_the_slabs_of_the_volumes(found, volumes):
    for i in range(3):
        assert volumes.subjects[i] == found.subjects[4 * i]
        for slab in range(room.SLABS):
            part = slice(slab * room.STEP, slab * room.STEP + room.THICK)
            assert np.array_equal(found.masks[4 * i + slab], volumes.masks[i][part].max(0))
            projected = volumes.images[i, 0, part].max(0)
            shown = found.images[4 * i + slab, 0]
            # Each is scaled by its own percentiles: apart from clipping, one is linear in both.
            kept = (shown > 0) & (shown < 1) & (projected < 1)
            assert np.corrcoef(shown[kept], projected[kept])[0, 1] > 0.9999
    assert room.SHAPE[0] == (room.SLABS - 1) * room.STEP + room.THICK


def test_a_smaller_n_gives_the_first_of_a_larger(found, volumes):
    few = make(n=6, seed=3)
    assert np.array_equal(few.images, found.images[:6])
    assert np.array_equal(few.masks, found.masks[:6])
    assert list(few.subjects) == list(found.subjects[:6])
    one = make(n=1, seed=3, volumes=True)
    assert np.array_equal(one.images, volumes.images[:1])
    assert np.array_equal(one.masks, volumes.masks[:1])


def test_seeds_and_parts_are_different_people():
    sets = [make(n=4), make(n=4, seed=1), make(n=4, part="reference"), make(n=4, part="held-out")]
    assert len({s.images.tobytes() for s in sets}) == 4
    assert len({name for s in sets for name in s.subjects}) == 4


def test_every_slab_shows_enough_vessels(found):
    vessel = (found.masks > 0).mean((1, 2))
    assert vessel.min() > 0.02
    assert vessel.max() < 0.35
    assert (found.masks == CENTRE_LINE).sum((1, 2)).min() > 80


def test_blood_is_bright_and_not_clipped_flat(found, volumes):
    for some in (found, volumes):
        vessel, rest = some.images[:, 0][some.masks > 0], some.images[:, 0][some.masks == 0]
        assert vessel.mean() > 2 * rest.mean()
        assert (vessel >= 1).mean() < 0.03


def test_wide_vessels_are_brighter_than_thin_ones(volumes):
    """Slow flow and partial volume: over the centre lines of a volume by the radius there."""
    tree = room.tree(3, "train", 0)
    points = np.concatenate([s.points for s in tree.segments]) / room.VOXEL
    radius = np.concatenate([s.radius for s in tree.segments])
    voxels = np.rint(points).astype(int)
    inside = ((voxels >= 0) & (voxels < room.SHAPE)).all(1)
    bright = volumes.images[0, 0][tuple(voxels[inside].T)]
    assert bright[radius[inside] > 1].mean() > 1.5 * bright[radius[inside] < 0.5].mean()


def test_the_mask_holds_the_centre_line_of_the_tree(volumes):
    for number in range(3):
        tree = room.tree(3, "train", number)
        points = np.concatenate([s.points for s in tree.segments]) / room.VOXEL
        voxels = np.rint(points).astype(int)
        inside = ((voxels >= 1) & (voxels < np.array(room.SHAPE) - 1)).all(1)
        assert inside.sum() > 500
        assert (volumes.masks[number][tuple(voxels[inside].T)] == CENTRE_LINE).all()


def test_the_tissue_is_dark_fluid_darker():
    """Without noise and vessels, on the maps: fluid < grey matter and white matter < blood."""
    subject = room.draw_subject(0, "train", 0)
    site = room.SITES[subject.site]
    tissue = room._tissue(subject.rng, room.POPULATION, site, subject.head)
    inverse = np.linalg.inv(subject.head.matrix)
    voxels = np.stack(np.indices(room.SHAPE), -1) * room.VOXEL
    where = np.moveaxis((voxels - subject.head.shift) @ inverse.T + atlas().origin, -1, 0)
    grey, white, fluid, _ = atlas().sample(where.astype(np.float32))
    means = [tissue[m > 0.9].mean() for m in (fluid, grey, white)]
    assert means[0] < 0.9 * min(means[1:])
    assert max(means) < 0.6


def test_sites_differ_in_noise_tissue_and_sharpness(found):
    noise, tissue = {}, {}
    for name in ("Guys", "HH", "IOP"):
        images = found.images[found.sites == name, 0]
        still = found.masks[found.sites == name] == 0
        fine = images - ndimage.gaussian_filter(images, (0, 1.5, 1.5))
        noise[name] = fine[still].std()
        tissue[name] = np.median(images[still])
    assert max(noise.values()) > 1.4 * min(noise.values())
    assert max(tissue.values()) > 1.2 * min(tissue.values())
    sharp = [site.sharpness for site in room.SITES]
    assert len(set(sharp)) == len(sharp)


def test_noise_is_rician():
    """Where there is no signal, a Rayleigh distribution: mean over SD is sqrt(pi / (4 - pi))."""
    noise = room._rician(np.random.default_rng(0), np.zeros((8, 128, 128), np.float32), 0.05)
    ratio = noise.mean() / noise.std()
    assert ratio == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.02)
    assert noise.mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.02)
    strong = room._rician(np.random.default_rng(0), np.ones((8, 128, 128), np.float32), 0.05)
    assert strong.std() == pytest.approx(0.05, rel=0.03)
    beside = np.corrcoef(strong[:, :, 1:].ravel(), strong[:, :, :-1].ravel())[0, 1]
    assert beside > 0.1


def test_other_sizes(found, volumes):
    small = make(n=4, seed=3, size=64)
    averaged = found.images[:4].reshape(4, 1, 64, 2, 64, 2).mean((3, 5))
    np.testing.assert_allclose(small.images, averaged, atol=1e-6)
    assert small.spacing == (1.6, 1.6)
    assert make(n=1, size=256).masks.shape == (1, 256, 256)
    half = make(n=1, seed=3, size=64, volumes=True)
    assert half.images.shape == (1, 1, 32, 64, 64)
    assert half.masks.shape == (1, 32, 64, 64)
    assert half.spacing == (1.6, 1.6, 1.6)
    for mask, full in ((small.masks[0], found.masks[0]), (half.masks[0], volumes.masks[0])):
        line = np.argwhere(full == CENTRE_LINE) // 2
        assert (mask[tuple(line.T)] == CENTRE_LINE).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 0}, "n was 0"),
        ({"size": 8}, "size 8"),
        ({"part": "test"}, "part was 'test'"),
        ({"size": 65, "volumes": True}, "size was 65, must be even"),
    ],
)
def test_errors(options, told):
    with pytest.raises(ValueError, match=told):
        make(**options)
    if "part" in options:
        with pytest.raises(ValueError, match=told):
            room.tree(0, "test", 0)


def test_progress_counts_subjects():
    seen = []

    def progress(items, description, total):
        seen.append((description, total))
        return items

    make(n=5, progress=progress)
    make(n=2, volumes=True, progress=progress)
    assert seen == [("phantom-vessel, train", 2)] * 2


def test_the_command_line_knows_it():
    source = datasets.open("phantom-vessel")
    assert source.builtin
    assert source.key() == f"phantom-vessel:{room.VERSION}"
    assert source.load("held-out", 2, 0, 64).images.shape == (2, 1, 64, 64)
    with pytest.raises(ValueError, match="takes no path"):
        datasets.open("phantom-vessel:somewhere")
