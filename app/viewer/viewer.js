// The page: builds its parts and ties what a person does to them.

import { Batch } from "./batch.js";
import { Desk } from "./desk.js";
import { films, filesOf } from "./files.js";
import { FindingList } from "./findings.js";
import { Gestures } from "./gestures.js";
import { bindings, handleKey, showKeys } from "./keys.js";
import { read, smoothen } from "./opening.js";
import { Pane } from "./pane.js";
import { saveJson, savePicture, saveReport } from "./saving.js";
import { Refused, Service } from "./service.js";
import { point, show, translate } from "./showing.js";
import { captionOf } from "./telling.js";
import { say, sayIfKnown, spoken, toggleLanguage } from "./words.js";

const $ = (id) => document.getElementById(id);
const desk = new Desk([new Pane($("panes")), new Pane($("panes"))], changed);
const list = new FindingList($("findings"), (finding) => desk.choose(finding));
const service = new Service(askKey);
const batch = new Batch(
  { section: $("batch"), box: $("batch-table"), progress: $("batch-progress") },
  { ask: (file, path) => service.persistently(() => service.post(path, file), tellWaiting), open, explainError },
);

function changed() {
  show(desk, list, spoken());
  if (desk.layer === "smooth") for (const pane of desk.shown) refine(pane.reading);
}

async function askKey(wasRefused) {
  const dialog = $("ask-key");
  $("key").value = "";
  $("key-wrong").hidden = !wasRefused;
  dialog.showModal();
  await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
  return $("key").value.trim();
}

function explainError(error) {
  if (!(error instanceof Refused)) return say("failed", { detail: error.message });
  const headline = sayIfKnown(`problem ${error.code}`, {}, null);
  return headline ? `${headline} (${error.message})` : error.message;
}

const tell = (text) => { $("problem").textContent = text; };
const tellWaiting = (why) => tell(why === null ? "" : say(why));

// Does something for a pane; what goes wrong is said, and a service that is away or busy is waited for.
async function attempt(work, signal, end = () => {}) {
  tell("");
  try {
    return await service.persistently(work, tellWaiting, signal);
  } catch (error) {
    if (!signal?.aborted) tell(explainError(error));
    return null;
  } finally {
    end();
  }
}

async function open(file, pane = desk.active) {
  const signal = pane.begin();
  const step = (word) => { if (!signal.aborted) pane.progress.textContent = word && say(word); };
  const reading = await attempt(() => read(service, file, signal, step), signal, () => step(""));
  if (!reading || signal.aborted) return;
  if (pane === desk.panes[1] && pane.stage.view === desk.panes[0].stage.view) pane.ownView();
  pane.show(reading, reading.scored[0] ?? null, file.name ?? say("example"));
  desk.preset = "file";
  changed();
}

function openAll(files, pane) {
  const found = films(files);
  if (found.length === 1) open(found[0], pane);
  else if (found.length) batch.start(found);
  else tell(say("nofile"));
}

const refining = new Set();

async function refine(reading) {
  if (!reading || refining.has(reading)) return;
  refining.add(reading);
  const isWanted = () => desk.layer === "smooth" && desk.shown.some((pane) => pane.reading === reading);
  const step = (number, of) => {
    for (const pane of desk.shown) if (pane.reading === reading) pane.progress.textContent = number ? say("smoothing", { step: number, of }) : "";
    if (isWanted() && reading.maps.size) show(desk, list, spoken());
  };
  await attempt(() => smoothen(service, reading, isWanted, step), undefined, () => step(null));
  refining.delete(reading);
}

const example = () => attempt(async () => {
  try {
    return await (await service.call("viewer/example")).blob();
  } catch (error) {
    throw error instanceof Refused ? new Error(say("noexample")) : error;
  }
}).then((film) => film && open(film));

function toggleLanguageOfPage() {
  toggleLanguage();
  translate(spoken());
  showKeys($("help-keys"), table);
  if (!$("batch").hidden) batch.show();
  changed();
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("stage").requestFullscreen?.();
}

const lines = () => desk.shown.map((pane) => `${captionOf({ ...pane, item: pane.item, name: "medpatchnet" }, desk.rule)} · ${say("notice")}`);

const clicks = {
  language: toggleLanguageOfPage, help: () => $("help-page").showModal(), example, fullscreen,
  compare: () => desk.compare(), invert: () => desk.invert(), fit: () => desk.look((stage) => stage.fit()),
  ring: () => desk.removeRing(), sufficient: () => desk.removeDecisive("sufficient"), flip: () => desk.removeDecisive("flip"),
  undo: () => desk.undo(), reset: () => desk.remove([]),
  "save-json": () => saveJson(desk.active.reading, desk.rule), "save-png": () => savePicture(desk.shown, lines()),
  "save-sr": () => attempt(() => saveReport(service, desk.active.reading, "sr")),
  "save-sc": () => attempt(() => saveReport(service, desk.active.reading, "sc", desk.active.finding)),
  "save-csv": () => batch.saveCsv(), "close-batch": () => batch.stop(),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);

const inputs = {
  tool: ({ value }) => desk.set("tool", value), preset: ({ value }) => desk.setPreset(value), layer: ({ value }) => desk.set("layer", value),
  palette: ({ value }) => desk.set("palette", value), rule: ({ value }) => desk.set("rule", value),
  scaled: ({ checked }) => desk.set("isScaled", checked), opacity: ({ value }) => desk.set("opacity", value / 100),
  level: () => desk.setWindow($("level").value / 100, $("width").value / 100), width: () => desk.setWindow($("level").value / 100, $("width").value / 100),
};
for (const [id, act] of Object.entries(inputs)) $(id).addEventListener("input", (event) => act(event.target));
for (const id of ["file", "folder"]) {
  $(id).addEventListener("change", ({ target }) => { openAll(target.files, desk.active); target.value = ""; });
}

function go(rows, columns) {
  const { stage, reading } = desk.active;
  if (!reading) return;
  const last = reading.side - 1;
  const at = stage.cursor ?? 0;
  const row = Math.min(last, Math.max(0, Math.floor(at / reading.side) + (stage.cursor === null ? 0 : rows)));
  const column = Math.min(last, Math.max(0, (at % reading.side) + (stage.cursor === null ? 0 : columns)));
  point(desk, desk.active, row * reading.side + column, true);
}

function press(cell) {
  if (cell === null || !desk.active.reading) return;
  desk.active.reading.press(cell);
  changed();
}

const middle = (pane) => [pane.frame.clientWidth / 2, pane.frame.clientHeight / 2];
const zoom = (factor, x, y) => desk.active.reading && desk.look((stage) => { stage.view.zoom(factor, x, y); });
const pan = (x, y) => desk.active.reading && desk.look((stage) => { stage.view.pan(x, y); });
const table = bindings({
  go, pan, zoom: (factor) => zoom(factor, ...middle(desk.active)), toggle: () => press(desk.active.stage.cursor),
  fit: clicks.fit, step: (by) => list.step(by), window: (level, width) => desk.moveWindow(level, width), fileWindow: () => desk.setPreset("file"),
  invert: clicks.invert, tool: (name) => desk.set("tool", name), undo: clicks.undo, reset: clicks.reset,
  smooth: () => desk.set("layer", desk.layer === "smooth" ? "grid" : "smooth"), compare: clicks.compare, fullscreen, help: clicks.help,
});

for (const pane of desk.panes) {
  const { frame, stage } = pane;
  frame.addEventListener("keydown", (event) => handleKey(event, table));
  frame.addEventListener("focus", () => desk.activate(pane));
  frame.addEventListener("dragover", (event) => { event.preventDefault(); frame.classList.add("dropping"); });
  frame.addEventListener("dragleave", () => frame.classList.remove("dropping"));
  frame.addEventListener("drop", async (event) => {
    event.preventDefault();
    frame.classList.remove("dropping");
    desk.activate(pane);
    openAll(await filesOf(event.dataTransfer), pane);
  });
  new Gestures(frame, {
    tool: () => desk.tool, cellAt: (x, y) => stage.cellAt(x, y), activate: () => desk.activate(pane), press, pan, zoom,
    hover: (x, y) => point(desk, pane, x === null ? null : stage.cellAt(x, y), false),
    brush: (cell) => { if (pane.reading?.brush(cell)) changed(); },
    window: (x, y) => desk.moveWindow(-y / 400, x / 400), // up: darker level, right: wider
  });
}
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => event.preventDefault()); // a film beside the frame must not replace the page

translate(spoken());
showKeys($("help-keys"), table);
changed();
document.documentElement.dataset.ready = "true";
