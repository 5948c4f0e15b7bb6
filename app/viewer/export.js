// Saves the picture, the numbers and DICOM objects as files.

import { placeOf } from "./evidence.js";

export function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function saveJson(reading, rule) {
  const removed = [...reading.removed].map((cell) => placeOf(cell, reading.side));
  const text = JSON.stringify({ ...reading.result, removed, rule }, null, 1);
  save("medpatchnet.json", new Blob([text], { type: "application/json" }));
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
  save("medpatchnet.png", await new Promise((done) => picture.toBlob(done)));
}

export async function saveReport(service, reading, kind, finding) {
  const query = kind === "sc" ? `&class=${encodeURIComponent(finding)}` : "";
  const answer = await service.post(`report?object=${kind}${query}`, reading.file);
  save(`medpatchnet-${kind}.dcm`, await answer.blob());
}
