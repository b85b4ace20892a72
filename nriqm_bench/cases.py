"""The experiments as data: what is done to the images, and what a trustworthy metric must do.

Sources: "the paper" is Deo et al. 2025, "Metrics that matter", arXiv 2505.07175. Its levels are
not public: every level here is our own choice. `evidence` says how sure we are that a case is the
paper's: C certain, P probable, O our own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from nriqm_bench.evidence import Expectation, degrades, not_better, unspecified
from nriqm_bench.registry import Registry

HELD_OUT = "held-out"


@dataclass(frozen=True)
class BlindSpot:
    """A failure that is known beforehand: where (shell patterns), why, and who says so."""

    metric: str
    reason: str
    extractor: str = "*"
    source: str = "*"

    def covers(self, metric: str, extractor: str, source: str) -> bool:
        """Whether this entry speaks of that metric, extractor and source."""
        return (
            fnmatchcase(metric, self.metric)
            and fnmatchcase(extractor, self.extractor)
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
    summary, source
        What is done, in one line; where it comes from.
    blind
        Known blind spots.
    held_out_only
        The damage needs masks or sites, which samples do not have.
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
    options: Mapping[str, Any] = field(default_factory=dict)

    def expectation(self, metric: str, source: str = HELD_OUT) -> Expectation:
        """What `metric` must do here; `unspecified` when no pattern fits.

        On a generator's own images a little damage may really bring them nearer to real ones (a
        generator that is too sharp, blurred), so of `degrades` only the strongest level is asked.
        """
        for pattern, expectation in self.expect.items():
            if fnmatchcase(metric, pattern):
                steady = source == HELD_OUT or not expectation.worsens
                return expectation if steady else degrades(rank=-1.0)
        return unspecified("no expectation is stated for this metric in this case")

    def blind_spot(self, metric: str, extractor: str, source: str) -> BlindSpot | None:
        """The declared blind spot of `metric` here, if there is one."""
        return next((b for b in self.blind if b.covers(metric, extractor, source)), None)


_PAPER = "Deo et al. 2025 (arXiv 2505.07175); levels are ours"
_COPY_METRICS = (
    "authpct",
    "copy-rate",
    "ct",
    "fls",
    "fls-overfit",
    "memorisation-index",
    "mifid",
    "train-share",
)
_DIVERSITY_METRICS = ("clipped-coverage", "coverage", "recall", "vendi")
_REALISM_METRICS = ("clipped-density", "density", "precision", "realism")
_NOISE_AS_DIVERSITY = unspecified("noise can be read as diversity, so a rise is no fault")
_NOT_ABOUT_COPIES = unspecified(
    "a memorisation metric judges copying; noise moves every sample away from training images"
)
# Other images, not damaged ones: the difference of two draws has sqrt(2) times the floor's SD.
_NOT_REWARDED = not_better(effect=4.25)
_SIGMAS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_QUICK_SIGMAS = (0.0, 0.02, 0.05, 0.1, 0.2)


_FAINT = (
    BlindSpot(
        "inception-score",
        "ImageNet's classes name no anatomy (Barratt and Sharma 2018, arXiv 1801.01973)",
    ),
    *(
        BlindSpot(
            metric,
            "counts of neighbours are coarse: they do not order faint damage and stop at their "
            "end, so the rank over levels may miss .9 (Raisa et al. 2025, arXiv 2505.22450)",
        )
        for metric in ("*precision", "*density", "*coverage", "realism")
    ),
)


def _fidelity_falls() -> dict[str, Expectation]:
    return {
        "recall": _NOISE_AS_DIVERSITY,
        "vendi": _NOISE_AS_DIVERSITY,
        **dict.fromkeys(_COPY_METRICS, _NOT_ABOUT_COPIES),
        "*": degrades(),
    }


GAUSSIAN_NOISE = Case(
    name="gaussian-noise",
    experiment="N1",
    perturbation="gaussian-noise",
    levels=_SIGMAS,
    quick=_QUICK_SIGMAS,
    expect=_fidelity_falls(),
    blind=_FAINT,
    summary="white Gaussian noise is added to every image",
    source=_PAPER,
    evidence="P",
)
RICIAN_NOISE = Case(
    name="rician-noise",
    experiment="N3",
    perturbation="rician-noise",
    levels=_SIGMAS,
    quick=_QUICK_SIGMAS,
    expect=_fidelity_falls(),
    blind=_FAINT,
    summary="the magnitude noise of MR images is added to every image",
    source=_PAPER,
    evidence="P",
)
BLUR = Case(
    name="blur",
    experiment="A1",
    perturbation="blur",
    levels=(0.0, 0.4, 0.6, 1.0, 2.0),
    quick=(0.0, 1.0, 2.0),
    expect=_fidelity_falls()
    | {"vendi": unspecified("blur removes texture, which diversity may or may not count")},
    blind=_FAINT,
    summary="every image is smoothed by a Gaussian",
    source="our choice",
    evidence="O",
)
BOUNDARY_BLUR = Case(
    name="boundary-blur",
    experiment="L1",
    perturbation="boundary-blur",
    levels=(0.0, 1.0, 2.0, 4.0),
    quick=(0.0, 4.0),
    expect=_fidelity_falls(),
    summary="only the boundary of each tumour is smoothed",
    source=_PAPER,
    evidence="P",
    blind=(
        BlindSpot(
            "*",
            "features of the whole image average the tumour away (Deo et al. 2025); what is seen "
            "at all depends on n",
        ),
    ),
    held_out_only=True,
)
TRAINING_COPIES = Case(
    name="training-copies",
    experiment="M1",
    perturbation="training-copies",
    levels=(0.0, 0.05, 0.15, 0.3, 0.45, 1.0),
    quick=(0.0, 0.3, 1.0),
    expect={
        **dict.fromkeys(_COPY_METRICS, degrades()),
        # MiFID is FID until the mean distance falls below its threshold: it need not rise evenly.
        "mifid": degrades(rank=-1.0),
        "*": _NOT_REWARDED,
    },
    blind=(
        BlindSpot(
            "*",
            "training images are real, so copies look better than a generator's own images "
            "(Deo et al. 2025)",
            source="generator",
        ),
    ),
    summary="images are replaced by training images",
    source=f"{_PAPER}; shares of arXiv 2602.13066",
    evidence="P",
)
DUPLICATION = Case(
    name="internal-duplication",
    experiment="M3",
    perturbation="internal-duplication",
    levels=(0.0, 0.25, 0.5, 0.75, 0.9),
    quick=(0.0, 0.5, 0.9),
    expect={
        **dict.fromkeys(_DIVERSITY_METRICS, degrades()),
        **dict.fromkeys(
            _COPY_METRICS, unspecified("repeats of one's own images are not copies of training")
        ),
        **dict.fromkeys(
            _REALISM_METRICS, unspecified("repeats do not make an image less realistic")
        ),
        "*": _NOT_REWARDED,
    },
    summary="images are replaced by repeats of other images of the same set",
    source=_PAPER,
    evidence="P",
)
MODE_DROP = Case(
    name="mode-drop",
    experiment="D1",
    perturbation="mode-drop",
    levels=(0.0, 0.25, 0.5, 0.75, 1.0),
    quick=(0.0, 0.5, 1.0),
    expect={
        **dict.fromkeys(_DIVERSITY_METRICS, degrades()),
        **dict.fromkeys(
            _REALISM_METRICS, unspecified("the images that remain are as realistic as before")
        ),
        **dict.fromkeys(
            _COPY_METRICS, unspecified("the images that remain are no nearer to training")
        ),
        "*": _NOT_REWARDED,
    },
    blind=(
        BlindSpot(
            "*",
            "subjects differ more than sites do: at a few dozen subjects missing sites may drown "
            "in what differs between subjects",
        ),
    ),
    summary="images of some sites are replaced by repeats of the other sites'",
    source="our choice of mode; mode collapse is the paper's",
    evidence="P",
    held_out_only=True,
)

registry: Registry[Case] = Registry(
    "case",
    "nriqm_bench.cases",
    {
        case.name: f"nriqm_bench.cases:{attribute}"
        for attribute, case in list(globals().items())
        if isinstance(case, Case)
    },
)
get = registry.get
names = registry.names
register = registry.add
