"""Lightning checkpoints (.ckpt): weights of a LightningModule, with its hyper-parameters.

``--nriqm-architecture`` names the LightningModule class or the network inside it that is to be
sampled (see `nriqm_bench.generators.module` for what it must offer). It is built from those of the
saved hyper-parameters that its constructor takes; the weights are looked for below the names of its
attributes (``generator.``, ``model.``, ``ema.``), and what was chosen is said.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nriqm_bench.generators import torchfile
from nriqm_bench.generators.errors import GeneratorError, listed
from nriqm_bench.generators.generator import Generator
from nriqm_bench.generators.source import Options, Source
from nriqm_bench.generators.state_dict import fill_architecture

_MARK = "pytorch-lightning_version"
# More of a pickle than this need not be searched for the mark: Lightning writes it near the front.
_SEARCHED = 2**22


def load(source: Source, options: Options) -> Generator | None:
    """Load a Lightning checkpoint into the given architecture; None when it is something else."""
    if not torchfile.is_torch(source) or torchfile.is_torchscript(source) or not _marked(source):
        return None
    try:
        content = torchfile.read(source, trust=options.trust)
    except GeneratorError as error:
        if "--nriqm-trust" not in str(error):
            raise
        raise GeneratorError(
            f"{source.text} is a Lightning checkpoint with hyper-parameters or callbacks that are "
            "Python objects, which only exist by running code from the file, and is refused; keep "
            "them out with save_hyperparameters(ignore=[...]), or where you trust it save "
            "LitModel.load_from_checkpoint(path).state_dict(), or pass --nriqm-trust"
        ) from error
    if not isinstance(content, Mapping) or _MARK not in content:
        return None
    if not isinstance(content.get("state_dict"), Mapping):
        raise GeneratorError(f"{source.text} is a Lightning checkpoint without a state_dict")
    if options.architecture is None:
        raise GeneratorError(
            f"{source.text} is a Lightning checkpoint, which holds weights but not the network "
            "they belong to; pass --nriqm-architecture pkg.mod:LitModel, the LightningModule or "
            f"the network inside it (its weights start with {listed(_tops(content))})"
        )
    given = content.get("hyper_parameters")
    return fill_architecture(
        source,
        options,
        {"state_dict": content["state_dict"]},
        kind="lightning",
        config=lambda factory: _accepted(factory, given if isinstance(given, Mapping) else {}),
        notes=_averaged(content),
    )


def _marked(source: Source) -> bool:
    """Whether the mark is among the first bytes of the pickle, which is not run."""
    if not source.members:
        return False
    try:
        pickle = torchfile.records(source.text, source.path).get_record("data.pkl")
    except RuntimeError as error:
        raise torchfile.damaged(source.text, error) from error
    return _MARK.encode() in pickle[:_SEARCHED]


def _tops(content: Mapping[str, Any]) -> list[str]:
    """The first parts of the weights' names: the attributes that hold networks."""
    return sorted({str(key).split(".")[0] + "." for key in content["state_dict"]})


def _averaged(content: Mapping[str, Any]) -> list[str]:
    if "current_model_state" not in content:
        return []
    return ["its weights are averaged ones (Lightning's WeightAveraging)"]


def _accepted(
    factory: Callable[..., Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Those hyper-parameters that `factory` takes, and a sentence that says so."""
    if not given:
        return {}, []
    parameters = inspect.signature(factory).parameters
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    positional = {n for n, p in parameters.items() if p.kind is inspect.Parameter.POSITIONAL_ONLY}
    chosen = {
        name: value
        for name, value in given.items()
        if isinstance(name, str) and (takes_all or (name in parameters and name not in positional))
    }
    left = [repr(name) for name in given if name not in chosen]
    name = getattr(factory, "__name__", "the architecture")
    said = f"{name} was built with the hyper-parameters "
    said += listed([f"{key}={value!r:.40}" for key, value in chosen.items()], 8) or "of its own"
    return chosen, [said + (f"; it does not take {listed(left, 8)}" if left else "")]
