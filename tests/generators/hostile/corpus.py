"""The corpus of hostile files: one function each, by theme; a new kind adds a module here."""

from __future__ import annotations

from tests.generators.hostile import (  # noqa: F401
    archives,
    arrays,
    folders,
    networks,
    pickles,
    scripts,
)
from tests.generators.hostile.registry import CORPUS as CORPUS
from tests.generators.hostile.registry import Hostile as Hostile
