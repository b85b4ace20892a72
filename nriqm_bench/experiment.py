"""The scorer: source x perturbation x extractor x metric -> `Curve`, each computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nriqm_bench import cases, extractors, generators, metrics, perturbations
from nriqm_bench.cases import HELD_OUT, Case
from nriqm_bench.dealing import deal
from nriqm_bench.evidence import Curve, Floor
from nriqm_bench.features import FeatureStore
from nriqm_bench.imagery import PARTS, Imagery, Progress, pooled
from nriqm_bench.provenance import environment, rng_for
from nriqm_bench.registry import UnknownName, unknown
from nriqm_bench.reporting import Agreement, Downstream, Gate, Picture, Row, Run
from nriqm_bench.settings import REMEDIES, Settings

if TYPE_CHECKING:
    from nriqm_bench.metrics import Sample

# Reports hold numbers: what is infinite (MiFID of a full copy) counts as this.
INFINITE = 1e12

# Copying is never judged in one space alone. Network features see noise and blur and lose a copy
# under them; pixels see through those and lose it under a flip; circular harmonics see through
# noise, blur, flips and rotations, but hardly see the copy in a blend, which pixels do.
HARMONICS, PIXELS = "circular-harmonics", "pixels"
COPY_SPACES = (HARMONICS, PIXELS)

# Feature spaces that see what whole-image features average away, by what the images show.
REMEDY_SPACES = {
    "lesion": ("lesion", "lesion-found", "efficientnet-lite0-maps"),
    "vessel": ("vessel", "vessel-found", "efficientnet-lite0-maps"),
}
# In them these speak for their families; all that can read a space are run where it was asked for.
REMEDY_METRICS = ("coverage", "density", "fid", "kid", "precision", "recall")

SPLITS = 100


class Lab(Imagery):
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
        super().__init__(settings, generators, store, progress)
        self._samples: dict[tuple[str, str], Sample] = {}
        self._scores: dict[tuple[str, str, str, float], dict[str, float]] = {}
        self._floors: dict[str, dict[str, Floor]] = {}
        self.notes: list[str] = []

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
        # Masks that are missing end the run at once, not each case for itself.
        for generator in loaded:
            if generator.needs_masks:
                lab.conditions(generator.name)
        for spec in lab.extractors:
            known = extractors.names()
            if (name := spec.partition(":")[0]) not in known:
                raise UnknownName(unknown("extractor", name, [*known, REMEDIES]))
            # A missing package ends the run at once, not each case for itself.
            getattr(extractors.get(name), "require", lambda: None)()
        _ = lab.metrics
        # Gates look at labs, and a lab at nothing but the names of gates.
        from nriqm_bench import gates

        gates.check(lab)
        return lab

    @cached_property
    def extractors(self) -> tuple[str, ...]:
        """The feature spaces of this run; `COPY_SPACES` are always among them."""
        found: list[str] = []
        for spec in self.settings.extractor:
            found += REMEDY_SPACES[self.dataset.region] if spec == REMEDIES else (spec,)
        return tuple(dict.fromkeys([*found, *COPY_SPACES]))

    @property
    def main(self) -> str:
        """The feature space that gates judge in: the first that was asked for by its own name."""
        return next((e for e in self.settings.extractor if e != REMEDIES), self.extractors[0])

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
        found = {name: metrics.get(name) for name in chosen}
        # The parts of a split are of about n images: subjects are never cut.
        room = self.settings.n / 1.2
        few = {n: m.min_samples for n, m in found.items() if m.min_samples > room}
        self.notes += [
            f"{name} was left out: it needs {least} images in every split, and n is "
            f"{self.settings.n}"
            for name, least in few.items()
        ]
        return tuple(n for n, m in found.items() if m.needs != "images" and n not in few)

    def metrics_in(self, extractor: str) -> tuple[str, ...]:
        """The metrics judged in one feature space: all that can read it, where it was asked for.

        Where it was not: memorisation in `COPY_SPACES`, and `REMEDY_METRICS` in the remedies.
        """
        name = extractor.partition(":")[0]
        gives = getattr(extractors.get(name), "gives", "features")
        remedy = self._is_remedy(extractor)

        def reads(metric: str) -> bool:
            found = metrics.get(metric)
            fits = not found.spaces or any(fnmatchcase(name, p) for p in found.spaces)
            asked = extractor in self.settings.extractor
            joins = metric in REMEDY_METRICS if remedy else asked or found.needs_train
            # A metric of one's own is tried in every space.
            return found.needs == gives and fits and (joins or (remedy and not found.builtin))

        return tuple(metric for metric in self.metrics if reads(metric))

    def spaces(self, case: Case) -> tuple[str, ...]:
        """The feature spaces in which a case is judged: those asked for, and who have a say.

        The remedies are for local damage; under noise they are judged for the noise equivalent.
        `COPY_SPACES` join where something is asked of memorisation.
        """
        local = bool(case.region) or case is cases.GAUSSIAN_NOISE

        def joins(space: str) -> bool:
            if self._is_remedy(space):
                return local
            return space in self.settings.extractor or any(
                case.expectation(metric, extractor=space).specified
                for metric in self.metrics_in(space)
            )

        return tuple(filter(joins, self.extractors))

    def _is_remedy(self, extractor: str) -> bool:
        return extractor in REMEDY_SPACES[self.dataset.region] and (
            extractor not in self.settings.extractor
        )

    def levels(self, case: Case) -> tuple[float, ...]:
        """The levels of `case` in this run."""
        return case.quick if self.settings.quick else case.levels

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
                    # The same draws along every sweep, so that only the images differ.
                    rng=self._rng("metric", extractor, source),
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
                splits = enumerate(self.splits())
                for i, (real, fake, train) in self._show(splits, f"noise floor, {extractor}"):
                    found = metrics.evaluate(
                        names,
                        metrics.Sample(pool[real]),
                        metrics.Sample(pool[fake]),
                        train=metrics.Sample(pool[train]),
                        rng=self._rng("floor", extractor, i),
                    )
                    for name, value in found.items():
                        values[name].append(_finite(value))
                return values

            found = self._cached(recipe, extractor, compute)
            self._floors[extractor] = {n: Floor(tuple(v)) for n, v in found.items()}
        return self._floors[extractor]

    def curve(self, case: Case, source: str, extractor: str, metric: str) -> Curve:
        """One metric along one case; the curves that it is compared with come along."""
        noise = cases.GAUSSIAN_NOISE
        levels = self.levels(case)
        local = cases.get(case.control_of) if case.control_of else None
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
            local=None if local is None else self.curve(local, source, extractor, metric),
        )

    def saturated(self, case: Case, source: str, extractor: str, metric: str) -> str:
        """Why a generator's metric cannot worsen by 3 floor SD any more; empty when it can.

        It is held against the worst value that real images reach along the same case.
        """
        if source == HELD_OUT or not case.expectation(metric, extractor=extractor).worsens:
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

    def run(
        self,
        rows: Sequence[Row],
        gates: Sequence[Gate],
        notes: Sequence[str] = (),
        downstream: Sequence[Downstream] = (),
        agreement: Sequence[Agreement] = (),
        pictures: Sequence[Picture] = (),
    ) -> Run:
        """The finished run, ready to be reported: equal runs give equal rows in equal order."""
        told = [note for g in self.generators.values() for note in g.notes]
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
            | {"noise_levels": list(self.levels(cases.GAUSSIAN_NOISE)), "floor_splits": SPLITS}
            | {"extractor_keys": self.extractor_keys()},
            rows=sorted(rows, key=Row.sort_key),
            gates=sorted(gates, key=Gate.sort_key),
            notes=[*self.notes, *told, *notes, *self.store.notes],
            downstream=sorted(downstream, key=Downstream.sort_key),
            agreement=sorted(agreement, key=Agreement.sort_key),
            pictures=list(pictures),
        )

    def splits(self) -> Iterable[tuple[NDArray[np.intp], ...]]:
        """The rows of the three parts, pooled in the order of `PARTS`, in `SPLITS` new ways.

        Each is reference, stand-in for the generator and training images, without a common subject.
        """
        subjects = pooled(self.subjects)
        for i in range(SPLITS):
            yield tuple(deal(subjects, len(PARTS), rng_for(self.settings.seed, "split", i)))

    def over_splits(
        self,
        recipe: Mapping[str, Any],
        statistic: Callable[[NDArray[np.intp], NDArray[np.intp]], float],
    ) -> list[float]:
        """``statistic(real, fake)`` of the rows of every split; training images count as real.

        Parameters
        ----------
        recipe
            What decides the values, as JSON types: they are cached by it. The first key says
            what they are, for the progress bar.
        statistic
            Of rows of the three parts, pooled in the order of `PARTS`.
        """

        def compute() -> list[float]:
            return [
                float(statistic(np.concatenate([real, train]), fake))
                for real, fake, train in self._show(self.splits(), next(iter(recipe)))
            ]

        values: list[float] = self.store.value(recipe, compute)
        return values

    def _against(self, extractor: str) -> dict[str, Any]:
        return {
            "extractor": self.extractor(extractor).key(),
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

    def _rng(self, what: str, extractor: str, *axes: object) -> np.random.Generator:
        """Random numbers by what they are for; spaces and generators by content, not by name."""
        names = [self.identity(a) if a in self.generators else a for a in axes]
        return rng_for(self.settings.seed, what, self.extractor(extractor).key(), *names)

    def _show(self, items: Iterable[Any], description: str) -> Iterable[Any]:
        return items if self.progress is None else self.progress(items, description, SPLITS)


def _finite(value: float) -> float:
    return float(np.clip(value, -INFINITE, INFINITE))


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken and name not in PARTS:
        return name
    return next(f"{name}-{i}" for i in range(2, 10_000) if f"{name}-{i}" not in taken)
