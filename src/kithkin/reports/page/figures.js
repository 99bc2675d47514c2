/* The panel of figures and tables of models, and figures as they stand on any panel. */

const FIGURE_SECTIONS = {
  mixture: "Mixture",
  topics: "Topics",
  gates: "Gates",
  images: "Images",
  training: "Training",
  propagation: "Propagation",
  sets: "Sets of genes",
  modalities: "Modalities",
};

/** Show a figure as large as the window. */
function enlarge(figureOf) {
  const picture = element("img", { src: figureOf.png, alt: figureOf.title, width: figureOf.width, height: figureOf.height });
  const fits = figureOf.width < innerWidth && figureOf.height < innerHeight; // then as large as the window, else as it is
  const close = element("button", { type: "button", class: "quiet close", text: "Close", on: { click: () => box.close() } });
  const box = element("dialog", { class: "enlarged", "aria-label": figureOf.title }, close, element("div", { class: fits ? "scroll fits" : "scroll" }, picture));
  box.addEventListener("click", (event) => {
    if (event.target === box || event.target === picture) box.close();
  });
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

/** Save a figure as the picture that it is. */
function figureButton(figureOf) {
  const act = () => {
    const bytes = fromBase64(figureOf.png.slice(figureOf.png.indexOf(",") + 1));
    saveBlob(fileName(`${contents.title} ${figureOf.title}`, "png"), new Blob([bytes], { type: "image/png" }));
  };
  return element("button", { type: "button", class: "quiet", text: "PNG", title: `Save ${figureOf.title} as PNG`, on: { click: act } });
}

/** The first picture of one that moves, for those who want no motion; enlarged, it moves. */
function stand(picture) {
  const still = element("canvas", { width: picture.width, height: picture.height, role: "img", "aria-label": picture.alt });
  picture.decode().then(() => {
    still.getContext("2d").drawImage(picture, 0, 0, still.width, still.height);
    picture.replaceWith(still);
  }, console.error);
}

/** A figure that came as a picture, a table, or both. */
function figureCard(figureOf) {
  if (!figureOf.png) return tableCard(figureOf);
  const name = `${contents.title} ${figureOf.title}`;
  const picture = element("img", {
    src: figureOf.png,
    alt: figureOf.caption ?? figureOf.title,
    width: figureOf.width,
    height: figureOf.height,
    decoding: "async",
  });
  const large = element(
    "button",
    { type: "button", class: "picture", title: `Enlarge ${figureOf.title}`, on: { click: () => enlarge(figureOf) } },
    picture,
  );
  if (figureOf.moves && matchMedia("(prefers-reduced-motion: reduce)").matches) stand(picture);
  const { table } = figureOf;
  const numbers = table
    ? element("details", {}, element("summary", { text: "Its numbers" }), tableOf(table, name, undefined, true).node)
    : null;
  return card(figureOf.title, figureOf.caption, [table ? csvButton(table, name) : null, figureButton(figureOf)], large, numbers);
}

function tableCard({ title, caption, table }) {
  if (!table) return null;
  const name = `${contents.title} ${title}`;
  const made = tableOf(table, name, undefined, true);
  const whole = card(title, caption, [csvButton(() => made.data(), name)], made.node);
  whole.classList.add("across");
  return whole;
}

/** Append the figures of the sections that are wanted, a heading above each. */
function appendFigures(host, wanted, headings = false) {
  const sections = new Map();
  for (const one of contents.figures ?? []) {
    if (wanted(one.section)) sections.set(one.section, [...(sections.get(one.section) ?? []), one]);
  }
  for (const [section, listed] of sections) {
    if (headings && sections.size > 1) host.append(element("h2", { text: FIGURE_SECTIONS[section] ?? section }));
    const cards = listed.map(figureCard).filter(Boolean);
    const pictures = cards.filter((one) => !one.classList.contains("across"));
    if (pictures.length === 1) pictures[0].classList.add("across");
    host.append(element("div", { class: "figures" }, ...cards));
  }
}

panels.push({
  id: "models",
  title: "Models",
  present: () => (contents.figures ?? []).some(({ section }) => section !== "samples"),
  build: (host) => {
    host.classList.add("panel");
    appendFigures(host, (section) => section !== "samples", true);
  },
});
