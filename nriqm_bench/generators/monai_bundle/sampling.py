"""How the networks of a MONAI bundle are sampled, by MONAI's own schedulers and inferers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.module import latents, seeded


@dataclass
class Sampler:
    """Built networks, and everything that one draw needs.

    Parameters
    ----------
    network
        The diffusion network, or the decoder where there is none.
    shape
        Of its noise or latents, ``(channels, *spatial)`` or ``(size,)``.
    device
        Where it runs.
    uniform
        (low, high) for uniform latents; None for standard normal ones.
    inferer, scheduler, steps
        For a diffusion network.
    autoencoder
        Decodes what a latent diffusion network makes.
    conditioning, mode
        One condition ``(1, 1, features)`` for every image, and how it enters: ``crossattn``,
        ``concat``, or ``both``.
    labels
        The number of classes, drawn uniformly.
    masks
        Label maps ``(m, *spatial)``, drawn uniformly, for networks that paint masks; None when
        every call brings its own.
    mask_labels
        The number of labels that such a network knows.
    mask_channels
        Channels of the output that are masks, the others being images.
    threshold
        A mask channel is set where its value lies above.
    sigmoid
        Whether a sigmoid follows.
    """

    network: Any
    shape: tuple[int, ...]
    device: str
    uniform: tuple[float, float] | None = None
    inferer: Any = None
    scheduler: Any = None
    steps: int = 0
    autoencoder: Any = None
    conditioning: Any = None
    mode: str = "crossattn"
    labels: int = 0
    masks: NDArray[np.uint8] | None = None
    mask_labels: int = 0
    mask_channels: tuple[int, ...] = ()
    threshold: float = 0.5
    sigmoid: bool = False

    def __post_init__(self) -> None:
        for part in (self.network, self.autoencoder):
            if part is not None:
                part.to(self.device).eval()
                # Checkpointing spares memory in training; here it would only compute twice.
                for name in ("use_checkpoint", "use_checkpointing"):
                    if getattr(part, name, False):
                        setattr(part, name, False)

    @property
    def needs_masks(self) -> bool:
        """Whether every call must be given label maps, the bundle having none."""
        return bool(self.mask_labels) and self.masks is None

    def __call__(self, n: int, seed: int, masks: NDArray[Any] | None = None) -> Any:
        """``n`` images of one seed, with masks ``(n, *spatial)`` where there are some."""
        import torch

        with seeded(seed, self.device), torch.inference_mode():
            masks, seg = self._painted(n, seed, masks)
            images = self._images(n, seed, seg)
            if self.sigmoid:
                images = torch.sigmoid(images)
        if self.mask_channels:
            return self._split(images)
        return images if masks is None else (images, masks)

    def _painted(
        self, n: int, seed: int, given: NDArray[Any] | None
    ) -> tuple[NDArray[np.uint8] | None, Any]:
        """Label maps, given or drawn, and the same as one-hot channels for the network."""
        import torch

        if not self.mask_labels:
            return None, None
        if self.masks is not None:
            given = self.masks[np.random.default_rng([seed, 1]).integers(len(self.masks), size=n)]
        if given is None:
            raise GeneratorError(
                f"{type(self.network).__name__} paints label maps and was given none; put them "
                "into the bundle as masks.npz: integers 'masks' (m, *spatial)"
            )
        if given.min() < 0 or given.max() >= self.mask_labels:
            raise GeneratorError(
                f"masks hold the labels {given.min()} to {given.max()}, must be 0 to "
                f"{self.mask_labels - 1}, those that the network knows"
            )
        classes = torch.from_numpy(given.astype(np.int64)).to(self.device)
        hot = torch.nn.functional.one_hot(classes, self.mask_labels)
        return given.astype(np.uint8), hot.movedim(-1, 1).float()

    def _latents(self, n: int, seed: int) -> Any:
        import torch

        if self.uniform is None:
            return latents(n, self.shape, seed, self.device)
        low, high = self.uniform
        z = np.random.default_rng(seed).uniform(low, high, (n, *self.shape)).astype(np.float32)
        return torch.from_numpy(z).to(self.device)

    def _images(self, n: int, seed: int, seg: Any) -> Any:
        z = self._latents(n, seed)
        if self.inferer is not None:
            return self._diffuse(z, seg)
        name = type(self.network).__name__
        if name == "VarAutoEncoder":
            return self.network.decode_forward(z, self.network.use_sigmoid)
        if name == "SPADENet":
            return self.network.decode(seg, z if self.network.is_vae else None)
        if name == "SPADEAutoencoderKL":
            return self.network.decode_stage_2_outputs(z, seg=seg)
        if hasattr(self.network, "decode_stage_2_outputs"):
            return self.network.decode_stage_2_outputs(z)
        return self.network(z)

    def _diffuse(self, z: Any, seg: Any) -> Any:
        import torch

        self._set_timesteps()
        network: Callable[..., Any] = self.network
        if self.labels:
            classes = torch.randint(self.labels, (len(z),)).to(self.device)
            network = partial(network, class_labels=classes)
        if type(self.network).__name__ == "SPADEDiffusionModelUNet":
            network = partial(network, seg=seg)
        words: dict[str, Any] = {"verbose": False}
        if self.conditioning is not None:
            condition = torch.tensor(self.conditioning, device=self.device, dtype=z.dtype)
            condition = condition.expand(len(z), *condition.shape[1:])
            words["conditioning"] = condition
            words["mode"] = self.mode
            if self.mode != "crossattn":
                spread = condition.flatten(1)[(..., *[None] * (z.ndim - 2))]
                spread = spread.expand(*spread.shape[:2], *z.shape[2:])
                words["conditioning"] = spread
                words["mode"] = "concat"
            if self.mode == "both":
                network = _WithContext(network, condition)
        if self.autoencoder is not None:
            words["autoencoder_model"] = self.autoencoder
            if type(self.autoencoder).__name__ == "SPADEAutoencoderKL":
                words["seg"] = seg
        if not hasattr(self.inferer, "sample"):
            return self.inferer.sampling_fn(z, self.autoencoder, network, self.scheduler)
        return self.inferer.sample(
            input_noise=z, diffusion_model=network, scheduler=self.scheduler, **words
        )

    def _set_timesteps(self) -> None:
        """Some schedulers remember earlier steps: every draw starts afresh."""
        if type(self.scheduler).__name__ == "RFlowScheduler":
            elements = int(np.prod(self.shape[1:]))
            self.scheduler.set_timesteps(self.steps, input_img_size_numel=elements)
        else:
            self.scheduler.set_timesteps(self.steps)

    def _split(self, output: Any) -> Any:
        """Image channels and one label map: label i + 1 where the i-th mask channel is set."""
        import torch

        if max(self.mask_channels) >= output.shape[1]:
            raise GeneratorError(
                f"the metadata names a mask in channel {max(self.mask_channels)}, but the network "
                f"makes {output.shape[1]} channels"
            )
        images = [c for c in range(output.shape[1]) if c not in self.mask_channels]
        labels = torch.zeros_like(output[:, 0], dtype=torch.uint8)
        for value, channel in enumerate(self.mask_channels, 1):
            labels[output[:, channel] > self.threshold] = value
        return output[:, images], labels


class _WithContext:
    """A network that is also given its condition by cross-attention."""

    def __init__(self, network: Callable[..., Any], condition: Any) -> None:
        self.network = network
        self.condition = condition

    def __call__(self, x: Any, timesteps: Any, context: Any = None) -> Any:
        return self.network(x, timesteps=timesteps, context=self.condition)
