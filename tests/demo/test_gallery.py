"""The gallery before the gates: real runs, small; and the table of outcomes made by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nriqm_bench import Lab, Settings
from nriqm_bench.__main__ import main
from nriqm_bench.demo import calibration, table
from nriqm_bench.demo.command import right
from nriqm_bench.demo.gallery import Exhibit, exhibits, limited
from nriqm_bench.demo.rogues import rogue
from nriqm_bench.reporting import Gate

SMALL = ["--n", "32", "--quick", "--cache", "off", "--dataset", "phantom-tumour"]


def gate(name, verdict="pass"):
    return Gate(
        name=name,
        metric="vendi",
        extractor="pixels",
        value=1.0,
        interval=None,
        threshold=2.0,
        floor_mean=1.0,
        floor_sd=0.1,
        trusted=verdict != "untrusted",
        verdict=verdict,
        reason="vendi in pixels is 1; the limit is 2",
        pairs=[],
    )


def exhibit(name, seed=0, dataset="phantom-tumour", skipped=(), **verdicts):
    outcomes = [gate(n.replace("_", "-"), v) for n, v in verdicts.items()]
    return Exhibit(name, dataset, seed, tuple(outcomes), dict(skipped))


def settings(**given):
    chosen = {"n": 32, "quick": True, "cache": "off", "extractor": ["efficientnet-lite0"]}
    return Settings.load({**chosen, **given}, environ={})


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No pyproject.toml decides."""
    monkeypatch.chdir(tmp_path)


def test_a_rogue_is_caught_by_the_gate_that_should():
    assert exhibit("noisy", fidelity="fail", diversity="pass").caught is True
    assert exhibit("noisy", fidelity="pass", diversity="fail").caught is False
    assert exhibit("noisy", fidelity="untrusted").caught is False
    assert exhibit("noisy", diversity="fail").caught is None
    assert exhibit("memoriser", memorisation="pass", memorisation_pixels="fail").caught is True
    assert exhibit("some checkpoint", fidelity="fail").caught is None


def test_the_perfect_one_must_pass_every_gate():
    assert exhibit("perfect", fidelity="pass", diversity="untrusted").passed_all
    assert not exhibit("perfect", fidelity="pass", diversity="fail").passed_all
    assert not exhibit("perfect").passed_all


def test_all_is_right_when_each_is_caught_and_nearly_all_perfect_ones_pass():
    caught, missed = exhibit("noisy", fidelity="fail"), exhibit("noisy", fidelity="pass")
    passed, blocked = exhibit("perfect", fidelity="pass"), exhibit("perfect", fidelity="fail")
    assert right([caught, passed])
    assert not right([caught, missed, passed])
    assert not right([caught, blocked])
    assert right([caught], [passed] * 19 + [blocked])
    assert not right([caught], [passed] * 18 + [blocked] * 2)


def test_the_table_fits_80_columns_and_marks_who_should_catch():
    names = (
        *("memorisation", "memorisation-pixels", "memorisation-disguised", "diversity"),
        *("fidelity", "anatomy", "anatomy-distribution", "sites", "downstream"),
    )
    verdicts = {name.replace("-", "_"): "pass" for name in names}
    lines = table.render(
        [
            exhibit("perfect", **verdicts),
            exhibit("lesion-displacer", **verdicts | {"anatomy": "fail", "sites": "untrusted"}),
            exhibit("noisy", **verdicts, masks_gate="pass", skipped={"regression": "no baseline"}),
        ]
    )
    assert max(map(len, lines)) <= 80
    heads = [line.removesuffix(" |").split()[-1] for line in lines[2:12]]
    assert heads == [*names, "masks-gate"]
    displaced = next(line for line in lines if line.startswith("lesion-displacer")).split()
    assert displaced.count("FAIL*") == 1
    assert displaced.count("?") == 1
    assert displaced.count("pass") == 6
    assert displaced.count("pass*") == 1
    assert displaced[-1] == "-"
    told = "\n".join(lines)
    assert "1 of 2 rogues were caught" in told
    assert "1 of 1 perfect generators passed" in told
    # What was missed is told in the gate's own words, what went well is not.
    assert "noisy, phantom-tumour, seed 0" in told
    assert "fidelity: pass: vendi in pixels is 1; the limit is 2" in told
    assert "lesion-displacer, phantom-tumour, seed 0" not in told


def test_over_seeds_the_table_counts():
    lines = table.render(
        [exhibit("noisy", seed, fidelity="fail", diversity="pass") for seed in range(3)]
        + [exhibit("noisy", 3, fidelity="pass", diversity="pass")]
    )
    row = next(line for line in lines if line.startswith("noisy"))
    assert row.split() == ["noisy", "3*", "0"]
    assert "phantom-tumour, in how many of 4 seeds it failed" in lines
    assert "3 of 4 rogues were caught by a gate that should" in lines


def test_counts_come_with_their_interval():
    passed = [exhibit("perfect", seed, fidelity="pass") for seed in range(97)]
    lines = table.counts(
        [*passed, *[exhibit("perfect", 97 + i, fidelity="fail") for i in (0, 1, 2)]]
    )
    assert lines[0] == "97 of 100 perfect generators passed all gates (phantom-tumour)"
    # Clopper and Pearson's for 97 of 100.
    assert lines[1] == "  95 % interval, were they independent: 91.5% to 99.4%"
    assert lines[2].split() == ["fidelity", "failed", "3", "of", "100"]
    assert "  seed 98, draw 0: fidelity: vendi in pixels is 1; the limit is 2" in lines


def test_an_exhibit_survives_json():
    found = exhibit("noisy", fidelity="fail", skipped={"anatomy": "no masks"})
    assert Exhibit.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_only_the_metrics_of_gates_are_computed():
    lab = Lab(limited(settings()))
    assert {"train-share", "vendi", "fid"} <= set(lab.metrics)
    assert len(lab.metrics) < 8


def test_a_pattern_that_no_gate_matches_is_told_the_gates():
    with pytest.raises(ValueError, match=r"no gate matches fidellity, must be of memorisation"):
        exhibits(Lab(limited(settings()), [rogue("perfect")]), ["fidellity"])


def test_the_command_shows_a_rogue_and_a_perfect_generator(capsys, tmp_path):
    asked = ["--rogue", "perfect", "--rogue", "noisy", "--gates", "fidelity"]
    code = main(["demo", *SMALL, *asked, "--json", "out.json", "-v"])
    told = capsys.readouterr().out
    assert code == 0, told
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines() if line[:1].isalpha()}
    assert set(rows["perfect"])
    assert "FAIL*" in told
    assert "1 of 1 rogues were caught" in told
    assert "fidelity: pass" in told
    found = json.loads((tmp_path / "out.json").read_text())
    assert [e["name"] for e in found] == ["perfect", "noisy"]
    assert {g["name"] for g in found[0]["gates"]} == {"fidelity"}


def test_a_limit_that_lets_a_rogue_get_away_fails_the_command(capsys, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.nriqm.gates]\nmemorisation-pixels = 2.0\n")
    asked = ["demo", *SMALL, "--rogue", "memoriser", "--gates", "memorisation-pixels"]
    assert main(asked) == 1
    told = capsys.readouterr().out
    assert "0 of 1 rogues were caught" in told
    assert "the limit is 2" in told


def test_what_was_kept_is_not_judged_again(capsys, tmp_path):
    asked = ["demo", *SMALL, "--rogue", "noisy", "--gates", "fidelity", "--keep", "kept.jsonl"]
    assert main(asked) == 0
    lines = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert len(lines) == 1
    (tmp_path / "kept.jsonl").write_text(lines[0].replace('"fail"', '"pass"') + "\n")
    assert main(asked) == 1
    # Another seed was never judged.
    assert main([*asked, "--seed", "1"]) == 0
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 2
    capsys.readouterr()


def test_processes_find_what_one_finds():
    tasks = calibration.planned(
        [settings(n=16)], rogues=["noisy"], gates=["fidelity"], seeds=2, perfect=0
    )
    assert calibration.perform(tasks, jobs=2) == calibration.perform(tasks, jobs=1)


def test_the_first_dataset_shows_all_and_others_what_they_alone_can():
    two = [settings(dataset=d) for d in ("phantom-tumour", "phantom-vessel")]
    tasks = calibration.planned(two, rogues=["*"], gates=["*"], seeds=2, perfect=11, each=4)
    assert [(t.settings.dataset, t.settings.seed, len(t.rogues), t.perfect) for t in tasks] == [
        ("phantom-tumour", 0, 9, 4),
        ("phantom-tumour", 1, 9, 4),
        # Beyond the gallery's seeds the perfect generators that are left, alone.
        ("phantom-tumour", 2, 0, 3),
        ("phantom-vessel", 0, 1, 1),
        ("phantom-vessel", 1, 1, 1),
    ]
    assert tasks[3].rogues == ("vessel-breaker",)


def test_perfect_generators_of_one_run_have_subjects_of_their_own():
    found = [rogue("perfect", draw=draw).sample(16, 0) for draw in range(3)]
    assert len({subject for images in found for subject in images.subjects}) == 3 * 4
    assert len({rogue("perfect", draw=draw).key() for draw in range(3)}) == 3
    with pytest.raises(ValueError, match="only 'perfect' has more"):
        rogue("noisy", draw=1)


def test_tasks_are_known_by_what_decides():
    task = calibration.planned([settings()], rogues=["*"], gates=["*"], seeds=1, perfect=0)[0]
    others = [
        replace(task, settings=replace(task.settings, seed=1)),
        replace(task, gates=("fidelity",)),
        replace(task, perfect=2),
    ]
    assert len({t.key() for t in (task, *others)}) == 4
    assert replace(task, settings=replace(task.settings, cache="elsewhere")).key() == task.key()


def test_errors_tell_what_to_pass(capsys, tmp_path):
    assert main(["demo", *SMALL, "--rogue", "rouge"]) == 2
    assert "no generator of the gallery matches rouge" in capsys.readouterr().err
    assert main(["demo", "--dataset", f"folder:{tmp_path}"]) == 2
    assert "phantom-tumour" in capsys.readouterr().err
    assert main(["demo", *SMALL, "--checkpoints", str(tmp_path)]) == 2
    assert "there is no .pt file" in capsys.readouterr().err
    (tmp_path / "kept.jsonl").write_text('{"key": "a", "exhibits": []}\n{"key": "b", "ex\n')
    assert main(["demo", *SMALL, "--keep", "kept.jsonl"]) == 2
    assert "kept.jsonl, line 2 is none that --keep wrote, or cut short" in capsys.readouterr().err
    for wrong in ("-1", "0", "some"):
        with pytest.raises(SystemExit):
            main(["demo", "--seeds", wrong])


def test_train_is_a_command_of_its_own(capsys):
    assert main(["demo", "train", "vea"]) == 2
    assert "'vea', must be one of vae, gan, ddpm" in capsys.readouterr().err
