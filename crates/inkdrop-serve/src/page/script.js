"use strict";

// ---- Elements, requests and messages

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

/** An element with properties and children. */
function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem("token", given);
  history.replaceState(null, "", location.pathname);
}
const token = () => sessionStorage.getItem("token") || "";

let hiding = 0;
function message(text) {
  const box = $("#message");
  box.textContent = text;
  box.hidden = !text;
  clearTimeout(hiding);
  if (text) hiding = setTimeout(() => message(""), 12000);
}

/** Asks the server; its error is shown and thrown. */
async function ask(method, path, body) {
  const headers = { Authorization: `Bearer ${token()}` };
  const request = { method, headers };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    message("The server does not answer.");
    throw new Error("no answer");
  }
  if (response.status === 401) $("#token").hidden = false;
  const text = await response.text();
  const answer = text ? JSON.parse(text) : {};
  if (response.ok) return answer;
  message(answer.error ? answer.error.message : `${response.status}`);
  throw new Error(text);
}

$("#token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("#token-input").value);
  location.reload();
});

// ---- Tabs

const tabs = $$("[role=tab]");
function select(tab) {
  for (const other of tabs) {
    const on = other === tab;
    other.setAttribute("aria-selected", on);
    other.tabIndex = on ? 0 : -1;
    $(`#${other.getAttribute("aria-controls")}`).hidden = !on;
  }
}
tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    next.focus();
    select(next);
  });
});

// ---- Events of the server: one stream for all jobs and runs

const jobs = new Map();
const early = new Map();

function listen() {
  const suffix = token() ? `?token=${encodeURIComponent(token())}` : "";
  const events = new EventSource(`v1/events${suffix}`);
  events.onopen = () => {
    $("#connection").textContent = "connected";
    jobs.forEach((job) => job.refresh());
    showRuns();
  };
  events.onerror = () => { $("#connection").textContent = "not connected"; };
  events.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (event.type === "run") return runChanged(event.name);
    const job = jobs.get(event.job);
    if (job) job.take(event);
    else early.set(event.job, event);
  };
}

/** A job of the server, with the elements that show it. */
class Job {
  constructor(answer, shown) {
    Object.assign(this, answer, { shown, done: false });
    jobs.set(this.id, this);
    const event = early.get(this.id);
    early.clear();
    if (event) this.take(event);
    this.refresh();
  }
  async refresh() {
    if (this.done) return;
    const response = await fetch(`v1/jobs/${this.id}`, { headers: { Authorization: `Bearer ${token()}` } });
    const lost = { status: "failed", message: "The job is lost: the server was restarted." };
    this.end(response.status === 404 ? lost : await response.json());
  }
  take(event) {
    if (this.done) return;
    if (event.type === "step") this.shown.step(event);
    else if (event.state) this.end(event.state);
  }
  end(state) {
    if (this.done || ["waiting", "running"].includes(state.status)) return;
    this.done = true;
    jobs.delete(this.id);
    this.shown.end(this, state);
  }
  cancel() { return ask("DELETE", `v1/jobs/${this.id}`); }
}

/** Shows a job: its images while they form, then the images with downloads and the recipe. */
class JobView {
  constructor(output, cancel) {
    this.output = output;
    this.cancelButton = cancel;
    this.status = make("p", { className: "status", role: "status" });
    this.progress = make("progress", { max: 1, value: 0, "aria-label": "steps" });
    this.x = make("img", { alt: "the noisy images x" });
    this.x0 = make("img", { alt: "the predicted images x0" });
    const forming = make("div", { className: "forming" },
      make("figure", {}, this.x, make("figcaption", { textContent: "x, after the step" })),
      make("figure", {}, this.x0, make("figcaption", { textContent: "x0, the prediction" })));
    this.forming = forming;
    output.replaceChildren(this.status, this.progress);
    this.status.textContent = "waiting …";
  }
  step({ step, of, x, x0 }) {
    if (!this.forming.isConnected) this.output.append(this.forming);
    this.progress.max = of;
    this.progress.value = step;
    this.status.textContent = `step ${step} of ${of}`;
    if (x) this.x.src = x;
    if (x0) this.x0.src = x0;
  }
  end(job, state) {
    this.cancelButton.disabled = true;
    this.progress.remove();
    this.forming.remove();
    if (state.status !== "done") {
      this.status.textContent = state.message || state.status;
      if (state.message) message(state.message);
      return;
    }
    this.status.textContent = `${state.images} images in ${state.seconds.toFixed(2)} s`;
    const base = `v1/jobs/${job.id}`;
    const picture = (index) => {
      const src = `${base}/images/${index}.png`;
      const edit = make("button", { type: "button", className: "small", textContent: "Edit" });
      edit.setAttribute("aria-label", `Edit image ${index}`);
      edit.addEventListener("click", () => editor.add(src, job.model));
      return make("figure", {}, make("img", { src, alt: `image ${index} of seed ${job.seed}` }),
        make("figcaption", { textContent: `seed ${job.seed}, image ${index}` }), edit);
    };
    const pictures = make("div", { className: "pictures" });
    for (let index = 0; index < state.images; index += 1) pictures.append(picture(index));
    const links = make("p", { className: "links" });
    for (const [name, text] of [["images.png", "PNG"], ["images.npz", "npz"], ["animation.gif", "GIF of the steps"]]) {
      links.append(make("a", { href: `${base}/${name}`, textContent: text, download: name }));
    }
    const animation = make("details", {}, make("summary", { textContent: "Animation of the steps" }));
    animation.addEventListener("toggle", () => {
      if (animation.children.length === 1) animation.append(make("img", { src: `${base}/animation.gif`, alt: "x after each step" }));
    });
    this.output.append(pictures, animation, links, recipe("Command", job.command), recipe("Rust", job.rust));
  }
}

/** Text with a button that copies it. */
function recipe(title, text) {
  const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
  button.setAttribute("aria-label", `Copy: ${title}`);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  });
  const head = make("div", { className: "head" }, make("strong", { textContent: title }), button);
  return make("div", {}, head, make("pre", { textContent: text, tabIndex: 0 }));
}

// ---- Settings of a sampling run

const SAMPLERS = ["ddim", "ddpm", "euler", "euler-ancestral", "heun", "edm", "dpm++2m", "dpm++3m", "dpm++2m-sde",
  "dpm++3m-sde", "dpm++2s", "dpm++3s", "dpm-adaptive", "deis", "unipc", "sa-solver", "lms", "plms", "ipndm",
  "flow-heun", "consistency", "lcm", "tcd"];
let models = [];
let limits = { images: 64, steps: 1000 };

const option = (value, text = value) => make("option", { value, textContent: text });
const field = (text, input) => make("label", {}, text, input);

/** The settings that sampling and editing share. */
class Settings {
  constructor(place, onModel = () => {}) {
    this.onModel = onModel;
    this.model = make("select", { name: "model" });
    this.about = make("p", { className: "about" });
    this.condition = make("div", { className: "common" });
    this.sampler = make("select", { name: "sampler" });
    this.steps = make("input", { type: "number", name: "steps", min: 1, max: limits.steps });
    this.count = make("input", { type: "number", name: "count", min: 1, max: limits.images, value: 8 });
    this.seed = make("input", { type: "number", name: "seed", min: 0, step: 1, value: 0 });
    this.next = make("input", { type: "checkbox", name: "next" });
    this.guidance = make("input", { type: "number", name: "guidance", step: "any", placeholder: "none" });
    this.spacing = make("input", { type: "text", name: "spacing", placeholder: "default" });
    this.eta = make("input", { type: "number", name: "eta", step: "any", min: 0, placeholder: "default" });
    const pair = (...children) => make("div", { className: "pair" }, ...children);
    place.append(field("Model", this.model), this.about, this.condition,
      pair(field("Images", this.count), field("Seed", this.seed)),
      make("label", { className: "check" }, this.next, "Next seed each time"),
      pair(field("Sampler", this.sampler), field("Steps", this.steps)),
      make("details", {}, make("summary", { textContent: "More" }), field("Guidance scale", this.guidance),
        field("Spacing or sigma grid", this.spacing), field("Eta", this.eta)));
    this.model.addEventListener("change", () => this.show());
  }
  fill() {
    const before = this.model.value;
    this.model.replaceChildren(...models.map(({ id }) => option(id)));
    if (models.some(({ id }) => id === before)) this.model.value = before;
    if (this.model.value !== before || !before) this.show();
  }
  get info() { return models.find(({ id }) => id === this.model.value); }
  show() {
    const info = this.info;
    if (!info) {
      this.about.textContent = "No models yet: the run has no checkpoint.";
      return;
    }
    this.about.textContent = `${info.about}; default: ${info.sampler}, ${info.steps} steps`;
    this.sampler.replaceChildren(option("", "default"), ...SAMPLERS.map((name) => option(name)));
    this.steps.placeholder = info.steps;
    this.condition.replaceChildren();
    if (info.classes.length) {
      const names = info.unconditional ? [option("", "no class")] : [];
      this.classes = make("select", { name: "class" }, option("each", "each class in turn"), ...names,
        ...info.classes.map((name) => option(name)));
      this.condition.append(field("Class", this.classes));
    }
    this.weights = info.contexts.map((name) => {
      const value = make("span", { textContent: "0" });
      const slider = make("input", { type: "range", min: -1, max: 2, step: 0.05, value: 0, name });
      slider.addEventListener("input", () => { value.textContent = slider.value; });
      this.condition.append(make("label", {}, `${name} `, value, slider));
      return slider;
    });
    this.onModel(info);
  }
  /** The body of a request. */
  body() {
    if (!this.info) throw new Error("There is no model yet: a run has one after its first checkpoint.");
    const body = { model: this.model.value, n: Number(this.count.value), animation: true };
    const number = (name, input) => { if (input.value !== "") body[name] = Number(input.value); };
    const text = (name, input) => { if (input.value) body[name] = input.value; };
    number("seed", this.seed);
    number("steps", this.steps);
    number("guidance", this.guidance);
    number("eta", this.eta);
    text("sampler", this.sampler);
    text("spacing", this.spacing);
    if (this.info.classes.length) text("class", this.classes);
    const weights = this.weights.filter(({ value }) => Number(value) !== 0);
    if (weights.length) body.contexts = Object.fromEntries(weights.map(({ name, value }) => [name, Number(value)]));
    return body;
  }
  advance() { if (this.next.checked) this.seed.value = Number(this.seed.value) + 1; }
}

/** A form that starts jobs, and their output. */
function starts(form, settings, output, body) {
  const cancel = $("[name=cancel]", form);
  let job;
  cancel.addEventListener("click", () => job && job.cancel());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    message("");
    const shown = new JobView(output, cancel);
    try {
      const request = await body();
      job = new Job({ ...(await ask("POST", "v1/jobs", request)), model: request.model }, shown);
      cancel.disabled = job.done;
      settings.advance();
    } catch (error) {
      shown.status.textContent = "";
      shown.progress.remove();
      if (!$("#message").textContent) message(error.message);
    }
  });
}

const panels = [];
function addPanel() {
  const common = make("div", { className: "common" });
  const submit = make("button", { className: "primary", type: "submit", textContent: "Sample" });
  const cancel = make("button", { type: "button", name: "cancel", disabled: true, textContent: "Cancel" });
  const form = make("form", { className: "settings" }, common, make("div", { className: "buttons" }, submit, cancel));
  form.setAttribute("aria-label", `Settings ${panels.length + 1}`);
  const output = make("div", { className: "output" });
  const panel = make("div", { className: "panel" }, form, make("div", { className: "result" }, output));
  const settings = new Settings(common);
  $("#panels").append(panel);
  panels.push({ panel, settings, form });
  settings.fill();
  starts(form, settings, output, () => settings.body());
}
$("#compare").addEventListener("change", ({ target }) => {
  if (target.checked && panels.length === 1) {
    addPanel();
    const [first, second] = panels;
    for (const input of $$("input, select", first.form)) {
      const twin = second.form.elements[input.name];
      if (twin && input.name) twin.value = input.value;
      if (input.name === "model") second.settings.show();
    }
  }
  panels.slice(1).forEach(({ panel }) => { panel.hidden = !target.checked; });
  $("#panels").classList.toggle("two", target.checked);
});

// ---- Editing

const editor = {
  pictures: [],
  form: $("#editor form"),
  mask: $("#mask"),
  brush: [8, 8],
  start() {
    this.settings = new Settings($(".common", this.form), () => this.resize());
    this.task = this.form.elements.task;
    this.task.addEventListener("change", () => this.show());
    for (const name of ["strength", "brush"]) {
      const input = this.form.elements[name];
      input.addEventListener("input", () => { $(`#${name}-value`).textContent = input.value; this.draw(); });
    }
    this.form.elements.clear.addEventListener("click", () => this.clear());
    starts(this.form, this.settings, $("#editor .output"), () => this.body());
    const drop = $("#drop");
    const over = (on) => (event) => { event.preventDefault(); drop.classList.toggle("over", on); };
    drop.addEventListener("dragover", over(true));
    drop.addEventListener("dragleave", over(false));
    drop.addEventListener("drop", (event) => { over(false)(event); this.addFiles(event.dataTransfer.files); });
    $("#files").addEventListener("change", ({ target }) => this.addFiles(target.files));
    this.paints();
    this.show();
  },
  async addFiles(files) { for (const file of files) await this.addBlob(file); },
  /** A sample of a model, which then edits it. */
  async add(address, model) {
    this.settings.model.value = model;
    this.settings.show();
    await this.addBlob(await (await fetch(address)).blob());
    select($("#tab-edit"));
  },
  addBlob(blob) {
    return new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => {
        const image = new Image();
        image.onload = () => { this.pictures.unshift(image); this.pictures.splice(4); this.show(); resolve(); };
        image.onerror = () => { message("This file is not a picture."); resolve(); };
        image.src = reader.result;
      };
      reader.readAsDataURL(blob);
    });
  },
  show() {
    const task = this.task.value;
    for (const element of $$("[data-for]", $("#editor"))) element.hidden = element.dataset.for !== task;
    const list = $("#pictures");
    list.replaceChildren(...this.pictures.map((image, index) => {
      const remove = make("button", { type: "button", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove picture ${index + 1}`);
      remove.addEventListener("click", () => { this.pictures.splice(index, 1); this.show(); });
      const used = task === "interpolate" ? index < 4 : index === 0;
      return make("figure", {}, make("img", { src: image.src, alt: `picture ${index + 1}` }),
        make("figcaption", { textContent: used ? `picture ${index + 1}` : "not used" }), remove);
    }));
    this.mask.hidden = task !== "inpaint" || !this.pictures.length;
    this.resize();
  },
  /** One cell of the mask is one pixel of the model. */
  resize() {
    const info = this.settings && this.settings.info;
    if (!info) return;
    const [height, width] = info.image;
    if (!this.cells || this.width !== width || this.height !== height) {
      [this.width, this.height] = [width, height];
      this.cells = new Uint8Array(width * height);
      const scale = Math.max(1, Math.round(384 / width));
      this.mask.width = width * scale;
      this.mask.height = height * scale;
      this.brush = [width / 2, height / 2];
    }
    this.draw();
  },
  clear() { this.cells.fill(0); this.draw(); },
  draw() {
    if (!this.cells || this.mask.hidden) return;
    const draw = this.mask.getContext("2d");
    const [image] = this.pictures;
    const { width: w, height: h } = this.mask;
    draw.imageSmoothingEnabled = false;
    draw.clearRect(0, 0, w, h);
    const scale = Math.max(w / image.width, h / image.height);
    draw.drawImage(image, (w - image.width * scale) / 2, (h - image.height * scale) / 2, image.width * scale, image.height * scale);
    const size = w / this.width;
    // Cyan with a stripe is seen on any picture.
    draw.fillStyle = "rgba(0, 200, 255, 0.6)";
    draw.strokeStyle = "rgba(0, 0, 0, 0.7)";
    draw.lineWidth = Math.max(1, size / 12);
    this.cells.forEach((on, index) => {
      if (!on) return;
      const [x, y] = [(index % this.width) * size, Math.floor(index / this.width) * size];
      draw.fillRect(x, y, size, size);
      draw.beginPath();
      draw.moveTo(x, y + size);
      draw.lineTo(x + size, y);
      draw.stroke();
    });
    if (document.activeElement === this.mask) {
      const radius = (Number(this.form.elements.brush.value) / 2) * size;
      draw.strokeStyle = "#fff";
      draw.lineWidth = 2;
      draw.strokeRect(this.brush[0] * size - radius, this.brush[1] * size - radius, 2 * radius, 2 * radius);
    }
  },
  paint([x, y], value = 1) {
    const reach = Number(this.form.elements.brush.value) / 2;
    for (let row = Math.max(0, Math.round(y - reach)); row < Math.min(this.height, Math.round(y + reach)); row += 1) {
      for (let column = Math.max(0, Math.round(x - reach)); column < Math.min(this.width, Math.round(x + reach)); column += 1) {
        this.cells[row * this.width + column] = value;
      }
    }
    this.draw();
  },
  paints() {
    const place = (event) => {
      const box = this.mask.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
    };
    let painting = false;
    this.mask.addEventListener("pointerdown", (event) => {
      painting = true;
      this.mask.setPointerCapture(event.pointerId);
      this.paint(place(event));
    });
    this.mask.addEventListener("pointermove", (event) => { if (painting) this.paint(place(event)); });
    for (const name of ["pointerup", "pointercancel"]) this.mask.addEventListener(name, () => { painting = false; });
    for (const name of ["focus", "blur"]) this.mask.addEventListener(name, () => this.draw());
    this.mask.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (move) {
        const within = (value, most) => Math.min(Math.max(value, 0), most);
        this.brush = [within(this.brush[0] + move[0], this.width), within(this.brush[1] + move[1], this.height)];
        this.draw();
      } else if (event.key === " ") this.paint(this.brush);
      else if (event.key === "Delete") this.clear();
      else return;
      event.preventDefault();
    });
  },
  maskPicture() {
    const canvas = make("canvas", { width: this.width, height: this.height });
    const draw = canvas.getContext("2d");
    draw.fillStyle = "#000";
    draw.fillRect(0, 0, this.width, this.height);
    draw.fillStyle = "#fff";
    this.cells.forEach((on, index) => {
      if (on) draw.fillRect(index % this.width, Math.floor(index / this.width), 1, 1);
    });
    return canvas.toDataURL("image/png");
  },
  body() {
    const type = this.task.value;
    const needed = { interpolate: 2 }[type] || 1;
    if (this.pictures.length < needed) throw new Error(`This task needs ${needed === 1 ? "a picture" : "two or four pictures"}: drop files, or press Edit at a sample.`);
    const image = this.pictures[0].src;
    const columns = Number(this.form.elements.columns.value);
    const ends = this.pictures.slice(0, this.pictures.length === 4 ? 4 : 2).map(({ src }) => src);
    const task = {
      inpaint: () => ({ type, image, mask: this.maskPicture() }),
      vary: () => ({ type, image, strength: Number(this.form.elements.strength.value) }),
      interpolate: () => ({ type, images: ends, columns }),
      upscale: () => ({ type, image }),
    }[type]();
    return { ...this.settings.body(), task };
  },
};

// ---- Training runs

const runs = new Map();
const chosen = new Set();

async function showRuns() {
  const { data } = await ask("GET", "v1/runs");
  const list = $("#run-list");
  if (!data.length) {
    list.replaceChildren(make("p", { textContent: "No runs: give run directories to inkdrop serve." }));
    return;
  }
  if (!chosen.size) chosen.add(data[0].name);
  const label = ({ name }, index) => {
    const box = make("input", { type: "checkbox", value: name, checked: chosen.has(name) });
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(name);
      else chosen.delete(name);
      loadRuns();
    });
    return make("label", { className: `check c${index % 6}` }, box, make("i"), make("span", { textContent: name }));
  };
  list.replaceChildren(make("legend", { textContent: "Runs" }), ...data.map(label));
  data.forEach(({ name }, index) => runs.set(name, { ...runs.get(name), index }));
  loadRuns();
}
async function loadRuns() {
  await Promise.all([...chosen].map(loadRun));
  drawRuns();
}
async function loadRun(name) {
  const detail = await ask("GET", `v1/runs/${encodeURIComponent(name)}`);
  runs.set(name, { ...runs.get(name), ...detail });
}
let loading = false;
async function runChanged(name) {
  if (loading) return;
  loading = true;
  try {
    await loadModels(); // those of a run change with its checkpoints
    if (chosen.has(name)) await loadRun(name);
  } finally {
    loading = false;
  }
  drawRuns();
}

const duration = (seconds) => {
  if (!Number.isFinite(seconds)) return "unknown";
  const [h, m] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return h ? `${h} h ${m} min` : m ? `${m} min` : `${Math.round(seconds)} s`;
};
function short(value) {
  if (value === null || value === undefined) return "–";
  const small = value !== 0 && Math.abs(value) < 1e-3;
  return small ? value.toExponential(1) : Number(value.toPrecision(4)).toString();
}
const last = (run, key) => (run.curves[key] || []).at(-1)?.[1];

/** Seconds per step over the last points. */
function pace({ curves }) {
  const points = (curves.seconds || []).slice(-20);
  if (points.length < 2) return NaN;
  const [a, b] = [points[0], points.at(-1)];
  return b[1] > a[1] ? (b[1] - a[1]) / (b[0] - a[0]) : NaN;
}

function drawRuns() {
  const shown = [...chosen].map((name) => runs.get(name)).filter((run) => run && run.curves);
  const [first] = shown;
  $("#runs").classList.toggle("empty", !first);
  if (!first) return;
  buttons(first);
  const left = (first.steps - first.step) * pace(first);
  const tiles = [["Run", first.name], ["State", first.in_progress ? "training" : first.finished ? "finished" : "stopped"],
    ["Step", `${first.step ?? 0} of ${first.steps}`], ["Loss", short(last(first, "loss"))],
    ["Gradient norm", short(last(first, "grad_norm"))], ["Learning rate", short(last(first, "lr"))],
    ["Images per second", short(last(first, "images_per_s"))],
    ["Waiting for data", `${short(100 * (last(first, "data_wait_fraction") ?? 0))} %`],
    ["Time left", first.in_progress ? duration(left) : "–"]];
  $("#run-tiles").replaceChildren(...tiles.map(([term, text]) =>
    make("div", {}, make("dt", { textContent: term }), make("dd", { textContent: text }))));
  drift(first);
  charts(shown);
  samples(shown);
  config(shown);
}

function buttons(run) {
  const texts = { stop: "Stop and save", checkpoint: "Checkpoint now", sample: "Sample now" };
  $("#run-buttons").replaceChildren(...Object.entries(texts).map(([request, text]) => {
    const button = make("button", { type: "button", textContent: text, disabled: !run.in_progress });
    button.addEventListener("click", async () => {
      button.disabled = true;
      await ask("POST", `v1/runs/${encodeURIComponent(run.name)}/${request}`);
    });
    return button;
  }));
  const ids = [`${run.name}/average`, `${run.name}/weights`];
  if (!ids.every((id) => models.some((model) => model.id === id))) return;
  const beside = make("button", { type: "button", textContent: "Sample the average beside the weights" });
  beside.addEventListener("click", () => {
    if (!$("#compare").checked) $("#compare").click();
    panels.forEach(({ settings, form }, index) => {
      settings.model.value = ids[index];
      settings.show();
      form.requestSubmit();
    });
    select($("#tab-sample"));
  });
  $("#run-buttons").append(beside);
}

function drift({ colours }) {
  const newest = colours.at(-1);
  const note = $("#drift");
  note.hidden = !newest || !newest.drifts;
  if (note.hidden) return;
  const list = (values) => values.map((value) => value.toFixed(0)).join(", ");
  note.textContent = `Colour drift at step ${newest.step}: the samples' channels have the mean ${list(newest.mean)}, the data's ${list(newest.data_mean)} (${newest.drift.toFixed(2)} standard deviations).`;
}

/** Exponential smoothing without the bias of its start, as in TensorBoard. */
function smoothed(points, weight) {
  let [sum, scale] = [0, 0];
  return points.map(([x, y]) => {
    if (y === null) return [x, null];
    sum = weight * sum + (1 - weight) * y;
    scale = weight * scale + (1 - weight);
    return [x, sum / scale];
  });
}

const CHARTS = [["Loss", ["loss", "validation"]],
  ["Loss by noise level, from low to high", ["loss_q0", "loss_q1", "loss_q2", "loss_q3"]],
  ["Gradient norm", ["grad_norm"]], ["Learning rate", ["lr"]], ["Images per second", ["images_per_s"]],
  ["Fraction of time waiting for data", ["data_wait_fraction"]]];

function charts(shown) {
  const weight = Number($("#smooth").value);
  $("#smooth-value").textContent = weight;
  const cards = CHARTS.map(([title, keys]) => {
    const lines = shown.flatMap((run) => keys.filter((key) => (run.curves[key] || []).length).map((key, index) => ({
      name: shown.length > 1 ? `${run.name} ${key}` : key,
      colour: `c${(shown.length > 1 ? run.index : index) % 6}`,
      raw: run.curves[key], points: smoothed(run.curves[key], weight), dashed: shown.length > 1 && index > 0,
    })));
    return lines.length ? chart(title, lines, title.startsWith("Loss") && $("#log-scale").checked) : "";
  });
  $("#charts").replaceChildren(...cards);
}

const SVG = "http://www.w3.org/2000/svg";
const draw = (name, attributes, text) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

function chart(title, lines, logarithmic) {
  const [width, height, left, bottom, top] = [480, 240, 60, 24, 10];
  const value = (y) => (logarithmic ? Math.log10(Math.max(y, 1e-12)) : y);
  const all = lines.flatMap(({ raw }) => raw.filter(([, y]) => y !== null));
  const xs = all.map(([x]) => x);
  const ys = all.map(([, y]) => value(y)).sort((a, b) => a - b);
  // One wild value does not flatten the curve.
  let [low, high] = [ys[0], ys[Math.floor((ys.length - 1) * 0.99)]];
  if (!(high > low)) [low, high] = [low - Math.abs(low) * 0.1 - 1e-9, low + Math.abs(low) * 0.1 + 1e-9];
  const [from, to] = [Math.min(...xs), Math.max(...xs, Math.min(...xs) + 1)];
  const px = (x) => left + ((x - from) / (to - from)) * (width - left - 8);
  const py = (y) => top + (1 - (Math.min(Math.max(value(y), low), high) - low) / (high - low)) * (height - top - bottom);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}: ${lines.map(({ name, points }) => `${name} ${short(points.at(-1)[1])}`).join(", ")}` });
  for (let tick = 0; tick <= 4; tick += 1) {
    const y = low + ((high - low) * tick) / 4;
    const at = top + (1 - tick / 4) * (height - top - bottom);
    svg.append(draw("line", { x1: left, x2: width - 8, y1: at, y2: at, class: "rule" }),
      draw("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, short(Number((logarithmic ? 10 ** y : y).toPrecision(3)))));
  }
  svg.append(draw("text", { x: left, y: height - 6 }, short(from)), draw("text", { x: width - 8, y: height - 6, "text-anchor": "end" }, `step ${short(to)}`));
  const path = (points) => points.filter(([, y]) => y !== null).map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" ");
  for (const line of lines) {
    svg.append(draw("polyline", { points: path(line.raw), class: `${line.colour} faint` }),
      draw("polyline", { points: path(line.points), class: line.colour, ...(line.dashed ? { "stroke-dasharray": "5 3" } : {}) }));
  }
  const readout = make("p", { className: "readout" });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = from + ((((event.clientX - box.left) / box.width) * width - left) / (width - left - 8)) * (to - from);
    const near = (points) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    readout.textContent = lines.map(({ name, points }) => `${name} ${short(near(points)[1])}`).join("   ") + `   step ${near(lines[0].points)[0]}`;
  });
  const legend = make("p", { className: "about" });
  lines.forEach(({ name, colour }) => legend.append(make("span", { className: `check ${colour}` }, make("i"), `${name} `)));
  return make("div", { className: "card" }, make("strong", { textContent: title }), legend, svg, readout);
}

function samples(shown) {
  const steps = [...new Set(shown.flatMap((run) => run.samples))].sort((a, b) => a - b);
  const slider = $("#sample-step");
  const atEnd = Number(slider.value) === Number(slider.max);
  slider.max = Math.max(0, steps.length - 1);
  if (atEnd) slider.value = slider.max;
  const step = steps[Number(slider.value)];
  $("#sample-value").textContent = step === undefined ? "no samples yet" : step;
  slider.setAttribute("aria-valuetext", `step ${step}`);
  // Of each run the newest grid up to this step: the same noise at every step.
  const figures = shown.map((run) => [run, run.samples.filter((own) => own <= step).at(-1)]).filter(([, own]) => own !== undefined);
  const sources = figures.map(([run, own]) => `v1/runs/${encodeURIComponent(run.name)}/samples/${own}.png`);
  const place = $("#run-samples");
  if ($$("img", place).map((img) => img.getAttribute("src")).join() === sources.join()) return;
  place.replaceChildren(...figures.map(([run, own], index) => make("figure", {},
    make("img", { src: sources[index], alt: `samples of ${run.name} after step ${own}` }),
    make("figcaption", { textContent: `${run.name}, step ${own}` }))));
}

function config(shown) {
  if (shown.length < 2) {
    $("#config").replaceChildren(make("pre", { textContent: shown[0].config, tabIndex: 0 }));
    return;
  }
  const keys = [...new Set(shown.flatMap(({ settings }) => Object.keys(settings)))].sort();
  const differs = (key) => new Set(shown.map(({ settings }) => settings[key])).size > 1;
  const row = (key) => make("tr", { className: differs(key) ? "differs" : "" }, make("th", { scope: "row", textContent: key }),
    ...shown.map(({ settings }) => make("td", { textContent: settings[key] ?? "–" })));
  const head = make("tr", {}, make("th", { textContent: "key" }), ...shown.map(({ name }) => make("th", { scope: "col", textContent: name })));
  const different = keys.filter(differs);
  const same = keys.filter((key) => !differs(key));
  $("#config").replaceChildren(make("table", {}, make("thead", {}, head), make("tbody", {}, ...different.map(row))),
    make("details", {}, make("summary", { textContent: `${same.length} equal keys` }), make("table", {}, make("tbody", {}, ...same.map(row)))));
}
for (const id of ["#smooth", "#log-scale", "#sample-step"]) $(id).addEventListener("input", drawRuns);

// ---- Start

async function loadModels() {
  const answer = await ask("GET", "v1/models");
  models = answer.data;
  limits = answer.limits;
  [...panels.map(({ settings }) => settings), editor.settings].forEach((settings) => settings.fill());
}
addPanel();
editor.start();
loadModels();
listen();
