"""The experiments as data: well formed, found by name, and demanding what they should."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from nriqm_bench import cases, perturbations
from nriqm_bench.cases import HELD_OUT, BlindSpot, Case
from nriqm_bench.cases.claims import COPY_METRICS
from nriqm_bench.evidence import Curve, Floor, degrades, flat, unspecified

NAMES = tuple(cases.names())
# Every row of the paper's experiments has its cases.
EXPERIMENTS = {
    "N1": ["gaussian-noise"],
    "N2": ["poisson-noise"],
    "N3": ["rician-noise"],
    "A1": [
        "bias-field", "blur", "elastic", "gamma", "ghosting", "gibbs", "motion", "spike",
        "translation",
    ],
    "L1": ["boundary-blur"],
    "L2": ["lesion-tilt"],
    "L3": ["lesion-displacement", "lesion-growth", "lesion-removal", "lesion-shrinkage"],
    "L4": [
        "boundary-blur-control", "lesion-displacement-control", "lesion-removal-control",
        "lesion-tilt-control", "stenosis-control",
    ],
    "V1": ["dilation", "gaps", "missing-branches", "stenosis"],
    "M1": ["training-copies"],
    "M2": [
        "copies-blend", "copies-blur", "copies-flip", "copies-intensity", "copies-noise-01",
        "copies-noise-02", "copies-rotation-3", "copies-rotation-5",
    ],
    "M3": ["internal-duplication"],
    "D1": ["lesion-mode-drop", "mode-drop"],
    "D2": ["density-shift"],
    "D3": ["truncation"],
}  # fmt: skip
SUITE = Path(__file__).parents[2] / "benchmarks"
FIDELITY = ("fid", "kid", "precision", "density", "coverage")
DIVERSITY = ("recall", "coverage", "vendi")


def judged(case, metric, effects):
    """Whether a metric that moved by `effects` floor SD does what `case` demands; None for any."""
    expectation = cases.get(case).expectation(metric)
    curve = Curve(tuple(range(len(effects))), effects, Floor((-1, 0, 1)), False)
    return bool(curve.meets(expectation)) if expectation.specified else None


WORSE, SAME, BETTER = (0, 1, 2, 9), (0, 0.1, 0, 0.1), (0, -1, -2, -9)


def example(**changes):
    return Case(
        **{
            "name": "example",
            "experiment": "X1",
            "perturbation": "blur",
            "levels": (0.0, 1.0),
            "quick": (0.0, 1.0),
            "expect": {"k*": flat(5), "fid": degrades(4), "f*": degrades(2), "fls": flat(7)},
            "summary": "an example",
            "source": "none",
            "evidence": "O",
        }
        | changes
    )


def test_names_are_the_promised_ones():
    found = {}
    for name in NAMES:
        found.setdefault(cases.get(name).experiment, []).append(name)
    assert found == EXPERIMENTS
    with pytest.raises(KeyError, match="unknown case 'blurr'; did you mean 'blur'"):
        cases.get("blurr")


@pytest.mark.parametrize("name", NAMES)
def test_a_case_is_well_formed(name):
    case = cases.get(name)
    assert case.name == name
    assert case.levels[0] == 0
    assert all(a < b for a, b in itertools.pairwise(case.levels))
    assert all(math.isfinite(level) for level in case.levels)
    assert 2 <= len(case.quick) < len(case.levels)
    assert set(case.quick) <= set(case.levels)
    assert list(case.quick) == sorted(case.quick)
    assert (case.quick[0], case.quick[-1]) == (case.levels[0], case.levels[-1])
    assert case.evidence in ("C", "P", "O")
    assert case.summary
    assert case.source
    assert next(reversed(case.expect)) == "*", "every metric must be spoken of"
    for expectation in case.expect.values():
        assert expectation.specified or expectation.reason


@pytest.mark.parametrize("name", NAMES)
def test_a_case_can_be_run(name):
    """Its perturbation exists, takes its levels, and needs what the case says."""
    case = cases.get(name)
    perturbation = perturbations.get(case.perturbation)
    low, high = perturbation.range
    assert low <= case.levels[0] <= case.levels[-1] <= high
    assert perturbation.unit
    assert case.held_out_only or not perturbation.needs & {"masks", "sites"}
    assert case.region in ("", "lesion", "vessel")
    if case.region:
        assert "masks" in perturbation.needs
    if case.control_of:
        local = cases.get(case.control_of)
        assert (case.levels, case.region) == (local.levels, local.region)
        assert case.options["of"] == local.perturbation


@pytest.mark.parametrize("name", NAMES)
def test_the_suite_runs_every_case_once(name):
    text = "".join(path.read_text() for path in SUITE.glob("test_*.py"))
    assert text.count(f'"{name}"') == 1


def test_blind_spots_of_whole_images_excuse_nothing_in_the_region():
    spot = cases.get("boundary-blur").blind[0]
    assert spot.covers("fid", "efficientnet-lite0", HELD_OUT)
    assert not spot.covers("fid", "lesion", HELD_OUT)
    assert not spot.covers("fid", "vessel-found", HELD_OUT)


@pytest.mark.parametrize("name", [n for names in EXPERIMENTS.values() for n in names])
def test_blind_spots_name_their_source_or_cause(name):
    for spot in cases.get(name).blind:
        assert len(spot.reason) > 30


def test_a_control_must_not_outweigh_its_local_damage():
    expectation = cases.get("boundary-blur-control").expectation("fid")
    floor = Floor((-1, 0, 1))
    local = Curve((0, 1), (0, 9), floor, False)

    def met(end):
        return bool(Curve((0, 1), (0, end), floor, False, local=local).meets(expectation))

    assert met(9)
    assert met(0)
    assert not met(10)


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_is_reached(name):
    """An expectation behind a pattern that already covers it would never be looked at."""
    case = cases.get(name)
    for pattern, expectation in case.expect.items():
        assert case.expectation(pattern if pattern != "*" else "zzz") is expectation


@pytest.mark.parametrize(
    "name", [n for e in ("N1", "N2", "N3", "A1", "L1", "L2", "L3", "V1") for n in EXPERIMENTS[e]]
)
def test_damage_must_worsen_fidelity(name):
    for metric in FIDELITY:
        assert judged(name, metric, WORSE) is True
        assert judged(name, metric, SAME) is False
        assert judged(name, metric, BETTER) is False
    for metric in ("vendi", "authpct", "train-share"):
        assert judged(name, metric, BETTER) is None


@pytest.mark.parametrize("name", [*EXPERIMENTS["M1"], *EXPERIMENTS["M2"]])
def test_copies_must_be_seen_by_memorisation_metrics_and_rewarded_by_none(name):
    for metric in ("authpct", "train-share"):
        assert judged(name, metric, WORSE) is True
        assert judged(name, metric, SAME) is False
    for metric in (*FIDELITY, "recall", "vendi", "any-other"):
        assert judged(name, metric, SAME) is True
        assert judged(name, metric, WORSE) is True
        assert judged(name, metric, BETTER) is False


@pytest.mark.parametrize("name", [*EXPERIMENTS["M1"], *EXPERIMENTS["M2"]])
def test_circular_harmonics_are_excused_for_a_blend_alone(name):
    case = cases.get(name)
    excused = {m for m in COPY_METRICS if case.blind_spot(m, "circular-harmonics", HELD_OUT)}
    assert excused == ({"fls", "match-rate"} if name == "copies-blend" else set())


def test_another_mix_of_sites_must_be_seen_by_distances_and_not_by_support():
    assert judged("density-shift", "fid", WORSE) is True
    assert judged("density-shift", "fid", SAME) is False
    assert judged("density-shift", "precision", SAME) is True
    assert judged("density-shift", "precision", WORSE) is False
    assert judged("density-shift", "authpct", WORSE) is None


@pytest.mark.parametrize("name", ["internal-duplication", "mode-drop", "truncation"])
def test_lost_diversity_must_be_seen_and_rewarded_by_none(name):
    for metric in DIVERSITY:
        assert judged(name, metric, WORSE) is True
        assert judged(name, metric, SAME) is False
    for metric in ("fid", "kid"):
        assert judged(name, metric, SAME) is True
        assert judged(name, metric, BETTER) is False
    for metric in ("precision", "density", "authpct", "train-share"):
        assert judged(name, metric, BETTER) is None


def test_a_generators_own_images_are_spared_most_cases():
    assert {n for n in NAMES if not cases.get(n).held_out_only} == {
        "blur", "gaussian-noise", "internal-duplication", "rician-noise", "training-copies"
    }  # fmt: skip


def test_the_first_pattern_that_fits_counts():
    case = example()
    assert case.expectation("kid") == flat(5)
    assert case.expectation("fid") == degrades(4)
    assert case.expectation("frd") == degrades(2)
    assert case.expectation("fls") == degrades(2)
    assert case.expectation("FID").specified is False


def test_a_metric_that_no_pattern_fits_is_unspecified():
    found = example().expectation("vendi")
    assert found == unspecified("no expectation is stated for this metric in this case")


def test_blind_spots_say_where():
    spot = BlindSpot("k*", "why", extractor="pix*", source="generator")
    assert spot.covers("kid", "pixels", "credible")
    assert not spot.covers("fid", "pixels", "credible")
    assert not spot.covers("kid", "inception", "credible")
    assert not spot.covers("kid", "pixels", HELD_OUT)
    assert BlindSpot("kid", "why", source="held-out").covers("kid", "pixels", HELD_OUT)
    assert not BlindSpot("kid", "why", source="held-out").covers("kid", "pixels", "credible")
    anywhere = BlindSpot("kid", "why")
    assert anywhere.covers("kid", "pixels", HELD_OUT)
    assert anywhere.covers("kid", "inception", "credible")


def test_the_first_blind_spot_that_covers_is_found():
    first, second = BlindSpot("fid", "one", extractor="pixels"), BlindSpot("f*", "two")
    case = example(blind=(first, second))
    assert case.blind_spot("fid", "pixels", HELD_OUT) is first
    assert case.blind_spot("fid", "inception", HELD_OUT) is second
    assert case.blind_spot("kid", "pixels", HELD_OUT) is None
    assert example().blind_spot("fid", "pixels", HELD_OUT) is None


def test_a_case_of_one_s_own_is_registered_like_all_things():
    case = example(name="example-of-a-test")
    cases.register(case.name, case)
    try:
        assert cases.get("example-of-a-test") is case
        assert "example-of-a-test" in cases.names()
        with pytest.raises(ValueError, match="case name 'blur' is taken"):
            cases.register("blur", case)
    finally:
        cases.registry.discard(case.name)
