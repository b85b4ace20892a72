"""What holds for every perturbation, built in or registered."""

from __future__ import annotations

import numpy as np
import pytest

import nriqm_bench.perturbations as perturbations
from nriqm_bench import datasets
from nriqm_bench.images import ImageSet
from nriqm_bench.perturbations import Perturbation

BUILTIN = {
    "bias-field": 0.3,
    "blur": 2.0,
    "boundary-blur": 2.0,
    "density-shift": 0.5,
    "dilation": 0.5,
    "elastic": 1.0,
    "gamma": 0.5,
    "gaps": 1.0,
    "gaussian-noise": 0.1,
    "ghosting": 0.2,
    "gibbs": 0.5,
    "internal-duplication": 0.5,
    "lesion-displacement": 0.5,
    "lesion-growth": 0.5,
    "lesion-mode-drop": 0.5,
    "lesion-removal": 0.5,
    "lesion-shrinkage": 0.5,
    "lesion-tilt": 0.3,
    "matched-control": 2.0,
    "missing-branches": 1.0,
    "mode-drop": 0.5,
    "motion": 1.0,
    "poisson-noise": 0.1,
    "rician-noise": 0.1,
    "spike": 0.1,
    "stenosis": 0.5,
    "training-copies": 0.5,
    "translation": 2.0,
    "truncation": 0.5,
}
# Rising levels of everything that acts on whole images.
SWEEPS = {
    "bias-field": (0.05, 0.1, 0.2, 0.4),
    "blur": (0.5, 1.0, 2.0, 4.0),
    "elastic": (0.5, 1.0, 2.0, 4.0),
    "gamma": (0.05, 0.1, 0.2, 0.4),
    "gaussian-noise": (0.01, 0.02, 0.05, 0.1),
    "ghosting": (0.02, 0.05, 0.1, 0.2),
    "gibbs": (0.2, 0.4, 0.6, 0.8),
    "motion": (0.25, 0.5, 1.0, 2.0),
    "poisson-noise": (0.01, 0.03, 0.1, 0.3),
    "rician-noise": (0.01, 0.02, 0.05, 0.1),
    "spike": (0.02, 0.05, 0.1, 0.2),
    "translation": (1.0, 2.0, 4.0, 8.0),
}
VESSELS = {"dilation", "gaps", "missing-branches", "stenosis"}
# What the images alone decide.
DETERMINED = VESSELS | {
    "blur",
    "boundary-blur",
    "ghosting",
    "gibbs",
    "lesion-growth",
    "lesion-shrinkage",
    "mode-drop",
    "truncation",
}
LEVELS = [pytest.param(name, level, id=name) for name, level in BUILTIN.items()]


def image_set(*spatial, n=8, seed=0):
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, *spatial), np.uint8)
    masks[(slice(None), *[slice(3, 7)] * len(spatial))] = 1
    images = ImageSet(
        rng.random((n, 1, *spatial), np.float32),
        masks,
        subjects=[f"s{i}" for i in range(n)],
        sites=[f"site-{i % 4}" for i in range(n)],
        spacing=(1.0,) * len(spatial),
    )
    for array in (images.images, images.masks, images.subjects, images.sites):
        array.flags.writeable = False
    return images


def images_for(name, *spatial):
    """Images with a lesion; or larger ones with a vessel and a twig that it gives off."""
    if name not in VESSELS:
        return image_set(*spatial)
    images = image_set(*(3 * s for s in spatial))
    masks = np.zeros_like(images.masks)
    middle = [s // 2 for s in images.spatial]
    around = [slice(m - 1, m + 2) for m in middle[:-1]]
    masks[(slice(None), *around)] = 1
    masks[(slice(None), *middle[:-2], slice(3, middle[-2]), middle[-1])] = 1
    masks.flags.writeable = False
    return images.replace(masks=masks)


def damaged(name, images, level, seed=0):
    perturbation = perturbations.get(name)
    context = {}
    if "train" in perturbation.needs:
        context["train"] = image_set(*images.spatial, seed=9)
    return perturbation(images, level, np.random.default_rng(seed), **context)


@pytest.fixture
def doubled():
    @perturbations.register(
        "doubled", unit="fold", needs=frozenset({"sites"}), range=(0.0, 4.0), version=3
    )
    def double(images, level, rng):
        """Images become brighter.

        More is not said.
        """
        return images.replace(images=np.clip(images.images * (1 + level), 0, 1))

    yield double
    perturbations.unregister("doubled")


def test_all_are_known():
    assert set(BUILTIN) <= set(perturbations.names())


@pytest.mark.parametrize("spatial", [(10, 12), (8, 9, 10)])
@pytest.mark.parametrize("name", BUILTIN)
def test_level_zero_gives_the_same_set_bit_for_bit(name, spatial):
    images = images_for(name, *spatial)
    assert damaged(name, images, 0).fingerprint() == images.fingerprint()


@pytest.mark.parametrize("spatial", [(10, 12), (8, 9, 10)])
@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_damage_keeps_the_form_and_changes_something(name, level, spatial):
    images = images_for(name, *spatial)
    out = damaged(name, images, level)
    assert out.images.shape == images.images.shape
    assert out.images.dtype == np.float32
    assert out.spacing == images.spacing
    assert out.masks.shape == images.masks.shape
    assert not np.array_equal(out.images, images.images)


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_the_given_images_are_not_modified(name, level):
    images = images_for(name, 10, 12)
    writable = images.replace(images=images.images.copy(), masks=images.masks.copy())
    before = writable.fingerprint()
    damaged(name, writable, level)
    assert writable.fingerprint() == before


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_same_seed_same_damage(name, level):
    images = images_for(name, 10, 12)
    first = damaged(name, images, level, seed=3)
    assert damaged(name, images, level, seed=3).fingerprint() == first.fingerprint()


@pytest.mark.parametrize("name", sorted(set(BUILTIN) - DETERMINED))
def test_other_seed_other_damage(name):
    images = image_set(10, 12)
    first = damaged(name, images, BUILTIN[name], seed=3)
    assert damaged(name, images, BUILTIN[name], seed=4).fingerprint() != first.fingerprint()


@pytest.mark.parametrize("name", BUILTIN)
def test_tags_describe_the_perturbation(name):
    found = perturbations.get(name)
    assert isinstance(found, Perturbation)
    assert found.name == name
    assert found.unit
    assert found.summary.endswith(".")
    assert found.kind in ("image", "population")
    assert found.needs <= {"masks", "sites", "train"}
    assert found.range[0] == 0 < found.range[1] < float("inf")
    assert found.version >= 1


@pytest.mark.parametrize("name", BUILTIN)
def test_levels_out_of_range_are_refused(name):
    high = perturbations.get(name).range[1]
    damaged(name, image_set(10, 12), high)
    for level in (-0.01, high * 1.01, float("nan")):
        with pytest.raises(ValueError, match=f"the level of {name} was .*, must be 0 to {high:g}"):
            damaged(name, image_set(10, 12), level)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("boundary-blur", "masks"),
        ("mode-drop", "sites"),
        ("density-shift", "sites"),
        ("lesion-mode-drop", "masks"),
    ],
)
def test_images_without_what_is_needed_are_refused(name, field):
    images = image_set(10, 12).replace(**{field: None})
    with pytest.raises(ValueError, match=f"{name} needs {field}, and these images have none"):
        damaged(name, images, 0.5)


@pytest.mark.parametrize("name", ["training-copies", "density-shift"])
def test_a_lack_of_training_images_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} needs the training images: pass train="):
        perturbations.get(name)(image_set(10, 12), 0.5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def phantoms():
    return datasets.get("phantom-tumour")(n=8, seed=1)


@pytest.mark.parametrize("name", SWEEPS)
def test_every_phantom_is_damaged_more_at_a_higher_level(name, phantoms):
    distances = [
        ((damaged(name, phantoms, level).images - phantoms.images) ** 2).sum(axis=(1, 2, 3))
        for level in (0.0, *SWEEPS[name])
    ]
    assert (np.diff(distances, axis=0) > 0).all()


@pytest.mark.parametrize("name", SWEEPS)
def test_two_levels_share_their_random_numbers(name):
    """Damage of two levels looks alike; of another seed only as far as nothing is drawn."""
    grey = image_set(32, 32, n=4)
    images = grey.replace(images=0.3 + 0.4 * np.clip(grey.images, 0, 1))
    # One pixel further another pixel is seen; what is shared is the direction.
    low, high = (4.0, 4.0) if name == "translation" else SWEEPS[name][1:3]
    fields = [damaged(name, images, v, seed=2).images - images.images for v in (low, high)]
    alike = np.corrcoef(fields[0].ravel(), fields[1].ravel())[0, 1]
    assert alike > 0.5
    if name not in ("blur", "ghosting", "gibbs"):
        other = damaged(name, images, high, seed=3).images - images.images
        assert np.corrcoef(fields[0].ravel(), other.ravel())[0, 1] < 0.8 * alike


@pytest.mark.parametrize("name", SWEEPS)
@pytest.mark.parametrize("spatial", [(16, 20), (7, 12, 16)])
def test_images_stay_in_range_with_one_field_for_many_channels(name, spatial):
    grey = image_set(*spatial, n=3)
    one = damaged(name, grey, SWEEPS[name][-1])
    assert one.images.min() >= 0
    assert one.images.max() <= 1
    if name in ("gaussian-noise", "rician-noise", "poisson-noise"):
        return
    twice = grey.replace(images=np.repeat(grey.images, 2, axis=1))
    out = damaged(name, twice, SWEEPS[name][-1]).images
    assert out[:, :1] == pytest.approx(one.images, abs=1e-5)
    assert out[:, 1:] == pytest.approx(one.images, abs=1e-5)


def test_arrays_are_accepted():
    array = np.full((2, 1, 8, 8), 0.5)
    out = perturbations.get("blur")(array, 1.0, np.random.default_rng(0))
    assert out.images == pytest.approx(array, abs=1e-6)


def test_registered_function_is_a_perturbation_with_its_tags(doubled):
    found = perturbations.get("doubled")
    assert (found.unit, found.kind, found.version) == ("fold", "image", 3)
    assert found.summary == "Images become brighter."
    images = image_set(10, 12)
    out = found(images, 1.0, np.random.default_rng(0))
    assert np.array_equal(out.images, np.clip(2 * images.images, 0, 1))
    assert found(images, 0, np.random.default_rng(0)) is images
    with pytest.raises(ValueError, match="doubled was 5, must be 0 to 4 fold"):
        found(images, 5, np.random.default_rng(0))
    assert doubled(images, 0, None).images is not images.images


def test_taken_and_unknown_names_are_refused(doubled):
    with pytest.raises(ValueError, match="'doubled' is taken"):
        perturbations.register("doubled")(print)
    with pytest.raises(KeyError, match="unknown perturbation 'bluur'; did you mean 'blur'"):
        perturbations.get("bluur")


def test_bare_function_of_another_package_is_wrapped(doubled):
    """An entry point may lead to a plain function."""
    try:
        perturbations._REGISTRY.add("bare", doubled)
        found = perturbations.get("bare")
        assert isinstance(found, Perturbation)
        assert found.name == "bare"
        assert found.range == (0.0, float("inf"))
    finally:
        perturbations.unregister("bare")


def test_room_has_no_other_attributes():
    with pytest.raises(AttributeError, match=r"has no attribute 'Blur'"):
        _ = perturbations.Blur
