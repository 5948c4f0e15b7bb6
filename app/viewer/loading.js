// Loads a file as a reading: first the decision with its grids, then the radiograph with its full gray scale.

import { Radiograph } from "./radiograph.js";
import { decodeGray16 } from "./png.js";
import { Reading } from "./reading.js";

const LARGEST_SIDE = 4096; // px; a larger radiograph is requested at this size

export async function read(service, file, signal, onStep) {
  const body = new Blob([await file.arrayBuffer()]);
  onStep("reading");
  const [result, model] = await Promise.all([
    service.post("explain?class=all&format=json", body, signal).then((answer) => answer.json()),
    service.call("model", { signal }).then((answer) => answer.json()),
  ]);
  onStep("loading");
  const { rows, columns } = result.image;
  const size = Math.max(rows, columns) > LARGEST_SIDE ? `&size=${LARGEST_SIDE}` : "";
  const answer = await service.post(`film?depth=16${size}`, body, signal);
  const radiograph = new Radiograph(await decodeGray16(await answer.arrayBuffer()), result.image);
  const qualities = new Map(model.manifest.findings.map((finding) => [finding.name, finding.quality]));
  return Object.assign(new Reading({ file: body, radiograph, result, limit: model.manifest.display_limit }), { qualities });
}

// Loads smoothed maps of all findings, the coarsest first; each replaces the previous one. Stops when `isWanted()` is false.
const STRIDES = [31, 15, 5];
const CELL = 8; // model pixels; a mean over patches of 64 px has no finer detail

export async function smoothen(service, reading, isWanted, onStep) {
  for (let step = reading.refined ?? 0; step < STRIDES.length; step += 1) {
    if (!isWanted()) return;
    onStep(step + 1, STRIDES.length);
    const path = `explain?class=all&format=json&stride=${STRIDES[step]}&cell=${CELL}`;
    const answer = await (await service.post(path, reading.file)).json();
    for (const { finding, saliency_map: map } of answer.explanations) {
      if (map) reading.maps.set(finding, { values: Float32Array.from(map.values.flat()), side: map.rows });
    }
    reading.refined = step + 1;
  }
  onStep(null, null);
}
