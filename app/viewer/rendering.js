// Renders the state of the workspace into the page.

import { aboutCell, aboutFinding, arithmetic, captionOf, paintLegend, warningsOf } from "./descriptions.js";
import { translate } from "./texts.js";

const $ = (id) => document.getElementById(id);

// Static texts of the page in the current language.
export function translatePage(language) {
  document.documentElement.lang = language;
  document.title = translate("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = translate(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", translate(element.dataset.label));
  for (const frame of document.querySelectorAll(".frame")) frame.setAttribute("aria-label", translate("radiograph"));
}

export function show(workspace, list, language) {
  workspace.panes.forEach((pane, index) => { pane.element.hidden = index > 0 && !workspace.isComparing; });
  for (const pane of workspace.shown) showPane(pane, workspace);
  showControls(workspace);
  const { reading, item } = workspace.active;
  if (!reading) return;
  list.show(reading, workspace.active.finding, workspace.rule, language);
  showWarnings(warningsOf(reading, item));
  $("about").textContent = aboutFinding(item, reading.qualities.get(workspace.active.finding));
  $("exact").textContent = arithmetic(reading, item, workspace.rule);
}

function showPane(pane, workspace) {
  const { reading, item, viewport } = pane;
  pane.element.classList.toggle("active", workspace.isComparing && pane === workspace.active);
  pane.caption.textContent = captionOf(pane, workspace.rule);
  Object.assign(viewport.look, { opacity: workspace.opacity, palette: workspace.palette });
  if (!reading) return;
  const factor = item ? (workspace.isScaled ? item.probability : 1) / reading.limit : 0;
  const map = workspace.layer === "smooth" ? reading.maps.get(pane.finding) ?? null : null;
  viewport.setLayer({ grid: item?.grid?.patch_logits ?? null, map, factor, removed: reading.removed });
}

function showControls(workspace) {
  const { reading } = workspace.active;
  for (const id of ["ring", "save-json", "save-png", "fit", "invert", "level", "width", "preset"]) $(id).disabled = !reading;
  for (const id of ["sufficient", "flip"]) $(id).disabled = !workspace.decisive(id);
  $("undo").disabled = !reading?.history.length;
  $("reset").disabled = !reading?.removed.size;
  for (const id of ["save-sr", "save-sc"]) $(id).disabled = !reading?.isDicom || !workspace.active.item;
  $("compare").setAttribute("aria-pressed", String(workspace.isComparing));
  $("invert").setAttribute("aria-pressed", String(reading?.radiograph.inverted ?? false));
  const { level, width } = reading?.radiograph.window ?? { level: 0.5, width: 1 };
  $("level").value = level * 100;
  $("width").value = width * 100;
  for (const [id, value] of Object.entries({ tool: workspace.tool, preset: workspace.preset, layer: workspace.layer, palette: workspace.palette, rule: workspace.rule })) $(id).value = value;
  $("scaled").checked = workspace.isScaled;
  $("layer-line").textContent = `${workspace.layer === "smooth" ? `${translate("smoothline")} ` : ""}${translate(workspace.isScaled ? "scaledline" : "rawline")}`;
  paintLegend({ scale: $("scale"), low: $("low"), high: $("high") }, workspace.palette, reading?.limit ?? null);
}

function showWarnings(texts) {
  const box = $("warnings");
  if (texts.join("\n") === [...box.children].map((line) => line.textContent).join("\n")) return;
  box.replaceChildren(...texts.map((text) => {
    const line = document.createElement("li");
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
