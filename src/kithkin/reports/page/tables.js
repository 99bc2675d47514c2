/* Tables that are sorted, searched and paged, and what stands in their cells. */

const PAGE_ROWS = 200; // rows in the document at once: more make it slow

/** Compare values of one column: numbers by size, text as people order it ("2" before "10"), what is missing last. */
function compareValues(first, second) {
  const none = (value) => value === null || value === undefined || value === "" || Number.isNaN(value);
  if (none(first) || none(second)) return none(first) - none(second);
  if (typeof first === "number" && typeof second === "number") return first - second;
  return String(first).slice(0, 500).localeCompare(String(second).slice(0, 500), undefined, { numeric: true });
}

/**
 * A table of {columns, rows, name, label}: each column {title, value(row), show(row), numeric, hint}.
 * act(row) makes rows clickable, marked(row) tells which is lit, tools stand before the search, bare leaves out the CSV button.
 */
class DataTable {
  constructor(options) {
    Object.assign(this, { tools: [], per: PAGE_ROWS, ...options });
    this.order = null; // {at, down}
    this.page = 0;
    this.wanted = "";
    this.body = element("tbody");
    this.heads = this.columns.map((column, at) => this.head(column, at));
    this.table = element(
      "table",
      { class: "data", "aria-label": this.label ?? this.name },
      element("thead", {}, element("tr", {}, ...this.heads)),
      this.body,
    );
    this.box = element("div", { class: "table-box", tabindex: "0", role: "region", "aria-label": this.label ?? this.name }, this.table);
    this.foot = element("div", { class: "table-foot" });
    this.node = element("div", { class: "table" }, this.bar(), this.box, this.foot);
    this.refresh();
  }

  bar() {
    const find = element("input", {
      type: "search",
      class: "find",
      placeholder: "Search",
      "aria-label": `Search ${this.label ?? this.name}`,
      on: { input: later(() => this.search(find.value), 120) },
    });
    const searched = this.rows.length > 12 ? find : null;
    const saved = this.bare ? null : csvButton(() => this.data(), this.name);
    const bar = element("div", { class: "bar" }, ...this.tools, searched, element("span", { class: "push" }), saved);
    bar.hidden = bar.children.length === 1;
    return bar;
  }

  search(text) {
    this.wanted = text.trim().toLowerCase();
    this.page = 0;
    this.refresh();
  }

  head(column, at) {
    const act = () => this.sort(at);
    const button = element("button", { type: "button", class: "sort", title: column.hint, on: { click: act } }, column.title);
    return element("th", { scope: "col", class: column.numeric ? "number" : null, "aria-sort": "none" }, button);
  }

  sort(at) {
    const { numeric } = this.columns[at];
    const down = this.order?.at === at ? !this.order.down : Boolean(numeric); // the largest first
    this.order = { at, down };
    this.heads.forEach((head, i) => head.setAttribute("aria-sort", i === at ? (down ? "descending" : "ascending") : "none"));
    this.page = 0;
    this.refresh();
  }

  /** Rows that are found, in the order that is asked for. */
  found() {
    const { wanted, order, columns } = this;
    const rows = wanted ? this.rows.filter((row) => columns.some((column) => this.has(column.value(row), wanted))) : [...this.rows];
    if (!order) return rows;
    const { value } = columns[order.at];
    const none = (one) => one === null || one === undefined || one === "";
    return rows.sort((first, second) => {
      const [a, b] = [value(first), value(second)];
      if (none(a) || none(b)) return compareValues(a, b); // last in both directions
      return order.down ? compareValues(b, a) : compareValues(a, b);
    });
  }

  has(value, wanted) {
    return value !== null && value !== undefined && String(value).slice(0, 2000).toLowerCase().includes(wanted);
  }

  /** The whole table, sorted and searched as it is shown. */
  data() {
    return {
      columns: this.columns.map(({ title }) => title),
      rows: this.found().map((row) => this.columns.map(({ value }) => value(row))),
    };
  }

  refresh() {
    const rows = this.found();
    const pages = Math.max(1, Math.ceil(rows.length / this.per));
    this.page = Math.min(this.page, pages - 1);
    const from = this.page * this.per;
    const before = [...this.body.children].findIndex((line) => line.contains(document.activeElement));
    this.body.replaceChildren(...rows.slice(from, from + this.per).map((row) => this.line(row)));
    if (this.act) this.rove();
    if (before >= 0) this.body.children[Math.min(before, this.body.children.length - 1)]?.focus();
    if (rows.length === 0) {
      this.body.append(element("tr", {}, element("td", { class: "nothing", colspan: this.columns.length, text: "Nothing is found." })));
    }
    this.foot.hidden = pages === 1 && !this.more;
    this.foot.replaceChildren(...(pages > 1 ? this.pager(pages, from, rows.length) : []), this.more ?? "");
  }

  pager(pages, from, total) {
    const turn = (by) => () => {
      this.page = Math.max(0, Math.min(pages - 1, this.page + by));
      this.refresh();
      this.box.scrollTop = 0;
    };
    const button = (text, by, off) => element("button", { type: "button", class: "quiet", text, disabled: off, on: { click: turn(by) } });
    const said = `${count(from + 1)} to ${count(Math.min(total, from + this.per))} of ${count(total)}`;
    return [button("Previous", -1, this.page === 0), element("span", { text: said }), button("Next", 1, this.page === pages - 1)];
  }

  line(row) {
    const marked = this.marked?.(row) ?? false;
    const line = element("tr", { class: marked ? "lit" : null, "aria-current": marked ? "true" : null });
    for (const column of this.columns) {
      const value = column.value(row);
      const shown = column.show ? column.show(row) : typeof value === "number" ? figure(value, 4) : readable(String(value ?? ""), 120);
      const text = typeof shown === "string";
      const { length } = String(value ?? "");
      const title = text && length > 24 ? String(value) : null;
      const kind = column.numeric ? "number" : text && length > 48 && length <= 400 ? "text long" : "text";
      line.append(element("td", { class: kind, title }, text && value === null ? "–" : shown));
    }
    if (this.act) pressable(line, null, () => this.act(row));
    return line;
  }

  /** Rows are one stop of the tab key: arrow keys go up and down. */
  rove() {
    const lines = [...this.body.children];
    const first = Math.max(
      0,
      lines.findIndex((line) => line.classList.contains("lit")),
    );
    roving(null, lines, 1, first);
  }
}

/** Make anything act on a click, Enter and space; inner buttons keep their own. */
function pressable(node, label, act) {
  if (!node.hasAttribute("tabindex")) node.setAttribute("tabindex", "0");
  if (label !== null) {
    node.setAttribute("role", "button");
    node.setAttribute("aria-label", plain(label));
  }
  const inner = (event) => event.target !== node && event.target.closest?.("button, a, input, select");
  node.classList.add("pressable");
  node.addEventListener("click", (event) => {
    if (!inner(event)) act(event);
  });
  node.addEventListener("keydown", (event) => {
    if ((event.key !== "Enter" && event.key !== " ") || inner(event)) return;
    event.preventDefault();
    act(event);
  });
  return node;
}

function swatch(column, code) {
  return element("span", { class: "swatch", style: `background:${colorOfGroup(column, code)}`, "aria-hidden": "true" });
}

/** A share as a bar with its number. */
function shareBar(share, color, text = percent(share)) {
  const width = `${(100 * Math.min(1, Math.max(0, share))).toFixed(2)}%`;
  const bar = element("span", { class: "bar-in" }, element("span", { style: `width:${width};background:${color ?? "var(--accent)"}` }));
  return element("span", { class: "share-bar" }, bar, element("span", { class: "share-number", text }));
}

function isolated(text, most = 80) {
  return element("bdi", { class: "name", text: readable(text, most), title: text.length > 24 ? text : null });
}

/** Counts of the pairs of groups of two columns: {cells: [[a, b, n]], sumsA, sumsB, n}; points that miss either are left out. */
async function contingency(first, second) {
  const [one, two] = [await codes(first), await codes(second)];
  const [rows, columns] = [first.names.length, second.names.length];
  const [noA, noB] = [missingCode(first), missingCode(second)];
  const cells = [];
  if (rows * columns <= 4e6) {
    const table = new Uint32Array(rows * columns);
    for (let i = 0; i < one.length; i += 1) if (one[i] !== noA && two[i] !== noB) table[one[i] * columns + two[i]] += 1;
    table.forEach((n, at) => n && cells.push([Math.floor(at / columns), at % columns, n]));
  } else {
    const table = new Map(); // mostly nothing: only what is there
    for (let i = 0; i < one.length; i += 1) {
      if (one[i] === noA || two[i] === noB) continue;
      const at = one[i] * columns + two[i];
      table.set(at, (table.get(at) ?? 0) + 1);
    }
    for (const [at, n] of table) cells.push([Math.floor(at / columns), at % columns, n]);
  }
  return withSums(cells, rows, columns);
}

function withSums(cells, rows, columns) {
  const [sumsA, sumsB] = [new Array(rows).fill(0), new Array(columns).fill(0)];
  let total = 0;
  for (const [a, b, n] of cells) {
    sumsA[a] += n;
    sumsB[b] += n;
    total += n;
  }
  return { cells, sumsA, sumsB, n: total };
}

/** Largest group of a reference in each cluster, and its share of all of the cluster: Map code -> {name, share, named, size}. */
async function puritiesOf(column, reference) {
  const [table, list] = [await contingency(column, reference), await codes(column)];
  const sizes = new Uint32Array(65536); // on the page, also of those that the reference does not name
  for (const code of list) sizes[code] += 1;
  const best = new Map();
  for (const [a, b, n] of table.cells) if (n > (best.get(a)?.n ?? 0)) best.set(a, { n, b });
  const described = ([a, { n, b }]) => [
    a,
    { name: nameOfGroup(reference, b), share: n / sizes[a], named: table.sumsA[a], size: sizes[a] },
  ];
  return new Map([...best].map(described));
}

/** A table {columns, rows} of the page's contents. */
function tableOf(data, name, act, bare = false) {
  const columns = data.columns.map((title, at) => {
    const values = data.rows.map((row) => row[at]);
    const numeric =
      values.some((value) => typeof value === "number") && values.every((value) => value === null || typeof value === "number");
    const p = /^p(val|_|$)|padj|fdr/i.test(title);
    const show = (row) =>
      row[at] === null
        ? "–"
        : numeric
          ? p
            ? probability(row[at])
            : Number.isInteger(row[at])
              ? count(row[at] + 0)
              : figure(row[at], 4)
          : readable(String(row[at]), 400);
    return { title, numeric, value: (row) => row[at], show };
  });
  const made = new DataTable({ columns, rows: data.rows, name, label: data.title ?? name, act, bare });
  if (data.of > data.rows.length) {
    made.more = element("span", {
      class: "note",
      text: `The first ${count(data.rows.length)} of ${count(data.of)} rows are on this page.`,
    });
    made.refresh();
  }
  return made;
}

/** A p-value for reading: 0 is what is too small for a double. */
function probability(p) {
  if (!Number.isFinite(p)) return "–";
  return p === 0 ? "< 1e-300" : figure(p, 2);
}
