/* Points that were picked: the line drawn around them, what they are, and the way back to the dataset. */

const BANDS = 512; // of the map's height: a point is compared with the few edges that cross its band

/** Edges of a polygon by the bands that they cross: x, y, x', y' four by four. */
function edgesByBand(polygon) {
  const bands = Array.from({ length: BANDS }, () => []);
  const bandOf = (y) => Math.min(Math.max(Math.floor((y / 65536) * BANDS), 0), BANDS - 1);
  polygon.forEach(([x, y], i) => {
    const [x2, y2] = polygon[(i + 1) % polygon.length];
    if (y === y2) return;
    for (let band = bandOf(Math.min(y, y2)); band <= bandOf(Math.max(y, y2)); band += 1) bands[band].push(x, y, x2, y2);
  });
  return bands.map((edges) => Float64Array.from(edges));
}

/** Mask of the points that are seen inside a polygon in units of the map (even-odd rule). */
function inside(xy, polygon) {
  const mask = new Uint8Array(xy.length / 2);
  const bands = edgesByBand(polygon);
  const xs = polygon.map(([x]) => x);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  for (let i = 0; i < mask.length; i += 1) {
    const x = xy[2 * i];
    const y = xy[2 * i + 1];
    if (x < left || x > right || x === NOWHERE || flags[i] & HIDDEN) continue;
    const edges = bands[y >> 7];
    let odd = 0;
    for (let k = 0; k < edges.length; k += 4) {
      const y1 = edges[k + 1];
      const y2 = edges[k + 3];
      if (y1 > y !== y2 > y && x < edges[k] + ((y - y1) * (edges[k + 2] - edges[k])) / (y2 - y1)) odd ^= 1;
    }
    mask[i] = odd;
  }
  return mask;
}

/** A selection and what was drawn around: "replace", "add" or "remove". */
function combine(before, mask, how) {
  if (how === "replace" || (!before && how === "add")) return mask;
  const out = before ? before.slice() : new Uint8Array(mask.length);
  for (let i = 0; i < out.length; i += 1) {
    if (mask[i]) out[i] = how === "add" ? 1 : 0;
  }
  return out;
}

/* The line that is being drawn around points. */

function startStroke(pane, spot) {
  pane.line.setAttribute("visibility", "visible");
  return { box: look.tool === "box", spots: [spot] };
}

function outlineOf({ box, spots }) {
  if (!box) return spots;
  const [[x, y], [x2, y2]] = [spots[0], spots.at(-1)];
  return [[x, y], [x2, y], [x2, y2], [x, y2]];
}

function continueStroke(pane, stroke, spot) {
  const [x, y] = stroke.spots.at(-1);
  if (Math.hypot(spot[0] - x, spot[1] - y) < 2) return; // no finer than the eye sees
  stroke.spots.push(spot);
  pane.line.setAttribute("d", `M${outlineOf(stroke).map((point) => point.map((value) => value.toFixed(1)).join(" ")).join("L")}Z`);
}

function dropStroke(pane) {
  pane.line.setAttribute("visibility", "hidden");
  pane.line.removeAttribute("d");
}

function endStroke(pane, stroke, { shiftKey, altKey }) {
  const polygon = outlineOf(stroke).map(([x, y]) => pane.camera.toMap(x, y));
  const mask = inside(pane.xy, polygon);
  select(combine(state.selected, mask, altKey ? "remove" : shiftKey ? "add" : "replace"));
}

function invertSelection() {
  const mask = new Uint8Array(contents.n);
  for (let i = 0; i < mask.length; i += 1) mask[i] = flags[i] & HIDDEN || state.selected?.[i] ? 0 : 1;
  select(mask);
}

/** A word for a POSIX shell: quoted unless nothing in it means something to the shell. */
function shellWord(text) {
  return /^[\w@%+=:,./-]+$/.test(text) && !text.startsWith("-") ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function datasetWord() {
  const { file } = contents;
  return shellWord(file.startsWith("-") ? `./${file}` : file);
}

/** Numbers of the selected points by group of a column, the largest first: [{code, size, of}]. */
async function countsOfSelection(column) {
  const list = await codes(column);
  const mask = state.selected;
  const here = new Uint32Array(65536);
  const all = new Uint32Array(65536);
  if (!mask) return [];
  for (let i = 0; i < list.length; i += 1) {
    all[list[i]] += 1;
    here[list[i]] += mask[i];
  }
  const found = [];
  for (let code = 0; code < here.length; code += 1) if (here[code] > 0) found.push({ code, size: here[code], of: all[code] });
  return found.sort((a, b) => b.size - a.size);
}

const MOST_COUNTED = 200;

/** What was selected, by groups of any column, and the line that writes it to the dataset. */
class SelectionPanel {
  constructor(host) {
    this.groups = contents.columns.filter((column) => column.kind === "groups");
    this.by = state.partition ?? this.groups[0] ?? null;
    this.label = "picked";
    this.column = "mine";
    this.asked = 0;
    this.list = element("ul", { class: "counts" });
    this.code = element("code");
    this.empty = element("p", { class: "hint", text: `Draw around ${contents.rows} with the lasso or the box: Shift adds, Alt takes away. A click on a group brings it forward, Escape clears.` });
    this.size = element("p", { class: "big" });
    this.full = element("div", { hidden: true }, this.size, this.actions(), this.chooser(), this.list, ...this.writing());
    host.append(element("section", { class: "block", "aria-label": "Selection" }, element("h2", { text: "Selection" }), this.empty, this.full));
    on("selection", () => this.show());
    on("names", () => this.show());
    this.write();
  }

  actions() {
    const copy = element("button", { type: "button", text: "Copy names", on: { click: () => this.copyNames(copy) } });
    return element(
      "div",
      { class: "row" },
      copy,
      element("button", { type: "button", text: "Invert", on: { click: invertSelection } }),
      element("button", { type: "button", text: "Clear", title: "Escape", on: { click: () => select(null) } }),
    );
  }

  chooser() {
    if (!this.by) return null;
    const choose = (event) => {
      this.by = this.groups[Number(event.target.value)];
      this.show();
    };
    const options = this.groups.map((column, k) => element("option", { value: k, text: readable(column.name, 60), selected: column === this.by }));
    const table = async () => ({
      columns: [this.by.name, "selected", "share of selection", contents.rows, "share of group"],
      rows: (await countsOfSelection(this.by)).map(({ code, size, of }) => [nameOfGroup(this.by, code), size, size / state.n_selected, of, size / of]),
    });
    const picker = element("select", { "aria-label": "Count by", on: { change: choose } }, options);
    return element("div", { class: "row spread" }, element("label", { class: "inline" }, "By ", picker), csvButton(table, "selection by group"));
  }

  writing() {
    const field = (label, name) => {
      const act = (event) => {
        this[name] = event.target.value;
        this.write();
      };
      return element("label", {}, label, element("input", { type: "text", value: this[name], spellcheck: "false", maxlength: 200, on: { input: act } }));
    };
    const save = element("button", { type: "button", class: "primary", on: { click: () => this.save() } });
    this.saving = save;
    const note = contents.sampled ? `It names the ${contents.rows} on this page, which is a sample.` : null;
    return [
      element("h3", { text: "Write it to the dataset" }),
      element("div", { class: "pair" }, field("Column", "column"), field("Name", "label")),
      save,
      commandLine(this.code),
      note && element("p", { class: "hint", text: note }),
    ];
  }

  get file() {
    return fileName(this.label.trim() || "picked", "csv");
  }

  write() {
    const column = this.column.trim() || "mine";
    const key = /^(obs|var)\//.test(column) ? column : `obs/${column}`;
    this.saving.textContent = `Save ${this.file}`;
    this.code.textContent = `kithkin annotate ${datasetWord()} --column ${shellWord(key)} --values ${shellWord(this.file)}`;
  }

  async show() {
    const { n_selected } = state;
    this.empty.hidden = n_selected > 0;
    this.full.hidden = n_selected === 0;
    document.getElementById("live").textContent = n_selected > 0 ? `${counted(n_selected, contents.rows)} selected` : "Nothing selected";
    if (n_selected === 0) return;
    this.size.replaceChildren(counted(n_selected, contents.rows), element("span", { text: percent(n_selected / contents.n) }));
    if (!this.by) return;
    this.asked += 1;
    const { asked, by } = this;
    const found = await countsOfSelection(by);
    if (asked !== this.asked) return;
    const rows = found.slice(0, MOST_COUNTED).map((entry) => this.row(by, entry));
    if (found.length > rows.length) rows.push(element("li", { class: "hint", text: `and ${count(found.length - rows.length)} more: CSV has them all` }));
    this.list.replaceChildren(...rows);
  }

  row(by, { code, size, of }) {
    const share = size / state.n_selected;
    const name = nameOfGroup(by, code);
    const bar = element("i", { style: `width:${(100 * share).toFixed(2)}%;background:${colorOfGroup(by, code)}` });
    const title = `${name}: ${count(size)} of ${count(of)} (${percent(size / of)} of the group)`;
    return element("li", { title }, element("span", { class: "name", text: readable(name, 80) }), element("span", { class: "number", text: count(size) }), element("span", { class: "number", text: percent(share) }), element("span", { class: "meter" }, bar));
  }

  async copyNames(button) {
    copyFrom(button, (await namesOf(state.selected)).join("\n"));
  }

  /** Names as they are: no spreadsheet's quote, which annotate would take as part of a name. */
  async save() {
    const value = this.label.trim() || "picked";
    const names = await namesOf(state.selected);
    const column = this.column.trim().replace(/^(obs|var)\//, "") || "mine";
    const table = { columns: [contents.rows.replace(/s$/, ""), column], rows: names.map((name) => [name, value]) };
    saveText(this.file, csv(table, true), "text/csv");
  }
}
