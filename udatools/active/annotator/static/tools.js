// SPDX-License-Identifier: Apache-2.0
// What a pointer or the keyboard's cursor does to regions: select, stamp, brush, lasso, cut.
//
// `app` gives the model and the view, and takes the outcome: select(units), answer(units, value), paint(pixels, value),
// split(pixels). Nothing here is stored before a gesture is complete.

const REACH = 12; // screen pixels around a tap in which a region counts as hit

class Tool {
  constructor(app) {
    this.app = app;
  }

  unitAt(x, y) {
    return this.app.model.unitNear(x, y, Math.max(0.5, REACH / this.app.view.scale));
  }

  cancel() {}

  /** Enter at the keyboard's cursor. */
  enter(x, y) {
    this.tap?.(x, y);
  }
}

class Select extends Tool {
  static id = 'select';
  static title = 'Select';
  static key = ',';
  static hint = 'Click a region, then its class';

  tap(x, y) {
    const unit = this.unitAt(x, y);
    this.app.select(unit < 0 ? [] : [unit]);
  }
}

class Stamp extends Tool {
  static id = 'stamp';
  static title = 'Stamp';
  static key = "'";
  static hint = 'Choose a class, then click its regions';
  static holdsClass = true;

  tap(x, y) {
    const unit = this.unitAt(x, y);
    if (unit >= 0) this.app.answer([unit], this.app.current, { stay: true });
  }
}

class Brush extends Tool {
  static id = 'brush';
  static title = 'Brush';
  static key = '.';
  static hint = 'Choose a class, then paint; only asked pixels take it';
  static holdsClass = true;
  draws = true;

  get radius() {
    return this.app.brushRadius;
  }

  down(x, y) {
    this.stroke = new Set();
    this.last = [x, y];
    this.move(x, y);
  }

  move(x, y) {
    if (!this.stroke) return;
    for (const k of this.app.model.pixelsNearSegment(...this.last, x, y, this.radius)) this.stroke.add(k);
    this.last = this.pointer = [x, y];
    this.app.view.changed();
  }

  up(x, y) {
    if (!this.stroke) return;
    this.move(x, y);
    const painted = [...this.stroke];
    this.stroke = null;
    if (painted.length) this.app.paint(painted, this.app.current);
    this.app.view.changed();
  }

  cancel() {
    this.stroke = null;
    this.app.view.changed();
  }

  hover(at) {
    this.pointer = at;
    this.app.view.changed();
  }

  enter(x, y) {
    this.down(x, y);
    this.up(x, y);
  }

  draw(context, view) {
    const { model } = this.app;
    if (this.stroke) {
      context.fillStyle = `rgba(${this.app.colours(this.app.current).join()},.9)`;
      for (const k of this.stroke) {
        const [x, y] = view.toStage(model.flat[k] % model.width, Math.floor(model.flat[k] / model.width));
        context.fillRect(x, y, view.scale, view.scale);
      }
    }
    const at = this.app.cursor ?? this.pointer;
    if (!at) return;
    const [x, y] = view.toStage(...at);
    for (const [colour, width] of [['#000', 3], ['#fff', 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      context.arc(x, y, Math.max(3, (this.radius || 0.5) * view.scale), 0, 7);
      context.stroke();
    }
  }
}

/** A line that is drawn freehand, or corner by corner with the keyboard. */
class Line extends Tool {
  draws = true;
  path = [];

  down(x, y) {
    this.path = [[x, y]];
  }

  move(x, y) {
    if (!this.path.length) return;
    this.extend(x, y);
    this.app.view.changed();
  }

  up() {
    const path = this.path;
    this.path = [];
    if (path.length > 1) this.finish(path);
    this.app.view.changed();
  }

  cancel() {
    this.path = [];
    this.app.view.changed();
  }

  draw(context, view) {
    const at = this.app.cursor;
    const path = at && this.path.length ? [...this.path, at] : this.path;
    for (const [colour, width, dash] of [['#000', 4, []], ['#fff', 2, [6, 4]]]) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.setLineDash(dash);
      context.beginPath();
      path.forEach((point, i) => context[i ? 'lineTo' : 'moveTo'](...view.toStage(...point)));
      context.stroke();
    }
    context.setLineDash([]);
    if (at) {
      const [x, y] = view.toStage(...at);
      context.strokeStyle = '#fff';
      context.strokeRect(x - 4, y - 4, 8, 8);
    }
  }
}

class Lasso extends Line {
  static id = 'lasso';
  static title = 'Lasso';
  static key = '/';
  static hint = 'Draw around what belongs together; regions are split along the line';

  extend(x, y) {
    this.path.push([x, y]);
  }

  enter(x, y) {
    const last = this.path.at(-1);
    if (last && last[0] === x && last[1] === y) this.up();
    else this.path.push([x, y]);
    this.app.view.changed();
  }

  finish(path) {
    const inside = this.app.model.pixelsInside(path);
    this.app.split(this.app.model.cutBy(inside), inside);
  }
}

class Cut extends Line {
  static id = 'cut';
  static title = 'Cut';
  static key = ';';
  static hint = 'Drag a straight line across a region to cut it in two';

  extend(x, y) {
    this.path[1] = [x, y];
  }

  enter(x, y) {
    this.path.push([x, y]);
    if (this.path.length === 2) this.up();
    this.app.view.changed();
  }

  /** Regions with asked pixels near the line are cut along the whole line that it lies on; its left side is the new part. */
  finish([[x0, y0], [x1, y1]]) {
    const { model } = this.app;
    const crossed = new Set(model.pixelsNearSegment(x0, y0, x1, y1, 0.75).map((k) => model.unitOf[k]));
    const left = [];
    for (const number of crossed) {
      for (const k of model.units[number].pixels) {
        const x = model.flat[k] % model.width + 0.5, y = Math.floor(model.flat[k] / model.width) + 0.5;
        if ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) < 0) left.push(k);
      }
    }
    const cut = model.cutBy(left);
    this.app.split(cut, cut);
  }
}

export const TOOLS = [Select, Stamp, Brush, Lasso, Cut];
