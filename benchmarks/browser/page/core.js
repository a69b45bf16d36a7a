/**
 * From a picture to a model's input and from its output back to the picture: the arithmetic of the
 * Python kit and of the phone app's Kotlin core. Golden files hold all three to the same numbers.
 *
 * Pixels are 0-based and (0, 0) is the centre of the top-left pixel, x right, y down. Points are flat:
 * x0, y0, x1, y1, ... Nothing here knows of the page, so that Node runs it, too.
 */

/** @typedef {{width: number, height: number, data: Uint8Array | Uint8ClampedArray, channels: number}} Picture */
/** @typedef {[number, number, number, number]} Box x0, y0, x1, y1, pixels of the picture */
/** @typedef {{scale: number | null, zero_point: number, type: string}} TensorInfo */

const f32 = Math.fround;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const MAX_HALVINGS = 20; // then no picture is more than a pixel

// ---- Boxes -----------------------------------------------------------------------------------------

/** Intersection over union; 0 for empty boxes. */
export function overlap(a, b) {
  const shared =
    Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared;
  return both > 0 ? shared / both : 0;
}

export const longerSide = (box) => Math.max(box[2] - box[0], box[3] - box[1]);

/** The smallest box around points. */
export function landmarkBox(points) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (let i = 0; i < points.length; i += 2) {
    box[0] = Math.min(box[0], points[i]);
    box[1] = Math.min(box[1], points[i + 1]);
    box[2] = Math.max(box[2], points[i]);
    box[3] = Math.max(box[3], points[i + 1]);
  }
  return box;
}

// ---- Crop ------------------------------------------------------------------------------------------

/**
 * A square window of a picture, resampled to size x size pixels. A point p of the picture is at
 * q = k (p - centre) + (size - 1) / 2 of the crop, k = size / side; models predict fractions of the
 * side from the centre.
 */
export class Crop {
  constructor(centreX, centreY, side, size) {
    if (!(side > 0 && Number.isFinite(side) && Number.isFinite(centreX) && Number.isFinite(centreY) && size > 0)) {
      throw new RangeError(`expected a window with a side above 0, got ${[centreX, centreY, side, size]}`);
    }
    Object.assign(this, { centreX, centreY, side, size });
  }

  static fromBox(box, size, scale) {
    return new Crop((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, scale * longerSide(box), size);
  }

  /** Pixels of the picture of what a model predicts. */
  toPicture(fractions) {
    return Float32Array.from(fractions, (value, i) => (i % 2 ? this.centreY : this.centreX) + value * this.side);
  }

  toFractions(points) {
    return Float32Array.from(points, (value, i) => (value - (i % 2 ? this.centreY : this.centreX)) / this.side);
  }

  /**
   * Bytes R, G, B, size x size x 3, sampled bilinearly, black outside the picture. A map that shrinks by
   * more than two would skip pixels, so the picture is first halved until it does not. In float32 and
   * with ties to even, as OpenCV 5 computes: of 112 px crops of a drawn face, 0 to 2 bytes in 37,632
   * differ, by one level.
   *
   * @param {Picture} picture
   */
  cut(picture) {
    let times = 0;
    while ((this.size / this.side) * 2 ** times < 0.5 && times < MAX_HALVINGS) times += 1;
    if (times === 0) return this.#sample(picture);
    const n = 2 ** times;
    const [left, right] = this.#blocks(this.centreX, n, picture.width);
    const [top, bottom] = this.#blocks(this.centreY, n, picture.height);
    let small = part(picture, left, top, right, bottom);
    for (let i = 0; i < times; i++) small = halved(small);
    // Small pixel s covers picture pixels left + n s ... left + n s + n - 1.
    const moved = (centre, first) => (centre - first - (n - 1) / 2) / n;
    return new Crop(moved(this.centreX, left), moved(this.centreY, top), this.side / n, this.size).#sample(small);
  }

  /** Where whole blocks of n pixels begin and end that bilinear sampling touches along one axis. */
  #blocks(centre, n, length) {
    const reach = ((this.size + 1) / 2) * (this.side / this.size);
    const first = Math.max(0, (Math.floor((centre - reach) / n) - 1) * n);
    const last = Math.max(0, (Math.ceil((centre + reach) / n) + 2) * n);
    return [first, Math.min(last, length)];
  }

  #sample({ width, height, data, channels }) {
    const { size } = this;
    const columns = this.#taps(this.centreX, width);
    const rows = this.#taps(this.centreY, height);
    const into = new Uint8Array(size * size * 3);
    let at = 0;
    for (let v = 0; v < size; v++) {
      const y = rows.first[v];
      const down = rows.share[v];
      const above = y >= 0 && y < height ? y * width : -1;
      const below = y + 1 >= 0 && y + 1 < height ? (y + 1) * width : -1;
      for (let u = 0; u < size; u++) {
        const x = columns.first[u];
        const right = columns.share[u];
        const inLeft = x >= 0 && x < width;
        const inRight = x + 1 >= 0 && x + 1 < width;
        const a = above >= 0 && inLeft ? (above + x) * channels : -1;
        const b = above >= 0 && inRight ? (above + x + 1) * channels : -1;
        const c = below >= 0 && inLeft ? (below + x) * channels : -1;
        const d = below >= 0 && inRight ? (below + x + 1) * channels : -1;
        for (let channel = 0; channel < 3; channel++) {
          const p = a < 0 ? 0 : data[a + channel];
          const q = c < 0 ? 0 : data[c + channel];
          const upper = f32(p + ((b < 0 ? 0 : data[b + channel]) - p) * right);
          const lower = f32(q + ((d < 0 ? 0 : data[d + channel]) - q) * right);
          into[at++] = rounded(f32(upper + f32(lower - upper) * down));
        }
      }
    }
    return into;
  }

  /** Where the crop's columns (or rows) lie between the picture's. */
  #taps(centre, length) {
    const step = f32(this.side / this.size);
    const start = f32(centre - (((this.size - 1) / 2) * this.side) / this.size);
    const first = new Int32Array(this.size);
    const share = new Float32Array(this.size);
    for (let i = 0; i < this.size; i++) {
      const position = f32(i * step + start);
      const near = clamp(position, -2, length + 1); // far outside it is black anyway
      first[i] = Math.floor(near);
      share[i] = near - first[i];
    }
    return { first, share };
  }
}

function part({ width, data, channels }, left, top, right, bottom) {
  if (left >= right || top >= bottom) return { width: 1, height: 1, data: new Uint8Array(3), channels: 3 };
  const cut = { width: right - left, height: bottom - top, data: null, channels: 3 };
  cut.data = new Uint8Array(cut.width * cut.height * 3);
  let to = 0;
  for (let y = top; y < bottom; y++) {
    for (let x = left, from = (y * width + left) * channels; x < right; x++, from += channels) {
      cut.data[to++] = data[from];
      cut.data[to++] = data[from + 1];
      cut.data[to++] = data[from + 2];
    }
  }
  return cut;
}

/** Means of 2 x 2 pixels, (sum + 2) >> 2; what is missing at the border counts as black. */
function halved({ width, height, data }) {
  const small = { width: (width + 1) >> 1, height: (height + 1) >> 1, data: null, channels: 3 };
  small.data = new Uint8Array(small.width * small.height * 3);
  let to = 0;
  for (let y = 0; y < small.height; y++) {
    const lower = 2 * y + 1 < height;
    for (let x = 0; x < small.width; x++) {
      const at = (2 * y * width + 2 * x) * 3;
      const right = 2 * x + 1 < width;
      for (let c = 0; c < 3; c++) {
        let sum = data[at + c] + 2;
        if (right) sum += data[at + 3 + c];
        if (lower) sum += data[at + 3 * width + c];
        if (right && lower) sum += data[at + 3 * width + 3 + c];
        small.data[to++] = sum >> 2;
      }
    }
  }
  return small;
}

// ---- Tensors ---------------------------------------------------------------------------------------

const RANGES = { INT8: [-128, 127], UINT8: [0, 255], INT16: [-32768, 32767] };
const ARRAYS = { INT8: Int8Array, UINT8: Uint8Array, INT16: Int16Array, FLOAT32: Float32Array };

/** To nearest, ties to even, as NumPy rounds. */
function rounded(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

/** A crop's bytes as a model's input: a byte v stands for (v - 128) / 128. */
export function inputValues(crop, info) {
  const table = ARRAYS[info.type].from({ length: 256 }, (_, v) => {
    const real = (v - 128) / 128;
    if (info.scale === null) return real;
    return clamp(rounded(f32(real / f32(info.scale))) + info.zero_point, ...RANGES[info.type]);
  });
  return table.constructor.from(crop, (v) => table[v]);
}

/** A tensor's raw values at a byte of a buffer, little-endian as every machine with a browser is. */
export function rawValues(buffer, at, elements, info) {
  const array = ARRAYS[info.type];
  if (array === undefined) throw new RangeError(`expected a tensor of ${Object.keys(ARRAYS)}, got ${info.type}`);
  return new array(buffer.slice(at, at + elements * array.BYTES_PER_ELEMENT));
}

/** Real values of raw ones: scale x (raw - zero point), or as they are. */
export function dequantized(raw, info) {
  if (info.scale === null) return Float32Array.from(raw);
  return Float32Array.from(raw, (value) => f32(info.scale) * (value - info.zero_point));
}

// ---- What outputs mean -----------------------------------------------------------------------------

export const POSE_UNIT_DEGREES = 90;
const HUNDREDTH = 0.01; // of the crop's side, what exp(u) counts
const LARGEST_LOGARITHM = 20;
const MEAN_DISTANCE = Math.sqrt(Math.PI / 2); // of a two-dimensional normal distribution, in its sigma
const UNSURE_SHARE = (0.08 * 0.48 * 1.2) / MEAN_DISTANCE; // of the box's longer side
const HIDDEN_BELOW = 0.5;
const LEAST_TRUST = 0.25;
const LEAST_SIGNAL = 5e-4;

const clipped = (value) => clamp(value, -LARGEST_LOGARITHM, LARGEST_LOGARITHM);

/** Yaw, pitch and roll in degrees of the output `pose`. */
export const poseDegrees = (output) => Float32Array.from(output, (value) => POSE_UNIT_DEGREES * value);

/** Standard deviations, pixels of the picture, of the output `uncertainty` for a crop of `side` pixels. */
export const sigmaOf = (output, side, factor) =>
  Float32Array.from(output, (value) => side * factor * HUNDREDTH * Math.exp(clipped(value)));

/** Probabilities that a point can be seen, of the output `visibility`. */
export const visibleOf = (output) => Float32Array.from(output, (value) => 1 / (1 + Math.exp(-clipped(value))));

/** The error (NME) to be expected; `size` is what the scheme normalises by, pixels. */
export function expectedNme(sigma, size) {
  const mean = sigma.reduce((sum, value) => sum + value, 0) / sigma.length;
  return size > 0 ? (MEAN_DISTANCE * mean) / size : Infinity;
}

/** The probability that a face's NME is within the calibration's limit. */
export const confidenceOf = (expected, { intercept, slope }) =>
  1 / (1 + Math.exp(slope * Math.log(Math.max(expected, LEAST_SIGNAL)) - intercept));

/** Whether a point may well be far off, or can rather not be seen, in a box of `boxSide` pixels. */
export const isUnsure = (index, sigma, visible, boxSide) =>
  (sigma != null && sigma[index] > UNSURE_SHARE * boxSide) || (visible != null && visible[index] < HIDDEN_BELOW);

/** How far the 1 euro filter follows each landmark: 1 for the surer half of them. */
export function trustOf(sigma) {
  const usual = percentile(sigma, 50);
  return Float64Array.from(sigma, (value) => clamp(usual / Math.max(value, 1e-9), LEAST_TRUST, 1));
}

/** The distance of two points by their numbers, pixels. */
export const distance = (points, i, j) =>
  Math.hypot(points[2 * i] - points[2 * j], points[2 * i + 1] - points[2 * j + 1]);

/** R = Rz(roll) Ry(yaw) Rx(pitch), row by row, of degrees; camera frame x right, y down, z away. */
export function rotation(yaw, pitch, roll) {
  const [cy, cp, cr] = [yaw, pitch, roll].map((angle) => Math.cos((angle * Math.PI) / 180));
  const [sy, sp, sr] = [yaw, pitch, roll].map((angle) => Math.sin((angle * Math.PI) / 180));
  return [
    [cr * cy, -sr * cp + cr * sy * sp, -sr * sp - cr * sy * cp],
    [sr * cy, cr * cp + sr * sy * sp, cr * sp - sr * sy * cp],
    [sy, -cy * sp, cy * cp],
  ];
}

/** The ends of three arrows from (x, y): the face's right side of the picture, its chin, its nose. */
export function poseAxes(degrees, x, y, length) {
  const turned = rotation(...degrees);
  return [1, 1, -1].map((forwards, axis) => [
    x + length * forwards * turned[0][axis],
    y + length * forwards * turned[1][axis],
  ]);
}

// ---- Finding faces ---------------------------------------------------------------------------------

/** BlazeFace's two networks: side of the input, and [stride, anchors at each cell] of its answers. */
export const NETWORKS = {
  short: { size: 128, grids: [[8, 2], [16, 6]] },
  full: { size: 192, grids: [[4, 1]] },
};
const SEARCH_SCORE = 0.4; // lower than what a face needs: the second network decides
const LOOK_SCORE = 0.3; // of each of its two looks; their mean decides
export const MIN_SCORE = 0.5;
const MIN_WINDOW = 160; // pixels
const MAX_LEVELS = 4;
const WINDOW_OVERLAP = 1 / 3;
const WIDE_WINDOW = 2; // x the picture's longer side: a face that fills the picture fills half of it
const CONFIRM_WINDOW = 4; // x the candidate's longer side
const MAX_LOGIT = 80;
const VALUES = 16; // of an answer: box centre, width and height, six key points
// From key points to the landmark box: asmnet_kit.predict.detector has the fit.
const SHIFT_X = [0.08, 0.64];
const SHIFT_Y = [-0.64, 1.01, 0.17, -0.12, -0.23];
const WIDTH = [3.25, -2.74, -4.28, 3.1, 1.25];
const HEIGHT = [0.85, -1.54, -1.47, 0.92, 1.22];
const EXTENT_LIMITS = [0.6, 1.7];

/** A crop's bytes as the detector's networks take them. */
export const detectorInput = (crop) => Float32Array.from(crop, (value) => (value - 127.5) / 127.5);

function* anchorsOf({ size, grids }) {
  for (const [stride, repeats] of grids) {
    for (let y = 0; y < size / stride; y++) {
      for (let x = 0; x < size / stride; x++) {
        for (let i = 0; i < repeats; i++) yield [(x + 0.5) * stride, (y + 0.5) * stride];
      }
    }
  }
}

/**
 * What a network found in a window: [{box, score, points}], pixels of the picture.
 *
 * @param {Crop} crop the window, of the network's size
 * @param {ArrayLike<number>} logits one for each anchor; `values` have 16.
 */
export function decodedFaces(network, crop, logits, values, minScore) {
  const found = [];
  let i = -1;
  for (const [x, y] of anchorsOf(network)) {
    i += 1;
    const score = 1 / (1 + Math.exp(-clamp(logits[i], -MAX_LOGIT, MAX_LOGIT)));
    if (!(score >= minScore)) continue;
    const of = (k) => values[VALUES * i + k];
    const [middleX, middleY] = [of(0) + x, of(1) + y];
    const corners = [middleX - of(2) / 2, middleY - of(3) / 2, middleX + of(2) / 2, middleY + of(3) / 2];
    for (let k = 4; k < VALUES; k += 2) corners.push(of(k) + x, of(k + 1) + y);
    const points = crop.toPicture(corners.map((value) => value / network.size - 0.5));
    found.push({ box: Array.from(points.subarray(0, 4)), score, points: Array.from(points.subarray(4)) });
  }
  return found;
}

/** One answer per face, best score first: means of those that overlap the best, weighted by score. */
export function mergedFaces(faces) {
  let left = [...faces].sort((a, b) => b.score - a.score);
  const merged = [];
  while (left.length) {
    const [best] = left;
    const same = left.filter((one) => one === best || overlap(best.box, one.box) > MIN_OVERLAP);
    const total = same.reduce((sum, one) => sum + one.score, 0);
    merged.push(meanFace(same, same.map((one) => one.score / total), best.score));
    left = left.filter((one) => !same.includes(one));
  }
  return merged;
}

/** One face: the mean of several by weights whose sum is 1, with a score. */
function meanFace(faces, weights, score) {
  const mean = (key) => faces[0][key].map((_, i) => faces.reduce((sum, one, k) => sum + weights[k] * one[key][i], 0));
  return { box: mean("box"), score, points: mean("points") };
}

/** The box that the 68 landmarks of a face would have. */
export function boxOfLandmarks({ box, points }) {
  const middle = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
  const side = Math.max((box[2] - box[0] + box[3] - box[1]) / 2, Number.MIN_VALUE);
  const [x, y] = [(i) => (points[2 * i] - middle[0]) / side, (i) => (points[2 * i + 1] - middle[1]) / side];
  const turn = [x(2), (x(4) + x(5)) / 2];
  const spread = [(y(0) + y(1)) / 2, y(3), Math.abs(x(1) - x(0)), Math.abs(x(5) - x(4)), 1];
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const shift = [dot(turn, SHIFT_X), dot(spread, SHIFT_Y)];
  const half = [WIDTH, HEIGHT].map((fit) => clamp(dot(spread, fit), ...EXTENT_LIMITS) / 2);
  return [-1, 1].flatMap((sign) => [0, 1].map((axis) => middle[axis] + side * (shift[axis] + sign * half[axis])));
}

/** The window for a face that fills the picture, [x, y, side]: the picture in its middle. */
export const wideWindow = (width, height) => [(width - 1) / 2, (height - 1) / 2, WIDE_WINDOW * Math.max(width, height)];

/** The square windows to search, [x, y, side]: the whole picture, then ever smaller ones. */
export function searchWindows(width, height, levels = MAX_LEVELS) {
  const windows = [];
  const longer = Math.max(width, height);
  const centres = (length, side) => {
    if (length <= side) return [(length - 1) / 2];
    const count = Math.ceil((length - side) / (side * (1 - WINDOW_OVERLAP))) + 1;
    return Array.from({ length: count }, (_, i) => side / 2 - 0.5 + ((length - side) * i) / (count - 1));
  };
  for (let level = 0; level < levels; level++) {
    const side = longer / 2 ** level;
    if (level && side < MIN_WINDOW) break;
    for (const y of centres(height, side)) for (const x of centres(width, side)) windows.push([x, y, side]);
  }
  return windows;
}

/**
 * The faces in a picture, largest first, as `asmnet_kit.predict.detector` finds them.
 *
 * @param {Picture} picture
 * @param {(network: string, crop: Uint8Array) => Promise<{logits, values}>} run
 * @param {number} [levels] of windows; each finds faces half as large and costs four times as much.
 * @param {boolean} [confirm] by the network "full", as Python does; without, "short" alone decides
 *   and searches no wide window: a camera's faces rarely fill the picture, and time is short.
 */
export async function detectFaces(picture, run, levels = MAX_LEVELS, confirm = true) {
  const find = async (name, [x, y, side], minScore) => {
    const crop = new Crop(x, y, side, NETWORKS[name].size);
    const { logits, values } = await run(name, crop.cut(picture));
    return decodedFaces(NETWORKS[name], crop, logits, values, minScore);
  };
  const found = async (windows, minScore) => {
    const faces = [];
    for (const window of windows) faces.push(...(await find("short", window, minScore)));
    return mergedFaces(faces);
  };
  const look = async (box) => {
    const window = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, CONFIRM_WINDOW * Math.max(longerSide(box), 1)];
    return mergedFaces(await find("full", window, LOOK_SCORE)).find((face) => overlap(box, face.box) > MIN_OVERLAP);
  };
  const windows = searchWindows(picture.width, picture.height, levels);
  let faces = [];
  if (confirm) {
    // Apart: merged with what the other windows saw of a face that fills the picture, cut off by
    // their border, the better box of the wide one would be spoilt.
    const wide = await found([wideWindow(picture.width, picture.height)], SEARCH_SCORE);
    for (const { box } of [...wide, ...(await found(windows, SEARCH_SCORE))]) {
      const first = await look(box);
      const second = first && (await look(first.box));
      if (second) faces.push(meanFace([first, second], [0.5, 0.5], (first.score + second.score) / 2));
    }
    faces = mergedFaces(faces.filter((face) => face.score >= MIN_SCORE));
  } else {
    faces = await found(windows, MIN_SCORE);
  }
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return faces
    .map((face) => ({ box: boxOfLandmarks(face), score: face.score }))
    .sort((a, b) => area(b.box) - area(a.box));
}

// ---- Following a face ------------------------------------------------------------------------------

const MAX_GAP_SECONDS = 0.5;

/** The 1 euro filter (Casiez, Roussel, Vogel, CHI 2012) over arrays, every number on its own. */
export class OneEuroFilter {
  #last = null;

  constructor({ minCutoff = 1, beta = 30, speedCutoff = 1 } = {}) {
    Object.assign(this, { minCutoff, beta, speedCutoff });
  }

  /**
   * @param {number} scale what a speed is counted in: the face's size, in the unit of the values.
   * @param {ArrayLike<number>} [trust] of each point, whose x and y follow each other: what the cut-off
   *   is multiplied by.
   */
  update(measured, seconds, scale = 1, trust = null) {
    const elapsed = this.#last === null ? 0 : seconds - this.#last.seconds;
    if (this.#last === null || this.#last.values.length !== measured.length || elapsed <= 0 || elapsed > MAX_GAP_SECONDS) {
      this.#last = { seconds, values: Float64Array.from(measured), speeds: new Float64Array(measured.length) };
      return Float32Array.from(measured);
    }
    const { values, speeds } = this.#last;
    const share = (cutoff) => 1 / (1 + 1 / (2 * Math.PI * cutoff * elapsed));
    const speedShare = share(this.speedCutoff);
    for (let i = 0; i < values.length; i++) {
      speeds[i] += speedShare * ((measured[i] - values[i]) / (scale * elapsed) - speeds[i]);
      const cutoff = (trust === null ? 1 : trust[i >> 1]) * (this.minCutoff + this.beta * Math.abs(speeds[i]));
      values[i] += share(cutoff) * (measured[i] - values[i]);
    }
    this.#last.seconds = seconds;
    return Float32Array.from(values);
  }

  reset() {
    this.#last = null;
  }
}

const LOOK_SECONDS = 1; // between two looks for new faces
const FROZEN_FRAMES = 30; // between them while the time stamps stand still
const STALE_SECONDS = 0.25; // after which a box is too old to cut a face out by it unseen
const PATIENCE_SECONDS = 1;
const FALLEN_ODDS = 0.5; // of the median over the last second
const LEAST_CONFIDENCE = 0.5; // below, a face that fell and that the detector misses is not told
const MEMORY_SECONDS = 1;
const REACH = 1; // face sizes: so far off a face is the same after a pause or a jump
const SIZE_RATIO = 1.5; // at most, of the same face after a pause or a jump
const SPEED_SECONDS = 0.5; // time constant of a face's mean speed
const MIN_SIDE = 16; // pixels
const MAX_SIDE_SHARE = 1.5; // of the frame's longer side
const MIN_OVERLAP = 0.3;
const ONE_FACE_OVERLAP = 0.6; // of two boxes that follow one face
const MAX_ODDS = 1e6;

/**
 * Follows the faces of one film as `asmnet_kit.predict.tracking` does; frames must come in order.
 *
 * A prediction is {landmarks, pose, sigma, confidence} in pixels of the picture and degrees; all but the
 * landmarks may be null.
 */
export class FaceTracker {
  #tracks = [];
  #seen = 0;
  #sinceLook = 0; // frames
  #lastLook = -Infinity; // seconds
  #lastFrame = -Infinity;
  detections = 0; // how often the detector looked

  /**
   * @param {() => Promise<{box: Box, score: number}[]>} detect largest face first.
   * @param {(box: Box) => Promise<object>} predict
   */
  async update(width, height, seconds, detect, predict) {
    for (const track of this.#tracks) track.begin();
    const looked = this.#mustLook(seconds);
    if (looked) this.#match(await detect(), seconds);
    await this.#predict(predict, seconds);
    const unsure = this.#unsure();
    if (unsure.length && !looked) this.#match(await detect(), seconds);
    for (const track of unsure) track.restartWhereSeen();
    await this.#predict(predict, seconds); // those that begin, return or are tried in another box
    const told = new Map(this.#believed(seconds).map((track) => [track, track.take(seconds)]));
    this.#tracks = this.#tracks.filter((track) => track.lost || track.inside(width, height));
    this.#sinceLook += 1;
    this.#lastFrame = seconds;
    return this.#tracks
      .filter((track) => told.has(track))
      .map((track) => ({ track: track.number, score: track.score, ...told.get(track) }));
  }

  reset() {
    this.#tracks = [];
    this.#lastFrame = -Infinity;
  }

  #mustLook(seconds) {
    return (
      seconds - this.#lastFrame > STALE_SECONDS ||
      !this.#tracks.length ||
      this.#tracks.some((track) => track.doubted) ||
      (seconds <= this.#lastLook && this.#sinceLook >= FROZEN_FRAMES) ||
      seconds - this.#lastLook >= LOOK_SECONDS
    );
  }

  /** Confirm tracks by detections, give up those without for too long, begin new ones. */
  #match(found, seconds) {
    this.detections += 1;
    this.#sinceLook = 0;
    this.#lastLook = seconds;
    const left = new Set(found);
    const pairs = this.#tracks
      .flatMap((track) => found.map((one) => ({ track, one, lost: track.lost, distance: track.distance(one, seconds) })))
      .filter(({ distance }) => distance < Infinity)
      // Nearest first; where a lost face was going, one that is followed may pass.
      .sort((a, b) => a.lost - b.lost || a.distance - b.distance);
    for (const { track, one } of pairs) {
      if (track.seen === null && left.delete(one)) track.confirm(one, seconds);
    }
    for (const track of this.#tracks) track.miss(seconds);
    this.#tracks = this.#tracks.filter((track) => track.doubtedFor(seconds) <= PATIENCE_SECONDS);
    for (const one of left) {
      if (this.#tracks.every((track) => overlap(one.box, track.box) < MIN_OVERLAP)) {
        this.#seen += 1;
        this.#tracks.push(new Track(this.#seen, one));
      }
    }
  }

  /** Of the tracks that may be told and have not been predicted in their box yet. */
  async #predict(predict, seconds) {
    for (const track of this.#tracks) {
      if (!track.lost && track.face === null) track.judge(await predict(track.box), seconds);
    }
  }

  /** The tracks whose confidence fell, and those that ended on one face. */
  #unsure() {
    const shown = this.#tracks.filter((track) => !track.lost);
    return shown.filter((one) => one.unsure || shown.some((other) => other !== one && onOneFace(one, other)));
  }

  /** The tracks to tell; the others are lost, or, where they have just begun, forgotten. */
  #believed(seconds) {
    const kept = [];
    const shown = this.#tracks
      .filter((track) => !track.lost)
      .map((track) => ({ track, missed: track.seen === null, misfit: track.misfit(seconds) }))
      .sort((a, b) => a.missed - b.missed || (a.misfit === b.misfit ? 0 : a.misfit - b.misfit));
    for (const { track } of shown) {
      if (track.collapsed(seconds) || kept.some((other) => onOneFace(track, other))) track.lose(seconds);
      else kept.push(track);
    }
    this.#tracks = this.#tracks.filter((track) => !(track.lost && track.isNew));
    return kept;
  }
}

const onOneFace = (first, second) => overlap(first.around, second.around) >= ONE_FACE_OVERLAP;

const between = (a, b) => Math.hypot(a[0] + a[2] - b[0] - b[2], a[1] + a[3] - b[1] - b[3]) / 2; // of the middles

/** One face: where to look for it next, and what it was like so far. */
class Track {
  lost = false; // remembered, not told
  face = null; // of this frame
  #fallen = false; // its confidence fell
  #seenBefore = false;
  #known = null; // its last sure box, and when
  #speed = [0, 0]; // pixels a second
  #doubtedSince = null; // the detector looked and did not see it
  #odds = [];
  #landmarks = new OneEuroFilter();
  #pose = new OneEuroFilter();
  #filteredBox = null;
  #lastPose = null;

  constructor(number, { box, score }) {
    // seen: by the detector in this frame; around: its landmarks in this frame
    Object.assign(this, { number, box, score, seen: { box, score }, around: box });
  }

  /** Another frame. */
  begin() {
    this.#seenBefore = this.seen !== null;
    Object.assign(this, { seen: null, face: null, around: this.box });
    this.#fallen = false;
  }

  /** Whether it has never been told. */
  get isNew() {
    return this.#known === null;
  }

  get doubted() {
    return this.#doubtedSince !== null;
  }

  /** Whether to look for it: a face that the detector just saw may be a little worse in the next frame, too. */
  get unsure() {
    return this.#fallen && (this.#weak || !this.#seenBefore);
  }

  get #weak() {
    return this.face?.confidence != null && this.face.confidence < LEAST_CONFIDENCE;
  }

  /** Whether the detector missed it, and its confidence does not speak for it either. */
  collapsed(seconds) {
    if (this.seen !== null || !this.doubted) return false;
    const stale = this.#stale(seconds);
    // Without a confidence: detectors miss a turned face for some frames.
    if (this.face.confidence == null) return stale || this.doubtedFor(seconds) > STALE_SECONDS;
    return this.#weak && (this.#fallen || stale);
  }

  doubtedFor(seconds) {
    return this.seen !== null || this.#doubtedSince === null ? 0 : seconds - this.#doubtedSince;
  }

  /** The detector looked; it may not have seen it. */
  miss(seconds) {
    if (this.seen === null) this.#doubtedSince ??= seconds;
  }

  /** It is not where it was followed to, or there is another. */
  lose(seconds) {
    this.lost = true;
    if (this.#known !== null) this.box = this.#known.box;
    this.#doubtedSince ??= seconds;
  }

  /** From where it was or was going, in face sizes; infinite where it is another face. */
  distance({ box }, seconds) {
    const places = [this.box, this.#expected(seconds)];
    const sides = [longerSide(this.box), longerSide(box)];
    const distance = Math.min(...places.map((place) => between(box, place))) / Math.max(sides[0], 1);
    const near =
      Math.max(...places.map((place) => overlap(box, place))) >= MIN_OVERLAP ||
      ((this.#fallen || this.#stale(seconds)) && distance <= REACH && Math.max(...sides) <= SIZE_RATIO * Math.min(...sides));
    return near ? distance : Infinity;
  }

  /** The detector saw it; where it was lost, the detector's box is the better one. */
  confirm(detection, seconds) {
    this.seen = detection;
    this.score = detection.score;
    if (this.lost || this.#stale(seconds)) this.#restart(detection.box);
    this.lost = false;
  }

  /** Try again in the detector's box what went wrong in its own. */
  restartWhereSeen() {
    if (this.seen === null || this.face === null) return;
    if (this.#fallen || overlap(this.seen.box, this.around) < ONE_FACE_OVERLAP) this.#restart(this.seen.box);
  }

  /** This frame's prediction in its box. */
  judge(face, seconds) {
    this.face = face;
    this.around = landmarkBox(face.landmarks);
    this.#fallen = this.#fell(face.confidence, seconds);
  }

  /** How far its landmarks are from where it was going, in face sizes. */
  misfit(seconds) {
    return this.isNew ? Infinity : between(this.around, this.#expected(seconds)) / Math.max(longerSide(this.box), 1);
  }

  /** Learn from this frame's prediction, and smooth it. */
  take(seconds) {
    const face = this.face;
    if (this.seen !== null) this.#doubtedSince = null;
    this.box = this.around;
    if (!this.#weak || this.isNew || this.#stale(seconds)) this.#know(seconds);
    if (this.#filteredBox !== null && overlap(this.box, this.#filteredBox) < MIN_OVERLAP) {
      this.#landmarks.reset(); // it jumped: to another face, or after having been lost
      this.#pose.reset();
    }
    this.#filteredBox = this.box;
    const size = Math.max(longerSide(this.box), 1);
    const trust = face.sigma ? trustOf(face.sigma) : null;
    const landmarks = this.#landmarks.update(face.landmarks, seconds, size, trust);
    return { ...face, landmarks, pose: this.#smoothPose(face.pose, seconds) };
  }

  inside(width, height) {
    const x = (this.box[0] + this.box[2]) / 2;
    const y = (this.box[1] + this.box[3]) / 2;
    const side = longerSide(this.box);
    return x >= 0 && x < width && y >= 0 && y < height && side >= MIN_SIDE && side <= MAX_SIDE_SHARE * Math.max(width, height);
  }

  /** Learn where it is and how fast; half hidden by another face it would seem to turn. */
  #know(seconds) {
    const elapsed = this.#known === null ? 0 : seconds - this.#known.seconds;
    if (elapsed > 0) {
      const share = 1 - Math.exp(-elapsed / SPEED_SECONDS);
      const { box } = this.#known;
      this.#speed = this.#speed.map((speed, i) => {
        const moved = (this.around[i] + this.around[i + 2] - box[i] - box[i + 2]) / 2;
        return speed + share * (moved / elapsed - speed);
      });
    }
    this.#known = { box: this.around, seconds };
  }

  #restart(box) {
    this.box = box;
    this.face = null;
    this.#odds = [];
  }

  /** Its last sure box, moved on by its speed. */
  #expected(seconds) {
    if (this.#known === null) return this.box;
    const elapsed = seconds - this.#known.seconds;
    return Array.from(this.#known.box, (value, i) => value + this.#speed[i % 2] * elapsed);
  }

  #stale(seconds) {
    return this.#known !== null && seconds - this.#known.seconds > STALE_SECONDS;
  }

  #fell(confidence, seconds) {
    if (confidence == null) return false;
    const odds = Math.min(confidence / Math.max(1 - confidence, 1 / MAX_ODDS), MAX_ODDS);
    // The newest stays, however old: without any, no fall would be seen.
    this.#odds = this.#odds.filter(([time], i, all) => i === all.length - 1 || time >= seconds - MEMORY_SECONDS);
    const usual = this.#odds.length ? percentile(this.#odds.map(([, value]) => value), 50) : odds;
    this.#odds.push([seconds, odds]);
    return odds < FALLEN_ODDS * usual;
  }

  /** Angles go the short way round: from 179 to -179 degrees it is 2. */
  #smoothPose(pose, seconds) {
    if (pose == null) return null;
    const last = this.#lastPose;
    const unwrapped = last === null ? pose : pose.map((angle, i) => last[i] + wrapped(angle - last[i]));
    this.#lastPose = this.#pose.update(unwrapped, seconds, POSE_UNIT_DEGREES);
    return this.#lastPose.map(wrapped);
  }
}

const wrapped = (degrees) => ((((degrees + 180) % 360) + 360) % 360) - 180;

// ---- Statistics ------------------------------------------------------------------------------------

const STEADY_RUNS = 10; // times are steady when two medians of this many runs agree ...
const STEADY_SHARE = 0.02; // ... within this share

/** Bytes as two digits each. */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Interpolated linearly between the two nearest samples. */
export function percentile(samples, percent) {
  const sorted = Float64Array.from(samples).sort();
  const position = ((sorted.length - 1) * percent) / 100;
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (position - below);
}

/** A result's `summary`: milliseconds, and runs per second. No sample is dropped. */
export function summarise(samples) {
  const total = samples.reduce((sum, value) => sum + value, 0);
  const mean = total / samples.length;
  return {
    min: samples.reduce((least, value) => Math.min(least, value)),
    p50: percentile(samples, 50),
    p90: percentile(samples, 90),
    p99: percentile(samples, 99),
    mean,
    std: Math.sqrt(samples.reduce((sum, value) => sum + (value - mean) ** 2, 0) / samples.length),
    runs_per_second: total > 0 ? (1000 * samples.length) / total : 0,
  };
}

/**
 * Windows of a run without a pause: the curve tells whether the device throttles.
 *
 * @param run number -> a promise of the run.
 * @param batch runs that are timed as one: a run alone may be shorter than a step of the clock.
 * @returns {Promise<{windows: object[], runs: number}>} `p50` and `p90` are milliseconds of one run.
 */
export async function sustainedWindows(run, { totalMs, windowMs, batch, now, tell }) {
  const width = Math.min(windowMs, totalMs / 2);
  const windows = [];
  const started = now();
  let number = 0;
  for (let time = started; time - started < totalMs; ) {
    const samples = [];
    for (const begun = time; time - begun < width; ) {
      const before = now();
      for (let i = 0; i < batch; i++) await run(++number);
      time = now();
      samples.push((time - before) / batch);
    }
    windows.push({
      seconds: (time - started) / 1000,
      runs: batch * samples.length,
      p50: percentile(samples, 50),
      p90: percentile(samples, 90),
    });
    tell(Math.min(1, (time - started) / totalMs));
  }
  return { windows, runs: number };
}

/** Do the last runs take as long as those before them? Of too few runs nobody can say. */
export function steady(times) {
  if (times.length < 2 * STEADY_RUNS) return true;
  const last = percentile(times.slice(-STEADY_RUNS), 50);
  const earlier = percentile(times.slice(-2 * STEADY_RUNS, -STEADY_RUNS), 50);
  return Math.abs(last - earlier) <= STEADY_SHARE * earlier;
}
