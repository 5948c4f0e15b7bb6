// The state → the page.

import { aboutCell, aboutFinding, arithmetic, captionOf, paintLegend, warningsOf } from "./telling.js";
import { say } from "./words.js";

const $ = (id) => document.getElementById(id);

// Words that stand in the page itself, in the language of now.
export function translate(language) {
  document.documentElement.lang = language;
  document.title = say("title");
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", say(element.dataset.label));
  for (const frame of document.querySelectorAll(".frame")) frame.setAttribute("aria-label", say("film"));
}

export function show(desk, list, language) {
  desk.panes.forEach((pane, index) => { pane.element.hidden = index > 0 && !desk.isComparing; });
  for (const pane of desk.shown) showPane(pane, desk);
  showControls(desk);
  const { reading, item } = desk.active;
  if (!reading) return;
  list.show(reading, desk.active.finding, desk.rule, language);
  showWarnings(warningsOf(reading, item));
  $("about").textContent = aboutFinding(item, reading.qualities.get(desk.active.finding));
  $("exact").textContent = arithmetic(reading, item, desk.rule);
}

function showPane(pane, desk) {
  const { reading, item, stage } = pane;
  pane.element.classList.toggle("active", desk.isComparing && pane === desk.active);
  pane.caption.textContent = captionOf(pane, desk.rule);
  Object.assign(stage.look, { opacity: desk.opacity, palette: desk.palette });
  if (!reading) return;
  const factor = item ? (desk.isScaled ? item.probability : 1) / reading.limit : 0;
  const map = desk.layer === "smooth" ? reading.maps.get(pane.finding) ?? null : null;
  stage.setLayer({ grid: item?.grid?.patch_logits ?? null, map, factor, removed: reading.removed });
}

function showControls(desk) {
  const { reading } = desk.active;
  for (const id of ["ring", "save-json", "save-png", "fit", "invert", "level", "width", "preset"]) $(id).disabled = !reading;
  for (const id of ["sufficient", "flip"]) $(id).disabled = !desk.decisive(id);
  $("undo").disabled = !reading?.history.length;
  $("reset").disabled = !reading?.removed.size;
  for (const id of ["save-sr", "save-sc"]) $(id).disabled = !reading?.isDicom || !desk.active.item;
  $("compare").setAttribute("aria-pressed", String(desk.isComparing));
  $("invert").setAttribute("aria-pressed", String(reading?.film.inverted ?? false));
  const { level, width } = reading?.film.window ?? { level: 0.5, width: 1 };
  $("level").value = level * 100;
  $("width").value = width * 100;
  for (const [id, value] of Object.entries({ tool: desk.tool, preset: desk.preset, layer: desk.layer, palette: desk.palette, rule: desk.rule })) $(id).value = value;
  $("scaled").checked = desk.isScaled;
  $("layer-line").textContent = `${desk.layer === "smooth" ? `${say("smoothline")} ` : ""}${say(desk.isScaled ? "scaledline" : "rawline")}`;
  paintLegend({ scale: $("scale"), low: $("low"), high: $("high") }, desk.palette, reading?.limit ?? null);
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

// The patch that is pointed at, in every pane: the cursors are linked.
export function point(desk, pane, cell, isSpoken) {
  for (const other of desk.shown) {
    const at = cell !== null && other.reading && cell < other.reading.side ** 2 ? cell : null;
    if (other.stage.cursor === at) continue;
    other.stage.cursor = at;
    other.stage.paint("evidence");
  }
  const text = pane.reading ? aboutCell(pane.reading, pane.item, cell) : "";
  $("cell").textContent = text;
  if (isSpoken) $("spoken").textContent = text;
}
