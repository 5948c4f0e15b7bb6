// Zones of the body: the decision about a finding as a sum over them, and the size of the heart.

import { findingName, number, percent, translate } from "./texts.js";

const LIT = [127, 196, 255, 110]; // red, green, blue, opacity of a lit zone

const $ = (id) => document.getElementById(id);

// The zones of a reading as the service returns them, with a picture of each.
export class Zones {
  constructor(answer) {
    Object.assign(this, answer, { ledgers: new Map(answer.findings.map((ledger) => [ledger.finding, ledger])), pictures: new Map() });
  }

  // The zone with this index as a canvas, lit.
  picture(index) {
    if (!this.pictures.has(index)) this.pictures.set(index, picture(this.map, index));
    return this.pictures.get(index);
  }

  // The lines of the cardiothoracic ratio, as measured lines of a viewport.
  get lines() {
    if (!this.heart_size) return [];
    const { heart_right: right, heart_left: left, thorax, cardiothoracic_ratio: ratio } = this.heart_size;
    const ends = ({ row, start_column: start, end_column: end }) => [[start, row], [end, row]];
    return [{ ends: ends(right), text: "" }, { ends: ends(left), text: "" }, { ends: ends(thorax), text: translate("ctr", { ratio: number(ratio, 2) }) }];
  }
}

// The table of zones of the selected finding; `onLight` receives the index of the zone that the reader points at, or null.
export class ZoneTable {
  constructor(onLight) {
    Object.assign(this, { onLight, shown: "" });
  }

  get isOpen() {
    return $("zones").open;
  }

  show(reading, finding, language) {
    const ledger = reading?.zones?.ledgers.get(finding) ?? null;
    const shown = ledger && `${finding} ${language} ${reading.name} ${JSON.stringify(ledger)}`;
    $("zones-table").hidden = !ledger;
    $("zones-trust").textContent = trustOf(reading);
    $("zones-heart").textContent = heartOf(reading);
    $("zones-outside").textContent = ledger ? outsideOf(ledger, finding) : "";
    $("zones-outside").classList.toggle("warned", Boolean(ledger?.warning));
    if (!ledger || shown === this.shown) return;
    this.shown = shown;
    $("zones-rows").replaceChildren(...ledger.zones.map((zone, index) => this.row(zone, index)));
    $("zones-sum").textContent = number(ledger.sum, 3);
  }

  row(zone, index) {
    const row = document.createElement("tr");
    row.dataset.zone = zone.zone;
    row.tabIndex = 0;
    const name = row.appendChild(document.createElement("th"));
    name.scope = "row";
    name.textContent = translate(`zone ${zone.zone}`);
    const values = [percent(zone.area_share, 0), number(zone.evidence, 3), zone.share_for === null ? "–" : percent(zone.share_for, 0)];
    for (const value of values) row.appendChild(document.createElement("td")).textContent = value;
    for (const event of ["pointerenter", "focus"]) row.addEventListener(event, () => this.onLight(index));
    for (const event of ["pointerleave", "blur"]) row.addEventListener(event, () => this.onLight(null));
    return row;
  }
}

export async function loadZones(service, reading, point) {
  const answer = await (await service.post(`explain?class=all&format=json&zones=true${point}`, reading.file)).json();
  reading.zones = new Zones(answer.zones);
}

function trustOf(reading) {
  if (!reading?.zones) return reading ? translate("zonesloading") : "";
  const { trusted, reasons } = reading.zones;
  return trusted ? "" : translate("zonesuntrusted", { reasons: [...new Set(reasons.map(({ code }) => translate(`distrust ${code}`)))].join(", ") });
}

function heartOf(reading) {
  const heart = reading?.zones?.heart_size;
  return heart ? translate("heartsize", { ratio: number(heart.cardiothoracic_ratio, 2) }) : "";
}

function outsideOf({ outside_share: share }, finding) {
  return share === null ? "" : translate("outside", { share: percent(share, 0), finding: findingName(finding) });
}

function picture({ rows, columns, runs }, zone) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  let at = 0;
  for (const [index, length] of runs) {
    if (index === zone) for (let cell = at; cell < at + length; cell += 1) image.data.set(LIT, 4 * cell);
    at += length;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
