// The page of `smg ui`: a form, the current sound with its spectrogram, and the sounds of this visit.
import { startRecording } from "./record.js";

const $ = (id) => document.getElementById(id);
const form = $("form"), audio = $("audio"), picture = $("picture");

// The part of a number's range that its slider offers, with a step; the field beside it takes all that is allowed.
const SLIDERS = {
  seconds: [0.2, 30, 0.1],
  amount: [0, 1, 0.05],
  join: [0.1, 4, 0.1],
  candidates: [1, 8, 1],
  variety: [0, 1, 0.05],
  num: [1, 10, 1],
  steps: [1, 32, 1],
  guidance: [0, 10, 0.1],
  temperature: [0.05, 2, 0.05],
  top_p: [0.05, 1, 0.05],
};
const PLACEHOLDERS = { at: "seconds, such as 0.5,1.8", envelope: "0:0,0.1:1,2.5:-12dB" };
const LABELS = { num: "Sounds", join: "Join, s", cutoff: "Cut-off, Hz", top_p: "Top p", lufs: "Loudness, LUFS", rate: "Rate, Hz" };
const FIXED = ["prompt", "negative", "boxes"]; // options whose fields index.html has
const GROUPS = { Options: "fields", Sampling: "sampling", Output: "output" }; // the places of the others, by their group
const HERTZ = [500, 1000, 2000, 4000, 6000];

let tasks; // the options of each task, as JSON Schema, by their names
let model; // what the server says of it
let task = "generate";
let current = null; // the sound that is shown and edited
const sounds = []; // of this visit, the newest first

async function call(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer; is it still running?");
  }
  const body = answer.status === 204 ? null : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body?.error?.message ?? `the server answered ${answer.status}`);
  return body;
}

const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};

const fail = (error) => { $("error").textContent = error ? error.message : ""; };
const guarded = (work) => async (...given) => {
  fail(null);
  try { await work(...given); } catch (error) { fail(error); }
};

// The form

function makeForm() {
  for (const [name, options] of Object.entries(tasks)) {
    const choice = element("input", { type: "radio", name: "task", value: name });
    $("tasks").append(element("label", {}, choice, element("span", {}, capital(name))));
    for (const [option, described] of Object.entries(options)) {
      if (!isField(option, described) || form.elements[option]) continue;
      $(GROUPS[described["x-group"]]).append(makeField(option, described));
      setField(option, described.default);
    }
  }
}

const capital = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");

const types = ({ type }) => [type].flat();
const takes = (described, type) => types(described).includes(type);

// Whether an option has a field that is made from its schema; sounds and lists have none.
function isField(name, described) {
  const plain = ["boolean", "integer", "number", "string"].some((type) => takes(described, type));
  return plain && !FIXED.includes(name) && name !== "like_weight" && described["x-group"] in GROUPS;
}

function makeField(name, described) {
  const { description: help, minimum: low, maximum: high, enum: words } = described;
  const id = `n-${name}`, label = element("label", { htmlFor: id, title: help }, LABELS[name] ?? capital(name));
  const row = (...fields) => element("div", { className: "option", id: `f-${name}` }, label, ...fields);
  if (takes(described, "boolean")) {
    const box = element("input", { type: "checkbox", name, id });
    const text = described.default ? capital(name) : help; // the help of a flag tells what the other value does
    return element("label", { className: "check", id: `f-${name}`, title: help }, box, text);
  }
  if (words) return row(element("select", { name, id }, ...words.map((word) => new Option(word ?? "auto", word ?? ""))));
  if (takes(described, "string")) return row(element("input", { type: "text", name, id, placeholder: PLACEHOLDERS[name] ?? "" }));
  const [least, most, step] = SLIDERS[name] ?? [];
  const min = low ?? least;
  const number = element("input", { type: "number", name, id, min, max: high, step: "any", placeholder: "auto" });
  if (most === undefined) return row(number);
  const range = element("input", { type: "range", min: least, max: Math.min(most, high), step, ariaLabel: label.textContent });
  range.addEventListener("input", () => { number.value = range.value; });
  number.addEventListener("input", () => { range.value = number.value; });
  return row(range, number);
}

function setField(name, value) {
  const field = form.elements[name];
  if (field.type === "checkbox") field.checked = value;
  else field.value = written(value);
  if (field.previousElementSibling?.type === "range") field.previousElementSibling.value = value;
}

// Lists of times as people write them: [0.5, 1.8] as 0.5,1.8 and [[0, 1], [2, 0.5]] as 0:1,2:0.5.
const written = (value) => (Array.isArray(value) ? value.map((each) => [each].flat().join(":")).join(",") : value ?? "");

function readField(name) {
  const field = form.elements[name];
  if (field.type === "checkbox") return field.checked;
  return field.type === "number" ? numeric(name) : text(name);
}

const fields = (of) => Object.keys(tasks[of]).filter((name) => isField(name, tasks[of][name]));

function setTask(next) {
  const before = tasks[task], after = tasks[next];
  for (const row of form.querySelectorAll("[id^=f-]")) row.hidden = !(row.id.slice(2) in after);
  for (const name of fields(next)) {
    // What was left at its default takes that of the other task.
    if (name in before && readField(name) === before[name].default) setField(name, after[name].default);
  }
  task = next;
  form.elements.task.value = next;
  $("box").hidden = !("boxes" in after);
  form.elements.prompt.placeholder = ["generate", "sketch"].includes(task) ? "a dog barking" : "what fits the sound";
  $("go").textContent = capital(task);
  $("hint").textContent = task === "generate" ? "" : current ? `${task === "sketch" ? "Follows" : "Edits"} “${title(current)}”.` : "Generate or upload a sound first.";
}

const text = (name) => form.elements[name].value.trim() || null;
const numeric = (name) => (form.elements[name].value === "" ? null : Number(form.elements[name].value));

function readForm() {
  const options = { prompt: text("prompt"), negative: text("negative") };
  for (const name of fields(task)) options[name] = readField(name);
  if ("boxes" in tasks[task]) {
    if (numeric("start") === null && numeric("end") === null) throw new Error("draw a box on the spectrogram first");
    options.boxes = [Object.fromEntries(["start", "end", "low", "high"].map((name) => [name, numeric(name)]))];
    options.boxes[0].start ??= 0;
  }
  if ("input" in tasks[task]) {
    if (!current) throw new Error(`nothing to ${task}: generate or upload a sound first`);
    options.input = { sound: current.id };
  }
  return { task, options };
}

function loadSettings(sound) {
  const source = sourceOf(sound);
  if (source) show(source);
  setTask(sound.task);
  const options = sound.options;
  for (const name of fields(task)) if (name in options) setField(name, options[name]);
  for (const name of ["prompt", "negative"]) form.elements[name].value = options[name] ?? "";
  for (const name of ["start", "end", "low", "high"]) form.elements[name].value = options.boxes?.[0][name] ?? "";
  showBox();
}

// Jobs

let running = null;

async function run() {
  if ($("go").disabled) return;
  const request = JSON.stringify(readForm());
  $("go").disabled = true;
  try {
    running = await call("/v1/jobs", { method: "POST", headers: { "Content-Type": "application/json" }, body: request });
    $("job").hidden = false;
    running = await ended(running.id);
    if (running.error) throw new Error(running.error.message);
    if (!running.sounds.length) throw new Error("nothing to do: the sound already has what the model could add");
    running.sounds.forEach(add);
    show(running.sounds[0]);
  } finally {
    $("go").disabled = false;
    $("job").hidden = true;
  }
}

// The job when it has ended; its progress is shown until then.
function ended(id) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`/v1/jobs/${id}/events`);
    const told = (next) => ({ data }) => next(JSON.parse(data));
    events.addEventListener("progress", told((job) => {
      $("progress").value = job.progress;
      $("status").textContent = job.ahead > 0 ? `waiting, ${job.ahead} ahead` : `${Math.round(job.progress * 100)} %`;
    }));
    events.addEventListener("end", told((job) => { events.close(); resolve(job); }));
    events.addEventListener("error", () => { events.close(); reject(new Error("the server went away; is it still running?")); });
  });
}

async function upload(file) {
  if (!file) return;
  const sound = await call("/v1/sounds", { method: "POST", body: file });
  add(sound);
  show(sound);
}

// Sounds

const sourceOf = (sound) => sounds.find(({ id }) => id === sound.options.input?.sound);

function title(sound) {
  if (sound.task === "upload") return "uploaded sound";
  const source = sourceOf(sound);
  return sound.options.prompt ?? (source ? title(source) : sound.task);
}

const seconds = (value) => `${Number(value.toFixed(2))} s`;
const fileName = (sound) => {
  const words = title(sound).toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40);
  return `${[words || "sound", sound.task, sound.options.seed].filter((part) => part !== undefined).join("-")}.${sound.format}`;
};

function downloadLink(link, sound) {
  link.href = sound.url;
  // An upload has its own format, and the browser names it by that.
  link.download = sound.task === "upload" ? "" : fileName(sound);
}

function add(sound) {
  sounds.unshift(sound);
  sessionStorage.setItem("sounds", JSON.stringify(sounds.map(({ id }) => id)));
  const about = `${sound.task} · ${seconds(sound.seconds)}${sound.task === "upload" ? "" : ` · seed ${sound.options.seed}`}`;
  const choose = element("button", { type: "button", className: "choose" },
    element("img", { src: `${sound.url}/image`, alt: "" }),
    element("span", {}, element("b", {}, title(sound)), element("span", { className: "meta" }, about)));
  choose.addEventListener("click", () => {
    show(sound);
    $("figure").scrollIntoView({ block: "nearest" });
    audio.play().catch(() => {}); // it may be told to pause at once
  });
  const item = element("li", {}, choose);
  item.dataset.id = sound.id;
  if (sound.task !== "upload") {
    const reuse = element("button", { type: "button" }, "Load settings");
    reuse.addEventListener("click", () => loadSettings(sound));
    item.append(reuse);
  }
  const download = element("a", { className: "button" }, "Download");
  downloadLink(download, sound);
  item.append(download);
  $("history").prepend(item);
}

function show(sound) {
  current = sound;
  $("current").hidden = false;
  $("empty").hidden = true;
  $("title").textContent = title(sound);
  $("image").src = `${sound.url}/image`;
  $("image").alt = `Spectrogram of ${title(sound)}, ${seconds(sound.seconds)}`;
  $("duration").textContent = seconds(sound.seconds);
  $("playhead").hidden = true;
  audio.src = sound.url;
  audio.loop = sound.loops;
  $("notes").textContent = sound.warnings.join("; ");
  $("reuse").hidden = sound.task === "upload";
  downloadLink($("download"), sound);
  const facts = { task: sound.task, length: seconds(sound.seconds), rate: `${sound.rate} Hz`, channels: sound.channels };
  if (sound.seconds_taken) facts["made in"] = seconds(sound.seconds_taken);
  for (const [name, value] of Object.entries(sound.options)) {
    if (value !== null && !["num", "input"].includes(name)) facts[name] = name === "boxes" ? value.map(boxText).join("; ") : String(written(value));
  }
  const rows = Object.entries(facts).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  $("settings").replaceChildren(...rows);
  for (const item of $("history").children) item.firstChild.ariaCurrent = String(item.dataset.id === sound.id);
  for (const name of ["start", "end", "low", "high"]) form.elements[name].value = "";
  showBox();
  setTask(task);
}

const boxText = ({ start, end, low, high }) =>
  `${seconds(start)} to ${seconds(end)}, ${low ?? 0} to ${high ?? "all"} Hz`;

// The spectrogram: its rows are mel bands, so that places and frequencies are told by the bands' edges.

function hertzAt(share) {
  const edges = model.band_edges, place = Math.min(Math.max(share, 0), 1) * (edges.length - 1);
  const index = Math.min(Math.floor(place), edges.length - 2);
  return edges[index] + (edges[index + 1] - edges[index]) * (place - index);
}

function shareOf(hertz) {
  const edges = model.band_edges, above = edges.findIndex((edge) => edge > hertz);
  if (above === 0) return 0;
  if (above < 0) return 1;
  return (above - 1 + (hertz - edges[above - 1]) / (edges[above] - edges[above - 1])) / (edges.length - 1);
}

function makeAxis() {
  for (const hertz of HERTZ) {
    const label = element("li", {}, hertz < 1000 ? `${hertz}` : `${hertz / 1000}k`);
    label.style.bottom = `${shareOf(hertz) * 100}%`;
    $("hertz").append(label);
  }
}

function showBox() {
  const [start, end, low, high] = ["start", "end", "low", "high"].map(numeric);
  const box = $("selection");
  box.hidden = !current || start === null || end === null || end <= start;
  if (box.hidden) return;
  const bottom = low === null ? 0 : shareOf(low), top = high === null ? 1 : shareOf(high);
  const percent = (share) => `${Math.min(Math.max(share, 0), 1) * 100}%`;
  box.style.left = percent(start / current.seconds);
  box.style.right = percent(1 - end / current.seconds);
  box.style.bottom = percent(bottom);
  box.style.top = percent(1 - top);
}

let corner = null; // where the drawing of a box began, as shares of the picture from its lower left

function placeOf(event) {
  const area = picture.getBoundingClientRect();
  const share = (value, size) => Math.min(Math.max(value / size, 0), 1);
  return [share(event.clientX - area.left, area.width), 1 - share(event.clientY - area.top, area.height)];
}

picture.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  picture.setPointerCapture(event.pointerId);
  corner = placeOf(event);
});

picture.addEventListener("pointermove", (event) => {
  if (!corner) return;
  const [x, y] = placeOf(event);
  if (Math.abs(x - corner[0]) * picture.clientWidth < 4) return;
  const [low, high] = [Math.min(y, corner[1]), Math.max(y, corner[1])];
  form.elements.start.value = (Math.min(x, corner[0]) * current.seconds).toFixed(3);
  form.elements.end.value = (Math.max(x, corner[0]) * current.seconds).toFixed(3);
  // A box that reaches the edge, or is flat, goes on beyond it.
  const flat = (high - low) * picture.clientHeight < 4;
  form.elements.low.value = flat || low < 0.03 ? "" : hertzAt(low).toFixed(0);
  form.elements.high.value = flat || high > 0.97 ? "" : hertzAt(high).toFixed(0);
  if (task !== "inpaint") setTask("inpaint");
  showBox();
});

picture.addEventListener("pointerup", (event) => {
  if (!corner) return;
  const [x] = placeOf(event);
  if (Math.abs(x - corner[0]) * picture.clientWidth < 4) audio.currentTime = x * current.seconds;
  corner = null;
});
picture.addEventListener("pointercancel", () => { corner = null; });

function followPlayback() {
  $("playhead").hidden = false;
  $("playhead").style.left = `${(audio.currentTime / current.seconds) * 100}%`;
  if (!audio.paused) requestAnimationFrame(followPlayback);
}

// Start

for (const name of ["start", "end", "low", "high"]) form.elements[name].addEventListener("input", showBox);
for (const event of ["play", "seeked"]) audio.addEventListener(event, followPlayback);
form.addEventListener("submit", (event) => { event.preventDefault(); guarded(run)(); });
$("tasks").addEventListener("change", (event) => setTask(event.target.value));
$("stop").addEventListener("click", guarded(() => call(`/v1/jobs/${running.id}`, { method: "DELETE" })));
$("reuse").addEventListener("click", () => loadSettings(current));
$("file").addEventListener("change", guarded(async ({ target }) => {
  await upload(target.files[0]);
  target.value = "";
}));
let endRecording = null;
$("record").addEventListener("click", guarded(async () => {
  const end = endRecording, button = $("record");
  button.disabled = true; // while the browser asks
  try { endRecording = end ? null : await startRecording(); } finally { button.disabled = false; }
  button.textContent = end ? "Record" : "End recording";
  button.setAttribute("aria-pressed", String(!end));
  if (end) await upload(await end());
}));
for (const name of ["dragover", "dragleave", "drop"]) {
  $("right").addEventListener(name, (event) => {
    event.preventDefault();
    $("right").classList.toggle("dropping", name === "dragover");
    if (name === "drop") guarded(upload)(event.dataTransfer.files[0]);
  });
}

await guarded(async () => {
  const api = await call("/v1/openapi.json");
  [model] = (await call("/v1/models")).models;
  const names = Object.values(api.paths).map(({ post }) => post).filter((post) => post?.tags?.includes("tasks"));
  tasks = Object.fromEntries(names.map(({ operationId }) => [operationId, api.components.schemas[operationId].properties]));
  $("model").textContent = `· model ${model.name}`;
  makeForm();
  makeAxis();
  setTask(task);
  for (const id of JSON.parse(sessionStorage.getItem("sounds") ?? "[]").reverse()) {
    await call(`/v1/sounds/${id}/about`).then(add, () => {}); // gone with an earlier server
  }
  if (sounds.length) show(sounds[0]);
})();
