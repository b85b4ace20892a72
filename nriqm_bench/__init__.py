"""Test no-reference image quality metrics, and gate generative models with those that pass.

Everything here is loaded on first use, so that a project which merely has the package installed
pays nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = (
    "datasets",
    "downstream",
    "evidence",
    "extractors",
    "generators",
    "metrics",
    "perturbations",
    "reporting",
    "sanity",
    "testing",
)
_NAMES = {
    "ImageSet": "nriqm_bench.images",
    "load_generator": "nriqm_bench.generators",
    "save_generator": "nriqm_bench.generators",
    "Curve": "nriqm_bench.evidence",
    "Floor": "nriqm_bench.evidence",
    "Verdict": "nriqm_bench.evidence",
    "Settings": "nriqm_bench.settings",
    "Lab": "nriqm_bench.experiment",
    "Case": "nriqm_bench.cases",
}

__all__ = ["__version__", *_MODULES, *_NAMES]

if TYPE_CHECKING:
    from nriqm_bench import (
        datasets as datasets,
    )
    from nriqm_bench import (
        downstream as downstream,
    )
    from nriqm_bench import (
        evidence as evidence,
    )
    from nriqm_bench import (
        extractors as extractors,
    )
    from nriqm_bench import (
        generators as generators,
    )
    from nriqm_bench import (
        metrics as metrics,
    )
    from nriqm_bench import (
        perturbations as perturbations,
    )
    from nriqm_bench import (
        reporting as reporting,
    )
    from nriqm_bench import (
        sanity as sanity,
    )
    from nriqm_bench import (
        testing as testing,
    )
    from nriqm_bench.cases import Case as Case
    from nriqm_bench.evidence import Curve as Curve
    from nriqm_bench.evidence import Floor as Floor
    from nriqm_bench.evidence import Verdict as Verdict
    from nriqm_bench.experiment import Lab as Lab
    from nriqm_bench.generators import (
        load_generator as load_generator,
    )
    from nriqm_bench.generators import (
        save_generator as save_generator,
    )
    from nriqm_bench.images import ImageSet as ImageSet
    from nriqm_bench.settings import Settings as Settings


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"nriqm_bench.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'nriqm_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
