/* The panel of clusters: their table, what is known of one of them, and the tree and dot plot beside it. */

const MOST_BARS = 12; // groups of a composition, one by one

/** The entry of contents.clusters of a column, or the sizes of its groups where there is none. */
function clustersOf(column) {
  const at = contents.columns.indexOf(column);
  const entry = (contents.clusters ?? []).find((one) => one.column === at);
  const codeOf = new Map(column.names.map((name, code) => [name, code]));
  const plainRows = () => column.names.map((name, code) => ({ name, size: column.sizes[code], share: shareOfAll(column.sizes[code]) }));
  const rows = (entry?.rows ?? plainRows()).map((row) => ({ markers: [], ...row, code: codeOf.get(row.name) }));
  return { entry, column, rows, byCode: new Map(rows.map((row) => [row.code, row])) };
}

/** A gene that colours the map when it is pressed, or its name alone where the page does not hold it. */
function geneButton(name, title, inRow = false) {
  if (!geneNamed(name)) return element("span", { class: "gene-name", title }, isolated(name, 40));
  const attributes = {
    type: "button",
    class: "gene-name link",
    title: title ?? `Colour the map by ${name}`,
    on: { click: () => showGene(name) },
  };
  if (inRow) attributes.tabindex = "-1"; // the row is one stop of the tab key; the same markers are in its detail
  return element("button", attributes, isolated(name, 40));
}

function clusterColumns(shown, reference, purities) {
  const { column, rows } = shown;
  const has = (name) => rows.some((row) => row[name] !== undefined);
  const named = (row) => (row.code === undefined ? row.name : nameOfGroup(column, row.code));
  const out = [
    {
      title: "Cluster",
      value: named,
      show: (row) => element("span", { class: "cluster-name" }, swatch(column, row.code), isolated(named(row))),
    },
    {
      title: contents.rows[0].toUpperCase() + contents.rows.slice(1),
      numeric: true,
      value: (row) => row.size,
      show: (row) => count(row.size),
    },
    {
      title: "Share",
      hint: `Of all ${contents.rows} of the dataset, also those without a cluster`,
      numeric: true,
      value: (row) => row.share,
      show: (row) => shareBar(row.share, colorOfGroup(column, row.code)),
    },
  ];
  if (has("support")) {
    const show = (row) => (row.support === undefined ? "–" : shareBar(row.support, null));
    out.push({
      title: "Support",
      numeric: true,
      hint: `Share of ${contents.rows} that the split from the nearest cluster places rightly; 50% by chance`,
      value: (row) => row.support ?? null,
      show,
    });
  }
  if (has("held") && rows.some((row) => row.held !== undefined && row.held !== row.name)) {
    const hint = "Clusters left after those that are not told apart were joined";
    out.push({ title: "After support", hint, value: (row) => row.held ?? null, show: (row) => isolated(row.held ?? "–") });
  }
  if (reference) {
    const of = (row) => purities.get(row.code);
    const about = ({ named: some, size }) =>
      some < size ? `${count(some)} of its ${counted(size, contents.rows)} on this page have a group of ${plain(reference.name, 60)}` : null;
    const show = (row) =>
      of(row) ? element("span", { class: "purity", title: about(of(row)) }, shareBar(of(row).share, null), isolated(of(row).name)) : "–";
    out.push({
      title: plain(reference.name, 24),
      hint: `Largest group of ${reference.name} in each cluster, as a share of all ${contents.rows} of the cluster${onSample()}`,
      value: (row) => (of(row) ? `${percent(of(row).share)} ${of(row).name}` : null),
      show,
    });
  }
  if (rows.some((row) => row.markers.length)) {
    const show = (row) =>
      element("span", { class: "markers" }, ...row.markers.slice(0, 4).map((one) => geneButton(one.name, one.sentence, true)));
    out.push({ title: "Markers", value: (row) => row.markers.map(({ name }) => name).join(" "), show });
  }
  return out;
}

/** Rows of the table lit where they are in focus. */
async function clusterTable(shown, reference, tools) {
  const purities = reference ? await puritiesOf(shown.column, reference) : null;
  const { column } = shown;
  return new DataTable({
    columns: clusterColumns(shown, reference, purities),
    rows: shown.rows,
    tools,
    name: `${contents.title} clusters ${column.name}`,
    label: `Clusters of ${plain(column.name, 60)}`,
    act: (row) => focusGroup(column, row.code),
    marked: (row) => state.focus?.column === column && state.focus.code === row.code,
  });
}

/** Sentences about the support of a partition; lines that are indented are commands. */
function supportNotes(entry) {
  return (entry?.support_note ?? []).map((text) =>
    text.startsWith("  ") ? commandLine(text.trim()) : element("p", { class: "note", text }),
  );
}

/** What is said where no cluster is chosen. */
function overview(shown) {
  const { column, rows, entry } = shown;
  const total = rows.reduce((sum, { size }) => sum + size, 0);
  const drawn = [...rows]
    .filter(({ size }) => size > 0)
    .sort((a, b) => b.size - a.size)
    .slice(0, 100);
  const strip = element("div", { class: "strip", role: "img", "aria-label": `Sizes of ${count(rows.length)} clusters` });
  for (const row of drawn) {
    const style = `flex:${row.size} 0 0;background:${colorOfGroup(column, row.code)}`;
    strip.append(element("span", { style, title: `${nameOfGroup(column, row.code)}: ${counted(row.size, contents.rows)}` }));
  }
  const sizes = rows.map(({ size }) => size);
  const facts = [`${counted(rows.length, "clusters")} of ${counted(total, contents.rows)}`];
  if (rows.length)
    facts.push(
      `the largest ${count(sizes.reduce((a, b) => Math.max(a, b), 0))}, the smallest ${count(sizes.reduce((a, b) => Math.min(a, b), Infinity))}`,
    );
  return [
    element("h3", {}, isolated(column.name), " ", column.stale ? staleMark() : null),
    element("p", { text: `${facts.join(", ")}.` }),
    strip,
    element("p", {
      class: "caption",
      text: "Choose a cluster in the table, the tree or the dot plot: what is known of it is shown here, and the map shows where it lies.",
    }),
    ...supportNotes(entry),
  ];
}

function markerTable(row) {
  const { markers } = row;
  if (!markers.length) return null;
  const has = (name) => markers.some((one) => Number.isFinite(one[name]));
  const fold =
    contents.kind === "counts"
      ? ["Log2 fold", "Log2 of the ratio of the means"]
      : ["Difference", "Difference of the means in standard deviations"];
  const columns = [
    { title: "Marker", value: (one) => one.name, show: (one) => geneButton(one.name) },
    ...(has("score") ? [{ title: "Score", numeric: true, value: (one) => one.score ?? null, show: (one) => figure(one.score) }] : []),
    { title: fold[0], hint: fold[1], numeric: true, value: (one) => one.fold ?? null, show: (one) => figure(one.fold) },
    {
      title: "p",
      hint: "Adjusted for the number of tests",
      numeric: true,
      value: (one) => one.p ?? null,
      show: (one) => probability(one.p),
    },
    ...(markers.some(({ sentence }) => sentence)
      ? [{ title: "In words", value: (one) => one.sentence ?? null, show: (one) => isolated(one.sentence ?? "", 160) }]
      : []),
  ];
  const name = `${contents.title} markers of ${row.name}`;
  const tools = [element("h4", { text: "Markers" })];
  return [new DataTable({ columns, rows: markers, tools, name: shorten(name, 120), label: "Markers" }).node];
}

/** The features by which a cluster was explained. */
function gatesOf(entry, row) {
  const gate = entry?.gates?.find(({ group }) => group === row.name);
  if (!gate) return null;
  const rates = ["precision", "recall"].filter((name) => Number.isFinite(gate[name])).map((name) => `${name} ${percent(gate[name])}`);
  const weightSaid = "How open the gate of the cluster is, 0 to 1: the larger, the more it is told by this";
  const out = [element("h4", { text: "Gates", title: weightSaid })];
  if (gate.text) out.push(element("p", {}, isolated(gate.text, 2000)));
  for (const { name, gate: weight, mean, mean_rest } of gate.features ?? []) {
    const side = mean >= mean_rest ? "high" : "low";
    const title = `gate ${figure(weight, 2)} of 1; mean ${figure(mean)}, elsewhere ${figure(mean_rest)}`;
    out.push(
      element(
        "div",
        { class: "gate", title },
        geneButton(name),
        element("span", { class: "faint", text: side }),
        shareBar(weight, null, figure(weight, 2)),
      ),
    );
  }
  const more = (gate.n_features ?? 0) - (gate.features?.length ?? 0);
  if (more > 0) rates.unshift(`and ${count(more)} more`);
  if (rates.length) out.push(element("p", { class: "note", text: `${rates.join(", ")}.` }));
  return out;
}

/** Counts of one cluster in the groups of another column, as bars. */
async function compositionBars(column, code, by) {
  const [own, other] = [await codes(column), await codes(by)];
  const sums = new Map();
  let total = 0;
  for (let i = 0; i < own.length; i += 1) {
    if (own[i] !== code) continue;
    sums.set(other[i], (sums.get(other[i]) ?? 0) + 1);
    total += 1;
  }
  const order = [...sums].sort((a, b) => b[1] - a[1]);
  const bars = order
    .slice(0, MOST_BARS)
    .map(([group, n]) =>
      element(
        "div",
        { class: "part" },
        isolated(nameOfGroup(by, group), 60),
        shareBar(n / total, colorOfGroup(by, group)),
        element("span", { class: "number faint", text: count(n) }),
      ),
    );
  if (order.length > MOST_BARS) bars.push(element("p", { class: "note", text: `and ${counted(order.length - MOST_BARS, "groups")} more` }));
  if (contents.sampled) bars.push(element("p", { class: "note", text: `Counted${onSample()}.` }));
  const table = { columns: [by.name, contents.rows, "share"], rows: order.map(([group, n]) => [nameOfGroup(by, group), n, n / total]) };
  return { bars, table };
}

let composedBy = null; // the column of the composition, kept from cluster to cluster

function compositionPart(column, code) {
  const columns = groupColumns().filter((one) => one !== column);
  if (!columns.length) return null;
  composedBy = columns.includes(composedBy) ? composedBy : columns.includes(firstReference(column)) ? firstReference(column) : columns[0];
  const host = element("div", { class: "composition" });
  let table = null;
  const show = async () => {
    const made = await compositionBars(column, code, composedBy);
    table = made.table;
    host.replaceChildren(...made.bars);
  };
  const pick = choice("by", columnOptions(columns), composedBy, (chosen) => {
    composedBy = chosen;
    show();
  });
  show();
  const name = shorten(`${contents.title} composition of ${nameOfGroup(column, code)}`, 120);
  return [
    element(
      "div",
      { class: "bar" },
      element("h4", { text: "Composition" }),
      pick,
      element("span", { class: "push" }),
      csvButton(() => table, name),
    ),
    host,
  ];
}

/** The clusters that join this one in the tree, the nearest first. */
function aroundPart(column, code) {
  if (contents.columns[contents.tree?.column] !== column) return null;
  let node = nodesOfTree(contents.tree, column, Infinity).nodes.find((one) => !one.children.length && one.code === code);
  if (!node?.parent) return null;
  const steps = [];
  for (; node.parent && steps.length < 5; node = node.parent) {
    const here = node;
    const members = node.parent.children.filter((one) => one !== here).flatMap((one) => one.members);
    const chips = members
      .slice(0, 8)
      .map((one) =>
        element(
          "button",
          { type: "button", class: "chip-link", on: { click: () => focusGroup(column, one) } },
          swatch(column, one),
          isolated(nameOfGroup(column, one), 40),
        ),
      );
    if (members.length > 8) chips.push(element("span", { class: "note", text: `and ${count(members.length - 8)} more` }));
    const far = node.parent.height === null ? "nothing connects" : `at ${figure(node.parent.height)}`;
    steps.push(element("li", {}, element("span", { class: "faint far-off", text: far, title: node.parent.height === null ? UNCONNECTED : null }), element("span", { class: "chips-in" }, ...chips)));
  }
  return [
    element("h4", { text: "Around it in the tree" }),
    element("p", { class: "caption", text: "Distance at which others join it." }),
    element("ol", { class: "around" }, ...steps),
  ];
}

/** Everything that is known of one cluster. */
async function detail(shown, code) {
  const { column, entry } = shown;
  const row = shown.byCode.get(code) ?? { name: nameOfGroup(column, code), size: 0, share: 0, markers: [] };
  const close = element("button", { type: "button", class: "quiet close", text: "Close", on: { click: () => focusGroup(column, null) } });
  const pick = () => selectGroups([{ column, codes: [code] }], nameOfGroup(column, code));
  const picked = element("button", {
    type: "button",
    class: "quiet",
    text: "Select",
    title: `Select its ${contents.rows} on the map`,
    on: { click: pick },
  });
  const onMap = () => (colorBy(column), openPanel("map"));
  const map = element("button", { type: "button", class: "quiet", text: "On the map", on: { click: onMap } });
  const facts = [element("p", { text: `${counted(row.size, contents.rows)}, ${percent(row.share)} of all ${contents.rows}` })];
  if (row.support !== undefined)
    facts.push(
      element("p", {
        text: `Support ${percent(row.support)}: so many ${contents.rows} are placed rightly on either side of the split from the nearest cluster; half of them by chance.`,
      }),
    );
  if (row.held !== undefined && row.held !== row.name)
    facts.push(element("p", {}, "No gap parts it from others: it is held as ", isolated(row.held), "."));
  return [
    element("div", { class: "detail-top" }, element("h3", {}, swatch(column, code), isolated(nameOfGroup(column, code))), close),
    ...facts,
    element("div", { class: "bar" }, map, picked),
    ...(markerTable(row) ?? []),
    ...(gatesOf(entry, row) ?? []),
    ...(compositionPart(column, code) ?? []),
    ...((await galleryPart(column, code)) ?? []),
    ...(aroundPart(column, code) ?? []),
  ];
}

/** Keep the side of the panel to what is in focus. */
function keepDetail(side, shownNow) {
  let turn = 0;
  return async () => {
    turn += 1;
    const mine = turn;
    const { focus } = state;
    const shown = focus && focus.column !== shownNow().column ? clustersOf(focus.column) : shownNow();
    const parts = focus ? await detail(shown, focus.code) : overview(shown);
    if (mine !== turn) return; // another one was chosen meanwhile
    side.classList.toggle("chosen", Boolean(focus));
    side.replaceChildren(...parts.flat().filter(Boolean));
    side.scrollTop = 0;
  };
}

async function buildClusters(host) {
  const columns = contents.columns.filter(({ kind }) => kind === "groups");
  const listed = (contents.clusters ?? []).map((one) => contents.columns[one.column]);
  const options = [
    ...columnOptions(listed),
    ...columnOptions(columns.filter((one) => !listed.includes(one)), "Other columns"),
  ];
  let [shown, table, reference] = [null, null, null];
  const cards = new Map(); // tree and dot plot of a partition, made once
  const [tableHost, more] = [element("div"), element("div", { class: "stack" })];
  let tools = [];
  const side = element("aside", { class: "detail", "aria-label": "The cluster that is chosen" });
  const fillSide = keepDetail(side, () => shown);
  const rebuild = async () => {
    table = await clusterTable(shown, reference, tools);
    tableHost.replaceChildren(table.node);
  };
  const start = async () => {
    const column = columns.includes(state.partition) ? state.partition : (listed[0] ?? columns[0]);
    if (shown?.column !== column) reference = firstReference(column) === column ? null : firstReference(column);
    shown = clustersOf(column);
    const references = [{ text: "none", value: null }, ...columnOptions(groupColumns().filter((one) => one !== column))];
    const pick =
      options.length > 1 ? choice("Clusters", options, column, (chosen) => (focusGroup(chosen, null), choosePartition(chosen))) : null;
    const beside = references.length > 1 ? choice("Beside", references, reference, (chosen) => ((reference = chosen), rebuild())) : null;
    tools = [pick, column.stale ? staleMark() : null, beside].filter(Boolean);
    if (!cards.has(column))
      cards.set(column, [contents.columns[contents.tree?.column] === column ? treeCard() : null, dotsCard(shown.entry)].filter(Boolean));
    more.replaceChildren(...cards.get(column));
    await rebuild();
    await fillSide();
  };
  const sampled = contents.sampled
    ? element("p", {
        class: "note",
        text: `Sizes and shares are those of the dataset; compositions, pies and shares beside another column are counted on the ${count(contents.n)} ${contents.rows} of this page, which are more where the map is sparse.`,
      })
    : null;
  host.append(
    element(
      "div",
      { class: "clusters" },
      element("div", { class: "stack" }, element("div", { class: "card" }, tableHost, sampled ?? ""), more),
      side,
    ),
  );
  await start();
  on("partition", start);
  on("names", () => (table.refresh(), fillSide()));
  on("focus", () => (table.refresh(), fillSide()));
}

panels.push({
  id: "clusters",
  title: "Clusters",
  present: () => contents.columns.some(({ kind, names }) => kind === "groups" && names.length > 0),
  build: buildClusters,
});
