"""Registry: lazy built-ins, entry points of other packages, and messages that help."""

from __future__ import annotations

import shutil
import sys
import textwrap

import pytest

from nriqm_bench.registry import Registry, UnknownName, unknown

GROUP = "nriqm_bench.tests_registry"


def distribution(folder, name, entries, source):
    """Install a real package in `folder`: its module and the metadata that announces it."""
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if module.startswith("registry_example"):
            del sys.modules[module]


@pytest.fixture
def metrics():
    return Registry(
        "metric", GROUP, {"fid": "fractions:Fraction", "kid": "decimal:Decimal", "pi": "math:pi"}
    )


def test_builtin_is_the_attribute_of_its_module(metrics):
    from fractions import Fraction

    assert metrics.get("fid") is Fraction
    assert metrics.get("fid") is metrics.get("fid")


def test_builtin_module_is_imported_on_first_use(site):
    (site / "registry_example_lazy.py").write_text("thing = object()\n")
    lazy = Registry("thing", GROUP, {"lazy": "registry_example_lazy:thing"})
    assert lazy.names() == ["lazy"]
    assert lazy.match("l*") == ["lazy"]
    assert "registry_example_lazy" not in sys.modules
    found = lazy.get("lazy")
    assert found is sys.modules["registry_example_lazy"].thing


def test_names_are_sorted_and_without_repeats(metrics):
    metrics.add("authpct", 1)
    metrics.get("kid")
    assert metrics.names() == ["authpct", "fid", "kid", "pi"]


def test_match_is_a_shell_pattern(metrics):
    assert metrics.match("?id") == ["fid", "kid"]
    assert metrics.match("*") == ["fid", "kid", "pi"]
    assert metrics.match("pi") == ["pi"]


def test_a_pattern_that_fits_nothing_lists_the_names(metrics):
    with pytest.raises(KeyError) as error:
        metrics.match("x*")
    assert str(error.value) == "unknown metric 'x*'. Valid names: fid, kid, pi."


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("fdi", "; did you mean 'fid'?"),
        ("FID", "; did you mean 'fid' or 'kid'?"),
        ("zzzz", "."),
        (None, "."),
    ],
)
def test_unknown_name_says_what_was_probably_meant(metrics, asked, hint):
    with pytest.raises(KeyError) as error:
        metrics.get(asked)
    assert isinstance(error.value, UnknownName)
    assert str(error.value).startswith(f"unknown metric {asked!r}{hint}")
    assert str(error.value).endswith(" Valid names: fid, kid, pi.")


def test_several_close_names_are_all_told():
    told = unknown("dataset", "phantom", ["phantom-vessel", "ixi", "phantom-tumor", "Phantom"])
    assert told == (
        "unknown dataset 'phantom'; did you mean 'Phantom' or 'phantom-tumor' or "
        "'phantom-vessel'? Valid names: Phantom, ixi, phantom-tumor, phantom-vessel."
    )


def test_an_empty_registry_says_none():
    assert unknown("case", "a", []) == "unknown case 'a'. Valid names: none."


def test_add_gives_the_thing_back_and_get_finds_it(metrics):
    thing = object()
    assert metrics.add("swd", thing) is thing
    assert metrics.get("swd") is thing


def test_taken_names_are_refused(metrics):
    metrics.add("swd", 1)
    for name in ("swd", "fid"):
        with pytest.raises(
            ValueError, match=f"^the metric name '{name}' is taken; choose another one$"
        ):
            metrics.add(name, 2)
    assert metrics.get("swd") == 1


@pytest.mark.parametrize("name", ["", " ", " fid2", "fid2\n", "two words", 5, None])
def test_a_name_is_one_word(metrics, name):
    with pytest.raises(ValueError, match=r"^the name of a metric was .*, must be one word$"):
        metrics.add(name, 1)


def test_discard_forgets_what_was_added_and_keeps_builtins(metrics):
    metrics.add("swd", 1)
    metrics.discard("swd")
    metrics.discard("swd")
    assert "swd" not in metrics.names()
    with pytest.raises(KeyError):
        metrics.get("swd")
    found = metrics.get("fid")
    metrics.discard("fid")
    assert metrics.get("fid") is found
    metrics.add("swd", 2)
    assert metrics.get("swd") == 2


def test_entry_points_of_an_installed_package(site, metrics):
    distribution(
        site,
        "registry_example_good",
        {"swd": "registry_example_good:swd", "fdd": "registry_example_good:fdd"},
        """
        def swd(real, fake):
            return 0.5

        fdd = "another"
        """,
    )
    assert metrics.names() == ["fdd", "fid", "kid", "pi", "swd"]
    assert "registry_example_good" not in sys.modules
    assert metrics.get("swd")(None, None) == 0.5
    assert metrics.get("fdd") == "another"
    with pytest.raises(ValueError, match="'swd' is taken"):
        metrics.add("swd", 1)
    with pytest.raises(KeyError, match="did you mean 'swd'"):
        metrics.get("swdd")


def test_what_was_found_once_is_kept(site, metrics):
    distribution(site, "registry_example_kept", {"swd": "registry_example_kept:x"}, "x = object()")
    found = metrics.get("swd")
    shutil.rmtree(site / "registry_example_kept-1.0.dist-info")
    assert metrics.get("swd") is found


def test_entry_points_of_another_group_are_not_ours(site):
    distribution(site, "registry_example_other", {"swd": "registry_example_other:x"}, "x = 1")
    assert Registry("metric", f"{GROUP}_not", {}).names() == []


def test_a_builtin_name_cannot_be_taken_by_an_entry_point(site, metrics):
    distribution(site, "registry_example_fake", {"pi": "registry_example_fake:pi"}, "pi = 3")
    assert metrics.get("pi") > 3


def test_a_broken_entry_point_hurts_only_who_asks_for_it(site, metrics):
    distribution(site, "registry_example_bad", {"bad": "registry_example_bad:x"}, "import nowhere_")
    assert "bad" in metrics.names()
    assert metrics.get("pi")
    with pytest.raises(ImportError, match="nowhere_"):
        metrics.get("bad")
