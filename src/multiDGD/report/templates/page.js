"use strict";
// Controls of the page. `window.report` is the state that tests read.
(async () => {
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("data").textContent);
  if (typeof DecompressionStream === "undefined") {
    at("plane").textContent = "The picture of the cells needs a browser from 2023 or later.";
    return;
  }
  const several = new Set(data.features.map((f) => f.group)).size > 1;
  const nameOf = (f) => (several ? `${f.name} (${f.group})` : f.name);
  const bytesOf = async (coloring) => (coloring.bytes ??= await unpack(coloring.data, Uint8Array));
  const namesOfCells = async () => (data.cells ??= new TextDecoder().decode(await unpack(data.names, Uint8Array)).split("\n"));
  const state = { coloring: null, chosen: new Set(), painted: 0, hovered: null };
  window.report = state;

  const [x, y] = await Promise.all([unpack(data.x, Uint16Array), unpack(data.y, Uint16Array)]);
  const described = data.colorings.slice(0, 8);
  const plane = new Plane(at("plane"), x, y, hover);

  async function colour(coloring) {
    const bytes = await bytesOf(coloring);
    state.coloring = coloring;
    state.chosen = new Set();
    const title = data.features.includes(coloring) ? `${nameOf(coloring)}, log-normalised counts` : coloring.name;
    at("legend-title").textContent = title;
    at("shown").textContent = `Coloured by ${title}.`;
    at("names").disabled = coloring.kind === "numbers";
    drawLegend(at("legend"), coloring, bytes, (chosen) => { state.chosen = chosen; paint(); });
    await paint();
  }

  async function paint() {
    await plane.paint(state.coloring, await bytesOf(state.coloring), state.chosen, at("names").checked);
    state.painted++;
  }

  async function hover(cell, event) {
    const box = at("hover");
    state.hovered = cell;
    box.hidden = true;
    if (cell === null) return;
    const name = (await namesOfCells())[cell];
    const rows = [...new Set([state.coloring, ...described])];
    const list = element("dl", {});
    for (const coloring of rows) {
      const byte = (await bytesOf(coloring))[cell];
      list.append(element("dt", { textContent: coloring.name }), element("dd", { textContent: valueOf(coloring, byte) }));
    }
    // The pointer may have moved on while values were unpacked.
    if (state.hovered !== cell) return;
    box.replaceChildren(element("strong", { textContent: name }), list);
    box.hidden = false;
    box.style.left = `${Math.min(event.clientX + 14, window.innerWidth - 290)}px`;
    box.style.top = `${Math.min(event.clientY + 14, window.innerHeight - box.offsetHeight - 8)}px`;
  }

  const groups = new Map();
  data.colorings.forEach((coloring, i) => {
    if (!groups.has(coloring.group)) groups.set(coloring.group, element("optgroup", { label: coloring.group }));
    groups.get(coloring.group).append(element("option", { value: String(i), textContent: coloring.name }));
  });
  at("colour").append(element("option", { value: "", textContent: "gene or protein", disabled: true, hidden: true }), ...groups.values());
  at("colour").addEventListener("change", (event) => {
    at("features").selectedIndex = -1;
    colour(data.colorings[Number(event.target.value)]);
  });

  function find(text) {
    const wanted = text.trim().toLowerCase();
    const hits = data.features.map((f, i) => [f, i]).filter(([f]) => nameOf(f).toLowerCase().includes(wanted));
    const rank = ([f]) => (f.name.toLowerCase() === wanted ? 0 : f.name.toLowerCase().startsWith(wanted) ? 1 : 2);
    if (wanted) hits.sort((a, b) => rank(a) - rank(b));
    at("features").replaceChildren(...hits.map(([f, i]) => element("option", { value: String(i), textContent: nameOf(f) })));
    at("found").textContent = hits.length ? `${hits.length} found` : `${text}: not among the top ${data.features.length}`;
    return hits;
  }
  function pick(i) {
    at("colour").value = "";
    return colour(data.features[i]);
  }
  at("search").addEventListener("input", (event) => find(event.target.value));
  at("search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    const hits = find(event.target.value);
    if (!hits.length) return;
    at("features").selectedIndex = 0;
    pick(hits[0][1]);
  });
  at("features").addEventListener("change", (event) => pick(Number(event.target.value)));
  at("names").addEventListener("change", (event) => plane.setNames(event.target.checked));
  find("");
  at("found").textContent = "";

  const index = new Map(data.features.map((f, i) => [`${f.group}\n${f.name}`, i]));
  for (const marker of document.querySelectorAll(".marker")) {
    const i = index.get(`${marker.dataset.modality}\n${marker.dataset.feature}`);
    if (i === undefined) continue;
    marker.setAttribute("role", "button");
    marker.tabIndex = 0;
    const show = () => pick(i).then(() => at("cells").scrollIntoView({ behavior: "auto" }));
    marker.addEventListener("click", show);
    marker.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); show(); } });
  }

  // The picture keeps its size in pixels and is scaled to the paper.
  const style = at("plane").style;
  window.addEventListener("beforeprint", () => {
    const { offsetWidth: width, offsetHeight: height } = at("plane");
    Object.assign(style, { width: `${width}px`, height: `${height}px`, zoom: String(Math.min(1, 640 / width)) });
  });
  window.addEventListener("afterprint", () => Object.assign(style, { width: "", height: "", zoom: "" }));

  at("colour").value = "0";
  await colour(data.colorings[0]);
  state.ready = true;
})();
