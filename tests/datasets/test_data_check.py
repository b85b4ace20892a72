"""``python -m nriqm_bench check brats:DIR`` and runs of the suite on real layouts."""

from __future__ import annotations

import importlib
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import nriqm_bench
from nriqm_bench import datasets
from nriqm_bench.__main__ import main

# Pytest runs inside this process forget the modules that they import, and torch and NumPy do not
# survive a second import: everything is imported here first.
for _module in pkgutil.walk_packages(nriqm_bench.__path__, "nriqm_bench."):
    importlib.import_module(_module.name)

SUITE = Path(__file__).parents[2] / "benchmarks"
CONTRASTS = ("flair", "t1", "t1ce", "t2")


@pytest.fixture
def brats(tmp_path, heads):
    """Write some BraTS cases; gives the folder."""

    def brats(count=12, contrasts=("flair", "t1"), *, place="brats", name="BraTS2021_{:05}"):
        for i in range(count):
            data, labels = heads.head(i)
            case = name.format(i)
            for contrast in contrasts:
                heads.save(tmp_path / place / case / f"{case}_{contrast}.nii.gz", data)
            heads.save(tmp_path / place / case / f"{case}_seg.nii.gz", labels)
        return tmp_path / place

    return brats


@pytest.fixture
def check(capsys):
    """Run the command; the exit code, and each line's text by the word that opens it."""

    def check(spec, *options):
        code = main(["check", spec, *options])
        out = capsys.readouterr().out
        assert all(len(line) <= 80 for line in out.splitlines())
        told = {}
        for line in out.splitlines():
            if line.startswith("  ") and not line.startswith("    "):
                word, _, rest = line.strip().partition("  ")
                if not rest:
                    word, _, rest = line.strip().partition(" ")
                last = word
                told[last] = rest.strip()
            elif line.startswith("   "):
                told[last] += " " + line.strip()
            else:
                last = "verdict"
                told[last] = line
        return code, told

    return check


def test_sound_data_are_usable(brats, check):
    code, told = check(f"brats:{brats()}")
    assert code == 0
    assert told["verdict"] == "brats:brats: usable"
    assert told["cases"] == "12 of 12 subjects"
    assert told["contrasts"] == "flair 12, t1 12, t1ce 0, t2 0 (flair is used)"
    assert told["masks"] == "12 of 12"
    assert told["size"] == "40 x 44 x 20"
    assert told["spacing"] == "1 x 1 x 2 mm"
    assert told["orientation"] == "RAS 12"
    for part in ("train", "reference", "held-out"):
        assert told[part] == "up to 16 images of 4 subjects"
    assert told["--nriqm-n"] == "16"
    assert "damaged" not in told
    assert "left out" not in told


def test_what_is_told_is_what_a_run_gets(brats, check):
    root = brats(14)
    _, told = check(f"brats:{root}")
    source = datasets.open(f"brats:{root}")
    counts = {}
    for part in ("train", "reference", "held-out"):
        images, _, subjects = told[part].removeprefix("up to ").partition(" images of ")
        counts[part] = int(images)
        found = source.load(part, counts[part], 0, 16)
        assert len(set(found.subjects)) == int(subjects.split()[0])
    assert told["--nriqm-n"] == f"16 to {min(counts.values())}" or min(counts.values()) == 16
    with pytest.raises(ValueError, match="were asked for"):
        source.load("train", counts["train"] + 1, 0, 16)


def test_ranges_of_spacing_and_orientation(brats, check, heads):
    root = brats()
    for i, (codes, mm) in enumerate([("LPS", (1, 1.5, 2)), ("PIR", (1, 1, 6))]):
        data, labels = heads.head(i)
        case = root / f"BraTS2021_{i:05}" / f"BraTS2021_{i:05}"
        heads.save(Path(f"{case}_flair.nii.gz"), data[:, i:], codes=codes, mm=mm)
        heads.save(Path(f"{case}_seg.nii.gz"), labels[:, i:], codes=codes, mm=mm)
    code, told = check(f"brats:{root}")
    assert code == 0
    assert told["size"] == "40 x 43 to 44 x 20"
    assert told["spacing"] == "1 x 1 to 1.5 x 2 to 6 mm"
    assert told["orientation"] == "RAS 10, LPS 1, PIR 1"


def test_missing_files_are_told_once_and_do_no_harm(brats, check):
    root = brats(14)
    (root / "BraTS2021_00003" / "BraTS2021_00003_flair.nii.gz").unlink()
    (root / "BraTS2021_00005" / "BraTS2021_00005_seg.nii.gz").unlink()
    code, told = check(f"brats:{root}")
    assert code == 0
    assert told["cases"] == "14 of 14 subjects"
    assert told["used"] == "12 of 12 subjects"
    assert told["left out"] == "BraTS2021_00003: no flair BraTS2021_00005: no mask"
    code, told = check(f"brats:{root}?contrast=t1")
    assert code == 0
    assert told["verdict"] == "brats:brats?contrast=t1: usable"
    assert told["left out"] == "BraTS2021_00005: no mask"


def test_long_lists_are_cut_unless_files_are_asked_for(brats, check):
    root = brats(25)
    for i in range(13):
        (root / f"BraTS2021_{i:05}" / f"BraTS2021_{i:05}_flair.nii.gz").unlink()
    assert check(f"brats:{root}")[1]["left out"].endswith("and 3 more, see -v")
    code, told = check(f"brats:{root}", "-v")
    assert code == 0
    assert told["left out"].count("no flair") == 13
    assert told["files"].count("_flair.nii.gz: 40 x 44 x 20, 1 x 1 x 2 mm, RAS") == 12


@pytest.mark.parametrize("which", ["flair", "seg"])
@pytest.mark.parametrize(
    ("hurt", "reason"),
    [
        (lambda data: data[: len(data) // 2], "end-of-stream"),
        (lambda data: b"", ""),
        (lambda data: b"no volume at all", ""),
    ],
    ids=["cut", "empty", "foreign"],
)
def test_damaged_files_are_named_once(brats, check, which, hurt, reason):
    root = brats(13)
    file = root / "BraTS2021_00004" / f"BraTS2021_00004_{which}.nii.gz"
    file.write_bytes(hurt(file.read_bytes()))
    code, told = check(f"brats:{root}")
    assert code == 1
    assert told["verdict"] == "brats:brats: not usable as it is"
    assert told["damaged"].count("cannot be used: ") == 1
    assert told["damaged"].startswith(f"BraTS2021_00004/{file.name} cannot be used: ")
    assert reason in told["damaged"]
    # What would be read of another contrast is sound.
    assert check(f"brats:{root}?contrast=t1")[0] == (0 if which == "flair" else 1)


def test_short_and_packed_otherwise(brats, check, heads):
    root = brats(12)
    case = root / "BraTS2021_00004"
    heads.save(case / "BraTS2021_00004_flair.nii", heads.head(4)[0])
    (case / "BraTS2021_00004_flair.nii.gz").unlink()
    assert check(f"brats:{root}")[0] == 0
    file = case / "BraTS2021_00004_flair.nii"
    file.write_bytes(file.read_bytes()[:-10])
    code, told = check(f"brats:{root}")
    assert code == 1
    assert "it ends too early: " in told["damaged"]


def test_too_few_subjects(brats, check):
    code, told = check(f"brats:{brats(8)}")
    assert code == 1
    assert told["--nriqm-n"] == "at most 8 is possible, but a run needs at least 16"
    code, told = check(f"brats:{brats(2, place='two')}")
    assert code == 1
    assert told["parts"].startswith("two holds 2 subjects")


def test_empty_folders_wrong_contrasts_and_missing_paths_are_not_usable(brats, check, tmp_path):
    (tmp_path / "empty").mkdir()
    assert check(f"brats:{tmp_path / 'empty'}")[0] == 1
    assert check(f"msd:{tmp_path / 'empty'}")[0] == 1
    assert check(f"brats:{tmp_path / 'none'}")[0] == 1
    assert check(f"brats:{brats()}?contrast=dwi")[0] == 1
    code, told = check("phantom-tumour:")
    assert code == 1
    assert "takes no path" in told["verdict"]


def test_sites_are_counted(brats, check):
    root = brats(7, name="BraTS19_CBICA_A{}_1")
    brats(5, name="BraTS19_TCIA08_{}_1")
    code, told = check(f"brats:{root}")
    assert code == 0
    assert told["sites"] == "CBICA 7, TCIA 5"


@pytest.fixture
def layouts(heads, tmp_path):
    """The same twelve heads as Task01, as IXI and as a folder, below the folder it gives."""
    root = tmp_path / "task"
    table = {"modality": {"0": "FLAIR", "1": "T1w"}, "training": []}
    for i in range(12):
        data, labels = heads.head(i)
        for name in ("imagesTr", "labelsTr"):
            what = labels if name == "labelsTr" else np.stack([data, data], -1)
            heads.save(root / name / f"BRATS_{i:03}.nii.gz", what)
        table["training"].append(
            {"image": f"imagesTr/BRATS_{i:03}.nii.gz", "label": f"labelsTr/BRATS_{i:03}.nii.gz"}
        )
        heads.save(tmp_path / "ixi" / f"IXI{i:03}-{('HH', 'IOP')[i % 2]}-0001-MRA.nii.gz", data)
        heads.save(tmp_path / "folder" / f"p{i}.nii.gz", data)
        heads.save(tmp_path / "folder" / f"p{i}_seg.nii.gz", labels)
    (root / "dataset.json").write_text(json.dumps(table))
    return tmp_path


def test_other_datasets_are_checked_too(check, layouts):
    code, told = check(f"msd:{layouts / 'task'}")
    assert code == 0
    assert told["contrasts"] == "flair 12, t1 12 (flair is used)"
    code, told = check(f"ixi:{layouts / 'ixi'}")
    assert code == 0
    assert told["sites"] == "HH 6, IOP 6"
    assert told["masks"] == "none"
    code, told = check(f"folder:{layouts / 'folder'}")
    assert code == 0
    assert told["masks"] == "12 of 12"
    assert "contrasts" not in told
    broken = layouts / "folder" / "p3_seg.nii.gz"
    broken.write_bytes(broken.read_bytes()[:-30])
    assert check(f"folder:{layouts / 'folder'}")[0] == 1


def test_archives_and_pictures(check, tmp_path):
    images = np.random.default_rng(0).random((60, 16, 16), np.float32)
    np.savez(tmp_path / "a.npz", images=images, sites=["x"] * 60)
    code, told = check(f"npz:{tmp_path / 'a.npz'}")
    assert code == 0
    assert told["train"] == "up to 20 images of 20 subjects"
    assert told["--nriqm-n"] == "16 to 20"
    assert told["sites"] == "x 60"
    np.savez(tmp_path / "b.npz", images=images, part=["train"] * 50 + ["val"] * 5 + ["test"] * 5)
    code, told = check(f"npz:{tmp_path / 'b.npz'}")
    assert code == 1
    assert told["train"] == "up to 50 images of 50 subjects"
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        np.save(tmp_path / "pictures" / f"p{i}.npy", images[20 * i : 20 * i + 17])
    code, told = check(f"folder:{tmp_path / 'pictures'}")
    assert code == 0
    assert told["size"] == "16 x 16"
    assert told["--nriqm-n"] == "16 to 17"
    (tmp_path / "c.npz").write_bytes(b"damaged")
    assert check(f"npz:{tmp_path / 'c.npz'}")[0] == 1


def test_metrics_are_still_checked(capsys):
    assert main(["check", "nosuch:metric"]) == 2
    assert "nosuch:metric could not be loaded" in capsys.readouterr().err


@pytest.fixture
def suite(pytester, monkeypatch):
    """Run one cheap case of the suite on a dataset; the result and the run as written."""
    for name in ("NRIQM_CACHE", "NRIQM_N", "NRIQM_SEED"):
        monkeypatch.delenv(name, raising=False)

    def suite(spec):
        result = pytester.runpytest(
            str(SUITE / "test_noise.py"),
            f"--rootdir={pytester.path}",
            "--import-mode=importlib",
            "-pno:cacheprovider",
            f"--nriqm-dataset={spec}",
            "--nriqm-extractor=pixels",
            "--nriqm-n=16",
            "--nriqm-metric=fid",
            "--nriqm-quick",
            f"--nriqm-cache={pytester.path / 'cache'}",
            f"--nriqm-report={pytester.path / 'run.json'}",
            "-k",
            "gaussian and fid",
        )
        path = pytester.path / "run.json"
        return result, json.loads(path.read_text()) if path.is_file() else None

    return suite


@pytest.mark.parametrize("option", ["", "?contrast=t1"])
def test_the_suite_runs_on_brats_from_the_command_line(brats, suite, option):
    root = brats(14)
    (root / "BraTS2021_00003" / "BraTS2021_00003_flair.nii.gz").unlink()
    result, found = suite(f"brats:{root}{option}")
    assert result.ret in (0, 1)
    row = next(row for row in found["rows"] if row["metric"] == "fid")
    assert row["effect"] > 3
    assert row["verdict"] == "pass"
    assert found["dataset"]["describe"].startswith(f"brats:brats{option} (")
    assert ("1 of 14 cases left out" in found["dataset"]["describe"]) == (not option)


@pytest.mark.parametrize("spec", ["msd:task?contrast=t1", "ixi:ixi"])
def test_the_suite_runs_on_the_other_layouts(layouts, suite, spec):
    name, _, place = spec.partition(":")
    result, found = suite(f"{name}:{layouts / place}")
    assert result.ret in (0, 1)
    assert found["dataset"]["describe"].startswith(f"{spec} (")
    row = next(row for row in found["rows"] if row["metric"] == "fid")
    assert row["effect"] > 3


def test_a_wrong_contrast_is_a_usage_error(brats, suite):
    result, found = suite(f"brats:{brats(3)}?contrast=dwi")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *'dwi', must be one of flair, t1, t1ce, t2*"])
    assert found is None
