// Decodes a 16-bit grayscale PNG. The browser's own decoder rounds to 8 bits.

const SIGNATURE = 8;

export async function decodeGray16(buffer) {
  const { width, height, packed } = readChunks(new Uint8Array(buffer), new DataView(buffer));
  const stream = new Blob(packed).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = new Uint8Array(await new Response(stream).arrayBuffer());
  return { width, height, values: unfilter(lines, width, height) };
}

function readChunks(bytes, view) {
  const packed = [];
  let width = 0;
  let height = 0;
  for (let at = SIGNATURE; at < bytes.length;) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const start = at + 8;
    if (kind === "IHDR") {
      width = view.getUint32(start);
      height = view.getUint32(start + 4);
      if (bytes[start + 8] !== 16 || bytes[start + 9] !== 0 || bytes[start + 12] !== 0) throw new Error("not a plain gray PNG of 16 bits");
    }
    if (kind === "IDAT") packed.push(bytes.subarray(start, start + length));
    at = start + length + 4;
  }
  return { width, height, packed };
}

// PNG specification, section 9: each line starts with its filter type, then the differences to its neighbours.
function unfilter(lines, width, height) {
  const stride = width * 2;
  const values = new Uint16Array(width * height);
  let above = new Uint8Array(stride);
  for (let row = 0; row < height; row += 1) {
    const start = row * (stride + 1) + 1;
    const line = lines.subarray(start, start + stride);
    undo(lines[start - 1], line, above);
    const out = row * width;
    for (let column = 0; column < width; column += 1) values[out + column] = (line[2 * column] << 8) | line[2 * column + 1];
    above = line;
  }
  return values;
}

function undo(filter, line, above) {
  const step = 2; // bytes per pixel
  if (filter === 1) {
    for (let i = step; i < line.length; i += 1) line[i] += line[i - step];
  } else if (filter === 2) {
    for (let i = 0; i < line.length; i += 1) line[i] += above[i];
  } else if (filter === 3) {
    for (let i = 0; i < line.length; i += 1) line[i] += ((i < step ? 0 : line[i - step]) + above[i]) >> 1;
  } else if (filter === 4) {
    for (let i = 0; i < step; i += 1) line[i] += above[i];
    for (let i = step; i < line.length; i += 1) line[i] += paeth(line[i - step], above[i], above[i - step]);
  }
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
