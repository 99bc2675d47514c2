/* The panel of samples: what differs between conditions, and how well samples mix. */

const SAMPLE_TABLES = { samples: "Samples", composition: "Composition", contrast: "Contrast", mixing: "Mixing" };

/** Colour the map by the gene of a row, and focus its cluster, where the page holds them. */
function showRow({ columns, within }, row) {
  const at = (name) => columns.indexOf(name);
  const gene = at("gene") < 0 ? null : contents.genes?.find(({ name }) => name === row[at("gene")]);
  if (gene) colorBy(gene);
  const group = at("group") < 0 ? null : String(row[at("group")]);
  const column = contents.columns.find(({ key, kind }) => key === within && kind === "groups");
  if (column?.names.includes(group)) focusGroup(column, column.names.indexOf(group));
  if (gene) announce(`The map is coloured by ${gene.name}.`);
}

function buildSamples(host) {
  const tables = contents.samples ?? {};
  for (const [name, data] of Object.entries(tables)) {
    const title = data.title ?? SAMPLE_TABLES[name] ?? name;
    const links = data.columns.includes("gene") || data.columns.includes("group");
    const file = `${contents.title} ${name}`;
    const table = tableOf(data, file, links ? (row) => showRow(data, row) : undefined, true);
    const caption = data.columns.includes("gene")
      ? "A click focuses the cluster, and colours the map by the gene where the page holds it."
      : "A click focuses the cluster.";
    host.append(card(title, links ? caption : null, [csvButton(() => table.data(), file)], table.node));
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
