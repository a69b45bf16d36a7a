/** The page: pick a model, measure it, try it on the camera or a photo. core.js holds the arithmetic. */

import * as core from "./core.js";

const token = location.hash.slice(1);
const by = (id) => document.getElementById(id);
const ACCELERATORS = { wasm: "CPU, one thread", "wasm-threads": "CPU, threads", webgpu: "GPU (WebGPU)" };
const KEPT_IN_MEMORY = new Map(); // what was fetched already

let job;
let busy = false;

// ---- Talking to the server ---------------------------------------------------------------------------

async function api(path, options = {}) {
  const answer = await fetch(`api/${path}`, { ...options, headers: { Authorization: `Bearer ${token}` } });
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
  const gpu = adapter?.info && [adapter.info.vendor, adapter.info.architecture, adapter.info.description].filter(Boolean).join(" ");
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
    const { variant, load_ms, compile_ms, fully_accelerated, clock_ms, isolated } = engine.opened;
    say(`Measuring ${model.name} on ${ACCELERATORS[accelerator]} …`);
    const protocol = job.protocol;
    const found = await engine.call("measure", { inputs, about: model, protocol, clockMs: clock_ms }, (share, note) => {
      by("progress").value = share;
      by("progress").setAttribute("aria-valuetext", note);
    });
    const measured = {
      model: model.id,
      accelerator,
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
    const answer = await (await api("result", { method: "POST", body: JSON.stringify(measured) })).json();
    show(model, measured, answer);
    say("Measured. The result is on the computer.");
  } catch (error) {
    card(`${model.name}, ${ACCELERATORS[accelerator]}`, [], [`Failed: ${error.message}`]);
    say(`Failed: ${error.message}`, true);
    await api("failed", { method: "POST", body: JSON.stringify({ model: model.id, accelerator, error: error.message }) }).catch(() => null);
  } finally {
    engine?.close();
    document.removeEventListener("visibilitychange", onHidden);
    lock?.release();
  }
}

const ms = (value) => `${value.toPrecision(3)} ms`;

function show(model, measured, answer) {
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
  if (parity) rows.push(["off the computer's", parity.identical ? "same bits" : `${parity.max.toPrecision(2)} px`]);
  if (answer.nme_percent != null) rows.push(["NME, drawn people", `${answer.nme_percent.toFixed(2)} %`]);
  card(`${model.name}, ${ACCELERATORS[measured.accelerator]}`, rows, answer.warnings ?? []);
}

function card(title, rows, warnings) {
  const article = document.createElement("article");
  const add = (parent, tag, text, className) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (className) element.className = className;
    parent.append(element);
    return element;
  };
  add(article, "h3", title);
  const list = add(article, "dl", "");
  for (const [name, value] of rows) {
    const pair = add(list, "div", "");
    add(pair, "dt", name);
    add(pair, "dd", value);
  }
  for (const warning of warnings) add(article, "p", warning, "bad");
  by("cards").prepend(article);
}

function say(text, bad = false) {
  by("state").textContent = text;
  by("state").classList.toggle("bad", bad);
}

const chosen = () => [job.models[by("model").selectedIndex], by("accelerator").value];

async function alone(action) {
  if (busy) return;
  busy = true;
  by("measure").disabled = true;
  by("progress").hidden = false;
  by("progress").value = 0;
  try {
    await action();
  } finally {
    busy = false;
    by("measure").disabled = false;
    by("progress").hidden = true;
  }
}

// ---- Start -----------------------------------------------------------------------------------------------

async function available(accelerator) {
  if (accelerator === "wasm-threads") return globalThis.crossOriginIsolated === true;
  if (accelerator === "webgpu") return Boolean(await navigator.gpu?.requestAdapter().catch(() => null));
  return true;
}

async function start() {
  if (!token) return say("Open the address as the terminal printed it, with all that follows #.", true);
  job = await (await api("job")).json();
  for (const model of job.models) {
    by("model").add(new Option(`${model.name} (${(model.size_bytes / 1e6).toFixed(1)} MB)`));
  }
  for (const accelerator of job.accelerators) {
    const option = new Option(ACCELERATORS[accelerator], accelerator);
    option.disabled = !job.auto && !(await available(accelerator));
    if (option.disabled) option.text += ", not in this browser";
    by("accelerator").add(option);
  }
  by("measure").disabled = false;
  by("measure").addEventListener("click", () => alone(() => measure(...chosen())));
  say("Ready.");
  if (job.auto) {
    await alone(async () => {
      for (const model of job.models) for (const accelerator of job.accelerators) await measure(model, accelerator);
    });
  }
  return null;
}

start().catch((error) => say(`Failed: ${error.message}`, true));
