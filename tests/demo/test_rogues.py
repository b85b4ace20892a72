"""Each rogue differs from the perfect generator in the way that it says, and in no other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from nriqm_bench import datasets, load_generator
from nriqm_bench.demo import rogues
from nriqm_bench.demo.rogues import ROGUES, rogue

N, SEED = 40, 3
TUMOUR, VESSEL = "phantom-tumour", "phantom-vessel"
SHOWN = [(TUMOUR, name) for name in rogues.names(TUMOUR)] + [(VESSEL, "vessel-breaker")]


@pytest.fixture(scope="module")
def drawn():
    """The images of a generator of the gallery, and of the one without a defect."""
    return lambda name, dataset=TUMOUR: rogue(name, dataset).sample(N, SEED)


@pytest.fixture(scope="module")
def parts():
    return {
        part: datasets.get(TUMOUR)(N, SEED, part=part)
        for part in ("train", "reference", "held-out")
    }


def rows(images):
    return [image.tobytes() for image in images]


def test_the_gallery_of_each_phantom():
    both = {"perfect", "memoriser", "near-copier", "collapsed", "truncated", "noisy", "blurry"}
    assert set(rogues.names(TUMOUR)) == both | {"lesion-eraser", "lesion-displacer", "wrong-site"}
    assert set(rogues.names(VESSEL)) == both | {"vessel-breaker", "wrong-site"}
    assert rogues.names(TUMOUR)[0] == "perfect"


@pytest.mark.parametrize(("dataset", "name"), SHOWN)
def test_every_one_says_what_is_wrong_and_who_should_see_it(dataset, name):
    assert len(ROGUES[name].wrong) > 20
    assert bool(ROGUES[name].caught_by) == (name != "perfect")


@pytest.mark.parametrize(("dataset", "name"), SHOWN)
def test_drawn_again_the_images_are_the_same(dataset, name):
    first = rogue(name, dataset).sample(16, SEED)
    rogues._load.cache_clear()
    again = rogue(name, dataset).sample(16, SEED)
    assert first.fingerprint() == again.fingerprint()
    assert first.masks is not None
    assert first.spatial == (128, 128)


def test_another_seed_makes_other_images():
    one, other = (rogue("perfect").sample(16, seed) for seed in (0, 1))
    assert not set(rows(one.images)) & set(rows(other.images))


@pytest.mark.parametrize("name", [n for n in rogues.names(TUMOUR) if "copier" not in n])
def test_only_memorisers_show_subjects_of_the_run(name, drawn, parts):
    held = {part: set(images.subjects) for part, images in parts.items()}
    own = set(drawn(name).subjects)
    if name == "memoriser":
        assert own == held["train"]
        return
    assert all(own.isdisjoint(subjects) for subjects in held.values())


def test_the_perfect_one_repeats_nothing(drawn):
    assert len(set(rows(drawn("perfect").images))) == N
    assert len(set(drawn("perfect").subjects)) == N // 4


def test_the_memoriser_draws_each_training_image_once(drawn, parts):
    copies, train = drawn("memoriser"), parts["train"]
    assert sorted(rows(copies.images)) == sorted(rows(train.images))
    assert sorted(rows(copies.masks)) == sorted(rows(train.masks))
    assert rows(copies.images) != rows(train.images)


def nearest(images, others):
    """For each image the place of the nearest of the others, and how far that is on average."""
    away = np.abs(images.reshape(len(images), 1, -1) - others.reshape(1, len(others), -1))
    return away.mean(axis=2).argmin(axis=1), away.mean(axis=2).min(axis=1)


def test_the_near_copier_disguises_each_training_image_once(drawn, parts):
    copies, train = drawn("near-copier"), parts["train"]
    lots = np.split(np.arange(N), 5)
    flipped, away = nearest(copies.images[lots[0]], train.images[..., ::-1])
    assert not away.any()
    assert np.array_equal(copies.masks[lots[0]], train.masks[flipped][..., ::-1])
    seen = [flipped]
    for lot in lots[1:3]:
        turned, away = nearest(copies.images[lot], train.images)
        assert (away > 0.005).all()
        assert not np.array_equal(copies.masks[lot], train.masks[turned])
        seen.append(turned)
    for lot, sigma in zip(lots[3:], (0.01, 0.02), strict=True):
        noisy, _ = nearest(copies.images[lot], train.images)
        middle = (train.images[noisy] > 0.1) & (train.images[noisy] < 0.9)
        added = (copies.images[lot] - train.images[noisy])[middle]
        assert added.std() == pytest.approx(sigma, rel=0.05)
        assert np.array_equal(copies.masks[lot], train.masks[noisy])
        seen.append(noisy)
    assert sorted(np.concatenate(seen)) == list(range(N))


def test_the_collapsed_one_knows_five_subjects(drawn):
    images, perfect = drawn("collapsed"), drawn("perfect")
    assert len(set(images.subjects)) == rogues.MODES
    away = images.images - perfect.images[np.arange(N) % (4 * rogues.MODES)]
    middle = (images.images > 0.1) & (images.images < 0.9)
    assert away[middle].std() == pytest.approx(0.01, rel=0.02)
    assert len(set(rows(images.images))) == N


def test_the_truncated_one_repeats_a_tenth_of_the_perfect_images(drawn):
    images = drawn("truncated")
    assert len(set(rows(images.images))) == N // 10
    assert set(rows(images.images)) < set(rows(drawn("perfect").images))


def test_the_noisy_one_adds_noise_of_sigma_a_fifth(drawn):
    images, perfect = drawn("noisy"), drawn("perfect")
    middle = (perfect.images > 0.45) & (perfect.images < 0.55)
    clipped = np.clip(0.5 + 0.2 * np.random.default_rng(0).standard_normal(100_000), 0, 1).std()
    assert (images.images - perfect.images)[middle].std() == pytest.approx(clipped, rel=0.03)
    assert same_subjects_and_masks(images, perfect)


def test_the_blurry_one_smooths_by_three_pixels(drawn):
    images, perfect = drawn("blurry"), drawn("perfect")
    expected = ndimage.gaussian_filter(perfect.images, (0, 0, 3, 3), mode="nearest")
    np.testing.assert_allclose(images.images, expected, atol=1e-6)
    assert same_subjects_and_masks(images, perfect)


def same_subjects_and_masks(a, b):
    return rows(a.masks) == rows(b.masks) and a.subjects.tolist() == b.subjects.tolist()


def test_the_lesion_eraser_changes_nothing_but_lesions(drawn):
    images, perfect = drawn("lesion-eraser"), drawn("perfect")
    assert not images.masks.any()
    assert perfect.masks.any()
    changed = (images.images != perfect.images)[:, 0]
    for i, mask in enumerate(perfect.masks):
        around = (
            ndimage.distance_transform_edt(mask == 0) if mask.any() else np.full(mask.shape, 99)
        )
        assert not changed[i][around > 8].any()
        assert changed[i][mask > 0].all() or not mask.any() or changed[i][mask > 0].mean() > 0.99


def test_the_lesion_displacer_moves_lesions_and_masks(drawn):
    images, perfect = drawn("lesion-displacer"), drawn("perfect")
    ill = [i for i, mask in enumerate(perfect.masks) if mask.any()]
    middle = (np.array(images.spatial) - 1) / 2
    for i in ill:
        there = images.masks[i] > 0
        assert np.abs(np.argwhere(there).mean(axis=0) - middle).max() <= 0.5
        assert there.sum() == (perfect.masks[i] > 0).sum()
        assert not np.array_equal(images.images[i], perfect.images[i])
    well = [i for i in range(N) if i not in ill]
    assert np.array_equal(images.images[well], perfect.images[well])


def test_the_vessel_breaker_cuts_trees_into_pieces(drawn):
    images, perfect = drawn("vessel-breaker", VESSEL), drawn("perfect", VESSEL)
    corner = np.ones((3, 3))
    before, after = (
        np.array([ndimage.label(m > 0, corner)[1] for m in found.masks])
        for found in (perfect, images)
    )
    assert (after > before).all()
    assert after.mean() > 2 * before.mean()
    # What was there is as it was, or gone; nothing is new.
    assert not (images.masks > 0)[perfect.masks == 0].any()


def test_the_wrong_site_mix_holds_fresh_subjects_of_one_site(drawn):
    images = drawn("wrong-site")
    assert set(images.sites) == {"site-1"}
    assert len(set(drawn("perfect").sites)) > 1
    assert len(set(rows(images.images))) == N


def test_a_rogue_can_be_named_on_the_command_line(drawn):
    named = load_generator("nriqm_bench.demo.rogues:near_copier")
    assert named.size == (128, 128)
    assert named.sample(N, SEED).fingerprint() == drawn("near-copier").fingerprint()


def test_keys_follow_from_the_images():
    keys = {rogue(n, d).key() for d in (TUMOUR, VESSEL) for n in rogues.names(d)}
    assert len(keys) == len(rogues.names(TUMOUR)) + len(rogues.names(VESSEL))
    assert rogue("noisy").key() == rogue("noisy", TUMOUR).key()
    assert rogue("noisy", size=64).key() != rogue("noisy").key()


def test_smaller_images_are_smaller_phantoms():
    assert rogue("perfect", size=64).sample(16, SEED).spatial == (64, 64)


def test_an_unknown_rogue_is_told_the_closest():
    with pytest.raises(KeyError, match="did you mean 'memoriser'"):
        rogue("memorizer")


@pytest.mark.parametrize(
    ("name", "dataset", "able"),
    [("lesion-eraser", VESSEL, TUMOUR), ("vessel-breaker", TUMOUR, VESSEL)],
)
def test_what_is_not_shown_cannot_be_damaged(name, dataset, able):
    with pytest.raises(ValueError, match=f"cannot be made of '{dataset}', must be of {able}"):
        rogue(name, dataset)


def test_rogues_are_made_of_phantoms_alone(tmp_path):
    with pytest.raises(ValueError, match="must be of phantom-tumour or phantom-vessel"):
        rogue("perfect", f"folder:{tmp_path}")
