// Directions and lengths on a radiograph, from the attributes of its file.

const OPPOSITE = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };
const SMALLEST_SPACING = 0.01; // mm; smaller or larger values are errors of the file
const LARGEST_SPACING = 10;

// Letters for the edges of the screen from Patient Orientation (PS3.3, C.7.6.1.1.1); null if the file does not have it.
export function edgeLetters(header, [a, b, c, d]) {
  const [row, column] = header?.patientOrientation?.split("\\") ?? [];
  if (!/^[LRAPHF]{1,3}$/.test(row ?? "") || !/^[LRAPHF]{1,3}$/.test(column ?? "")) return null;
  const towards = (alongRow, alongColumn) => {
    if (alongRow) return alongRow > 0 ? row : opposite(row);
    return alongColumn > 0 ? column : opposite(column);
  };
  return { right: towards(a, c), left: towards(-a, -c), bottom: towards(b, d), top: towards(-b, -d) };
}

const opposite = (letters) => [...letters].map((letter) => OPPOSITE[letter]).join("");

// Millimetres per source pixel, and the plane where they hold: "patient" (calibrated), "detector" or "film"; null if unknown.
export function spacingOf(header, image) {
  const pairs = spacings(header).map(([text, plane]) => [text?.split("\\").map(Number) ?? [], plane]);
  const found = pairs.find(([[row, column]]) => isLength(row) && isLength(column));
  if (!found) return null;
  const [[row, column], plane] = found;
  return { row: (row * (header.rows ?? image.rows)) / image.rows, column: (column * (header.columns ?? image.columns)) / image.columns, plane };
}

// PS3.3, section 10.7.1.3: Pixel Spacing is calibrated if it differs from that at the detector, or says how it was calibrated.
function spacings(header) {
  if (!header) return [];
  const { pixelSpacing, imagerPixelSpacing, scannedPixelSpacing, calibration } = header;
  const isOther = imagerPixelSpacing !== undefined && Number.parseFloat(pixelSpacing) !== Number.parseFloat(imagerPixelSpacing);
  const isCalibrated = Boolean(calibration) || isOther;
  return [[pixelSpacing, isCalibrated ? "patient" : "detector"], [imagerPixelSpacing, "detector"], [scannedPixelSpacing, "film"]];
}

const isLength = (value) => value >= SMALLEST_SPACING && value <= LARGEST_SPACING;

// Length in millimetres of a line between two positions [column, row]; in source pixels without a spacing.
export function lengthOf([from, to], spacing) {
  const [columns, rows] = [to[0] - from[0], to[1] - from[1]];
  return Math.hypot(columns * (spacing?.column ?? 1), rows * (spacing?.row ?? 1));
}
