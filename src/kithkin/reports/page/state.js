/* What is shown: one state for the whole page, and who hears when it changes. */

const listeners = new Map();

function on(event, act) {
  if (!listeners.has(event)) listeners.set(event, []);
  listeners.get(event).push(act);
}

function tell(event, detail) {
  for (const act of listeners.get(event) ?? []) act(detail);
}

const defaultPartition = contents.columns[contents.partition] ?? contents.columns.find((column) => column.kind === "groups") ?? null;

function isGene(thing) {
  return thing.kind === undefined;
}

function coloring(thing) {
  if (!thing) return {};
  return isGene(thing) ? { gene: thing } : { column: thing };
}

const state = {
  views: [0, 1].map(() => ({
    embedding: contents.embeddings[0] ?? null,
    color: coloring(defaultPartition ?? contents.columns[0] ?? contents.genes[0]),
  })),
  active: 0, // the map that a click in a table or a tree speaks of; 1 is the second one
  get embedding() {
    return this.views[this.active].embedding;
  },
  get color() {
    return this.views[this.active].color;
  },
  partition: defaultPartition,
  hidden: new Map(), // column key -> Set of codes
  renamed: new Map(), // column key -> Map(code -> name)
  selected: null,
  n_selected: 0,
  focus: null,
};

/** Column or gene of a colouring, or null. */
function coloredBy(color) {
  return color.column ?? color.gene ?? null;
}

/** Colour a map, the active one unless another is named, by an entry of contents.columns or contents.genes. */
function colorBy(thing, view = state.active) {
  state.views[view].color = coloring(thing);
  tell("color", view);
}

function showEmbedding(embedding, view = state.active) {
  state.views[view].embedding = embedding;
  tell("embedding", view);
}

/** The partition that tables and trees speak of. */
function choosePartition(column) {
  if (state.partition === column) return;
  state.partition = column;
  tell("partition");
}

/** Dim everything but one group, on the map and wherever it is shown; null lifts it, so does the same group again. */
function focusGroup(column, code) {
  const same = state.focus && state.focus.column === column && state.focus.code === code;
  state.focus = code === null || same ? null : { column, code };
  tell("focus");
}

/** Select the points of a mask with n bytes, or nothing. */
function select(mask) {
  let size = 0;
  if (mask) for (let i = 0; i < mask.length; i += 1) size += mask[i];
  state.selected = size > 0 ? mask : null;
  state.n_selected = size;
  tell("selection");
}

function hiddenOf(column) {
  return state.hidden.get(column.key) ?? new Set();
}

/** Show or hide groups of a column: a list of codes, and whether they are seen. */
function showGroups(column, list, seen) {
  const hidden = new Set(hiddenOf(column));
  for (const code of list) {
    if (seen) hidden.delete(code);
    else hidden.add(code);
  }
  if (hidden.size > 0) state.hidden.set(column.key, hidden);
  else state.hidden.delete(column.key);
  tell("hidden", column);
}

/** Give a group another name on this page; the same as before, or an empty one, takes it back. */
function renameGroup(column, code, name) {
  const names = state.renamed.get(column.key) ?? new Map();
  const wanted = name.trim();
  if (wanted === "" || wanted === column.names[code]) names.delete(code);
  else names.set(code, wanted);
  if (names.size > 0) state.renamed.set(column.key, names);
  else state.renamed.delete(column.key);
  tell("names", column);
}

function nameOfGroup(column, code) {
  if (code === missingCode(column)) return "missing";
  return state.renamed.get(column.key)?.get(code) ?? column.names[code];
}

const FAINTEST = 0.09; // relative luminance that is still seen on a dark ground
const lightened = new Map();

/** A colour that is seen on the ground of the theme: dark ones get lighter on a dark one. */
function legible(color) {
  if (document.documentElement.dataset.theme !== "dark") return color;
  if (!lightened.has(color)) {
    let parts = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
    const linear = (part) => ((part / 255 + 0.055) / 1.055) ** 2.4;
    const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
    while (light(parts) < FAINTEST) parts = parts.map((part) => part + Math.ceil((255 - part) * 0.06));
    lightened.set(color, `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`);
  }
  return lightened.get(color);
}

function colorOfGroup(column, code) {
  return legible(column.colors[code] ?? "#9a9a9a");
}

// which points are selected, dimmed and hidden: one byte each, for the drawing and for picking
const SELECTED = 1;
const DIM = 2;
const HIDDEN = 4;
const flags = new Uint8Array(contents.n);
let flagsAsked = 0; // only the last answer counts
let n_hidden = 0;

async function updateFlags() {
  flagsAsked += 1;
  const asked = flagsAsked;
  const filters = [];
  for (const [key, hidden] of state.hidden) {
    const column = contents.columns.find((other) => other.key === key);
    filters.push({ hidden, list: await codes(column) });
  }
  const { focus, selected } = state;
  const focused = focus ? await codes(focus.column) : null;
  if (asked !== flagsAsked) return;
  for (let i = 0; i < flags.length; i += 1) {
    const chosen = selected ? selected[i] : 0;
    const dim = (selected && !chosen) || (focused && focused[i] !== focus.code);
    flags[i] = (chosen ? SELECTED : 0) | (dim ? DIM : 0);
  }
  n_hidden = 0;
  for (const { hidden, list } of filters) {
    const table = new Uint8Array(65536);
    for (const code of hidden) table[code] = HIDDEN;
    for (let i = 0; i < flags.length; i += 1) flags[i] |= table[list[i]];
  }
  if (filters.length > 0) for (let i = 0; i < flags.length; i += 1) n_hidden += (flags[i] & HIDDEN) >> 2;
  tell("flags");
}

for (const event of ["selection", "hidden", "focus"]) on(event, updateFlags);
