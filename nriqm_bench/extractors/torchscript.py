"""`torchscript:PATH`: the user's own network as the feature space."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nriqm_bench.extractors.images import as_tensor, in_batches, over_slices


class TorchScript:
    """A scripted or traced network ``(N, C, H, W) -> (N, d)`` on images in [0, 1].

    Resizing and normalisation are the network's own business. Volumes go in slice by slice.

    Parameters
    ----------
    path
        A file written by ``torch.jit.save``.
    device
        ``cpu``, ``cuda`` or ``cuda:0``.
    channels
        Channels that the network takes; None: as the images have, or 3 when that fails.

    Raises
    ------
    ValueError
        When the file is missing or no TorchScript, or the network's output is not ``(N, d)``.
    """

    def __init__(
        self, path: str | Path, device: str = "cpu", *, channels: int | None = None
    ) -> None:
        file = Path(path)
        if not file.is_file():
            raise ValueError(f"there is no file {str(path)!r} for the extractor 'torchscript'")
        self.name = f"torchscript:{file.name}"
        self.device = device
        self.channels = channels
        self.dim = 0
        self._hash = hashlib.sha256(file.read_bytes()).hexdigest()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*torch.jit.*")
                self._network = torch.jit.load(str(file), map_location=device).eval()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise ValueError(
                f"{path} is not a TorchScript file ({str(error).splitlines()[0]}); write one with "
                "torch.jit.save"
            ) from error

    def key(self) -> str:
        """Hash of the file, and the channels."""
        return f"torchscript:{self._hash}:{self.channels}:1"

    def __call__(self, images: Any) -> NDArray[np.float32]:
        """``(N, C, *S)`` in [0, 1] to ``(N, d)`` float32."""
        features = over_slices(as_tensor(images), self._extract)
        self.dim = int(features.shape[1])
        return features

    def _extract(self, images: torch.Tensor) -> NDArray[np.float32]:
        if self.channels is None:
            self.channels = self._accepted(images[:1])
        if images.shape[1] != self.channels:
            images = images.expand(-1, self.channels, -1, -1)
        return in_batches(images, self._run, self.device)

    def _accepted(self, image: torch.Tensor) -> int:
        tried: dict[int, str] = {}
        for channels in dict.fromkeys((int(image.shape[1]), 3)):
            try:
                with torch.inference_mode():
                    self._run(image.expand(-1, channels, -1, -1).to(self.device))
            except RuntimeError as error:
                tried[channels] = str(error).strip().splitlines()[-1]
            else:
                return channels
        told = "; ".join(f"with {c} channels: {why}" for c, why in tried.items())
        raise ValueError(f"{self.name} took no image of shape {tuple(image.shape[1:])}: {told}")

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        found = self._network(batch)
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != len(batch):
            was = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(
                f"{self.name} returned {was} for a batch of {len(batch)}, must be ({len(batch)}, d)"
            )
        return found
