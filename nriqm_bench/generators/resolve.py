"""Which architecture a checkpoint may build: an allow-list, unless the user names or trusts it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nriqm_bench.generators.errors import GeneratorError, brief, listed
from nriqm_bench.generators.module import seeded
from nriqm_bench.registry import UnknownName

# Networks below these are built from plain data without trust.
ALLOWED = ("nriqm_bench.generators.architectures", "monai.networks.nets", "torch.nn")
# Constructor arguments of allowed networks that would fetch or open files.
_FETCHING = re.compile(r"pretrained\w*|download|\w*_path|\w*_url|\w*_file")


def resolve(text: str, name: str, *, trusted: bool) -> Callable[..., Any]:
    """The class or function that an architecture's name means.

    Parameters
    ----------
    text
        The checkpoint, for the messages.
    name
        A built-in name, ``pkg.mod:callable`` or ``pkg.mod.callable``.
    trusted
        Whether code outside `ALLOWED` may be imported: the user named it, or trusts the file.

    Raises
    ------
    GeneratorError
        When it is unknown, not importable, or outside the allow-list and not trusted.
    """
    if ":" not in name and "." not in name:
        from nriqm_bench.generators import architectures

        try:
            return architectures.get(name)
        except UnknownName as error:
            raise GeneratorError(f"{text} names an {error}") from error
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    allowed = any(module == top or module.startswith(f"{top}.") for top in ALLOWED)
    if not (allowed or trusted):
        raise _refused(text, name)
    # Without trust the current folder is not searched: it may hold a monai.py of the attacker's.
    found = import_object(name, module, attribute, here=trusted)
    if not trusted and not _is_network(found):
        raise _refused(text, name)
    if not callable(found):
        raise GeneratorError(f"architecture {name!r} is {type(found).__name__}, must be callable")
    return found  # type: ignore[no-any-return]


def build(
    text: str,
    factory: Callable[..., Any],
    config: Mapping[str, Any],
    *,
    trusted: bool,
) -> Any:
    """``factory(**config)``, checked to be a `torch.nn.Module`."""
    import torch

    name = getattr(factory, "__qualname__", repr(factory))
    if not trusted and (fetching := _fetching(factory, config)):
        raise GeneratorError(
            f"{text} builds {name} with {listed(fetching)}, which may fetch files and is refused; "
            "switch it off in the config, or pass --nriqm-trust if you trust whoever made it"
        )
    try:
        with seeded(0, "cpu"):
            model = factory(**config)
    except Exception as error:
        raise GeneratorError(
            f"{text}: {name} cannot be built from the configuration {dict(config)!r:.200} "
            f"({brief(error)})"
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise GeneratorError(
            f"{text}: {name} returned {type(model).__name__}, must return a torch.nn.Module"
        )
    return model


def _fetching(factory: Callable[..., Any], config: Mapping[str, Any]) -> list[str]:
    """The arguments, given or by default, that would make the network fetch files."""
    arguments = {
        name: parameter.default
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    } | dict(config)
    return [f"{k}={v!r}" for k, v in arguments.items() if v and _FETCHING.fullmatch(k)]


def import_object(name: str, module: str, attribute: str, *, here: bool = True) -> Any:
    """The attribute of a module, which may lie in the current folder if `here`."""
    try:
        with working_folder() if here else contextlib.nullcontext():
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
    except Exception as error:
        raise GeneratorError(
            f"{name!r:.120} could not be imported ({brief(error)}); it must be pkg.mod:callable, "
            "importable from the current folder or installed"
        ) from error
    return found


@contextlib.contextmanager
def working_folder() -> Iterator[None]:
    """The current folder is importable inside, as it is for ``python -m``."""
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added:
            with contextlib.suppress(ValueError):
                sys.path.remove(here)


def _is_network(found: Any) -> bool:
    """Whether `found` is a network class of an allowed module, not merely reachable through it."""
    import torch

    return (
        isinstance(found, type)
        and issubclass(found, torch.nn.Module)
        and any(
            found.__module__ == top or found.__module__.startswith(f"{top}.") for top in ALLOWED
        )
    )


def _refused(text: str, name: str) -> GeneratorError:
    return GeneratorError(
        f"{text} names the architecture {name!r}, which is no network of {listed(ALLOWED)} and "
        f"would run code, which is refused; pass --nriqm-architecture {name} to name it yourself, "
        "or --nriqm-trust if you trust whoever made it"
    )
