"""Build a network and fill it, after its outline was compared with the weights.

An outline is the network on torch's meta device: names and shapes without memory. A config can
ask for any size in a few bytes; the file that holds the weights cannot.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from nriqm_bench.generators.budget import TooLarge, bounded
from nriqm_bench.generators.errors import GeneratorError, listed
from nriqm_bench.generators.resolve import build
from nriqm_bench.generators.weights import check_fit, choose, fill


def assemble(
    text: str,
    factory: Callable[..., Any],
    config: Mapping[str, Any],
    content: Any,
    *,
    trusted: bool = False,
    old: bool = False,
) -> tuple[Any, list[str]]:
    """The network ``factory(**config)`` with the weights in `content`.

    Parameters
    ----------
    text
        The checkpoint, for the messages.
    factory
        The network's class.
    config
        Its arguments, plain data.
    content
        What the weights file holds: a state dict, or a training checkpoint around one.
    trusted
        Whether the factory may fetch files.
    old
        Whether weights of MONAI Generative Models may be renamed to those of MONAI.

    Returns
    -------
    tuple[torch.nn.Module, list[str]]
        The filled network, and sentences that say what was chosen.

    Raises
    ------
    GeneratorError
        When network and weights do not fit, or the network is larger than its weights.
    """
    if trusted:
        drawn = build(text, factory, copy.deepcopy(dict(config)), trusted=True)
    else:
        drawn = outline(text, factory, config, content)
    state, notes = choose(text, content, drawn.state_dict())
    _check_held(text, state)
    renamed = old and hasattr(drawn, "load_old_state_dict") and state.keys() != _keys(drawn)
    if renamed:
        _check_volume(text, drawn, state)
    else:
        check_fit(text, drawn, state)
    model = build(text, factory, copy.deepcopy(dict(config)), trusted=trusted)
    if renamed:
        notes.append(_fill_old(text, model, state))
    else:
        fill(text, model, state)
    return model, notes


def outline(text: str, factory: Callable[..., Any], config: Mapping[str, Any], content: Any) -> Any:
    """The network without memory, when it is not much larger than the weights in `content`."""
    import torch

    try:
        with torch.device("meta"), bounded(content):
            return build(text, factory, copy.deepcopy(dict(config)), trusted=False)
    except GeneratorError as error:
        if isinstance(error.__cause__, TooLarge):
            raise GeneratorError(
                f"{text} configures a network far larger than its weights file "
                f"({error.__cause__}); check its configuration"
            ) from error
        raise


def _keys(model: Any) -> set[str]:
    return set(model.state_dict())


def _check_held(text: str, state: Mapping[str, Any]) -> None:
    """Refuse tensors that are larger than their storage."""
    for name, value in state.items():
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise GeneratorError(
                f"{text} declares weights {name!r} of shape {tuple(value.shape)} but does not hold "
                "them; it is refused"
            )


def _check_volume(text: str, drawn: Any, state: Mapping[str, Any]) -> None:
    """Refuse a network much larger than weights whose names are those of older networks."""
    wanted = sum(v.numel() for v in drawn.state_dict().values())
    held = sum(v.numel() for v in state.values())
    if wanted > 2 * held + 1_000_000:
        raise GeneratorError(
            f"{text} configures {type(drawn).__name__} with {wanted} values, but its weights file "
            f"holds {held}; check its configuration"
        )


def _fill_old(text: str, model: Any, state: Mapping[str, Any]) -> str:
    """Let MONAI rename the weights of MONAI Generative Models; say what found no place."""
    import torch

    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.fill_(float("nan"))
    left = dict(state)
    try:
        model.load_old_state_dict(left)
    except (KeyError, RuntimeError) as error:
        missing = error.args[0] if isinstance(error, KeyError) else "other shapes"
        raise GeneratorError(
            f"{text} does not fit {type(model).__name__}, as weights of MONAI Generative Models: "
            f"{missing!r:.120} is missing or misshapen; check its configuration"
        ) from error
    # Attention blocks of MONAI Generative Models hold a projection that they never apply.
    unused = [k for k in left if ".proj_attn." not in k]
    unfilled = [
        k for k, v in model.state_dict().items() if v.is_floating_point() and v.isnan().any()
    ]
    if unused or unfilled:
        raise GeneratorError(
            f"{text} does not fit {type(model).__name__}, as weights of MONAI Generative Models: "
            f"{len(unfilled)} missing ({listed(unfilled)}), {len(unused)} unexpected "
            f"({listed(unused)}); check its configuration"
        )
    return "weights of MONAI Generative Models were renamed to those of MONAI"
