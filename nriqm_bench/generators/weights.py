"""Put a state dict into a network: every key must fit, and what was chosen is said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nriqm_bench.generators.errors import GeneratorError, listed

# Averaged weights come first, since models are sampled from them.
_AVERAGED = re.compile(
    r"(^|[._])(ema|averaged|average|avg|polyak|shadow)([._]|$)|_ema|ema_|Ema|EMA"
)
# Where training loops keep the weights, the likeliest first; any other name comes after these.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "generator_state_dict",
    "generator",
    "netG",
    "G",
    "model",
    "network",
    "net",
    "unet",
    "weights",
    "params",
)
# Never a network that makes images, however its shapes may look.
_OTHERS = re.compile(
    r"optim|sched|scaler|discriminator|critic|current_model_state|^(net)?D(_|$)|^disc(_|$)"
)
# The averages of torch_ema and of diffusers' EMAModel are lists in the order of the parameters.
_SHADOWS = "shadow_params"
# What torch.nn.DataParallel and torch.compile put between the parts of a key.
_WRAPPED = ("module", "_orig_mod")
_DEPTH = 3


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


def choose(
    text: str,
    content: Any,
    expected: Mapping[str, Any],
    *,
    parameters: Sequence[tuple[str, bool]] = (),
) -> tuple[dict[str, Any], list[str]]:
    """The state dict inside a training checkpoint that fits the `expected` keys.

    Averaged weights are preferred to plain ones, then the likelier name (`WRAPPERS`), then the
    shorter prefix. Weights whose shapes fit too go before all others.

    Parameters
    ----------
    text
        The checkpoint, for the messages.
    content
        A state dict, or dicts around state dicts.
    expected
        The state dict of the network itself.
    parameters
        The names of its parameters in order, and whether each is trained: what the lists that
        torch_ema and diffusers' EMAModel keep are lists of.

    Returns
    -------
    tuple[dict, list[str]]
        The weights, and sentences that say which were taken and which prefix was removed.

    Raises
    ------
    GeneratorError
        When there are no weights in it.
    """
    wanted = set(expected)
    found = dict(_candidates(content, ""))
    named = [
        (place, prefix, state)
        for place, held in found.items()
        for prefix, state in _fitting(held, wanted)
    ]
    shaped = [f for f in named if all(f[2][k].shape == v.shape for k, v in expected.items())]
    fitting = shaped or named
    shadows = list(_shadows(content, "")) if parameters else []
    averaged = [
        _averaged(text, place, values, parameters, fitting, wanted) for place, values in shadows
    ]
    if averaged:
        return averaged[0]
    if not found and any(_shadows(content, "")):
        return {}, []
    if not found:
        keys = listed([repr(k) for k in content]) if isinstance(content, Mapping) else "no keys"
        raise GeneratorError(
            f"{text} holds no state dict: it is a {type(content).__name__} with {keys}; save "
            "model.state_dict()"
        )
    if not fitting:
        # fill() says which keys differ.
        place = min(found, key=_rank)
        return _unwrapped(found[place]), _said(found, place, "", 0)
    place, prefix, state = min(fitting, key=lambda f: (*_rank(f"{f[0]}.{f[1]}"), len(f[1]), f[:2]))
    others = [p for at, p, _ in fitting if at == place and p != prefix]
    notes = _said(found, place, prefix, len(found[place]) - len(state))
    if any(f"{prefix}{key}" not in found[place] for key in state):
        notes.append(f"the parts {' and '.join(_WRAPPED)} were removed from the keys")
    if others:
        notes.append(f"keys below {listed([repr(o) for o in others])} fit as well")
    return state, notes


def _said(found: Mapping[str, Any], place: str, prefix: str, ignored: int) -> list[str]:
    notes = []
    if place:
        others = [repr(name) for name in found if name != place]
        beside = f" (there was also {listed(others)})" if others else ""
        notes.append(f"weights were taken from {place!r}{beside}")
    if prefix:
        beside = f", and {ignored} keys without it were left out" if ignored else ""
        notes.append(f"the prefix {prefix!r} was removed from the keys{beside}")
    return notes


def _rank(name: str) -> tuple[bool, int, str]:
    """Sorts the names of state dicts: averaged ones first, then in the order of `WRAPPERS`."""
    parts = [part for part in name.split(".") if part]
    known = [WRAPPERS.index(part) for part in parts if part in WRAPPERS]
    return not _AVERAGED.search(name), min(known, default=len(WRAPPERS) if parts else -1), name


def _candidates(content: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every state dict within: a mapping of nothing but tensors."""
    if not isinstance(content, Mapping) or path.count(".") >= _DEPTH:
        return
    words = {k: v for k, v in content.items() if isinstance(k, str)}
    tensors = {k: v for k, v in words.items() if hasattr(v, "shape")}
    if tensors and len(tensors) == len(content):
        yield path, tensors
        return
    for name, value in words.items():
        if not _OTHERS.search(name):
            yield from _candidates(value, f"{path}.{name}" if path else name)


def _shadows(content: Any, path: str) -> Iterator[tuple[str, Sequence[Any]]]:
    """Every list of averaged parameters within."""
    if not isinstance(content, Mapping) or path.count(".") >= _DEPTH:
        return
    for name, value in content.items():
        below = f"{path}.{name}" if path else str(name)
        if name == _SHADOWS and isinstance(value, list | tuple):
            yield below, value
        elif isinstance(name, str) and not _OTHERS.search(name):
            yield from _shadows(value, below)


def _averaged(
    text: str,
    place: str,
    values: Sequence[Any],
    parameters: Sequence[tuple[str, bool]],
    fitting: Sequence[tuple[str, str, dict[str, Any]]],
    expected: set[str],
) -> tuple[dict[str, Any], list[str]]:
    """The named weights that a list of averages stands for; buffers come from the plain ones."""
    names = [name for name, _ in parameters]
    if len(values) != len(names):
        names = [name for name, trained in parameters if trained]
    if len(values) != len(names):
        raise GeneratorError(
            f"{text} holds {len(values)} averaged parameters in {place!r}, but the network has "
            f"{len(parameters)}; check the architecture and its configuration"
        )
    state = dict(zip(names, values, strict=True))
    notes = [f"weights were taken from {place!r}, a list in the order of the parameters"]
    if lacking := expected - state.keys():
        if not fitting:
            raise GeneratorError(
                f"{text} holds averaged parameters in {place!r} but not {listed(sorted(lacking))}; "
                "save model.state_dict() beside them"
            )
        beside, prefix, plain = min(fitting, key=lambda f: (*_rank(f[0]), len(f[1]), f[1]))
        state |= {name: plain[name] for name in lacking}
        notes.append(f"{len(lacking)} buffers came from {f'{beside}.{prefix}'.strip('.')!r}")
    return state, notes


def _fitting(state: Mapping[str, Any], expected: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The parts of `state` below a prefix that have exactly the `expected` keys."""
    prefixes = {""}
    for key in state:
        parts = key.split(".")
        prefixes.update(".".join(parts[: i + 1]) + "." for i in range(min(4, len(parts) - 1)))
    parts_of = {}
    for prefix in sorted(prefixes, key=lambda p: (len(p), p)):
        parts_of[prefix] = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
    exact = [(p, part) for p, part in parts_of.items() if part.keys() == expected]
    bare = [(p, _unwrapped(part)) for p, part in parts_of.items() if not exact]
    yield from exact or [(p, part) for p, part in bare if part.keys() == expected]


def _unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    """`state` without the parts of keys that data parallelism and compilation add."""
    return {".".join(p for p in k.split(".") if p not in _WRAPPED): v for k, v in state.items()}
