/* The legend: groups that are hidden, brought forward and renamed, or the scale of numbers. */

const MOST_IN_LEGEND = 200; // of a legend in the document at once: the search finds the others
const SEARCHED = 12; // groups from which on there is a search
const LONGEST_LINE = 4000; // characters of a command: with more the names go by a file
const PENCIL = "M10.6 2.6l2.8 2.8L5.6 13.2l-3.4.6.6-3.4zM9.2 4l2.8 2.8";

/**
 * The command that renames the groups of a column as they were renamed here, {line, table, file}: `merge-labels` where
 * names are plain, else a table of names for `annotate`; null where nothing was renamed.
 */
function renamingOf(column) {
  const renamed = state.renamed.get(column.key);
  if (!renamed) return null;
  const final = column.names.map((name, code) => renamed.get(code) ?? name);
  const changed = new Set(renamed.values());
  const groups = new Map();
  final.forEach((name, code) => {
    if (changed.has(name)) groups.set(name, [...(groups.get(name) ?? []), code]);
  });
  const plain = (text, signs) => text !== "" && text === text.trim() && ![...signs].some((sign) => text.includes(sign));
  const fits = [...groups].every(([name, members]) => {
    const taken = column.names.indexOf(name); // the name of a group that is now called otherwise
    return plain(name, "=") && members.every((code) => plain(column.names[code], ",")) && (taken < 0 || members.includes(taken));
  });
  const words = ([name, members]) => ` --groups ${shellWord(`${name}=${members.map((code) => column.names[code]).join(",")}`)}`;
  const options = fits ? [...groups].map(words) : [];
  if (fits && options.join("").length < LONGEST_LINE) {
    return { line: `kithkin merge-labels ${datasetWord()} --on ${shellWord(column.key)}${options.join("")}` };
  }
  const short = column.key.replace(/^obs\//, "");
  const file = fileName(`${short}_named`, "csv");
  return {
    line: `kithkin annotate ${datasetWord()} --column ${shellWord(`${column.key}_named`)} --by ${shellWord(column.key)} --values ${shellWord(file)}`,
    table: { columns: [short, "name"], rows: column.names.map((name, code) => [name, final[code]]) },
    file,
  };
}

class Legend {
  constructor(view, host) {
    this.view = view;
    this.wanted = "";
    this.node = element("section", { class: "block legend", "aria-label": view === 0 ? "Legend" : "Legend of the second map" });
    host.append(this.node);
    on("color", (changed) => {
      if (changed !== view && changed !== undefined) return;
      this.wanted = "";
      this.show();
    });
    for (const event of ["hidden", "names"]) on(event, () => this.show());
    on("focus", () => this.rows?.forEach(({ code, row }) => row.classList.toggle("lit", this.isLit(code))));
    on("theme", () => this.show());
    this.show();
  }

  get thing() {
    return coloredBy(state.views[this.view].color);
  }

  isLit(code) {
    return state.focus?.column === this.thing && state.focus?.code === code;
  }

  show() {
    const { thing } = this;
    this.rows = null;
    if (!thing) {
      this.node.hidden = true;
      return;
    }
    this.node.hidden = false;
    if (thing.kind === "groups") this.showGroups(thing);
    else this.showScale(thing);
  }

  heading(thing, note) {
    return element("div", { class: "heading" }, element("h2", { text: readable(thing.name, 80), title: thing.key ?? thing.name }), thing.stale ? staleMark() : null, element("span", { class: "faint", text: note }));
  }

  showGroups(column) {
    const again = document.activeElement?.classList.contains("find") && this.node.contains(document.activeElement);
    const hidden = hiddenOf(column);
    const all = column.names.map((_, code) => code);
    const parts = [this.heading(column, `${count(column.names.length)} groups`)];
    if (column.names.length > SEARCHED) parts.push(this.finder());
    this.list = element("ul", { class: "groups" });
    const act = (seen) => () => showGroups(column, this.found(column), seen);
    const button = (text, seen, title) => element("button", { type: "button", class: "quiet", text, title, on: { click: act(seen) } });
    const found = this.wanted === "" ? "" : " found";
    const csvOf = () => ({ columns: [column.name, contents.rows], rows: all.map((code) => [nameOfGroup(column, code), column.sizes[code]]) });
    parts.push(this.list, element("div", { class: "row" }, button(`Show${found || " all"}`, true), button(`Hide${found || " all"}`, false), csvButton(csvOf, column.name), hidden.size > 0 && element("span", { class: "faint", text: `${count(hidden.size)} hidden` })));
    const renaming = renamingOf(column);
    if (renaming) parts.push(this.renaming(column, renaming));
    this.node.replaceChildren(...parts.filter(Boolean));
    this.fill(column);
    if (again) this.node.querySelector(".find")?.focus();
  }

  finder() {
    const act = later(() => {
      this.wanted = input.value;
      this.fill(this.thing);
    }, 120);
    const input = element("input", { type: "search", class: "find", placeholder: "Search groups", "aria-label": "Search groups", value: this.wanted, on: { input: act } });
    return input;
  }

  found(column) {
    const text = this.wanted.trim().toLowerCase();
    const all = column.names.map((_, code) => code);
    return text === "" ? all : all.filter((code) => nameOfGroup(column, code).toLowerCase().includes(text));
  }

  fill(column) {
    const found = this.found(column);
    const hidden = hiddenOf(column);
    this.rows = found.slice(0, MOST_IN_LEGEND).map((code) => ({ code, row: this.row(column, code, hidden.has(code)) }));
    const nodes = this.rows.map(({ row }) => row);
    if (found.length > MOST_IN_LEGEND) nodes.push(element("li", { class: "hint", text: `and ${count(found.length - MOST_IN_LEGEND)} more: search for them` }));
    if (found.length === 0) nodes.push(element("li", { class: "hint", text: "No group of this name." }));
    this.list.replaceChildren(...nodes);
  }

  row(column, code, isHidden) {
    const name = nameOfGroup(column, code);
    const said = readable(name, 120);
    const size = column.sizes[code] ?? 0;
    const swatch = element("button", {
      type: "button", class: "swatch-button", "aria-pressed": String(!isHidden), "aria-label": `${isHidden ? "Show" : "Hide"} ${said}`, title: isHidden ? "Show" : "Hide",
      on: { click: () => showGroups(column, [code], isHidden) },
    }, element("i", { class: "swatch", style: `background:${colorOfGroup(column, code)}` }));
    const label = element("button", { type: "button", class: "name", title: name, on: { click: () => focusGroup(column, code), dblclick: () => this.rename(column, code, row) } }, element("bdi", { text: said }));
    const pencil = column.key.startsWith("obs/") && element("button", { type: "button", class: "pencil", "aria-label": `Rename ${said}`, title: "Rename", on: { click: () => this.rename(column, code, row) } }, icon(PENCIL));
    const row = element("li", { class: isHidden ? "hid" : "" }, swatch, label, pencil, element("span", { class: "number", text: count(size), title: `${percent(shareOfAll(size))} of all ${contents.rows}` }));
    row.classList.toggle("lit", this.isLit(code));
    label.addEventListener("keydown", (event) => {
      if (event.key === "F2") this.rename(column, code, row);
    });
    return row;
  }

  rename(column, code, row) {
    const input = element("input", { type: "text", class: "rename", value: nameOfGroup(column, code), "aria-label": "New name", spellcheck: "false" });
    let done = false;
    const end = (keep) => {
      if (done) return;
      done = true;
      if (keep) renameGroup(column, code, input.value);
      else this.fill(column);
    };
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.stopPropagation();
      end(event.key === "Enter");
    });
    input.addEventListener("blur", () => end(true));
    row.replaceChildren(input);
    input.focus();
    input.select();
  }

  renaming(column, { line, table, file }) {
    const back = () => {
      state.renamed.delete(column.key);
      tell("names", column);
    };
    return element(
      "div",
      { class: "renaming" },
      element("h3", { text: "Write the names to the dataset" }),
      table && element("button", { type: "button", class: "primary", text: `Save ${file}`, on: { click: () => saveText(file, csv(table, true), "text/csv") } }),
      commandLine(line),
      element("button", { type: "button", class: "quiet", text: "Take the names back", on: { click: back } }),
    );
  }

  async showScale(thing) {
    const unit = thing.unit ? `${thing.unit}` : "";
    const about = isGene(thing) && thing.of ? `marker of ${readable(thing.of, 40)}` : unit;
    const canvas = element("canvas", { class: "histogram", width: 508, height: 88, role: "img", "aria-label": `Distribution of ${readable(thing.name, 80)}` });
    const ramp = element("div", { class: "ramp", style: `background:linear-gradient(to right,${rampStops().map(({ color }) => color).join(",")})` });
    const ends = element("div", { class: "ends" }, [0, 0.5, 1].map((share) => element("span", { text: valueText(thing, share * 254) })));
    const note = element("p", { class: "hint" });
    this.node.replaceChildren(this.heading(thing, about), canvas, ramp, ends, note);
    const list = await levels(thing);
    if (this.thing !== thing) return;
    const { missing, zero } = drawHistogram(canvas, list, thing);
    const said = [isGene(thing) && about !== unit && unit, zero > 0 && `${percent(1 - zero / contents.n)} above zero`, missing > 0 && `${counted(missing, contents.rows)} without a value`];
    note.textContent = said.filter(Boolean).join(" · ");
  }
}

const BINS = 127; // two levels each

/** Bars in the colours of the scale; the zeros of a gene are counted, and left out of the picture. */
function drawHistogram(canvas, list, thing) {
  const counts = new Float64Array(256);
  for (let i = 0; i < list.length; i += 1) counts[list[i]] += 1;
  const zeros = isGene(thing) && !thing.dense;
  const bins = new Float64Array(BINS + 1);
  for (let level = zeros ? 1 : 0; level < 255; level += 1) bins[Math.min(level >> 1, BINS - 1)] += counts[level];
  const highest = Math.max(...bins, 1);
  const pen = canvas.getContext("2d");
  const wide = canvas.width / BINS;
  for (let k = 0; k < BINS; k += 1) {
    pen.fillStyle = rgb(rampAt(k / (BINS - 1)));
    const high = Math.sqrt(bins[k] / highest) * canvas.height; // square roots, so that tails are seen
    pen.fillRect(k * wide, canvas.height - high, Math.ceil(wide), high);
  }
  return { missing: counts[MISSING], zero: zeros ? counts[0] : 0 };
}
