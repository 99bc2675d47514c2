/* Two columns of groups side by side: counts of their pairs, agreement, ribbons (Sankey) and a heat map. */

const MOST_GROUPS = 60; // of a side; the smaller ones are gathered
const MOST_RIBBONS = 800;

/** Adjusted Rand index: pairs of points on which both agree, beyond chance (Hubert and Arabie 1985, doi:10.1007/BF01908075). */
function adjustedRand({ cells, sumsA, sumsB, n }) {
  if (n === 0) return NaN;
  const pairs = (size) => (size * (size - 1)) / 2;
  const both = cells.reduce((sum, [, , size]) => sum + pairs(size), 0);
  const first = sumsA.reduce((sum, size) => sum + pairs(size), 0);
  const second = sumsB.reduce((sum, size) => sum + pairs(size), 0);
  const chance = n > 1 ? (first * second) / pairs(n) : 0;
  const most = (first + second) / 2;
  return most === chance ? 1 : (both - chance) / (most - chance);
}

/** Mutual information over the mean of the two entropies (Vinh, Epps and Bailey 2010, JMLR 11:2837-2854). */
function normalizedInformation({ cells, sumsA, sumsB, n }) {
  if (n === 0) return NaN;
  const entropy = (sums) => sums.reduce((sum, size) => (size ? sum - (size / n) * Math.log(size / n) : sum), 0);
  const mean = (entropy(sumsA) + entropy(sumsB)) / 2;
  if (mean === 0) return 1; // one group each: the same partition
  const shared = cells.reduce((sum, [a, b, size]) => sum + (size / n) * Math.log((size * n) / (sumsA[a] * sumsB[b])), 0);
  return Math.max(0, shared / mean);
}

/** Select the points that lie in all of some sets of groups [{column, codes}]. */
async function selectGroups(sets, what) {
  const mask = new Uint8Array(contents.n).fill(1);
  for (const { column, codes: wanted } of sets) {
    const list = await codes(column);
    const table = new Uint8Array(65536);
    for (const code of wanted) table[code] = 1;
    for (let i = 0; i < mask.length; i += 1) mask[i] &= table[list[i]];
  }
  select(mask);
  announce(`${counted(state.n_selected, contents.rows)} of ${what} ${state.n_selected === 1 ? "is" : "are"} selected on the map.`);
}

/** The groups of a side as they are drawn: the largest one by one, the others together. */
function sideOf(column, sums) {
  const order = sums.map((size, code) => ({ size, code })).filter(({ size }) => size > 0);
  order.sort((a, b) => b.size - a.size);
  const shown = order.length > MOST_GROUPS ? order.slice(0, MOST_GROUPS - 1) : order;
  const groups = shown.map(({ size, code }) => ({
    size,
    codes: [code],
    name: nameOfGroup(column, code),
    color: colorOfGroup(column, code),
  }));
  const rest = order.slice(shown.length);
  if (rest.length) {
    const size = rest.reduce((sum, one) => sum + one.size, 0);
    groups.push({ size, codes: rest.map(({ code }) => code), name: `${count(rest.length)} smaller groups`, color: "#9a9a9a" });
  }
  const at = new Map();
  groups.forEach((group, i) => group.codes.forEach((code) => at.set(code, i)));
  return { column, groups, at };
}

/** The place of each in an order. */
function placesIn(order) {
  const places = [];
  order.forEach((one, place) => (places[one] = place));
  return places;
}

/** Both sides in an order in which groups that share points stand across from each other. */
function matched(first, second, table) {
  const [left, right] = [sideOf(first, table.sumsA), sideOf(second, table.sumsB)];
  const sums = new Map();
  for (const [a, b, n] of table.cells) {
    const key = left.at.get(a) * 1000 + right.at.get(b);
    sums.set(key, (sums.get(key) ?? 0) + n);
  }
  const flows = [...sums].map(([key, n]) => ({ from: Math.floor(key / 1000), to: key % 1000, n })).sort((a, b) => b.n - a.n);
  const partner = new Map(); // of each group of the right: the one of the left with which it shares most
  for (const { from, to } of flows) if (!partner.has(to)) partner.set(to, from);
  const mean = (list, places) => {
    let [sum, total] = [0, 0];
    for (const { at, n } of list) {
      sum += places[at] * n;
      total += n;
    }
    return total ? sum / total : 0;
  };
  let leftOrder = left.groups.map((_, i) => i);
  let rightOrder = right.groups.map((_, i) => i);
  const byMean = (order, side, other, opposite) => {
    const at = placesIn(opposite);
    const near = order.map((group) =>
      mean(
        flows.filter((flow) => flow[side] === group).map((flow) => ({ at: flow[other], n: flow.n })),
        at,
      ),
    );
    const value = new Map(order.map((group, i) => [group, near[i]]));
    return [...order].sort((a, b) => value.get(a) - value.get(b));
  };
  // means of the places across, in turns, as is usual for drawings in layers (Sugiyama 1981)
  for (let turn = 0; turn < 6; turn += 1) {
    rightOrder = byMean(rightOrder, "to", "from", leftOrder);
    if (turn < 5) leftOrder = byMean(leftOrder, "from", "to", rightOrder);
  }
  const at = placesIn(leftOrder);
  // along the diagonal of the heat map: behind the partner on the left, the larger first
  const diagonal = right.groups
    .map((_, i) => i)
    .sort((a, b) => at[partner.get(a)] - at[partner.get(b)] || right.groups[b].size - right.groups[a].size);
  return { left, right, flows, leftOrder, rightOrder, diagonal };
}

/** Tell the numbers of a pair. */
function sayFlow({ from, to, n }, { left, right }) {
  const [a, b] = [left.groups[from], right.groups[to]];
  const share = (group) => `${percent(n / group.size)} of ${plain(group.name, 60)}`;
  return `${plain(a.name, 60)} and ${plain(b.name, 60)}: ${counted(n, contents.rows)}, ${share(a)}, ${share(b)}`;
}

function pickFlow({ from, to }, { left, right }) {
  const [a, b] = [left.groups[from], right.groups[to]];
  const sets = [
    { column: left.column, codes: a.codes },
    { column: right.column, codes: b.codes },
  ];
  selectGroups(sets, `${plain(a.name, 40)} and ${plain(b.name, 40)}`);
}

/** Give the groups of both sides their heights; names get a line each, however thin the group; both sides are as tall. */
function stack(sides, unit, top) {
  const high = ({ size }) => Math.max(2, size * unit);
  const slot = (group) => Math.max(high(group), 15);
  const lengths = sides.map(({ groups }) => groups.reduce((sum, group) => sum + slot(group) + 3, 0));
  const length = Math.max(...lengths);
  sides.forEach(({ groups, order }, k) => {
    const gap = 3 + (length - lengths[k]) / Math.max(1, order.length);
    let y = top + (gap - 3) / 2;
    for (const i of order) {
      const room = slot(groups[i]);
      groups[i] = { ...groups[i], y: y + (room - high(groups[i])) / 2, high: high(groups[i]), middle: y + room / 2, used: 0 };
      y += room + gap;
    }
  });
  return top + length;
}

function ribbon(x1, y1, h1, x2, y2, h2) {
  const c = (x1 + x2) / 2;
  const f = (value) => value.toFixed(1);
  const back = `L${x2} ${f(y2 + h2)}C${c} ${f(y2 + h2)} ${c} ${f(y1 + h1)} ${x1} ${f(y1 + h1)}Z`;
  return `M${x1} ${f(y1)}C${c} ${f(y1)} ${c} ${f(y2)} ${x2} ${f(y2)}${back}`;
}

function drawSankey(match, width, told) {
  const { left, right, leftOrder, rightOrder } = match;
  const side = (groups) => widestOf(groups, Math.min(190, width * 0.28)) + 10;
  const [leftRoom, rightRoom] = [side(left.groups), side(right.groups)];
  const total = left.groups.reduce((sum, { size }) => sum + size, 0);
  const unit = Math.max(380, 17 * Math.max(left.groups.length, right.groups.length)) / Math.max(1, total);
  const both = [
    { groups: left.groups, order: leftOrder },
    { groups: right.groups, order: rightOrder },
  ];
  const height = stack(both, unit, 28) + 6;
  const [x1, x2] = [leftRoom + 10, width - rightRoom - 10];
  const svg = sheet(width, height, "sankey", "Ribbons between two columns");
  const head = (x, text, anchor) => label(x, 11, fitText(text, width / 2 - 12, 12, 600), { class: "head", "text-anchor": anchor });
  svg.append(head(0, left.column.name, "start"), head(width, right.column.name, "end"));
  const [rankL, rankR] = [placesIn(leftOrder), placesIn(rightOrder)];
  const shown = match.flows.slice(0, MOST_RIBBONS);
  const unitOf = (group) => group.high / group.size;
  // ribbons leave a group in the order in which they arrive on the other side
  for (const flow of [...shown].sort((a, b) => rankR[a.to] - rankR[b.to])) {
    const group = left.groups[flow.from];
    Object.assign(flow, { y1: group.y + group.used, h1: flow.n * unitOf(group) });
    group.used += flow.h1;
  }
  for (const flow of [...shown].sort((a, b) => rankL[a.from] - rankL[b.from])) {
    const group = right.groups[flow.to];
    Object.assign(flow, { y2: group.y + group.used, h2: flow.n * unitOf(group) });
    group.used += flow.h2;
  }
  const parts = shown.map((flow) => {
    const said = sayFlow(flow, match);
    const d = ribbon(x1, flow.y1, Math.max(0.8, flow.h1), x2, flow.y2, Math.max(0.8, flow.h2));
    const part = drawing("path", { d, class: "ribbon", style: `fill:${left.groups[flow.from].color}` }, hint(said));
    for (const event of ["pointerenter", "focus"]) part.addEventListener(event, () => told(said));
    return pressable(part, said, () => pickFlow(flow, match));
  });
  const ends = [...sankeyEnds(left, leftOrder, x1 - 9, leftRoom, "end"), ...sankeyEnds(right, rightOrder, x2, rightRoom, "start")];
  svg.append(...parts, ...ends);
  roving(svg, parts);
  roving(null, ends);
  return svg;
}

function sankeyEnds({ column, groups }, order, x, room, anchor) {
  return order.map((i) => {
    const { y, high, middle, name, color, size, codes: members } = groups[i];
    const bar = drawing("rect", { x, y, width: 9, height: high, class: "end", style: `fill:${color}` });
    const text = label(anchor === "end" ? x - 6 : x + 15, middle, fitText(name, room - 8), { "text-anchor": anchor });
    const said = `${plain(name, 80)}: ${counted(size, contents.rows)}`;
    const part = drawing("g", {}, hint(said), bar, text);
    const act = () => (members.length === 1 ? focusGroup(column, members[0]) : selectGroups([{ column, codes: members }], name));
    return pressable(part, said, act);
  });
}

function drawHeat(match, width, told) {
  const { left, right, leftOrder, diagonal, flows } = match;
  const side = widestOf(left.groups, Math.min(180, width * 0.34)) + 12;
  const step = Math.max(17, Math.min(44, Math.floor((width - side - 8) / diagonal.length), Math.floor(900 / leftOrder.length)));
  const tall = widestOf(right.groups, 180);
  const flat = tall <= step - 4; // short names stand upright
  const top = (flat ? 14 : tall) + 34;
  const wide = Math.max(side + step * diagonal.length + 8, 320);
  const bottom = top + step * leftOrder.length;
  const height = bottom + 34;
  const svg = sheet(wide, height, "heat", "Shares of each row");
  const [row, column] = [placesIn(leftOrder), placesIn(diagonal)];
  svg.append(drawing("rect", { x: side, y: top, width: step * diagonal.length, height: step * leftOrder.length, class: "frame" }));
  const sorted = [...flows].sort((a, b) => row[a.from] - row[b.from] || column[a.to] - column[b.to]);
  const parts = sorted.map((flow) => {
    const share = flow.n / left.groups[flow.from].size;
    const said = sayFlow(flow, match);
    const [x, y] = [side + step * column[flow.to], top + step * row[flow.from]];
    const part = drawing(
      "g",
      {},
      hint(said),
      drawing("rect", { x, y, width: step - 1, height: step - 1, class: "share", style: shade(share) }),
    );
    const words = { class: share > 0.55 ? "tiny over" : "tiny", "text-anchor": "middle" };
    if (step >= 26 && share >= 0.005) part.append(label(x + step / 2 - 0.5, y + step / 2, `${Math.round(share * 100)}`, words));
    for (const event of ["pointerenter", "focus"]) part.addEventListener(event, () => told(said));
    return pressable(part, said, () => pickFlow(flow, match));
  });
  const names = drawing("g", { class: "side" }, drawing("rect", { x: 0, y: top, width: side, height: bottom - top, class: "ground" }));
  leftOrder.forEach((i) =>
    names.append(label(side - 6, top + step * (row[i] + 0.5), fitText(left.groups[i].name, side - 12), { "text-anchor": "end" })),
  );
  diagonal.forEach((i) => {
    const at = `translate(${side + step * (column[i] + 0.5)} ${top - (flat ? 11 : 7)})${flat ? "" : " rotate(-90)"}`;
    svg.append(label(0, 0, fitText(right.groups[i].name, 180), { transform: at, "text-anchor": flat ? "middle" : "start" }));
  });
  const corner = [label(0, 11, fitText(left.column.name, wide / 2 - 10, 12, 600), { class: "head" })];
  corner.push(label(wide, 11, fitText(right.column.name, wide / 2 - 10, 12, 600), { class: "head", "text-anchor": "end" }));
  svg.append(
    ...parts,
    names,
    ...corner,
    label(side, bottom + 18, `per cent of the ${contents.rows} of each row`, { class: "small faint" }),
  );
  roving(svg, parts);
  return { svg, names };
}

/** The whole table of counts, also of groups that drawings gather. */
function tableOfCounts(first, second, table) {
  const rows = table.cells.map(([a, b, n]) => [nameOfGroup(first, a), nameOfGroup(second, b), n, n / table.sumsA[a], n / table.sumsB[b]]);
  return { columns: [first.name, second.name, contents.rows, `share of ${first.name}`, `share of ${second.name}`], rows };
}

/** Two columns that are chosen, and the drawings of how they meet. */
class Comparison {
  constructor(columns) {
    this.columns = columns;
    this.first = columns.includes(state.partition) ? state.partition : columns[0];
    const reference = firstReference(this.first);
    this.second = reference === this.first ? columns.find((one) => one !== this.first) : reference;
    this.top = element("div", { class: "bar" });
    this.numbers = element("div", { class: "figures-row" });
    this.name = `${contents.title} comparison`;
    this.redraws = [];
    this.match = null;
    this.choosers();
    for (const event of ["names", "theme"]) on(event, () => this.refresh());
  }

  change(first, second) {
    Object.assign(this, { first, second });
    this.choosers();
    this.refresh();
  }

  refresh() {
    this.match = null;
    this.redraws.forEach((redraw) => redraw());
  }

  /** Counts and order of the groups: made once for both drawings. */
  matched() {
    this.match ??= contingency(this.first, this.second).then((table) => {
      this.table = table;
      this.numbers.replaceChildren(...agreement(table));
      return matched(this.first, this.second, table);
    });
    return this.match;
  }

  choosers() {
    const options = columnOptions(this.columns);
    const { first, second } = this;
    this.top.replaceChildren(
      choice("Compare", options, first, (column) => this.change(column, second)),
      choice("with", options, second, (column) => this.change(first, column)),
      element("button", { type: "button", class: "quiet", text: "Swap", on: { click: () => this.change(second, first) } }),
      element("span", { class: "push" }),
      csvButton(() => tableOfCounts(first, second, this.table), this.name),
    );
  }

  ribbons() {
    const said = element("p", { class: "said", "aria-live": "polite" });
    const host = element("div", { class: "drawn" });
    let svg = null;
    const draw = async (width) => {
      const match = await this.matched();
      svg = drawSankey(match, width, (text) => (said.textContent = text));
      return [svg, gathered(match)];
    };
    this.redraws.push(drawnIn(host, draw));
    const caption = `Each ribbon holds the ${contents.rows} that two groups share; a click selects them on the map.`;
    return card("Ribbons", caption, [pictureButtons(() => svg, this.name)], host, said);
  }

  heat() {
    const said = element("p", { class: "said", "aria-live": "polite" });
    const host = element("div", { class: "drawn sideways", tabindex: "0", role: "region", "aria-label": "Heat map of two columns" });
    let made = null;
    const draw = async (width) => {
      made = drawHeat(await this.matched(), width, (text) => (said.textContent = text));
      return made.svg;
    };
    this.redraws.push(drawnIn(host, draw));
    // names of rows stay in sight while the columns move
    host.addEventListener("scroll", () => made?.names.setAttribute("transform", `translate(${host.scrollLeft} 0)`));
    const straight = () => {
      made.names.removeAttribute("transform");
      return made.svg;
    };
    const caption = `Share of the ${contents.rows} of each row; groups that belong together stand on the diagonal.`;
    return card("Heat map", caption, [pictureButtons(straight, `${this.name} heat map`)], host, said);
  }
}

/** Tell where small groups stand together. */
function gathered({ left, right }) {
  const many = [left, right].filter(({ groups }) => groups.some(({ codes: members }) => members.length > 1));
  const names = many.map(({ column }) => plain(column.name, 40)).join(" and ");
  return many.length
    ? element("p", { class: "note", text: `The ${MOST_GROUPS - 1} largest groups of ${names} stand alone, the others together.` })
    : null;
}

/** Agreement of two columns in numbers. */
function agreement(table) {
  const left = contents.n - table.n;
  const text = (value) => (Number.isNaN(value) ? "–" : value.toFixed(3));
  const without = left ? ` with both; ${count(left)} without` : "";
  return [
    tile(
      text(adjustedRand(table)),
      "adjusted Rand index",
      "1: the same partition; 0: no more alike than by chance (Hubert and Arabie 1985)",
    ),
    tile(
      text(normalizedInformation(table)),
      "normalised mutual information",
      "Mutual information over the mean of the entropies, 0 to 1 (Vinh, Epps and Bailey 2010)",
    ),
    tile(count(table.n), `${contents.rows}${without}${onSample()}`),
  ];
}

panels.push({
  id: "compare",
  title: "Compare",
  present: () => groupColumns().length > 1,
  build: (host) => {
    const comparison = new Comparison(groupColumns());
    host.append(comparison.top, comparison.numbers, comparison.ribbons(), comparison.heat());
  },
});
