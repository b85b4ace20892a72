"""What a report shows of the images of a run: samples, suspected copies, damage at rising levels.

Pictures are kept by content like features, so that they are made where the images are at hand.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nriqm_bench import cases, perturbations
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.provenance import rng_for
from nriqm_bench.reporting import Gate, Picture, Row
from nriqm_bench.reporting.summary import number

if TYPE_CHECKING:
    from nriqm_bench.experiment import Lab

T = TypeVar("T")

# Images of a sheet, suspected copies of a generator, and levels of a strip, at most.
SAMPLES, COPIES, LEVELS = 12, 6, 6

# The longest side of a picture: larger images are scaled down, strips are cut out.
SIDE = 128

# Brighter than air.
_TISSUE = 0.1

# Of the files: greys are within a few 255ths of the true ones, at a third of the bytes of PNG.
_QUALITY = 90


def of_run(lab: Lab, rows: Sequence[Row], gates: Sequence[Gate]) -> list[Picture]:
    """All pictures of a run, in the order in which a report shows them."""
    # Noise and blur are what the distance of a generator is told in.
    told = {row.case for row in rows} | {cases.GAUSSIAN_NOISE.name, cases.BLUR.name}
    shown = [name for name in cases.names() if name in told]
    return [
        *(samples(lab, source) for source in lab.sources),
        *(found for gate in sorted(gates, key=Gate.sort_key) for found in copies(lab, gate)),
        *(found for name in shown if (found := strip(lab, cases.get(name))) is not None),
    ]


def of_images_at_hand(lab: Lab) -> None:
    """Keep the samples of every source that was loaded: its generator may be slow."""
    for source in lab.sources:
        if lab.loaded(source):
            samples(lab, source)


def samples(lab: Lab, source: str) -> Picture:
    """Images of a source, evenly through the set: neighbours may be slices of one subject."""

    def found() -> dict[str, str]:
        images = lab.images(source).images
        chosen = _evenly(range(len(images)), SAMPLES)
        return {str(i): _file(_small(images[i])) for i in chosen}

    kept: dict[str, str] = _kept(lab, {"samples": SAMPLES, "of": lab.recipe(source)}, found)
    return Picture("samples", source, "", list(kept), list(kept.values()))


def copies(lab: Lab, gate: Gate) -> list[Picture]:
    """Of each pair of a gate that failed, the sample and the training and real images nearest it.

    One picture a pair, and no training image twice.
    """
    if gate.verdict != "fail":
        return []
    pairs: dict[int, Any] = {}
    for pair in gate.pairs:
        pairs.setdefault(pair["train"], pair)
    found = []
    for pair in list(pairs.values())[:COPIES]:
        recipe = {
            "copies": [pair["fake"], pair["train"], pair["real"]],
            "of": [lab.recipe(part) for part in (gate.generator, "train", "reference")],
        }
        images = _kept(lab, recipe, partial(_pair, lab, gate.generator, pair))
        labels = [
            f"sample {pair['fake']}",
            f"training image {pair['train']} ({pair['train_subject']}): distance "
            f"{number(pair['train_distance'])}",
            f"nearest other real image {pair['real']}: distance {number(pair['real_distance'])}",
        ]
        found.append(Picture("copies", gate.generator, gate.name, labels, images))
    return found


def strip(lab: Lab, case: Case) -> Picture | None:
    """One held-out image under a case at the levels of the run; None where sets are damaged.

    The image shows more than three in four do: of the head, or of the lesion or vessel where the
    case is about those, and then it is cut to it. The code is that of the case, with random numbers
    of its own.
    """
    perturbation = perturbations.get(case.perturbation)
    if perturbation.kind != "image" or lab.missing(case, HELD_OUT):
        return None
    levels = _evenly(lab.levels(case), LEVELS)
    recipe = {"strip": [lab.recipe(HELD_OUT, case, level) for level in levels]}
    images = _kept(lab, recipe, lambda: _damaged(lab, case, levels))
    labels = [f"{level:g} {perturbation.unit}".strip() for level in levels]
    return Picture("strip", HELD_OUT, case.name, labels, images)


def _kept(lab: Lab, recipe: dict[str, Any], files: Callable[[], Any]) -> Any:
    return lab.store.value({"pictures": recipe, "side": SIDE}, files)


def _pair(lab: Lab, generator: str, pair: Any) -> list[str]:
    chosen = ((generator, pair["fake"]), ("train", pair["train"]), ("reference", pair["real"]))
    return [_file(_small(lab.images(source).images[i])) for source, i in chosen]


def _damaged(lab: Lab, case: Case, levels: Sequence[float]) -> list[str]:
    given = lab.images(HELD_OUT)
    local = case.region and given.masks is not None
    shown = given.masks > 0 if local and given.masks is not None else given.images[:, 0] > _TISSUE
    place = _telling(shown)
    one = given[[place]]
    window = _window(shown[place] if local else None, one.spatial)
    perturbation = perturbations.get(case.perturbation)
    files = []
    for level in levels:
        rng = rng_for(lab.settings.seed, "strip", case.name)
        found = perturbation(one, level, rng, **case.options)
        files.append(_file(found.images[0][0][window]))
    return files


def _telling(shown: NDArray[np.bool_]) -> int:
    """The image that shows more than three in four of those that show anything."""
    areas = shown.reshape(len(shown), -1).sum(axis=1)
    order = np.argsort(areas, kind="stable")
    bearing = int((areas > 0).sum())
    return int(order[len(order) - max(1, bearing // 4)])


def _window(mask: NDArray[np.bool_] | None, spatial: Sequence[int]) -> tuple[slice, slice]:
    """At most `SIDE` pixels a side about the region, or half of the image if it fits; else all."""
    side = min(SIDE, *spatial)
    center = [length / 2 for length in spatial]
    if mask is not None and mask.any():
        where = np.argwhere(mask)
        low, high = where.min(axis=0), where.max(axis=0) + 1
        center = list((low + high) / 2)
        side = min(side, max(min(spatial) // 2, int((high - low).max()) + 16))
    starts = [
        int(np.clip(round(c - side / 2), 0, length - side))
        for c, length in zip(center, spatial, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _evenly(items: Sequence[T], most: int) -> list[T]:
    """The first, the last and what is evenly between; all where there are no more than `most`."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _small(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first channel, scaled so that its longest side is at most `SIDE`."""
    greys: NDArray[np.float32] = image[0]
    longest = max(greys.shape)
    if longest <= SIDE:
        return greys
    size = tuple(max(1, round(length * SIDE / longest)) for length in greys.shape[::-1])
    found: NDArray[np.float32] = np.asarray(
        Image.fromarray(greys).resize((size[0], size[1]), Image.Resampling.BOX), dtype=np.float32
    )
    return found


def _file(greys: NDArray[np.float32]) -> str:
    out = io.BytesIO()
    bytes_ = (greys.clip(0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(bytes_).save(out, "WEBP", quality=_QUALITY, method=6)
    return base64.b64encode(out.getvalue()).decode()
