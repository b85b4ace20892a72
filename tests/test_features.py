"""The feature store: by content, atomic, shared between processes, never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from nriqm_bench import extractors
from nriqm_bench.features import FeatureStore, content_key, default_cache_dir
from nriqm_bench.images import ImageSet

RECIPE = {"dataset": "x", "seed": 0, "level": 0.1}
IMAGES = ImageSet(np.random.default_rng(0).random((6, 1, 32, 32)))


class Counted:
    """The pixels, counting what it is asked for."""

    name, dim = "counted", 1024

    def __init__(self, key="counted"):
        self.inner, self.seen, self._key = extractors.get("pixels")(), 0, key

    def key(self):
        return self._key

    def __call__(self, images):
        self.seen += len(images)
        return self.inner(images)


def never():
    raise AssertionError("made again")


def entries(cache):
    return [p for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock"]


def test_a_second_store_reads_what_the_first_wrote(tmp_path):
    first = FeatureStore(tmp_path)
    found = first.features(Counted(), RECIPE, lambda: IMAGES)
    assert found.shape == (6, 1024)
    assert np.array_equal(first.features(Counted(), RECIPE, never), found)
    second = FeatureStore(tmp_path)
    again = second.features(Counted(), RECIPE, never)
    assert np.array_equal(again, found)
    assert again.dtype == np.float32
    assert first.counts == {"memory": 1, "disk": 0, "computed": 1, "images": 6}
    assert second.counts == {"memory": 0, "disk": 1, "computed": 0, "images": 0}
    assert not [p for p in entries(tmp_path) if p.name.startswith(".writing-")]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"level": 0.10000000000000002}, {"dataset": "y"}, {"more": None}]
)
def test_another_recipe_misses(tmp_path, change):
    store = FeatureStore(tmp_path)
    store.features(Counted(), RECIPE, lambda: IMAGES)
    other = store.features(Counted(), RECIPE | change, lambda: IMAGES[:2])
    assert len(other) == 2


def test_another_extractor_misses(tmp_path):
    store = FeatureStore(tmp_path)
    store.features(Counted(), RECIPE, lambda: IMAGES)
    assert len(store.features(Counted("other"), RECIPE, lambda: IMAGES[:2])) == 2


def test_images_seen_before_are_not_extracted_again():
    store, extractor = FeatureStore(), Counted()
    found = store.features(extractor, RECIPE, lambda: IMAGES)
    copies = IMAGES[[3, 3, 0, 5]]
    again = store.features(extractor, {"copies": 1}, lambda: copies)
    assert extractor.seen == store.counts["images"] == 6
    assert np.array_equal(again, found[[3, 3, 0, 5]])


@pytest.mark.parametrize("spoil", ["flip", "cut", "empty"])
def test_a_damaged_entry_is_computed_again(tmp_path, spoil):
    FeatureStore(tmp_path).features(Counted(), RECIPE, lambda: IMAGES)
    (path,) = entries(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[100] ^= 1
    path.write_bytes({"flip": bytes(raw), "cut": bytes(raw[:-5]), "empty": b""}[spoil])
    store = FeatureStore(tmp_path)
    found = store.features(Counted(), RECIPE, lambda: IMAGES)
    assert store.counts["computed"] == 1
    assert len([n for n in store.notes if "damaged" in n]) == 1
    assert np.array_equal(FeatureStore(tmp_path).features(Counted(), RECIPE, never), found)


def test_a_folder_that_cannot_be_used_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = FeatureStore(tmp_path / "file")
    assert len(store.features(Counted(), RECIPE, lambda: IMAGES)) == 6
    assert len(store.features(Counted(), {"b": 1}, lambda: IMAGES)) == 6
    assert len(store.notes) == 1
    assert "cannot be used" in store.notes[0]


def test_values(tmp_path):
    store = FeatureStore(tmp_path)
    value = {"fid": [1.5, -0.25], "names": ["a"], "none": None}
    assert store.value(RECIPE, lambda: value) == value
    assert FeatureStore(tmp_path).value(RECIPE, never) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.value({"bad": 1}, lambda: float("nan"))


def test_progress_is_told():
    seen = []

    def progress(items, description, total):
        seen.append((description, total))
        return items

    FeatureStore().features(Counted(), RECIPE, lambda: IMAGES, progress)
    assert seen == [("features, counted", 1)]


@pytest.mark.parametrize("found", [np.zeros((1, 3)), np.full((6, 3), np.inf)], ids=["few", "inf"])
def test_an_extractor_that_errs(found):
    class Wrong(Counted):
        def __call__(self, images):
            return found.astype(np.float32)

    with pytest.raises(ValueError, match="extractor 'counted' returned shape"):
        FeatureStore().features(Wrong(), RECIPE, lambda: IMAGES)


def test_keys_are_content():
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 1.5})


def test_default_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/nriqm_bench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path.home() / ".cache" / "nriqm_bench"


PROGRAM = """
import os, sys, time
from pathlib import Path
from nriqm_bench.features import FeatureStore

cache, log, pause = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def compute():
    with log.open("a") as stream:
        stream.write(f"{os.getpid()}\\n")
    time.sleep(pause)
    return [1, 2, 3]

assert FeatureStore(cache).value({"shared": 1}, compute) == [1, 2, 3]
"""


def start(tmp_path, pause):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    return subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "cache"), str(tmp_path / "log"), str(pause)]
    )


def started(tmp_path, deadline=60.0):
    end = time.monotonic() + deadline
    while not (tmp_path / "log").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_two_processes_compute_once(tmp_path):
    both = [start(tmp_path, 1.0), start(tmp_path, 1.0)]
    assert [p.wait(timeout=60) for p in both] == [0, 0]
    assert len((tmp_path / "log").read_text().split()) == 1


def test_a_killed_process_leaves_nothing_behind(tmp_path):
    killed = start(tmp_path, 60)
    started(tmp_path)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert entries(tmp_path / "cache") == []
    assert start(tmp_path, 0).wait(timeout=60) == 0
    assert len((tmp_path / "log").read_text().split()) == 2
