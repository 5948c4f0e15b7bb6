// Specific Character Set (PS3.3, C.12.1.1.2) as decoders of the browser.

const LABELS = {
  "ISO_IR 100": "iso-8859-1", "ISO_IR 101": "iso-8859-2", "ISO_IR 109": "iso-8859-3", "ISO_IR 110": "iso-8859-4",
  "ISO_IR 144": "iso-8859-5", "ISO_IR 127": "iso-8859-6", "ISO_IR 126": "iso-8859-7", "ISO_IR 138": "iso-8859-8",
  "ISO_IR 148": "iso-8859-9", "ISO_IR 203": "iso-8859-15", "ISO_IR 13": "shift_jis", "ISO_IR 166": "windows-874",
  "ISO_IR 192": "utf-8", GB18030: "gb18030", GBK: "gbk", "ISO_IR 87": "iso-2022-jp", "ISO_IR 159": "iso-2022-jp",
  "ISO_IR 149": "euc-kr", "ISO_IR 58": "gbk",
};
const ESCAPES = /\x1b[\x20-\x2f]+[\x30-\x7e]/g;

// From bytes to text. The last known value of several decides, since it is the extension. Bytes that do not fit the declared
// character set, or have none, are read as Latin-1, which never fails.
export function decoderOf(declared) {
  const known = declared.split("\\").map((value) => LABELS[value.trim().replace("ISO 2022 IR", "ISO_IR")]).filter(Boolean);
  const label = known.at(-1) ?? "utf-8";
  const decoder = new TextDecoder(label, { fatal: true });
  return (bytes) => {
    try {
      return withoutEscapes(decoder.decode(bytes));
    } catch {
      return withoutEscapes(new TextDecoder("iso-8859-1").decode(bytes));
    }
  };
}

const withoutEscapes = (text) => text.replace(ESCAPES, "");
