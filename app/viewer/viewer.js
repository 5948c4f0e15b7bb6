// Entry point: creates the parts of the page and connects events to them.

import { Batch } from "./batch.js";
import { Workspace } from "./workspace.js";
import { radiographs, filesOf } from "./files.js";
import { FindingList } from "./findings.js";
import { Gestures } from "./gestures.js";
import { bindings, handleKey, showKeys } from "./keys.js";
import { read, smoothen } from "./loading.js";
import { Pane } from "./pane.js";
import { saveJson, savePicture, saveReport } from "./export.js";
import { Refused, Service } from "./service.js";
import { point, show, translatePage } from "./rendering.js";
import { captionOf } from "./descriptions.js";
import { currentLanguage, toggleLanguage, translate, translateIfKnown } from "./texts.js";

const $ = (id) => document.getElementById(id);
const workspace = new Workspace([new Pane($("panes")), new Pane($("panes"))], changed);
const list = new FindingList($("findings"), (finding) => workspace.choose(finding));
const service = new Service(askKey);
const batch = new Batch(
  { section: $("batch"), box: $("batch-table"), progress: $("batch-progress") },
  { ask: (file, path) => service.persistently(() => service.post(path, file), showWaiting), open, explainError },
);

function changed() {
  show(workspace, list, currentLanguage());
  if (workspace.layer === "smooth") for (const pane of workspace.shown) refine(pane.reading);
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
  if (!(error instanceof Refused)) return translate("failed", { detail: error.message });
  const headline = translateIfKnown(`problem ${error.code}`, {}, null);
  return headline ? `${headline} (${error.message})` : error.message;
}

const showProblem = (text) => { $("problem").textContent = text; };
const showWaiting = (why) => showProblem(why === null ? "" : translate(why));

// Runs `work`, shows its error, and retries while the service is unreachable or busy.
async function attempt(work, signal, end = () => {}) {
  showProblem("");
  try {
    return await service.persistently(work, showWaiting, signal);
  } catch (error) {
    if (!signal?.aborted) showProblem(explainError(error));
    return null;
  } finally {
    end();
  }
}

async function open(file, pane = workspace.active) {
  const signal = pane.begin();
  const step = (name) => { if (!signal.aborted) pane.progress.textContent = name && translate(name); };
  const reading = await attempt(() => read(service, file, signal, step), signal, () => step(""));
  if (!reading || signal.aborted) return;
  if (pane === workspace.panes[1] && pane.viewport.view === workspace.panes[0].viewport.view) pane.ownView();
  pane.show(reading, reading.scored[0] ?? null, file.name ?? translate("example"));
  workspace.preset = "file";
  changed();
}

function openAll(files, pane) {
  const found = radiographs(files);
  if (found.length === 1) open(found[0], pane);
  else if (found.length) batch.start(found);
  else showProblem(translate("nofile"));
}

const refining = new Set();

async function refine(reading) {
  if (!reading || refining.has(reading)) return;
  refining.add(reading);
  const isWanted = () => workspace.layer === "smooth" && workspace.shown.some((pane) => pane.reading === reading);
  const step = (number, of) => {
    for (const pane of workspace.shown) if (pane.reading === reading) pane.progress.textContent = number ? translate("smoothing", { step: number, of }) : "";
    if (isWanted() && reading.maps.size) show(workspace, list, currentLanguage());
  };
  await attempt(() => smoothen(service, reading, isWanted, step), undefined, () => step(null));
  refining.delete(reading);
}

const example = () => attempt(async () => {
  try {
    return await (await service.call("viewer/example")).blob();
  } catch (error) {
    throw error instanceof Refused ? new Error(translate("noexample")) : error;
  }
}).then((radiograph) => radiograph && open(radiograph));

function toggleLanguageOfPage() {
  toggleLanguage();
  translatePage(currentLanguage());
  showKeys($("help-keys"), table);
  if (!$("batch").hidden) batch.show();
  changed();
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("viewports").requestFullscreen?.();
}

const lines = () => workspace.shown.map((pane) => `${captionOf({ ...pane, item: pane.item, name: "medpatchnet" }, workspace.rule)} · ${translate("notice")}`);

const clicks = {
  language: toggleLanguageOfPage, help: () => $("help-page").showModal(), example, fullscreen,
  compare: () => workspace.compare(), invert: () => workspace.invert(), fit: () => workspace.look((viewport) => viewport.fit()),
  ring: () => workspace.removeRing(), sufficient: () => workspace.removeDecisive("sufficient"), flip: () => workspace.removeDecisive("flip"),
  undo: () => workspace.undo(), reset: () => workspace.remove([]),
  "save-json": () => saveJson(workspace.active.reading, workspace.rule), "save-png": () => savePicture(workspace.shown, lines()),
  "save-sr": () => attempt(() => saveReport(service, workspace.active.reading, "sr")),
  "save-sc": () => attempt(() => saveReport(service, workspace.active.reading, "sc", workspace.active.finding)),
  "save-csv": () => batch.saveCsv(), "close-batch": () => batch.stop(),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);

const inputs = {
  tool: ({ value }) => workspace.set("tool", value), preset: ({ value }) => workspace.setPreset(value), layer: ({ value }) => workspace.set("layer", value),
  palette: ({ value }) => workspace.set("palette", value), rule: ({ value }) => workspace.set("rule", value),
  scaled: ({ checked }) => workspace.set("isScaled", checked), opacity: ({ value }) => workspace.set("opacity", value / 100),
  level: () => workspace.setWindow($("level").value / 100, $("width").value / 100), width: () => workspace.setWindow($("level").value / 100, $("width").value / 100),
};
for (const [id, act] of Object.entries(inputs)) $(id).addEventListener("input", (event) => act(event.target));
for (const id of ["file", "folder"]) {
  $(id).addEventListener("change", ({ target }) => { openAll(target.files, workspace.active); target.value = ""; });
}

function go(rows, columns) {
  const { viewport, reading } = workspace.active;
  if (!reading) return;
  const last = reading.side - 1;
  const at = viewport.cursor ?? 0;
  const row = Math.min(last, Math.max(0, Math.floor(at / reading.side) + (viewport.cursor === null ? 0 : rows)));
  const column = Math.min(last, Math.max(0, (at % reading.side) + (viewport.cursor === null ? 0 : columns)));
  point(workspace, workspace.active, row * reading.side + column, true);
}

function press(cell) {
  if (cell === null || !workspace.active.reading) return;
  workspace.active.reading.press(cell);
  changed();
}

const middle = (pane) => [pane.frame.clientWidth / 2, pane.frame.clientHeight / 2];
const zoom = (factor, x, y) => workspace.active.reading && workspace.look((viewport) => { viewport.view.zoom(factor, x, y); });
const pan = (x, y) => workspace.active.reading && workspace.look((viewport) => { viewport.view.pan(x, y); });
const table = bindings({
  go, pan, zoom: (factor) => zoom(factor, ...middle(workspace.active)), toggle: () => press(workspace.active.viewport.cursor),
  fit: clicks.fit, step: (by) => list.step(by), window: (level, width) => workspace.moveWindow(level, width), fileWindow: () => workspace.setPreset("file"),
  invert: clicks.invert, tool: (name) => workspace.set("tool", name), undo: clicks.undo, reset: clicks.reset,
  smooth: () => workspace.set("layer", workspace.layer === "smooth" ? "grid" : "smooth"), compare: clicks.compare, fullscreen, help: clicks.help,
});

for (const pane of workspace.panes) {
  const { frame, viewport } = pane;
  frame.addEventListener("keydown", (event) => handleKey(event, table));
  frame.addEventListener("focus", () => workspace.activate(pane));
  frame.addEventListener("dragover", (event) => { event.preventDefault(); frame.classList.add("dropping"); });
  frame.addEventListener("dragleave", () => frame.classList.remove("dropping"));
  frame.addEventListener("drop", async (event) => {
    event.preventDefault();
    frame.classList.remove("dropping");
    workspace.activate(pane);
    openAll(await filesOf(event.dataTransfer), pane);
  });
  new Gestures(frame, {
    tool: () => workspace.tool, cellAt: (x, y) => viewport.cellAt(x, y), activate: () => workspace.activate(pane), press, pan, zoom,
    hover: (x, y) => point(workspace, pane, x === null ? null : viewport.cellAt(x, y), false),
    brush: (cell) => { if (pane.reading?.brush(cell)) changed(); },
    window: (x, y) => workspace.moveWindow(-y / 400, x / 400), // up: darker level, right: wider
  });
}
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => event.preventDefault()); // a file dropped beside the frame must not replace the page

translatePage(currentLanguage());
showKeys($("help-keys"), table);
changed();
document.documentElement.dataset.ready = "true";
