"""Images and features of one run, each made once: dataset parts, samples, and both damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nriqm_bench import datasets, extractors, perturbations
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.features import FeatureStore, content_key, default_cache_dir
from nriqm_bench.provenance import code_digest, rng_for
from nriqm_bench.settings import Settings, SettingsError

if TYPE_CHECKING:
    from nriqm_bench.extractors import Extractor
    from nriqm_bench.generators import Generator
    from nriqm_bench.images import ImageSet

PARTS = ("train", "reference", HELD_OUT)

DEFAULT_SIZE = 128

# Damaged sets kept at a time: the levels of one case, which every feature space looks at in turn.
KEPT = 8

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


class Imagery:
    """Images and features by source (a part of the dataset, or a generator), made on demand.

    Parameters
    ----------
    settings
        What the run was asked to do.
    generators
        The loaded generators on trial; their names become sources beside ``held-out``.
    store
        Where features are kept; by default as `settings` says.
    progress
        ``(iterable, description, total) -> iterable``, for long steps.
    """

    def __init__(
        self,
        settings: Settings,
        generators: Sequence[Generator] = (),
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.settings = settings
        self.generators = {g.name: g for g in generators}
        self.store = store if store is not None else FeatureStore(_cache_dir(settings))
        self.progress = progress
        self.dataset = datasets.open(settings.dataset)
        self._images: dict[str, ImageSet] = {}
        self._perturbed: dict[tuple[str, str, float], ImageSet] = {}
        self._unfitted: dict[str, Any] = {}
        self._extractors: dict[str, Any] = {}
        self._size: int | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Where images come from: held-out real ones, then each generator."""
        return (HELD_OUT, *self.generators)

    @property
    def size(self) -> int:
        """Height and width of the images: the generators', to which real images are brought.

        Without generators: the dataset's own, or `DEFAULT_SIZE` where it has none.

        Raises
        ------
        SettingsError
            When generators differ or their images are not square.
        """
        if self._size is None:
            self._size = self._common_size()
        return self._size

    def _common_size(self) -> int:
        sizes: dict[str, tuple[int, ...]] = {}
        for name, generator in self.generators.items():
            if generator.needs_masks and generator.size is None:
                raise SettingsError(
                    f"{name} makes images from masks but does not say of which size; declare size"
                )
            sizes[name] = generator.size or generator.sample(1, self.settings.seed).spatial
        if not sizes:
            return self.dataset.size() or DEFAULT_SIZE
        found = set(sizes.values())
        if len(found) > 1 or len(shape := next(iter(found))) != 2 or shape[0] != shape[1]:
            told = ", ".join(f"{name} {shape}" for name, shape in sizes.items())
            raise SettingsError(
                f"the generators make images of shape {told}; all must be square, 2-D and of one "
                "size: run others in a run of their own"
            )
        return shape[0]

    def images(self, source: str) -> ImageSet:
        """The images of a part of the dataset (train, reference, held-out) or of a generator."""
        if source not in self._images:
            s = self.settings
            if source in PARTS:
                found = self.dataset.load(source, s.n, s.seed, self.size, progress=self.progress)
            else:
                generator = self.generators[source]
                masks = self.conditions(source) if generator.needs_masks else None
                found = generator.sample(s.n, s.seed, progress=self.progress, masks=masks)
            self._images[source] = found
        return self._images[source]

    def loaded(self, source: str) -> bool:
        """Whether `images` has them at hand."""
        return source in self._images

    def conditions(self, generator: str) -> NDArray[np.uint8]:
        """The masks that a generator which needs some makes its images from: the training part's.

        Raises
        ------
        SettingsError
            When the training images have none.
        """
        train = self.images("train")
        if train.masks is None:
            raise SettingsError(
                f"{generator} makes images from masks, but the training images of "
                f"{self.settings.dataset} have none; choose a dataset with masks"
            )
        self.generators[generator].note(
            "masks",
            f"{generator}: its images were made from the masks of {len(train)} training images",
        )
        return train.masks

    def recipe(self, source: str, case: Case | None = None, level: float = 0.0) -> dict[str, Any]:
        """What the images are made of, as content: equal recipes give equal images."""
        s = self.settings
        base: dict[str, Any] = {"n": s.n, "seed": s.seed, "code": code_digest()}
        if source in PARTS:
            base |= {"dataset": self.dataset.key(), "part": source, "size": self.size}
        else:
            base |= {"generator": self.generators[source].key()}
            if self.generators[source].needs_masks:
                base["masks"] = self.recipe("train")
        if case is None or level == 0:
            return base
        perturbation = perturbations.get(case.perturbation)
        made: dict[str, Any] = {
            "of": base,
            "perturbation": perturbation.name,
            "version": perturbation.version,
            "options": dict(case.options),
            "level": level,
            "draw": _draw(case),
            "seed": s.seed,
        }
        if "train" in perturbation.needs:
            made["train"] = self.recipe("train")
        return made

    def identity(self, source: str) -> str:
        """What a source is by content: a part by its name, a generator by its key."""
        return source if source in PARTS else self.generators[source].key()

    def perturbed(self, source: str, case: Case, level: float) -> ImageSet:
        """The images of `source` damaged as `case` says.

        All levels of one sweep see the same random numbers, so that only the level differs; so
        does a control and the local damage that it is compared with.
        """
        key = (source, case.name, level)
        if key not in self._perturbed:
            perturbation = perturbations.get(case.perturbation)
            context = dict(case.options)
            if "train" in perturbation.needs:
                context["train"] = self.images("train")
            rng = rng_for(self.settings.seed, "perturbation", _draw(case), self.identity(source))
            found = perturbation(self.images(source), level, rng, **context)
            while len(self._perturbed) >= KEPT:
                del self._perturbed[next(iter(self._perturbed))]
            self._perturbed[key] = found
        return self._perturbed[key]

    def features(
        self, source: str, extractor: str, case: Case | None = None, level: float = 0.0
    ) -> NDArray[np.float32]:
        """``(n, d)`` features of a source, damaged or not; computed once and cached by content."""
        return self.described(source, self.extractor(extractor), case, level)

    def described(
        self, source: str, extractor: Extractor, case: Case | None = None, level: float = 0.0
    ) -> NDArray[np.float32]:
        """`features` of an extractor that is no feature space of its own."""

        def make() -> ImageSet:
            return self.images(source) if case is None else self.perturbed(source, case, level)

        return self.store.features(extractor, self.recipe(source, case, level), make, self.progress)

    def extractor(self, spec: str) -> Any:
        """The extractor of a specification, fitted to the training images where it learns."""
        if spec not in self._extractors:
            found = self._opened(spec)
            if hasattr(found, "fit"):
                found = found.fit(content_key(self.recipe("train")), lambda: self.images("train"))
                if hasattr(found, "segmenter"):
                    found.segmenter.progress = self.progress
            self._extractors[spec] = found
        return self._extractors[spec]

    def _opened(self, spec: str) -> Any:
        if spec not in self._unfitted:
            self._unfitted[spec] = extractors.open(spec, device=self.settings.device)
        return self._unfitted[spec]

    def extractor_keys(self) -> dict[str, str]:
        """Of the extractors that were opened: a short hash of name, weights and preprocessing.

        Those that learn from the training images are told by dataset, seed and code.
        """
        opened = {spec: one for spec, one in self._unfitted.items() if not hasattr(one, "fit")}
        return {
            spec: hashlib.sha256(one.key().encode()).hexdigest()[:12]
            for spec, one in sorted(opened.items())
        }

    def missing(self, case: Case, source: str, extractor: str = "") -> str:
        """What the images of `source` lack for `case` in a feature space; empty when nothing."""
        if case.region and case.region != self.dataset.region:
            return f"{case.region}s"
        needs = perturbations.get(case.perturbation).needs & {"masks", "sites"}
        lacking = [name for name in (self.lacking(source) if needs else ()) if name in needs]
        return " and ".join(lacking) or (self.unreadable(source, extractor) if extractor else "")

    def unreadable(self, source: str, extractor: str) -> str:
        """What the images of `source`, or real ones, lack for a feature space; empty if nothing."""
        found = self._opened(extractor)
        if "masks" in getattr(found, "needs", ()):
            if "masks" in self.lacking(source):
                return "masks"
            # Where real images have none there is nothing to compare with.
            if any("masks" in self.lacking(part) for part in PARTS):
                return "real images with masks"
        if "masks" in getattr(found, "fit_needs", ()) and "masks" in self.lacking("train"):
            return "masks of training images"
        return ""

    def subjects(self, part: str) -> list[str]:
        """The subject of each image of a part of the dataset; images without one stand alone."""

        def compute() -> list[str]:
            found = self.images(part)
            if found.subjects is None:
                return [f"{part}-{i}" for i in range(len(found))]
            return [str(s) for s in found.subjects]

        subjects: list[str] = self.store.value({"subjects": self.recipe(part)}, compute)
        return subjects

    def sites(self, part: str) -> list[str]:
        """The site of each image of a part of the dataset; empty where sites are not known."""

        def compute() -> list[str]:
            found = self.images(part)
            return [] if found.sites is None else [str(s) for s in found.sites]

        sites: list[str] = self.store.value({"sites": self.recipe(part)}, compute)
        return sites

    def lacking(self, source: str) -> list[str]:
        """Of masks and sites, what the images of a source do not have (one site is none)."""

        def compute() -> list[str]:
            found = self.images(source)
            lacking = [name for name in ("masks", "sites") if getattr(found, name) is None]
            if found.sites is not None and len(set(found.sites.tolist())) < 2:
                lacking.append("sites")
            return lacking

        lacking: list[str] = self.store.value({"lacking": self.recipe(source)}, compute)
        return lacking


def pooled(of: Callable[[str], Sequence[str]]) -> list[str]:
    """What `of` says of the images of each part, in the order of `PARTS`."""
    return [told for part in PARTS for told in of(part)]


def _draw(case: Case) -> str:
    """What the random numbers of a case are drawn for."""
    return case.control_of or case.name


def _cache_dir(settings: Settings) -> Path | None:
    if settings.cache == "off":
        return None
    return Path(settings.cache) if settings.cache else default_cache_dir()
