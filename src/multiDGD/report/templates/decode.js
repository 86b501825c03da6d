"use strict";
// Arrays of the page: base64 of zlib-compressed little-endian integers.
const MISSING = 255;

async function unpack(text, Type) {
  const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Type(await new Response(stream).arrayBuffer());
}

function valueOf(coloring, byte) {
  if (byte === MISSING) return "missing";
  if (coloring.kind === "categories") return coloring.names[byte];
  const value = coloring.low + (byte / 254) * (coloring.high - coloring.low);
  // Values beyond the range of the colours have those of its ends.
  const sign = byte === 254 ? "≥ " : byte === 0 && coloring.low !== 0 ? "≤ " : "";
  return sign + value.toPrecision(3);
}
