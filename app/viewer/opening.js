// A file → a reading: the decision with its grids first, then the film in all its grey levels.

import { Film } from "./film.js";
import { decodeGray16 } from "./png.js";
import { Reading } from "./reading.js";

const LARGEST_SIDE = 4096; // a larger film is held at this size

export async function read(service, file, signal, onStep) {
  const body = new Blob([await file.arrayBuffer()]);
  onStep("reading");
  const [result, model] = await Promise.all([
    service.post("explain?class=all&format=json", body, signal).then((answer) => answer.json()),
    service.call("model", { signal }).then((answer) => answer.json()),
  ]);
  onStep("fetching");
  const { rows, columns } = result.image;
  const size = Math.max(rows, columns) > LARGEST_SIDE ? `&size=${LARGEST_SIDE}` : "";
  const answer = await service.post(`film?depth=16${size}`, body, signal);
  const film = new Film(await decodeGray16(await answer.arrayBuffer()), result.image);
  const qualities = new Map(model.manifest.findings.map((finding) => [finding.name, finding.quality]));
  return Object.assign(new Reading({ file: body, film, result, limit: model.manifest.display_limit }), { qualities });
}

// Smooth maps of all findings, the coarsest first; each replaces the one before. Stops once `isWanted` says no.
const STRIDES = [31, 15, 5];
const CELL = 8; // model pixels: a mean over patches of 64 pixels has nothing finer to show

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
