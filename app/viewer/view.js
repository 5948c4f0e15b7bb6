// The transform from source pixels to CSS pixels of the frame: a flip, quarter turns, the scale, then the translation.

const SMALLEST = 0.02;
const LARGEST = 40;
const TURNS = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // cosine and sine

export class View {
  constructor() {
    Object.assign(this, { scale: 1, x: 0, y: 0, turns: 0, isFlipped: false, isFitted: true });
  }

  // [a, b, c, d]: the source direction (u, v) is (a u + c v, b u + d v) on the screen, as in a canvas transform.
  get orientation() {
    const [cosine, sine] = TURNS[this.turns];
    const mirror = this.isFlipped ? -1 : 1;
    return [cosine * mirror, sine * mirror, -sine, cosine];
  }

  copy(other) {
    Object.assign(this, { ...other });
  }

  fit(width, height, { columns, rows }) {
    const [a, b, c, d] = this.orientation;
    const scale = Math.min(width / Math.abs(a * columns + c * rows), height / Math.abs(b * columns + d * rows));
    this.scale = scale;
    this.centre(columns / 2, rows / 2, width / 2, height / 2);
    this.isFitted = true;
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

  // Rotates clockwise on the screen, around a position of the frame.
  rotate(x, y) {
    const place = this.toImage(x, y);
    this.turns = (this.turns + 1) % 4;
    this.centre(...place, x, y);
  }

  // Mirrors left and right on the screen, around a position of the frame.
  flip(x, y) {
    const place = this.toImage(x, y);
    Object.assign(this, { turns: (4 - this.turns) % 4, isFlipped: !this.isFlipped });
    this.centre(...place, x, y);
  }

  centre(column, row, x, y) {
    Object.assign(this, { x: 0, y: 0 });
    const [left, top] = this.toFrame(column, row);
    Object.assign(this, { x: x - left, y: y - top });
  }

  toImage(x, y) {
    const [a, b, c, d] = this.orientation;
    const [right, down] = [(x - this.x) / this.scale, (y - this.y) / this.scale];
    return [a * right + b * down, c * right + d * down];
  }

  toFrame(column, row) {
    const [a, b, c, d] = this.orientation;
    return [this.x + this.scale * (a * column + c * row), this.y + this.scale * (b * column + d * row)];
  }
}
