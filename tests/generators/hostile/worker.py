"""Load and sample what standard input names, one JSON line each; run in a process of its own.

A line in is ``{"path": ..., "architecture": null}``, a line out ``{"outcome": "images",
"said": ..., "peak": bytes above the start}``; the outcome may be ``refused`` or ``failed`` as well.
The address space is limited, so that a test that fails cannot take the machine with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from pathlib import Path

import monai.networks.nets
import nibabel
import numpy as np
import PIL.Image
import torch

from nriqm_bench import load_generator
from nriqm_bench.generators import GeneratorError

LIMIT = 16 * 2**30


def peak() -> int:
    """The most memory since it was last asked, where the system tells; else since the start."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_the_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def answer(path: str, architecture: str | None) -> tuple[str, str]:
    try:
        images = load_generator(path, architecture=architecture).sample(4, 0)
    except GeneratorError as error:
        return "refused", str(error)
    except BaseException as error:
        return "failed", f"{type(error).__name__}: {error}"
    sound = len(images) == 4 and np.isfinite(images.images).all()
    sound = sound and images.images.min() >= 0 and images.images.max() <= 1
    return ("images" if sound else "failed"), str(images.images.shape)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a checkpoint prints is no answer
    assert monai.networks.nets
    assert nibabel
    assert PIL.Image
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    for line in sys.stdin:
        asked = json.loads(line)
        forget_the_peak()
        start = peak()
        outcome, said = answer(asked["path"], asked.get("architecture"))
        told = {"outcome": outcome, "said": said, "peak": max(0, peak() - start)}
        answers.write(json.dumps(told) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
