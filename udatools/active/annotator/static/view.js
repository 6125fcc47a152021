// SPDX-License-Identifier: Apache-2.0
// The stage: where the image lies on the screen, and everything that is drawn on it.
//
// Two canvases: the picture (brightness and contrast are CSS filters on it) and what is drawn over it, in sharp screen pixels.

import { OPEN, VOID } from './model.js';

const MAX_SCALE = 64;
const ACCENT = '#ffd54a';
const INSET = 220;

export class View {
  constructor(stage, colours) {
    this.stage = stage;
    this.colours = colours;
    this.picture = stage.querySelector('#picture');
    this.overlay = stage.querySelector('#overlay');
    this.inset = stage.querySelector('#inset-canvas');
    this.layer = document.createElement('canvas');
    this.scale = this.chosen = 1; // `chosen` by the person; small regions are shown larger for a while
    this.x = this.y = 0; // native coordinates of the centre of the stage
    this.peek = false;
    this.drawing = null; // what a tool shows while it is used
    new ResizeObserver(() => this.resize()).observe(stage);
    this.resize();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.ratio = window.devicePixelRatio || 1;
    const fitted = this.model && Math.abs(this.scale - this.fitScale()) < 1e-6;
    Object.assign(this, { width, height });
    for (const canvas of [this.picture, this.overlay]) {
      canvas.width = Math.max(1, Math.round(width * this.ratio));
      canvas.height = Math.max(1, Math.round(height * this.ratio));
    }
    if (fitted) this.fit();
    this.changed();
  }

  show(model, bitmap) {
    this.model = model;
    this.bitmap = bitmap;
    this.layer.width = model.width;
    this.layer.height = model.height;
    this.pixels = this.layer.getContext('2d').createImageData(model.width, model.height);
    const small = Math.min(1, INSET / Math.max(model.width, model.height));
    this.inset.width = Math.round(model.width * small * this.ratio);
    this.inset.height = Math.round(model.height * small * this.ratio);
    this.inset.style.width = `${Math.round(model.width * small)}px`;
    this.inset.style.height = `${Math.round(model.height * small)}px`;
    this.labelsChanged();
  }

  // ---- geometry -----------------------------------------------------------------------------------------------

  fitScale() {
    return Math.min(this.width / this.model.width, this.height / this.model.height) * 0.96;
  }

  fit() {
    this.moveTo(this.model.width / 2, this.model.height / 2, this.fitScale());
    this.chosen = this.scale;
  }

  moveTo(x, y, scale = this.scale) {
    this.scale = Math.max(Math.min(this.fitScale(), 1), Math.min(MAX_SCALE, scale));
    this.x = Math.max(0, Math.min(this.model.width, x));
    this.y = Math.max(0, Math.min(this.model.height, y));
    this.changed();
  }

  /** Zoom about a point of the stage that stays where it is. */
  zoom(factor, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.toImage(px, py);
    const scale = Math.max(Math.min(this.fitScale(), 1), Math.min(MAX_SCALE, this.scale * factor));
    this.moveTo(x - (px - this.width / 2) / scale, y - (py - this.height / 2) / scale, scale);
    this.chosen = this.scale;
  }

  pan(dx, dy) {
    this.moveTo(this.x - dx / this.scale, this.y - dy / this.scale);
  }

  toImage(px, py) {
    return [this.x + (px - this.width / 2) / this.scale, this.y + (py - this.height / 2) / this.scale];
  }

  toStage(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  /** Bring a box into view at a size that can be judged, moving as little as possible and clear of the controls. */
  reveal({ x0, y0, x1, y1 }) {
    const size = Math.max(x1 - x0, y1 - y0), room = Math.min(this.width, this.height);
    const least = Math.min(18 / size, 12), most = Math.max(room * 0.8 / size, this.fitScale());
    const wanted = Math.min(Math.max(this.chosen, least), most);
    const scale = this.scale >= wanted && this.scale <= 1.7 * wanted ? this.scale : wanted; // no restless zooming
    const [left, top] = this.toStage(x0, y0), [right, bottom] = this.toStage(x1, y1);
    const inset = this.inset.parentElement, covered = !inset.hidden && left < inset.offsetLeft + inset.offsetWidth + 16 && bottom > inset.offsetTop - 16;
    const clear = left > 20 && right < this.width - 20 && top > 76 && bottom < this.height - 72 && !covered;
    if (scale === this.scale && clear) return;
    // Where the image is larger than the stage no more of its surroundings is shown than the controls cover.
    const within = (wanted, extent, stage, margin) => {
      const half = (stage / 2 - margin) / scale;
      return 2 * half >= extent ? extent / 2 : Math.max(half, Math.min(extent - half, wanted));
    };
    const x = within((x0 + x1) / 2, this.model.width, this.width, covered ? 260 : 24);
    this.moveTo(x, within((y0 + y1) / 2, this.model.height, this.height, 80), scale);
  }

  // ---- drawing ------------------------------------------------------------------------------------------------

  /** Redraw soon. */
  changed() {
    if (this.frame || !this.model) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /** Labels or units are others now. */
  labelsChanged() {
    const { model, pixels } = this;
    pixels.data.fill(0);
    for (let k = 0; k < model.count; k++) {
      const label = model.labelAt(k);
      if (label === OPEN) continue;
      const [r, g, b] = this.colours(label), at = 4 * model.flat[k];
      pixels.data[at] = r;
      pixels.data[at + 1] = g;
      pixels.data[at + 2] = b;
      pixels.data[at + 3] = model.own[k] === OPEN ? 110 : 185;
    }
    this.layer.getContext('2d').putImageData(pixels, 0, 0);
    const open = model.units.map((_, number) => model.isOpen(number));
    this.openPath = this.outline((unit) => open[unit]);
    this.donePath = this.outline((unit) => !open[unit]);
    this.changed();
  }

  /** Edges between units that pass a test and everything else, in native coordinates. */
  outline(test) {
    const path = new Path2D(), { model } = this, { width, height } = model;
    const unitAt = (x, y) => {
      if (x < 0 || y < 0 || x >= width || y >= height) return -1;
      const k = model.indexOf[y * width + x];
      return k < 0 ? -1 : model.unitOf[k];
    };
    for (let k = 0; k < model.count; k++) {
      const unit = model.unitOf[k];
      if (!test(unit)) continue;
      const x = model.flat[k] % width, y = (model.flat[k] - x) / width;
      if (unitAt(x, y - 1) !== unit) { path.moveTo(x, y); path.lineTo(x + 1, y); }
      if (unitAt(x, y + 1) !== unit) { path.moveTo(x, y + 1); path.lineTo(x + 1, y + 1); }
      if (unitAt(x - 1, y) !== unit) { path.moveTo(x, y); path.lineTo(x, y + 1); }
      if (unitAt(x + 1, y) !== unit) { path.moveTo(x + 1, y); path.lineTo(x + 1, y + 1); }
    }
    return path;
  }

  select(numbers) {
    const chosen = new Set(numbers);
    this.selectedPath = chosen.size ? this.outline((unit) => chosen.has(unit)) : null;
    this.changed();
  }

  draw() {
    const { ratio, scale } = this;
    const dx = this.width / 2 - this.x * scale, dy = this.height / 2 - this.y * scale;
    const matrix = [scale * ratio, 0, 0, scale * ratio, dx * ratio, dy * ratio];
    const below = this.picture.getContext('2d'), above = this.overlay.getContext('2d');
    for (const context of [below, above]) {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, this.picture.width, this.picture.height);
      context.setTransform(...matrix);
      context.imageSmoothingEnabled = context === below && scale < 2;
    }
    below.drawImage(this.bitmap, 0, 0);
    if (!this.peek) {
      if (this.points) this.drawPoints(above);
      else this.drawRegions(above, matrix);
    }
    this.drawInset();
    this.stage.dispatchEvent(new CustomEvent('viewchange'));
  }

  drawRegions(context, matrix) {
    const line = (path, colour, width, dash = []) => {
      context.strokeStyle = colour;
      context.lineWidth = width / this.scale;
      context.setLineDash(dash.map((length) => length / this.scale));
      context.stroke(path);
    };
    context.drawImage(this.layer, 0, 0);
    line(this.donePath, 'rgba(255,255,255,.35)', 1);
    line(this.openPath, 'rgba(0,0,0,.7)', this.scale > 3 ? 3 : 2);
    line(this.openPath, ACCENT, this.scale > 3 ? 1.5 : 1);
    if (this.selectedPath) {
      line(this.selectedPath, '#000', 4.5);
      line(this.selectedPath, '#fff', 2.5);
      line(this.selectedPath, '#0b6bff', 2.5, [5, 5]);
    }
    if (this.drawing) {
      context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
      this.drawing(context, this);
      context.setTransform(...matrix);
    }
    context.setLineDash([]);
  }

  drawPoints(context) {
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.model.units.forEach((unit, number) => {
      if (number === this.current) return;
      const [x, y] = this.toStage(unit.x0 + 0.5, unit.y0 + 0.5);
      this.dot(context, x, y, this.model.labelAt(unit.pixels[0]), 4.5);
    });
    const unit = this.model.units[this.current];
    if (!unit) return;
    const [x, y] = this.toStage(unit.x0, unit.y0), size = this.scale, gap = Math.max(14, size * 0.9), arm = gap + 46;
    const cx = x + size / 2, cy = y + size / 2;
    for (const [colour, width] of [['rgba(0,0,0,.8)', 4.5], ['#fff', 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      for (const [ux, uy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(cx + ux * gap, cy + uy * gap);
        context.lineTo(cx + ux * arm, cy + uy * arm);
      }
      context.rect(x - 1, y - 1, size + 2, size + 2);
      context.stroke();
    }
  }

  dot(context, x, y, label, radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    if (label !== OPEN) {
      context.fillStyle = `rgb(${this.colours(label).join()})`;
      context.fill();
    }
    context.strokeStyle = 'rgba(0,0,0,.75)';
    context.lineWidth = 3;
    context.stroke();
    context.strokeStyle = label === OPEN ? ACCENT : '#fff';
    context.lineWidth = 1.25;
    context.stroke();
  }

  drawInset() {
    const { inset, model } = this, context = inset.getContext('2d'), k = inset.width / model.width;
    context.setTransform(k, 0, 0, k, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(this.bitmap, 0, 0);
    if (!this.points) context.drawImage(this.layer, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (this.points) {
      model.units.forEach((unit, number) => {
        if (number !== this.current) this.dot(context, (unit.x0 + 0.5) * k, (unit.y0 + 0.5) * k, model.labelAt(unit.pixels[0]), 2.5);
      });
    }
    const [x0, y0] = this.toImage(0, 0), [x1, y1] = this.toImage(this.width, this.height);
    for (const [colour, width] of [['rgba(0,0,0,.8)', 4], ['#fff', 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.strokeRect(x0 * k, y0 * k, (x1 - x0) * k, (y1 - y0) * k);
    }
    inset.parentElement.hidden = x0 <= 0 && y0 <= 0 && x1 >= model.width && y1 >= model.height;
  }
}

/** Colour of a label, [r, g, b]; unsure is grey. */
export function colourTable(classes) {
  const table = new Map(classes.map((row) => [row.id, row.colour]));
  return (label) => (label === VOID ? [150, 158, 168] : table.get(label) ?? [255, 255, 255]);
}
