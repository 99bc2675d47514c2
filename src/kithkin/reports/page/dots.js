/* The dot plot: genes by clusters, area of a dot the share of cells with a value, colour the mean. */

const MOST_DOT_ROWS = 80;
const DOT_STEP = 19;

/** Groups of the dot plot in the order of the tree's leaves where there is one, the largest if there are very many. */
function orderDots(dots, column) {
  const place = new Map((contents.tree?.leaves ?? []).map((name, i) => [name, i]));
  const codeOf = new Map(column.names.map((name, code) => [name, code]));
  let rows = dots.groups.map((name, at) => ({ name, at, code: codeOf.get(name) ?? -1 }));
  const size = (row) => column.sizes[row.code] ?? 0;
  const all = rows.length;
  if (all > MOST_DOT_ROWS)
    rows = [...rows]
      .sort((a, b) => size(b) - size(a))
      .slice(0, MOST_DOT_ROWS)
      .sort((a, b) => a.at - b.at);
  if (contents.columns[contents.tree?.column] === column) rows.sort((a, b) => (place.get(a.name) ?? 1e9) - (place.get(b.name) ?? 1e9));
  const rank = new Map(rows.map(({ name }, i) => [name, i]));
  const genes = dots.genes.map((gene, at) => ({ ...gene, at }));
  genes.sort((a, b) => (rank.get(a.of) ?? 1e9) - (rank.get(b.of) ?? 1e9) || a.at - b.at); // each gene below its cluster
  return { rows, genes, dropped: all - rows.length };
}

/** Colour 0..1 of each dot, by the range of its gene or of all. */
function scaledMeans(dots, rows, genes, each) {
  const ends = (values) => [Math.min(...values), Math.max(...values)];
  const columns = genes.map(({ at }) => rows.map((row) => dots.mean[row.at][at]).filter(Number.isFinite));
  let whole = [0, 1];
  if (!each) whole = ends(columns.map((values) => ends(values)).flat());
  const ranges = columns.map((values) => (each ? ends(values) : whole));
  return (row, k) => {
    const [low, high] = ranges[k];
    return high > low ? (dots.mean[row.at][genes[k].at] - low) / (high - low) : 0;
  };
}

function geneNamed(name) {
  return contents.genes?.find((gene) => gene.name === name);
}

/** Colour the map by a gene, and say so; genes that the page does not hold are said to be missing. */
function showGene(name) {
  const gene = geneNamed(name);
  if (gene) colorBy(gene);
  announce(gene ? `The map is coloured by ${name}.` : `${name} is not among the ${contents.vars} of this page.`);
}

/** One hue from faint to full: it reads on light and dark paper, and for those who see few colours. */
function shade(share) {
  return `fill-opacity:${(0.07 + 0.93 * Math.min(1, Math.max(0, share))).toFixed(3)}`;
}

function dotOf(x, y, share, colored) {
  const radius = Math.max(0.6, Math.sqrt(Math.min(1, share)) * (DOT_STEP / 2 - 1));
  return drawing("circle", { cx: x.toFixed(1), cy: y, r: radius.toFixed(2), class: "dot", style: shade(colored) });
}

/** Sizes and colours of the dots, explained. */
function dotLegend(x, y, each, unit, ends, stacked) {
  const out = [
    label(x, y, contents.kind === "counts" ? `share of ${contents.rows}` : `share of ${contents.rows} above the mean`, {
      class: "small faint",
    }),
  ];
  let at = x + 8;
  for (const share of [0.25, 0.5, 0.75, 1]) {
    const radius = Math.sqrt(share) * (DOT_STEP / 2 - 1);
    out.push(drawing("circle", { cx: at, cy: y + 20, r: radius, class: "sample" }));
    out.push(label(at + 12, y + 20, percent(share), { class: "small" }));
    at += 54;
  }
  const from = stacked ? x : x + 250;
  if (stacked) y += 44;
  out.push(
    label(from, y, each ? `mean, scaled by ${contents.vars.replace(/s$/, "")}` : `mean${unit ? `, ${unit}` : ""}`, {
      class: "small faint",
    }),
  );
  const stops = 24;
  for (let i = 0; i < stops; i += 1) {
    out.push(drawing("rect", { x: from + 34 + i * 5, y: y + 14, width: 5, height: 11, class: "dot", style: shade((i + 0.5) / stops) }));
  }
  out.push(label(from + 28, y + 20, each ? "low" : figure(ends[0]), { class: "small", "text-anchor": "end" }));
  out.push(label(from + 34 + stops * 5 + 6, y + 20, each ? "high" : figure(ends[1]), { class: "small" }));
  return out;
}

function drawDots(dots, column, each, width) {
  const { rows, genes, dropped } = orderDots(dots, column);
  const side =
    widestOf(
      rows.map(({ code }) => nameOfGroup(column, code)),
      Math.min(170, width * 0.36),
    ) + 28;
  const top = widestOf(genes, 120) + 12;
  const step = Math.min(30, Math.max(DOT_STEP, (width - side - 12) / Math.max(1, genes.length)));
  const stacked = width < 450; // the legend in two lines
  const wide = Math.max(side + step * genes.length + 12, stacked ? 250 : 450);
  const bottom = top + DOT_STEP * rows.length;
  const height = bottom + (stacked ? 96 : 52);
  const scaled = scaledMeans(dots, rows, genes, each);
  const svg = sheet(wide, height, "dots", "Dot plot");
  const left = drawing("g", { class: "side" }, drawing("rect", { x: 0, y: 0, width: side, height: bottom + 4, class: "ground" }));
  const plot = drawing("g", {});
  const [heads, labels, values] = [[], [], []];
  genes.forEach((gene, k) => {
    const x = side + step * (k + 0.5);
    if (k > 0 && gene.of !== genes[k - 1].of) plot.append(drawing("path", { d: `M${side + step * k} ${top}V${bottom}`, class: "grid" }));
    const text = label(0, 0, fitText(gene.name, 116), { transform: `translate(${x} ${top - 8}) rotate(-90)`, class: "gene" });
    const said = `${plain(gene.name, 80)}${gene.of ? `, marker of ${plain(gene.of, 80)}` : ""}`;
    text.append(hint(said));
    heads.push(pressable(text, `Colour the map by ${said}`, () => showGene(gene.name)));
  });
  rows.forEach((row, i) => {
    const y = top + DOT_STEP * (i + 0.5);
    const name = nameOfGroup(column, row.code);
    if (i % 2 === 0)
      plot.append(drawing("rect", { x: side, y: y - DOT_STEP / 2, width: step * genes.length, height: DOT_STEP, class: "band" }));
    genes.forEach((gene, k) => {
      const share = dots.share[row.at][gene.at];
      values.push(dots.mean[row.at][gene.at]);
      if (share > 0.001) plot.append(dotOf(side + step * (k + 0.5), y, share, scaled(row, k)));
    });
    const dot = drawing("circle", { cx: 9, cy: y, r: 4.5, style: `fill:${colorOfGroup(column, row.code)}` });
    const text = label(20, y, fitText(name, side - 28), { class: "row" });
    const line = drawing("g", { "data-code": row.code }, hint(name), dot, text);
    labels.push(pressable(line, `Cluster ${plain(name, 80)}`, () => focusGroup(column, row.code)));
  });
  left.append(...labels);
  const finite = values.filter(Number.isFinite);
  const ends = [Math.min(...finite), Math.max(...finite)];
  svg.append(plot, ...heads, left, drawing("g", { class: "legend" }, ...dotLegend(12, bottom + 16, each, dots.unit, ends, stacked)));
  roving(svg, [...heads]);
  roving(left, labels);
  /** What is under the pointer: a gene and a row, or undefined. */
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    const gene = genes[Math.floor((event.clientX - box.left - side) / step)];
    const row = rows[Math.floor((event.clientY - box.top - top) / DOT_STEP)];
    return gene && row ? { gene, row } : undefined;
  };
  plot.addEventListener("click", (event) => at(event) && showGene(at(event).gene.name));
  return { svg, left, dropped, at };
}

/** The numbers of a dot. */
function sayDot(dots, column, { gene, row }) {
  const [mean, share] = [dots.mean[row.at][gene.at], dots.share[row.at][gene.at]];
  const above = contents.kind === "counts" ? "" : " above the mean";
  return `${plain(gene.name, 60)} in ${plain(nameOfGroup(column, row.code), 60)}: ${percent(share)} of ${contents.rows}${above}, mean ${figure(mean)}`;
}

/** The dot plot of a partition as a card; null where there is none. */
function dotsCard(entry) {
  const dots = entry?.dots;
  if (!dots || !dots.genes.length || !dots.groups.length) return null;
  const column = contents.columns[entry.column];
  let each = true;
  let shown = null;
  const box = element("div", { class: "drawn sideways", tabindex: "0", role: "region", "aria-label": "Dot plot" });
  const said = element("p", { class: "said", text: " " });
  box.addEventListener("pointermove", (event) => {
    const under = shown?.at(event);
    if (under) said.textContent = sayDot(dots, column, under);
  });
  // names of clusters stay in sight while the genes move
  box.addEventListener("scroll", () => shown?.left.setAttribute("transform", `translate(${box.scrollLeft} 0)`));
  const refresh = drawnIn(box, (width) => {
    shown = drawDots(dots, column, each, width);
    lightLeaves(shown.svg, column);
    shown.left.setAttribute("transform", `translate(${box.scrollLeft} 0)`);
    return [shown.svg, shown.dropped ? element("p", { class: "note", text: `The largest ${MOST_DOT_ROWS} clusters are drawn.` }) : null];
  });
  for (const event of ["theme", "names"]) on(event, refresh);
  on("focus", () => shown && lightLeaves(shown.svg, column));
  const options = [
    { text: `scaled by ${contents.vars.replace(/s$/, "")}`, value: true },
    { text: "as they are", value: false },
  ];
  const colors = choice("Means", options, each, (chosen) => {
    each = chosen;
    refresh();
  });
  const whole = () => {
    shown.left.removeAttribute("transform");
    return shown.svg;
  };
  const table = () => ({
    columns: ["cluster", contents.vars.replace(/s$/, ""), "marker of", "mean", "share"],
    rows: dots.groups.flatMap((name, i) => dots.genes.map((gene, k) => [name, gene.name, gene.of, dots.mean[i][k], dots.share[i][k]])),
  });
  const name = `${contents.title} dot plot`;
  return card(
    "Dot plot",
    `A click on one of the ${contents.vars} colours the map by it.`,
    [colors, csvButton(table, name), pictureButtons(whole, name)],
    box,
    said,
  );
}
