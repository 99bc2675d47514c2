/* A map: the canvas, what lies over it, and the hand that moves it. Two of them can stand side by side. */

const FRAME = 30; // milliseconds that a frame may take while the map moves: 20 a second with room to spare
const SLICE = 80; // milliseconds for a slice of the rest, while nothing moves: few large ones are done sooner
const REST = 140; // milliseconds without movement after which everything is drawn
const LEAST_POINTS = 10_000;
const CLICK = 4; // pixels that a pointer may wander and still have clicked

const look = {
  size: 1,
  opacity: contents.n > 300_000 ? 0.6 : 0.85,
  labels: true,
  front: contents.n <= 200_000, // high values over low ones: where points lie thick, few of them would hide the rest
  linked: true, // both maps show the same part, where they show the same embedding
  tool: "pan", // or "lasso", "box"
};

/** Diameter of a point in pixels: smaller the more there are, larger the nearer. */
function pointSize(camera) {
  const plain = Math.min(Math.max(5.5 * (3000 / contents.n) ** 0.27, 1.35), 9);
  return plain * look.size * Math.min(Math.max(camera.zoom, 1) ** 0.35, 5);
}

/** The column whose groups are named on a map: the one that colours it, else the clusters. */
function namedColumn(color) {
  return color.column?.kind === "groups" ? color.column : state.partition;
}

class Pane {
  constructor(view) {
    this.view = view;
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.names = element("div", { class: "labels", "aria-hidden": "true" });
    this.ring = drawing("circle", { class: "ring", r: 7, visibility: "hidden" });
    this.line = drawing("path", { class: "lasso", visibility: "hidden" });
    this.overlay = drawing("svg", { class: "overlay", "aria-hidden": "true" }, this.line, this.ring);
    this.field = element("div", { class: "field", tabindex: "0", role: "application", "data-tool": look.tool }, this.canvas, this.names, this.overlay);
    this.bar = element("div", { class: "bar" });
    this.axes = element("span", { class: "axes" });
    this.node = element("section", { class: "pane", "aria-label": view === 0 ? "Map" : "Second map" }, this.bar, this.field, this.axes);
    this.camera = new Camera();
    this.labels = new Labels(this.names);
    Object.assign(this, { xy: null, ready: false, stale: false, awake: false, sync: null, drawn: 0, asked: 0 });
    this.perFrame = 60_000; // points in a frame while the map moves, and in a slice of the rest
    this.perSlice = 120_000;
    this.movedAt = -Infinity;
    this.points = new Points(this.canvas);
    if (!this.points.gl) {
      this.field.replaceChildren(element("p", { class: "waiting", text: "This browser has no WebGL2, which the map needs; the other tabs show everything else." }));
      return;
    }
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.sync = null;
      this.ready = false;
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.points.prepare();
      this.ready = true;
      this.refresh();
    });
    new ResizeObserver(() => this.resize()).observe(this.field);
    attachGestures(this);
  }

  get embedding() {
    return state.views[this.view].embedding;
  }

  get color() {
    return state.views[this.view].color;
  }

  /** Read places and colours of the view, and draw them. */
  async load() {
    if (!this.points.gl || !this.embedding) return;
    this.asked += 1;
    const { asked, embedding, color } = this;
    const [xy, values] = await Promise.all([places(embedding), valuesOf(color)]);
    if (asked !== this.asked) return;
    if (this.xy !== xy) {
      this.xy = xy;
      this.points.upload("place", xy);
      this.camera.whole = boxAround(xy);
      this.camera.fit();
    }
    this.points.upload("value", values);
    this.points.setPalette(paletteOf(color));
    this.points.upload("flag", flags);
    this.ready = true;
    this.describe();
    this.refresh();
    await this.nameGroups();
  }

  describe() {
    const thing = coloredBy(this.color);
    this.axes.textContent = this.embedding.axes.join(" · ");
    const by = thing ? `, coloured by ${shorten(thing.name, 80)}` : "";
    this.field.setAttribute("aria-label", `${this.embedding.name} of ${count(contents.n)} ${contents.rows}${by}. Arrow keys move, plus and minus zoom, 0 shows all.`);
  }

  async nameGroups() {
    if (this.xy && (await this.labels.find(this.xy, namedColumn(this.color)))) this.labels.lay(this.camera);
  }

  repaint() {
    if (!this.ready) return;
    this.points.setPalette(paletteOf(this.color));
    this.refresh();
  }

  reflag() {
    if (!this.ready) return;
    this.points.upload("flag", flags);
    this.refresh();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.field;
    if (width < 2 || height < 2) return;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.camera.resize(width, height);
    this.labels.lay(this.camera);
    this.refresh();
  }

  /** Draw again from the first point. */
  refresh() {
    this.stale = true;
    delete document.documentElement.dataset.rest;
    this.wake();
  }

  /** The view has moved: draw what a frame has time for, the rest later; the other map may follow. */
  moved() {
    this.movedAt = performance.now();
    this.refresh();
    const other = panes[1 - this.view];
    if (look.linked && other?.ready && other.embedding === this.embedding) {
      other.camera.follow(this.camera);
      other.movedAt = this.movedAt;
      other.refresh();
    }
  }

  wake() {
    if (this.awake) return;
    this.awake = true;
    requestAnimationFrame((now) => this.tick(now));
  }

  /** One frame: nothing while the last is still being drawn, so that the page never waits for it. */
  tick(now) {
    this.awake = false;
    if (!this.ready || this.camera.width < 2) return;
    if (this.sync) {
      if (!this.points.passed(this.sync)) return this.wake();
      this.sync = null;
      this.adapt(now - this.issued);
      markDrawn();
    }
    const moving = performance.now() - this.movedAt < REST;
    const { n } = this.points;
    if (this.stale) {
      this.stale = false;
      this.drawn = 0;
      this.first = true;
      this.points.clear();
      this.labels.move(this.camera);
      this.showRing();
      this.slice(now, this.perFrame);
    } else if (this.drawn < n && !moving) {
      this.first = false;
      this.slice(now, this.perSlice);
    }
    if (moving && !this.settling) this.settle();
    if (this.sync || this.drawn < n) this.wake();
    else markRest();
  }

  slice(now, most) {
    const from = this.drawn;
    this.drawn = Math.min(from + Math.ceil(most), this.points.n);
    this.points.draw(this.camera, { size: pointSize(this.camera), opacity: look.opacity }, from, this.drawn);
    this.sync = this.points.mark();
    this.issued = now;
    this.full = this.drawn - from >= 0.9 * most;
  }

  /** As many points for the next frame, or slice, as this one had time for. */
  adapt(cost) {
    const fit = (points, time) => {
      const factor = cost > time ? Math.max(0.5, time / cost) : this.full ? 1.25 : 1;
      return Math.min(Math.max(points * factor, LEAST_POINTS), 2 * this.points.n + LEAST_POINTS);
    };
    if (this.first) this.perFrame = fit(this.perFrame, FRAME);
    else this.perSlice = fit(this.perSlice, SLICE);
  }

  /** Once the view is still, choose the labels anew. */
  settle() {
    this.settling = true;
    const wait = () => {
      if (performance.now() - this.movedAt < REST) {
        setTimeout(wait, REST / 2);
        return;
      }
      this.settling = false;
      this.labels.lay(this.camera);
    };
    setTimeout(wait, REST / 2);
  }

  /** The nearest point to a place of the canvas, or -1. */
  pick(sx, sy) {
    if (!this.xy) return -1;
    const [x, y] = this.camera.toMap(sx, sy);
    const reach = Math.max(7, pointSize(this.camera) / 2 + 2);
    return gridOf(this.embedding, this.xy).nearest(x, y, reach / this.camera.scale);
  }

  showRing() {
    const { place } = hovered;
    const seen = place >= 0 && this.xy && this.xy[2 * place] !== NOWHERE && !(flags[place] & HIDDEN);
    this.ring.setAttribute("visibility", seen ? "visible" : "hidden");
    if (!seen) return;
    const [x, y] = this.camera.toScreen(this.xy[2 * place], this.xy[2 * place + 1]);
    this.ring.setAttribute("cx", x.toFixed(1));
    this.ring.setAttribute("cy", y.toFixed(1));
    this.ring.setAttribute("r", (pointSize(this.camera) / 2 + 4).toFixed(1));
  }
}

const panes = [];

function markDrawn() {
  const { dataset } = document.documentElement;
  if (dataset.drawn) return;
  dataset.drawn = "1";
  performance.mark("drawn");
}

function markRest() {
  const done = panes.every((pane) => !pane.ready || pane.camera.width < 2 || (!pane.stale && !pane.sync && pane.drawn === pane.points.n));
  if (done) document.documentElement.dataset.rest = "1";
}

const KEYS = {
  ArrowLeft: (pane) => pane.camera.pan(60, 0),
  ArrowRight: (pane) => pane.camera.pan(-60, 0),
  ArrowUp: (pane) => pane.camera.pan(0, 60),
  ArrowDown: (pane) => pane.camera.pan(0, -60),
  "+": (pane) => pane.camera.zoomAt(1.3, pane.camera.width / 2, pane.camera.height / 2),
  "=": (pane) => KEYS["+"](pane),
  "-": (pane) => pane.camera.zoomAt(1 / 1.3, pane.camera.width / 2, pane.camera.height / 2),
  0: (pane) => pane.camera.fit(),
};

function attachGestures(pane) {
  const { field } = pane;
  const fingers = new Map();
  let drag = null;
  const spot = (event) => {
    const box = field.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  field.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(pane);
    pane.moved();
  });
  field.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const pace = event.ctrlKey ? 0.01 : 0.0016; // a pinch on a touch pad comes as a wheel with Ctrl
    pane.camera.zoomAt(Math.exp(-event.deltaY * lines * pace), ...spot(event));
    pane.moved();
  }, { passive: false });
  field.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !pane.ready) return;
    field.setPointerCapture(event.pointerId);
    activate(pane.view);
    fingers.set(event.pointerId, spot(event));
    const draws = look.tool !== "pan" || event.shiftKey || event.altKey;
    drag = { from: spot(event), last: spot(event), far: false, stroke: draws && fingers.size === 1 ? startStroke(pane, spot(event)) : null };
    if (fingers.size > 1) dropStroke(pane);
    hideHover();
  });
  field.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) {
      if (event.pointerType !== "touch") hoverAt(pane, ...spot(event));
      return;
    }
    const here = spot(event);
    const before = fingers.get(event.pointerId);
    if (fingers.size === 2) pinch(pane, fingers, event.pointerId, here);
    else if (drag.stroke) continueStroke(pane, drag.stroke, here);
    else if (drag.far || Math.hypot(here[0] - drag.from[0], here[1] - drag.from[1]) > CLICK) {
      pane.camera.pan(here[0] - before[0], here[1] - before[1]);
      pane.moved();
    }
    drag.far ||= Math.hypot(here[0] - drag.from[0], here[1] - drag.from[1]) > CLICK;
    fingers.set(event.pointerId, here);
  });
  const lift = (event) => {
    if (!fingers.delete(event.pointerId) || fingers.size > 0) return;
    const { stroke, far } = drag;
    if (stroke && far && event.type === "pointerup") endStroke(pane, stroke, event);
    else if (!far && event.type === "pointerup") clickAt(pane, ...spot(event), event);
    dropStroke(pane);
  };
  field.addEventListener("pointerup", lift);
  field.addEventListener("pointercancel", lift);
  field.addEventListener("pointerleave", hideHover);
}

/** Two fingers: what is under them stays under them. */
function pinch(pane, fingers, moved, here) {
  const [, still] = [...fingers].find(([id]) => id !== moved);
  const before = fingers.get(moved);
  const apart = (a, b) => Math.max(Math.hypot(a[0] - b[0], a[1] - b[1]), 8);
  const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const [from, to] = [middle(before, still), middle(here, still)];
  pane.camera.pan(to[0] - from[0], to[1] - from[1]);
  pane.camera.zoomAt(apart(here, still) / apart(before, still), ...to);
  pane.moved();
}

/** A click on a point brings its group forward; one beside all points brings everything back. */
async function clickAt(pane, sx, sy, event) {
  const place = pane.pick(sx, sy);
  if (event.pointerType === "touch" && place >= 0) hoverAt(pane, sx, sy);
  const column = namedColumn(pane.color);
  if (place < 0 || !column) {
    if (state.focus) focusGroup(state.focus.column, null);
    return;
  }
  const code = (await codes(column))[place];
  focusGroup(column, code === missingCode(column) ? null : code);
}
