// SPDX-License-Identifier: Apache-2.0
// Mouse, pen and fingers on the stage: taps and strokes for the tool, drags and pinches for the view.

const DRAG = 6; // screen pixels before a press becomes a drag

export class Pointer {
  /** @param tool function that gives the tool in use: {draws, tap(x, y), down(x, y), move(x, y), up(x, y), cancel()} */
  constructor(stage, view, tool) {
    Object.assign(this, { stage, view, tool, down: new Map(), gesture: null });
    stage.addEventListener('pointerdown', (event) => this.press(event));
    stage.addEventListener('pointermove', (event) => this.move(event));
    for (const name of ['pointerup', 'pointercancel']) stage.addEventListener(name, (event) => this.lift(event));
    stage.addEventListener('pointerleave', () => { this.tool()?.hover?.(null); });
    // Otherwise a quick stroke counts as a swipe, and the browser swallows the tap that follows it on a button.
    stage.addEventListener('touchmove', (event) => { if (this.down.size) event.preventDefault(); }, { passive: false });
    stage.addEventListener('wheel', (event) => this.wheel(event), { passive: false });
    stage.addEventListener('contextmenu', (event) => event.preventDefault());
  }

  at(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  press(event) {
    if (event.target.closest('button, label, figure, #tools, #banner') || !this.view.model) return;
    this.stage.focus({ preventScroll: true });
    this.stage.setPointerCapture(event.pointerId);
    this.down.set(event.pointerId, this.at(event));
    if (this.down.size === 2) {
      this.tool()?.cancel?.();
      this.gesture = 'pinch';
    } else if (this.down.size === 1) {
      const draws = this.tool()?.draws && event.button === 0;
      this.gesture = draws ? 'draw' : 'press';
      this.start = this.at(event);
      if (draws) this.tool().down(...this.view.toImage(...this.start));
    }
  }

  move(event) {
    if (!this.view.model) return;
    const before = this.down.get(event.pointerId), now = this.at(event);
    if (!before) {
      this.tool()?.hover?.(this.view.toImage(...now));
      return;
    }
    if (this.gesture === 'pinch') {
      const other = [...this.down].find(([id]) => id !== event.pointerId)?.[1];
      if (other) {
        const spread = (a, b) => Math.max(10, Math.hypot(a[0] - b[0], a[1] - b[1]));
        const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
        this.view.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
        this.view.zoom(spread(now, other) / spread(before, other), ...middle);
      }
    } else if (this.gesture === 'draw') {
      // Between two frames the pointer may have passed many pixels; none of them is left out.
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const point of passed.length ? passed : [event]) this.tool().move(...this.view.toImage(...this.at(point)));
    } else {
      if (this.gesture === 'press' && Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) > DRAG) this.gesture = 'drag';
      if (this.gesture === 'drag') this.view.pan(now[0] - before[0], now[1] - before[1]);
    }
    this.down.set(event.pointerId, now);
  }

  lift(event) {
    if (!this.down.delete(event.pointerId)) return;
    if (event.type === 'pointercancel') this.tool()?.cancel?.();
    else if (this.gesture === 'draw') this.tool().up(...this.view.toImage(...this.at(event)));
    else if (this.gesture === 'press' && event.button === 0) this.tool()?.tap?.(...this.view.toImage(...this.at(event)));
    if (this.gesture !== 'pinch' || this.down.size === 0) this.gesture = this.down.size ? 'drag' : null;
  }

  wheel(event) {
    if (!this.view.model || event.target.closest('#tools, #banner')) return;
    event.preventDefault();
    const step = event.deltaMode === 1 ? 30 : 1;
    this.view.zoom(Math.exp(-event.deltaY * step * (event.ctrlKey ? 0.01 : 0.0016)), ...this.at(event));
  }
}
