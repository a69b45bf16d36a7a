/**
 * Runs models on one accelerator, apart from the page, which stays free to draw. A classic worker: the
 * WebAssembly's loader needs importScripts. Each accelerator gets a worker of its own.
 *
 * Messages in: {id, do, ...}. Out: {id, progress, note}, then {id, result} or {id, error}.
 */

"use strict";

let core, litert;
const MAIN = "main"; // the model that was asked for, beside those that find faces
const models = {};
const now = () => performance.now();
const REPORT_EVERY_MS = 200;
const MIN_WARMUP_MS = 200;
const MAX_WARMUP_FACTOR = 5;
const WINDOW_MS = 5000;

self.onmessage = async ({ data }) => {
  const tell = (progress, note) => postMessage({ id: data.id, progress, note });
  try {
    postMessage({ id: data.id, result: await COMMANDS[data.do](data, tell) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};

/** Load the runtime and compile the model; times are without fetching. */
async function open({ accelerator, threads, folder, bytes }) {
  core = await import("./core.js");
  const base = new URL(folder, self.location.href).href;
  // A worker has no document to tell where the WebAssembly lies.
  self.Module = { locateFile: (name) => base + name };
  litert = await import(`${base}index.js`);
  const relaxed = await litert.supportsFeature?.("relaxedSimd").catch(() => null);
  const threaded = accelerator === "wasm-threads";
  if (threaded && !self.crossOriginIsolated) throw new Error("threads need a page that is isolated (https or localhost)");
  const variant = threaded ? "litert_wasm_threaded_internal" : relaxed === false ? "litert_wasm_compat_internal" : "litert_wasm_internal";
  if (threaded) self.Module.mainScriptUrlOrBlob = `${base}${variant}.js`;
  // Fetched here, so that what is timed below is without it; and once, since browsers do not keep what
  // comes by a certificate that nobody vouches for.
  self.Module.wasmBinary = await (await fetch(`${base}${variant}.wasm`)).arrayBuffer();
  let started = now();
  await litert.loadLiteRt(base, { threads: threaded });
  const loadMs = now() - started;
  const gpu = accelerator === "webgpu";
  started = now();
  const model = await compile(MAIN, bytes, {
    accelerator: gpu ? "webgpu" : "wasm",
    cpuOptions: { numThreads: threaded ? threads : 1 },
    ...(gpu ? { gpuOptions: { precision: "fp32" } } : {}),
  });
  const compileMs = now() - started;
  const actual = gpu && model.options?.accelerator === "wasm" ? "wasm" : accelerator;
  const full = actual === "webgpu" ? model.isFullyAccelerated : true;
  return { actual, variant, load_ms: loadMs, compile_ms: compileMs, fully_accelerated: Boolean(full), clock_ms: clockStep(), isolated: self.crossOriginIsolated };
}

async function compile(name, bytes, options) {
  models[name] = await litert.loadAndCompile(new Uint8Array(bytes), options);
  return models[name];
}

/** Models that find faces, which the CPU runs: {name: bytes}. */
async function add({ others }) {
  const options = { accelerator: "wasm", cpuOptions: { numThreads: 1 } };
  for (const [name, bytes] of Object.entries(others)) await compile(name, bytes, options);
}

/** The smallest step that the clock makes, milliseconds. */
function clockStep() {
  let step = Infinity;
  for (let i = 0; i < 20; i++) {
    const first = now();
    let next = first;
    while (next === first) next = now();
    step = Math.min(step, next - first);
  }
  return step;
}

/** One run: Float32Arrays by input name to Float32Arrays by output name. */
async function run(inputs, name = MAIN) {
  const model = models[name];
  const tensors = {};
  for (const one of model.getInputDetails()) tensors[one.name] = new litert.Tensor(inputs[one.name], Array.from(one.shape));
  const found = await model.run(tensors);
  const outputs = {};
  for (const [name, tensor] of Object.entries(found)) {
    outputs[name] = await tensor.data();
    tensor.delete();
  }
  for (const tensor of Object.values(tensors)) tensor.delete();
  return outputs;
}

const copied = (outputs) =>
  Object.fromEntries(Object.entries(outputs).map(([name, values]) => [name, Array.from(values)]));

/** The real inputs of every run in a file of raw ones. */
function inputsOf(buffer, infos) {
  const runs = [];
  for (let at = 0; at < buffer.byteLength; ) {
    const one = {};
    for (const [name, info] of Object.entries(infos)) {
      const elements = info.shape.reduce((a, b) => a * b, 1);
      const raw = core.rawValues(buffer, at, elements, info);
      one[name] = core.dequantized(raw, info);
      at += raw.byteLength;
    }
    runs.push(one);
  }
  return runs;
}

/** First run, warm-up, timed runs, a sustained run, a run with a new input, and the given inputs. */
async function measure({ inputs, about, protocol, clockMs }, tell) {
  const all = inputsOf(inputs, about.inputs);
  const fed = (number) => all[number % about.turns];
  const kept = [];
  const keep = (which, number, outputs) => kept.push({ run: which, number, outputs: copied(outputs) });

  let started = now();
  let outputs = await run(fed(0));
  const firstMs = now() - started;
  keep("first", 0, outputs);

  const times = [];
  const begun = now();
  for (let before = begun; protocol.warmup_runs > 0; ) {
    await run(fed(times.length));
    const after = now();
    times.push(after - before);
    before = after;
    if (after - begun > 1000 * protocol.max_seconds) break;
    const enough = times.length >= protocol.warmup_runs && after - begun >= MIN_WARMUP_MS;
    if (enough && (core.steady(times) || times.length >= MAX_WARMUP_FACTOR * protocol.warmup_runs)) break;
  }
  const usual = times.length ? core.percentile(times.slice(-20), 50) : firstMs;
  const batch = Math.max(1, Math.ceil((protocol.clock_steps * clockMs) / Math.max(usual, clockMs / 10)));

  const samples = [];
  const middle = {};
  started = now();
  for (let told = started, number = 0; ; number += batch) {
    const before = now();
    for (let i = 0; i < batch; i++) outputs = await run(fed(number + i));
    const after = now();
    samples.push((after - before) / batch);
    const seconds = (after - started) / 1000;
    const enough = samples.length >= protocol.runs && seconds >= protocol.min_seconds;
    const last = number + batch - 1;
    const ended = enough || seconds >= protocol.max_seconds;
    // Which run is in the middle is not known yet: those of 0, 1, 2, 4, 8, ... are kept.
    const count = samples.length - 1;
    if (ended || (count & (count - 1)) === 0) middle[last] = copied(outputs);
    if (after - told > REPORT_EVERY_MS) {
      tell(Math.min(1, samples.length / protocol.runs, protocol.min_seconds ? seconds / protocol.min_seconds : 1), "runs");
      told = now();
    }
    if (ended) {
      const numbers = Object.keys(middle).map(Number).sort((a, b) => a - b);
      const half = numbers.reduce((a, b) => (Math.abs(a - last / 2) <= Math.abs(b - last / 2) ? a : b));
      for (const one of new Set([numbers[0], half, last])) kept.push({ run: "timed", number: one, outputs: middle[one] });
      break;
    }
  }
  const sustained = protocol.sustained_minutes > 0 ? await sustain(fed, protocol, batch, keep, tell) : null;
  for (let i = 0; i < about.fresh; i++) outputs = await run(all[about.turns + i]);
  keep("fresh", 0, outputs);

  const given = [];
  for (let i = 0; i < about.given; i++) {
    given.push(copied(await run(all[about.turns + about.fresh + i])));
    if (i % 50 === 0) tell(i / about.given, "inputs");
  }
  return { first_ms: firstMs, warmup_runs: times.length, batch, invoke_ms: samples, sustained, kept, outputs: given };
}

async function sustain(fed, protocol, batch, keep, tell) {
  let outputs;
  const next = async (number) => (outputs = await run(fed(number)));
  const { windows, runs } = await core.sustainedWindows(next, {
    totalMs: 60000 * protocol.sustained_minutes,
    windowMs: WINDOW_MS,
    batch,
    now,
    tell: (share) => tell(share, "sustained"),
  });
  keep("sustained", runs, outputs);
  return windows;
}

/** A crop's bytes, R, G, B, to real outputs by name: for the camera and photos. */
async function look({ crop }) {
  const info = { type: "FLOAT32", scale: null, zero_point: 0 };
  const [input] = models[MAIN].getInputDetails();
  return copied(await run({ [input.name]: core.inputValues(crop, info) }));
}

/** What one of the detector's networks answers for a crop's bytes. */
async function find({ crop, network }) {
  const [input] = models[network].getInputDetails();
  const outputs = Object.values(await run({ [input.name]: core.detectorInput(crop) }, network));
  const [logits, values] = outputs.sort((a, b) => a.length - b.length);
  return { logits, values };
}

const COMMANDS = { open, add, measure, look, find };
