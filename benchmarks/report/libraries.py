"""The libraries, each with the script that draws, colours and moves the same cells."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_CELLS = """
let seed = 1;
const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
const normal = () => Math.sqrt(-2 * Math.log(random() + 1e-9)) * Math.cos(6.2831853 * random());
const centres = Array.from({ length: 20 }, () => [20 * random() - 10, 20 * random() - 10]);
const x = new Float32Array(n), y = new Float32Array(n), type = new Uint8Array(n);
for (let i = 0; i < n; i++) {
  type[i] = i % 20; x[i] = centres[type[i]][0] + normal(); y[i] = centres[type[i]][1] + normal();
}
const level = (h) => Math.round(127 + 127 * Math.cos(6.28 * h));
const colors = Array.from({ length: 20 }, (_, i) => [level(i / 20), level(i / 20 + .33), level(i / 20 + .67)]);
const hex = colors.map((c) => "#" + c.map((v) => v.toString(16).padStart(2, "0")).join(""));
"""

_PLOTLY = """
const scale = hex.flatMap((c, i) => [[i / 20, c], [(i + 1) / 20, c]]);
const start = () => Plotly.newPlot("plane",
  [{ type: "scattergl", mode: "markers", x, y, hoverinfo: "none",
     marker: { size: 3, color: Array.from(type), colorscale: scale, cmin: 0, cmax: 20 } }],
  { width: 900, height: 600, dragmode: "pan" }, { scrollZoom: true });
const recolour = (j) => Plotly.restyle("plane", { "marker.color": [Array.from(type, (v) => (v + j) % 20)] }, [0]);
const move = (j) => Plotly.relayout("plane", { "xaxis.range": [-12 + j * .1, 12 + j * .1] });
"""

_BOKEH = """
let source, figure;
const start = () => {
  source = new Bokeh.ColumnDataSource({ data: { x, y, c: Array.from(type, (v) => hex[v]) } });
  figure = Bokeh.Plotting.figure({ width: 900, height: 600, output_backend: "webgl", tools: "pan,wheel_zoom" });
  figure.scatter({ field: "x" }, { field: "y" }, { source, size: 3, fill_color: { field: "c" }, line_color: null });
  return Bokeh.Plotting.show(figure, "#plane");
};
const recolour = async (j) => { source.data = { x, y, c: Array.from(type, (v) => hex[(v + j) % 20]) }; };
const move = async (j) => { figure.x_range.setv({ start: -12 + j * .1, end: 12 + j * .1 }); };
"""

_DECK = """
let drawing;
const xy = new Float32Array(2 * n);
for (let i = 0; i < n; i++) { xy[2 * i] = x[i]; xy[2 * i + 1] = y[i]; }
const layer = (j) => {
  const c = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) c.set(colors[(type[i] + j) % 20], 3 * i);
  const attributes = { getPosition: { value: xy, size: 2 }, getFillColor: { value: c, size: 3 } };
  return new deck.ScatterplotLayer({ id: "cells", data: { length: n, attributes }, getRadius: 1.5, radiusUnits: "pixels", pickable: true });
};
const start = () => new Promise((done) => {
  drawing = new deck.Deck({ parent: document.getElementById("plane"), width: 900, height: 600, views: new deck.OrthographicView(),
    initialViewState: { target: [0, 0, 0], zoom: 5 }, controller: true, layers: [layer(0)], onAfterRender: done });
});
const recolour = async (j) => { drawing.setProps({ layers: [layer(j)] }); };
const move = async (j) => { drawing.setProps({ initialViewState: { target: [j * .1, 0, 0], zoom: 5 } }); };
"""


class Library(NamedTuple):
    """A library: its npm package, the scripts that a page needs, and the code that uses them."""

    name: str
    package: str
    scripts: tuple[str, ...]
    code: str

    def page(self, scripts: list[Path], n_cells: int) -> str:
        """HTML page with the functions ``start``, ``recolour`` and ``move``."""
        texts = [script.read_text(encoding="utf-8") for script in scripts]
        texts.append(f"const n = {n_cells};{_CELLS}{self.code}")
        tags = "".join(f"<script>{text}</script>" for text in texts)
        return f'<!doctype html><meta charset="utf-8"><div id="plane"></div>{tags}'


_BOKEH_SCRIPTS = tuple(f"build/js/bokeh{part}.min.js" for part in ("", "-api", "-gl"))
LIBRARIES = (
    Library("Plotly, gl2d", "plotly.js-gl2d-dist-min", ("plotly-gl2d.min.js",), _PLOTLY),
    Library("Plotly, complete", "plotly.js-dist-min", ("plotly.min.js",), _PLOTLY),
    Library("Bokeh", "@bokeh/bokehjs", _BOKEH_SCRIPTS, _BOKEH),
    Library("deck.gl", "deck.gl", ("dist.min.js",), _DECK),
)
