/* The tree above the clusters on a scale of the logarithm of distance, with what each branch is made of as pies. */

const MOST_LEAVES = 80;
const MOST_SLICES = 40;
const UNCONNECTED = "No path in the graph of neighbours leads from one to the other, so there is no distance";

/** Nodes of the tree above the largest leaves: {code, name, height, size, members, children, parent}; the last is the root. */
function nodesOfTree(tree, column, most = MOST_LEAVES) {
  const codeOf = new Map(column.names.map((name, code) => [name, code]));
  const leaves = tree.leaves.map((name, place) => {
    const code = codeOf.get(name) ?? -1;
    return { name, code, place, height: 0, size: column.sizes[code] ?? 0, members: [code], children: [] };
  });
  const kept = new Set([...leaves].sort((a, b) => b.size - a.size).slice(0, most));
  const made = leaves.map((leaf) => (kept.has(leaf) ? leaf : null));
  for (const [a, b, height] of tree.merges) {
    const [first, second] = [made[a], made[b]];
    made.push(!first || !second ? (first ?? second) : joined([first, second], height));
  }
  const used = new Set(tree.merges.flatMap(([a, b]) => [a, b]));
  const roots = [...new Set(made.filter((node, i) => node && !used.has(i)))];
  const root = roots.length > 1 ? roots.reduce((a, b) => joined([a, b], null)) : roots[0];
  return { root, nodes: walk(root), dropped: leaves.length - kept.size };
}

function joined(children, height) {
  // parts that nothing connects meet in one node, not in one after the other
  const apart = (node) => (height === null && node.children.length && node.height === null ? node.children : [node]);
  const sorted = children.flatMap(apart).sort((a, b) => a.place - b.place); // as the leaves stand
  const node = { height, children: sorted, place: sorted[0].place, size: 0, members: [] };
  for (const child of sorted) {
    child.parent = node;
    node.size += child.size;
    for (const code of child.members) node.members.push(code);
  }
  return node;
}

/** Nodes in depth first order, children before parents and from left to right; no recursion: a tree can be one long ladder. */
function walk(root) {
  const [stack, out] = [[root], []];
  while (stack.length > 0) {
    const node = stack.pop();
    out.push(node);
    for (const child of node.children) stack.push(child);
  }
  return out.reverse();
}

/** Give each node its place; x falls with the logarithm of the distance, leaves stand at `right`. */
function placeNodes({ nodes }, { left, right, top, step }) {
  const heights = nodes.filter((node) => node.children.length && node.height > 0).map(({ height }) => height);
  const [least, most] = heights.length ? [Math.min(...heights), Math.max(...heights)] : [1, 10];
  const low = Math.log10(least) - Math.max(0.12, 0.12 * Math.log10(most / least)); // leaves keep away from the first merge
  const high = Math.max(Math.log10(most), low + 0.2);
  const far = nodes.some((node) => node.children.length && node.height === null) ? 36 : 0; // room for what nothing connects
  const scale = (height) => left + far + ((high - Math.log10(height)) / (high - low)) * (right - left - far);
  const leaves = nodes.filter((node) => node.children.length === 0); // as the branches lie, so that none cross
  leaves.forEach((leaf, i) => Object.assign(leaf, { x: right, y: top + step * (i + 0.5) }));
  for (const node of nodes) {
    if (!node.children.length) continue;
    node.y = (node.children[0].y + node.children[node.children.length - 1].y) / 2;
    node.x = node.height === null ? left : Math.min(right, scale(Math.max(node.height, 10 ** low)));
  }
  return { leaves, scale, low, high };
}

/** Radii of the pies: by size, and so that no two touch. */
function sizePies(nodes, step) {
  const largest = Math.max(...nodes.map(({ size }) => size), 1);
  const wanted = (node) => Math.max(3.5, Math.min(step * 0.95, 16) * (node.size / largest) ** 0.3);
  for (const node of nodes) node.radius = node.children.length ? wanted(node) : Math.min(wanted(node), step * 0.42);
  const inner = nodes.filter(({ children }) => children.length);
  for (const node of inner) {
    for (const other of nodes) {
      if (other === node) continue;
      const apart = Math.hypot(node.x - other.x, node.y - other.y) - 1.5;
      const reach = node.radius + other.radius;
      if (reach <= apart) continue;
      node.radius = Math.max(2, (node.radius * apart) / reach);
      if (other.children.length) other.radius = Math.max(2, (other.radius * apart) / reach);
    }
  }
}

/** Slices of a pie as SVG; parts [{share, color}]. */
function pie(x, y, radius, parts) {
  const rim = drawing("circle", { cx: x, cy: y, r: radius, class: "rim" });
  const whole = parts.find(({ share }) => share > 0.9985);
  if (whole) return [drawing("circle", { cx: x, cy: y, r: radius, style: `fill:${whole.color}` }), rim];
  const ground = drawing("circle", { cx: x, cy: y, r: radius, class: "missing" });
  const at = (share) => {
    const angle = 2 * Math.PI * share - Math.PI / 2;
    return `${(x + radius * Math.cos(angle)).toFixed(2)} ${(y + radius * Math.sin(angle)).toFixed(2)}`;
  };
  let from = 0;
  const slices = [];
  for (const { share, color } of parts) {
    if (share > 0.0015) {
      const large = share > 0.5 ? 1 : 0;
      const d = `M${x} ${y}L${at(from)}A${radius} ${radius} 0 ${large} 1 ${at(from + share)}Z`;
      slices.push(drawing("path", { d, style: `fill:${color}` }));
    }
    from += share;
  }
  return [ground, ...slices, rim];
}

/** What each node is made of: shares of the groups of a column, the largest groups of it one by one, the rest as one. */
function compositionOf(nodes, table, by) {
  const order = table.sumsB.map((size, code) => [size, code]).filter(([size]) => size > 0);
  order.sort((a, b) => b[0] - a[0]);
  const shown = order.slice(0, MOST_SLICES).map(([, code]) => code);
  const slot = new Map(shown.map((code, i) => [code, i]));
  const rest = order.length > shown.length;
  const colors = [...shown.map((code) => colorOfGroup(by, code)), ...(rest ? ["#9a9a9a"] : [])];
  const leaf = new Map();
  for (const [a, b, n] of table.cells) {
    if (!leaf.has(a)) leaf.set(a, new Float64Array(colors.length));
    leaf.get(a)[slot.get(b) ?? colors.length - 1] += n;
  }
  for (const node of nodes) {
    node.counts = new Float64Array(colors.length);
    const sources = node.children.length ? node.children.map(({ counts }) => counts) : [leaf.get(node.code) ?? []];
    for (const source of sources) source.forEach((n, i) => (node.counts[i] += n));
    const total = node.counts.reduce((sum, n) => sum + n, 0);
    node.parts = Array.from(node.counts, (n, i) => ({ share: total ? n / total : 0, color: colors[i], at: i }));
  }
  const names = [...shown.map((code) => nameOfGroup(by, code)), ...(rest ? [`${count(order.length - shown.length)} others`] : [])];
  return { names, colors };
}

/** Names beside squares of their colours, in lines of a width; returns the drawn parts and the height. */
function colorKey(names, colors, x, y, width, most = 24) {
  const parts = [];
  let [at, line] = [x, y];
  names.slice(0, most).forEach((name, i) => {
    const text = fitText(name, Math.min(160, width - 24), 11);
    const wide = 18 + textWidth(text, 11) + 14;
    if (at + wide > x + width && at > x) [at, line] = [x, line + 18];
    parts.push(drawing("rect", { x: at, y: line - 5, width: 10, height: 10, rx: 2, style: `fill:${colors[i]}` }));
    parts.push(drawing("text", { x: at + 15, y: line, class: "small", "dominant-baseline": "central" }, hint(name), text));
    at += wide;
  });
  if (names.length > most) {
    const text = `and ${count(names.length - most)} more`;
    if (at + textWidth(text, 11) > x + width && at > x) [at, line] = [x, line + 18];
    parts.push(label(at, line, text, { class: "small faint" }));
  }
  return { parts, height: line - y + 18 };
}

/** Round distances for the axis. */
function ticksOf(low, high) {
  const out = [];
  const steps = high - low > 2.5 ? [1] : [1, 2, 5];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const step of steps) {
      const value = step * 10 ** power;
      if (Math.log10(value) > low && Math.log10(value) <= high + 1e-9) out.push(value);
    }
  }
  return out;
}

/** Tell what a node of the tree is, in a sentence. */
function sayNode(node, column, names) {
  const rows = counted(node.size, contents.rows);
  const made = node.parts
    .filter(({ share }) => share > 0)
    .sort((a, b) => b.share - a.share)
    .slice(0, 4)
    .map(({ share, at }) => `${plain(names[at], 40)} ${percent(share)}`)
    .join(", ");
  if (!node.children.length) return `${plain(nameOfGroup(column, node.code), 80)}: ${rows}. ${made}`;
  const height = node.height === null ? "nothing connects them" : `joined at distance ${figure(node.height)}`;
  return `${count(node.members.length)} clusters, ${rows}, ${height}. ${made}`;
}

function drawTree(tree, column, by, table, width) {
  const layout = nodesOfTree(tree, column);
  const { nodes } = layout;
  const { names, colors } = compositionOf(nodes, table, by);
  const texts = nodes.filter((node) => !node.children.length).map((node) => nameOfGroup(column, node.code));
  const room = widestOf(texts, Math.min(220, width * 0.42), 12, 600) + 76;
  const step = texts.length > 40 ? 18 : 24;
  const box = { left: 22, right: Math.max(140, width - room - 14), top: 8, step };
  const { leaves, scale, low, high } = placeNodes(layout, box);
  sizePies(nodes, step);
  const bottom = box.top + step * leaves.length;
  const key = colorKey(names, colors, box.left, bottom + 56, width - box.left - 8);
  const height = bottom + 56 + key.height;
  const svg = sheet(width, height, "tree", `Tree above ${plain(column.name, 60)}`);
  const line = (d, far) => drawing("path", { d, class: far ? "branch far" : "branch" });
  for (const value of ticksOf(low, high)) {
    const x = scale(value);
    svg.append(drawing("path", { d: `M${x} ${box.top}V${bottom + 4}`, class: "grid" }));
    svg.append(label(x, bottom + 15, figure(value), { class: "small faint", "text-anchor": "middle" }));
  }
  svg.append(
    label((box.left + box.right) / 2, bottom + 32, "distance between clusters", { class: "small faint", "text-anchor": "middle" }),
  );
  for (const node of nodes) {
    if (!node.children.length) continue;
    const [first, last] = [node.children[0], node.children[node.children.length - 1]];
    const between = node.children.slice(1, -1).map(({ x, y }) => `M${x} ${y}H${node.x}`);
    svg.append(line(`M${first.x} ${first.y}H${node.x}V${last.y}H${last.x}${between.join("")}`, node.height === null));
  }
  const { root } = layout;
  if (root.height !== null) svg.append(line(`M${root.x} ${root.y}H${Math.max(4, root.x - 14)}`));
  const parts = [];
  const sorted = [...leaves, ...nodes.filter((node) => node.children.length).reverse()];
  for (const node of sorted) parts.push(drawNode(node, column, box.right, room, sayNode(node, column, names)));
  svg.append(...parts, ...key.parts);
  roving(svg, parts);
  return { svg, layout, parts };
}

function drawNode(node, column, right, room, said) {
  const group = drawing("g", { class: "node" }, hint(said), ...pie(node.x, node.y, node.radius, node.parts));
  if (!node.children.length) {
    const x = right + 20;
    const text = fitText(nameOfGroup(column, node.code), room - 76, 12, 600);
    group.append(
      drawing("rect", { x: x - 4, y: node.y - 5, width: 4, height: 10, rx: 1, style: `fill:${colorOfGroup(column, node.code)}` }),
    );
    group.append(label(x + 6, node.y, text, { class: "leaf" }));
    group.append(label(x + 14 + textWidth(text, 12, 600), node.y, count(node.size), { class: "small faint" }));
    group.dataset.code = node.code;
  }
  return pressable(group, said, () => {
    if (node.children.length) selectGroups([{ column, codes: new Set(node.members) }], `this branch of ${node.members.length} clusters`);
    else focusGroup(column, node.code);
  });
}

/** The column whose groups the pies show at first: a reference if there is one. */
function firstReference(column) {
  const others = groupColumns(60).filter((one) => one !== column);
  return others.find(({ section }) => section === "other") ?? others.find(({ section }) => section !== "clusters") ?? column;
}

/** The tree as a card; null where the dataset has none. */
function treeCard() {
  const { tree } = contents;
  if (!tree) return null;
  const column = contents.columns[tree.column];
  let by = firstReference(column);
  let shown = null;
  const host = element("div", { class: "drawn" });
  const refresh = drawnIn(host, async (width) => {
    const table = await contingency(column, by);
    shown = drawTree(tree, column, by, table, width);
    lightLeaves(shown.svg, column);
    const said = shown.layout.dropped ? `The largest ${count(MOST_LEAVES)} of ${count(tree.leaves.length)} clusters are drawn.` : null;
    return [shown.svg, said ? element("p", { class: "note", text: said }) : null];
  });
  for (const event of ["theme", "names"]) on(event, refresh);
  on("focus", () => shown && lightLeaves(shown.svg, column));
  const pies = choice("Pies", columnOptions([...new Set([column, ...groupColumns()])]), by, (chosen) => {
    by = chosen;
    refresh();
  });
  const apart = tree.merges.some(([, , height]) => height === null) ? "; dashed: nothing in the graph connects them" : "";
  const caption = `Clusters that are close in the graph of neighbours join early, at the right${apart}; each pie shows what its branch is made of.`;
  return card("Tree", caption, [pies, pictureButtons(() => shown.svg, `${contents.title} tree`)], host);
}

function lightLeaves(svg, column) {
  const { focus } = state;
  for (const leaf of svg.querySelectorAll("[data-code]")) {
    leaf.classList.toggle("lit", focus?.column === column && Number(leaf.dataset.code) === focus.code);
  }
}
