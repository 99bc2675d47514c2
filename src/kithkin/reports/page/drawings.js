/* How drawings and parts are placed on a panel. */

const GALLERY = 40; // pictures of a cluster

/** A text that can stand in a file of XML: no control characters, at most so long. */
function plain(text, most = LONGEST_TITLE) {
  // eslint-disable-next-line no-control-regex -- these are the characters that XML forbids
  return shorten(readable(String(text).slice(0, most + 1)).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufffe\uffff]+/g, " "), most);
}

let textRuler = null;

/** Width of a text in pixels. */
function textWidth(text, size = 12, weight = 400) {
  textRuler ??= document.createElement("canvas").getContext("2d");
  textRuler.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return textRuler.measureText(text).width;
}

/** A name cut to a width, with an ellipsis where something is missing. */
function fitText(name, width, size = 12, weight = 400) {
  const text = plain(name, 200);
  if (textWidth(text, size, weight) <= width) return text;
  const marks = Array.from(text);
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (textWidth(`${marks.slice(0, middle).join("")}…`, size, weight) <= width) low = middle;
    else high = middle - 1;
  }
  return `${marks.slice(0, low).join("").trimEnd()}…`;
}

/** Width that the longest of some names, or of things with names, needs, at most `most`. */
function widestOf(named, most, size = 12, weight = 400) {
  const names = named.map((one) => one.name ?? one);
  return Math.min(most, Math.max(0, ...names.map((name) => textWidth(plain(name, 200), size, weight))) + 1);
}

/** A drawing of a size in pixels. */
function sheet(width, height, kind, text, attributes = {}) {
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  return drawing("svg", { ...size, class: `drawing ${kind}`, "aria-label": plain(text, 120), ...attributes });
}

/** Text in a drawing at a place. */
function label(x, y, text, attributes = {}) {
  return drawing("text", { x, y, "dominant-baseline": "central", ...attributes }, text);
}

/** What a pointer that rests on a part of a drawing is told. */
function hint(text) {
  return drawing("title", {}, plain(text, 1000));
}

/** Fill a node with what draw(width) returns: now if it is seen, else once it is, and when its width changes. */
function drawnIn(node, draw) {
  let [width, turn, stale] = [0, 0, true];
  const attempt = async () => {
    const now = node.clientWidth;
    if (now === 0) return; // of a closed tab
    [stale, width] = [false, now];
    turn += 1;
    const mine = turn;
    try {
      const made = await draw(now);
      if (mine === turn) node.replaceChildren(...[made].flat().filter(Boolean));
    } catch (error) {
      node.replaceChildren(element("p", { class: "note", text: `This could not be drawn: ${error.message}` }));
      console.error(error);
    }
  };
  new ResizeObserver(() => {
    const now = node.clientWidth;
    if (now > 0 && (stale || Math.abs(now - width) > 24)) attempt(); // a scroll bar that comes must not start it again
  }).observe(node);
  return () => {
    stale = true;
    return attempt();
  };
}

/** One stop of the tab key for all parts of a drawing: arrow keys go from one to the next, `across` to a row. */
function roving(group, parts, across = 1, first = 0) {
  group?.setAttribute("role", "group");
  parts.forEach((part, i) => {
    part.setAttribute("tabindex", i === first ? "0" : "-1");
    part.addEventListener("keydown", (event) => {
      if (event.target !== part) return;
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across }[event.key];
      const next = step === undefined ? null : parts[i + step];
      if (!next) return;
      event.preventDefault();
      event.stopPropagation();
      part.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  });
}

/** A part of a panel: a title, a line about it, tools, and what it holds. */
function card(title, caption, tools, ...body) {
  const top = element("header", { class: "card-top" }, element("h3", { text: title }), element("div", { class: "tools" }, ...tools));
  return element("section", { class: "card" }, top, caption ? element("p", { class: "caption", text: caption }) : null, ...body);
}

/** Pictures of some points of a cluster; points lie in random order, so the first are a fair sample. */
async function galleryPart(column, code) {
  if (!contents.thumbnails) return null;
  const list = await codes(column);
  const places = [];
  for (let i = 0; i < contents.thumbnails.n && places.length < GALLERY; i += 1) if (list[i] === code) places.push(i);
  if (!places.length) return null;
  const host = element("div", { class: "gallery" });
  for (const place of places) {
    const picture = await thumbnailOf(place);
    if (!picture) continue;
    const name = await nameOf(place);
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", plain(name, 80));
    picture.title = plain(name, 80);
    host.append(picture);
  }
  return [element("h4", { text: `${counted(places.length, contents.rows)} of it` }), host];
}

/** A list to choose from, with its label: options [{text, value, group}]; act(value). */
function choice(text, options, chosen, act) {
  const list = element("select", { "aria-label": text, on: { change: () => act(options[list.selectedIndex].value) } });
  const groups = new Map();
  for (const option of options) {
    const item = element("option", { text: plain(option.text, 60) });
    item.selected = option.value === chosen;
    if (!option.group) list.append(item);
    else {
      if (!groups.has(option.group)) groups.set(option.group, list.appendChild(element("optgroup", { label: option.group })));
      groups.get(option.group).append(item);
    }
  }
  return element("label", { class: "choice" }, element("span", { text }), list);
}

/** Columns of groups as options, those with 2 to `most` groups. */
function groupColumns(most = Infinity) {
  return contents.columns.filter(({ kind, names }) => kind === "groups" && names.length > 1 && names.length <= most);
}

/** Columns as options; those that are out of date say so. */
function columnOptions(columns, group) {
  const said = ({ name, stale }) => (stale ? `${plain(name, 44)} (out of date)` : name);
  return columns.map((column) => ({ text: said(column), value: column, group }));
}

/** Say something to those who do not see, and in the corner of the panel to all. */
function announce(text) {
  let live = document.getElementById("panel-said");
  if (!live) {
    live = element("div", { id: "panel-said", role: "status", "aria-live": "polite" });
    document.body.append(live);
  }
  live.textContent = plain(text, 200);
  live.classList.add("shown");
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => live.classList.remove("shown"), 4000);
}
