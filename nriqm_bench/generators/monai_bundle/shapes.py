"""The shape of a network's noise or latents, from whatever in a MONAI bundle says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nriqm_bench.generators.beside import checked_shape
from nriqm_bench.generators.errors import GeneratorError
from nriqm_bench.generators.monai_bundle.config import Config
from nriqm_bench.generators.monai_bundle.parts import Facts, Parts, plain_arguments

# Types and formats of the metadata by which an input is noise, not an image.
_LATENTS = {"latent", "noise"}
_SIZE_KEYS = ("image_size", "image_shape", "spatial_size", "img_size", "image_dim")


@dataclass
class Shapes:
    """What a bundle says about shapes; `notes` are sentences about what was chosen."""

    text: str
    config: Config
    parts: Parts
    facts: Facts
    metadata: Mapping[str, Any]
    settings: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    def dims(self, network: Any) -> int:
        """The number of spatial axes."""
        arguments = plain_arguments(self.config, self.parts.network)
        dims = arguments.get("spatial_dims", arguments.get("dimensions"))
        if dims is None:
            dims = getattr(network, "dimensions", 2)
        if dims not in (2, 3):
            raise GeneratorError(f"{self.text} configures spatial_dims {dims!r}, must be 2 or 3")
        return int(dims)

    def _latent(self, network: Any, autoencoder: Any) -> tuple[int | None, int | None]:
        """Channels of the noise, and how many times larger the image's side is than its."""
        decoder = network if not self.parts.is_diffusion else autoencoder
        name = type(decoder).__name__
        factor: int | None = 1 if decoder is None else None
        if name in ("AutoencoderKL", "SPADEAutoencoderKL"):
            part = self.parts.network if not self.parts.is_diffusion else self.parts.autoencoder
            arguments = plain_arguments(self.config, part) if part else {}
            levels = arguments.get("channels", (32, 64, 64, 64))
            factor = 2 ** (len(levels) - 1)
        if self.parts.is_diffusion:
            return self._noise_channels(network), factor
        if name in ("AutoencoderKL", "SPADEAutoencoderKL"):
            return int(decoder.latent_channels), factor
        return None, factor

    def _noise_channels(self, network: Any) -> int:
        """Channels beyond those of the output are a condition; those of the output, a variance."""
        return min(int(network.in_channels), int(network.out_channels))

    def find(
        self, network: Any, autoencoder: Any, dims: int
    ) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """The shape of noise or latents, and the spatial shape of the images where it follows."""
        channels, factor = self._latent(network, autoencoder)
        name = type(network).__name__
        if channels is None:
            return self._vector(network, name)
        spatial = self._spatial(dims, factor, latent=factor != 1)
        shape = checked_shape(self.text, (channels, *spatial))
        if factor is None:
            return shape, None
        return shape, checked_shape(self.text, tuple(s * factor for s in spatial))

    def _vector(self, network: Any, name: str) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
        """Latents of networks that make an image from a vector."""
        if name == "VarAutoEncoder":
            return (int(network.latent_size),), tuple(int(s) for s in network.in_shape)
        if name == "SPADENet":
            size = int(network.decoder.z_dim) if network.is_vae else 1
            return (size,), tuple(int(s) for s in network.input_shape)
        if name == "VQVAE":
            raise GeneratorError(
                f"{self.text} has a VQVAE without a diffusion network: nothing says how its "
                "latents are distributed; add the network that draws them"
            )
        latent = getattr(network, "latent_shape", None)
        if latent is None:
            inputs = first_entry(self.metadata, "network_data_format", "inputs")
            named = {str(inputs.get(name)).lower() for name in ("type", "format")}
            latent = _integers(inputs.get("spatial_shape")) if named & _LATENTS else ()
            channels = inputs.get("num_channels")
            if latent and isinstance(channels, int) and channels > 0:
                latent = (channels, *latent)
        if not latent:
            raise GeneratorError(
                f"{self.text} has a network {name} but does not say what it maps to images; "
                "declare its latent as network_data_format: inputs in configs/metadata.json, with "
                "type noise, num_channels and spatial_shape"
            )
        return checked_shape(self.text, tuple(int(s) for s in latent)), None

    def _spatial(self, dims: int, factor: int | None, *, latent: bool) -> tuple[int, ...]:
        """The spatial shape of the noise: what draws it, what is declared, what metadata says."""
        if size := self.settings.get("size"):
            if factor is None or len(size) != dims or any(s % factor for s in size):
                raise GeneratorError(
                    f"{self.text} has size {size} in its nriqm.json, must be {dims} multiples of "
                    f"{factor or 'the latents'}"
                )
            return tuple(s // factor for s in size)
        for noise in self.facts.noise:
            if len(noise.shape) > dims:
                if noise.uniform and self.parts.is_diffusion:
                    self.notes.append(
                        "the config draws its noise by torch.rand; standard normal noise, on "
                        "which diffusion networks are trained, was used"
                    )
                return noise.shape[-dims:]
        for key in ("latent_shape",) if latent else ("latent_shape", *_SIZE_KEYS):
            value = self.config.get(key) if key in self.config.content else None
            if isinstance(value, int):
                return (value,) * dims
            if len(found := _integers(value)) >= dims:
                return found[-dims:]
        side = "outputs" if latent and not self.parts.is_diffusion else "inputs"
        found = _integers(
            first_entry(self.metadata, "network_data_format", side).get("spatial_shape")
        )
        if len(found) >= dims:
            if latent and not self.parts.is_diffusion and factor:
                return tuple(s // factor for s in found[-dims:])
            return found[-dims:]
        raise GeneratorError(
            f"{self.text} does not say the shape of its noise, must have 'latent_shape' or "
            "'image_size' in its config, network_data_format in configs/metadata.json, or 'size' "
            "in nriqm.json"
        )


def first_entry(metadata: Mapping[str, Any], section: str, side: str) -> Mapping[str, Any]:
    """The first entry of the inputs or outputs that the metadata declares."""
    found: Any = metadata.get(section)
    found = found.get(side) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        for entry in found.values():
            if isinstance(entry, Mapping):
                return entry
    return {}


def _integers(value: Any) -> tuple[int, ...]:
    if isinstance(value, list | tuple) and all(type(v) is int for v in value):
        return tuple(value)
    return ()
