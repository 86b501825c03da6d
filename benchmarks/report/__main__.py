"""Compare libraries for scatter plots in a browser by the size of their scripts and their speed.

``python -m benchmarks.report FOLDER`` writes ``results/libraries.json`` and the table of
``report.md``. It needs ``pip install '.[browser]'``, Chromium, and a folder in which the npm
packages ``plotly.js-gl2d-dist-min``, ``plotly.js-dist-min``, ``@bokeh/bokehjs`` and ``deck.gl`` are
installed (``npm install --prefix FOLDER ...``).

Each page draws cells of 20 types with WebGL. All are then coloured anew and moved, five times
each. Times of the main thread of the browser do not include drawing. Elapsed times do: they are
those of a computer without a graphics processor, which Chromium imitates in another process.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, sync_playwright

from benchmarks.report.libraries import LIBRARIES, Library
from benchmarks.report.page import RESULTS, render
from benchmarks.shared import results
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save

_ARGUMENTS = (
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
_N_REPEATS = 5
_FRAMES = (
    "const frames = (m) => new Promise((done) => { let t = 0;"
    " const f = () => { if (++t >= m) done(); else requestAnimationFrame(f); };"
    " requestAnimationFrame(f); });"
)
_LIMIT_MS = 240_000


def measure(browser: Browser, library: Library, scripts: list[Path], n_cells: int) -> dict:
    """Milliseconds of the main thread, and elapsed, for each action."""
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.set_default_timeout(_LIMIT_MS)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(library.page(scripts, n_cells), encoding="utf-8")
        page.goto(file.as_uri())
        page.add_script_tag(content=_FRAMES)
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy() -> float:
            metrics = session.send("Performance.getMetrics")["metrics"]
            return 1e3 * next(m["value"] for m in metrics if m["name"] == "TaskDuration")

        found = {}
        for action, n in (("start", 1), ("recolour", _N_REPEATS), ("move", _N_REPEATS)):
            before, start = busy(), time.perf_counter()
            for i in range(n):
                page.evaluate(f"async () => {{ await {action}({i + 1}); await frames(2); }}")
            found[action] = (busy() - before) / n
            found[f"{action}_wall"] = 1e3 * (time.perf_counter() - start) / n
    page.close()
    return found


def main() -> None:
    """Parse the command line, measure and write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("folder", type=Path, help="folder with `node_modules`")
    parser.add_argument("--browser", type=Path, help="Chromium; Playwright's own by default")
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    args = parser.parse_args()
    rows = []
    with sync_playwright() as playwright:
        for library in LIBRARIES:
            package = args.folder / "node_modules" / library.package
            about = json.loads((package / "package.json").read_text())
            scripts = [package / name for name in library.scripts]
            for n_cells in args.cells:
                browser = playwright.chromium.launch(
                    executable_path=args.browser, args=list(_ARGUMENTS)
                )
                row = {
                    "library": library.name,
                    "version": about["version"],
                    "licence": about["license"],
                    "bytes": sum(script.stat().st_size for script in scripts),
                    "n_cells": n_cells,
                    **measure(browser, library, scripts, n_cells),
                }
                print(row, flush=True)
                rows.append(row)
                browser.close()
    command = results.command("report", "FOLDER", cells=args.cells)
    results.write(RESULTS, command, {"environment": results.environment(1), "rows": rows})
    save(render())


if __name__ == "__main__":
    main()
