// Rows → CSV. A text that a spreadsheet would run as a formula is kept a text.

const FORMULA = /^\s*[=+\-@\t\r\n|%]/;

function field(value) {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return `"${text.replaceAll('"', '""')}"`;
}

export const csv = (rows) => `\ufeff${rows.map((row) => row.map(field).join(",")).join("\r\n")}\r\n`;
