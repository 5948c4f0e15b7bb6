// The page: what is chosen, what is removed, and what follows from it.

import { colour, everythingBut, remaining, ring, sigmoid } from "./evidence.js";
import { Refused, Unreachable, alive, call } from "./service.js";
import { Stage } from "./stage.js";
import { fill, words } from "./words.js";

const $ = (id) => document.getElementById(id);
const state = { language: navigator.language.startsWith("de") ? "de" : "en", result: null, finding: null, removed: new Set(), history: [], limit: 1, last: null };
const say = (name) => words[state.language][name];
const stage = new Stage($("frame"), $("film"), $("evidence"));

function translate() {
  document.documentElement.lang = state.language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  $("frame").setAttribute("aria-label", say("film"));
  $("language").textContent = state.language === "de" ? "EN" : "DE";
  $("language").setAttribute("aria-label", state.language === "de" ? "English" : "Deutsch");
  update();
}

const explained = () => state.result?.explanations.find((item) => item.finding === state.finding) ?? null;
const side = () => state.result.explanations.find((item) => item.grid)?.grid.rows ?? 0;

async function askKey() {
  const dialog = $("ask-key");
  $("key").value = "";
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return $("key").value.trim();
}

// Ask the service about a file; the answer or what went wrong is shown, and an unreachable service is waited for.
async function open(file) {
  state.last = file;
  $("problem").textContent = "";
  $("progress").textContent = say("working");
  try {
    const body = await file.arrayBuffer();
    const headers = { "Content-Type": "application/octet-stream" };
    const post = (path) => call(path, { method: "POST", body, headers }, askKey);
    const [film, answer, model] = await Promise.all([
      post("film"), post("explain?class=all&format=json"), call("model", {}, askKey),
    ]);
    const bitmap = await createImageBitmap(await film.blob());
    state.result = await answer.json();
    state.limit = (await model.json()).manifest.display_limit;
    state.removed = new Set();
    state.history = [];
    const scored = state.result.explanations.filter((item) => item.probability !== null);
    state.finding = [...scored].sort((one, other) => other.probability - one.probability)[0]?.finding ?? null;
    const { geometry } = state.result.explanations[0];
    $("drop").hidden = true;
    stage.cursor = null;
    stage.show(bitmap, geometry, side());
    update();
  } catch (error) {
    if (error instanceof Unreachable) {
      await waitForService(file);
      return;
    }
    $("problem").textContent = error instanceof Refused ? error.message : String(error);
  } finally {
    $("progress").textContent = "";
  }
}

async function waitForService(file) {
  $("problem").textContent = say("unreachable");
  while (!(await alive())) await new Promise((done) => setTimeout(done, 1000));
  if (state.last === file) await open(file);
}

function change(removed) {
  state.history.push(state.removed);
  state.removed = removed;
  update();
}

function toggle(cell) {
  const removed = new Set(state.removed);
  if (!removed.delete(cell)) removed.add(cell);
  change(removed);
}

function update() {
  if (!state.result) {
    paintLegend();
    return;
  }
  paintFindings();
  paintWarnings();
  paintLegend();
  const item = explained();
  const scaled = $("scaled").checked;
  if (item?.grid) {
    const factor = (scaled ? item.probability : 1) / state.limit;
    stage.evidence(item.grid.patch_logits.map((row) => row.map((logit) => logit * factor)), state.removed);
    $("exact").textContent = fill(say("exact"), {
      mean: remaining(item.grid.patch_logits, new Set(), "drop").toFixed(6), logit: item.logit.toFixed(6),
      count: state.removed.size, all: side() ** 2,
    });
  }
  for (const [id, key] of [["sufficient", "sufficient"], ["flip", "flip"]]) {
    $(id).disabled = !sets(item)?.[key];
  }
}

const sets = (item) => item?.decisive_patches.find((one) => one.rule === $("rule").value);

function paintFindings() {
  const box = $("findings");
  const focused = document.activeElement?.dataset?.finding;
  const rows = state.result.explanations.map((item) => {
    const logit = item.grid ? remaining(item.grid.patch_logits, state.removed, $("rule").value) : null;
    return { item, probability: logit === null ? null : sigmoid(logit) };
  }).sort((one, other) => (other.item.probability ?? -1) - (one.item.probability ?? -1));
  box.replaceChildren(...rows.map(({ item, probability }) => {
    const row = document.createElement("div");
    const chosen = item.finding === state.finding;
    row.className = "finding";
    row.dataset.finding = item.finding;
    row.setAttribute("role", "radio");
    row.setAttribute("aria-checked", String(chosen));
    row.tabIndex = chosen ? 0 : -1;
    const name = document.createElement("span");
    name.textContent = item.finding;
    const value = document.createElement("span");
    value.className = "value";
    const before = document.createElement("span");
    before.className = "before";
    const status = say(item.status);
    if (probability === null) {
      value.textContent = item.grid ? "–" : status;
    } else {
      value.textContent = `${(probability * 100).toFixed(1)} %`;
      value.dataset.probability = String(probability);
      before.textContent = state.removed.size ? `${(item.probability * 100).toFixed(1)} %` : "";
      if (item.status !== "validated") name.append(` (${status})`);
    }
    row.classList.toggle("positive", probability !== null && item.threshold !== null && probability >= item.threshold);
    row.classList.toggle("untrained", !item.grid);
    const bar = document.createElement("span");
    bar.className = "bar";
    const length = document.createElement("i");
    length.style.width = `${(probability ?? 0) * 100}%`;
    bar.append(length);
    if (item.threshold !== null) {
      const mark = document.createElement("b");
      mark.style.left = `${item.threshold * 100}%`;
      bar.append(mark);
    }
    row.append(name, value, before, bar);
    if (item.grid) row.addEventListener("click", () => choose(item.finding));
    return row;
  }));
  if (focused) box.querySelector('[aria-checked="true"]')?.focus();
}

function paintWarnings() {
  const texts = state.result.warnings.map((warning) => warning.detail);
  if ((explained()?.evidence?.outer_ring_share ?? 0) > 1 / 3) texts.push(say("border"));
  $("warnings").replaceChildren(...texts.map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
}

function paintLegend() {
  const canvas = $("scale");
  const context = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = `rgb(${colour((2 * x) / (canvas.width - 1) - 1, stage.style.palette).join(" ")})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
  $("low").textContent = (-state.limit).toFixed(1);
  $("high").textContent = `+${state.limit.toFixed(1)} logits`;
}

function choose(finding) {
  state.finding = finding;
  update();
}

function step(by) {
  const names = [...$("findings").querySelectorAll(".finding:not(.untrained)")].map((row) => row.dataset.finding);
  if (names.length) choose(names[(names.indexOf(state.finding) + by + names.length) % names.length]);
}

function describe(cell) {
  const item = explained();
  if (cell === null || !item?.grid) {
    $("cell").textContent = "";
    return;
  }
  const [row, column] = [Math.floor(cell / side()), cell % side()];
  const logit = item.grid.patch_logits[row][column];
  const share = item.logit === 0 ? "–" : `${((logit / side() ** 2 / item.logit) * 100).toFixed(1)} %`;
  $("cell").textContent = fill(say("cell"), { row: row + 1, column: column + 1, logit: logit.toFixed(3), share });
}

function removeSet(kind) {
  const found = sets(explained())?.[kind];
  if (!found) {
    $("cell").textContent = say("none");
    return;
  }
  const cells = found.map(([row, column]) => row * side() + column);
  change(new Set(kind === "flip" ? cells : everythingBut(cells, side())));
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function savePicture() {
  const [film, evidence] = stage.canvases;
  const picture = document.createElement("canvas");
  [picture.width, picture.height] = [film.width, film.height];
  const context = picture.getContext("2d");
  context.filter = film.style.filter || "none";
  context.drawImage(film, 0, 0);
  context.filter = "none";
  context.drawImage(evidence, 0, 0);
  picture.toBlob((blob) => save("medpatchnet.png", blob));
}

function undo() {
  state.removed = state.history.pop() ?? state.removed;
  update();
}

function invert() {
  stage.style.invert = !stage.style.invert;
  $("invert").setAttribute("aria-pressed", String(stage.style.invert));
  stage.draw();
}

const actions = {
  language: () => { state.language = state.language === "de" ? "en" : "de"; translate(); },
  invert, fit: () => stage.fit(), fullscreen: () => $("stage").requestFullscreen?.(),
  ring: () => state.result && change(new Set([...state.removed, ...ring(side())])),
  sufficient: () => removeSet("sufficient"), flip: () => removeSet("flip"), undo, reset: () => change(new Set()),
  "save-json": () => state.result && save("medpatchnet.json", new Blob([JSON.stringify({ ...state.result, removed: [...state.removed].map((cell) => [Math.floor(cell / side()), cell % side()]), rule: $("rule").value }, null, 1)], { type: "application/json" })),
  "save-png": savePicture,
  example: async () => {
    try {
      await open(await (await call("viewer/example", {}, askKey)).blob());
    } catch (error) {
      $("problem").textContent = error instanceof Refused ? say("noexample") : say("unreachable");
    }
  },
};
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action);

for (const [id, set] of Object.entries({
  brightness: (value) => { stage.style.brightness = value / 100; }, contrast: (value) => { stage.style.contrast = value / 100; },
  opacity: (value) => { stage.style.opacity = value / 100; },
})) {
  $(id).addEventListener("input", (event) => { set(Number(event.target.value)); stage.draw(); });
}
$("palette").addEventListener("change", (event) => { stage.style.palette = event.target.value; update(); });
$("scaled").addEventListener("change", update);
$("rule").addEventListener("change", update);
$("file").addEventListener("change", (event) => event.target.files[0] && open(event.target.files[0]));

const frame = $("frame");
frame.addEventListener("dragover", (event) => { event.preventDefault(); frame.classList.add("dropping"); });
frame.addEventListener("dragleave", () => frame.classList.remove("dropping"));
frame.addEventListener("drop", (event) => {
  event.preventDefault();
  frame.classList.remove("dropping");
  if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
});

// Left button: remove patches, one or brushing. Right button, middle button or shift: pan. Wheel: zoom.
let drag = null;
const place = (event) => { const box = frame.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
frame.addEventListener("contextmenu", (event) => event.preventDefault());
frame.addEventListener("pointerdown", (event) => {
  if (!state.result) return;
  frame.setPointerCapture(event.pointerId);
  const cell = stage.cellAt(...place(event));
  if (event.button !== 0 || event.shiftKey || cell === null) {
    drag = { pan: [event.clientX, event.clientY] };
  } else {
    drag = { removing: !state.removed.has(cell) };
    toggle(cell);
  }
});
frame.addEventListener("pointermove", (event) => {
  const cell = stage.cellAt(...place(event));
  describe(cell);
  if (drag?.pan) {
    stage.pan(event.clientX - drag.pan[0], event.clientY - drag.pan[1]);
    drag.pan = [event.clientX, event.clientY];
  } else if (drag && cell !== null && state.removed.has(cell) !== drag.removing) {
    const removed = new Set(state.removed);
    if (drag.removing) removed.add(cell);
    else removed.delete(cell);
    state.removed = removed;
    update();
  }
});
for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, () => { drag = null; });
frame.addEventListener("wheel", (event) => {
  event.preventDefault();
  stage.zoom(Math.exp(-event.deltaY / 400), ...place(event));
}, { passive: false });

function moveCursor(rows, columns) {
  if (!state.result) return;
  const last = side() - 1;
  const at = stage.cursor ?? 0;
  const row = stage.cursor === null ? 0 : Math.min(last, Math.max(0, Math.floor(at / side()) + rows));
  const column = stage.cursor === null ? 0 : Math.min(last, Math.max(0, (at % side()) + columns));
  stage.cursor = row * side() + column;
  stage.draw();
  describe(stage.cursor);
}

const keys = {
  ArrowUp: () => moveCursor(-1, 0), ArrowDown: () => moveCursor(1, 0), ArrowLeft: () => moveCursor(0, -1),
  ArrowRight: () => moveCursor(0, 1), " ": () => stage.cursor !== null && toggle(stage.cursor), "+": () => stage.zoom(1.25),
  "-": () => stage.zoom(0.8), u: undo, r: actions.reset, i: invert, f: actions.fit, PageDown: () => step(1), PageUp: () => step(-1),
};
frame.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
$("findings").addEventListener("keydown", (event) => {
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 1, PageUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  step(by);
});

translate();
document.documentElement.dataset.ready = "true";
