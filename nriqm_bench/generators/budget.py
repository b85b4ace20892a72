"""How much the constructor of an untrusted network may make before it is stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

# For each entry of a state dict a constructor makes a few layers and calls torch a few times; the
# first number leaves room for networks without weights.
_LAYERS = (10_000, 100)
_CALLS = (20_000, 1_000)
# Bytes of parameters and buffers: buffers need not be in the state dict.
_BYTES = (2**28, 4)


class TooLarge(Exception):
    """The constructor makes more than the checkpoint holds weights for."""


@contextlib.contextmanager
def bounded(content: Any) -> Iterator[None]:
    """Inside, a network much larger than its weights raises `TooLarge` as it grows.

    `content` is a state dict, or a training checkpoint around one. Layers, calls of torch and bytes
    of parameters are counted while they are made, so that neither a huge layer nor a loop over
    10 000 000 small ones gets memory or time.
    """
    import torch
    from torch.nn.modules import module
    from torch.overrides import TorchFunctionMode

    tensors = list(_tensors(content))
    held = sum(value.numel() * value.element_size() for value in tensors)
    layers = _Count("layers", _LAYERS[0] + _LAYERS[1] * len(tensors))
    calls = _Count("calls of torch", _CALLS[0] + _CALLS[1] * len(tensors))
    size = _Count("bytes of weights", _BYTES[0] + _BYTES[1] * held)

    class Counting(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            # Leaving torch.no_grad() is a call too, which must not fail on the way out.
            if func is not torch._C._set_grad_enabled:
                calls.add(1)
            return func(*args, **(kwargs or {}))

    def tensor(owner: Any, name: str, value: Any) -> None:
        # On the meta device weights take no memory; there `check_fit` tells which do not fit.
        if value is not None and value.device.type != "meta":
            size.add(value.numel() * value.element_size())

    def layer(owner: Any, name: str, value: Any) -> None:
        layers.add(1)

    hooks = [
        module.register_module_parameter_registration_hook(tensor),
        module.register_module_buffer_registration_hook(tensor),
        module.register_module_module_registration_hook(layer),
    ]
    try:
        with Counting():
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(content: Any, depth: int = 4) -> Iterator[Any]:
    if hasattr(content, "element_size"):
        yield content
    elif isinstance(content, Mapping) and depth:
        for value in content.values():
            yield from _tensors(value, depth - 1)


class _Count:
    def __init__(self, what: str, limit: int) -> None:
        self.what, self.limit, self.value = what, limit, 0

    def add(self, number: int) -> None:
        self.value += number
        if self.value > self.limit:
            raise TooLarge(
                f"it makes more than {self.limit} {self.what}, which do not fit its file"
            )
