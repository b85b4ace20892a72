"""Settings: who wins, what is refused and in which words."""

from __future__ import annotations

import json
import re

import pytest

from nriqm_bench.settings import OPTIONS, Settings, SettingsError

# For each option: what the command line, the environment and the file say, and what is understood.
SAID = {
    "generator": (["a.pt", "b,c.pt"], "d.pt, e.pt", ["f.pt"], ("a.pt", "b,c.pt"), ("d.pt", "e.pt")),
    "dataset": ("folder:A", "folder:B", "folder:C", "folder:A", "folder:B"),
    "extractor": (["pixels"], "a, b,", ["c"], ("pixels",), ("a", "b")),
    "metric": (["fid"], "k*", ["kid", "fid"], ("fid",), ("k*",)),
    "n": ("100", "50", 70, 100, 50),
    "seed": ("1", "2", 3, 1, 2),
    "device": ("cuda", "cuda:1", "cuda:0", "cuda", "cuda:1"),
    "quick": (True, "no", True, True, False),
    "cache": ("off", "folder", "third", "off", "folder"),
    "report": (
        ["a.json", "b.md"],
        "c.html,d.csv",
        ["e.csv"],
        ("a.json", "b.md"),
        ("c.html", "d.csv"),
    ),
    "baseline": ("a.json", "b.json", "c.json", "a.json", "b.json"),
    "architecture": ("a:b", "c:d", "e:f", "a:b", "c:d"),
    "expected_failures": ("a.toml", "b.toml", "c.toml", "a.toml", "b.toml"),
    "trust": (True, "0", True, True, False),
    "no_pictures": (True, "no", True, True, False),
}


@pytest.fixture
def pyproject(tmp_path):
    def write(text):
        (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
        return tmp_path

    return write


def toml(name, value):
    return f"[tool.nriqm]\n{name} = {json.dumps(value)}\n"


def test_every_option_is_a_field_with_its_default():
    defaults = Settings.load({}, environ={})
    assert set(SAID) == {option.name for option in OPTIONS}
    for option in OPTIONS:
        assert getattr(defaults, option.name) == option.default
    assert defaults == Settings()


def test_defaults_are_as_promised():
    made = Settings()
    assert made.dataset == "phantom-tumour"
    assert made.extractor == ("efficientnet-lite0", "remedies")
    assert made.metric == ("*",)
    assert (made.n, made.seed, made.device) == (200, 0, "cpu")
    assert not made.trust
    assert made.generator == ()


@pytest.mark.parametrize(
    ("name", "flag", "variable"),
    [("generator", "--generator", "NRIQM_GENERATOR"), ("n", "--nriqm-n", "NRIQM_N")],
)
def test_flag_and_variable_follow_from_the_name(name, flag, variable):
    option = next(option for option in OPTIONS if option.name == name)
    assert (option.flag, option.variable) == (flag, variable)


@pytest.mark.parametrize("name", SAID)
def test_command_line_then_environment_then_file_then_default(name, pyproject):
    line, environ, file, line_means, environ_means = SAID[name]
    root = pyproject(toml(name, file))
    variable = {f"NRIQM_{name.upper()}": environ}
    file_means = tuple(file) if isinstance(file, list) else file
    default = getattr(Settings(), name)
    assert len({str(v) for v in (line_means, environ_means, file_means)}) >= 2

    def loaded(given, environ, root):
        return getattr(Settings.load(given, environ, root), name)

    assert loaded({name: line}, variable, root) == line_means
    assert loaded({name: None}, variable, root) == environ_means
    assert loaded({}, {}, root) == file_means
    assert loaded({name: line}, {}, root) == line_means
    assert loaded({}, {}, root / "elsewhere") == default


def test_an_empty_variable_says_nothing(pyproject):
    assert Settings.load({}, {"NRIQM_SEED": ""}, pyproject(toml("seed", 4))).seed == 4


def test_the_environment_and_the_folder_are_this_process_s(pyproject, monkeypatch):
    monkeypatch.chdir(pyproject(toml("dataset", "npz:x")))
    monkeypatch.setenv("NRIQM_SEED", "11")
    made = Settings.load({})
    assert (made.dataset, made.seed) == ("npz:x", 11)


def test_one_text_is_a_list_of_one(pyproject):
    made = Settings.load({}, {}, pyproject(toml("metric", "fid")))
    assert made.metric == ("fid",)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1", True), ("TRUE", True), ("yes", True), ("on", True), ("off", False), ("False", False)],
)
def test_words_for_true_and_false(text, meant):
    assert Settings.load({}, {"NRIQM_TRUST": text}).trust is meant


def test_quick_takes_64_images_unless_a_number_is_given(pyproject):
    assert Settings.load({"quick": True}, {}).n == 100
    assert Settings.load({"quick": True, "n": "32"}, {}).n == 32
    assert Settings.load({"quick": True}, {"NRIQM_N": "48"}).n == 48
    assert Settings.load({"quick": True}, {}, pyproject(toml("n", 96))).n == 96
    assert Settings.load({"quick": None}, {"NRIQM_QUICK": "0"}).n == 200


def test_gates_are_sorted_numbers(pyproject):
    root = pyproject("[tool.nriqm.gates]\nmemorisation = 1\nfidelity = 0.07\n")
    assert Settings.load({}, {}, root).gates == (("fidelity", 0.07), ("memorisation", 1.0))


@pytest.mark.parametrize(
    "text", ["", "[project]\nname = 'x'\n", "[tool.other]\na = 1\n", "tool = 3"]
)
def test_a_file_that_does_not_speak_of_us(pyproject, text):
    assert Settings.load({}, {}, pyproject(text)) == Settings()


TEXTS = "must be a list of non-empty texts"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"n": "15"}, "--nriqm-n was '15', must be a whole number, at least 16"),
        ({"n": "many"}, "--nriqm-n was 'many', must be a whole number, at least 16"),
        ({"n": "20.5"}, "--nriqm-n was '20.5', must be a whole number"),
        ({"seed": "-1"}, "--nriqm-seed was '-1', must be a whole number, at least 0"),
        ({"device": "gpu"}, "--nriqm-device was 'gpu', must be cpu, cuda or cuda:NUMBER"),
        ({"device": "cuda:"}, "--nriqm-device was 'cuda:', must be cpu, cuda or cuda:NUMBER"),
        ({"device": "cuda:x"}, "--nriqm-device was 'cuda:x', must be cpu, cuda or cuda:NUMBER"),
        ({"dataset": ""}, "--nriqm-dataset was '', must be a non-empty text"),
        ({"generator": [""]}, f"--generator was [''], {TEXTS}"),
        ({"extractor": []}, f"--nriqm-extractor was [], {TEXTS}, at least one"),
        (
            {"report": ["a.json", "b.pdf"]},
            "--nriqm-report was 'b.pdf', must end in .json, .md, .html, .csv",
        ),
        ({"report": ["json"]}, "--nriqm-report was 'json', must end in"),
        ({"quick": "maybe"}, "--nriqm-quick was 'maybe', must be true or false"),
    ],
)
def test_a_bad_command_line_is_refused_with_one_sentence(given, told):
    with pytest.raises(SettingsError, match=re.escape(told)):
        Settings.load(given, {})


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("NRIQM_N", "1", "NRIQM_N was '1', must be a whole number, at least 16"),
        ("NRIQM_TRUST", "2", "NRIQM_TRUST was '2', must be true or false"),
        ("NRIQM_METRIC", " , ", f"NRIQM_METRIC was [], {TEXTS}, at least one"),
        ("NRIQM_DEVICE", "tpu", "NRIQM_DEVICE was 'tpu', must be cpu"),
    ],
)
def test_a_bad_variable_is_refused_by_its_name(variable, value, told):
    with pytest.raises(SettingsError, match=re.escape(told)):
        Settings.load({}, {variable: value})


FILE = "[tool.nriqm] in pyproject.toml"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (toml("n", 200.0), f"{FILE}, n was 200.0, must be a whole number, at least 16"),
        (toml("n", True), f"{FILE}, n was True, must be a whole number, at least 16"),
        (toml("seed", False), f"{FILE}, seed was False, must be a whole number, at least 0"),
        (toml("generator", 3), f"{FILE}, generator was 3, {TEXTS}"),
        (toml("generator", ["a.pt", 3]), f"{FILE}, generator was ['a.pt', 3], {TEXTS}"),
        (toml("metric", []), f"{FILE}, metric was [], {TEXTS}, at least one"),
        ("[tool.nriqm]\nmetric = {fid = 1}", f"{FILE}, metric was {{'fid': 1}}, {TEXTS}"),
        (toml("dataset", 3), f"{FILE}, dataset was 3, must be a non-empty text"),
        (toml("cache", False), f"{FILE}, cache was False, must be a non-empty text"),
        (toml("quick", "perhaps"), f"{FILE}, quick was 'perhaps', must be true or false"),
        (
            toml("extractr", "pixels"),
            f"{FILE}: unknown setting 'extractr'; did you mean 'extractor'? Valid names: "
            "architecture, baseline, cache, dataset, device, expected_failures, extractor, gates,",
        ),
        (
            "[tool.nriqm]\ngates = 3",
            f"{FILE}: gates was 3, must be a table of names and numbers",
        ),
        (
            "[tool.nriqm.gates]\nfidelity = 'low'",
            f"{FILE}: gates was {{'fidelity': 'low'}}, must be a table of names and numbers",
        ),
        ("[tool.nriqm.gates]\nfidelity = true", "must be a table of names and numbers"),
        ("[tool]\nnriqm = 3", f"{FILE} was 3, must be a table of settings"),
        ("[tool.nriqm", "pyproject.toml cannot be read as TOML: "),
    ],
)
def test_a_bad_file_is_refused_with_one_sentence(pyproject, text, told):
    with pytest.raises(SettingsError, match=re.escape(told)):
        Settings.load({}, {}, pyproject(text))


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_bytes(b"\xff\xfe[tool]")
    with pytest.raises(SettingsError, match="cannot be read as TOML"):
        Settings.load({}, {}, tmp_path)


def test_the_dictionary_is_json_and_holds_what_changes_a_score():
    made = Settings(
        generator=("a.pt",), report=("x.json",), cache="off", gates=(("fidelity", 0.1),), n=32
    )
    told = made.as_dict()
    assert json.loads(json.dumps(told)) == told
    assert set(told) == {
        "dataset", "extractor", "metric", "n", "seed", "device", "quick", "architecture", "gates",
    }  # fmt: skip
    assert told["gates"] == [["fidelity", 0.1]]
    assert told["n"] == 32
    assert told["extractor"] == ["efficientnet-lite0", "remedies"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("NRIQM_EXTRACTER", "NRIQM_EXTRACTOR"), ("NRIQM_SEDE", "NRIQM_SEED"), ("NRIQM_TEAM", None)],
)
def test_a_variable_that_is_nearly_a_setting_is_not_ignored(name, meant):
    if meant is None:
        assert Settings.load({}, {name: "x"}) == Settings.load({}, {})
        return
    with pytest.raises(SettingsError, match=f"sets {name}, .* did you mean {meant}"):
        Settings.load({}, {name: "x"})
