// Texts from the attributes of a DICOM file: patient, study, and how two studies relate.

import { percent, translate } from "./texts.js";

const DAY_MS = 86_400_000;

export function patientLines(header) {
  if (!header) return [];
  const born = header.birthDate && translate("born", { date: dateText(header.birthDate) });
  return [nameText(header.patientName), header.patientId, [born, header.sex].filter(Boolean).join(" · ")].filter(Boolean);
}

export function studyLines(header) {
  if (!header) return [];
  const side = header.imageLaterality ?? header.laterality;
  const view = [header.viewPosition, side && translate("laterality", { side })].filter(Boolean).join(" · ");
  return [header.studyDate && dateText(header.studyDate), view].filter(Boolean);
}

export const figureLines = ({ scale }, { level, width }, ratio) => [
  translate("zoomfigure", { zoom: percent(scale * ratio, 0) }),
  translate("windowfigure", { level: Math.round(level * 100), width: Math.round(width * 100) }),
];

// The interval from `other` to `header`, if both are of one patient and have dates; else "".
export function intervalText(header, other) {
  const [date, before] = [dateOf(header?.studyDate), dateOf(other?.studyDate)];
  if (!date || !before || isOtherPatient(header, other)) return "";
  const days = Math.round((date - before) / DAY_MS);
  if (days === 0) return translate("sameday");
  const direction = days < 0 ? "earlier" : "later";
  return Math.abs(days) === 1 ? translate(`day${direction}`) : translate(direction, { days: Math.abs(days) });
}

export function isOtherPatient(header, other) {
  const [one, two] = [header, other].map((each) => each?.patientId ?? each?.patientName);
  return Boolean(one && two && one !== two);
}

// A person name (PS3.5, section 6.2.1): the first representation, family name first.
function nameText(name) {
  const [family = "", ...given] = (name ?? "").split("=").find(Boolean)?.split("^") ?? [];
  return [family, given.filter(Boolean).join(" ")].filter(Boolean).join(", ");
}

const partsOf = (date) => /^(\d{4})(\d{2})(\d{2})$/.exec(date ?? "")?.slice(1) ?? null;
const dateText = (date) => partsOf(date)?.join("-") ?? date;

function dateOf(date) {
  const parts = partsOf(date);
  return parts && Date.UTC(parts[0], parts[1] - 1, parts[2]);
}
