/* Names of groups on the map: where a group lies, and which of its neighbours' names leave it room. */

const SAMPLED = 600; // points of a group by which it is placed: the order is random, so the first are a sample
const MOST_LABELS = 160;
const LONGEST_LABEL = 28;
const TILES = 48; // on a side, in which the density of a group is counted
const SPREAD = 0.7; // of the spread of all points: a group that lies everywhere has no place for a name
const CROWD = 200; // groups, from which on some are compact by chance
const FEW = 5; // points, with which a group of a crowd gets no name
const LABEL_FONT = "600 12.5px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const LABEL_HEIGHT = 16;

/** Places of the first points of each group that are seen. */
function samplesOfGroups(xy, list, n_groups) {
  const filled = new Uint16Array(n_groups);
  const most = Math.max(40, Math.min(SAMPLED, Math.floor(2e6 / n_groups)));
  const found = Array.from({ length: n_groups }, () => []);
  let full = 0;
  for (let i = 0; i < list.length && full < n_groups; i += 1) {
    const code = list[i];
    if (code >= n_groups || filled[code] === most || flags[i] & HIDDEN || xy[2 * i] === NOWHERE) continue;
    found[code].push(xy[2 * i], xy[2 * i + 1]);
    filled[code] += 1;
    if (filled[code] === most) full += 1;
  }
  return found;
}

function median(sorted) {
  return sorted[sorted.length >> 1];
}

/** Medians of x and y, and the median distance from them. */
function centreOf(points) {
  const axis = (k) => Float64Array.from({ length: points.length / 2 }, (_, i) => points[2 * i + k]).sort();
  const [x, y] = [median(axis(0)), median(axis(1))];
  const away = Float64Array.from({ length: points.length / 2 }, (_, i) => Math.hypot(points[2 * i] - x, points[2 * i + 1] - y));
  return { x, y, spread: median(away.sort()) };
}

/** The median, or the densest place where hardly any of the group lies around the median, as in a ring. */
function anchorOf(points, centre) {
  const counts = new Uint16Array(TILES * TILES);
  const tile = (value) => Math.min(Math.floor((value / 65536) * TILES), TILES - 1);
  for (let i = 0; i < points.length; i += 2) counts[tile(points[i + 1]) * TILES + tile(points[i])] += 1;
  const around = (column, row) => {
    let sum = 0;
    for (let dy = -1; dy <= 1; dy += 1) {
      for (let dx = -1; dx <= 1; dx += 1) {
        const [x, y] = [column + dx, row + dy];
        if (x >= 0 && y >= 0 && x < TILES && y < TILES) sum += counts[y * TILES + x];
      }
    }
    return sum;
  };
  let best = { sum: 0, x: 0, y: 0 };
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [tile(points[i]), tile(points[i + 1])];
    const sum = around(x, y);
    if (sum > best.sum) best = { sum, x, y };
  }
  if (around(tile(centre.x), tile(centre.y)) >= 0.3 * best.sum) return centre;
  const near = [];
  for (let i = 0; i < points.length; i += 2) {
    if (Math.abs(tile(points[i]) - best.x) <= 1 && Math.abs(tile(points[i + 1]) - best.y) <= 1) near.push(points[i], points[i + 1]);
  }
  return centreOf(near);
}

/** Where the name of each group goes: [{code, x, y, spread, size}], the largest groups first. */
async function anchorsOf(xy, column) {
  const list = await codes(column);
  const found = samplesOfGroups(xy, list, column.names.length);
  const sample = [];
  for (let i = 0; i < xy.length && sample.length < 8000; i += 2) {
    if (xy[i] !== NOWHERE && !(flags[i / 2] & HIDDEN)) sample.push(xy[i], xy[i + 1]);
  }
  if (sample.length === 0) return [];
  const whole = centreOf(sample).spread;
  const out = [];
  const alone = found.filter((points) => points.length > 0).length === 1;
  const crowd = found.length > CROWD;
  found.forEach((points, code) => {
    if (points.length === 0) return;
    const centre = centreOf(points);
    const few = crowd && points.length < 2 * FEW;
    if (few || (!alone && centre.spread > (crowd ? SPREAD / 2 : SPREAD) * whole)) return;
    const { x, y } = anchorOf(points, centre);
    out.push({ code, x, y, spread: centre.spread, size: column.sizes[code] ?? 0 });
  });
  return out.sort((a, b) => b.size - a.size);
}

const ruler = document.createElement("canvas").getContext("2d");
const widths = new Map();

function widthOf(text) {
  if (!widths.has(text)) {
    if (widths.size > 20_000) widths.clear();
    ruler.font = LABEL_FONT;
    widths.set(text, ruler.measureText(text).width);
  }
  return widths.get(text);
}

// tried one after the other, in heights of a label and halves of its width
const MOVES = [[0, 0], [0, -1], [0, 1], [0.5, -1], [-0.5, -1], [0.5, 1], [-0.5, 1], [0, -2], [0, 2], [0.8, 0], [-0.8, 0]];

const BESIDE = [...MOVES.slice(1), MOVES[0]];

/** Choose the labels that have room: [{code, text, x, y, dx, dy}] in pixels. */
function layLabels(anchors, camera, column) {
  const taken = [];
  const out = [];
  const free = (box) => taken.every((other) => box.left > other.right || box.right < other.left || box.top > other.bottom || box.bottom < other.top);
  for (const { code, x, y, spread } of anchors) {
    if (out.length >= MOST_LABELS) break;
    const [sx, sy] = camera.toScreen(x, y);
    if (sx < 0 || sy < 0 || sx > camera.width || sy > camera.height) continue;
    const text = readable(nameOfGroup(column, code), LONGEST_LABEL);
    const half = widthOf(text) / 2 + 3;
    const small = spread * camera.scale < LABEL_HEIGHT / 2; // a name would hide the group: beside it
    for (const [mx, my] of small ? BESIDE : MOVES) {
      const [cx, cy] = [sx + mx * half, sy + my * LABEL_HEIGHT];
      const box = { left: cx - half, right: cx + half, top: cy - LABEL_HEIGHT / 2, bottom: cy + LABEL_HEIGHT / 2 };
      const within = box.left >= 2 && box.right <= camera.width - 2 && box.top >= 2 && box.bottom <= camera.height - 2;
      if (!within || !free(box)) continue;
      taken.push(box);
      out.push({ code, text, x, y, dx: cx - sx, dy: cy - sy });
      break;
    }
  }
  return out;
}

/** Names on one map: each is a layer of its own, so that moving one paints nothing. */
class Labels {
  constructor(host) {
    this.host = host;
    this.anchors = [];
    this.laid = [];
    this.column = null;
    this.asked = 0;
  }

  /** Find the places again: other points are seen, or other groups are named. */
  async find(xy, column) {
    this.asked += 1;
    const { asked } = this;
    const anchors = column ? await anchorsOf(xy, column) : [];
    if (asked !== this.asked) return false;
    Object.assign(this, { anchors, column });
    return true;
  }

  /** Choose anew which are shown, once the view has come to rest. */
  lay(camera) {
    this.laid = look.labels && this.column ? layLabels(this.anchors, camera, this.column) : [];
    this.host.replaceChildren(...this.laid.map((label) => element("span", { class: this.isDim(label) ? "label dim" : "label", text: label.text })));
    this.move(camera);
  }

  isDim({ code }) {
    return state.focus !== null && state.focus.column === this.column && state.focus.code !== code;
  }

  /** Carry the labels along with the view. */
  move(camera) {
    this.laid.forEach((label, i) => {
      const [x, y] = this.middleOf(label, camera);
      this.host.childNodes[i].style.transform = `translate(${Math.round(x)}px,${Math.round(y)}px) translate(-50%,-50%)`;
    });
  }

  middleOf(label, camera) {
    const [x, y] = camera.toScreen(label.x, label.y);
    return [x + label.dx, y + label.dy];
  }

  /** The names as text of an SVG. */
  drawn(camera, left, top) {
    return this.laid.map((label) => {
      const [x, y] = this.middleOf(label, camera);
      return drawing("text", { x: left + x, y: top + y, class: this.isDim(label) ? "drawn-label dim" : "drawn-label" }, plain(label.text));
    });
  }
}
