/* The page is put together here: header, tabs, maps, and what stands beside them. */

const ICONS = {
  pan: "M8 1.5v13M1.5 8h13M8 1.5L6.2 3.3M8 1.5l1.8 1.8M8 14.5l-1.8-1.8M8 14.5l1.8-1.8M1.5 8l1.8-1.8M1.5 8l1.8 1.8M14.5 8l-1.8-1.8M14.5 8l-1.8 1.8",
  lasso: "M8 2.2c3.5 0 6 1.7 6 4.1s-2.500 4.100-6 4.100S2 8.700 2 6.300 4.500 2.200 8 2.200zM5.200 9.900c.9.500 1 1.500.3 2.100s-2 .5-2.200-.4.900-1.900 1.900-1.700zM5.500 12c-.2.800-.8 1.500-1.500 2",
  box: "M2.500 2.500h11v11h-11zM2.500 2.500",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2.500 6v-3.500h3.500M10 2.500h3.500v3.500M13.500 10v3.500h-3.500M6 13.500h-3.500v-3.500",
  split: "M2 3h12v10h-12zM8 3v10",
  link: "M6.700 9.300l2.600-2.600M7.500 4.800l1.300-1.300a2.600 2.600 0 0 1 3.700 3.700l-1.300 1.300M8.500 11.200l-1.300 1.300a2.600 2.600 0 0 1-3.700-3.700l1.300-1.300",
  tag: "M2.500 2.500h5l6 6-5 5-6-6zM5.200 5.200v.1",
};

function activate(view) {
  if (state.active === view) return;
  state.active = view;
  panes.forEach((pane) => pane.node.classList.toggle("active", pane.view === view));
}

function describeHeader() {
  const { n_obs, n_vars, rows, vars } = contents;
  document.querySelector(".about h1").title = shorten(contents.title, LONGEST_TITLE);
  document.getElementById("sizes").textContent = `${counted(n_obs, rows)} × ${counted(n_vars, vars)}`;
  if (contents.sampled) {
    const note = document.getElementById("sampled");
    note.hidden = false;
    note.textContent = contents.sampled;
  }
  const name = element("a", { class: "made", text: `kithkin ${contents.version}`, title: `Made with kithkin ${contents.version}${contents.date ? `, ${contents.date}` : ""}` });
  document.getElementById("tools").append(name, themeButton());
}

function toolButton(name, label, act, pressed) {
  const attributes = { type: "button", class: "tool", title: label, "aria-label": label, on: { click: act } };
  if (pressed !== undefined) attributes["aria-pressed"] = String(pressed);
  return element("button", attributes, icon(ICONS[name]));
}

function activePane() {
  return panes[state.active] ?? panes[0];
}

function zoomBy(factor) {
  const pane = activePane();
  pane.camera.zoomAt(factor, pane.camera.width / 2, pane.camera.height / 2);
  pane.moved();
}

function buildToolbar() {
  const tools = {};
  const choose = (tool) => () => {
    look.tool = tool;
    for (const [name, button] of Object.entries(tools)) button.setAttribute("aria-pressed", String(name === tool));
    panes.forEach((pane) => pane.field.setAttribute("data-tool", tool));
  };
  tools.pan = toolButton("pan", "Move the map", choose("pan"), true);
  tools.lasso = toolButton("lasso", "Select with a lasso", choose("lasso"), false);
  tools.box = toolButton("box", "Select with a box", choose("box"), false);
  const names = toolButton("tag", "Names of groups", () => {
    look.labels = !look.labels;
    names.setAttribute("aria-pressed", String(look.labels));
    panes.forEach((pane) => pane.labels.lay(pane.camera));
  }, true);
  const link = toolButton("link", "Both maps show the same part", () => {
    look.linked = !look.linked;
    link.setAttribute("aria-pressed", String(look.linked));
    if (look.linked) activePane().moved();
  }, true);
  link.hidden = true;
  const split = toolButton("split", "Two maps side by side", () => {
    const open = split.getAttribute("aria-pressed") !== "true";
    split.setAttribute("aria-pressed", String(open));
    link.hidden = !open;
    showSecond(open);
  }, false);
  const save = (kind, text) => element("button", { type: "button", class: "quiet", text, title: `Save the map as ${text}`, on: { click: () => saveMap(kind) } });
  const fit = () => {
    activePane().camera.fit();
    activePane().moved();
  };
  const group = (...nodes) => element("div", { class: "tool-group" }, nodes);
  document.getElementById("toolbar").replaceChildren(
    group(tools.pan, tools.lasso, tools.box),
    group(toolButton("plus", "Zoom in", () => zoomBy(1.5)), toolButton("minus", "Zoom out", () => zoomBy(1 / 1.5)), toolButton("fit", "Show all", fit)),
    group(names, split, link),
    element("div", { class: "tool-group end" }, save("png", "PNG"), save("svg", "SVG")),
  );
}

let secondLegend = null;

function addPane(view) {
  const pane = new Pane(view);
  panes.push(pane);
  pane.bar.append(embeddingChooser(view));
  if (contents.columns.length + contents.genes.length > 0) pane.bar.append(new ColorChooser(view).node);
  document.getElementById("panes").append(pane.node);
  return pane;
}

/** Open or close the second map; it opens with another column than the first. */
function showSecond(open) {
  if (open && panes.length === 1) {
    const first = coloredBy(state.views[0].color);
    const other = contents.columns.find((column) => column !== first && column.kind === "groups") ?? contents.columns.find((column) => column !== first);
    const view = state.views[1];
    Object.assign(view, { embedding: state.views[0].embedding, color: other ? coloring(other) : state.views[0].color });
    secondLegend = new Legend(1, document.getElementById("legends"));
    addPane(1).load();
  }
  panes[1].node.hidden = !open;
  secondLegend.node.hidden = !open;
  document.getElementById("panes").classList.toggle("two", open);
  if (open) panes[1].load();
  else activate(0);
}

function slider(label, { min, max, step, value }, act) {
  const input = element("input", { type: "range", min, max, step, value, on: { input: () => act(Number(input.value)) } });
  return element("label", { class: "slider" }, element("span", { text: label }), input);
}

function buildSide() {
  const side = document.getElementById("side");
  const redraw = () => panes.forEach((pane) => pane.refresh());
  const size = (power) => {
    look.size = 2 ** power;
    redraw();
  };
  const opacity = (value) => {
    look.opacity = value;
    redraw();
  };
  const front = element("input", { type: "checkbox", checked: look.front, on: { change: () => {
    look.front = front.checked;
    panes.forEach((pane) => pane.repaint());
  } } });
  const handle = element("button", { type: "button", class: "handle", "aria-expanded": "true", "aria-controls": "side", text: "Legend and selection" });
  handle.addEventListener("click", () => {
    const closed = side.classList.toggle("closed");
    handle.setAttribute("aria-expanded", String(!closed));
  });
  const legends = element("div", { id: "legends" });
  side.append(handle, legends);
  new Legend(0, legends);
  if (!hasMap()) return;
  new SelectionPanel(side);
  side.append(
    element(
      "section",
      { class: "block", "aria-label": "Points" },
      element("h2", { text: "Points" }),
      slider("Size", { min: -2, max: 2.5, step: 0.1, value: 0 }, size),
      slider("Opacity", { min: 0.05, max: 1, step: 0.05, value: look.opacity }, opacity),
      element("label", { class: "check" }, front, "High values in front"),
    ),
  );
}

/** What keeps points from being seen in full, each with a button that lifts it. */
function showChips() {
  const chips = [];
  const chip = (text, act) => chips.push(element("button", { type: "button", class: "chip", title: "Lift it", on: { click: act } }, element("bdi", { text }), " ×"));
  if (state.focus) chip(`${readable(state.focus.column.name, 30)}: ${readable(nameOfGroup(state.focus.column, state.focus.code), 40)}`, () => focusGroup(state.focus.column, null));
  if (state.n_selected > 0) chip(`${counted(state.n_selected, contents.rows)} selected`, () => select(null));
  for (const [key, hidden] of state.hidden) {
    const column = contents.columns.find((entry) => entry.key === key);
    chip(`${count(hidden.size)} of ${readable(column.name, 30)} hidden`, () => showGroups(column, [...hidden], true));
  }
  if (n_hidden > 0) chips.at(-1).title = `${counted(n_hidden, contents.rows)} hidden: show them`;
  document.getElementById("chips").replaceChildren(...chips);
}

function connect() {
  on("color", (view) => {
    panes[view]?.load();
    const thing = coloredBy(state.views[view].color);
    if (thing?.section === "clusters" && thing.kind === "groups") choosePartition(thing);
  });
  on("embedding", (view) => panes[view]?.load());
  on("partition", () => panes.forEach((pane) => pane.nameGroups()));
  on("flags", () => panes.forEach((pane) => pane.reflag()));
  on("hidden", () => panes.forEach((pane) => pane.nameGroups()));
  on("names", () => panes.forEach((pane) => pane.labels.lay(pane.camera)));
  on("focus", () => panes.forEach((pane) => pane.labels.lay(pane.camera)));
  on("theme", () => panes.forEach((pane) => pane.repaint()));
  for (const event of ["focus", "selection", "flags", "names"]) on(event, showChips);
  addEventListener("pointerdown", (event) => {
    if (!event.target.closest?.(".field")) hideHover(); // a finger leaves no map
  });
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (state.n_selected > 0) select(null);
    if (state.focus) focusGroup(state.focus.column, null);
    hideHover();
  });
}

function hasMap() {
  return panes.length > 0 && panes[0].points.gl !== null;
}

/** The map takes the height that the header leaves. */
function measureHead() {
  document.documentElement.style.setProperty("--head", `${document.getElementById("main").offsetTop}px`);
}

function start() {
  describeHeader();
  measureHead();
  addEventListener("resize", measureHead);
  buildTabs();
  document.body.append(tip);
  document.getElementById("panes").replaceChildren();
  if (contents.embeddings.length > 0 && contents.n > 0) addPane(0);
  else document.getElementById("panes").append(element("p", { class: "waiting" }, "This dataset has no map yet. To make one: ", element("code", { text: `kithkin umap ${datasetWord()}` })));
  if (hasMap()) {
    buildToolbar();
    panes[0].load().catch(failed);
  } else {
    document.getElementById("toolbar").hidden = true;
    markDrawn();
    markRest();
  }
  buildSide();
  connect();
}

function failed(error) {
  document.getElementById("panes").append(element("p", { class: "failed", text: `The map could not be drawn: ${error.message}` }));
  console.error(error);
}

start();
