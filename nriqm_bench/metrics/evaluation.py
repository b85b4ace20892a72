"""Several metrics of the same features at once."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nriqm_bench import metrics
from nriqm_bench.metrics.metric import Metric
from nriqm_bench.metrics.moments import Moments
from nriqm_bench.metrics.neighbours import share
from nriqm_bench.metrics.sample import as_sample


def evaluate(
    names: Iterable[str | Metric],
    real: Any,
    fake: Any,
    *,
    train: Any = None,
    rng: np.random.Generator | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, float]:
    """Several metrics of the same features, which share whatever they can.

    Parameters
    ----------
    names
        Names of metrics, or metrics.
    real, fake, train
        As in a call of one metric. Pass `Sample`s to share work between calls too.
    rng
        Each metric gets its own copy in the state given, so that neither the order nor the choice
        of names changes a value; `rng` itself is left as it was.
    options
        Options by the name of the metric.

    Returns
    -------
    dict
        Name to value, in the order of `names`; each equal to what the metric alone returns.

    Raises
    ------
    KeyError
        For an unknown name.
    ValueError
        As by a call of one metric, and for options of a metric that was not asked for.
    """
    asked = [metrics.get(n) if isinstance(n, str) else n for n in names]
    chosen = {name: dict(each) for name, each in (options or {}).items()}
    if wrong := sorted(set(chosen) - {m.name for m in asked}):
        raise ValueError(f"options named {wrong[0]!r}, must name metrics that are asked for")
    given = {"real": real, "fake": fake, "train": train}
    if any(m.needs != "images" for m in asked):
        # One array given twice is one sample, whose neighbours are searched once.
        same = train is not None and train is real
        given = {k: None if v is None else _shareable(v, k) for k, v in given.items()}
        given["train"] = given["real"] if same else given["train"]
        share(**given, asked={m.name: chosen.get(m.name, {}) for m in asked})
    return {m.name: m(**given, rng=copy.deepcopy(rng), **chosen.get(m.name, {})) for m in asked}


def _shareable(value: Any, name: str) -> Any:
    return value if isinstance(value, Moments) else as_sample(value, name)
