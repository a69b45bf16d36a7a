/** core.js against the golden files that the Kotlin core is held to: node --test core.test.mjs */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as core from "../../../benchmarks/browser/page/core.js";

const folder = new URL("../../../android_demo/core/src/test/resources/golden/", import.meta.url);
const golden = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8"));
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));

function near(actual, expected, tolerance, what = "") {
  assert.equal(actual.length, expected.length, what);
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(actual[i] - expected[i]);
    assert.ok(apart <= tolerance, `${what} [${i}]: expected ${expected[i]}, got ${actual[i]}`);
  }
}

const crops = golden("crops");
const rgb = { width: crops.width, height: crops.height, data: bytes(crops.rgb), channels: 3 };

for (const one of crops.cases) {
  test(`a crop has Python's pixels: ${one.name}`, () => {
    const cut = core.Crop.fromBox(one.box, one.size, one.scale).cut(rgb);
    assert.deepEqual(cut, bytes(one.crop));
  });

  test(`a crop has Python's geometry: ${one.name}`, () => {
    const crop = core.Crop.fromBox(one.box, one.size, one.scale);
    near([crop.centreX, crop.centreY, crop.side], [...one.centre, one.side], 1e-5);
    near(crop.toFractions(one.points), one.fractions, 1e-6);
    near(crop.toPicture(one.fractions), one.back, 1e-4);
  });
}

test("a canvas's four channels give the same crop as three", () => {
  const data = new Uint8ClampedArray(crops.width * crops.height * 4).fill(255);
  for (let i = 0; i < crops.width * crops.height; i++) data.set(rgb.data.subarray(3 * i, 3 * i + 3), 4 * i);
  for (const one of crops.cases) {
    const crop = core.Crop.fromBox(one.box, one.size, one.scale);
    assert.deepEqual(crop.cut({ ...rgb, data, channels: 4 }), crop.cut(rgb));
  }
});

test("a window far outside the picture is black, one without extent is refused", () => {
  assert.ok(new core.Crop(1e9, -1e9, 50, 8).cut(rgb).every((value) => value === 0));
  assert.ok(new core.Crop(1e6, -1e6, 500, 8).cut(rgb).every((value) => value === 0));
  assert.throws(() => new core.Crop(0, 0, 0, 8), RangeError);
  assert.throws(() => new core.Crop(NaN, 0, 1, 8), RangeError);
});

test("every byte becomes Python's raw input, and raw outputs Python's real values", () => {
  const all = Uint8Array.from({ length: 256 }, (_, v) => v);
  for (const one of golden("tensors").cases) {
    assert.deepEqual(Array.from(core.inputValues(all, one), Number), one.inputs, one.type);
    assert.deepEqual(Array.from(core.dequantized(one.raw_outputs, one)), one.outputs, one.type);
  }
});

test("raw values are read at any byte of a buffer", () => {
  const { buffer } = new Uint8Array([9, 255, 127, 0, 128, 0, 0, 192, 63]);
  assert.deepEqual(Array.from(core.rawValues(buffer, 1, 2, { type: "INT16" })), [32767, -32768]);
  assert.deepEqual(Array.from(core.rawValues(buffer, 1, 1, { type: "INT8" })), [-1]);
  assert.deepEqual(Array.from(core.rawValues(buffer, 5, 1, { type: "FLOAT32" })), [1.5]);
  assert.throws(() => core.rawValues(buffer, 0, 1, { type: "STRING" }), RangeError);
});

test("raw outputs become pixels and degrees", () => {
  const one = golden("decode");
  const crop = new core.Crop(...one.crop.centre, one.crop.side, one.crop.size);
  near(crop.toPicture(core.dequantized(one.raw_landmarks, one.landmarks)), one.points, 1e-4);
  near(core.poseDegrees(core.dequantized(one.raw_pose, one.pose)), one.degrees, 1e-5);
});

test("uncertainty becomes pixels, probabilities and trust", () => {
  const one = golden("uncertainty");
  const [left, right] = golden("schemes")["68"].outer_eye_corners;
  near(core.sigmaOf(one.uncertainty, one.side, one.factor), one.sigma, 1e-4);
  near(core.visibleOf(one.visibility), one.visible, 1e-6);
  near(core.trustOf(one.sigma), one.trust, 1e-5);
  const expected = core.expectedNme(one.sigma, core.distance(one.landmarks, left, right));
  near([expected, core.confidenceOf(expected, one)], [one.expected_nme, one.confidence], 1e-5);
  assert.equal(core.confidenceOf(core.expectedNme(one.sigma, 0), one), 0);
  const points = one.sigma.map((_, i) => i);
  assert.deepEqual(points.filter((i) => core.isUnsure(i, one.sigma, one.visible, one.box_side)), one.unsure);
});

test("angles become Python's rotations and axes", () => {
  const { origin, length, cases } = golden("poses");
  for (const one of cases) {
    near(core.rotation(...one.angles).flat(), one.rotation.flat(), 1e-12);
    near(core.poseAxes(one.angles, ...origin, length).flat(), one.axes.flat(), 1e-4);
  }
});

test("the 1 euro filter gives Python's values", () => {
  const { scale, seconds, values, cases } = golden("one_euro");
  for (const { trust, filtered } of cases) {
    const filter = new core.OneEuroFilter();
    values.forEach((row, i) => near(filter.update(row, seconds[i], scale, trust), filtered[i], 1e-5, `at ${seconds[i]} s`));
  }
});

test("the tracker follows the faces that Python's follows, and looks when it does", async () => {
  const { width, height, frames } = golden("followed");
  const tracker = new core.FaceTracker();
  for (const { seconds, world, looked, faces } of frames) {
    const before = tracker.detections;
    const predict = async (box) => {
      const seen = world.reduce((a, b) => (a && core.overlap(a.box, box) >= core.overlap(b.box, box) ? a : b), null);
      return seen && core.overlap(seen.box, box) > 0 ? seen : { landmarks: box, pose: null, sigma: null, confidence: 0.01 };
    };
    const found = await tracker.update(width, height, seconds, async () => world.filter((face) => face.score), predict);
    const where = `at ${seconds} s`;
    assert.deepEqual(found.map((face) => face.track), faces.map((face) => face.track), where);
    assert.equal(tracker.detections > before, looked, where);
    for (let i = 0; i < faces.length; i++) {
      near(found[i].landmarks, faces[i].landmarks, 1e-4, where);
      near(found[i].pose ?? [], faces[i].pose ?? [], 1e-4, where);
    }
  }
});

/** The tracks of each frame that {seconds, seen: [boxes]} tells of; a box far from a face is not believed. */
async function tracksOf(frames, confidence) {
  const tracker = new core.FaceTracker();
  const tracks = [];
  for (const { seconds, seen } of frames) {
    const predict = async (box) => {
      const there = seen.find((face) => core.overlap(face, box) > 0.3);
      const sure = confidence === null ? null : there ? confidence : 0.01;
      return { landmarks: there ?? box, pose: null, sigma: null, confidence: sure };
    };
    const detect = async () => seen.map((box) => ({ box, score: 0.9 }));
    const found = await tracker.update(320, 240, seconds, detect, predict);
    tracks.push(found.map((face) => face.track));
  }
  return tracks;
}

const [left, jumped, right] = [[10, 60, 70, 120], [55, 60, 115, 120], [220, 60, 280, 120]];

test("a face that jumps most of its size keeps its number", async () => {
  const frames = [left, left, left, jumped, jumped].map((box, n) => ({ seconds: n / 30, seen: [box] }));
  assert.deepEqual(await tracksOf(frames, 0.9), Array(5).fill([1]));
});

test("without a confidence a face that left is told until soon after the next look", async () => {
  const frames = Array.from({ length: 25 }, (_, n) => ({ seconds: n / 10, seen: n < 5 ? [left] : [] }));
  assert.deepEqual(await tracksOf(frames, null), [...Array(13).fill([1]), ...Array(12).fill([])]);
});

test("a newcomer is found while the time stamps stand still", async () => {
  const frames = Array.from({ length: 31 }, (_, n) => ({ seconds: 5, seen: n < 3 ? [left] : [left, right] }));
  assert.deepEqual((await tracksOf(frames, 0.9)).at(-1), [1, 2]);
});

test("statistics are Python's", () => {
  for (const [name, one] of Object.entries(golden("statistics"))) {
    const found = core.summarise(one.samples);
    for (const [key, value] of Object.entries(one.summary)) near([found[key]], [value], 1e-9, `${name} ${key}`);
    assert.equal(core.steady(one.samples), one.steady, name);
  }
});

test("answers of the detector's networks become Python's faces", () => {
  const { networks, merged, landmark_boxes, windows } = golden("detections");
  const all = [];
  for (const { name, centre, side, answers, boxes, scores, points } of networks) {
    const network = core.NETWORKS[name];
    const count = network.grids.reduce((sum, [stride, n]) => sum + n * (network.size / stride) ** 2, 0);
    const [logits, values] = [new Float32Array(count).fill(-100), new Float32Array(16 * count)];
    for (const one of answers) {
      logits[one.index] = one.logit;
      values.set(one.values, 16 * one.index);
    }
    const found = core.decodedFaces(network, new core.Crop(...centre, side, network.size), logits, values, 0.4);
    near(found.flatMap((face) => face.box), boxes.flat(), 1e-4, name);
    near(found.map((face) => face.score), scores, 1e-6, name);
    near(found.flatMap((face) => face.points), points.flat(), 1e-4, name);
    all.push(...found);
  }
  const faces = core.mergedFaces(all);
  near(faces.flatMap((face) => [...face.box, face.score, ...face.points]), merged.flatMap((face) => [...face.box, face.score, ...face.points]), 1e-3);
  near(faces.flatMap(core.boxOfLandmarks), landmark_boxes.flat(), 1e-3);
  for (const one of windows) near(core.searchWindows(one.width, one.height).flat(), one.windows.flat(), 1e-9);
});

test("a detector looks again at what the search found", async () => {
  const asked = [];
  const run = async (name, crop) => {
    const { size, grids } = core.NETWORKS[name];
    assert.equal(crop.length, size * size * 3);
    asked.push(name);
    const count = grids.reduce((sum, [stride, n]) => sum + n * (size / stride) ** 2, 0);
    return { logits: new Float32Array(count).fill(-100), values: new Float32Array(16 * count) };
  };
  const picture = { width: 200, height: 100, data: new Uint8Array(60000), channels: 3 };
  assert.deepEqual(await core.detectFaces(picture, run), []);
  assert.deepEqual(asked, ["short", "short"]); // the wide window, the picture
  assert.deepEqual(await core.detectFaces(picture, run, 1, false), []);
  assert.deepEqual(asked, ["short", "short", "short"]);
});

test("the mean of two looks decides about a face", async () => {
  // In the middle of a window a face that fills a quarter of it: cell, its middle, the face's side.
  const middles = { short: [2 * (8 * 16 + 8), 68, 32], full: [24 * 48 + 24, 98, 48] };
  const finder = (scores) => {
    const asked = [];
    const run = async (name) => {
      const { size, grids } = core.NETWORKS[name];
      const count = grids.reduce((sum, [stride, n]) => sum + n * (size / stride) ** 2, 0);
      const answer = { logits: new Float32Array(count).fill(-100), values: new Float32Array(16 * count) };
      const score = name === "full" ? scores.shift() : asked.length ? 0 : 0.9; // the wide window alone
      asked.push(name);
      const [index, middle, side] = middles[name];
      if (score) answer.logits[index] = Math.log(score / (1 - score));
      answer.values.set([size / 2 - middle, size / 2 - middle, side, side], 16 * index);
      return answer;
    };
    return { run, asked };
  };
  const picture = { width: 200, height: 100, data: new Uint8Array(60000), channels: 3 };
  const sure = finder([0.4, 0.8]);
  const [face] = await core.detectFaces(picture, sure.run);
  near([face.score], [0.6], 1e-6);
  near([(face.box[0] + face.box[2]) / 2], [99.5], 25);
  assert.deepEqual(sure.asked, ["short", "short", "full", "full"]);
  assert.deepEqual(await core.detectFaces(picture, finder([0.4, 0.5]).run), []);
  assert.deepEqual(await core.detectFaces(picture, finder([0.2]).run), []);
});

test("200,000 samples have a summary", () => {
  const { min, p50, mean } = core.summarise(Array.from({ length: 200000 }, (_, i) => 1 + (i % 3)));
  assert.deepEqual([min, p50, mean.toFixed(3)], [1, 2, "2.000"]);
});

test("a coarse clock shows throttling, since runs are timed in batches", async () => {
  // Runs of 0.45 ms, from the middle on of 0.9 ms, by a clock of 1 ms: one alone takes 0 or 1 ms.
  let time = 0;
  const run = async () => (time += time < 5000 ? 0.45 : 0.9);
  const { windows, runs } = await core.sustainedWindows(run, {
    totalMs: 10000, windowMs: 1000, batch: 40, now: () => Math.floor(time), tell: () => null,
  });
  assert.equal(windows.length, 10);
  assert.equal(windows.reduce((sum, window) => sum + window.runs, 0), runs);
  near([windows.at(-1).p50 / windows[0].p50], [2], 0.1);
});

test("random bytes are a nonce of two digits each", () => {
  assert.equal(core.hex(Uint8Array.of(0, 10, 255)), "000aff");
});
