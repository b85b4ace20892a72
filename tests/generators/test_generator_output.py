"""What a generator returns is checked, and every error tells what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nriqm_bench.generators import Generator, GeneratorError
from nriqm_bench.images import ImageSet


def make(draw, **options) -> Generator:
    return Generator("toy", "test", draw, content="c", **{"chunk": 4, **options})


def noise(n, seed):
    return np.random.default_rng(seed).random((n, 1, 5, 4)).astype(np.float32)


def fails(draw, n=4, **options) -> str:
    with pytest.raises(GeneratorError) as caught:
        make(draw, **options).sample(n, 0)
    return str(caught.value)


def test_images_do_not_depend_on_how_many_are_drawn():
    generator = make(noise)
    many = generator.sample(11, seed=2).images
    np.testing.assert_array_equal(generator.sample(3, seed=2).images, many[:3])
    np.testing.assert_array_equal(generator.sample(11, seed=2).images, many)
    assert not np.array_equal(generator.sample(11, seed=3).images, many)
    assert len(np.unique(many.reshape(11, -1), axis=0)) == 11


def test_every_chunk_is_asked_for_whole():
    asked = []

    def draw(n, seed):
        asked.append((n, seed))
        return noise(n, seed)

    make(draw).sample(9, 0)
    assert [n for n, _ in asked] == [4, 4, 4]
    assert len({seed for _, seed in asked}) == 3
    asked.clear()
    make(draw, chunk=None).sample(9, 7)
    assert asked == [(9, 7)]


def test_progress_sees_every_chunk():
    seen = []

    def progress(steps, description, total):
        for step in steps:
            seen.append((step, description, total))
            yield step

    make(noise).sample(9, 0, progress=progress)
    assert seen == [(i, "sampling toy", 3) for i in range(3)]


@pytest.mark.parametrize(
    ("low", "high", "inferred"), [(0, 1, (0, 1)), (-1, 1, (-1, 1)), (-0.01, 1.01, (0, 1))]
)
def test_the_range_is_inferred_and_said(low, high, inferred):
    def draw(n, seed):
        return low + (high - low) * noise(n, seed)

    generator = make(draw)
    got = generator.sample(8, 1).images
    raw = np.concatenate([draw(4, s) for s in _seeds(1, 2)])
    expected = np.clip((raw - inferred[0]) / (inferred[1] - inferred[0]), 0, 1)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert f"[{inferred[0]}, {inferred[1]}] was inferred" in generator.notes[0]
    assert any("clipped" in note for note in generator.notes) == (low == -0.01)


def _seeds(seed, count):
    from nriqm_bench.generators.generator import chunk_seed

    return [chunk_seed(seed, step) for step in range(count)]


def test_a_declared_range_is_used_without_a_note():
    generator = make(lambda n, s: noise(n, s) * 1000 - 500, value_range=(-500, 500))
    np.testing.assert_allclose(generator.sample(4, 0).images, noise(4, _seeds(0, 1)[0]), atol=1e-6)
    assert generator.notes == []


def test_a_few_values_outside_are_clipped_and_said():
    def draw(n, seed):
        images = noise(n, seed)
        images[0, 0, 0, 0] = 3
        return images * 2

    generator = make(draw, value_range=(0, 2), chunk=16)
    assert generator.sample(16, 0).images.max() == 1
    assert "were clipped" in generator.notes[0]
    assert "reached" in generator.notes[0]


def test_integers_are_read_at_full_scale():
    generator = make(lambda n, s: (noise(n, s) * 255).astype(np.uint8))
    assert generator.sample(4, 0).images.max() <= 1
    assert "[0, 255] was inferred" in generator.notes[0]


@pytest.mark.parametrize("form", [np.asarray, torch.as_tensor, torch.tensor])
def test_masks_with_or_without_channel_axis(form):
    def draw(n, seed):
        images = noise(n, seed)
        masks = (images > 0.5).astype(np.float32)
        return form(images), form(masks if seed % 2 else masks[:, 0].astype(np.int64))

    drawn = make(draw, chunk=None).sample(4, 1)
    np.testing.assert_array_equal(drawn.masks, drawn.images[:, 0] > 0.5)
    drawn = make(draw, chunk=None).sample(4, 2)
    np.testing.assert_array_equal(drawn.masks, drawn.images[:, 0] > 0.5)


def test_half_precision_and_gradients_are_accepted():
    def draw(n, seed):
        weight = torch.ones(1, requires_grad=True)
        return (torch.as_tensor(noise(n, seed)) * weight).to(torch.bfloat16)

    assert make(draw).sample(4, 0).images.dtype == np.float32


def test_image_sets_keep_their_fields():
    def draw(n, seed):
        return ImageSet(noise(n, seed), subjects=[f"{seed}-{i}" for i in range(n)])

    assert len(set(make(draw).sample(6, 0).subjects)) == 6
    assert "returned 2 images when 4 were asked for" in fails(lambda n, s: draw(2, s))


def test_volumes_are_images():
    drawn = make(lambda n, s: np.random.default_rng(s).random((n, 1, 3, 4, 5))).sample(4, 0)
    assert drawn.spatial == (3, 4, 5)


def _constant_masks(value):
    return lambda n, s: (noise(n, s), np.full((n, 5, 4), value))


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda n, s: noise(n - 1, s), "returned 3 images when 4 were asked for"),
        (lambda n, s: noise(n, s)[:, 0], "add the channel axis with [:, None]"),
        (lambda n, s: noise(n, s)[0, 0], "must be (n, channels, height, width)"),
        (lambda n, s: noise(n, s).reshape(n, 5, 4, 1), "channels seem to come last"),
        (lambda n, s: np.zeros((n, 7, 9, 9)), "with 7 channels (shape (4, 7, 9, 9)), must be 1"),
        (lambda n, s: noise(n, s) * np.float32("nan"), "NaN or infinity in 4 of 4 images"),
        (lambda n, s: noise(n, s) / 0 if s is None else np.full((n, 1, 5, 4), np.inf), "infinity"),
        (lambda n, s: noise(n, s) * 0 + 0.3, "4 constant images"),
        (lambda n, s: noise(n, s) * 255, "declare value_range=(low, high)"),
        (lambda n, s: (noise(n, s) * 200).astype(np.int32), "must be in [0, 1] or [-1, 1]"),
        (lambda n, s: noise(n, s) > 0.5, "must be grey values"),
        (lambda n, s: noise(n, s).astype(complex), "dtype complex128"),
        (lambda n, s: np.array(["x"] * n), "dtype <U1"),
        (lambda n, s: None, "returned None, must be images"),
        (lambda n, s: {"images": noise(n, s)}, "returned a dict, must be images"),
        (lambda n, s: [noise(1, s)] * 3, "returned a list of 3"),
        (lambda n, s: (noise(n, s), noise(n, s)), "must be integer labels from 0 to 255"),
        (_constant_masks(-1), "values in [-1, -1]"),
        (_constant_masks(300), "values in [300, 300]"),
        (lambda n, s: (noise(n, s), np.zeros((n, 3, 5, 4))), "take the argmax of one-hot"),
        (lambda n, s: 1 / 0, "toy failed while drawing 4 images: ZeroDivisionError"),
    ],
)
def test_unfit_output_is_explained(draw, said):
    message = fails(draw)
    assert said in message
    assert message.startswith("toy")


def test_chunks_must_agree():
    first = _seeds(0, 1)[0]
    sizes = fails(lambda n, s: noise(n, s)[..., : 4 if s == first else 3], n=8)
    assert "different shapes" in sizes
    masks = fails(
        lambda n, s: noise(n, s) if s == first else (noise(n, s), np.zeros((n, 5, 4), int)), n=8
    )
    assert "masks for some images only" in masks
    mixed = make(lambda n, s: noise(n, s) if s == first else ImageSet(noise(n, s)))
    assert len(mixed.sample(8, 0)) == 8


def test_a_wrong_declaration_is_refused():
    assert "declares (9, 9)" in fails(noise, size=(9, 9))
    assert "far outside the declared range [0, 0.5]" in fails(noise, value_range=(0, 0.5))
    assert "n was 0, must be at least 1; pass --nriqm-n" in fails(noise, n=0)


def test_collapse_is_said_but_not_refused():
    def draw(n, seed):
        images = np.repeat(noise(1, 0), n, axis=0)
        images[0] = 0.5
        return images

    generator = make(draw)
    generator.sample(4, 0)
    assert "toy: 1 of 4 images are constant" in generator.notes
    assert "toy: only 2 of 4 images are distinct" in generator.notes


def test_the_key_follows_content_and_settings_but_not_the_name():
    def key(name="a", **changes):
        options = {"content": "c", "settings": {"steps": 5}, "value_range": (0, 1), **changes}
        return Generator(name, "test", noise, **options).key()

    keys = [
        key(),
        key(content="d"),
        key(settings={"steps": 6}),
        key(value_range=(0, 2)),
        key(chunk=3),
        key(size=(5, 4)),
    ]
    assert len(set(keys)) == len(keys)
    assert key("b") == key()


def test_description():
    generator = make(noise, size=(5, 4), available=7, summary="a toy")
    assert generator.describe() == f"toy (test, a toy, 5 x 4, 7 samples; {generator.key()[:12]})"


def binary(n, seed):
    return (noise(n, seed) > 0.5).astype(np.float32)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        # A float image that was cast to integers, and 12 bits in a type of 16.
        (lambda n, s: binary(n, s).astype(np.uint8), "must use more of uint8"),
        (lambda n, s: (noise(n, s) * 4095).astype(np.uint16), "must use more of uint16"),
        # Divided by 255 twice.
        (lambda n, s: noise(n, s) / 255, "must use more of [0, 1]"),
        (lambda n, s: noise(n, s).astype(np.float16) * 255, "declares no range"),
        # A mask as a channel.
        (lambda n, s: np.concatenate([noise16(n, s), binary16(n, s)], 1), "channel 1 has only 2"),
        # An image as one row of pixels; a volume of one slice; channels last.
        (lambda n, s: noise(n, s).reshape(n, 1, 1, -1), "at least 2 pixels along every axis"),
        (lambda n, s: noise(n, s)[:, :, None], "leave out axes of length 1"),
        (lambda n, s: np.moveaxis(noise(n, s), 1, -1), "channels seem to come last"),
        # Tensors that are no arrays.
        (lambda n, s: torch.from_numpy(noise(n, s)).to_sparse(), "no plain array"),
        (lambda n, s: torch.full((n, 1, 5, 4), 70000.0).half(), "NaN or infinity"),
        (lambda n, s: (noise(n, s), noise(n, s)[:, 0] * 8 - 4), "integer labels from 0 to 255"),
        (lambda n, s: (noise(n, s), np.repeat(binary(n, s), 3, 1)), "take the argmax of one-hot"),
        (lambda n, s: (noise(n, s), binary(n, s)[:-1, 0]), "masks of shape"),
        (lambda n, s: (noise(n, s), binary(n, s)[:, 0] * np.nan), "integer labels"),
        (lambda n, s: np.stack(list(noise(n, s))[:-1]), "returned 3 images when 4"),
    ],
)
def test_wrong_outputs_that_look_right(draw, said):
    assert said in fails(draw)


def noise16(n, seed):
    return np.random.default_rng(seed).random((n, 1, 16, 16)).astype(np.float32)


def binary16(n, seed):
    return (noise16(n, seed) > 0.5).astype(np.float32)


def test_half_precision_and_true_channels_are_images():
    half = make(lambda n, s: torch.from_numpy(noise(n, s)).half()).sample(4, 0)
    brain = make(lambda n, s: torch.from_numpy(noise(n, s)).bfloat16()).sample(4, 0)
    np.testing.assert_allclose(half.images, brain.images, atol=0.005)
    # Four contrasts, one of which a scanner did not give.
    images = np.concatenate([noise16(4, 0), noise16(4, 1), np.zeros((4, 1, 16, 16))], 1)
    assert make(lambda n, s: images).sample(4, 0).channels == 3
    # Few grey values in every channel are no mask beside an image.
    assert make(lambda n, s: np.repeat(binary(n, s), 2, 1)).sample(4, 0).channels == 2


def test_white_masks_become_labels_and_are_said():
    generator = make(lambda n, s: (noise(n, s), binary(n, s)[:, 0].astype(np.uint8) * 255))
    assert set(np.unique(generator.sample(4, 0).masks)) == {0, 1}
    assert "toy: the masks hold 255 as their only label, which became 1" in generator.notes
    labelled = make(lambda n, s: (noise(n, s), np.where(binary(n, s)[:, 0] > 0, 255, 7)))
    assert set(np.unique(labelled.sample(4, 0).masks)) == {7, 255}


def test_masks_of_nothing_are_said():
    generator = make(lambda n, s: (noise(n, s), np.zeros((n, 5, 4), int)))
    generator.sample(4, 0)
    assert "toy: every pixel of every mask is 0" in generator.notes


def test_a_declared_range_that_is_not_reached_is_said():
    generator = make(lambda n, s: 0.4 * noise(n, s), value_range=(-1, 1))
    generator.sample(4, 0)
    assert "of the declared range [-1, 1]" in generator.notes[0]
