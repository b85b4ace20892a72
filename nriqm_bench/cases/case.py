"""`Case`: one experiment as data; `BlindSpot`: a failure that is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from nriqm_bench.evidence import Expectation, degrades, unspecified

HELD_OUT = "held-out"


@dataclass(frozen=True)
class BlindSpot:
    """A failure that is known beforehand: where (shell patterns), why, and who says so.

    Parameters
    ----------
    metric
        Pattern of the metrics.
    reason
        Why, with the source.
    extractor
        Pattern of the feature spaces.
    source
        ``held-out``, ``generator`` or a pattern of both.
    spared
        Patterns of the feature spaces in which nothing is excused.
    """

    metric: str
    reason: str
    extractor: str = "*"
    source: str = "*"
    spared: tuple[str, ...] = ()

    def covers(self, metric: str, extractor: str, source: str) -> bool:
        """Whether this entry speaks of that metric, extractor and source."""
        return (
            fnmatchcase(metric, self.metric)
            and fnmatchcase(extractor, self.extractor)
            and not any(fnmatchcase(extractor, pattern) for pattern in self.spared)
            and fnmatchcase("held-out" if source == HELD_OUT else "generator", self.source)
        )


@dataclass(frozen=True)
class Case:
    """One experiment: a perturbation at rising levels and what each metric must do.

    Parameters
    ----------
    name, experiment, evidence
        Its name, its id in docs/cases.md and how sure it is the paper's (C, P or O).
    perturbation, levels, options
        A name in `nriqm_bench.perturbations`, the levels (0 first) and its fixed options.
    quick
        The levels of ``--nriqm-quick``.
    expect
        Metric pattern to expectation; the first that fits counts.
    elsewhere
        Extractor pattern to the expectation that holds there for every metric instead.
    summary, source
        What is done, in one line; where it comes from.
    blind
        Known blind spots.
    held_out_only
        The damage needs masks or sites, which samples do not have, or says nothing more when it is
        done to samples too.
    region
        What the images must show: ``"lesion"``, ``"vessel"`` or empty for anything.
    control_of
        The name of the local case with which this one is compared.
    """

    name: str
    experiment: str
    perturbation: str
    levels: tuple[float, ...]
    quick: tuple[float, ...]
    expect: Mapping[str, Expectation]
    summary: str
    source: str
    evidence: str
    blind: tuple[BlindSpot, ...] = ()
    held_out_only: bool = False
    region: str = ""
    control_of: str = ""
    elsewhere: Mapping[str, Expectation] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def expectation(self, metric: str, source: str = HELD_OUT, extractor: str = "") -> Expectation:
        """What `metric` must do here; `unspecified` when no pattern fits.

        On a generator's own images a little damage may really bring them nearer to real ones (a
        generator that is too sharp, blurred), so of `degrades` only the strongest level is asked.
        """
        for pattern, expectation in self.elsewhere.items():
            if fnmatchcase(extractor, pattern):
                return expectation
        for pattern, expectation in self.expect.items():
            if fnmatchcase(metric, pattern):
                steady = source == HELD_OUT or not expectation.worsens
                return expectation if steady else degrades(rank=-1.0)
        return unspecified("no expectation is stated for this metric in this case")

    def blind_spot(self, metric: str, extractor: str, source: str) -> BlindSpot | None:
        """The declared blind spot of `metric` here, if there is one."""
        return next((b for b in self.blind if b.covers(metric, extractor, source)), None)
