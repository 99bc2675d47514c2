/* The point under the pointer: found by a grid on this side, so that nothing is read back from the drawing. */

/** Points sorted by the tiles of a grid. */
class Grid {
  constructor(xy) {
    const n = xy.length / 2;
    // about four points a tile, were they spread evenly
    this.bits = Math.min(Math.max(Math.round(Math.log2(Math.sqrt(n / 4))), 3), 10);
    this.shift = 16 - this.bits;
    this.xy = xy;
    const tiles = 1 << (2 * this.bits);
    this.start = new Uint32Array(tiles + 1);
    this.order = new Uint32Array(n);
    for (let i = 0; i < n; i += 1) this.start[this.tile(xy[2 * i], xy[2 * i + 1]) + 1] += 1;
    for (let t = 0; t < tiles; t += 1) this.start[t + 1] += this.start[t];
    const next = this.start.slice(0, tiles);
    for (let i = 0; i < n; i += 1) {
      const t = this.tile(xy[2 * i], xy[2 * i + 1]);
      this.order[next[t]] = i;
      next[t] += 1;
    }
  }

  tile(x, y) {
    return ((y >> this.shift) << this.bits) | (x >> this.shift);
  }

  /** The nearest point that is seen, within a radius; one that is not dimmed if there is one; -1 where there is none. */
  nearest(x, y, radius) {
    const { xy, shift, bits } = this;
    const last = (1 << bits) - 1;
    const bound = (value) => Math.min(Math.max(Math.floor(value) >> shift, 0), last);
    const best = [-1, -1]; // bright, dimmed
    const least = [radius * radius, radius * radius];
    for (let row = bound(Math.max(y - radius, 0)); row <= bound(y + radius); row += 1) {
      const from = this.start[(row << bits) | bound(Math.max(x - radius, 0))];
      const to = this.start[((row << bits) | bound(x + radius)) + 1];
      for (let k = from; k < to; k += 1) {
        const i = this.order[k];
        if (flags[i] & HIDDEN || xy[2 * i] === NOWHERE) continue;
        const dim = flags[i] & DIM ? 1 : 0;
        const dx = xy[2 * i] - x;
        const dy = xy[2 * i + 1] - y;
        const away = dx * dx + dy * dy;
        if (away <= least[dim]) {
          least[dim] = away;
          best[dim] = i;
        }
      }
    }
    return best[0] >= 0 ? best[0] : best[1];
  }
}

const grids = new Map(); // embedding -> Grid

function gridOf(embedding, xy) {
  if (!grids.has(embedding)) {
    if (grids.size > 1) grids.delete(grids.keys().next().value);
    grids.set(embedding, new Grid(xy));
  }
  return grids.get(embedding);
}


const hovered = { place: -1 };
const MOST_SHOWN = 5; // values of a point beside the one that colours it
const LONGEST_UNIT = 12; // characters: the legend has room for a whole phrase
let hoverAsked = 0;

/** Columns that tell most of a point: clusters, samples, then quality. */
function columnsOfHover() {
  const rank = { clusters: 0, samples: 1, quality: 2 };
  const listed = contents.columns.filter((column) => column.section in rank);
  const rest = contents.columns.filter((column) => !(column.section in rank) && !["scores", "probabilities"].includes(column.section));
  listed.sort((a, b) => rank[a.section] - rank[b.section]);
  const per = { clusters: 2, samples: 2, quality: 3 }; // so that many clusterings do not crowd out the rest
  const taken = {};
  const few = listed.filter((column) => {
    taken[column.section] = (taken[column.section] ?? 0) + 1;
    return taken[column.section] <= per[column.section];
  });
  return [...new Set([state.partition, ...few, ...rest])].filter(Boolean);
}

/** A value in words, and its colour where it is a group. */
async function describeAt(thing, place) {
  if (thing.kind === "groups") {
    const code = (await codes(thing))[place];
    return { name: thing.name, text: readable(nameOfGroup(thing, code), 60), color: code === missingCode(thing) ? null : colorOfGroup(thing, code) };
  }
  const level = (await levels(thing))[place];
  const value = valueOf(thing, level);
  // no finer than the steps in which values are stored
  const decimals = Math.min(Math.max(0, -Math.floor(Math.log10((thing.high - (thing.low ?? 0)) / 254 || 1))), 12);
  const said = `${signOf(thing, level)}${figure(Number(value.toFixed(decimals)))}`;
  return { name: thing.name, text: Number.isNaN(value) ? "missing" : `${said}${thing.unit && thing.unit.length <= LONGEST_UNIT ? ` ${thing.unit}` : ""}`, color: null };
}

const tip = element("div", { class: "tip", hidden: true });

function hideHover() {
  hoverAsked += 1;
  if (hovered.place < 0) return;
  hovered.place = -1;
  tip.hidden = true;
  for (const pane of panes) pane.showRing();
}

let hoverWaits = null;

/** Show the point under the pointer, at most once a frame. */
function hoverAt(pane, sx, sy) {
  if (!hoverWaits) requestAnimationFrame(() => {
    const { pane: over, spot } = hoverWaits;
    hoverWaits = null;
    showPoint(over, ...spot);
  });
  hoverWaits = { pane, spot: [sx, sy] };
}

async function showPoint(pane, sx, sy) {
  // the index of a million points takes a tenth of a second: not while the map moves
  if (!pane.ready || performance.now() - pane.movedAt < REST) return;
  const place = pane.pick(sx, sy);
  pane.field.classList.toggle("over", place >= 0);
  if (place < 0) {
    hideHover();
    return;
  }
  if (place === hovered.place) return;
  hovered.place = place;
  for (const other of panes) other.showRing();
  hoverAsked += 1;
  const asked = hoverAsked;
  const colored = panes.filter((other) => !other.node.hidden).map((other) => coloredBy(other.color));
  const things = [...new Set([...colored, ...columnsOfHover()])].filter(Boolean).slice(0, MOST_SHOWN + 1);
  const [name, picture, ...values] = await Promise.all([nameOf(place), thumbnailOf(place), ...things.map((thing) => describeAt(thing, place))]);
  if (asked !== hoverAsked) return;
  tip.replaceChildren(
    ...(picture ? [element("figure", {}, picture)] : []),
    element("div", {}, element("strong", { text: readable(name, 60) }), element("dl", {}, values.map(({ name: label, text, color }) => [
      element("dt", { text: readable(label, 40) }),
      element("dd", {}, color && element("i", { class: "swatch", style: `background:${color}` }), element("bdi", { text })),
    ]))),
  );
  tip.hidden = false;
  placeTip(pane, place);
}

function placeTip(pane, place) {
  const box = pane.field.getBoundingClientRect();
  const [x, y] = pane.camera.toScreen(pane.xy[2 * place], pane.xy[2 * place + 1]);
  const [left, top] = [box.left + x, box.top + y];
  const { offsetWidth: width, offsetHeight: height } = tip;
  const across = left + 16 + width < innerWidth - 8 ? left + 16 : Math.max(8, left - 16 - width);
  const down = Math.min(Math.max(8, top - height / 2), innerHeight - height - 8);
  tip.style.transform = `translate(${Math.round(across)}px, ${Math.round(down)}px)`;
}
