// SPDX-License-Identifier: Apache-2.0
// The panel of buttons: classes with colour and key, the other answers, the tools.

/** An element with attributes, properties and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'on') for (const [type, listener] of Object.entries(value)) made.addEventListener(type, listener);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A button that does not take the focus from the stage when it is clicked, so that keys go on working there. */
export function button(attributes, act, ...children) {
  return element('button', { type: 'button', ...attributes, on: { mousedown: (event) => event.preventDefault(), click: act } }, ...children);
}

const CAPS = { ' ': 'Space', Enter: '\u21b5', Backspace: '\u232b', Delete: 'Del' };

export function keycap(key) {
  return key ? element('kbd', { 'aria-hidden': 'true' }, CAPS[key] ?? key.toUpperCase()) : null;
}

export function buildLegend(host, classes, choose) {
  const buttons = new Map();
  for (const row of classes) {
    const swatch = element('i', { class: 'swatch', 'aria-hidden': 'true' });
    swatch.style.background = `rgb(${row.colour.join()})`;
    const made = button({ class: 'class', 'data-class': row.id, 'aria-keyshortcuts': row.key || null, title: row.name },
      () => choose(row.id), swatch, element('span', {}, row.name), keycap(row.key));
    buttons.set(row.id, made);
    host.append(made);
  }
  host.classList.toggle('many', classes.length > 8);
  return buttons;
}

/** Where there are more classes than keys: the field narrows the legend to what is typed, Enter takes the first that is left. */
export function bindFind(row, classes, buttons, choose, leave) {
  const field = row.querySelector('input');
  row.hidden = classes.every(({ key }) => key);
  const left = () => classes.filter(({ name }) => name.toLowerCase().includes(field.value.trim().toLowerCase()));
  const narrow = () => {
    const ids = new Set(left().map(({ id }) => id));
    for (const [id, made] of buttons) made.hidden = !ids.has(id);
  };
  field.addEventListener('input', narrow);
  field.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' && event.key !== 'Escape') return;
    event.preventDefault();
    const [first] = left(), chosen = event.key === 'Enter' && field.value.trim() && first;
    if (event.key === 'Enter' && !chosen) return;
    field.value = '';
    narrow();
    leave();
    if (chosen) choose(chosen.id);
  });
}

export function buildActions(host, actions) {
  const buttons = {};
  for (const { id, title, key, label, act } of actions) {
    buttons[id] = button({ class: 'action', id: `action-${id}`, title: label, 'aria-keyshortcuts': key === ' ' ? 'Space' : key }, act,
      element('span', {}, title), keycap(key));
    host.append(buttons[id]);
  }
  return buttons;
}

export function buildTools(host, tools, choose) {
  const buttons = new Map();
  for (const tool of tools) {
    const made = button({ class: 'tool', id: `tool-${tool.id}`, 'aria-pressed': 'false', title: `${tool.hint} (${tool.key})`, 'aria-keyshortcuts': tool.key },
      () => choose(tool.id), element('span', {}, tool.title), keycap(tool.key));
    buttons.set(tool.id, made);
    host.append(made);
  }
  return buttons;
}

/** Help as rows of keys and what they do. */
export function helpRows(kind, classes) {
  const keys = classes.filter((row) => row.key).map((row) => row.key.toUpperCase());
  const shown = keys.length > 6 ? [...keys.slice(0, 3), '…', keys.at(-1)] : keys;
  const points = kind === 'points';
  const rows = [
    [shown, points ? 'The class of the pixel in the crosshair' : 'The class of the selected region'],
    ...(classes.some((row) => !row.key) ? [[['F2'], 'Find a class by its name; Enter takes the first that is left']] : []),
    [['Space'], 'Unsure: no class fits, or it cannot be told. This is an answer'],
    [['Enter'], points ? 'Skip: the point comes back at the end' : 'Next image; what is left here comes back at the end'],
    [['Backspace'], 'Undo, answer by answer (also Ctrl+Z)'],
  ];
  if (!points) {
    rows.push([['Tab', 'Shift Tab'], 'Next or previous open region (Esc first, to reach the buttons with Tab)'],
      [['←', '↑', '→', '↓'], 'The region in that direction; with a drawing tool, move its cursor (Shift: further)']);
  } else {
    rows.push([['←', '↑', '→', '↓'], 'Look around; the next point is centred again']);
  }
  rows.push([['+', '-'], 'Zoom (also wheel or pinch)'], [['Home'], points ? 'Back to the point' : 'The whole image'], [['`'], 'Hide outlines and labels']);
  return rows;
}

export function helpBody(kind, classes, tools) {
  const table = element('dl', { class: 'keys' });
  for (const [keys, what] of helpRows(kind, classes)) {
    table.append(element('dt', {}, ...keys.map((key) => element('kbd', {}, key))), element('dd', {}, what));
  }
  const lead = {
    points: 'One pixel is asked at a time. Say what the pixel in the middle of the crosshair shows, not what is around it.',
    regions: 'Every outlined region takes one class: the one that covers most of it.',
    segments: 'Only outlined pixels are asked. Label a region as a whole, or paint, lasso or cut it where it mixes classes.',
  }[kind];
  const columns = element('div', { class: 'columns' }, table);
  if (tools.length) {
    const list = element('dl', { class: 'keys' });
    for (const tool of tools) list.append(element('dt', {}, element('kbd', {}, tool.key)), element('dd', {}, `${tool.title}: ${tool.hint.toLowerCase()}`));
    list.append(element('dt', {}, element('kbd', {}, '['), element('kbd', {}, ']')), element('dd', {}, 'Brush size'),
      element('dt', {}, element('kbd', {}, 'Enter')), element('dd', {}, 'With a drawing tool: paint at the cursor, or set a corner (twice on a spot ends the lasso)'));
    columns.append(list);
  }
  const saved = 'Every answer is saved the moment you give it. You can close this page at any time and go on later.';
  return [element('p', {}, lead), columns, element('p', { class: 'muted' }, saved)];
}
