/* A searchable list of everything that a map can be coloured by, and the list of embeddings. */

const SECTIONS = { clusters: "Clusters", samples: "Samples", quality: "Quality", scores: "Scores", probabilities: "Probabilities", gates: "Gates", other: "Other columns" };
const MOST_LISTED = 200;
let choosers = 0;

function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** Entries by section, those whose name begins with what is searched before those that hold it. */
function entriesFor(wanted) {
  const text = wanted.trim().toLowerCase();
  const fits = ({ name }) => text === "" || name.toLowerCase().includes(text);
  const begins = ({ name }) => (name.toLowerCase().startsWith(text) ? 0 : 1);
  const sort = (list) => (text === "" ? list : list.sort((a, b) => begins(a) - begins(b) || a.name.length - b.name.length));
  const out = Object.entries(SECTIONS).map(([section, title]) => ({
    title,
    entries: sort(contents.columns.filter((column) => (section in SECTIONS && column.section === section) || (section === "other" && !(column.section in SECTIONS))).filter(fits)),
  }));
  out.push({ title: capital(contents.vars), entries: sort(contents.genes.filter(fits)) });
  return out.filter(({ entries }) => entries.length > 0);
}

/** What is said beside an entry. */
function hintOf(thing) {
  if (isGene(thing)) return thing.of === "" || thing.of === undefined ? "" : `marker of ${readable(thing.of, 24)}`;
  const about = thing.kind === "groups" ? `${count(thing.names.length)} groups` : "";
  return [about, thing.stale ? "out of date" : ""].filter(Boolean).join(" · ");
}

/** Button and list by which the colour of one map is chosen. */
class ColorChooser {
  constructor(view) {
    this.view = view;
    choosers += 1;
    this.id = `chooser-${choosers}`;
    this.name = element("span", { class: "name" });
    this.button = element("button", { type: "button", class: "choose", "aria-haspopup": "listbox", "aria-expanded": "false", on: { click: () => this.toggle() } }, element("span", { class: "faint", text: "Colour" }), this.name);
    this.search = element("input", { type: "search", placeholder: `Search columns and ${contents.vars}`, role: "combobox", "aria-expanded": "true", "aria-controls": this.id, "aria-label": "Search", spellcheck: "false", autocomplete: "off" });
    this.list = element("div", { id: this.id, role: "listbox", "aria-label": "Colour by", class: "options" });
    this.box = element("div", { class: "popover", hidden: true }, this.search, this.list);
    this.node = element("div", { class: "chooser" }, this.button, this.box);
    this.search.addEventListener("input", () => this.fill());
    this.search.addEventListener("keydown", (event) => this.key(event));
    this.node.addEventListener("focusout", (event) => {
      if (!this.node.contains(event.relatedTarget)) this.close();
    });
    on("color", () => this.show());
    this.show();
  }

  show() {
    const thing = coloredBy(state.views[this.view].color);
    this.name.textContent = thing ? readable(thing.name, 60) : "nothing";
    this.button.title = thing ? `Coloured by ${thing.name}` : "";
  }

  toggle() {
    if (!this.box.hidden) {
      this.close();
      return;
    }
    this.box.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.search.value = "";
    this.fill();
    this.search.focus();
    this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "center" });
  }

  close() {
    this.box.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  fill() {
    const current = coloredBy(state.views[this.view].color);
    let room = MOST_LISTED;
    let left_out = 0;
    const nodes = [];
    for (const { title, entries } of entriesFor(this.search.value)) {
      const shown = entries.slice(0, room);
      room -= shown.length;
      left_out += entries.length - shown.length;
      if (shown.length === 0) continue;
      nodes.push(element("div", { role: "group", "aria-label": title }, element("div", { class: "title", text: title }), shown.map((entry) => this.option(entry, entry === current))));
    }
    if (left_out > 0) nodes.push(element("p", { class: "hint", text: `and ${count(left_out)} more: search for them` }));
    if (nodes.length === 0) nodes.push(element("p", { class: "hint", text: "Nothing of this name is on the page." }));
    this.list.replaceChildren(...nodes);
    this.list.scrollTop = 0;
    this.mark(this.search.value ? 0 : -1);
  }

  option(entry, current) {
    this.made = (this.made ?? 0) + 1; // options have names of their own, by which a screen reader is told of them
    const node = element(
      "div",
      { role: "option", id: `${this.id}-${this.made}`, class: "option", "aria-selected": "false", "aria-current": current ? "true" : null, title: entry.name, tabindex: "-1" },
      element("span", { class: "name", text: readable(entry.name, 60) }),
      element("span", { class: "faint", text: hintOf(entry), title: entry.stale ? STALE : null }),
    );
    node.addEventListener("click", () => this.choose(entry));
    return node;
  }

  get options() {
    return [...this.list.querySelectorAll("[role=option]")];
  }

  mark(at) {
    const { options } = this;
    this.at = options.length === 0 ? -1 : Math.min(at, options.length - 1);
    options.forEach((node, i) => node.setAttribute("aria-selected", String(i === this.at)));
    const node = options[this.at];
    if (node) node.scrollIntoView({ block: "nearest" });
    this.search.setAttribute("aria-activedescendant", node ? node.id : "");
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
    if (event.key in steps) this.mark(Math.max(0, this.at + steps[event.key]));
    else if (event.key === "Enter") this.options[Math.max(this.at, 0)]?.click();
    else if (event.key === "Escape") this.leave();
    else return;
    event.preventDefault();
    event.stopPropagation(); // Escape closes the list, and clears nothing else
  }

  leave() {
    this.button.focus();
    this.close();
  }

  choose(entry) {
    this.leave();
    state.active = this.view;
    colorBy(entry, this.view);
  }
}

/** List of the embeddings, for one map. */
function embeddingChooser(view) {
  const said = (embedding) => `${readable(embedding?.name ?? "", 40)}${embedding?.stale ? " (out of date)" : ""}`;
  if (contents.embeddings.length < 2) return element("span", { class: "only", text: said(contents.embeddings[0]), title: contents.embeddings[0]?.stale ? STALE : null });
  const act = (event) => showEmbedding(contents.embeddings[Number(event.target.value)], view);
  const options = contents.embeddings.map((embedding, k) => element("option", { value: k, text: said(embedding) }));
  const node = element("select", { "aria-label": "Embedding", on: { change: act } }, options);
  const show = () => {
    const { embedding } = state.views[view];
    node.value = String(contents.embeddings.indexOf(embedding));
    node.title = embedding?.stale ? STALE : "";
  };
  on("embedding", show);
  show();
  return node;
}
