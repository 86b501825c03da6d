"use strict";
const HIDDEN = 254;
const MAX_LABELS = 40;
const MARGIN = 8;
// Without WebGL, more points would be slow.
const MAX_SVG = 5000;

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl") || canvas.getContext("experimental-webgl"));
}

// Plotly reads some HTML in its labels.
function plain(text) {
  const short = text.length > 28 ? text.slice(0, 27) + "…" : text;
  return short.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function numberScale() {
  const stops = RAMP.map((color, i) => [(i / (RAMP.length - 1)) * (254 / 255), color]);
  return [...stops, [254.5 / 255, GREY], [1, GREY]];
}

function categoryScale(colors) {
  const stops = [];
  for (let code = 0; code < 256; code++) {
    const color = code < colors.length ? colors[code] : code === HIDDEN ? "#eeeeee" : GREY;
    if (code < colors.length || code === colors.length || code >= HIDDEN) stops.push([code / 256, color], [(code + 1) / 256, color]);
  }
  return stops;
}

class Plane {
  constructor(div, x, y, onHover) {
    this.div = div;
    this.webgl = hasWebGL();
    const n = this.webgl ? x.length : Math.min(x.length, MAX_SVG);
    this.x = x.subarray(0, n);
    this.y = y.subarray(0, n);
    this.n = n;
    this.order = Uint32Array.from({ length: n }, (_, i) => i);
    this.limits = [this.x, this.y].map(limits);
    this.onHover = onHover;
  }

  // Ranges that show all cells with the same scale for both axes. With Plotly's own `scaleanchor`, the end of a
  // movement of 100,000 cells takes twice as long.
  fit() {
    const size = [this.div.clientWidth, this.div.clientHeight].map((pixels) => Math.max(pixels - 2 * MARGIN, 1));
    const unit = Math.max(...this.limits.map(([low, high], i) => (high - low) / size[i]));
    const [x, y] = this.limits.map(([low, high], i) => [-1, 1].map((side) => (low + high + side * unit * size[i]) / 2));
    return { x, y };
  }

  show({ x, y }) {
    return Plotly.relayout(this.div, { "xaxis.range": [...x], "yaxis.range": [...y] });
  }

  // Draw the cells with a byte each; cells with grey or low values are drawn first.
  async paint(coloring, bytes, chosen, names) {
    const isNumber = coloring.kind === "numbers";
    const shown = new Uint8Array(this.n);
    for (let i = 0; i < this.n; i++) {
      const byte = bytes[i];
      shown[i] = !isNumber && byte !== MISSING && chosen.size && !chosen.has(byte) ? HIDDEN : byte;
    }
    const rank = (byte) => (byte === MISSING ? 0 : isNumber ? byte + 1 : byte === HIDDEN ? 0 : 1);
    this.order = countingSort(shown, rank);
    const take = (values) => Float32Array.from(this.order, (i) => values[i]);
    const trace = {
      type: this.webgl ? "scattergl" : "scatter", mode: "markers", x: take(this.x), y: take(this.y), hoverinfo: "none",
      marker: {
        color: Array.from(this.order, (i) => shown[i]), size: Math.min(9, Math.max(2, 60 / this.n ** 0.3)), line: { width: 0 },
        ...(isNumber ? { colorscale: numberScale(), cmin: 0, cmax: 255 } : { colorscale: categoryScale(coloring.colors), cmin: 0, cmax: 256 }),
      },
    };
    if (!isNumber) trace.marker.color = trace.marker.color.map((byte) => byte + 0.5);
    this.labels = isNumber ? [] : this.medians(coloring, shown);
    this.named = names;
    await Plotly.react(this.div, [trace], this.layout(names), {
      scrollZoom: true, displaylogo: false, responsive: true, doubleClick: "reset",
      modeBarButtonsToRemove: ["zoom2d", "select2d", "lasso2d", "autoScale2d"],
      toImageButtonOptions: { filename: "cells", scale: 3 },
    });
    if (!this.listening) this.listen();
  }

  layout(names) {
    const axis = (range) => ({ range, showgrid: false, zeroline: false, showticklabels: false, ticks: "" });
    const range = this.fit();
    return {
      uirevision: "fixed", dragmode: "pan", hovermode: "closest", hoverdistance: 8, showlegend: false, paper_bgcolor: "#fff", plot_bgcolor: "#fff",
      margin: { l: MARGIN, r: MARGIN, t: MARGIN, b: MARGIN },
      xaxis: axis(range.x), yaxis: axis(range.y),
      annotations: names ? this.free(range) : [],
    };
  }

  // Labels without overlaps in the given range, those of large categories first.
  free({ x: [x0, x1], y: [y0, y1] }) {
    const { clientWidth: width, clientHeight: height } = this.div;
    const scale = Math.min(width / (x1 - x0), height / (y1 - y0));
    const boxes = [];
    return this.labels.filter((label) => {
      const w = 4 + 3.7 * label.name.length, h = 9, x = label.x * scale, y = label.y * scale;
      if (boxes.some((b) => Math.abs(b.x - x) < b.w + w && Math.abs(b.y - y) < b.h + h)) return false;
      boxes.push({ x, y, w, h });
      return true;
    });
  }

  // Labels at the medians of the categories.
  medians(coloring, shown) {
    const members = new Map();
    for (let i = 0; i < this.n; i++) {
      if (shown[i] >= HIDDEN) continue;
      if (!members.has(shown[i])) members.set(shown[i], []);
      members.get(shown[i]).push(i);
    }
    if (members.size > MAX_LABELS) return [];
    const median = (values) => Float32Array.from(values).sort()[values.length >> 1];
    const largest = [...members].sort(([, a], [, b]) => b.length - a.length);
    return largest.map(([code, cells]) => ({
      name: coloring.names[code].slice(0, 28), x: median(cells.map((i) => this.x[i])), y: median(cells.map((i) => this.y[i])), text: plain(coloring.names[code]),
      showarrow: false, bgcolor: "rgba(255,255,255,0.72)", borderpad: 1, font: { size: 12, color: "#111" }, captureevents: false,
    }));
  }

  async setNames(shown) {
    this.named = shown;
    const { xaxis, yaxis } = this.div._fullLayout;
    await Plotly.relayout(this.div, { annotations: shown ? this.free({ x: xaxis.range, y: yaxis.range }) : [] });
  }

  listen() {
    this.listening = true;
    this.div.on("plotly_hover", (event) => this.onHover(this.order[event.points[0].pointNumber], event.event));
    this.div.on("plotly_unhover", () => this.onHover(null));
    this.div.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("resize", () => setTimeout(() => this.show(this.fit()), 200));
    this.div.addEventListener("wheel", () => this.onHover(null), { passive: true });
    // More labels fit after zooming in.
    this.div.on("plotly_relayout", (change) => {
      if (this.named && this.labels.length && Object.keys(change).some((key) => /axis/.test(key))) this.setNames(true);
    });
  }

  key(event) {
    const { xaxis, yaxis } = this.div._fullLayout;
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    const zoom = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
    let ranges = null;
    if (move) ranges = [xaxis, yaxis].map(({ range: [a, b] }, i) => [a + move[i] * (b - a) * 0.1, b + move[i] * (b - a) * 0.1]);
    else if (zoom) ranges = [xaxis, yaxis].map(({ range: [a, b] }) => [(a + b) / 2 - ((b - a) / 2) * zoom, (a + b) / 2 + ((b - a) / 2) * zoom]);
    else if (event.key === "0") ranges = Object.values(this.fit());
    if (!ranges || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.show({ x: ranges[0], y: ranges[1] });
  }
}

function limits(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
  const margin = Math.max((high - low) * 0.04, 1);
  return [low - margin, high + margin];
}

// Positions sorted by the rank (0 to 256) of their bytes; equal ones keep their order.
function countingSort(bytes, rank) {
  const start = new Uint32Array(258);
  for (const byte of bytes) start[rank(byte) + 1]++;
  for (let r = 1; r < start.length; r++) start[r] += start[r - 1];
  const order = new Uint32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) order[start[rank(bytes[i])]++] = i;
  return order;
}
