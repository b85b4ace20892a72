"""Hugging Face diffusers pipeline folders: unconditional and class-conditional diffusion.

``pipeline.save_pretrained`` writes such a folder: ``model_index.json`` names the pipeline and its
parts, each in a folder with a config and safetensors weights. Nothing is fetched, and no class from
outside of diffusers is used, unless the folder is trusted. ``nriqm.json`` beside
``model_index.json`` sets the number of steps (see `beside`). Needs the extra ``diffusers``.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nriqm_bench.generators.beside import checked_shape, read_settings
from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.folder import Folder
from nriqm_bench.generators.generator import CHUNK, Generator
from nriqm_bench.generators.module import declarations, seeded
from nriqm_bench.generators.monai_bundle.config import read_config
from nriqm_bench.generators.outline import assemble
from nriqm_bench.generators.source import Options, Source

INDEX = "model_index.json"
# Steps by default: those of the pipeline, and fewer than the 1000 of DDPM, which few CPUs bear.
STEPS = {"DDPMPipeline": 100, "DDIMPipeline": 50, "PNDMPipeline": 50, "LDMPipeline": 50}
_NETWORKS = {"unet": ("UNet2DModel",), "vqvae": ("VQModel", "AutoencoderKL")}
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_MOST_STEPS = 100_000


def load(source: Source, options: Options) -> Generator | None:
    """Load a pipeline folder; None when it is something else."""
    if not source.is_dir or not (source.path / INDEX).is_file():
        return None
    folder = Folder(source.text, source.path, trust=options.trust)
    index = read_config(source.text, folder.path(INDEX))
    settings = read_settings(folder)
    diffusers = _package(source.text)
    notes: list[str] = []
    with _quiet():
        name = index.get("_class_name")
        own = not isinstance(name, str) or name not in STEPS or _foreign(index)
        if own and not options.trust:
            raise _refused(source.text, index)
        if own:
            pipeline, size = _trusted(diffusers, folder), None
            name = type(pipeline).__name__
        else:
            pipeline, size = _build(diffusers, folder, str(name), index, notes)
        pipeline.to(options.device)
    pipeline.set_progress_bar_config(disable=True)
    steps = _steps(source.text, name, pipeline, settings, notes)
    draw = _Draw(source.text, pipeline, steps, notes)
    size, bounds = declarations(
        source.text, settings.get("size") or size, settings.get("value_range") or (0.0, 1.0)
    )
    generator = Generator(
        source.stem,
        "diffusers",
        draw,
        content=folder.sha256(),
        settings={"steps": steps},
        chunk=settings.get("chunk", CHUNK),
        size=size,
        value_range=bounds,
        summary=f"{name}, {type(pipeline.scheduler).__name__}, {steps} steps",
    )
    for sentence in notes:
        generator.note(sentence, f"{source.stem}: {sentence}")
    return generator


class _Draw:
    """Calls a pipeline for arrays, under a seed that is the same on every device."""

    def __init__(self, text: str, pipeline: Any, steps: int, notes: list[str]) -> None:
        self.text = text
        self.pipeline = pipeline
        self.steps = steps
        unet: Any = getattr(pipeline, "unet", None)
        config = getattr(unet, "config", {})
        self.classes = int(config.get("num_class_embeds") or 0)
        if self.classes:
            notes.append(f"class labels were drawn uniformly from 0 to {self.classes - 1}")
            self.forward = unet.forward
            unet.forward = self._with_labels
        self.labels: Any = None

    def _with_labels(self, sample: Any, timestep: Any, *rest: Any, **words: Any) -> Any:
        """The network's forward with the labels that this chunk has drawn."""
        return self.forward(sample, timestep, *rest, **{**words, "class_labels": self.labels})

    def __call__(self, n: int, seed: int) -> Any:
        import torch

        device = str(self.pipeline.device)
        generator = torch.Generator("cpu")
        generator.manual_seed(seed)
        with seeded(seed, device), torch.inference_mode(), _quiet():
            if self.classes:
                labels = np.random.default_rng([seed, 1]).integers(self.classes, size=n)
                self.labels = torch.from_numpy(labels).to(device)
            made = self.pipeline(
                batch_size=n,
                generator=generator,
                num_inference_steps=self.steps,
                output_type="np",
            )
        images = getattr(made, "images", None)
        if images is None:
            raise GeneratorError(
                f"{self.text}: its pipeline returned {type(made).__name__} without images, must "
                "return an output with .images"
            )
        return np.moveaxis(np.asarray(images), -1, 1)


def _package(text: str) -> Any:
    try:
        with _quiet():
            return importlib.import_module("diffusers")
    except ImportError as error:
        raise GeneratorError(
            f"{text} is a diffusers pipeline, which needs the package diffusers; pip install "
            "nriqm-bench[diffusers]"
        ) from error


def _foreign(index: Mapping[str, Any]) -> bool:
    """Whether some part is not a plain class name of diffusers."""
    return not all(_is_of_diffusers(p) for k, p in index.items() if not k.startswith("_"))


def _refused(text: str, index: Mapping[str, Any]) -> GeneratorError:
    name = index.get("_class_name")
    parts = {k: v for k, v in index.items() if not k.startswith("_")}
    foreign = [f"{k}: {v}" for k, v in parts.items() if not _is_of_diffusers(v)]
    if isinstance(name, str) and name.endswith("Pipeline") and name not in STEPS and not foreign:
        return GeneratorError(
            f"{text} is a {name:.80}, must be one of {listed(tuple(STEPS))}, which draw images "
            "from noise alone; draw its images and pass the folder of samples"
        )
    what = f"the pipeline {name!r:.120}" if not foreign else f"the parts {listed(foreign):.200}"
    return GeneratorError(
        f"{text} names {what}, which is code from outside of diffusers and is refused; pass "
        "--nriqm-trust if you trust whoever made it"
    )


def _is_of_diffusers(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 2 and part[0] == "diffusers"


def _trusted(diffusers: Any, folder: Folder) -> Any:
    """Whatever the folder asks for, its own code included."""
    for path in sorted(folder.root.rglob("*")):
        if path.is_file():
            folder.path(str(path.relative_to(folder.root)))
    try:
        pipeline = diffusers.DiffusionPipeline.from_pretrained(
            str(folder.root), local_files_only=True, trust_remote_code=True
        )
    except Exception as error:
        raise GeneratorError(f"{folder.text} could not be loaded ({brief(error)})") from error
    words = inspect.signature(pipeline.__call__).parameters
    wanted = ("batch_size", "generator", "num_inference_steps", "output_type")
    if missing := [word for word in wanted if word not in words]:
        raise GeneratorError(
            f"{folder.text} is a {type(pipeline).__name__} that takes no {listed(missing)}, must "
            f"be callable with {listed(wanted)}; draw its images and pass the folder of samples"
        )
    return pipeline


def _build(
    diffusers: Any, folder: Folder, name: str, index: Mapping[str, Any], notes: list[str]
) -> tuple[Any, tuple[int, ...]]:
    """A pipeline of known classes, filled from safetensors; and the size of its images."""
    wanted = ("unet", "scheduler", "vqvae") if name == "LDMPipeline" else ("unet", "scheduler")
    parts = {k: v[1] for k, v in index.items() if not k.startswith("_")}
    if set(parts) != set(wanted):
        raise GeneratorError(
            f"{folder.text} is a {name} with the parts {listed(sorted(parts))}, must have "
            f"{listed(wanted)}"
        )
    made: dict[str, Any] = {}
    for part, kinds in _NETWORKS.items():
        if part in wanted:
            if parts[part] not in kinds:
                raise GeneratorError(
                    f"{folder.text} has the {part} {parts[part]!r}, must be {listed(kinds)}, which "
                    "needs nothing but noise; draw its images and pass the folder of samples"
                )
            made[part] = _network(diffusers, folder, part, parts[part], notes)
    made["scheduler"] = _scheduler(diffusers, folder, parts["scheduler"], notes)
    size = _size(folder.text, made["unet"].config, made.get("vqvae"))
    try:
        return getattr(diffusers, name)(**made), size
    except Exception as error:
        raise GeneratorError(f"{folder.text}: {name} cannot be built ({brief(error)})") from error


def _network(diffusers: Any, folder: Folder, part: str, kind: str, notes: list[str]) -> Any:
    factory = getattr(diffusers, kind)
    arguments = _arguments(folder, f"{part}/config.json", factory, notes)
    if not folder.has(f"{part}/{_WEIGHTS}"):
        pickles = [p.name for p in sorted((folder.root / part).glob("*.bin"))]
        has = f"has only the pickle {pickles[0]}" if pickles else "has no weights"
        raise GeneratorError(
            f"{folder.text} {has} for {part}, must have {part}/{_WEIGHTS}; save it again with "
            "pipeline.save_pretrained(folder)"
        )
    model, _ = assemble(
        f"{folder.text}: {part}", factory, arguments, folder.weights(f"{part}/{_WEIGHTS}")
    )
    return model


def _scheduler(diffusers: Any, folder: Folder, kind: str, notes: list[str]) -> Any:
    factory = getattr(diffusers, str(kind), None)
    module = str(getattr(factory, "__module__", ""))
    if not isinstance(factory, type) or not module.startswith("diffusers.schedulers."):
        raise GeneratorError(
            f"{folder.text} names the scheduler {kind!r:.80}, which is none of diffusers; save it "
            "again with this version of diffusers"
        )
    arguments = _arguments(folder, "scheduler/scheduler_config.json", factory, notes)
    train = arguments.get("num_train_timesteps", 1000)
    if type(train) is not int or not 1 <= train <= _MOST_STEPS:
        raise GeneratorError(
            f"{folder.text} configures num_train_timesteps {train!r}, must be 1 to {_MOST_STEPS}"
        )
    try:
        return factory(**arguments)
    except Exception as error:
        raise GeneratorError(
            f"{folder.text}: its scheduler {kind} cannot be built ({brief(error)})"
        ) from error


def _arguments(folder: Folder, name: str, factory: Any, notes: list[str]) -> dict[str, Any]:
    """The arguments in a config; those that this version does not know are said."""
    config = read_config(folder.text, folder.path(name))
    known = inspect.signature(factory.__init__).parameters
    given = {k: v for k, v in config.items() if not k.startswith("_")}
    if unknown := sorted(k for k in given if k not in known):
        notes.append(f"{name} sets {listed(unknown)}, unknown to this diffusers and left out")
    return {k: v for k, v in given.items() if k in known}


def _size(text: str, config: Mapping[str, Any], vqvae: Any) -> tuple[int, ...]:
    sample = config.get("sample_size")
    spatial = (sample, sample) if isinstance(sample, int) else sample
    if not isinstance(spatial, list | tuple) or not all(isinstance(s, int) for s in spatial):
        raise GeneratorError(f"{text} has sample_size {sample!r} in unet/config.json, must be set")
    factor = 2 ** (len(vqvae.config["block_out_channels"]) - 1) if vqvae is not None else 1
    checked_shape(text, (int(config["in_channels"]), *spatial))
    return checked_shape(text, tuple(s * factor for s in spatial))


def _steps(
    text: str, name: Any, pipeline: Any, settings: Mapping[str, Any], notes: list[str]
) -> int:
    """How many steps; said when it is neither asked for nor all of them."""
    train = int(pipeline.scheduler.config.get("num_train_timesteps", 1000))
    asked = settings.get("num_inference_steps")
    if asked is not None:
        if asked > train:
            raise GeneratorError(
                f"{text} has num_inference_steps {asked} in nriqm.json, must be 1 to its {train} "
                "training steps"
            )
        return int(asked)
    steps = min(STEPS.get(name, 50), train)
    notes.append(
        f"{name} takes {steps} of its {train} training steps (set num_inference_steps in "
        "nriqm.json to change it)"
    )
    return steps


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """diffusers logs advice about its own versions; nothing a user of a checkpoint could do."""
    logger = logging.getLogger("diffusers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
