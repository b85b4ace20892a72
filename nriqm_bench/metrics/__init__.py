"""The metrics: one registry, one calling convention, one pass over the features they share."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from nriqm_bench.registry import Registry

if TYPE_CHECKING:
    from nriqm_bench.metrics.adapters import as_metric as as_metric
    from nriqm_bench.metrics.adapters import passthrough as passthrough
    from nriqm_bench.metrics.estimate import Estimate as Estimate
    from nriqm_bench.metrics.evaluation import evaluate as evaluate
    from nriqm_bench.metrics.matches import copy_scores as copy_scores
    from nriqm_bench.metrics.matches import nearest_pairs as nearest_pairs
    from nriqm_bench.metrics.metric import Metric as Metric
    from nriqm_bench.metrics.metric import Needs
    from nriqm_bench.metrics.moments import Moments as Moments
    from nriqm_bench.metrics.sample import Sample as Sample

_ROOM = "nriqm_bench.metrics"
_LAZY = {
    "Estimate": "estimate",
    "Metric": "metric",
    "Moments": "moments",
    "Sample": "sample",
    "as_metric": "adapters",
    "copy_scores": "matches",
    "evaluate": "evaluation",
    "nearest_pairs": "matches",
    "passthrough": "adapters",
}
_REGISTRY: Registry[Any] = Registry(
    "metric",
    _ROOM,
    {
        "authpct": f"{_ROOM}.memorisation:authpct",
        "blur": f"{_ROOM}.iqm:blur",
        "cjv": f"{_ROOM}.iqm:cjv",
        "clipped-coverage": f"{_ROOM}.clipped:clipped_coverage",
        "clipped-density": f"{_ROOM}.clipped:clipped_density",
        "cmmd": f"{_ROOM}.kernel:cmmd",
        "cnr": f"{_ROOM}.iqm:cnr",
        "copy-rate": f"{_ROOM}.copies:copy_rate",
        "coverage": f"{_ROOM}.neighbours:coverage",
        "ct": f"{_ROOM}.memorisation:ct",
        "density": f"{_ROOM}.neighbours:density",
        "efc": f"{_ROOM}.iqm:efc",
        "fber": f"{_ROOM}.iqm:fber",
        "fid": f"{_ROOM}.frechet:fid",
        "fid-infinity": f"{_ROOM}.frechet:fid_infinity",
        "fls": f"{_ROOM}.likelihood:fls",
        "fls-overfit": f"{_ROOM}.likelihood:fls_overfit",
        "frd": f"{_ROOM}.frechet:frd",
        "inception-score": f"{_ROOM}.inception_score:inception_score",
        "kid": f"{_ROOM}.kernel:kid",
        "match-rate": f"{_ROOM}.matches:match_rate",
        "memorisation-index": f"{_ROOM}.copies:memorisation_index",
        "mifid": f"{_ROOM}.memorisation:mifid",
        "mmd-rbf": f"{_ROOM}.kernel:mmd_rbf",
        "ms-ssim": f"{_ROOM}.structural:ms_ssim",
        "precision": f"{_ROOM}.neighbours:precision",
        "realism": f"{_ROOM}.neighbours:realism",
        "recall": f"{_ROOM}.neighbours:recall",
        "sliced-wasserstein": f"{_ROOM}.transport:sliced_wasserstein",
        "snr": f"{_ROOM}.iqm:snr",
        "train-share": f"{_ROOM}.memorisation:train_share",
        "vendi": f"{_ROOM}.diversity:vendi",
    },
)

__all__ = ["get", "names", "register", *sorted(_LAZY)]


def get(name: str) -> Metric:
    """The metric called `name`.

    Raises
    ------
    KeyError
        For an unknown name; the message lists the closest and the valid names.
    TypeError
        For an entry point that is no metric and does not say whether higher is better.
    """
    from nriqm_bench.metrics.adapters import as_metric

    return as_metric(_REGISTRY.get(name), name)


def names() -> list[str]:
    """The names of all metrics, sorted; nothing is imported to find them."""
    return _REGISTRY.names()


@overload
def register(
    name: str,
    metric: None = None,
    *,
    higher_is_better: bool | None = None,
    needs: Needs = "features",
    min_samples: int = 2,
    needs_train: bool = False,
    **claims: Any,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...


@overload
def register(
    name: str,
    metric: object,
    *,
    higher_is_better: bool | None = None,
    needs: Needs = "features",
    min_samples: int = 2,
    needs_train: bool = False,
    **claims: Any,
) -> Metric: ...


def register(
    name: str,
    metric: object = None,
    *,
    higher_is_better: bool | None = None,
    needs: Needs = "features",
    min_samples: int = 2,
    needs_train: bool = False,
    **claims: Any,
) -> Any:
    """Make a metric known under a new `name`: as a decorator, or with the metric as an argument.

    Parameters
    ----------
    name
        A name that is not taken.
    metric
        A function ``(real, fake) -> float`` of two ``(n, d)`` float64 arrays (it may also take
        ``train``, ``rng`` and options by keyword), a `Metric`, a ``torchmetrics.Metric`` or a MONAI
        metric. Left out, `register` is a decorator and returns the function unchanged.
    higher_is_better
        The direction; may be left out when `metric` has an attribute of that name.
    needs
        What the arrays hold: ``"features"``, ``"logits"`` or ``"images"``.
    min_samples
        The fewest rows of each array for which the metric is defined.
    needs_train
        Whether a call must bring the training set.
    **claims
        What else it says of itself, as `Metric` has it: ``needs_real``, ``range``, ``invariant``,
        ``symmetric``, ``sees``. The checks of `nriqm_bench.testing` hold it to that.

    Raises
    ------
    ValueError
        When the name is taken, or an argument is not what it must be.
    TypeError
        When `metric` cannot be called as a metric, or its direction is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> import nriqm_bench.metrics
    >>> @nriqm_bench.metrics.register("mean-gap", higher_is_better=False)
    ... def mean_gap(real, fake):
    ...     "Distance between the two means."
    ...     return np.linalg.norm(real.mean(0) - fake.mean(0))
    >>> nriqm_bench.metrics.get("mean-gap")(np.zeros((4, 2)), np.ones((5, 2)))
    1.4142135623730951
    >>> nriqm_bench.metrics.unregister("mean-gap")
    """
    from nriqm_bench.metrics.adapters import as_metric

    def add(thing: Any) -> Metric:
        made = as_metric(
            thing,
            name,
            higher_is_better=higher_is_better,
            needs=needs,
            min_samples=min_samples,
            needs_train=needs_train,
            **claims,
        )
        _REGISTRY.add(name, made)
        return made

    if metric is not None:
        return add(metric)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        add(function)
        return function

    return decorate


def unregister(name: str) -> None:
    """Forget a metric that was registered at run time; an unknown name is no error."""
    _REGISTRY.discard(name)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"{_ROOM}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {_ROOM!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "unregister"})
