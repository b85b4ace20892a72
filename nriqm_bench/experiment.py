"""The scorer: source x perturbation x extractor x metric -> `Curve`, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nriqm_bench import cases, datasets, extractors, generators, metrics, perturbations
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.evidence import Curve, Floor
from nriqm_bench.features import FeatureStore, default_cache_dir
from nriqm_bench.provenance import code_digest, environment, rng_for
from nriqm_bench.registry import UnknownName, unknown
from nriqm_bench.reporting import Gate, Row, Run
from nriqm_bench.settings import Settings, SettingsError

if TYPE_CHECKING:
    from nriqm_bench.images import ImageSet
    from nriqm_bench.metrics import Sample

PARTS = ("train", "reference", HELD_OUT)

# Reports hold numbers: what is infinite (MiFID of a full copy) counts as this.
INFINITE = 1e12

# Copying is never judged in one space alone: pixels see through noise and blur, which network
# features do not; network features see flips, which pixels do not.
PIXELS = "pixels"

DEFAULT_SIZE = 128
SPLITS = 100

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]


class Lab:
    """Everything one run needs to score a metric on a source, computed on demand and kept.

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
        generators: Sequence[generators.Generator] = (),
        store: FeatureStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.settings = settings
        self.generators = {g.name: g for g in generators}
        self.store = store if store is not None else FeatureStore(_cache_dir(settings))
        self.progress = progress
        self.dataset = datasets.open(settings.dataset)
        self._images: dict[str, ImageSet] = {}
        self._extractors: dict[str, Any] = {}
        self._samples: dict[tuple[str, str], Sample] = {}
        self._scores: dict[tuple[str, str, str, float], dict[str, float]] = {}
        self._floors: dict[str, dict[str, Floor]] = {}

    @classmethod
    def open(cls, settings: Settings, progress: Progress | None = None) -> Lab:
        """Load the generators that `settings` names and check every name in it.

        Raises
        ------
        ValueError, KeyError
            For a checkpoint that cannot be loaded, or an unknown dataset, metric or extractor.
        """
        loaded: list[Any] = []
        for path in settings.generator:
            generator = generators.load_generator(
                path,
                trust=settings.trust,
                architecture=settings.architecture,
                device=settings.device,
            )
            generator.name = _unique(generator.name, {HELD_OUT, *(g.name for g in loaded)})
            loaded.append(generator)
        lab = cls(settings, loaded, progress=progress)
        for spec in settings.extractor:
            known = extractors.names()
            if (name := spec.partition(":")[0]) not in known:
                raise UnknownName(unknown("extractor", name, known))
            # A missing package ends the run at once, not each case for itself.
            getattr(extractors.get(name), "require", lambda: None)()
        _ = lab.metrics
        return lab

    @property
    def sources(self) -> tuple[str, ...]:
        """Where images come from: held-out real ones, then each generator."""
        return (HELD_OUT, *self.generators)

    @property
    def extractors(self) -> tuple[str, ...]:
        """The feature spaces of this run; pixels are always among them, for memorisation."""
        asked = self.settings.extractor
        return asked if PIXELS in asked else (*asked, PIXELS)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of this run that match ``--nriqm-metric``; those of images are left out."""
        known = metrics.names()
        chosen = []
        for pattern in self.settings.metric:
            matched = [name for name in known if fnmatchcase(name, pattern)]
            if not matched:
                raise UnknownName(unknown("metric", pattern, known))
            chosen += matched
        return tuple(n for n in dict.fromkeys(chosen) if metrics.get(n).needs != "images")

    def metrics_in(self, extractor: str) -> tuple[str, ...]:
        """The metrics judged in one feature space: all that can read it, where it was asked for.

        Where it was not, memorisation only.
        """
        name = extractor.partition(":")[0]
        gives = getattr(extractors.get(name), "gives", "features")

        def reads(metric: str) -> bool:
            found = metrics.get(metric)
            fits = not found.spaces or any(fnmatchcase(name, p) for p in found.spaces)
            asked = extractor in self.settings.extractor or found.needs_train
            return found.needs == gives and fits and asked

        return tuple(metric for metric in self.metrics if reads(metric))

    def levels(self, case: Case) -> tuple[float, ...]:
        """The levels of `case` in this run."""
        return case.quick if self.settings.quick else case.levels

    @cached_property
    def size(self) -> int:
        """Height and width of the images: the generators', to which real images are brought.

        Without generators: the dataset's own, or `DEFAULT_SIZE` where it has none.

        Raises
        ------
        SettingsError
            When generators differ or their images are not square.
        """
        sizes: dict[str, tuple[int, ...]] = {}
        for name, generator in self.generators.items():
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
                found = self.generators[source].sample(s.n, s.seed, progress=self.progress)
            self._images[source] = found
        return self._images[source]

    def recipe(self, source: str, case: Case | None = None, level: float = 0.0) -> dict[str, Any]:
        """What the images are made of, as content: equal recipes give equal images."""
        s = self.settings
        base: dict[str, Any] = {"n": s.n, "seed": s.seed, "code": code_digest()}
        if source in PARTS:
            base |= {"dataset": self.dataset.key(), "part": source, "size": self.size}
        else:
            base |= {"generator": self.generators[source].key()}
        if case is None or level == 0:
            return base
        perturbation = perturbations.get(case.perturbation)
        made: dict[str, Any] = {
            "of": base,
            "perturbation": perturbation.name,
            "version": perturbation.version,
            "options": dict(case.options),
            "level": level,
            "seed": s.seed,
        }
        if "train" in perturbation.needs:
            made["train"] = self.recipe("train")
        return made

    def perturbed(self, source: str, case: Case, level: float) -> ImageSet:
        """The images of `source` damaged as `case` says.

        All levels of one sweep see the same random numbers, so that only the level differs.
        """
        perturbation = perturbations.get(case.perturbation)
        context = dict(case.options)
        if "train" in perturbation.needs:
            context["train"] = self.images("train")
        rng = rng_for(self.settings.seed, "perturbation", case.name, source)
        return perturbation(self.images(source), level, rng, **context)

    def features(
        self, source: str, extractor: str, case: Case | None = None, level: float = 0.0
    ) -> NDArray[np.float32]:
        """``(n, d)`` features of a source, damaged or not; computed once and cached by content."""

        def make() -> ImageSet:
            return self.images(source) if case is None else self.perturbed(source, case, level)

        return self.store.features(
            self._extractor(extractor), self.recipe(source, case, level), make, self.progress
        )

    def sample(self, source: str, extractor: str) -> Sample:
        """The undamaged features of a source, with the statistics that metrics share."""
        key = (source, extractor)
        if key not in self._samples:
            self._samples[key] = metrics.Sample(self.features(source, extractor))
        return self._samples[key]

    def scores(self, case: Case, source: str, extractor: str, level: float) -> dict[str, float]:
        """Every metric of this run at one level of one case."""
        key = (case.name if level else "", source, extractor, level)
        if key not in self._scores:
            recipe = {"scores": self.recipe(source, case, level)} | self._against(extractor)

            def compute(names: Sequence[str]) -> dict[str, float]:
                fake = (
                    metrics.Sample(self.features(source, extractor, case, level))
                    if level
                    else self.sample(source, extractor)
                )
                values = metrics.evaluate(
                    names,
                    self.sample("reference", extractor),
                    fake,
                    train=self.sample("train", extractor),
                    rng=rng_for(self.settings.seed, "metric", *key),
                )
                return {name: _finite(value) for name, value in values.items()}

            self._scores[key] = self._cached(recipe, extractor, compute)
        return self._scores[key]

    def floors(self, extractor: str) -> dict[str, Floor]:
        """Each metric's noise floor: its values when fresh real images replace the generator's.

        The three real parts are pooled and split anew by subject, `SPLITS` times, into reference,
        stand-in for the generator and training images, each of about the size on trial (no
        subject is ever cut in two).
        """
        if extractor not in self._floors:
            recipe = {"floor": SPLITS} | self._against(extractor)

            def compute(names: Sequence[str]) -> dict[str, list[float]]:
                pool = np.concatenate([self.features(part, extractor) for part in PARTS])
                values: dict[str, list[float]] = {name: [] for name in names}
                splits = enumerate(self._splits())
                for i, (real, fake, train) in self._show(splits, f"noise floor, {extractor}"):
                    found = metrics.evaluate(
                        names,
                        metrics.Sample(pool[real]),
                        metrics.Sample(pool[fake]),
                        train=metrics.Sample(pool[train]),
                        rng=rng_for(self.settings.seed, "floor", extractor, i),
                    )
                    for name, value in found.items():
                        values[name].append(_finite(value))
                return values

            found = self._cached(recipe, extractor, compute)
            self._floors[extractor] = {n: Floor(tuple(v)) for n, v in found.items()}
        return self._floors[extractor]

    def curve(self, case: Case, source: str, extractor: str, metric: str) -> Curve:
        """One metric along one case; its noise curve comes along for the noise equivalent."""
        noise = cases.GAUSSIAN_NOISE
        levels = self.levels(case)
        perturbation = perturbations.get(case.perturbation)
        return Curve(
            levels=levels,
            values=tuple(self.scores(case, source, extractor, v)[metric] for v in levels),
            floor=self.floors(extractor)[metric],
            higher_is_better=bool(metrics.get(metric).higher_is_better),
            metric=metric,
            perturbation=case.perturbation,
            unit=perturbation.unit,
            noise=None if case is noise else self.curve(noise, source, extractor, metric),
        )

    def missing(self, case: Case, source: str) -> str:
        """What the images of `source` lack that `case` needs (masks, sites); empty when nothing."""
        needs = perturbations.get(case.perturbation).needs & {"masks", "sites"}
        if not needs:
            return ""

        def compute() -> list[str]:
            found = self.images(source)
            lacking = [name for name in ("masks", "sites") if getattr(found, name) is None]
            if found.sites is not None and len(set(found.sites.tolist())) < 2:
                lacking.append("sites")
            return lacking

        lacking: list[str] = self.store.value({"lacking": self.recipe(source)}, compute)
        return " and ".join(name for name in lacking if name in needs)

    def saturated(self, case: Case, source: str, extractor: str, metric: str) -> str:
        """Why a generator's metric cannot worsen by 3 floor SD any more; empty when it can.

        It is held against the worst value that real images reach along the same case.
        """
        if source == HELD_OUT or not case.expectation(metric).worsens:
            return ""
        real = self.curve(case, HELD_OUT, extractor, metric)
        own = self.scores(case, source, extractor, 0.0)[metric]
        worst = real.values[int(np.argmax(real.effects))]
        left = own - worst if real.higher_is_better else worst - own
        if left >= 3 * real.floor.sd:
            return ""
        return (
            f"{metric} of {source} is {own:.4g} before any damage, within 3 floor SD of the worst "
            f"that real images reach ({worst:.4g})"
        )

    def subjects(self, part: str) -> list[str]:
        """The subject of each image of a part of the dataset; images without one stand alone."""

        def compute() -> list[str]:
            found = self.images(part)
            if found.subjects is None:
                return [f"{part}-{i}" for i in range(len(found))]
            return [str(s) for s in found.subjects]

        subjects: list[str] = self.store.value({"subjects": self.recipe(part)}, compute)
        return subjects

    def run(self, rows: Sequence[Row], gates: Sequence[Gate]) -> Run:
        """The finished run, ready to be reported: equal runs give equal rows in equal order."""
        notes = [note for g in self.generators.values() for note in g.notes]
        return Run(
            environment=environment(),
            generator=[
                {"name": g.name, "kind": g.kind, "key": g.key(), "describe": g.describe()}
                for g in self.generators.values()
            ],
            dataset={
                "spec": self.dataset.spec if self.dataset.builtin else self.dataset.describe(),
                "key": self.dataset.key(),
                "describe": self.dataset.describe(),
                "size": self.size,
            },
            settings=self.settings.as_dict()
            | {"noise_levels": list(self.levels(cases.GAUSSIAN_NOISE)), "floor_splits": SPLITS},
            rows=sorted(rows, key=Row.sort_key),
            gates=sorted(gates, key=Gate.sort_key),
            notes=[*notes, *self.store.notes],
        )

    def _splits(self) -> Iterable[tuple[NDArray[np.intp], ...]]:
        labels = np.concatenate([np.asarray(self.subjects(part)) for part in PARTS])
        _, owner = np.unique(labels, return_inverse=True)
        n = len(owner)
        for i in range(SPLITS):
            place = rng_for(self.settings.seed, "split", i).permutation(owner.max() + 1)[owner]
            rows = np.argsort(place, kind="stable")
            starts = np.flatnonzero(np.diff(place[rows])) + 1
            first = starts[np.argmin(np.abs(starts[:-1] - n / 3))]
            later = starts[starts > first]
            second = later[np.argmin(np.abs(later - 2 * n / 3))]
            yield rows[:first], rows[first:second], rows[second:]

    def _against(self, extractor: str) -> dict[str, Any]:
        return {
            "extractor": self._extractor(extractor).key(),
            "parts": [self.recipe(part) for part in PARTS],
        }

    def _cached(
        self,
        recipe: Mapping[str, Any],
        extractor: str,
        compute: Callable[[Sequence[str]], dict[str, Any]],
    ) -> dict[str, Any]:
        """Scores by recipe; a metric from elsewhere may change unseen and is never cached."""
        names = self.metrics_in(extractor)
        own = [name for name in names if metrics.get(name).builtin]
        others = [name for name in names if name not in own]

        def alone(names: Sequence[str]) -> dict[str, Any]:
            # One BLAS thread: the same bits everywhere, and at these sizes the fastest.
            with threadpool_limits(1):
                return compute(names)

        found = self.store.value({**recipe, "metrics": own}, lambda: alone(own)) if own else {}
        return {**found, **(alone(others) if others else {})}

    def _extractor(self, spec: str) -> Any:
        if spec not in self._extractors:
            self._extractors[spec] = extractors.open(spec, device=self.settings.device)
        return self._extractors[spec]

    def _show(self, items: Iterable[Any], description: str) -> Iterable[Any]:
        return items if self.progress is None else self.progress(items, description, SPLITS)


def _finite(value: float) -> float:
    return float(np.clip(value, -INFINITE, INFINITE))


def _cache_dir(settings: Settings) -> Path | None:
    if settings.cache == "off":
        return None
    return Path(settings.cache) if settings.cache else default_cache_dir()


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken and name not in PARTS:
        return name
    return next(f"{name}-{i}" for i in range(2, 10_000) if f"{name}-{i}" not in taken)
