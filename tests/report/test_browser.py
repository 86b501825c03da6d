"""The page in a headless Chromium."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report.conftest import EVIL, QUOTES

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

VARIABLE = "MULTIDGD_TEST_BROWSER"
# Software rendering, so that the tests need no GPU.
ARGUMENTS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
READY = "() => window.report && window.report.ready"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's Chromium, or the executable that an environment variable names."""
    with sync_api.sync_playwright() as playwright:
        given = os.environ.get(VARIABLE)
        path = shutil.which(given) if given else playwright.chromium.executable_path
        if path is None or not Path(path).exists():
            pytest.skip(f"no Chromium: run `playwright install chromium` or set {VARIABLE}")
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def opened(browser, page, tmp_path):
    """The page, with everything that went wrong in it."""
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("dialog", lambda dialog: (wrong.append("dialog"), dialog.dismiss()))
    tab.on("request", lambda r: wrong.append(r.url) if not is_local(r.url, file) else None)
    tab.goto(file.as_uri())
    tab.wait_for_function(READY, timeout=60_000)
    yield tab
    tab.close()
    assert wrong == []


def is_local(url: str, file: Path) -> bool:
    return url == file.as_uri() or url.startswith(("data:", "blob:"))


def shown(tab) -> str:
    return tab.evaluate("window.report.coloring.name")


def painted(tab, n: int) -> None:
    tab.wait_for_function("n => window.report.painted > n", arg=n, timeout=30_000)


def colors(tab) -> int:
    """Number of different colours of the drawn cells."""
    script = "new Set(document.getElementById('plane').data[0].marker.color).size"
    return tab.evaluate(script)


def test_cells_are_drawn(opened):
    assert shown(opened) == "cell_type"
    assert opened.evaluate("document.getElementById('plane').data[0].x.length") == 120
    assert colors(opened) == 3
    assert opened.locator("#plane canvas").count() > 0
    script = """() => { const c = document.querySelector('#plane canvas.gl-canvas-context');
      const gl = c.getContext('webgl'); const p = new Uint8Array(4 * c.width * c.height);
      gl.readPixels(0, 0, c.width, c.height, gl.RGBA, gl.UNSIGNED_BYTE, p);
      return p.some((v) => v > 0); }"""
    assert opened.evaluate(script)


def test_hostile_names_are_shown_as_text(opened):
    assert opened.title() == f"{EVIL}: report"
    assert opened.locator("h1").inner_text() == EVIL
    assert EVIL in opened.locator("#legend").inner_text()
    assert EVIL in opened.locator("#plane").inner_text()  # the name beside its cells
    assert QUOTES in opened.locator("#colour").inner_text()


@pytest.mark.parametrize("name", ["batch", "component", QUOTES, "uncertainty (posterior sd)"])
def test_colour_by(opened, name):
    n = opened.evaluate("window.report.painted")
    opened.locator("#colour").select_option(label=name)
    painted(opened, n)
    assert shown(opened) == name
    assert opened.locator("#legend-title").inner_text() == name
    assert colors(opened) > 1


def test_search_by_keyboard(opened):
    n = opened.evaluate("window.report.painted")
    opened.locator("#search").focus()
    opened.keyboard.type("<SCRIPT>")
    assert opened.locator("#features option").all_inner_texts() == [EVIL]
    opened.keyboard.press("Enter")
    painted(opened, n)
    assert shown(opened) == EVIL
    opened.locator("#search").fill("no such gene")
    assert opened.locator("#features option").count() == 0
    assert "not among the top 40" in opened.locator("#found").inner_text()
    opened.locator("#search").fill("")
    assert opened.locator("#features option").count() == 40


def test_choice_in_the_list(opened):
    n = opened.evaluate("window.report.painted")
    name = opened.locator("#features option").nth(3).inner_text()
    opened.locator("#features").select_option(label=name)
    painted(opened, n)
    assert shown(opened) == name
    # A gene is not among the annotations, and has no names to write.
    chosen = "(e => e.options[e.selectedIndex].textContent)(document.getElementById('colour'))"
    assert opened.evaluate(chosen) == "gene or protein"
    assert opened.locator("#names").is_disabled()
    opened.emulate_media(media="print")
    assert opened.locator(".ramp").bounding_box()["width"] > 200
    opened.emulate_media(media="screen")
    opened.locator("#colour").select_option(label="cell_type")
    opened.wait_for_function("!document.getElementById('names').disabled")


def test_marker_in_the_table(opened):
    marker = opened.locator(".marker[role=button]").first
    n = opened.evaluate("window.report.painted")
    marker.focus()
    opened.keyboard.press("Enter")
    painted(opened, n)
    assert shown(opened) == marker.inner_text()


def test_legend_selects_categories(opened):
    n = opened.evaluate("window.report.painted")
    button = opened.locator("#legend button").first
    button.focus()
    opened.keyboard.press("Space")
    painted(opened, n)
    assert button.get_attribute("aria-pressed") == "true"
    assert colors(opened) == 2  # the category, and all others


def test_keys_move_and_zoom(opened):
    def limits():
        return opened.evaluate("[...document.getElementById('plane')._fullLayout.xaxis.range]")

    opened.locator("#plane").focus()
    start = limits()
    opened.keyboard.press("ArrowRight")
    opened.wait_for_timeout(200)
    assert limits()[0] > start[0]
    opened.keyboard.press("0")
    opened.keyboard.press("+")
    opened.wait_for_timeout(200)
    assert limits()[1] - limits()[0] == pytest.approx(0.8 * (start[1] - start[0]), rel=0.05)


def test_hover_describes_a_cell(opened):
    opened.locator("#cells").scroll_into_view_if_needed()
    place = opened.evaluate(
        """() => { const d = document.getElementById('plane'), l = d._fullLayout, b = d.getBoundingClientRect();
        return [b.left + l._size.l + l.xaxis.d2p(d.data[0].x[7]), b.top + l._size.t + l.yaxis.d2p(d.data[0].y[7])]; }"""
    )
    opened.mouse.move(place[0] - 40, place[1])
    opened.mouse.move(*place, steps=5)
    at = opened.evaluate("document.getElementById('plane').data[0].x[7]")
    name = opened.evaluate(
        """async x => { const data = JSON.parse(document.getElementById('data').textContent);
        const names = new TextDecoder().decode(await unpack(data.names, Uint8Array)).split("\\n");
        return names[(await unpack(data.x, Uint16Array)).indexOf(x)]; }""",
        at,
    )
    # On its way, the pointer passes other cells.
    box = opened.locator("#hover", has=opened.locator("strong", has_text=re.compile(f"^{name}$")))
    box.wait_for(state="visible", timeout=10_000)
    text = box.inner_text()
    assert "cell_type" in text and "component" in text
    opened.mouse.wheel(0, 100)
    opened.locator("#hover").wait_for(state="hidden", timeout=10_000)


def test_narrow_window_and_paper(opened, tmp_path):
    opened.set_viewport_size({"width": 800, "height": 900})
    opened.wait_for_timeout(300)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 800
    opened.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
