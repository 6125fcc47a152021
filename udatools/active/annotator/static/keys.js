// SPDX-License-Identifier: Apache-2.0
// The keyboard: everything on the page can be done with it alone.

import { OPEN, VOID } from './model.js';

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The unit whose middle is nearest in a direction, sideways distance counting double. */
export function neighbour(model, from, [dx, dy]) {
  const middle = (unit) => [(unit.x0 + unit.x1) / 2, (unit.y0 + unit.y1) / 2];
  const [x, y] = middle(model.units[from]);
  let best = -1, cost = Infinity;
  model.units.forEach((unit, number) => {
    const [u, v] = middle(unit), ahead = (u - x) * dx + (v - y) * dy, aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    if (number !== from && ahead > 0 && ahead + 2 * aside < cost) [best, cost] = [number, ahead + 2 * aside];
  });
  return best;
}

export function bindKeys(app) {
  const stage = document.getElementById('stage');
  const classes = new Map(app.package.classes.filter((row) => row.key).map((row) => [row.key.toLowerCase(), row.id]));
  const middle = () => [Math.floor(app.view.x) + 0.5, Math.floor(app.view.y) + 0.5];

  function choose(event, id) {
    if (!event.repeat) app.choose(id);
  }

  function arrow(event, [dx, dy]) {
    const { tool, view, model } = app;
    if (tool?.draws) {
      const step = event.shiftKey ? 10 : 1;
      app.cursor ??= middle();
      app.cursor = [Math.max(0.5, Math.min(model.width - 0.5, app.cursor[0] + dx * step)), Math.max(0.5, Math.min(model.height - 0.5, app.cursor[1] + dy * step))];
      const [px, py] = view.toStage(...app.cursor);
      if (px < 40 || py < 40 || px > view.width - 40 || py > view.height - 40) view.moveTo(...app.cursor);
      view.changed();
    } else if (app.points || event.shiftKey || !app.selection.length) {
      view.pan(-dx * 60, -dy * 60);
      if (!app.points && !event.shiftKey && model.units.length) app.select([model.sequence[0]], true);
    } else {
      const number = neighbour(model, app.selection[0], [dx, dy]);
      if (number >= 0) app.select([number], true);
    }
  }

  function step(direction) {
    const { model } = app, open = model.openUnits();
    if (!open.length) return;
    const here = model.placeOf.get(app.selection[0]) ?? -1;
    const places = open.map((number) => model.placeOf.get(number));
    const found = direction > 0 ? places.findIndex((place) => place > here) : places.findLastIndex((place) => place < here);
    app.select([found < 0 ? open.at(direction > 0 ? 0 : -1) : open[found]], true);
  }

  document.addEventListener('keydown', (event) => {
    const { target } = event;
    if (event.defaultPrevented || event.isComposing || document.querySelector('dialog[open]') || target.matches('#who-name, #find-class')) return;
    const onStage = target === stage || target === document.body;
    const onButton = target.matches('button, input');
    if (event.key === '?') {
      document.getElementById('help').showModal();
    } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'z') {
      app.undo();
    } else if (event.ctrlKey || event.metaKey || event.altKey || !app.model) {
      return;
    } else if (event.key === 'Tab') {
      if (!onStage || app.points || app.leaving) return;
      step(event.shiftKey ? -1 : 1);
    } else if (event.key === 'Escape') {
      if (app.tool?.path?.length || app.tool?.stroke) app.tool.cancel();
      else if (app.toolKind && app.toolKind !== app.tools[0]) app.useTool(app.tools[0].id);
      else {
        app.leaving = true;
        app.announce('Tab leads to the buttons now');
        app.toast('Tab leads to the buttons now; an arrow key goes back to the regions');
      }
    } else if (event.key in ARROWS) {
      if (target.matches('input')) return;
      app.leaving = false;
      stage.focus({ preventScroll: true });
      arrow(event, ARROWS[event.key]);
    } else if (event.key === ' ') {
      if (onButton) return;
      app.choose(VOID);
    } else if (event.key === 'Enter') {
      if (onButton) return;
      if (app.tool?.draws && app.cursor) app.tool.enter(...app.cursor);
      else if (app.tool?.draws && app.openCount()) {
        app.cursor = middle();
        app.toast('The cursor is in the middle: arrows move it, Enter draws');
        app.view.changed();
      } else app.skip();
    } else if (event.key === 'Backspace') {
      if (app.tool?.path?.length) {
        app.tool.path.pop();
        app.view.changed();
      } else app.undo();
    } else if (event.key === 'Delete') {
      if (app.kind === 'segments') app.choose(OPEN);
    } else if (classes.has(event.key.toLowerCase())) {
      choose(event, classes.get(event.key.toLowerCase()));
    } else if (event.key === 'F2') {
      if (document.getElementById('find').hidden) return;
      document.getElementById('find-class').focus();
    } else if (event.key === '+' || event.key === '=') {
      app.view.zoom(1.25);
    } else if (event.key === '-' || event.key === '_') {
      app.view.zoom(1 / 1.25);
    } else if (event.key === 'Home') {
      if (app.points) app.centre();
      else app.view.fit();
    } else if (event.key === '[' || event.key === 'PageDown') {
      app.resizeBrush(-0.5);
    } else if (event.key === ']' || event.key === 'PageUp') {
      app.resizeBrush(0.5);
    } else if (event.key === '`' || event.key === '\\') {
      app.togglePeek();
    } else if (app.tools.some((Kind) => Kind.key === event.key)) {
      app.useTool(app.tools.find((Kind) => Kind.key === event.key).id);
    } else {
      // What is printed on the key is nothing here: its place decides, so that classes have keys in any layout.
      const place = event.code.replace(/^(Key|Digit|Numpad)/, '').toLowerCase();
      if (!classes.has(place)) return;
      choose(event, classes.get(place));
    }
    event.preventDefault();
  });

  stage.addEventListener('focus', () => { app.leaving = false; });
}
