"""The HTML page in a real browser: what a reader sees, hears and reaches by keyboard."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from nriqm_bench.reporting import write


@pytest.fixture
def opened(browser, pictured, tmp_path):
    """A page, what it asked for, and what its console said."""
    write(pictured, tmp_path / "run.html")
    contexts = []

    def opened(**context):
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((tmp_path / "run.html").as_uri())
        return page, asked, said

    yield opened
    for context in contexts:
        context.close()


def test_no_request_leaves_the_file_and_the_console_is_silent(opened):
    page, asked, said = opened()
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [page.url]
    assert said == []
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth == 24)")


def test_headings_tables_and_landmarks_have_their_roles(opened):
    page, _, _ = opened()
    assert page.get_by_role("heading", level=1).count() == 1
    titles = page.get_by_role("heading", level=2).all_inner_texts()
    assert titles[0] == "Gates"
    assert titles[-1] == "Provenance"
    assert page.get_by_role("main").count() == page.get_by_role("navigation").count() == 1
    assert page.get_by_role("region", name="Verdict on model").count() == 1
    table = page.get_by_role("table", name="model", exact=True)
    assert table.get_by_role("columnheader").count() == 7
    names = table.get_by_role("rowheader").all_inner_texts()
    assert names == ["memorisation", "diversity", "fidelity"]
    assert page.get_by_role("img", name="memorisation: value .97").count() == 1


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_the_filter_leaves_what_failed(opened, scripts):
    page, _, _ = opened(java_script_enabled=scripts)
    failed = page.get_by_role("rowheader", name="memorisation", exact=True)
    passed = page.get_by_role("rowheader", name="diversity", exact=True)
    assert failed.is_visible()
    assert passed.is_visible()
    page.get_by_role("checkbox", name="only what failed").check()
    assert failed.is_visible()
    assert not passed.is_visible()
    assert page.get_by_text("density on held-out: density under blur").is_visible()
    assert not page.get_by_role("heading", name="Samples").is_visible()
    page.get_by_role("checkbox", name="only what failed").uncheck()
    assert passed.is_visible()


def test_the_keyboard_reaches_contents_and_filter(opened):
    page, _, _ = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the verdict"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "only":
            break
    page.keyboard.press("Space")
    assert page.get_by_role("checkbox", name="only what failed").is_checked()
    # Tables that are wider than the page are scrolled by keyboard too.
    assert page.locator(".scroll:not([tabindex])").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_the_window_in_light_and_dark(opened, scheme, width, tmp_path):
    page, _, _ = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shot = page.screenshot(path=tmp_path / f"{scheme}-{width}.png", full_page=True)
    greys = np.asarray(Image.open(io.BytesIO(shot)).convert("L"))
    assert (np.median(greys) > 200) == (scheme == "light")
    # Text against what lies behind it, as WCAG 2 asks of text of this size.
    assert page.evaluate(_CONTRAST) == []


_CONTRAST = """() => {
  const parse = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255;
    return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const over = (top, below) => { const a = top.length > 3 ? top[3] : 1;
    return below.map((v, i) => a * top[i] + (1 - a) * v); };
  const behind = (e) => { const layers = [];
    for (; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((low, top) => over(top, low), [255, 255, 255]); };
  const bad = [];
  for (const e of document.querySelectorAll("p,li,dt,dd,td,th,figcaption,.tag,a,summary")) {
    if (!e.textContent.trim() || e.matches(".skip")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push([e.tagName, e.className, ratio, e.textContent.slice(0, 30)]);
  }
  return bad;
}"""
