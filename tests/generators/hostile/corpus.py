"""The corpus of hostile files: one function each, by theme; a new kind adds a module here."""

from __future__ import annotations

from importlib.util import find_spec

from tests.generators.hostile import (  # noqa: F401
    archives,
    arrays,
    bundles,
    exported,
    folders,
    networks,
    pickles,
    scripts,
)
from tests.generators.hostile.registry import CORPUS as CORPUS
from tests.generators.hostile.registry import Hostile as Hostile

# Kinds that need an extra.
if find_spec("onnx") and find_spec("onnxruntime"):
    from tests.generators.hostile import graphs as graphs
if find_spec("diffusers"):
    from tests.generators.hostile import pipelines as pipelines
