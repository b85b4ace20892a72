"""The small pages, of comparisons and of a history, in a real browser."""

from __future__ import annotations

from dataclasses import replace

from nriqm_bench.reporting import compared, history
from nriqm_bench.reporting.compare import compare


def test_pages_stand_alone_and_are_read_by_everyone(browser, run, tmp_path):
    worse = replace(
        run, gates=[replace(g, value=5.0) if g.name == "diversity" else g for g in run.gates]
    )
    pages = {
        "compared.html": compared.html(compare(run, worse)),
        "history.html": history.html(history.collect([("a", run), ("b", worse)])),
        "history.svg": history.drawing(history.collect([("a", run), ("b", worse)])),
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        asked, said = [], []
        colours = set()
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme, viewport={"width": 400, "height": 800})
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.goto((tmp_path / name).as_uri())
            colours.add(page.evaluate("getComputedStyle(document.documentElement).color"))
            assert {url for url in asked if not url.startswith("data:")} == {page.url}
            assert said == []
            if name.endswith(".html"):
                assert page.get_by_role("heading", level=1).count() == 1
                assert page.get_by_role("rowheader", name="diversity").count() == (
                    name == "compared.html"
                )
                # Tables scroll by themselves: the page is no wider than the screen.
                assert page.evaluate("document.documentElement.scrollWidth") <= 400
            if name == "history.html":
                assert page.get_by_role("img").count() == 3
                assert page.get_by_role("columnheader", name="diversity").count() == 1
            page.close()
        if name.endswith(".svg"):
            assert len(colours) == 2
