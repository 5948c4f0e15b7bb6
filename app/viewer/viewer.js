// Entry point: creates the parts of the page and connects events to them.

import { Batch } from "./batch.js";
import { captionOf } from "./descriptions.js";
import { saveJson, savePicture, saveReport } from "./export.js";
import { filesOf, radiographs } from "./files.js";
import { FindingList } from "./findings.js";
import { Gestures } from "./gestures.js";
import { bindings, handleKey, showKeys } from "./keys.js";
import { decide, operatingPoint, read, smoothen } from "./loading.js";
import { Pane } from "./pane.js";
import { point, show, showView, translatePage } from "./rendering.js";
import { Refused, Service } from "./service.js";
import { currentLanguage, toggleLanguage, translate, translateIfKnown } from "./texts.js";
import { Workspace } from "./workspace.js";
import { loadZones, ZoneTable } from "./zones.js";

const $ = (id) => document.getElementById(id);
const HOLD_MS = 400; // a key pressed longer is held: releasing it ends its effect
const workspace = new Workspace([new Pane($("panes")), new Pane($("panes"))], changed);
const tables = {
  list: new FindingList($("findings"), (finding) => workspace.choose(finding)),
  zones: new ZoneTable((zone) => workspace.set("zone", zone)),
};
const service = new Service(askKey);
const batch = new Batch(
  { section: $("batch"), box: $("batch-table"), progress: $("batch-progress") },
  { ask: (file, path) => service.persistently(() => service.post(path, file), showWaiting), point: () => operatingPoint(workspace.point), open, explainError },
);

function changed() {
  show(workspace, tables, currentLanguage());
  if (workspace.showsZones) for (const pane of workspace.shown) findZones(pane.reading);
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

function showProblem(text) {
  workspace.notice = text;
  changed();
}
const showWaiting = (why) => showProblem(why === null ? "" : translate(why));

// Runs `work`, reports its error, and retries while the service is unreachable or busy.
async function attempt(work, { signal, end = () => {}, report = showProblem } = {}) {
  showProblem("");
  try {
    return await service.persistently(work, showWaiting, signal);
  } catch (error) {
    if (!signal?.aborted) report(explainError(error));
    return null;
  } finally {
    end();
  }
}

async function open(file, pane = workspace.active) {
  const name = file.name ?? translate("example");
  const signal = pane.begin(name);
  changed();
  const step = (text) => { if (!signal.aborted) pane.progress.textContent = text && translate(text); };
  const report = (problem) => { pane.problem = `${name}: ${problem}`; };
  const reading = await attempt(() => read(service, { file, name, point: workspace.point }, signal, step), { signal, end: () => step(""), report });
  if (signal.aborted) return;
  if (reading) pane.show(reading, reading.first);
  changed();
  if (reading) takeFocus(pane);
}

// The keys work at once after opening, unless the reader is busy elsewhere.
function takeFocus(pane) {
  const { activeElement } = document;
  if (activeElement === document.body || activeElement.matches("input[type=file], #example")) pane.frame.focus({ preventScroll: true });
}

function openAll(files, pane) {
  const found = radiographs(files);
  if (found.length === 1) open(found[0], pane);
  else if (found.length) batch.start(found);
  else showProblem(translate("nofile"));
}

// Decides all open radiographs at an operating point; the one before stays if the service cannot answer.
async function choosePoint(point) {
  const before = workspace.point;
  workspace.set("point", point);
  const readings = [...new Set(workspace.panes.map(({ reading }) => reading).filter(Boolean))];
  const decided = await attempt(() => Promise.all(readings.map((reading) => decide(service, reading, point))));
  if (workspace.point !== point) return; // chosen again meanwhile
  if (decided) readings.forEach((reading, index) => workspace.replace(reading, decided[index]));
  else workspace.set("point", before);
}

const refining = new Set();

async function refine(reading) {
  if (!reading || refining.has(reading)) return;
  refining.add(reading);
  const isWanted = () => workspace.layer === "smooth" && workspace.shown.some((pane) => pane.reading === reading);
  const step = (number, of) => {
    const text = number ? translate("smoothing", { step: number, of }) : "";
    for (const pane of workspace.shown) if (pane.reading === reading) pane.progress.textContent = text;
    if (isWanted() && reading.maps.size) show(workspace, tables, currentLanguage());
  };
  await attempt(() => smoothen(service, reading, isWanted, step), { end: () => step(null) });
  refining.delete(reading);
}

const segmented = new Set();

// Zones are requested once for a reading, when the reader opens their table.
async function findZones(reading) {
  if (!reading || segmented.has(reading)) return;
  segmented.add(reading);
  await attempt(() => loadZones(service, reading, operatingPoint(workspace.point)));
  changed();
}

const example = () => attempt(async () => {
  try {
    return await (await service.call("viewer/example")).blob();
  } catch (error) {
    throw error instanceof Refused ? new Error(translate("noexample")) : error;
  }
}).then((file) => file && open(file));

function switchLanguage() {
  toggleLanguage();
  translatePage(currentLanguage());
  showKeys($("help-keys"), table);
  if (!$("batch").hidden) batch.show();
  workspace.repaint();
}

function fullscreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else $("viewports").requestFullscreen?.();
}

async function saved(name) {
  $("saved").textContent = "";
  const file = await name;
  if (file) $("saved").textContent = translate("saved", { name: file });
}

const lineOf = (pane) => `${captionOf({ ...pane, item: pane.item, name: "medpatchnet" }, workspace.rule)} · ${translate("notice")}`;
const toggle = (name) => () => workspace.set(name, !workspace[name]);
const outline = (kind) => () => workspace.set("outline", workspace.outline === kind ? null : kind);
const middle = ({ frame }) => [frame.clientWidth / 2, frame.clientHeight / 2];
const reorient = (change) => workspace.look((viewport) => {
  const { view } = viewport;
  const wasFitted = view.isFitted;
  view[change](...middle(viewport));
  if (wasFitted) viewport.fit();
});
const withTool = (name) => () => workspace.set("tool", name);

const clicks = {
  language: switchLanguage, help: () => $("help-page").showModal(), example, fullscreen,
  compare: () => workspace.compare(), link: toggle("isLinked"), invert: () => workspace.invert(),
  fit: () => workspace.look((viewport) => viewport.fit()), rotate: () => reorient("rotate"), "flip-view": () => reorient("flip"), hide: toggle("isHidden"),
  "tool-window": withTool("window"), "tool-pan": withTool("pan"), "tool-ruler": withTool("ruler"), "tool-patches": () => workspace.togglePatches(),
  ring: () => workspace.removeRing(), sufficient: outline("sufficient"), flip: outline("flip"), "apply-set": () => workspace.applyOutline(),
  undo: () => workspace.undo(), reset: () => workspace.remove([]),
  "save-json": () => saved(saveJson(workspace.active.reading, workspace.rule)), "save-png": () => saved(savePicture(workspace.shown, workspace.shown.map(lineOf))),
  "save-sr": () => saved(attempt(() => saveReport(service, workspace.active.reading, "sr", operatingPoint(workspace.point)))),
  "save-sc": () => saved(attempt(() => saveReport(service, workspace.active.reading, "sc", operatingPoint(workspace.point), workspace.active.finding))),
  "save-csv": () => saved(batch.saveCsv()), "close-batch": () => batch.stop(),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);

const setWindow = () => workspace.setWindow($("level").value / 100, $("width").value / 100);
const inputs = {
  point: ({ value }) => choosePoint(value), preset: ({ value }) => workspace.setPreset(value), layer: ({ value }) => workspace.set("layer", value),
  range: ({ value }) => workspace.set("range", Number(value)),
  palette: ({ value }) => workspace.set("palette", value), rule: ({ value }) => workspace.set("rule", value),
  scaled: ({ checked }) => workspace.set("isScaled", checked), opacity: ({ value }) => workspace.set("opacity", value / 100),
  level: setWindow, width: setWindow,
};
for (const [id, act] of Object.entries(inputs)) $(id).addEventListener("input", (event) => act(event.target));
$("zones").addEventListener("toggle", ({ target }) => workspace.set("showsZones", target.open));
for (const id of ["file", "folder"]) {
  $(id).addEventListener("change", ({ target }) => { openAll(target.files, workspace.active); target.value = ""; });
}
$("prior").addEventListener("change", ({ target }) => {
  if (target.files.length) workspace.openBeside();
  openAll(target.files, workspace.panes[1]);
  target.value = "";
});

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

function togglePatch() {
  if (workspace.tool === "patches") press(workspace.active.viewport.cursor);
  else $("spoken").textContent = translate("enterpatches");
}

let hiddenSince = 0;

function hide(event) {
  if (event.repeat) return;
  hiddenSince = event.timeStamp;
  workspace.set("isHidden", !workspace.isHidden);
}

function releaseHide(event) {
  if (event.key.toLowerCase() === "h" && event.timeStamp - hiddenSince > HOLD_MS) workspace.set("isHidden", !workspace.isHidden);
}

const zoom = (factor, x, y) => workspace.look(({ view }) => view.zoom(factor, x, y));
const pan = (x, y) => workspace.look(({ view }) => view.pan(x, y));
const table = bindings({
  go, pan, zoom: (factor) => zoom(factor, ...middle(workspace.active)), toggle: togglePatch, hide, rotate: clicks.rotate, flip: clicks["flip-view"],
  fit: clicks.fit, step: (by) => tables.list.step(by),
  window: (level, width) => workspace.moveWindow(level, width), fileWindow: () => workspace.setPreset("file"),
  invert: clicks.invert, tool: (name) => { if (!$(`tool-${name}`).disabled) workspace.set("tool", name); },
  patches: () => workspace.togglePatches(), leavePatches: () => workspace.leavePatches(), removeRuler: () => workspace.removeRuler(),
  undo: clicks.undo, reset: clicks.reset,
  smooth: () => workspace.set("layer", workspace.layer === "smooth" ? "grid" : "smooth"), compare: clicks.compare, fullscreen, help: clicks.help,
});

for (const pane of workspace.panes) {
  const { frame, viewport } = pane;
  viewport.onView = () => showView(pane);
  frame.addEventListener("keydown", (event) => handleKey(event, table));
  frame.addEventListener("keyup", releaseHide);
  frame.addEventListener("focus", () => workspace.activate(pane));
  frame.addEventListener("click", () => { if (!pane.reading && (pane.problem || !pane.name)) $("file").click(); });
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
    window: (x, y) => workspace.moveWindow(-y / 400, x / 400), // up: darker, right: less contrast
    startRuler: (at) => workspace.startRuler(pane, viewport.view.toImage(...at)),
    moveRuler: (at) => workspace.moveRuler(pane, viewport.view.toImage(...at)),
  });
}
window.addEventListener("dragover", (event) => event.preventDefault());
window.addEventListener("drop", (event) => event.preventDefault()); // a file dropped beside the frame must not replace the page

translatePage(currentLanguage());
showKeys($("help-keys"), table);
changed();
document.documentElement.dataset.ready = "true";
