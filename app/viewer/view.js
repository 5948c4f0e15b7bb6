// The transform from source pixels to CSS pixels of the frame.

const SMALLEST = 0.02;
const LARGEST = 40;

export class View {
  constructor() {
    Object.assign(this, { scale: 1, x: 0, y: 0, isFitted: true });
  }

  fit(width, height, radiograph) {
    const scale = Math.min(width / radiograph.columns, height / radiograph.rows);
    Object.assign(this, {
      scale, x: (width - radiograph.columns * scale) / 2, y: (height - radiograph.rows * scale) / 2, isFitted: true,
    });
  }

  // Zooms around a position of the frame.
  zoom(factor, x, y) {
    const scale = Math.min(LARGEST, Math.max(SMALLEST, this.scale * factor));
    const change = scale / this.scale;
    Object.assign(this, { scale, x: x - (x - this.x) * change, y: y - (y - this.y) * change, isFitted: false });
  }

  pan(x, y) {
    this.x += x;
    this.y += y;
    this.isFitted = false;
  }

  toImage(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }
}
