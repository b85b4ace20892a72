"""``python -m nriqm_bench demo train``: train the VAE, the GAN and the DDPM of data/demo."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nriqm_bench.images import ImageSet

# Training steps of 32 images each.
STEPS = {"vae": 1500, "gan": 2000, "ddpm": 4500}
IMAGES = 6000
SCORED = 256
LABELS = 4
HOME = Path("data/demo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``demo train``."""
    told = ", ".join(STEPS)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of {told} (default: all of them)"
    )
    steps = ", ".join(f"{name} {n}" for name, n in STEPS.items())
    parser.add_argument("--steps", type=int, metavar="N", help=f"training steps (default: {steps})")
    parser.add_argument(
        "--images", type=int, metavar="N", default=IMAGES, help=f"phantoms (default: {IMAGES})"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", default=HOME, help=f"where to write (default: {HOME})"
    )
    parser.add_argument(
        "--score", action="store_true", help="score the checkpoints in DIR instead of training"
    )


def run(asked: argparse.Namespace) -> list[str]:
    """Train, or score, what was asked for; the lines say what was made.

    Raises
    ------
    ValueError
        For an unknown name, or fewer than one step or image.
    """
    chosen = list(dict.fromkeys(asked.names)) or list(STEPS)
    unknown = [name for name in chosen if name not in STEPS]
    if unknown:
        raise ValueError(f"demo generator was {unknown[0]!r}, must be one of {', '.join(STEPS)}")
    if asked.images < 1 or (asked.steps is not None and asked.steps < 1):
        raise ValueError(
            f"--images was {asked.images} and --steps {asked.steps}, both must be at least 1"
        )
    if asked.score:
        return score(asked.out, chosen)
    from nriqm_bench.demo.fitting import Pairs, fit

    pairs = Pairs.of_phantoms(asked.images, progress)
    lines = []
    for name in chosen:
        began = time.monotonic()
        steps = asked.steps or STEPS[name]
        model = fit(name, pairs, steps, progress)
        path = save(asked.out, name, model, {"trained_on": pairs.told, "steps": steps})
        sheet(path)
        minutes, megabytes = (time.monotonic() - began) / 60, path.stat().st_size / 1e6
        lines.append(f"{path}: {steps} steps, {minutes:.1f} minutes, {megabytes:.2f} MB")
    return lines


def progress(items: Iterable[Any], description: str, total: int) -> Iterable[Any]:
    """A bar on the terminal; when there is none, a line a minute."""
    from tqdm import tqdm

    interval = 0.5 if sys.stderr.isatty() else 60
    shown: Iterable[Any] = tqdm(items, description, total, mininterval=interval)
    return shown


def save(folder: Path, name: str, model: Any, metadata: dict[str, Any]) -> Path:
    """Write ``name.pt`` with weights in half precision and bring SHA256SUMS up to date."""
    from nriqm_bench import save_generator

    path = save_generator(
        folder / f"{name}.pt",
        model.half(),
        sampler={"chunk": 32},
        value_range=(0, 1),
        size=model.size,
        metadata=metadata,
    )
    write_sums(folder)
    return path


def write_sums(folder: Path) -> None:
    """Bring SHA256SUMS up to date with the checkpoints of a folder."""
    sums = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(folder.glob("*.pt"))
    ]
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="ascii")


def sheet(path: Path, columns: int = 12) -> Path:
    """Draw samples of a checkpoint with their masks, below held-out phantoms with theirs."""
    from nriqm_bench import load_generator

    each = 4  # slices of a subject
    real = phantoms("held-out", each * columns)
    real = real[np.arange(columns) * each + np.arange(columns) % each]
    fake = load_generator(path).sample(2 * columns, seed=0)
    rows = [
        strip(part)
        for part in (real, fake[np.arange(columns)], fake[np.arange(columns, 2 * columns)])
    ]
    drawn = path.with_suffix(".png")
    write_greys(drawn, np.concatenate(rows))
    return drawn


def write_greys(path: Path, sheet: NDArray[np.float32]) -> None:
    """A PNG of ``(height, width)`` in [0, 1], in 32 greys."""
    from PIL import Image

    greys = (sheet.clip(0, 1) * 31).round().astype(np.uint8)
    image = Image.fromarray(greys, mode="P")
    image.putpalette([round(level * 255 / 31) for level in range(32) for _ in range(3)])
    image.save(path, optimize=True)


def strip(data: ImageSet) -> NDArray[np.float32]:
    """Images side by side, above their masks."""
    masks = labels(data) / np.float32(LABELS - 1)
    pair = [np.concatenate(list(part), 1) for part in (data.images[:, 0], masks)]
    return np.concatenate(pair).astype(np.float32)


def score(folder: Path, names: Iterable[str], n: int = SCORED) -> list[str]:
    """What `n` samples of each checkpoint score beside `n` held-out phantoms, as a table."""
    from nriqm_bench import extractors, load_generator, metrics

    extract = extractors.get("efficientnet-lite0")()
    found = {part: phantoms(part, n) for part in ("train", "reference", "held-out")}
    spent = {"held-out": 0.0}
    for name in names:
        began = time.monotonic()
        found[name] = load_generator(folder / f"{name}.pt").sample(n, seed=0)
        spent[name] = time.monotonic() - began
    features = {name: extract(data.images) for name, data in found.items()}
    asked = ("fid", "precision", "recall", "coverage", "vendi", "train-share")
    lines = [f"{'':9}" + "".join(f"{word:>12}" for word in (*asked, "lesions", "images/s"))]
    for name, seconds in spent.items():
        told = metrics.evaluate(
            list(asked), features["reference"], features[name], train=features["train"]
        )
        lesions = float(labels(found[name]).any((1, 2)).mean())
        cells = [f"{told[metric]:12.3g}" for metric in asked]
        rate = f"{n / seconds:12.1f}" if seconds else f"{'-':>12}"
        lines.append(f"{name:9}" + "".join(cells) + f"{lesions:12.3f}{rate}")
    return lines


def phantoms(part: str, n: int) -> ImageSet:
    """The first `n` phantoms of a part, as the demo generators make them."""
    from nriqm_bench import datasets
    from nriqm_bench.demo.fitting import DATASET, SIZE

    data: ImageSet = datasets.get(DATASET)(n, seed=0, part=part, size=SIZE)
    return data


def labels(data: ImageSet) -> NDArray[np.uint8]:
    """The masks, which are always there."""
    assert data.masks is not None
    return data.masks
