"""Failures that a user declares: read, matched, and reported once they excuse nothing."""

from __future__ import annotations

import dataclasses

import pytest

from nriqm_bench.expected import ExpectedFailure, notes, read
from nriqm_bench.reporting import Row
from nriqm_bench.settings import SettingsError

ROW = Row(
    case="blur",
    experiment="A1",
    perturbation="blur",
    metric="fid",
    extractor="pixels",
    levels=[0, 1],
    values=[0, 1],
    floor_mean=0,
    floor_sd=1,
    effect=1,
    rank=1,
    detection_level=None,
    noise_equivalent=None,
    expectation="degrades",
    verdict="blind (known)",
    reason="",
    seconds=0,
)


def written(tmp_path, text):
    path = tmp_path / "known.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_entries_are_patterns_with_a_reason(tmp_path):
    text = '[[expected-failure]]\ncase = "bl*"\nmetric = "f?d"\nreason = "why"\n'
    (entry,) = read(written(tmp_path, text))
    assert entry == ExpectedFailure("why", case="bl*", metric="f?d")
    assert entry.covers("blur", "fid", "pixels", "held-out")
    assert not entry.covers("blur", "kid", "pixels", "held-out")
    assert not entry.covers("elastic", "fid", "pixels", "held-out")
    assert str(entry) == "case 'bl*', metric 'f?d'"


@pytest.mark.parametrize("key", ["case", "metric", "extractor", "source"])
def test_every_key_decides(key):
    found = {"case": "a", "metric": "b", "extractor": "c", "source": "d"}
    assert ExpectedFailure("why", **found).covers(**found)
    assert not ExpectedFailure("why", **found).covers(**found | {key: "z"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[expected", "cannot be read as TOML"),
        ('[[expected-failure]]\ncase = "x"\n', r"\]\] 1 has no reason"),
        ('[[expected-failure]]\nreason = ""\n', "reason was '', must be a non-empty text"),
        ("[[expected-failure]]\nreason = 3\n", "reason was 3, must be a non-empty text"),
        (
            '[[expected-failure]]\nreason = "r"\nmetrics = "fid"\n',
            "unknown key 'metrics'; did you mean 'metric'",
        ),
        ('[[failure]]\nreason = "r"\n', r"held failure, must hold tables \[\[expected-failure"),
        ("", "held nothing"),
        ('expected-failure = ["fid"]\n', "1 was 'fid', must be a table"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, text, told):
    with pytest.raises(SettingsError, match=told):
        read(written(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match=r"none.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")


def test_entries_that_excuse_nothing_are_told():
    passed = dataclasses.replace(ROW, metric="kid", verdict="pass")
    entries = [
        ExpectedFailure("why", metric="fid"),
        ExpectedFailure("why", metric="kid"),
        ExpectedFailure("why", case="elastic"),
    ]
    assert notes(entries, [ROW, passed]) == [
        "the expected failure of metric 'kid' excused nothing: none of what it matched failed",
        "the expected failure of case 'elastic' matched nothing in this run",
    ]
