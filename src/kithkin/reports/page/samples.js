/* The panel of samples: what differs between conditions, and how well samples mix. */

const SAMPLE_TABLES = { samples: "Samples", composition: "Composition", contrast: "Contrast", mixing: "Mixing" };

/** The column whose clusters the rows of a table are, where the page holds it. */
function columnWithin({ columns, within }) {
  return columns.includes("group") ? contents.columns.find(({ key, kind }) => key === within && kind === "groups") : undefined;
}

/** Colour the map by the gene of a row, and focus its cluster, where the page holds them. */
function showRow(data, row) {
  const { columns } = data;
  const at = (name) => columns.indexOf(name);
  const gene = at("gene") < 0 ? null : contents.genes.find(({ name }) => name === row[at("gene")]);
  if (gene) colorBy(gene);
  const group = at("group") < 0 ? null : String(row[at("group")]);
  const column = columnWithin(data);
  if (column?.names.includes(group)) focusGroup(column, column.names.indexOf(group));
  if (gene) announce(`The map is coloured by ${gene.name}.`);
}

function buildSamples(host) {
  const tables = contents.samples ?? {};
  for (const [name, data] of Object.entries(tables)) {
    const title = data.title ?? SAMPLE_TABLES[name] ?? name;
    const acts = [
      columnWithin(data) ? "focuses the cluster" : null,
      data.columns.includes("gene") && contents.genes.length ? "colours the map by the gene where the page holds it" : null,
    ].filter(Boolean);
    const file = `${contents.title} ${name}`;
    const table = tableOf(data, file, acts.length ? (row) => showRow(data, row) : undefined, true);
    const caption = acts.length ? `A click ${acts.join(", and ")}.` : null;
    host.append(card(title, caption, [csvButton(() => table.data(), file)], table.node));
  }
  appendFigures(host, (section) => section === "samples");
}

panels.push({
  id: "samples",
  title: "Samples",
  present: () => Object.keys(contents.samples ?? {}).length > 0 || (contents.figures ?? []).some(({ section }) => section === "samples"),
  build: (host) => {
    host.classList.add("panel");
    buildSamples(host);
  },
});
