"""A good pipeline, for those who have diffusers."""

from __future__ import annotations

from pathlib import Path

from tests.generators.hostile.good import good
from tests.generators.hostile.pipelines import pipeline


@good
def diffusers(folder: Path) -> Path:
    return pipeline(folder)
