"""The pages speak of what there is: links lead somewhere, and every case has its section."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nriqm_bench import cases, extractors, perturbations

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("data/**/*.md")]


def heads(page):
    """The anchors of a page, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        assert not anchor or anchor in heads(there), target


def test_every_case_has_its_section():
    text = (ROOT / "docs/cases.md").read_text(encoding="utf-8")
    for name in cases.names():
        case = cases.get(name)
        _, found, section = text.partition(f"\n## {case.experiment} {name}\n")
        assert found, name
        section = section.partition("\n## ")[0]
        levels = ", ".join(f"{level:g}" for level in case.levels)
        assert f"): {levels}. Evidence {case.evidence}; source: {case.source}." in section
        assert "| fid | " in section or "| authpct | " in section, name


def test_every_remedy_is_told():
    text = (ROOT / "docs/remedies.md").read_text(encoding="utf-8")
    for name in extractors.names():
        if name.startswith(("lesion", "vessel")) or name.endswith("maps"):
            assert f"| `{name}` |" in text


@pytest.mark.parametrize("name", perturbations.names())
def test_a_level_has_a_meaning(name):
    """What a level does, and its unit, stand in the docstring or the registry."""
    found = perturbations.get(name)
    assert found.unit
    assert len((found.function.__doc__ or "").strip().splitlines()) >= 3
