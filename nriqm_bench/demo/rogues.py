"""The rogues' gallery: generators that are each wrong in one way, and a perfect one.

Each is a function ``(n, seed) -> ImageSet`` of the built-in phantoms, so that it can be named on
the command line: ``--generator nriqm_bench.demo.rogues:near_copier``. A rogue draws the subjects of
the perfect generator, whom no part of the run with that seed holds, and damages them; or it draws
the run's own training images.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nriqm_bench import datasets, perturbations
from nriqm_bench.generators import Generator
from nriqm_bench.images import ImageSet, concatenate
from nriqm_bench.provenance import rng_for
from nriqm_bench.registry import UnknownName, unknown

if TYPE_CHECKING:
    from nriqm_bench.datasets.source import Source

# Part of every cache key: raise it when a rogue would make other images.
VERSION = 1

SIZE = 128

# Of the near-copier: each is the lot of a fifth of its images.
DISGUISES = ("flip", "rotation-3", "rotation-5", "noise-.01", "noise-.02")
# Of the collapsed generator.
MODES = 5
# The only site that the generator of a wrong mix knows.
SITES = {"phantom-tumour": "site-1", "phantom-vessel": "Guys"}

Draw = Callable[..., ImageSet]


@dataclass(frozen=True)
class Rogue:
    """One generator of the gallery.

    Parameters
    ----------
    name
        As in the tables.
    draw
        ``(n, seed, dataset="...", size=128) -> ImageSet``.
    caught_by
        Patterns of the names of the gates of which one should fail; none for the perfect one.
    region
        What the real images must show: ``"lesion"``, ``"vessel"`` or, for either, nothing.
    """

    name: str
    draw: Draw
    caught_by: tuple[str, ...]
    region: str

    @property
    def wrong(self) -> str:
        """One line about what is wrong with it."""
        return (inspect.getdoc(self.draw) or "").partition("\n")[0].rstrip(".")


ROGUES: dict[str, Rogue] = {}


def names(dataset: str = "phantom-tumour") -> tuple[str, ...]:
    """The generators of the gallery that a dataset has, the perfect one first."""
    region = datasets.open(dataset).region
    return tuple(r.name for r in ROGUES.values() if r.region in ("", region))


def rogue(name: str, dataset: str = "phantom-tumour", size: int = SIZE, draw: int = 0) -> Generator:
    """A generator of the gallery.

    Parameters
    ----------
    name
        One of `names`.
    dataset
        A built-in phantom, that of the run: memorisers copy its training images.
    size
        Height and width of the images.
    draw
        Of the perfect generator: another number, other subjects, and a name that tells so.

    Raises
    ------
    KeyError
        For an unknown name.
    ValueError
        For a dataset that is no phantom or does not show what the rogue damages.
    """
    if name not in ROGUES:
        raise UnknownName(unknown("rogue", name, ROGUES))
    found, source = ROGUES[name], datasets.open(dataset)
    if not source.builtin or found.region not in ("", source.region):
        able = [d for d in sorted(datasets.PHANTOMS) if name in names(d)]
        raise ValueError(f"{name} cannot be made of {dataset!r}, must be of {' or '.join(able)}")
    options: dict[str, Any] = {"dataset": dataset, "size": size}
    if draw:
        if name != "perfect":
            raise ValueError(f"draw was {draw} for {name}, must be 0: only 'perfect' has more")
        options["draw"] = draw
    content = f"rogue:{VERSION}:{name}:{source.key()}:{draw}"
    return Generator(
        f"{name}-{draw + 1}" if draw else name,
        "rogue",
        functools.partial(found.draw, **options),
        content=hashlib.sha256(content.encode()).hexdigest(),
        chunk=None,
        size=(size, size),
        summary=found.wrong,
    )


def phantom(dataset: str) -> Source:
    """The built-in phantom of a specification.

    Raises
    ------
    ValueError
        For any other dataset.
    """
    found = datasets.open(dataset)
    if not found.builtin:
        raise ValueError(
            f"the dataset was {dataset!r}, must be one of {', '.join(sorted(datasets.PHANTOMS))}: "
            "rogues are made of subjects whom no part of the run holds"
        )
    return found


def _shown(*caught_by: str, region: str = "") -> Callable[[Draw], Draw]:
    """Hang a function in the gallery, under its name with dashes."""

    def hang(draw: Draw) -> Draw:
        name = draw.__name__.replace("_", "-")
        ROGUES[name] = Rogue(name, draw, caught_by, region)
        # What a generator named on the command line declares about its images.
        vars(draw)["size"] = (SIZE, SIZE)
        return draw

    return hang


@_shown()
def perfect(
    n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE, draw: int = 0
) -> ImageSet:
    """Nothing: fresh subjects of the same population, each drawn once.

    Parameters
    ----------
    n, seed
        As of the run: its training, reference and held-out images show none of these subjects.
    dataset, size
        A built-in phantom, and height and width of its images.
    draw
        Another number, other subjects.

    Returns
    -------
    ImageSet
        With masks, subjects and sites.
    """
    return _load(dataset, "held-out", n, _fresh(seed, draw), size)


@_shown("memorisation*")
def memoriser(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """Its images are the training images, in another order."""
    train = _load(dataset, "train", n, seed, size)
    return train[rng_for(seed, "memoriser").permutation(n)]


@_shown("memorisation*")
def near_copier(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """Training images, flipped, rotated by 3 or 5 degrees, or under noise of sigma .01 or .02."""
    train = _load(dataset, "train", n, seed, size)
    rng = rng_for(seed, "near-copier")
    lots = np.array_split(rng.permutation(n), len(DISGUISES))
    return concatenate(
        *(
            _damaged("training-copies", train[lot], 1.0, rng, train=train[lot], disguise=disguise)
            for lot, disguise in zip(lots, DISGUISES, strict=True)
            if len(lot)
        )
    )


@_shown("diversity")
def collapsed(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """The images of five subjects over and over, each time under other noise of sigma .01."""
    fresh = perfect(n, seed, dataset, size)
    assert fresh.subjects is not None
    kept = np.flatnonzero(np.isin(fresh.subjects, list(dict.fromkeys(fresh.subjects))[:MODES]))
    repeats = fresh[kept[np.arange(n) % len(kept)]]
    return _damaged("gaussian-noise", repeats, 0.01, rng_for(seed, "collapsed"))


@_shown("diversity")
def truncated(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """The tenth of the images that is nearest to their mean, over and over."""
    fresh = perfect(n, seed, dataset, size)
    return _damaged("truncation", fresh, 0.9, rng_for(seed, "truncated"))


@_shown("fidelity")
def noisy(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """Gaussian noise of sigma .2."""
    fresh = perfect(n, seed, dataset, size)
    return _damaged("gaussian-noise", fresh, 0.2, rng_for(seed, "noisy"))


@_shown("fidelity")
def blurry(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """Smoothed by a Gaussian of 3 px."""
    fresh = perfect(n, seed, dataset, size)
    return _damaged("blur", fresh, 3.0, rng_for(seed, "blurry"))


@_shown("anatomy*", region="lesion")
def lesion_eraser(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """Every lesion is painted over with healthy tissue, and its mask is empty."""
    fresh = perfect(n, seed, dataset, size)
    return _damaged("lesion-removal", fresh, 1.0, rng_for(seed, "lesion-eraser"))


@_shown("anatomy*", region="lesion")
def lesion_displacer(
    n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE
) -> ImageSet:
    """Every lesion, and its mask, lies in the middle of the image."""
    fresh = perfect(n, seed, dataset, size)
    healed = _damaged("lesion-removal", fresh, 1.0, rng_for(seed, "lesion-displacer"))
    assert fresh.masks is not None
    lesions, masks = fresh.images - healed.images, fresh.masks.copy()
    for i, mask in enumerate(fresh.masks):
        if mask.any():
            away = (np.array(mask.shape) - 1) / 2 - np.argwhere(mask).mean(axis=0)
            step = tuple(np.rint(away).astype(int).tolist())
            lesions[i], masks[i] = np.roll(lesions[i], step, (1, 2)), np.roll(mask, step, (0, 1))
    return fresh.replace(images=np.clip(healed.images + lesions, 0, 1), masks=masks)


@_shown("anatomy*", region="vessel")
def vessel_breaker(
    n: int, seed: int, dataset: str = "phantom-vessel", size: int = SIZE
) -> ImageSet:
    """Every segment of a vessel is interrupted, in the masks too."""
    fresh = perfect(n, seed, dataset, size)
    return _damaged("gaps", fresh, 1.0, rng_for(seed, "vessel-breaker"))


@_shown("sites*", "diversity")
def wrong_site(n: int, seed: int, dataset: str = "phantom-tumour", size: int = SIZE) -> ImageSet:
    """Fresh subjects of one site alone, of the five (or, of arteries, three) that there are."""
    kept: list[ImageSet] = []
    draw = 0
    while sum(map(len, kept)) < n:
        fresh = perfect(n, seed, dataset, size, draw)
        assert fresh.sites is not None
        own = fresh.sites == SITES[dataset]
        kept += [fresh[own]] if own.any() else []
        draw += 1
    return concatenate(*kept)[:n]


def _damaged(
    name: str, images: ImageSet, level: float, rng: np.random.Generator, **context: Any
) -> ImageSet:
    return perturbations.get(name)(images, level, rng, **context)


def _fresh(seed: int, draw: int) -> int:
    """The seed of phantoms that no run with `seed` sees: 63 bits of a sha256."""
    digest = hashlib.sha256(f"rogues:{seed}:{draw}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@functools.lru_cache(maxsize=6)
def _load(dataset: str, part: str, n: int, seed: int, size: int) -> ImageSet:
    """The phantoms of a part; kept, since all rogues of a run are made of the same ones."""
    return phantom(dataset).load(part, n, seed, size)
