"""Put a state dict into a network: every key must fit, and what was chosen is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nriqm_bench.generators.errors import GeneratorError, listed

# Where training loops keep weights; averaged weights first, since models are sampled from them.
WRAPPERS = (
    "ema_state_dict",
    "model_ema",
    "ema_model",
    "ema",
    "g_ema",
    "state_dict",
    "model_state_dict",
    "generator_state_dict",
    "generator",
    "model",
    "network",
    "net",
    "weights",
)


def fill(text: str, model: Any, state: Mapping[str, Any]) -> None:
    """Load `state` into `model`; whatever is missing, unexpected or misshapen is refused."""
    check_fit(text, model, state)
    model.load_state_dict(dict(state))


def check_fit(text: str, model: Any, state: Mapping[str, Any]) -> None:
    """Refuse a `state` that has not exactly the keys and shapes of `model`; say which differ."""
    own = model.state_dict()
    said = []
    if missing := [k for k in own if k not in state]:
        said.append(f"{len(missing)} missing ({listed(missing)})")
    if unexpected := [k for k in state if k not in own]:
        said.append(f"{len(unexpected)} unexpected ({listed(unexpected)})")
    misshapen = [
        f"{k} {tuple(getattr(state[k], 'shape', ()))} for {tuple(v.shape)}"
        for k, v in own.items()
        if k in state and hasattr(v, "shape") and getattr(state[k], "shape", None) != v.shape
    ]
    if misshapen:
        said.append(f"{len(misshapen)} of another shape ({listed(misshapen)})")
    if said:
        raise GeneratorError(
            f"{text} does not fit {type(model).__name__}: of its keys, {'; '.join(said)}; check "
            "the architecture and its configuration"
        )


def choose(text: str, content: Any, expected: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
    """The state dict inside a training checkpoint that fits the `expected` keys.

    Returns
    -------
    tuple[dict, list[str]]
        The weights, and sentences that say which were taken and which prefix was removed.

    Raises
    ------
    GeneratorError
        When there are no weights in it.
    """
    expected = set(expected)
    found = dict(_candidates(content, ""))
    if not found:
        keys = listed([repr(k) for k in content]) if isinstance(content, Mapping) else "no keys"
        raise GeneratorError(
            f"{text} holds no state dict: it is a {type(content).__name__} with {keys}; save "
            "model.state_dict()"
        )
    taken = next(
        (n for n, state in found.items() if _strip(state, expected)[0].keys() == expected),
        next(iter(found)),
    )
    state, prefix = _strip(found[taken], expected)
    notes = []
    if taken:
        others = [repr(n) for n in found if n != taken]
        beside = f" (there was also {listed(others)})" if others else ""
        notes.append(f"weights were taken from {taken!r}{beside}")
    if prefix:
        ignored = len(found[taken]) - len(state)
        beside = f", and {ignored} keys without it were left out" if ignored else ""
        notes.append(f"the prefix {prefix!r} was removed from the keys{beside}")
    return state, notes


def _candidates(content: Any, path: str, depth: int = 3) -> Iterable[tuple[str, dict[str, Any]]]:
    """Every state dict within, averaged weights first."""
    if not isinstance(content, Mapping):
        return
    tensors = {k: v for k, v in content.items() if isinstance(k, str) and hasattr(v, "shape")}
    inner = [name for name in WRAPPERS if isinstance(content.get(name), Mapping)]
    if tensors and not inner and len(tensors) == len(content):
        yield path, tensors
    elif depth:
        for name in inner:
            yield from _candidates(content[name], f"{path}.{name}" if path else name, depth - 1)


def _strip(state: Mapping[str, Any], expected: set[str]) -> tuple[dict[str, Any], str]:
    """`state` without the prefix that stands between it and the expected keys."""
    if state.keys() == expected:
        return dict(state), ""
    prefixes = {""}
    for key in state:
        parts = key.split(".")
        prefixes.update(".".join(parts[: i + 1]) + "." for i in range(min(3, len(parts) - 1)))
    for prefix in sorted(prefixes, key=len):
        chosen = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
        if chosen.keys() == expected:
            return chosen, prefix
    for prefix in ("module.", "_orig_mod."):
        if all(k.startswith(prefix) for k in state):
            return {k.removeprefix(prefix): v for k, v in state.items()}, prefix
    return dict(state), ""
