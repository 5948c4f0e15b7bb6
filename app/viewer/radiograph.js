// A 16-bit radiograph: an image pyramid, and tiles of it rendered through the current window.

const TILE = 512;
const SMALLEST = 512;
const TOP = 65535;

export const WHOLE = { level: 0.5, width: 1 }; // the service has already applied the window of the file

export class Radiograph {
  // `rows` and `columns`: size of the source, which can be larger than `values`.
  constructor({ width, height, values }, { rows, columns }) {
    Object.assign(this, { rows, columns, window: WHOLE, inverted: false });
    this.reduction = columns / width;
    this.levels = [{ width, height, values, tiles: new Map() }];
    for (let level = this.levels[0]; Math.max(level.width, level.height) > SMALLEST;) {
      level = halved(level);
      this.levels.push(level);
    }
    this.version = 0;
    this.prepareTable();
  }

  setWindow(window) {
    this.window = { level: Math.min(1, Math.max(0, window.level)), width: Math.min(2, Math.max(0.01, window.width)) };
    this.prepareTable();
  }

  invert() {
    this.inverted = !this.inverted;
    this.prepareTable();
  }

  // Lookup table from value to canvas pixel, RGBA in little-endian byte order.
  prepareTable() {
    this.version += 1;
    const { level, width } = this.window;
    this.table ??= new Uint32Array(TOP + 1);
    for (let value = 0; value <= TOP; value += 1) {
      const shown = Math.min(1, Math.max(0, (value / TOP - level) / width + 0.5));
      const gray = Math.round((this.inverted ? 1 - shown : shown) * 255);
      this.table[value] = 0xff000000 | (gray << 16) | (gray << 8) | gray;
    }
  }

  // The window between two quantiles of the values.
  windowBetween(low, high) {
    const sorted = Uint16Array.from(this.levels.at(-1).values).sort();
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] / TOP;
    return { level: (at(low) + at(high)) / 2, width: Math.max(0.01, at(high) - at(low)) };
  }

  // Draws the visible tiles: `scale` device pixels per source pixel, the top left corner at (x, y).
  draw(context, scale, x, y) {
    const index = Math.min(this.levels.length - 1, Math.max(0, Math.floor(Math.log2(1 / (scale * this.reduction)))));
    const level = this.levels[index];
    const k = scale * this.reduction * 2 ** index;
    const { width, height } = context.canvas;
    const [firstColumn, lastColumn] = seen(x, k, width, level.width);
    const [firstRow, lastRow] = seen(y, k, height, level.height);
    for (let row = firstRow; row <= lastRow; row += 1) {
      for (let column = firstColumn; column <= lastColumn; column += 1) {
        const tile = this.tile(level, row, column);
        const left = Math.round(x + column * TILE * k); // whole pixels: no seams between tiles
        const top = Math.round(y + row * TILE * k);
        const right = Math.round(x + (column * TILE + tile.width) * k);
        const bottom = Math.round(y + (row * TILE + tile.height) * k);
        context.drawImage(tile.canvas, left, top, right - left, bottom - top);
      }
    }
  }

  tile(level, row, column) {
    const name = row * 1000 + column;
    let tile = level.tiles.get(name);
    if (!tile) {
      tile = newTile(Math.min(TILE, level.width - column * TILE), Math.min(TILE, level.height - row * TILE));
      level.tiles.set(name, tile);
    }
    if (tile.version !== this.version) {
      tile.version = this.version;
      paint(tile, level, row * TILE, column * TILE, this.table);
    }
    return tile;
  }
}

function seen(start, k, extent, size) {
  const last = Math.ceil(size / TILE) - 1;
  return [Math.max(0, Math.floor(-start / k / TILE)), Math.min(last, Math.floor((extent - start) / k / TILE))];
}

function newTile(width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  return { canvas, context: canvas.getContext("2d"), width, height, version: -1 };
}

function paint(tile, level, top, left, table) {
  const image = tile.context.createImageData(tile.width, tile.height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let row = 0; row < tile.height; row += 1) {
    const from = (top + row) * level.width + left;
    const to = row * tile.width;
    for (let column = 0; column < tile.width; column += 1) pixels[to + column] = table[level.values[from + column]];
  }
  tile.context.putImageData(image, 0, 0);
}

function halved({ width, height, values }) {
  const half = { width: width >> 1, height: height >> 1, tiles: new Map() };
  half.values = new Uint16Array(half.width * half.height);
  for (let row = 0; row < half.height; row += 1) {
    for (let column = 0; column < half.width; column += 1) {
      const at = 2 * row * width + 2 * column;
      half.values[row * half.width + column] = (values[at] + values[at + 1] + values[at + width] + values[at + width + 1]) >> 2;
    }
  }
  return half;
}
