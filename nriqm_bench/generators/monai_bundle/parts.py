"""Which parts of a MONAI bundle's config make images: networks, scheduler, inferer, weights.

Only what sampling needs is looked at; data loaders, transforms and handlers are never touched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nriqm_bench.generators.errors import GeneratorError, listed
from nriqm_bench.generators.monai_bundle.config import Config
from nriqm_bench.generators.monai_bundle.expressions import Component, Loading, Noise, Steps, Stored

DIFFUSION = ("DiffusionModelUNet", "SPADEDiffusionModelUNet")
AUTOENCODERS = ("AutoencoderKL", "SPADEAutoencoderKL", "VQVAE")
DECODERS = ("VarAutoEncoder", "SPADENet", "Generator")
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "RFlowScheduler")
INFERERS = ("DiffusionInferer", "LatentDiffusionInferer")
# The samplers that MONAI's model zoo ships as scripts, and how they give a condition.
ZOO_SAMPLERS = {"scripts.ldm_sampler.LDMSampler": "none", "scripts.sampler.Sampler": "both"}
_HOMES = {
    "monai.networks.nets": (*DIFFUSION, *AUTOENCODERS, *DECODERS),
    "monai.networks.schedulers": SCHEDULERS,
    "monai.inferers": INFERERS,
}
_NETWORK_KEYS = ("network_def", "diffusion_def", "autoencoder_def")
_PREFERRED = ("network_def", "diffusion_def", "diffusion_unet_def", "diffusion", "unet", "network")
_SCHEDULER_KEYS = ("noise_scheduler", "scheduler")
_INFERER_KEYS = ("inferer", "sampler")
_INFERERS_OF_OTHERS = ("SimpleInferer", "SlidingWindowInferer")
_FACTS = re.compile(r"load_state_dict|load_old_state_dict|torch\.load|set_timesteps|torch\.rand")


@dataclass
class Parts:
    """The components that take part; `network` is a decoder where there is no diffusion."""

    network: Component
    autoencoder: Component | None = None
    scheduler: Component | None = None
    inferer: Component | None = None

    @property
    def is_diffusion(self) -> bool:
        """Whether images are made in steps by a scheduler."""
        return self.scheduler is not None


@dataclass
class Facts:
    """What the expressions of the config say, without running them."""

    loadings: list[Loading]
    steps: list[Steps]
    noise: list[Noise]
    refused: GeneratorError | None


def home(component: Component) -> str | None:
    """The module that a known class comes from, whatever alias the target takes; else None."""
    module = re.split(r"[.:]\w+$", component.target)[0]
    for place, names in _HOMES.items():
        if component.name in names:
            bare = component.target == component.name
            if bare or module == place or module.startswith(f"{place}."):
                return place
    return None


def find_parts(config: Config, *, trusted: bool) -> Parts:
    """The parts that make images.

    Raises
    ------
    GeneratorError
        When there is no network that can be sampled, more than one, or a part that is code.
    """
    _need_plain(config)
    found = config.components()
    _refuse_others(config, found)
    diffusion = _one(config, found, DIFFUSION, "diffusion networks")
    autoencoder = _one(config, found, AUTOENCODERS, "autoencoders")
    decoder = _one(config, found, DECODERS, "decoders")
    strange = [
        found[key]
        for key in _NETWORK_KEYS
        if key in found and home(found[key]) is None and not _is_alias(found[key], found)
    ]
    if diffusion is None:
        chosen = decoder or (strange[0] if strange else None) or autoencoder
        if chosen is None:
            targets = listed([repr(c.target) for c in found.values()])
            raise GeneratorError(
                f"{config.text} configures no network that can be sampled"
                f"{f' (only {targets})' if targets else ''}, must have one of "
                f"{listed((*DIFFUSION, *AUTOENCODERS, *DECODERS), 9)} at the top of its config"
            )
        if strange and chosen is not strange[0] and not trusted:
            raise _refused(config, strange[0], "network", "monai.networks.nets")
        return Parts(chosen)
    if strange and not trusted:
        raise _refused(config, strange[0], "network", "monai.networks.nets")
    inferer = _known(config, found, INFERERS, _INFERER_KEYS, trusted=trusted)
    scheduler = None
    if inferer is not None:
        given = config.arguments(inferer).get("scheduler")
        scheduler = given if isinstance(given, Component) else None
    scheduler = scheduler or _known(config, found, SCHEDULERS, _SCHEDULER_KEYS, trusted=trusted)
    if scheduler is None:
        raise GeneratorError(
            f"{config.text} has a diffusion network but no scheduler, must have one of "
            f"{listed(SCHEDULERS)} as 'noise_scheduler' in its config"
        )
    if home(scheduler) is None and not trusted:
        raise _refused(config, scheduler, "scheduler", "monai.networks.schedulers")
    if inferer is not None and inferer.name == "DiffusionInferer":
        autoencoder = None
    if autoencoder is None and inferer is not None and inferer.name == "LatentDiffusionInferer":
        raise GeneratorError(
            f"{config.text} samples by LatentDiffusionInferer but configures no autoencoder, must "
            f"have one of {listed(AUTOENCODERS)} at the top of its config"
        )
    return Parts(diffusion, autoencoder, scheduler, inferer)


def find_facts(config: Config) -> Facts:
    """What expressions and checkpoint handlers say about weights, steps and noise.

    Parameters
    ----------
    config
        One that refuses code: nothing may run merely because it was looked at.
    """
    facts = Facts([], [], [], None)
    for key, expression in config.expressions():
        if not _FACTS.search(expression):
            continue
        try:
            value = config.get(key)
        except GeneratorError as error:
            if "load_state_dict" in expression or "load_old_state_dict" in expression:
                facts.refused = facts.refused or error
            continue
        if isinstance(value, Loading):
            facts.loadings.append(value)
        elif isinstance(value, Steps):
            facts.steps.append(value)
        elif isinstance(value, Noise):
            facts.noise.append(value)
    for key, raw in config.nested():
        if str(raw["_target_"]).split(".")[-1] == "CheckpointLoader":
            try:
                path = config.get(f"{key}::load_path")
                into = config.get(f"{key}::load_dict")
            except GeneratorError as error:
                facts.refused = facts.refused or error
                continue
            if isinstance(path, str) and isinstance(into, Mapping):
                facts.loadings += [
                    Loading(part, Stored(path))
                    for part in into.values()
                    if isinstance(part, Component)
                ]
    return facts


def plain_arguments(config: Config, component: Component) -> dict[str, Any]:
    """The arguments of a component, when all are plain data.

    Raises
    ------
    GeneratorError
        When one of them would have to be built or run.
    """
    arguments = config.arguments(component)
    for name, value in arguments.items():
        if not is_plain(value):
            what = value.target if isinstance(value, Component) else type(value).__name__
            raise GeneratorError(
                f"{config.text}: key '{component.key}::{name}' of its config is made of {what!r}, "
                "must be plain data: numbers, words, true or false, lists and dicts of these"
            )
    return arguments


def is_plain(value: Any) -> bool:
    """Whether a value is numbers, words, lists and dicts of these."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str)


def _need_plain(config: Config) -> None:
    """Whatever stands at the keys of networks is needed, so it must be understood."""
    for key in _NETWORK_KEYS:
        config.get(key)


def _one(
    config: Config, found: Mapping[str, Component], names: tuple[str, ...], what: str
) -> Component | None:
    chosen = {k: c for k, c in found.items() if c.name in names and home(c)}
    unique = set(chosen.values())
    if len(unique) > 1:
        preferred = next((chosen[k] for k in _PREFERRED if k in chosen), None)
        if preferred is None:
            raise GeneratorError(
                f"{config.text} configures {len(unique)} {what} ({listed(sorted(chosen))}), must "
                "name the one to sample network_def"
            )
        return preferred
    return next(iter(unique), None)


def _known(
    config: Config,
    found: Mapping[str, Component],
    names: tuple[str, ...],
    keys: tuple[str, ...],
    *,
    trusted: bool,
) -> Component | None:
    """The component at one of the usual keys; else the only one of a known class."""
    for key in keys:
        component = config.get(key)
        if not isinstance(component, Component) or component.name in _INFERERS_OF_OTHERS:
            continue
        if home(component) is None and component.target not in ZOO_SAMPLERS and not trusted:
            place = "monai.inferers" if names is INFERERS else "monai.networks.schedulers"
            raise _refused(config, component, key, place)
        return component
    known = [c for c in found.values() if c.name in names and home(c)]
    return known[0] if len(known) == 1 else None


def _is_alias(component: Component, found: Mapping[str, Component]) -> bool:
    return any(c == component and home(c) for c in found.values())


def _refuse_others(config: Config, found: Mapping[str, Component]) -> None:
    """Layouts that are known not to be sampled right by the parts that are known."""
    for component in found.values():
        target = component.target
        if target.startswith("generative.networks."):
            raise GeneratorError(
                f"{config.text} names {target!r} of MONAI Generative Models, whose networks have "
                "moved into MONAI; update the bundle (monai_version 1.4 or later)"
            )
        if re.search(r"ControlNet|Maisi", component.name):
            raise GeneratorError(
                f"{config.text} needs {target!r}, which this loader cannot sample; draw the images "
                "with the bundle and pass the folder of samples"
            )


def _refused(config: Config, component: Component, what: str, place: str) -> GeneratorError:
    return GeneratorError(
        f"{config.text} names the {what} {component.target!r}, which is none of {place} and would "
        "run code, which is refused; pass --nriqm-trust if you trust whoever made it"
    )
