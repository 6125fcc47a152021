// SPDX-License-Identifier: Apache-2.0
// One image of the request: its asked pixels, what is answered, and the units that people click.
//
// Labels are replayed from events exactly as the server does it (udatools/active/annotator/events.py).

export const VOID = 254;
export const OPEN = 255;
const ANSWERING = new Set(['label', 'void', 'paint']);

/** Runs [start, length, ...] of ascending, distinct numbers. */
export function runsOf(flat) {
  const runs = [];
  for (let i = 0; i < flat.length;) {
    let j = i + 1;
    while (j < flat.length && flat[j] === flat[j - 1] + 1) j++;
    runs.push(flat[i], j - i);
    i = j;
  }
  return runs;
}

export class ImageModel {
  /**
   * @param {object} task as the server gives it
   * @param {Uint32Array} triples start, length, region id of every run of asked pixels
   */
  constructor(task, triples) {
    Object.assign(this, { image: task.image, name: task.name, width: task.width, height: task.height });
    let count = 0;
    for (let i = 1; i < triples.length; i += 3) count += triples[i];
    this.count = count;
    this.flat = new Int32Array(count);
    this.region = new Int32Array(count);
    this.indexOf = new Int32Array(this.width * this.height).fill(-1);
    for (let i = 0, k = 0; i < triples.length; i += 3) {
      for (let p = triples[i]; p < triples[i] + triples[i + 1]; p++, k++) {
        this.flat[k] = p;
        this.region[k] = triples[i + 2];
        this.indexOf[p] = k;
      }
    }
    this.byRegion = new Map();
    for (let k = 0; k < count; k++) {
      if (!this.byRegion.has(this.region[k])) this.byRegion.set(this.region[k], []);
      this.byRegion.get(this.region[k]).push(k);
    }
    this.own = new Uint8Array(count);
    this.others = new Uint8Array(count).fill(OPEN);
    this.part = new Int32Array(count);
    this.update(task);
  }

  /** Take what the server knows now: events of this person, and what others answered. */
  update(task) {
    this.others.fill(OPEN);
    for (const { value, runs } of task.others) for (const k of this.indices({ runs, region: 0 })) this.others[k] = value;
    this.events = task.events.slice();
    this.order = task.units;
    this.rebuild();
  }

  has(eventId) {
    return this.events.some((event) => event.event_id === eventId);
  }

  /** Indices of the asked pixels that an event names. */
  indices(event) {
    const found = [];
    if (event.runs) {
      for (let i = 0; i < event.runs.length; i += 2) {
        for (let p = event.runs[i]; p < event.runs[i] + event.runs[i + 1]; p++) {
          if (this.indexOf[p] >= 0) found.push(this.indexOf[p]);
        }
      }
    } else if (event.region) {
      return this.byRegion.get(event.region) ?? found;
    }
    return found;
  }

  /** Apply one event; an undo takes its target out. */
  apply(event) {
    if (event.kind === 'undo') {
      this.events = this.events.filter((other) => other.event_id !== event.undoes);
      this.rebuild();
      return;
    }
    this.events.push(event);
    this.replay(event, this.events.length);
    if (event.kind === 'split') this.makeUnits();
  }

  rebuild() {
    this.own.fill(OPEN);
    this.part.fill(0);
    this.events.forEach((event, i) => this.replay(event, i + 1));
    this.makeUnits();
  }

  replay(event, number) {
    if (ANSWERING.has(event.kind)) {
      const value = event.kind === 'void' ? VOID : event.value;
      for (const k of this.indices(event)) this.own[k] = value;
    } else if (event.kind === 'split') {
      for (const k of this.indices(event)) this.part[k] = number;
    }
  }

  /** Units are regions, or the parts that splits cut them into, in the order of asking. */
  makeUnits() {
    const byKey = new Map();
    this.unitOf = new Int32Array(this.count);
    this.units = [];
    for (let k = 0; k < this.count; k++) {
      const key = this.region[k] * 65536 + this.part[k];
      if (!byKey.has(key)) {
        byKey.set(key, this.units.length);
        this.units.push({ region: this.region[k], part: this.part[k], pixels: [], x0: Infinity, y0: Infinity, x1: 0, y1: 0 });
      }
      const number = byKey.get(key), unit = this.units[number];
      const x = this.flat[k] % this.width, y = Math.floor(this.flat[k] / this.width);
      unit.pixels.push(k);
      unit.x0 = Math.min(unit.x0, x);
      unit.y0 = Math.min(unit.y0, y);
      unit.x1 = Math.max(unit.x1, x + 1);
      unit.y1 = Math.max(unit.y1, y + 1);
      this.unitOf[k] = number;
    }
    const place = new Map(this.order.map((region, i) => [region, i]));
    this.sequence = this.units.map((_, i) => i).sort((a, b) => {
      const [p, q] = [a, b].map((i) => place.get(this.units[i].region) ?? Infinity);
      return p === q ? a - b : p - q;
    });
    this.placeOf = new Map(this.sequence.map((number, i) => [number, i]));
  }

  labelAt(k) {
    return this.own[k] === OPEN ? this.others[k] : this.own[k];
  }

  openPixels(number) {
    return this.units[number].pixels.filter((k) => this.labelAt(k) === OPEN);
  }

  isOpen(number) {
    return this.units[number].pixels.some((k) => this.labelAt(k) === OPEN);
  }

  openUnits() {
    return this.sequence.filter((number) => this.isOpen(number));
  }

  /** Number of the unit at native pixel (x, y), or near it within `reach` pixels; -1 without one. */
  unitNear(x, y, reach) {
    let best = -1, distance = Infinity;
    const r = Math.ceil(reach);
    for (let v = Math.max(0, Math.floor(y) - r); v <= Math.min(this.height - 1, Math.floor(y) + r); v++) {
      for (let u = Math.max(0, Math.floor(x) - r); u <= Math.min(this.width - 1, Math.floor(x) + r); u++) {
        const k = this.indexOf[v * this.width + u];
        if (k < 0) continue;
        const d = Math.max(Math.abs(u + 0.5 - x), Math.abs(v + 0.5 - y));
        if (d <= Math.max(reach, 0.5) && d < distance) [best, distance] = [this.unitOf[k], d];
      }
    }
    return best;
  }

  /** Asked pixels whose centre is within `radius` of the segment (x0, y0)-(x1, y1), the pixels under its ends included. */
  pixelsNearSegment(x0, y0, x1, y1, radius) {
    const found = [], dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius)), right = Math.min(this.width - 1, Math.floor(Math.max(x0, x1) + radius));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius)), bottom = Math.min(this.height - 1, Math.floor(Math.max(y0, y1) + radius));
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const k = this.indexOf[y * this.width + x];
        if (k < 0) continue;
        const t = length ? Math.max(0, Math.min(1, ((x + 0.5 - x0) * dx + (y + 0.5 - y0) * dy) / length)) : 0;
        const px = x0 + t * dx, py = y0 + t * dy;
        const under = Math.floor(px) === x && Math.floor(py) === y;
        if (under || (px - x - 0.5) ** 2 + (py - y - 0.5) ** 2 <= radius * radius) found.push(k);
      }
    }
    return found;
  }

  /** Asked pixels whose centre is inside a closed polygon [[x, y], ...] (even-odd rule). */
  pixelsInside(polygon) {
    const inside = [];
    const ys = polygon.map((p) => p[1]);
    const top = Math.max(0, Math.floor(Math.min(...ys))), bottom = Math.min(this.height - 1, Math.ceil(Math.max(...ys)));
    for (let y = top; y <= bottom; y++) {
      const crossings = [];
      for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
        const [xi, yi] = polygon[i], [xj, yj] = polygon[j];
        if ((yi > y + 0.5) !== (yj > y + 0.5)) crossings.push(xi + (y + 0.5 - yi) / (yj - yi) * (xj - xi));
      }
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const first = Math.max(0, Math.ceil(crossings[i] - 0.5)), last = Math.min(this.width - 1, Math.ceil(crossings[i + 1] - 0.5) - 1);
        for (let x = first; x <= last; x++) {
          const k = this.indexOf[y * this.width + x];
          if (k >= 0) inside.push(k);
        }
      }
    }
    return inside;
  }

  /** Of `pixels`, those of units that are only partly in it: what a split would cut off. */
  cutBy(pixels) {
    const sizes = new Map();
    for (const k of pixels) sizes.set(this.unitOf[k], (sizes.get(this.unitOf[k]) ?? 0) + 1);
    return pixels.filter((k) => sizes.get(this.unitOf[k]) < this.units[this.unitOf[k]].pixels.length);
  }

  flatOf(pixels) {
    return Array.from(pixels, (k) => this.flat[k]).sort((a, b) => a - b);
  }
}
