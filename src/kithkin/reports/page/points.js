/* Points on a canvas by WebGL2, and the camera that sees them: attributes are uploaded once, and drawn in slices of
   the random order. */

const VERTEX = `#version 300 es
layout(location = 0) in vec2 place;
layout(location = 1) in uint value;
layout(location = 2) in uint flag;
uniform vec4 window;    // centre in units of the map, and clip units for each of them
uniform float size;     // diameter in pixels of the canvas
uniform vec3 dimmed;
uniform float opacity;
uniform sampler2D palette;
flat out vec4 shade;
void main() {
  gl_PointSize = 0.0;
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
  if ((flag & 4u) != 0u || place.x > 65534.5) return;
  vec4 look = texelFetch(palette, ivec2(int(value & 255u), int(value >> 8)), 0);
  bool dim = (flag & 2u) != 0u;
  // nearer is drawn over farther in whatever order the slices come
  float depth = dim ? 0.95 : 0.9 - 1.8 * look.a;
  gl_Position = vec4((place - window.xy) * window.zw, depth, 1.0);
  gl_PointSize = dim ? max(1.0, size * 0.8) : size;
  shade = dim ? vec4(dimmed, opacity * 0.6) : vec4(look.rgb, opacity);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
flat in vec4 shade;
uniform mediump float diameter;
out vec4 color;
void main() {
  float alpha = shade.a;
  if (diameter > 1.6) {  // below, a disc is not told from a square
    float edge = (0.5 - length(gl_PointCoord - 0.5)) * diameter + 0.35;
    if (edge <= 0.0) discard;
    alpha *= min(edge, 1.0);
  }
  color = vec4(shade.rgb * alpha, alpha);
}`;

function compile(gl, kind, source) {
  const shader = gl.createShader(kind);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) throw new Error(gl.getShaderInfoLog(shader));
  return shader;
}

/** Drawer of points; `gl` is null where the browser has no WebGL2. */
class Points {
  constructor(canvas) {
    this.canvas = canvas;
    // what is drawn stays, so that slices add up; points do without multisampling, and nothing lies behind them
    this.gl = canvas.getContext("webgl2", { alpha: false, antialias: false, preserveDrawingBuffer: true });
    this.attributes = new Map();
    this.n = contents.n;
    if (this.gl) this.prepare();
  }

  prepare() {
    const { gl } = this;
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    const names = ["window", "size", "diameter", "dimmed", "opacity", "palette"];
    this.uniforms = Object.fromEntries(names.map((name) => [name, gl.getUniformLocation(program, name)]));
    this.buffers = [0, 1, 2].map(() => gl.createBuffer());
    this.texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, gl.NEAREST);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const [name, array] of this.attributes) this.upload(name, array);
    if (this.palette) this.setPalette(this.palette);
  }

  upload(name, array) {
    const { gl } = this;
    const location = ["place", "value", "flag"].indexOf(name);
    this.attributes.set(name, array); // for a context that was lost and comes back
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[location]);
    gl.bufferData(gl.ARRAY_BUFFER, array, name === "flag" ? gl.DYNAMIC_DRAW : gl.STATIC_DRAW);
    gl.enableVertexAttribArray(location);
    const kind = array.BYTES_PER_ELEMENT === 2 ? gl.UNSIGNED_SHORT : gl.UNSIGNED_BYTE;
    if (name === "place") gl.vertexAttribPointer(location, 2, kind, false, 0, 0);
    else gl.vertexAttribIPointer(location, 1, kind, 0, 0);
  }

  setPalette(bytes) {
    const { gl } = this;
    const side = SIDE_OF_PALETTE;
    this.palette = bytes;
    [this.dimmed, this.paper] = ["--dim", "--paper"].map((name) => parseColor(themeColor(name)).map((part) => part / 255));
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, side, side, 0, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  }

  clear() {
    const { gl, canvas } = this;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(...this.paper, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  }

  /** Draw points from..to as a camera sees them. */
  draw(camera, { size, opacity }, from, to) {
    const { gl, uniforms, canvas } = this;
    const pixels = Math.max(1, (size * canvas.width) / camera.width);
    gl.uniform4f(uniforms.window, camera.x, camera.y, (2 * camera.scale) / camera.width, (2 * camera.scale) / camera.height);
    gl.uniform1f(uniforms.size, pixels);
    gl.uniform1f(uniforms.diameter, pixels);
    gl.uniform1f(uniforms.opacity, opacity);
    gl.uniform3f(uniforms.dimmed, ...this.dimmed);
    gl.uniform1i(uniforms.palette, 0);
    gl.drawArrays(gl.POINTS, from, to - from);
  }

  /** A mark that is passed when everything asked for so far is drawn. */
  mark() {
    const { gl } = this;
    const sync = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
    return sync;
  }

  passed(sync) {
    const { gl } = this;
    const status = gl.clientWaitSync(sync, 0, 0);
    if (status === gl.TIMEOUT_EXPIRED) return false;
    gl.deleteSync(sync); // done, or the context is lost and nothing will come
    return true;
  }
}

const ZOOM_MOST = 400; // times the whole
const MARGINS = { left: 24, right: 68, top: 60, bottom: 40 }; // pixels around the whole, where the tools lie

class Camera {
  constructor() {
    Object.assign(this, { x: 32767, y: 32767, scale: 1, width: 1, height: 1, fitted: true, whole: [0, 0, 65534, 65534] });
  }

  /** Pixels for a unit of the map when everything is seen. */
  get fitting() {
    const [left, low, right, high] = this.whole;
    const wide = Math.max(this.width - MARGINS.left - MARGINS.right, this.width / 2);
    const tall = Math.max(this.height - MARGINS.top - MARGINS.bottom, this.height / 2);
    return Math.min(wide / Math.max(right - left, 1), tall / Math.max(high - low, 1));
  }

  get zoom() {
    return this.scale / this.fitting;
  }

  fit() {
    const [left, low, right, high] = this.whole;
    this.fitted = true;
    this.scale = this.fitting;
    this.x = (left + right) / 2 + (MARGINS.right - MARGINS.left) / 2 / this.scale;
    this.y = (low + high) / 2 + (MARGINS.top - MARGINS.bottom) / 2 / this.scale;
  }

  /** Another size of the canvas in CSS pixels: what is in the middle stays there, at the same zoom. */
  resize(width, height) {
    const { zoom } = this;
    Object.assign(this, { width, height });
    if (this.fitted) this.fit();
    else this.scale = this.fitting * zoom;
  }

  pan(dx, dy) {
    this.fitted = false;
    const [left, low, right, high] = this.whole;
    this.x = Math.min(Math.max(this.x - dx / this.scale, left), right);
    this.y = Math.min(Math.max(this.y + dy / this.scale, low), high);
  }

  /** Zoom so that what is under a place of the canvas stays there. */
  zoomAt(factor, sx, sy) {
    this.fitted = false;
    const wanted = Math.min(Math.max(this.zoom * factor, 0.5), ZOOM_MOST);
    const [mx, my] = this.toMap(sx, sy);
    this.scale = this.fitting * wanted;
    const [nx, ny] = this.toMap(sx, sy);
    this.x += mx - nx;
    this.y += my - ny;
  }

  toMap(sx, sy) {
    return [this.x + (sx - this.width / 2) / this.scale, this.y - (sy - this.height / 2) / this.scale];
  }

  toScreen(mx, my) {
    return [(mx - this.x) * this.scale + this.width / 2, this.height / 2 - (my - this.y) * this.scale];
  }

  /** See what another camera of the same map sees. */
  follow(other) {
    Object.assign(this, { x: other.x, y: other.y, scale: this.fitting * other.zoom, fitted: other.fitted });
  }
}

/** Smallest box around the points: left, low, right, high. */
function boxAround(xy) {
  const box = [65535, 65535, 0, 0];
  for (let i = 0; i < xy.length; i += 2) {
    const x = xy[i];
    const y = xy[i + 1];
    if (x === NOWHERE) continue;
    if (x < box[0]) box[0] = x;
    if (x > box[2]) box[2] = x;
    if (y < box[1]) box[1] = y;
    if (y > box[3]) box[3] = y;
  }
  return box[0] > box[2] ? [0, 0, 65534, 65534] : box;
}
