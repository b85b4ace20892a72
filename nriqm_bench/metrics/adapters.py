"""Functions, torchmetrics and MONAI metrics as `Metric`s; no library is imported to see which."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from nriqm_bench.metrics.metric import Metric, Needs
from nriqm_bench.metrics.sample import as_numpy


def as_metric(
    thing: Any,
    name: str | None = None,
    *,
    higher_is_better: bool | None = None,
    needs: Needs = "features",
    min_samples: int = 2,
    needs_train: bool = False,
    **claims: Any,
) -> Metric:
    """Make a `Metric` of anything that can be called as one.

    Parameters
    ----------
    thing
        A `Metric` (returned as it is); a function ``(real, fake) -> float``; or a
        ``torchmetrics.Metric`` or MONAI metric:

        - torchmetrics, ``update(images, real)`` (FID, KID, MiFID): both sets are handed over, in
          float64 (images in float32). An *instance* is used as it was made: give it
          ``feature=passthrough(d)`` so that it takes features. Of a *class*, one is made at each
          call, with a passthrough of the right width as ``feature`` and the options of the call.
        - torchmetrics, ``update(preds, target)``: fake rows are predictions, real rows the target.
        - torchmetrics, ``update(one)``: only fake rows are handed over.
        - MONAI: called as ``(y_pred=fake, y=real)``, and aggregated when it is cumulative.

        A metric with state is reset before and after each call. Of a pair (mean, deviation) the
        first is the value. When a call brings `rng`, torch's random numbers are drawn from it.
    name
        What it is called; by default as the object is.
    higher_is_better
        The direction; read from the object's attribute of that name when it is left out.
    needs, min_samples, needs_train, **claims
        As `Metric` has them: also ``needs_real``, ``range``, ``invariant``, ``symmetric`` and
        ``sees``, which the checks of `nriqm_bench.testing` hold it to.

    Raises
    ------
    TypeError
        When `thing` cannot be called, or its direction is unknown.
    """
    if isinstance(thing, Metric):
        return thing if name in (None, thing.name) else replace(thing, name=str(name))
    if name is None:
        name = str(getattr(thing, "__name__", type(thing).__name__))
    function: Callable[..., Any]
    if _comes_from(thing, "torchmetrics"):
        function = _torchmetrics(thing, needs)
    elif _comes_from(thing, "monai"):
        function = _monai(thing)
    elif callable(thing) and not inspect.isclass(thing):
        function = thing
    else:
        raise TypeError(
            f"metric {name!r} was {thing!r}, must be a function (real, fake) -> float, a Metric, "
            "a torchmetrics.Metric or a MONAI metric"
        )
    if higher_is_better is None:
        higher_is_better = getattr(thing, "higher_is_better", None)
    if higher_is_better is None:
        raise TypeError(
            f"metric {name!r} does not say whether higher is better; "
            "give higher_is_better=True or False"
        )
    return Metric(
        name,
        function,
        higher_is_better=higher_is_better,
        needs=needs,
        min_samples=min_samples,
        needs_train=needs_train,
        **claims,
    )


def passthrough(d: int) -> Any:
    """A torch module that returns its ``(n, d)`` input: a ``feature`` for torchmetrics' metrics."""
    import torch

    module = torch.nn.Identity()
    # torchmetrics sizes its state by this attribute; without it, it sends an image through.
    module.num_features = d  # type: ignore[assignment]
    return module


def _torchmetrics(thing: Any, needs: Needs) -> Callable[..., Any]:
    if inspect.isclass(thing):

        def fresh(real: Any, fake: Any, *, rng: Any = None, **options: Any) -> float:
            takes = inspect.signature(thing.__init__).parameters
            if "feature" in takes and needs != "images":
                options = {"feature": passthrough(fake.shape[1]), **options}
            with warnings.catch_warnings():
                # It warns that it keeps the features, which are here already.
                warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
                made = thing(**options)
            return _update(made, real, fake, rng)

        return _documented(fresh, thing)

    def kept(real: Any, fake: Any, *, rng: Any = None) -> float:
        return _update(thing, real, fake, rng)

    return _documented(kept, thing)


def _update(metric: Any, real: Any, fake: Any, rng: np.random.Generator | None) -> float:
    real, fake = _tensor(real), _tensor(fake)
    parameters = inspect.signature(metric.update).parameters.values()
    required = [p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    with _emptied(metric), _seeded(rng):
        if any(p.name == "real" for p in parameters):
            metric.update(real, real=True)
            metric.update(fake, real=False)
        elif len(required) >= 2:
            metric.update(fake, real)
        else:
            metric.update(fake)
        return _number(metric.compute(), metric)


@contextmanager
def _emptied(metric: Any) -> Iterator[None]:
    """Without what earlier calls left behind, real features included."""
    keeps = getattr(metric, "reset_real_features", None)
    if keeps is False:
        metric.reset_real_features = True
    try:
        metric.reset()
        yield
        metric.reset()
    finally:
        if keeps is False:
            metric.reset_real_features = False


def _monai(thing: Any) -> Callable[..., Any]:
    metric: Any = thing() if inspect.isclass(thing) else thing

    def call(real: Any, fake: Any, *, rng: Any = None) -> float:
        cumulative = hasattr(metric, "aggregate") and hasattr(metric, "reset")
        with _seeded(rng):
            if not cumulative:
                return _number(metric(y_pred=_tensor(fake), y=_tensor(real)), metric)
            metric.reset()
            metric(y_pred=_tensor(fake), y=_tensor(real))
            value = _number(metric.aggregate(), metric)
            metric.reset()
            return value

    return _documented(call, thing)


@contextmanager
def _seeded(rng: np.random.Generator | None) -> Iterator[None]:
    """Torch's random numbers drawn from `rng`, and its own state left as it was."""
    import torch

    if rng is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        yield


def _number(value: Any, metric: Any) -> float:
    if isinstance(value, tuple | list) and value:
        value = value[0]
    array = as_numpy(value)
    if array.size == 1 and array.dtype.kind in "fiu":
        return float(array.item())
    raise TypeError(
        f"{type(metric).__name__} returned {type(value).__name__} of shape {array.shape}, must "
        "return one number (give it the option that averages, for instance reduction='mean')"
    )


def _tensor(array: Any) -> Any:
    import torch

    return torch.tensor(array)


def _comes_from(thing: Any, library: str) -> bool:
    """Whether `thing` is a metric of `library`, or a class of them; nothing is imported to see."""
    kind = thing if inspect.isclass(thing) else type(thing)
    return any(
        base.__name__ == "Metric" and base.__module__.partition(".")[0] == library
        for base in kind.__mro__
    )


def _documented(function: Callable[..., Any], thing: Any) -> Callable[..., Any]:
    function.__doc__ = inspect.getdoc(thing)
    return function
