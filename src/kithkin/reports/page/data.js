/* Blocks of the page: base64 of zlib streams between tags, inflated when they are asked for, kept for a while. */

const MISSING = 255; // level of a missing value
const NOWHERE = 65535; // place of a point that the embedding does not have
const KEPT_BYTES = 160e6;
const kept = new Map(); // name -> {promise, bytes}, the one used last at the end
let keptBytes = 0;

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

async function inflate(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`block ${id} is not in this page: was it saved whole?`);
  const stream = new Blob([fromBase64(node.textContent)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** What a function makes under a name; what was not used for long is forgotten, and made again. */
function keep(name, make) {
  let entry = kept.get(name);
  if (entry) {
    kept.delete(name);
    kept.set(name, entry);
    return entry.promise;
  }
  entry = { bytes: 0, promise: make() };
  kept.set(name, entry);
  entry.promise.then(
    (array) => {
      entry.bytes = array.byteLength ?? array.length * 40;
      keptBytes += entry.bytes;
      for (const [other, { bytes }] of kept) {
        if (keptBytes <= KEPT_BYTES || other === name) break;
        kept.delete(other);
        keptBytes -= bytes;
      }
    },
    () => kept.delete(name),
  );
  return entry.promise;
}

/** The inflated bytes of a block. */
function block(id) {
  return keep(id, () => inflate(id));
}

async function numbersIn(id, Kind) {
  const bytes = await block(id);
  return new Kind(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / Kind.BYTES_PER_ELEMENT));
}

/** Places of an embedding, x0 y0 x1 y1 ... in 0..65534; 65535 where there is none. */
function places(embedding) {
  return numbersIn(embedding.block, Uint16Array);
}

/** Codes of a column of groups; missingCode(column) where a point has none. */
function codes(column) {
  return numbersIn(column.block, column.bytes === 2 ? Uint16Array : Uint8Array);
}

function missingCode(column) {
  return column.bytes === 2 ? 65535 : 255;
}

/** Levels 0..254 of a column of numbers or of a gene, 255 where missing. */
function levels(thing) {
  if (thing.kind === "numbers" || thing.dense) return block(thing.block);
  return keep(`levels of ${thing.block}`, async () => {
    const bytes = await block(thing.block);
    const out = new Uint8Array(contents.n);
    const first = bytes.length - thing.n_stored; // of the levels, which follow the places
    for (let i = 0, at = 0, place = 0; i < thing.n_stored; i += 1) {
      let step = 0;
      let shift = 0;
      let byte = 0;
      do {
        byte = bytes[at];
        at += 1;
        step |= (byte & 127) << shift;
        shift += 7;
      } while (byte & 128);
      place += step;
      out[place] = bytes[first + i];
    }
    return out;
  });
}

/** The value that a level stands for, NaN where it is missing. */
function valueOf(thing, level) {
  if (level === MISSING) return NaN;
  const low = thing.low ?? 0;
  return low + (level / 254) * (thing.high - low);
}

/** What stands before a value at an end of the scale beyond which there are values: at least, at most. */
function signOf(thing, level) {
  const [below, above] = thing.clipped ?? [false, false];
  return level === 254 && above ? "≥ " : level === 0 && below ? "≤ " : "";
}

function valueText(thing, level) {
  return `${signOf(thing, level)}${figure(valueOf(thing, level))}`;
}

/** The share of a number of all cells of the dataset, also of those without a group: the one denominator of sizes. */
function shareOfAll(size) {
  return size / Math.max(1, contents.n_obs);
}

/** Said beside numbers that are counted on the page, where it shows a sample. */
function onSample() {
  return contents.sampled ? `, among the ${contents.rows} on this page, which are more where the map is sparse` : "";
}

function partOfNames(part) {
  const read = async () => JSON.parse(new TextDecoder().decode(await block(contents.names.blocks[part])));
  return keep(`names ${part}`, read);
}

/** Name of a point. */
async function nameOf(place) {
  const { names } = contents;
  if (names.row_block) return String((await numbersIn(names.row_block, Uint32Array))[place]);
  const part = Math.floor(place / names.size);
  return (await partOfNames(part))[place - part * names.size];
}

/** Names of the points of a mask, in the order of the page. */
async function namesOf(mask) {
  const { names } = contents;
  const out = [];
  const part = names.row_block ? mask.length : names.size;
  for (let from = 0; from < mask.length; from += part) {
    const to = Math.min(from + part, mask.length);
    if (mask.subarray(from, to).indexOf(1) < 0) continue;
    const list = names.row_block ? await numbersIn(names.row_block, Uint32Array) : await partOfNames(from / part);
    for (let i = from; i < to; i += 1) if (mask[i]) out.push(String(list[i - from]));
  }
  return out;
}

/** The thumbnail of a point as a canvas, or null: the first n points have one. */
async function thumbnailOf(place) {
  const pictures = contents.thumbnails;
  if (!pictures || place >= pictures.n) return null;
  const { width, height } = pictures;
  const bytes = await block(pictures.blocks[Math.floor(place / pictures.per_block)]);
  const from = (place % pictures.per_block) * width * height * 3;
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i += 1) {
    picture.data.set(bytes.subarray(from + 3 * i, from + 3 * i + 3), 4 * i);
    picture.data[4 * i + 3] = 255;
  }
  const canvas = element("canvas", { width, height });
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}
