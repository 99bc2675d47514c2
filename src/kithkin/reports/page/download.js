/* What leaves the page: text, tables and pictures as files, and text for the clipboard. */

function saveBlob(name, blob) {
  const link = element("a", { download: name, href: URL.createObjectURL(blob) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60e3); // the browser may still be reading
}

/** Save a text as a file. */
function saveText(name, text, type = "text/plain") {
  saveBlob(name, new Blob([text], { type: `${type};charset=utf-8` }));
}

/** A name that every file system takes. */
function fileName(text, ending) {
  const plain = text.normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "");
  return `${plain.slice(0, 80) || "kithkin"}.${ending}`;
}

function csvCell(value, exact) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  let text = String(value);
  // a spreadsheet would run it; what is a number stays one
  if (!exact && /^[=+\-@\t\r]/.test(text) && !(text.trim() !== "" && Number.isFinite(Number(text)))) text = `'${text}`;
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A table {columns, rows} as CSV (RFC 4180); exact: for a program, not for a spreadsheet. */
function csv(table, exact = false) {
  return [table.columns, ...table.rows].map((row) => `${row.map((value) => csvCell(value, exact)).join(",")}\r\n`).join("");
}

function csvButton(table, name) {
  const act = async () => saveText(fileName(name, "csv"), csv(typeof table === "function" ? await table() : table), "text/csv");
  return element("button", { type: "button", class: "quiet", text: "CSV", title: `Save the table ${name} as CSV`, on: { click: act } });
}

/** Colours and fonts come from custom properties of the page, which a file does not have: write them into the picture. */
const WRITTEN = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "fill-opacity", "stroke-opacity", "font-family"];
const WRITTEN_TEXT = ["font-size", "font-weight", "text-anchor", "dominant-baseline", "paint-order", "letter-spacing"];

/** A copy of an SVG element that looks the same alone, with a ground of paper; with or without what a pointer is told. */
function standalone(svg, titles = true) {
  const copy = svg.cloneNode(true);
  const shown = [svg, ...svg.querySelectorAll("*")];
  const copies = [copy, ...copy.querySelectorAll("*")];
  shown.forEach((node, i) => {
    if (node.tagName === "title") return; // said, not drawn
    const look = getComputedStyle(node);
    for (const name of WRITTEN) copies[i].style.setProperty(name, look.getPropertyValue(name));
    if (node.tagName === "text" || node.tagName === "tspan") {
      for (const name of WRITTEN_TEXT) copies[i].style.setProperty(name, look.getPropertyValue(name));
    }
    copies[i].removeAttribute("tabindex");
  });
  if (!titles) copy.querySelectorAll("title").forEach((node) => node.remove());
  const box = svg.getBoundingClientRect();
  const view = svg.viewBox.baseVal;
  const size = view && view.width > 0 ? view : { x: 0, y: 0, width: box.width, height: box.height };
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `${size.x} ${size.y} ${size.width} ${size.height}`);
  copy.setAttribute("width", size.width);
  copy.setAttribute("height", size.height);
  const paper = getComputedStyle(document.documentElement).getPropertyValue("--paper").trim();
  copy.prepend(drawing("rect", { x: size.x, y: size.y, width: size.width, height: size.height, style: `fill:${paper}` }));
  return { text: new XMLSerializer().serializeToString(copy), width: size.width, height: size.height };
}

/** Draw a standalone SVG on a canvas, `scale` pixels for each of its units. */
async function rasterize({ text, width, height }, scale) {
  const picture = new Image();
  const url = URL.createObjectURL(new Blob([text], { type: "image/svg+xml;charset=utf-8" }));
  try {
    await new Promise((resolve, reject) => {
      picture.onload = resolve;
      picture.onerror = () => reject(new Error("the picture could not be drawn: try SVG"));
      picture.src = url;
    });
    const canvas = element("canvas", { width: Math.ceil(width * scale), height: Math.ceil(height * scale) });
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(picture, 0, 0, canvas.width, canvas.height);
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function saveCanvas(canvas, name) {
  return new Promise((resolve) => {
    canvas.toBlob((blob) => {
      saveBlob(fileName(name, "png"), blob);
      resolve();
    }, "image/png");
  });
}

/** Save an SVG element as it looks now. */
async function savePicture(svg, name, kind = "svg") {
  const picture = standalone(svg, kind === "svg");
  if (kind === "svg") saveText(fileName(name, "svg"), picture.text, "image/svg+xml");
  else await saveCanvas(await rasterize(picture, 2), name);
}

/** Buttons that save an SVG element, or the one that a function gives, as PNG and as SVG. */
function pictureButtons(svg, name) {
  const button = (kind, label) => {
    const act = () => savePicture(typeof svg === "function" ? svg() : svg, name, kind);
    return element("button", { type: "button", class: "quiet", text: label, title: `Save ${name} as ${label}`, on: { click: act } });
  };
  return element("span", { class: "pictures" }, button("png", "PNG"), button("svg", "SVG"));
}

/** Copy a text by marking it: works in frames that may not touch the clipboard themselves. */
function copyMarked(text) {
  const area = element("textarea", { class: "offscreen", "aria-hidden": "true", tabindex: "-1" });
  area.value = text;
  document.body.append(area);
  const before = document.activeElement;
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus?.();
  return done;
}

/** Copy a text; true if the clipboard has it. */
async function copyText(text) {
  const framed = window !== window.top; // a frame without the right to the clipboard only gets a warning for trying
  if (framed || !navigator.clipboard) return copyMarked(text);
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyMarked(text); // the browser has asked, and was told no
  }
}

/** Copy a text, and say for a moment on the button whether it worked. */
async function copyFrom(button, text) {
  const done = await copyText(text);
  button.dataset.text ??= button.textContent; // what it says at rest, also where it is pressed twice
  button.textContent = done ? "Copied" : "Not copied";
  announce(done ? "Copied." : "The browser did not let this page copy: select the text by hand.");
  clearTimeout(button.resting);
  button.resting = setTimeout(() => (button.textContent = button.dataset.text), 1600);
}

/** A command line, or the node of one that changes, with a button that copies it. */
function commandLine(line) {
  const code = typeof line === "string" ? element("code", { text: shorten(line, 20000) }) : line;
  const button = element("button", { type: "button", class: "quiet copy", text: "Copy" });
  button.addEventListener("click", () => copyFrom(button, typeof line === "string" ? line : line.textContent));
  const text = element("pre", { dir: "ltr", tabindex: "0", role: "group", "aria-label": "Command line" }, code);
  return element("div", { class: "command-line" }, text, button);
}

/* The map as a picture: points as an image, everything else as text and shapes. */

const PICTURE_LEGEND = 230; // units of width
const PICTURE_GROUPS = 40;
const PICTURE_HEAD = 44;

/** Points of a map at twice the resolution of the screen, all of them, as the address of an image. */
function pointsPicture(pane) {
  const { canvas, points, camera } = pane;
  const before = [canvas.width, canvas.height];
  canvas.width = Math.round(camera.width * 2);
  canvas.height = Math.round(camera.height * 2);
  points.clear();
  points.draw(camera, { size: pointSize(camera), opacity: look.opacity }, 0, points.n);
  const address = canvas.toDataURL("image/png");
  [canvas.width, canvas.height] = before;
  pane.refresh();
  return address;
}

function pictureText(x, y, text, attributes = {}) {
  return drawing("text", { x, y, class: "picture-text", ...attributes }, plain(text));
}

function pictureScale(thing, x, y) {
  const id = `ramp-${x}`;
  const stops = rampStops().map(({ offset, color }) => drawing("stop", { offset, "stop-color": color }));
  const wide = 160;
  return [
    drawing("defs", {}, drawing("linearGradient", { id }, stops)),
    drawing("rect", { x, y, width: wide, height: 10, rx: 2, fill: `url(#${id})` }),
    ...[0, 0.5, 1].map((share) => pictureText(x + share * wide, y + 26, valueText(thing, share * 254), { "text-anchor": ["start", "middle", "end"][share * 2] })),
    ...(thing.unit ? [pictureText(x, y + 44, thing.unit)] : []),
  ];
}

function pictureGroups(column, x, y, height) {
  const shown = column.names.map((_, code) => code).filter((code) => !hiddenOf(column).has(code));
  const room = Math.min(PICTURE_GROUPS, Math.floor((height - y) / 18) - 1);
  const nodes = shown.slice(0, room).flatMap((code, k) => [
    drawing("circle", { cx: x + 5, cy: y + 18 * k, r: 5, style: `fill:${colorOfGroup(column, code)}` }),
    pictureText(x + 18, y + 4 + 18 * k, readable(nameOfGroup(column, code), 30)),
  ]);
  if (shown.length > room) nodes.push(pictureText(x, y + 4 + 18 * room, `and ${count(shown.length - room)} more`));
  return nodes;
}

function pictureOfPane(pane, x) {
  const { camera, embedding, color } = pane;
  const thing = coloredBy(color);
  const right = x + camera.width + 16;
  const legend = thing ? [pictureText(right, PICTURE_HEAD + 12, readable(thing.name, 22), { class: "picture-head" })] : [];
  if (thing?.kind === "groups") legend.push(...pictureGroups(thing, right, PICTURE_HEAD + 34, PICTURE_HEAD + camera.height));
  else if (thing) legend.push(...pictureScale(thing, right, PICTURE_HEAD + 26));
  return [
    drawing("image", { x, y: PICTURE_HEAD, width: camera.width, height: camera.height, href: pointsPicture(pane) }),
    ...pane.labels.drawn(camera, x, PICTURE_HEAD),
    pictureText(x + 16, PICTURE_HEAD + camera.height - 12, embedding.axes.join(" · ")),
    ...legend,
  ];
}

/** The maps as they are now, with titles and legends, as an SVG element. */
function mapPicture() {
  const shown = panes.filter((pane) => pane.ready && !pane.node.hidden);
  let x = 0;
  const nodes = [];
  for (const pane of shown) {
    nodes.push(...pictureOfPane(pane, x));
    x += pane.camera.width + PICTURE_LEGEND;
  }
  const height = PICTURE_HEAD + Math.max(...shown.map((pane) => pane.camera.height));
  const title = pictureText(16, 26, readable(contents.title, 100), { class: "picture-head" });
  return drawing("svg", { viewBox: `0 0 ${x} ${height}`, class: "overlay picture" }, title, nodes);
}

async function saveMap(kind) {
  const svg = mapPicture();
  document.body.append(svg); // styles are known only of what is in the document
  try {
    await savePicture(svg, `${contents.title} ${panes[0].embedding.name}`, kind);
  } finally {
    svg.remove();
  }
}
