// Reads a few attributes of a DICOM file for display in the page; they are never sent anywhere. Explicit and implicit VR, both
// byte orders, deflated (PS3.5, sections 7 and A). Tolerant: what cannot be read is left out.

import { decoderOf } from "./character_sets.js";

const LARGEST_HEADER = 4 << 20; // bytes
const LONGEST_VALUE = 1024; // bytes
const DEEPEST_SEQUENCE = 16;
const UNDEFINED = 0xffffffff;
const [ITEM, ITEM_END, SEQUENCE_END] = [0xfffee000, 0xfffee00d, 0xfffee0dd];
const LONG_FORM = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const IMPLICIT = "1.2.840.10008.1.2";
const DEFLATED = "1.2.840.10008.1.2.1.99";
const BIG_ENDIAN = "1.2.840.10008.1.2.2";
const TRANSFER_SYNTAX = 0x00020010;
const CHARACTER_SET = 0x00080005;
const TEXTS = {
  0x00080020: "studyDate", 0x00100010: "patientName", 0x00100020: "patientId", 0x00100030: "birthDate", 0x00100040: "sex",
  0x00181164: "imagerPixelSpacing", 0x00182010: "scannedPixelSpacing", 0x00185101: "viewPosition", 0x00200020: "patientOrientation",
  0x00200060: "laterality", 0x00200062: "imageLaterality", 0x00280030: "pixelSpacing", 0x00280a02: "calibration",
};
const INTEGERS = { 0x00280010: "rows", 0x00280011: "columns" };
const LAST = 0x00280a02;

// The attributes by name, texts and integers; null if the file is not DICOM.
export async function readDicomHeader(blob) {
  const bytes = new Uint8Array(await blob.slice(0, LARGEST_HEADER).arrayBuffer());
  const start = textAt(bytes, 128, 4) === "DICM" ? 132 : 0;
  if (start === 0 && !(bytes[1] === 0 && (bytes[0] === 2 || bytes[0] === 8))) return null;
  const meta = new Map();
  const main = collect(new Elements(bytes, start, true, false), meta, (tag) => tag >>> 16 > 2);
  const syntax = textOf(meta.get(TRANSFER_SYNTAX));
  const rest = syntax === DEFLATED ? await inflated(bytes.subarray(main)) : bytes.subarray(main);
  const isExplicit = meta.has(TRANSFER_SYNTAX) ? syntax !== IMPLICIT : /^[A-Z]{2}$/.test(textAt(rest, 4, 2));
  const found = new Map();
  collect(new Elements(rest, 0, isExplicit, syntax === BIG_ENDIAN), found, (tag) => tag > LAST);
  return attributesOf(found, syntax !== BIG_ENDIAN);
}

function attributesOf(found, isLittle) {
  const header = {};
  const decode = decoderOf(textOf(found.get(CHARACTER_SET)));
  for (const [tag, name] of Object.entries(TEXTS)) {
    const value = found.has(Number(tag)) ? clean(decode(found.get(Number(tag)))) : "";
    if (value) header[name] = value;
  }
  for (const [tag, name] of Object.entries(INTEGERS)) {
    const value = found.get(Number(tag));
    if (value?.length === 2) header[name] = new DataView(value.buffer, value.byteOffset).getUint16(0, isLittle);
  }
  return header;
}

// Collects the values of the wanted elements. Returns the position of the first element past the end, or where reading failed.
function collect(elements, found, isPast) {
  let { at } = elements;
  try {
    for (;;) {
      at = elements.at;
      if (at >= elements.bytes.length) return at;
      const element = elements.next();
      if (isPast(element.tag)) return at;
      const { tag, length } = element;
      if (tag in TEXTS || tag in INTEGERS || tag === CHARACTER_SET || tag === TRANSFER_SYNTAX) {
        if (length <= LONGEST_VALUE) found.set(tag, elements.bytes.subarray(elements.at, elements.at + length));
      }
      elements.skip(element, 0);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // beyond the end: a truncated or damaged header
    return at;
  }
}

class Elements {
  constructor(bytes, at, isExplicit, isBigEndian) {
    Object.assign(this, { bytes, at, isExplicit, isLittle: !isBigEndian });
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  short() {
    this.at += 2;
    return this.view.getUint16(this.at - 2, this.isLittle);
  }

  long() {
    this.at += 4;
    return this.view.getUint32(this.at - 4, this.isLittle);
  }

  // Tag and length of the next element; `at` is then at its value.
  next() {
    const tag = this.short() * 0x10000 + this.short();
    if (!this.isExplicit || tag >= ITEM && tag <= SEQUENCE_END) return { tag, vr: "", length: this.long() };
    const vr = textAt(this.bytes, this.at, 2);
    if (!/^[A-Z]{2}$/.test(vr)) throw new RangeError("not explicit VR");
    this.at += 2;
    if (!LONG_FORM.has(vr)) return { tag, vr, length: this.short() };
    this.at += 2;
    return { tag, vr, length: this.long() };
  }

  skip({ vr, length }, depth) {
    if (length !== UNDEFINED) this.at += length;
    else this.skipItems(vr, depth);
  }

  // The items of a sequence of undefined length, up to its delimiter. Unknown VR hides implicit VR (PS3.5, section 6.2.2).
  skipItems(vr, depth) {
    if (depth > DEEPEST_SEQUENCE) throw new RangeError("sequences nested too deep");
    const wasExplicit = this.isExplicit;
    if (vr === "UN") this.isExplicit = false;
    for (let item = this.next(); item.tag !== SEQUENCE_END; item = this.next()) {
      if (item.tag !== ITEM) throw new RangeError("not an item");
      if (item.length !== UNDEFINED) this.at += item.length;
      else for (let inner = this.next(); inner.tag !== ITEM_END; inner = this.next()) this.skip(inner, depth + 1);
    }
    this.isExplicit = wasExplicit;
  }
}

async function inflated(bytes) {
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts = [];
  try {
    for (let size = 0; size < LARGEST_HEADER;) {
      const { value, done } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
    }
    await reader.cancel();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // damaged, or cut at the limit: what was inflated remains
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

const textAt = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
const textOf = (bytes) => clean(bytes ? String.fromCharCode(...bytes) : "");
const clean = (text) => text.replace(/[\u0000-\u001f\u007f]/g, "").trim();
