// Saves the picture, the numbers and DICOM objects as files, named after the radiograph and the finding.

import { placeOf } from "./evidence.js";

export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  return name;
}

// "RG1.dcm", "Lung Lesion" → "RG1-lung-lesion.png": letters and digits of any script, without path and extension.
export function fileName(radiograph, parts, extension) {
  const stem = radiograph.split(/[\\/]/).at(-1).replace(/\.(dcm|dicom|png|jpe?g)$/i, "");
  const words = [stem, ...parts.map((part) => part.toLowerCase())].map((part) => part.replace(/[^\p{L}\p{N}._]+/gu, "-").replace(/^[-.]+|-+$/g, ""));
  return `${words.filter(Boolean).join("-") || "radiograph"}.${extension}`;
}

const changesOf = (reading) => (reading.removed.size ? ["what-if"] : []);

export function saveJson(reading, rule) {
  const removed = [...reading.removed].map((cell) => placeOf(cell, reading.side));
  const text = JSON.stringify({ ...reading.result, removed, rule }, null, 1);
  return save(fileName(reading.name, changesOf(reading), "json"), new Blob([text], { type: "application/json" }));
}

// Saves all panes side by side, each with its line of text below.
export async function savePicture(panes, lines) {
  const [first] = panes[0].viewport.canvases;
  const foot = Math.max(24, Math.round(first.height / 25));
  const picture = document.createElement("canvas");
  picture.width = panes.reduce((sum, { viewport }) => sum + viewport.canvases[0].width, 0);
  picture.height = first.height + foot;
  const context = picture.getContext("2d");
  context.fillRect(0, 0, picture.width, picture.height);
  let left = 0;
  panes.forEach(({ viewport }, index) => {
    for (const canvas of viewport.canvases) context.drawImage(canvas, left, 0);
    context.fillStyle = "#fff";
    context.font = `${Math.round(foot * 0.55)}px sans-serif`;
    context.fillText(lines[index], left + 6, first.height + foot * 0.7, viewport.canvases[0].width - 12);
    left += viewport.canvases[0].width;
  });
  const [{ reading }] = panes;
  const findings = panes.map(({ finding }) => finding ?? "");
  return save(fileName(reading.name, [...findings, ...changesOf(reading)], "png"), await new Promise((done) => picture.toBlob(done)));
}

// `query`: further parameters, such as the operating point.
export async function saveReport(service, reading, kind, query, finding) {
  const shown = kind === "sc" ? `&class=${encodeURIComponent(finding)}` : "";
  const answer = await service.post(`report?object=${kind}${shown}${query}`, reading.file);
  return save(fileName(reading.name, kind === "sc" ? [finding, kind] : [kind], "dcm"), await answer.blob());
}
