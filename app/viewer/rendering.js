// Renders the state of the workspace into the page.

import { aboutCell, aboutSet, arithmetic, captionOf, figuresOf, headlineOf, provenanceOf, warningsOf } from "./descriptions.js";
import { edgeLetters, lengthOf, spacingOf } from "./geometry.js";
import { paintLegend } from "./legend.js";
import { figureLines, intervalText, isOtherPatient, patientLines, studyLines } from "./patient.js";
import { number, pointName, translate } from "./texts.js";

const $ = (id) => document.getElementById(id);
const NEED_A_READING = ["ring", "save-json", "save-png", "fit", "invert", "level", "width", "preset", "rotate", "flip-view", "hide"];
const WHOLE_WINDOW = { level: 0.5, width: 1 };

// Static texts of the page in the current language.
export function translatePage(language) {
  document.documentElement.lang = language;
  document.title = translate("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = translate(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", translate(element.dataset.label));
  for (const frame of document.querySelectorAll(".frame")) frame.setAttribute("aria-label", translate("radiograph"));
}

export function show(workspace, { list, zones }, language) {
  workspace.panes.forEach((pane, index) => { pane.element.hidden = index > 0 && !workspace.isComparing; });
  for (const pane of workspace.shown) showPane(pane, workspace);
  showControls(workspace);
  zones.show(workspace.active.reading, workspace.active.finding, language);
  showResult(workspace, list, language);
}

function showResult(workspace, list, language) {
  const { reading, item, finding, problem } = workspace.active;
  showLines($("problem"), "p", [workspace.notice, problem].filter(Boolean));
  $("result").classList.toggle("empty", !reading);
  const decisions = reading?.decisions(workspace.rule);
  const facts = reading?.facts.get(finding);
  $("selected").hidden = !item;
  $("headline").textContent = item ? headlineOf(item, decisions.get(finding)) : "";
  showFigures(item ? figuresOf(item, facts) : []);
  $("provenance").textContent = item ? provenanceOf(item, facts) : "";
  showLines($("warnings"), "li", reading ? [...warningsOf(reading, item), ...pairWarnings(workspace)] : []);
  const cells = workspace.outline && workspace.decisive(workspace.outline);
  $("about-set").textContent = item ? aboutSet(reading, item, workspace.outline, cells, workspace.rule) : "";
  $("exact").textContent = reading ? arithmetic(reading, item, workspace.rule) : "";
  if (reading) list.show(reading, finding, decisions, language); // last: it scrolls to the selected finding
  else list.clear();
}

function pairWarnings({ isComparing, panes: [first, second] }) {
  return isComparing && isOtherPatient(first.reading?.header, second.reading?.header) ? [translate("otherpatient")] : [];
}

function showFigures(figures) {
  if ($("figures").textContent === figures.flat().join("")) return;
  const pairs = figures.map(([label, value]) => {
    const pair = document.createElement("div");
    pair.appendChild(document.createElement("dt")).textContent = label;
    pair.appendChild(document.createElement("dd")).textContent = value;
    return pair;
  });
  $("figures").replaceChildren(...pairs);
}

function showPane(pane, workspace) {
  const { reading, item, viewport } = pane;
  pane.element.classList.toggle("active", workspace.isComparing && pane === workspace.active);
  pane.frame.classList.toggle("removing", workspace.tool === "patches");
  pane.frame.dataset.tool = workspace.tool;
  pane.mode.hidden = workspace.tool !== "patches" || !reading;
  pane.empty.hidden = Boolean(reading);
  pane.empty.textContent = pane.problem || translate(pane.name ? "analysing" : "drop");
  const other = workspace.panes[0].reading;
  const interval = reading === other ? "" : intervalText(reading?.header, other?.header);
  pane.caption.textContent = [captionOf(pane, workspace.rule), interval].filter(Boolean).join(" · ");
  Object.assign(viewport.look, { opacity: workspace.opacity, palette: workspace.palette, isHidden: workspace.isHidden });
  showCorners(pane);
  if (!reading) return;
  const factor = item ? (workspace.isScaled ? item.probability : 1) / (reading.limit * workspace.range) : 0;
  const map = workspace.layer === "smooth" ? reading.maps.get(pane.finding) ?? null : null;
  const outline = (workspace.outline && workspace.decisive(workspace.outline, pane)) ?? [];
  const zones = workspace.showsZones ? reading.zones ?? null : null;
  const zone = zones && workspace.zone !== null ? zones.picture(workspace.zone) : null;
  const lines = [...measured(reading), ...(zones?.lines ?? [])];
  viewport.setLayer({ grid: item?.grid?.patch_logits ?? null, map, factor, removed: reading.removed, outline, lines, zone });
}

function measured({ lines, header, result }) {
  const spacing = spacingOf(header, result.image);
  const unit = spacing ? { patient: "mm", detector: translate("mmdetector"), film: translate("mmfilm") }[spacing.plane] : "px";
  return lines.map((ends) => ({ ends, text: `${number(lengthOf(ends, spacing), spacing ? 1 : 0)} ${unit}` }));
}

function showCorners({ reading, corners }) {
  showLines(corners.patient, "span", patientLines(reading?.header));
  showLines(corners.study, "span", studyLines(reading?.header));
  if (!reading) corners.figures.replaceChildren();
}

// What changes with zoom, position and orientation: called after each painting of the radiograph.
export function showView({ reading, viewport, corners, edges }) {
  const lines = reading ? figureLines(viewport.view, reading.radiograph.window, viewport.ratio) : [];
  showLines(corners.figures, "span", lines);
  const letters = edgeLetters(reading?.header, viewport.view.orientation);
  for (const [edge, element] of Object.entries(edges)) element.textContent = letters?.[edge] ?? "";
}

function showControls(workspace) {
  const { reading, item } = workspace.active;
  for (const id of NEED_A_READING) $(id).disabled = !reading;
  $("tool-ruler").disabled = !reading || !spacingOf(reading.header, reading.result.image);
  for (const id of ["sufficient", "flip"]) $(id).disabled = !workspace.decisive(id);
  $("apply-set").hidden = !workspace.outline || !workspace.decisive(workspace.outline);
  $("apply-set").textContent = translate(workspace.outline === "flip" ? "applyflip" : "applysufficient");
  $("undo").disabled = !reading?.history.length;
  $("reset").disabled = !reading?.removed.size;
  for (const id of ["save-sr", "save-sc"]) $(id).disabled = !reading?.isDicom || !item;
  showPressed(workspace, reading);
  showInputs(workspace, reading);
  $("link").hidden = !workspace.isComparing;
  const smoothed = workspace.layer === "smooth" ? `${translate("smoothline")} ` : "";
  $("layer-line").textContent = smoothed + translate(workspace.isScaled ? "scaledline" : "rawline");
  paintLegend({ scale: $("scale"), low: $("low"), high: $("high") }, workspace, reading?.limit ?? null);
}

function showPressed(workspace, reading) {
  const pressed = {
    compare: workspace.isComparing, link: workspace.isLinked, hide: workspace.isHidden, invert: reading?.radiograph.inverted ?? false,
    sufficient: workspace.outline === "sufficient", flip: workspace.outline === "flip",
    ...Object.fromEntries(["window", "pan", "ruler", "patches"].map((tool) => [`tool-${tool}`, workspace.tool === tool])),
  };
  for (const [id, isPressed] of Object.entries(pressed)) $(id).setAttribute("aria-pressed", String(isPressed));
}

function showInputs(workspace, reading) {
  const { level, width } = reading?.radiograph.window ?? WHOLE_WINDOW;
  const { layer, palette, rule, range, opacity, isScaled } = workspace;
  const preset = reading?.radiograph.preset ?? "file";
  showPoints(reading?.pointNames ?? []);
  const values = { point: workspace.point, level: level * 100, width: width * 100, opacity: opacity * 100, preset, layer, palette, rule, range };
  for (const [id, value] of Object.entries(values)) $(id).value = value;
  $("scaled").checked = isScaled;
  for (const option of $("range").options) option.textContent = rangeText(option.value, reading?.limit);
}

function showPoints(names) {
  $("point-choice").hidden = !names.length;
  const texts = [["", translate("pointinforce")], ...names.map((name) => [name, pointName(name)])];
  const shown = [...$("point").options].map(({ value, text }) => [value, text]);
  if (JSON.stringify(shown) !== JSON.stringify(texts)) $("point").replaceChildren(...texts.map(([value, text]) => new Option(text, value)));
}

function rangeText(range, limit) {
  const text = limit ? `±${number(limit * range, 1)}` : `${number(range * 100, 0)} %`;
  return Number(range) === 1 ? `${text} (${translate("fullrange")})` : text;
}

// Writes texts as elements of a box, only if they changed.
function showLines(box, tag, texts) {
  if (texts.join("\n") === [...box.children].map((line) => line.textContent).join("\n")) return;
  box.replaceChildren(...texts.map((text) => {
    const line = document.createElement(tag);
    line.textContent = text;
    return line;
  }));
}

// Marks the patch under the pointer in every pane and shows its value.
export function point(workspace, pane, cell, isAnnounced) {
  for (const other of workspace.shown) {
    const at = cell !== null && other.reading && cell < other.reading.side ** 2 ? cell : null;
    if (other.viewport.cursor === at) continue;
    other.viewport.cursor = at;
    other.viewport.paint("evidence");
  }
  const text = pane.reading ? aboutCell(pane.reading, pane.item, cell) : "";
  $("cell").textContent = text;
  if (isAnnounced) $("spoken").textContent = text;
}
