"use strict";
// Reversed magma without its ends: lightness decreases with the value, so that the order of the colours
// does not depend on colour vision, and high values are dark.
const RAMP = ["#f7dcb4", "#fec185", "#fd9a6a", "#f4695c", "#d6456c", "#ab337c", "#7e2482", "#56147d", "#29115a"];
const GREY = "#cfd4da";

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function swatch(color) {
  const made = element("span", { className: "swatch" });
  made.style.background = color;
  return made;
}

// Fill the legend. `onSelect` gets the set of the chosen categories, which is empty for all.
function drawLegend(box, coloring, bytes, onSelect) {
  box.replaceChildren();
  const counts = new Array(256).fill(0);
  for (const byte of bytes) counts[byte]++;
  if (coloring.kind === "numbers") {
    const ramp = element("div", { className: "ramp" });
    ramp.style.background = `linear-gradient(to right, ${RAMP.join(",")})`;
    box.append(ramp, element("div", { className: "ends" },
      element("span", { textContent: valueOf(coloring, 0) }), element("span", { textContent: valueOf(coloring, 254) })));
  } else {
    const chosen = new Set();
    coloring.names.forEach((name, code) => {
      if (!counts[code]) return;
      const button = element("button", { type: "button" }, swatch(coloring.colors[code]),
        element("span", { textContent: name }), element("span", { className: "count", textContent: counts[code].toLocaleString("en") }));
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        if (!chosen.delete(code)) chosen.add(code);
        button.setAttribute("aria-pressed", String(chosen.has(code)));
        onSelect(chosen);
      });
      box.append(button);
    });
  }
  if (counts[MISSING]) {
    box.append(element("button", { type: "button", disabled: true }, swatch(GREY),
      element("span", { textContent: "missing" }), element("span", { className: "count", textContent: counts[MISSING].toLocaleString("en") })));
  }
}
