"""Where numbers come from: seeds by what they are for, the code's own hash, library versions."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np


def rng_for(*axes: object) -> np.random.Generator:
    """A generator seeded by the sha256 of what it is for: order and workers cannot change it."""
    text = json.dumps(axes, default=str)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))


@cache
def code_digest() -> str:
    """The sha256 of this package's own source: a changed formula must miss the cache."""
    digest = hashlib.sha256()
    root = resources.files("nriqm_bench")
    for path in sorted(Path(str(root)).rglob("*.py")):
        digest.update(path.relative_to(str(root)).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def environment() -> dict[str, str]:
    """Versions of everything that can move a score; when, and of which commit where CI says so."""
    packages = ("nriqm-bench", "numpy", "scipy", "torch", "monai", "nibabel", "pytest")
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    found["code"] = code_digest()[:12]
    found["made"] = datetime.now(UTC).isoformat(timespec="seconds")
    for variable in ("GITHUB_SHA", "CI_COMMIT_SHA"):
        if os.environ.get(variable):
            found["revision"] = os.environ[variable]
    return found
