"""From the parts of a MONAI bundle to a sampler: build, fill, and declare what it makes."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nriqm_bench.generators.beside import read_masks
from nriqm_bench.generators.errors import GeneratorError, brief
from nriqm_bench.generators.folder import Folder
from nriqm_bench.generators.module import declarations
from nriqm_bench.generators.monai_bundle import parts as bundle_parts
from nriqm_bench.generators.monai_bundle.config import Config
from nriqm_bench.generators.monai_bundle.expressions import Component, Loading, Stored, Values
from nriqm_bench.generators.monai_bundle.parts import (
    ZOO_SAMPLERS,
    Facts,
    Parts,
    home,
    plain_arguments,
)
from nriqm_bench.generators.monai_bundle.sampling import Sampler
from nriqm_bench.generators.monai_bundle.shapes import Shapes, first_entry
from nriqm_bench.generators.outline import assemble
from nriqm_bench.generators.resolve import resolve

# Steps where neither the bundle nor nriqm.json says: the schedulers that may take fewer do.
_DEFAULT_STEPS = {"DDIMScheduler": 50, "PNDMScheduler": 50, "RFlowScheduler": 30}
_MOST_STEPS = 100_000
# Images drawn at once: volumes are large.
_CHUNKS = {2: 16, 3: 2}
_AUTOENCODER_FILES = ("model_autoencoder", "autoencoder", "model_vae", "vae")
_MASK_NAMES = ("mask", "label", "seg", "segmentation")
_MASKS = "masks.npz"


@dataclass
class Made:
    """A sampler, and what the generator declares about it."""

    sampler: Sampler
    settings: dict[str, Any]
    chunk: int
    size: tuple[int, ...] | None
    value_range: tuple[float, float] | None
    summary: str
    notes: list[str] = field(default_factory=list)


def make_sampler(
    bundle: Folder,
    config: Config,
    parts: Parts,
    facts: Facts,
    metadata: Mapping[str, Any],
    settings: Mapping[str, Any],
    device: str,
) -> Made:
    """Build and fill the `parts` of a bundle.

    Parameters
    ----------
    bundle
        The open folder.
    config, parts, facts
        Its config and what was found in it.
    metadata
        ``configs/metadata.json``.
    settings
        ``nriqm.json``.
    device
        Where the networks run.

    Raises
    ------
    GeneratorError
        When a part cannot be built, its weights do not fit, or something sampling needs is missing.
    """
    return _Maker(bundle, config, parts, facts, metadata, settings, device).make()


class _Maker:
    def __init__(
        self,
        bundle: Folder,
        config: Config,
        parts: Parts,
        facts: Facts,
        metadata: Mapping[str, Any],
        settings: Mapping[str, Any],
        device: str,
    ) -> None:
        self.bundle = bundle
        self.text = bundle.text
        self.config = config
        self.parts = parts
        self.facts = facts
        self.metadata = metadata
        self.settings = settings
        self.device = device
        self.trusted = bundle.trust
        self.notes: list[str] = []

    def make(self) -> Made:
        network = self._network(self.parts.network)
        autoencoder = None
        if self.parts.autoencoder is not None:
            autoencoder = self._network(self.parts.autoencoder)
        shapes = Shapes(
            self.text, self.config, self.parts, self.facts, self.metadata, self.settings
        )
        dims = shapes.dims(network)
        shape, size = shapes.find(network, autoencoder, dims)
        self.notes += shapes.notes
        sampler = Sampler(network, shape, self.device, autoencoder=autoencoder)
        settings: dict[str, Any] = {"shape": shape}
        summary = type(network).__name__
        if self.parts.is_diffusion:
            self._diffusion(sampler, settings)
            names = [type(network).__name__, type(sampler.scheduler).__name__]
            if autoencoder is not None:
                names.insert(1, type(autoencoder).__name__)
            summary = f"{' + '.join(names)}, {sampler.steps} steps"
            if getattr(sampler.inferer, "autoencoder_latent_shape", None) is not None:
                # The inferer crops latents before it decodes them.
                size = None
        else:
            self._uniform(sampler, settings)
        self._masks(sampler, dims)
        bounds = self._outputs(sampler)
        sampler.sigmoid = self._postprocessing()
        size, value_range = declarations(
            self.text,
            self.settings.get("size") or size,
            self.settings.get("value_range") or bounds,
        )
        if value_range is not None:
            sampler.threshold = sum(value_range) / 2
            settings["threshold"] = sampler.threshold
        chunk = self.settings.get("chunk", _CHUNKS.get(dims, 16))
        return Made(sampler, settings, chunk, size, value_range, summary, self.notes)

    # Networks and their weights.

    def _network(self, part: Component) -> Any:
        place = home(part)
        if place is not None:
            factory = getattr(importlib.import_module(place), part.name)
        else:
            target = part.target
            if "." not in target and ":" not in target:
                target = f"monai.networks.nets.{target}"
            factory = resolve(self.text, target, trusted=self.trusted)
        arguments = plain_arguments(self.config, part)
        stored, old = self._stored(part)
        content = self.bundle.weights(stored.path)
        for key in stored.keys:
            if not isinstance(content, Mapping) or key not in content:
                raise GeneratorError(
                    f"{self.text} has no {key!r} in {stored.path}, from which its config loads "
                    f"the weights of {part.key!r}"
                )
            content = content[key]
        label = f"{self.text}: {stored.path}"
        model, notes = assemble(label, factory, arguments, content, trusted=self.trusted, old=old)
        self.notes += [f"{stored.path}: {sentence}" for sentence in notes]
        return model

    def _stored(self, part: Component) -> tuple[Stored, bool]:
        """Where the weights of a network are, and whether they may be those of older networks."""
        for loading in self.facts.loadings:
            if isinstance(loading, Loading) and loading.component == part:
                return loading.stored, loading.old
        if self.facts.refused is not None and not self.trusted:
            raise self.facts.refused
        names: Sequence[str] = ("model",)
        if part == self.parts.autoencoder:
            names = _AUTOENCODER_FILES
        candidates = [f"models/{n}{e}" for n in names for e in (".pt", ".pth", ".safetensors")]
        chosen = next((c for c in candidates if self.bundle.has(c)), candidates[0])
        return Stored(chosen), False

    # Diffusion.

    def _diffusion(self, sampler: Sampler, settings: dict[str, Any]) -> None:
        assert self.parts.scheduler is not None
        sampler.scheduler, sampler.steps, described = self._scheduler(self.parts.scheduler)
        sampler.labels = int(getattr(sampler.network, "num_class_embeds", None) or 0)
        if sampler.labels:
            self.notes.append(f"class labels were drawn uniformly from 0 to {sampler.labels - 1}")
        self._condition(sampler)
        sampler.inferer, inferer = self._inferer(sampler)
        settings.update(
            steps=sampler.steps,
            scheduler=described,
            inferer=inferer,
            conditioning=sampler.conditioning,
            mode=sampler.mode,
        )

    def _scheduler(self, part: Component) -> tuple[Any, int, dict[str, Any]]:
        arguments = plain_arguments(self.config, part)
        train = arguments.get("num_train_timesteps", 1000)
        if type(train) is not int or not 1 <= train <= _MOST_STEPS:
            raise GeneratorError(
                f"{self.text} configures num_train_timesteps {train!r}, must be 1 to {_MOST_STEPS}"
            )
        name, asked = part.name, self.settings.get("num_inference_steps")
        steps, said = self._steps(part, train)
        if name == "DDPMScheduler" and asked is not None and asked < train:
            name = "DDIMScheduler"
            arguments.pop("variance_type", None)
            self.notes.append(
                f"DDPMScheduler takes all its {train} steps; DDIMScheduler with the same noise "
                f"schedule takes the {asked} that nriqm.json asks for"
            )
        elif said:
            self.notes.append(said)
        if not 1 <= steps <= train:
            raise GeneratorError(
                f"{self.text} samples in {steps} steps, must be 1 to its {train} training steps"
            )
        if home(part) is None:
            factory = resolve(self.text, part.target, trusted=self.trusted)
        else:
            factory = getattr(importlib.import_module("monai.networks.schedulers"), name)
        return self._build(part.key, factory, arguments), steps, {"name": name, **arguments}

    def _steps(self, part: Component, train: int) -> tuple[int, str]:
        """How many steps, and a sentence when the bundle does not say."""
        if (asked := self.settings.get("num_inference_steps")) is not None:
            return asked, ""
        for found in self.facts.steps:
            if found.component == part:
                return found.count, ""
        value = self.config.get("num_inference_steps")
        if type(value) is int:
            return value, ""
        steps = min(_DEFAULT_STEPS.get(part.name, train), train)
        said = (
            f"the config sets no number of steps; {part.name} takes {steps} of {train} (set "
            "num_inference_steps in nriqm.json to change it)"
        )
        return steps, said

    def _condition(self, sampler: Sampler) -> None:
        """One condition for every image, as the config states it; a network that needs one asks."""
        network, channels = sampler.network, sampler.shape[0]
        crossed = bool(getattr(network, "with_conditioning", False))
        joined = int(network.in_channels) - channels
        if not crossed and not joined:
            return
        found = self.config.get("conditioning")
        values = found.values if isinstance(found, Values) else None
        flat = _flat(values)
        wanted = joined or _context_width(plain_arguments(self.config, self.parts.network))
        if not flat or (wanted and len(flat) != wanted):
            raise GeneratorError(
                f"{self.text} has a network that needs a condition of {wanted or 'some'} values, "
                f"but its config gives {flat or 'none'}; write 'conditioning': "
                '"$torch.tensor([[...]])" in its config'
            )
        sampler.conditioning = [[flat]]
        sampler.mode = "both" if crossed and joined else "concat" if joined else "crossattn"
        self.notes.append(f"every image has the one condition {flat} of the config")

    def _inferer(self, sampler: Sampler) -> tuple[Any, dict[str, Any]]:
        from monai import inferers

        part = self.parts.inferer
        arguments: dict[str, Any] = {}
        name = "DiffusionInferer" if sampler.autoencoder is None else "LatentDiffusionInferer"
        if part is not None and home(part) is None and self.trusted:
            arguments = plain_arguments(self.config, part)
            factory = resolve(self.text, part.target, trusted=True)
            made = self._build(part.key, factory, arguments)
            if not (hasattr(made, "sample") or hasattr(made, "sampling_fn")):
                raise GeneratorError(
                    f"{self.text}: its inferer {part.target} has no sample or sampling_fn, must "
                    "have one like MONAI's DiffusionInferer"
                )
            return made, {"name": part.target, **arguments}
        if part is not None and home(part) is not None:
            arguments = self.config.arguments(part)
            arguments.pop("scheduler", None)
        elif part is not None and part.target in ZOO_SAMPLERS:
            self.notes.append(
                f"the bundle's own sampler {part.target} was not run: MONAI's {name}, without a "
                "scale factor, does the same (--nriqm-trust runs the bundle's)"
            )
        elif sampler.autoencoder is not None and "scale_factor" in self.config.content:
            arguments["scale_factor"] = self.config.get("scale_factor")
        if "scale_factor" in arguments:
            arguments["scale_factor"] = self._scale(arguments["scale_factor"])
        if any(not bundle_parts.is_plain(v) for v in arguments.values()):
            raise GeneratorError(
                f"{self.text}: its inferer is given {sorted(arguments)}, must be plain data"
            )
        factory = getattr(inferers, name)
        made = self._build("inferer", factory, {"scheduler": sampler.scheduler, **arguments})
        return made, {"name": name, **arguments}

    def _scale(self, value: Any) -> float:
        """The scale factor: a number, or a single one in a weights file."""
        if isinstance(value, Stored):
            content = self.bundle.weights(value.path)
            for key in value.keys:
                content = content.get(key) if isinstance(content, Mapping) else None
            value = content.item() if hasattr(content, "item") and content.numel() == 1 else content
        if isinstance(value, bool) or not isinstance(value, int | float) or not value:
            raise GeneratorError(
                f"{self.text} has the scale factor {value!r:.80}, must be a number other than 0"
            )
        return float(value)

    def _build(self, key: str, factory: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        try:
            inspect.signature(factory).bind(**arguments)
            return factory(**arguments)
        except Exception as error:
            raise GeneratorError(
                f"{self.text}: {key!r} of its config cannot be built ({brief(error)})"
            ) from error

    # What goes in and comes out.

    def _uniform(self, sampler: Sampler, settings: dict[str, Any]) -> None:
        """GANs draw latents as their config does."""
        if len(sampler.shape) != 1 or type(sampler.network).__name__ != "Generator":
            return
        if any(noise.uniform for noise in self.facts.noise):
            sampler.uniform = (0.0, 1.0)
            settings["uniform"] = sampler.uniform
            self.notes.append("latents are uniform in [0, 1], as the config draws them")

    def _masks(self, sampler: Sampler, dims: int) -> None:
        """Label maps for networks that paint masks."""
        part = next(
            (
                p
                for p in (self.parts.network, self.parts.autoencoder)
                if p is not None and p.name.startswith("SPADE")
            ),
            None,
        )
        if part is None:
            return
        sampler.mask_labels = int(plain_arguments(self.config, part).get("label_nc") or 1)
        name = self.settings.get("masks", _MASKS)
        # Without any, whoever samples brings them: a run, those of its training images.
        if "masks" in self.settings or self.bundle.has(name):
            sampler.masks = read_masks(self.bundle, name, sampler.mask_labels, dims)
            self.notes.append(f"label maps were drawn from the {len(sampler.masks)} in {name}")

    def _outputs(self, sampler: Sampler) -> tuple[float, float] | None:
        """The declared value range; channels that are masks."""
        declared = first_entry(self.metadata, "network_data_format", "outputs")
        if sampler.autoencoder is not None:
            # There the network's output is a latent.
            declared = first_entry(self.metadata, "autoencoder_data_format", "outputs")
        channels = declared.get("channel_def")
        if isinstance(channels, dict) and len(channels) > 1:
            sampler.mask_channels = tuple(
                int(c)
                for c, name in sorted(channels.items())
                if str(c).isdigit() and str(name).lower().startswith(_MASK_NAMES)
            )
        bounds = declared.get("value_range")
        if not isinstance(bounds, list) or len(bounds) != 2:
            return None
        return tuple(bounds)

    def _postprocessing(self) -> bool:
        """Whether a sigmoid follows; transforms that are not applied are said."""
        listed = self.config.content.get("postprocessing")
        transforms = listed.get("transforms") if isinstance(listed, dict) else None
        sigmoid, left = False, []
        for transform in transforms if isinstance(transforms, list) else []:
            target = str(transform.get("_target_", "")) if isinstance(transform, dict) else ""
            name = target.split(".")[-1]
            if name in ("Activations", "Activationsd"):
                sigmoid = transform.get("sigmoid") is True
            elif name and not name.startswith("SaveImage"):
                left.append(name)
        if left:
            self.notes.append(f"the postprocessing {', '.join(left)} was not applied")
        return sigmoid


def _flat(values: Any) -> list[float]:
    if isinstance(values, list | tuple):
        return [v for inner in values for v in _flat(inner)]
    return [values] if isinstance(values, int | float) else []


def _context_width(arguments: Mapping[str, Any]) -> int:
    width = arguments.get("cross_attention_dim")
    return width if isinstance(width, int) else 0
