// Which part of a film is seen, and how large. Lengths of the frame in CSS pixels, of the film in its own pixels.

const SMALLEST = 0.02;
const LARGEST = 40;

export class View {
  constructor() {
    Object.assign(this, { scale: 1, x: 0, y: 0, isFitted: true });
  }

  fit(width, height, film) {
    const scale = Math.min(width / film.columns, height / film.rows);
    Object.assign(this, {
      scale, x: (width - film.columns * scale) / 2, y: (height - film.rows * scale) / 2, isFitted: true,
    });
  }

  // Larger or smaller around a place of the frame, which stays where it is.
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

  toFilm(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }
}
