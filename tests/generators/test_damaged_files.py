"""Damaged files of every kind: images that pass every check, or one sentence; never a crash."""

from __future__ import annotations

import importlib
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.generators.hostile.good import CODE, GOOD, NETWORK
from tests.generators.hostile.trial import worker

TIMES = 100
if find_spec("onnx") and find_spec("onnxruntime"):
    importlib.import_module("tests.generators.hostile.good_graphs")
if find_spec("diffusers"):
    importlib.import_module("tests.generators.hostile.good_pipelines")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    home = tmp_path_factory.mktemp("damaged")
    (home / "good_network.py").write_text(CODE)
    with worker(home) as found:
        yield found


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A few bits flipped, bytes overwritten, a stretch lost or doubled, or the end lost."""
    data = bytearray(content)
    at = int(rng.integers(len(data)))
    match rng.choice(["flips", "flip", "bytes", "cut", "lost", "doubled", "start"]):
        case "flips":
            for position in rng.integers(0, len(data), 20):
                data[position] ^= 1 << int(rng.integers(8))
        case "flip":
            data[at] ^= 1 << int(rng.integers(8))
        case "bytes":
            data[at : at + 8] = rng.bytes(8)
        case "cut":
            del data[max(1, at) :]
        case "lost":
            del data[at : at + int(rng.integers(1, 64))]
        case "doubled":
            data[at:at] = data[at : at + int(rng.integers(1, 64))]
        case "start":
            # Headers are short: most random places miss them.
            data[int(rng.integers(min(128, len(data))))] = int(rng.integers(256))
    return bytes(data)


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_file_makes_images(kind, asked, tmp_path):
    answer = asked.ask(GOOD[kind](tmp_path), NETWORK)
    assert answer["outcome"] == "images", answer


@pytest.mark.parametrize("kind", GOOD)
def test_a_damaged_file_makes_images_or_a_sentence(kind, asked, tmp_path):
    path = GOOD[kind](tmp_path)
    victims = files(path)
    rng = np.random.default_rng(sorted(GOOD).index(kind))
    outcomes = []
    for i in range(TIMES):
        victim, content = list(victims.items())[int(rng.integers(len(victims)))]
        victim.write_bytes(damaged(content, rng))
        answer = asked.ask(path, NETWORK if i % 2 or kind != "checkpoint" else None)
        assert answer["outcome"] in ("images", "refused"), (answer, _kept(victim, tmp_path))
        assert answer["said"].isprintable()
        assert answer["peak"] < 2**30
        outcomes.append(answer["outcome"])
        victim.write_bytes(content)
    assert "refused" in outcomes


def damaged_inside(content: bytes, rng: np.random.Generator) -> bytes:
    """One member of an archive damaged, and its checksum made to fit."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = old.namelist()
        victim = names[int(rng.integers(len(names)))]
        for name in names:
            member = old.read(name)
            new.writestr(name, damaged(member, rng) if name == victim else member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "kind", ["torchscript", "checkpoint", "state-dict", "lightning", "npz", "exported"]
)
def test_an_archive_damaged_inside_makes_images_or_a_sentence(kind, asked, tmp_path):
    path = GOOD[kind](tmp_path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(2 * TIMES):
        path.write_bytes(damaged_inside(content, rng))
        answer = asked.ask(path, NETWORK)
        assert answer["outcome"] in ("images", "refused"), (answer, _kept(path, tmp_path))
        assert answer["said"].isprintable()
        assert answer["peak"] < 2**30


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_file_that_ends_too_early_is_named(kind, share, asked, tmp_path):
    path = GOOD[kind](tmp_path)
    victim, content = list(files(path).items())[-1]
    victim.write_bytes(content[: max(1, int(len(content) * share))])
    answer = asked.ask(path, NETWORK)
    assert answer["outcome"] == "refused"
    assert victim.name in answer["said"] or path.name in answer["said"]


def files(path: Path) -> dict[Path, bytes]:
    """The file, or those of the folder that a loader reads, and what is in them."""
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {p: p.read_bytes() for p in found if p.suffix != ".md"}


def _kept(victim: Path, folder: Path) -> Path:
    """A file that did harm, under a name that the next damage does not overwrite."""
    kept = folder.parent / f"kept-{victim.name}"
    kept.write_bytes(victim.read_bytes())
    return kept
