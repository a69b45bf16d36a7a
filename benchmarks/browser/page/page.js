/** The page: pick a model, measure it, try it on the camera or a photo. core.js holds the arithmetic. */

import * as core from "./core.js";

const token = location.hash.slice(1);
const by = (id) => document.getElementById(id);
const ACCELERATORS = { wasm: "CPU, one thread", "wasm-threads": "CPU, threads", webgpu: "GPU (WebGPU)" };
const TERMS = {
  "LICENSE-WEIGHTS": "for research and teaching, not for business (LICENSE-WEIGHTS of asmnet-kit; its card names the data)",
};
const KEPT_IN_MEMORY = new Map(); // what was fetched already

let job;
let busy = false;

// ---- Talking to the server ---------------------------------------------------------------------------

/** Without a token the page is one of files alone: it gets what lies beside it, and posts nothing. */
async function api(path, options = {}) {
  const answer = await (token
    ? fetch(`api/${path}`, { ...options, headers: { Authorization: `Bearer ${token}` } })
    : fetch(path === "job" ? "job.json" : path));
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ?? `the server answered ${answer.status}`);
  }
  return answer;
}

async function blob(name) {
  if (!KEPT_IN_MEMORY.has(name)) KEPT_IN_MEMORY.set(name, await (await api(`blob/${name}`)).arrayBuffer());
  return KEPT_IN_MEMORY.get(name);
}

// ---- A model on an accelerator, in a worker of its own ------------------------------------------------

class Engine {
  #worker = new Worker("worker.js");
  #waiting = new Map();
  #last = 0;

  constructor() {
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject, tell } = this.#waiting.get(data.id) ?? {};
      if ("progress" in data) return tell?.(data.progress, data.note);
      this.#waiting.delete(data.id);
      return "error" in data ? reject?.(new Error(data.error)) : resolve?.(data.result);
    };
    this.#worker.onerror = (event) => this.#fail(event.message || "the worker stopped");
  }

  static async open(model, accelerator) {
    const engine = new Engine();
    try {
      const started = performance.now();
      const bytes = await blob(`${model.id}.tflite`);
      engine.fetchMs = performance.now() - started;
      const { threads } = job.protocol;
      engine.opened = await engine.call("open", { accelerator, threads, folder: job.litert, bytes });
      engine.model = model;
      return engine;
    } catch (error) {
      engine.close();
      throw error;
    }
  }

  call(what, content, tell) {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, tell });
      this.#worker.postMessage({ id, do: what, ...content });
    });
  }

  close() {
    this.#worker.terminate();
    this.#fail("closed");
  }

  #fail(why) {
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
  }
}

// ---- Measure -------------------------------------------------------------------------------------------

/** Facts of the browser, as far as it tells them. */
async function browserFacts({ clock_ms, isolated }) {
  const hints = ["architecture", "model", "platformVersion", "fullVersionList"];
  const told = await navigator.userAgentData?.getHighEntropyValues(hints).catch(() => null);
  const brand = (told?.fullVersionList ?? []).find((one) => !/not.?a.?brand/i.test(one.brand));
  const agent = navigator.userAgent;
  const plain = /(Firefox|FxiOS|CriOS|Chrome|Version)\/([\d.]+)/.exec(agent);
  const names = { Version: "Safari", FxiOS: "Firefox", CriOS: "Chrome" };
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  const gpu = adapter?.info && [adapter.info.vendor, adapter.info.architecture, adapter.info.description, adapter.info.isFallbackAdapter && "software"].filter(Boolean).join(" ");
  return {
    name: brand ? `${brand.brand} ${brand.version}` : plain ? `${names[plain[1]] ?? plain[1]} ${plain[2]}` : "unknown browser",
    user_agent: agent.slice(0, 1000),
    platform: told ? `${told.platform} ${told.platformVersion}`.trim() : (navigator.platform ?? ""),
    device: told?.model ?? "",
    architecture: told?.architecture ?? "",
    gpu: gpu || null,
    cores: navigator.hardwareConcurrency ?? null,
    memory_gb: navigator.deviceMemory ?? null,
    isolated,
    clock_ms,
  };
}

async function measure(model, accelerator) {
  let hidden = document.hidden;
  const onHidden = () => (hidden ||= document.hidden);
  document.addEventListener("visibilitychange", onHidden);
  const lock = await navigator.wakeLock?.request("screen").catch(() => null);
  let engine;
  try {
    say(`Loading ${model.name} …`);
    const inputs = await blob(`${model.id}.inputs`);
    engine = await Engine.open(model, accelerator);
    const { actual, variant, load_ms, compile_ms, fully_accelerated, clock_ms, isolated } = engine.opened;
    say(`Measuring ${model.name} on ${ACCELERATORS[accelerator]} …`);
    const protocol = job.protocol;
    const found = await engine.call("measure", { inputs, about: model, protocol, clockMs: clock_ms }, (share, note) => {
      by("progress").value = share;
      by("progress").setAttribute("aria-valuetext", note);
    });
    const measured = {
      nonce: core.hex(crypto.getRandomValues(new Uint8Array(16))),
      measured_at: new Date().toISOString(),
      protocol,
      model: model.id,
      accelerator,
      actual,
      variant,
      threads: accelerator === "wasm-threads" ? protocol.threads : 1,
      fully_accelerated,
      browser: await browserFacts({ clock_ms, isolated }),
      fetch_ms: engine.fetchMs,
      load_ms,
      compile_ms,
      ...found,
      hidden,
    };
    const body = JSON.stringify(measured);
    // Offered before anything else can fail: minutes of measuring would be lost.
    const title = `${model.name}, ${ACCELERATORS[accelerator]}`;
    const article = token ? null : card(title, [], []);
    if (article) offer(article, body, `${model.name}_${accelerator}.json`);
    const answer = token ? await (await api("result", { method: "POST", body })).json() : {};
    fill(article ?? card(title, [], []), rowsOf(measured, answer), answer.warnings ?? []);
    say(token ? "Measured. The result is on the computer." : "Measured. Download the result and read it with asmnet-kit share --read.");
  } catch (error) {
    card(`${model.name}, ${ACCELERATORS[accelerator]}`, [], [`Failed: ${error.message}`]);
    say(`Failed: ${error.message}`, true);
    if (token) await api("failed", { method: "POST", body: JSON.stringify({ model: model.id, accelerator, error: error.message }) }).catch(() => null);
  } finally {
    engine?.close();
    document.removeEventListener("visibilitychange", onHidden);
    lock?.release();
  }
}

const ms = (value) => (value < 1000 ? `${value.toPrecision(3)} ms` : `${(value / 1000).toPrecision(3)} s`);

/** What a result is shown by: names and values. */
function rowsOf(measured, answer) {
  const summary = core.summarise(measured.invoke_ms);
  const rows = [
    ["p50", ms(summary.p50)],
    ["p90", ms(summary.p90)],
    ["p99", ms(summary.p99)],
    ["first run", ms(measured.first_ms)],
    ["load", ms(measured.load_ms + measured.compile_ms)],
    ["runs per second", summary.runs_per_second.toFixed(0)],
  ];
  if (measured.sustained) rows.push(["last window's p50", ms(measured.sustained.at(-1).p50)]);
  const parity = answer.parity;
  if (parity) rows.push(["beside native", parity.identical ? "same bits" : `${parity.max.toPrecision(2)} px off`]);
  if (answer.nme_percent != null) rows.push(["NME, drawn people", `${answer.nme_percent.toFixed(2)} %`]);
  return rows;
}

/** What was measured as a file, and as text to copy. */
function offer(article, body, name) {
  const link = document.createElement("a");
  Object.assign(link, { className: "button", download: name, textContent: "Download" });
  link.href = URL.createObjectURL(new Blob([body], { type: "application/json" }));
  const copy = document.createElement("button");
  Object.assign(copy, { type: "button", textContent: "Copy" });
  copy.addEventListener("click", async () => {
    await navigator.clipboard.writeText(body);
    copy.textContent = "Copied";
  });
  const buttons = document.createElement("p");
  buttons.className = "buttons";
  buttons.append(link, copy);
  article.append(buttons);
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function card(title, rows, warnings) {
  const article = document.createElement("article");
  const heading = element("h3", "");
  heading.setAttribute("aria-label", title);
  for (const part of title.split(/(?<=_)/)) heading.append(part, document.createElement("wbr")); // long names
  article.append(heading, element("dl", ""));
  fill(article, rows, warnings);
  by("cards").prepend(article);
  article.scrollIntoView({ block: "nearest" }); // below a picture it would be out of sight
  return article;
}

/** Rows and warnings of a card. */
function fill(article, rows, warnings) {
  const list = article.querySelector("dl");
  for (const [name, value] of rows) {
    const pair = element("div", "");
    pair.append(element("dt", name), element("dd", value));
    list.append(pair);
  }
  list.after(...warnings.map((warning) => element("p", warning, "bad")));
}

function say(text, bad = false) {
  by("state").textContent = text;
  by("state").classList.toggle("bad", bad);
}

const chosen = () => [job.models[by("model").selectedIndex], by("accelerator").value];

function enable(yes) {
  for (const id of ["measure", "camera", "photo"]) by(id).disabled = !yes;
}

async function alone(action) {
  if (busy) return;
  busy = true;
  enable(false);
  by("progress").hidden = false;
  by("progress").value = 0;
  try {
    await action();
  } finally {
    busy = false;
    enable(true);
    by("progress").hidden = true;
  }
}

// ---- Try it: camera and photo --------------------------------------------------------------------------

const LONGEST = { camera: 640, photo: 2048 }; // pixels that a picture is shrunk to
const SEARCH_LEVELS = { camera: 2, photo: 4 };
const AXIS_COLOURS = ["#e5484d", "#30a46c", "#3b82f6"];
const SURE = 0.75; // of a score and of a confidence
const SHOWN = 30; // frames of the shown times

let turn = 0; // of looking: what was opened in an earlier one is closed again
let looking = null; // what is open: {engine, model, stream}

/** What the canvas shows: its pixels, each prediction before smoothing, and the faces drawn. */
export const shown = { picture: null, predictions: [], faces: [] };

/** @param {string[]} names of the networks that find faces, which are fetched while the engine starts. */
async function openLooking(names, mine) {
  const [model, accelerator] = chosen();
  if (!model.landmarks) throw new Error("this model has no landmarks of the kit: it can be measured alone");
  say(`Loading ${model.name} …`);
  const fetched = Promise.all(names.map((name) => blob(`${name}.detector`)));
  const [engine, bytes] = await Promise.all([Engine.open(model, accelerator), fetched]);
  if (mine === turn) await engine.call("add", { others: Object.fromEntries(names.map((name, i) => [name, bytes[i]])) });
  if (mine !== turn) {
    engine.close();
    throw new Error("stopped");
  }
  looking = { engine, model, predictions: [], confirms: names.includes("full") };
  return looking;
}

/**
 * Is it one face, for sure? The network that confirms faces is five times the one that searches, so the
 * camera loads it only where the score of the search or the model's own sureness leaves a doubt.
 */
const doubtful = (faces) => faces.length > 1 || faces.some(({ score, confidence }) => !(score >= SURE && confidence >= SURE));

async function confirmFromNowOn(open) {
  const bytes = await blob("full.detector");
  if (looking !== open) return;
  await open.engine.call("add", { others: { full: bytes } });
  open.confirms = true;
}

function stopLooking() {
  turn += 1;
  looking?.engine.close();
  looking?.stream?.getTracks().forEach((track) => track.stop());
  looking = null;
  by("camera").textContent = "Camera";
}

/** Nothing of the picture stays: neither a face in view nor another model's landmarks. */
function stopShowing() {
  stopLooking();
  const canvas = by("view");
  canvas.hidden = true;
  Object.assign(canvas, { width: 0, height: 0 });
  by("told").textContent = "";
}

const detect = ({ engine, confirms }, picture, levels) =>
  core.detectFaces(picture, (network, crop) => engine.call("find", { network, crop }), levels, confirms);

/** Landmarks, pose and sureness of the face in a box, pixels of the picture and degrees. */
async function predict({ engine, model, predictions }, picture, box) {
  const { size, crop_scale, factor, confidence, normaliser } = model.landmarks;
  const crop = core.Crop.fromBox(box, size, crop_scale);
  const { landmarks, pose, uncertainty, visibility } = await engine.call("look", { crop: crop.cut(picture) });
  const points = crop.toPicture(landmarks);
  const sigma = uncertainty ? core.sigmaOf(uncertainty, crop.side, factor) : null;
  const length = normaliser ? core.distance(points, ...normaliser) : 0;
  const face = {
    box,
    landmarks: points,
    pose: pose ? core.poseDegrees(pose) : null,
    sigma,
    visible: visibility ? core.visibleOf(visibility) : null,
    confidence: sigma && confidence && normaliser ? core.confidenceOf(core.expectedNme(sigma, length), confidence) : null,
  };
  predictions.push(face);
  return face;
}

const work = document.createElement("canvas"); // a picture waits here until its faces are known

/** A video's or picture's pixels, shrunk to at most `longest`. */
function pixelsOf(source, width, height, longest) {
  const share = Math.min(1, longest / Math.max(width, height));
  const [w, h] = [Math.max(1, Math.round(share * width)), Math.max(1, Math.round(share * height))];
  if (work.width !== w || work.height !== h) Object.assign(work, { width: w, height: h });
  const context = work.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, w, h);
  return { width: w, height: h, data: context.getImageData(0, 0, w, h).data, channels: 4 };
}

/** Show the picture and its faces at once: without them it would flicker. */
function show(picture, faces, open) {
  Object.assign(shown, { picture, faces, predictions: open.predictions.splice(0) });
  const canvas = by("view");
  const { width, height } = picture;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  canvas.hidden = false;
  const context = canvas.getContext("2d");
  context.drawImage(work, 0, 0);
  const about = open.model.landmarks;
  for (const face of faces) {
    const side = core.longerSide(core.landmarkBox(face.landmarks));
    const at = (i) => [face.landmarks[2 * i], face.landmarks[2 * i + 1]];
    context.lineWidth = Math.max(1, side / 120);
    context.strokeStyle = "#4cc2f1";
    for (const { points, closed } of about.parts) {
      context.beginPath();
      for (const i of points) context.lineTo(...at(i));
      if (closed) context.closePath();
      context.stroke();
    }
    for (let i = 0; i < about.points; i++) {
      context.fillStyle = core.isUnsure(i, face.sigma, face.visible, side) ? "#ffb224" : "#e6f7ff";
      context.beginPath();
      context.arc(...at(i), Math.max(1.2, side / 90), 0, 2 * Math.PI);
      context.fill();
    }
    if (face.pose) {
      const box = core.landmarkBox(face.landmarks);
      const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
      context.lineWidth = Math.max(2, side / 60);
      core.poseAxes(face.pose, x, y, side / 2).forEach((end, axis) => {
        context.strokeStyle = AXIS_COLOURS[axis];
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(...end);
        context.stroke();
      });
    }
  }
}

function tellFaces(faces, time) {
  const [face] = faces;
  const words = [faces.length === 1 ? "1 face" : `${faces.length} faces`];
  if (face?.confidence != null) words.push(`sure to ${Math.round(100 * face.confidence)} %`);
  if (face?.pose) words.push(["yaw", "pitch", "roll"].map((name, i) => `${name} ${Math.round(face.pose[i])}°`).join(", "));
  words.push(time);
  by("told").textContent = words.join(" · ");
  by("view").setAttribute("aria-label", `Picture with landmarks: ${words.join(", ")}`);
}

const mirror = (yes) => by("view").classList.toggle("mirrored", yes);

async function photo(file, mine) {
  const open = await openLooking(["short", "full"], mine);
  mirror(false);
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  const picture = pixelsOf(bitmap, bitmap.width, bitmap.height, LONGEST.photo);
  show(picture, [], open);
  bitmap.close();
  say("Looking for faces …");
  const started = performance.now();
  const faces = [];
  for (const found of await detect(open, picture, SEARCH_LEVELS.photo)) faces.push(await predict(open, picture, found.box));
  show(picture, faces, open);
  tellFaces(faces, `${((performance.now() - started) / 1000).toFixed(1)} s`);
  say(faces.length ? "Landmarks are drawn." : "No face found in this picture.");
  stopLooking();
}

async function camera(mine) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("a browser gives a page the camera over https or on localhost alone: use --lan or adb reverse");
  }
  const open = await openLooking(["short"], mine);
  open.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: 640, height: 480 }, audio: false });
  if (looking !== open) return open.stream.getTracks().forEach((track) => track.stop());
  const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: open.stream });
  await video.play();
  if (looking !== open) return;
  by("camera").textContent = "Stop camera";
  // People know themselves from mirrors. The picture alone is turned, on its way to the eye: the model
  // sees it as the camera does. A laptop's camera does not say which way it looks.
  mirror(open.stream.getVideoTracks()[0].getSettings().facingMode !== "environment");
  say("Camera is on. Its pictures stay in this browser.");
  const tracker = new core.FaceTracker();
  const times = [];
  while (looking === open) {
    await new Promise((resolve) => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(resolve) : requestAnimationFrame(resolve)));
    if (looking !== open || !video.videoWidth) continue;
    const started = performance.now();
    const picture = pixelsOf(video, video.videoWidth, video.videoHeight, LONGEST.camera);
    const faces = await tracker.update(
      picture.width,
      picture.height,
      started / 1000,
      () => detect(open, picture, SEARCH_LEVELS.camera),
      (box) => predict(open, picture, box),
    );
    if (looking !== open) break;
    show(picture, faces, open);
    times.push(performance.now() - started);
    if (times.length > SHOWN) times.shift();
    open.frames = (open.frames ?? 0) + 1;
    if (!open.asked && doubtful(faces)) {
      open.asked = true;
      confirmFromNowOn(open).catch((error) => say(`Failed: ${error.message}`, true));
    }
    const usual = times.reduce((sum, time) => sum + time, 0) / times.length;
    if (open.frames % 6 === 1) tellFaces(faces, `${usual.toFixed(0)} ms a frame`);
  }
}

/** A button's action; what fails is told, and leaves nothing open. */
async function trying(action) {
  if (busy) return;
  stopLooking();
  const mine = turn;
  try {
    await action(mine);
  } catch (error) {
    if (mine !== turn) return; // it was stopped: nobody waits for it
    stopLooking();
    say(`Failed: ${error.message}`, true);
  }
}

// ---- Start -----------------------------------------------------------------------------------------------

async function available(accelerator) {
  if (accelerator === "wasm-threads") return globalThis.crossOriginIsolated === true;
  if (accelerator === "webgpu") return Boolean(await navigator.gpu?.requestAdapter().catch(() => null));
  return true;
}

/** What one may do with the model that is chosen, and with what runs it. */
function showTerms() {
  const [model] = chosen();
  const licence = model.landmarks?.licence;
  by("terms").textContent = licence ? `${model.name}: ${TERMS[licence] ?? licence}` : `${model.name}: the file names no licence.`;
  by("notice").href = `${job.litert}NOTICE`;
}

async function start() {
  job = await (await api("job").catch((error) => {
    throw token ? error : new Error("open the address as the terminal printed it, with all that follows #");
  })).json();
  for (const model of job.models) {
    by("model").add(new Option(`${model.name} (${(model.size_bytes / 1e6).toFixed(1)} MB)`));
  }
  showTerms();
  for (const accelerator of job.accelerators) {
    const option = new Option(ACCELERATORS[accelerator], accelerator);
    option.disabled = !job.auto && !(await available(accelerator));
    if (option.disabled) option.text += ", not in this browser";
    by("accelerator").add(option);
  }
  enable(true);
  by("model").addEventListener("change", showTerms);
  by("choice").addEventListener("change", stopShowing);
  by("measure").addEventListener("click", () => {
    stopShowing(); // it would take the measurement's time
    alone(() => measure(...chosen()));
  });
  by("camera").addEventListener("click", () => (looking?.stream ? stopShowing() : trying(camera)));
  by("photo").addEventListener("change", ({ target }) => {
    const [file] = target.files;
    target.value = "";
    if (file) trying((mine) => photo(file, mine));
  });
  addEventListener("pagehide", stopLooking);
  say("Ready.");
  if (job.auto) {
    await alone(async () => {
      for (const model of job.models) for (const accelerator of job.accelerators) await measure(model, accelerator);
    });
  }
}

start().catch((error) => say(`Failed: ${error.message}`, true));
