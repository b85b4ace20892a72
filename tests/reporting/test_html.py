"""The HTML page: complete, self-contained, small, and safe whoever wrote the run."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

from nriqm_bench.reporting import Picture, drawings, from_json, html, to_json


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.references, self.scopes, self.alts, self.ids = [], [], 0, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        found = dict(attrs)
        self.scopes += "scope" in found
        self.ids += [found["id"]] if "id" in found else []
        self.alts += [found.get("alt")] if tag == "img" else []
        self.references += [v for k, v in attrs if k in ("src", "href", "xlink:href")]


def test_it_stands_alone(pictured):
    text = html.render(pictured)
    page = Page(text)
    assert text.startswith("<!doctype html>")
    assert all(reference.startswith(("#", "data:")) for reference in page.references)
    assert "script" not in page.tags
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table")
    assert page.scopes > 10
    assert "✗ DO NOT RELEASE model" in text
    assert "url(" not in text.replace("url(#", "")
    assert "@import" not in text
    assert html.render(pictured) == text
    # Also after a way through the file.
    assert html.render(from_json(to_json(pictured))) == text


def test_every_link_within_leads_somewhere(pictured):
    page = Page(html.render(pictured))
    inner = {r[1:] for r in page.references if r.startswith("#") and len(r) > 1}
    assert inner <= set(page.ids)
    own = [i for i in page.ids if i[0] != "m" and "_" not in i]
    assert len(set(own)) == len(own)


def test_every_gate_and_curve_is_drawn(run):
    text = html.render(run)
    # A drawing a gate and a case of which something is asked of held-out images.
    assert text.count('<svg role="img" aria-label="') == len(run.gates) + 2
    assert text.count('<svg class="spark"') == len(run.rows)
    assert 'aria-label="memorisation: value .97; fails above .61; real images .412 to .6"' in text


def test_pictures_are_shown_with_what_they_are(pictured):
    text = html.render(pictured)
    page = Page(text)
    assert len(page.alts) == sum(len(p.images) for p in pictured.pictures)
    assert all(page.alts)
    assert "blur at level 1" in page.alts
    # The strip of a case without curves has a place of its own.
    assert "motion at level 4" in page.alts
    assert "damage" in page.ids
    assert "training image 3 (sub-03): distance .125" in text
    bare = Page(html.render(dataclasses.replace(pictured, pictures=[])))
    assert not {"samples", "copies", "damage"} & set(bare.ids)


def test_downstream_has_a_table_and_a_drawing_each_space(run, tested):
    before, after = Page(html.render(run)), Page(text := html.render(tested))
    assert after.tags.count("table") == before.tags.count("table") + 1
    drawn = [page.tags.count("svg") for page in (before, after)]
    assert drawn[1] == drawn[0] + 2
    assert "coverage +1" in text
    assert "fid -.33" in text


def test_what_others_wrote_is_escaped(pictured):
    evil = "<script>alert(1)</script>"
    gate = dataclasses.replace(pictured.gates[0], reason=evil, name='x" onload="y')
    foreign = Picture("samples", evil, "", [evil, "b"], ['x" onerror="z', "http://example.org/a"])
    rows = [dataclasses.replace(row, metric=evil, case=evil) for row in pictured.rows]
    text = html.render(
        dataclasses.replace(
            pictured, gates=[gate], notes=["<b>note</b>"], pictures=[foreign], rows=rows
        )
    )
    assert "<script" not in text
    assert "<b>note" not in text
    page = Page(text)
    assert not page.alts
    assert 'onload="y' not in text.replace("&#34; onload=&#34;y", "")


def test_a_case_costs_few_bytes(run):
    """Of 60 cases (of 41 a generator, and those of held-out images), a page has 5 MB."""
    rows = [
        dataclasses.replace(run.rows[0], case=f"case-{i}", metric=f"metric-{k:02}", extractor=space)
        for i in range(4)
        for space in ("a", "b", "c", "d", "e", "f")
        for k in range(24 if space == "a" else 6)
    ]
    few = len(html.render(dataclasses.replace(run, rows=rows[: len(rows) // 4])))
    many = len(html.render(dataclasses.replace(run, rows=rows)))
    assert (many - few) / 3 < 5e6 / 60


def test_the_first_level_that_is_seen_is_marked(run):
    row = next(r for r in run.rows if r.metric == "fid" and r.source == "held-out")
    assert drawings.effects(row) == [0.0, 12.5, 75.0]
    assert drawings.first_seen(row) == 1
    better = dataclasses.replace(row, values=[800.0, 300.0, 200.0])
    assert drawings.effects(better) == [0.0, 62.5, 75.0]
    unseen = dataclasses.replace(row, detection_level=None)
    assert drawings.first_seen(unseen) is None
    assert "<circle" in drawings.spark(row)
    assert "<circle" not in drawings.spark(unseen)
