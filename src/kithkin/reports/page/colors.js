/* Colours of points: those of groups come with the data, numbers get a ramp. */

// viridis at tenths of its length (S. van der Walt and N. Smith 2015, matplotlib, CC0): even steps in lightness,
// readable without red or green
const RAMP = [
  [68, 1, 84], [72, 37, 118], [65, 68, 135], [53, 95, 141], [42, 120, 142],
  [33, 145, 140], [34, 168, 132], [66, 190, 113], [122, 209, 81], [189, 223, 38], [253, 231, 37],
];
const SIDE_OF_PALETTE = 256; // codes of two bytes, as rows and columns of a texture

function parseColor(text) {
  const value = parseInt(text.slice(1, 7), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** Red, green and blue of a share 0..1 of the scale. */
function rampAt(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const k = Math.min(Math.floor(place), RAMP.length - 2);
  return RAMP[k].map((from, i) => Math.round(from + (place - k) * (RAMP[k + 1][i] - from)));
}

function rgb(parts) {
  return `rgb(${parts.join(" ")})`;
}

/** The value of a custom property of the page, such as "--paper". */
function themeColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Stops for a gradient of CSS or SVG. */
function rampStops() {
  return RAMP.map((color, i) => ({ offset: i / (RAMP.length - 1), color: rgb(color) }));
}

/**
 * Colours by code or level, four bytes each: red, green, blue, and how far in front the point lies: 0 for missing
 * values, 128 for groups, and for numbers the more the higher they are, where high ones are to lie in front.
 */
function paletteOf(color) {
  const thing = coloredBy(color);
  const grouped = thing && thing.kind === "groups";
  const out = new Uint8Array(SIDE_OF_PALETTE * SIDE_OF_PALETTE * 4);
  const missing = parseColor(themeColor("--missing"));
  const set = (code, parts, front) => out.set([...parts, front], 4 * code);
  if (!thing) {
    set(0, parseColor(themeColor("--accent")), 128);
  } else if (grouped) {
    thing.names.forEach((_, code) => set(code, parseColor(colorOfGroup(thing, code)), 128));
    set(missingCode(thing), missing, 0);
  } else {
    for (let level = 0; level < 255; level += 1) set(level, rampAt(level / 254), look.front ? 1 + level : 128);
    set(MISSING, missing, 0);
  }
  return out;
}

/** Code or level of every point under a colouring. */
function valuesOf(color) {
  const thing = coloredBy(color);
  if (!thing) return Promise.resolve(new Uint8Array(contents.n));
  return thing.kind === "groups" ? codes(thing) : levels(thing);
}
