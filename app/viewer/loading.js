// Loads a file as a reading: first the decision with its grids, then the radiograph with its full gray scale.

import { readDicomHeader } from "./dicom_header.js";
import { decodeGray16 } from "./png.js";
import { Radiograph } from "./radiograph.js";
import { Reading } from "./reading.js";

const LARGEST_SIDE = 4096; // px; a larger radiograph is requested at this size

// `point`: the name of an operating point, or "" for those that the service has in force.
const decisionsPath = (point) => `explain?class=all&format=json${operatingPoint(point)}`;
export const operatingPoint = (point) => (point ? `&operating_point=${encodeURIComponent(point)}` : "");

// The reading decided at another operating point.
export async function decide(service, reading, point) {
  return reading.with(await (await service.post(decisionsPath(point), reading.file)).json());
}

export async function read(service, { file, name, point }, signal, onStep) {
  const body = new Blob([await file.arrayBuffer()]);
  onStep("reading");
  const [result, model, { findings }] = await Promise.all([
    service.post(decisionsPath(point), body, signal).then((answer) => answer.json()),
    service.call("model", { signal }).then((answer) => answer.json()),
    service.call("findings", { signal }).then((answer) => answer.json()),
  ]);
  onStep("loading");
  const { rows, columns } = result.image;
  const size = Math.max(rows, columns) > LARGEST_SIDE ? `&size=${LARGEST_SIDE}` : "";
  const answer = await service.post(`film?depth=16${size}`, body, signal);
  const radiograph = new Radiograph(await decodeGray16(await answer.arrayBuffer()), result.image);
  const facts = new Map(findings.map((finding) => [finding.name, finding]));
  return new Reading({ file: body, name, radiograph, result, limit: model.manifest.display_limit, header: await readDicomHeader(body), facts });
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
