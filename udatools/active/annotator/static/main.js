// SPDX-License-Identifier: Apache-2.0
// The annotator page: brings tasks, pixels, keys and pointers together. What it knows is on the server or in the outbox.

import { getPackage, newId, Outbox, Server, storage } from './api.js';
import { display } from './display.js';
import { bindKeys } from './keys.js';
import { bindFind, buildActions, buildLegend, buildTools, helpBody } from './legend.js';
import { ImageModel, OPEN, runsOf, VOID } from './model.js';
import { Pointer } from './pointer.js';
import { sharing } from './sharing.js';
import { TOOLS } from './tools.js';
import { colourTable, View } from './view.js';

const IDLE = 60; // seconds; a longer pause is a break and does not count as work
const $ = (id) => document.getElementById(id);

class App {
  async start() {
    this.package = await getPackage();
    this.server = new Server(this.package.request_id, () => this.otherRequest());
    if (location.search) history.replaceState(null, '', location.pathname); // the token is in a cookie now
    this.kind = this.package.kind;
    this.points = this.kind === 'points';
    this.session = sessionStorage.getItem('udatools.session') ?? newId();
    sessionStorage.setItem('udatools.session', this.session);
    this.colours = colourTable(this.package.classes);
    this.names = new Map([...this.package.classes.map((row) => [row.id, row.name]), [VOID, 'unsure'], [OPEN, 'rubbed out']]);
    this.current = this.package.classes[0].id;
    this.brushRadius = 3;
    this.selection = [];
    this.cursor = null;
    this.cache = new Map();
    this.view = new View($('stage'), this.colours);
    this.view.points = this.points;
    this.buildPage();
    this.who = await this.askWho();
    $('person').textContent = this.who;
    this.outbox = new Outbox(this.server, this.session, {
      state: (pending, error) => this.showSaved(pending, error),
      stored: (result, event) => this.stored(result, event),
      progress: (progress) => {
        this.showProgress(progress);
        this.stopAtBudget();
      },
    });
    this.showMoved();
    this.channel = new BroadcastChannel(`udatools.${this.package.request_id}`);
    this.channel.onmessage = ({ data }) => this.heard(data);
    await this.outbox.flush();
    this.history = (await this.server.post('history', { who: this.who })).events;
    this.since = performance.now(); // time between answers counts from here
    await this.next();
    this.watch();
  }

  buildPage() {
    const { classes, round, rounds, run } = this.package;
    $('title').textContent = `${run ? `${run} · ` : ''}Round ${round}${rounds ? ` of ${rounds}` : ''}`;
    $('question').textContent = { points: 'What is at the crosshair?', regions: 'What is in this region?', segments: 'What is outlined?' }[this.kind];
    this.tools = this.points ? [] : this.kind === 'regions' ? TOOLS.slice(0, 2) : TOOLS;
    this.legend = buildLegend($('legend'), classes, (id) => this.choose(id));
    bindFind($('find'), classes, this.legend, (id) => this.choose(id), () => $('stage').focus({ preventScroll: true }));
    this.actions = buildActions($('actions'), [
      { id: 'void', title: 'Unsure', key: ' ', label: 'No class fits, or it cannot be told', act: () => this.choose(VOID) },
      this.points
        ? { id: 'skip', title: 'Skip', key: 'Enter', label: 'Comes back at the end', act: () => this.skip() }
        : { id: 'skip', title: 'Next image', key: 'Enter', label: 'What is left here comes back at the end', act: () => this.skip() },
      { id: 'undo', title: 'Undo', key: 'Backspace', label: 'Take the last answer back', act: () => this.undo() },
      ...(this.kind === 'segments' ? [{ id: 'erase', title: 'Rub out', key: 'Delete', label: 'Make answered pixels open again', act: () => this.choose(OPEN) }] : []),
    ]);
    this.toolButtons = buildTools($('tools'), this.tools, (id) => this.useTool(id));
    $('tools').hidden = !this.tools.length;
    $('help-body').append(...helpBody(this.kind, classes, this.tools));
    $('stage-help').textContent = 'Keys answer here; press question mark for help. Escape, then Tab, leads to the buttons.';
    this.toolset = new Map(this.tools.map((Kind) => [Kind.id, new Kind(this)]));
    this.toolKind = this.tools[0] ?? null;
    this.view.drawing = (context, view) => this.tool?.draw?.(context, view);
    this.pointer = new Pointer($('stage'), this.view, () => this.tool);
    bindKeys(this);
    for (const name of ['brightness', 'contrast']) {
      $(name).addEventListener('input', () => {
        $('picture').style.filter = `brightness(${$('brightness').value}%) contrast(${$('contrast').value}%)`;
      });
      $(name).addEventListener('dblclick', () => { $(name).value = 100; $(name).dispatchEvent(new Event('input')); });
    }
    $('brush-size').addEventListener('input', () => this.resizeBrush(Number($('brush-size').value) / 2 - this.brushRadius));
    $('zoom-in').addEventListener('click', () => this.view.zoom(1.5));
    $('zoom-out').addEventListener('click', () => this.view.zoom(1 / 1.5));
    $('zoom-fit').addEventListener('click', () => this.view.fit());
    $('peek').addEventListener('click', () => this.togglePeek());
    $('help-button').addEventListener('click', () => $('help').showModal());
    $('done-again').addEventListener('click', () => { $('done').close(); this.next(); });
    $('done-back').addEventListener('click', () => { $('done').close(); this.undo(); });
    $('inset').addEventListener('click', (event) => {
      const box = $('inset-canvas').getBoundingClientRect();
      if (this.model) this.view.moveTo((event.clientX - box.left) / box.width * this.model.width, (event.clientY - box.top) / box.height * this.model.height);
    });
    $('stage').addEventListener('viewchange', () => {
      $('zoom-value').textContent = `${Math.round(this.view.scale * 100)} %`;
      if (this.points) storage.set('udatools.zoom', String(this.view.scale));
    });
    this.resizeBrush(0);
    this.showTool();
  }

  get tool() {
    return this.toolKind ? this.toolset.get(this.toolKind.id) : null;
  }

  async askWho() {
    if (this.package.who) return this.package.who;
    const dialog = $('who-dialog');
    $('who-name').value = storage.get('udatools.who') ?? '';
    dialog.addEventListener('cancel', (event) => event.preventDefault());
    dialog.showModal();
    return new Promise((resolve) => {
      $('who-form').addEventListener('submit', (event) => {
        const name = $('who-name').value.trim();
        if (!name) {
          event.preventDefault();
          return;
        }
        storage.set('udatools.who', name);
        resolve(name);
      });
    });
  }

  // ---- tasks --------------------------------------------------------------------------------------------------

  /** Load the next task, or a named image. */
  async next(wanted = {}) {
    if (this.loading) return;
    this.loading = true;
    $('banner').hidden = true;
    try {
      await this.outbox.flush();
      const release = this.model && this.model.image !== wanted.image && (!this.points || !this.model.openUnits().length) ? [this.model.image] : [];
      const reply = await this.server.post('tasks', { who: this.who, release, ...wanted });
      this.showProgress(reply.progress);
      if (reply.task) await this.open(reply.task, wanted.region);
      else this.finished(reply);
    } catch (error) {
      this.failed(error);
    } finally {
      this.loading = false;
    }
  }

  picture(image) {
    if (!this.cache.has(image)) {
      const load = async () => {
        const [picture, regions] = await Promise.all([this.server.image(image, 'picture'), this.server.image(image, 'regions')]);
        const guess = this.package.show_predictions ? await (await this.server.image(image, 'prediction')).arrayBuffer() : null;
        return { bitmap: await createImageBitmap(await picture.blob()), triples: new Uint32Array(await regions.arrayBuffer()), guess: guess?.byteLength ? new Uint8Array(guess) : null };
      };
      const loaded = load();
      loaded.catch(() => this.cache.delete(image));
      this.cache.set(image, loaded);
      if (this.cache.size > 4) this.cache.delete(this.cache.keys().next().value);
    }
    return this.cache.get(image);
  }

  async open(task, region) {
    const { bitmap, triples, guess } = await this.picture(task.image);
    const again = this.model?.image === task.image;
    this.model = new ImageModel(task, triples);
    this.guess = guess;
    for (const event of this.outbox.waitingFor(this.who, task.image)) if (!this.model.has(event.event_id)) this.model.apply(event);
    this.queue = task.units.slice();
    $('image-name').textContent = task.name;
    $('done').close();
    this.selection = [];
    this.view.show(this.model, bitmap);
    if (!again && !this.points) this.view.fit();
    if (region && !this.points) this.select(this.model.units.flatMap((unit, i) => (unit.region === region ? [i] : [])).slice(0, 1));
    else this.advance();
    document.body.dataset.ready = String(task.image);
    setTimeout(() => this.prefetch(), 400);
  }

  /** Have the next picture here before it is needed. */
  async prefetch() {
    try {
      const { image } = await this.server.post('upcoming', { who: this.who, exclude: [this.model.image] });
      if (image !== null) await this.picture(image);
    } catch { /* it is loaded when it is needed */ }
  }

  openCount() {
    return this.model.openUnits().length;
  }

  /** Go to what is open next. */
  advance(from = -1) {
    const { model } = this;
    if (this.points) {
      const number = (region) => model.units.findIndex((unit) => unit.region === region);
      while (this.queue.length && !model.isOpen(number(this.queue[0]))) this.queue.shift();
      if (!this.queue.length) {
        this.select([]);
        this.next();
        return;
      }
      this.select([number(this.queue[0])]);
      this.centre();
      return;
    }
    const open = model.openUnits();
    if (!open.length) {
      this.select([]);
      this.showBanner();
      return;
    }
    const place = model.placeOf.get(from) ?? -1;
    this.select([open.find((number) => model.placeOf.get(number) > place) ?? open[0]], true);
  }

  centre() {
    const unit = this.model.units[this.selection[0]];
    if (!unit) return;
    const usual = Math.max(6, this.view.fitScale() * 3);
    this.view.moveTo((unit.x0 + unit.x1) / 2, (unit.y0 + unit.y1) / 2, Number(storage.get('udatools.zoom')) || usual);
  }

  select(numbers, reveal = false) {
    this.selection = numbers;
    this.view.current = numbers[0];
    if (!this.points) this.view.select(numbers);
    if (reveal && numbers.length) this.view.reveal(this.model.units[numbers[0]]);
    this.showContext();
    this.view.changed();
  }

  // ---- answering ----------------------------------------------------------------------------------------------

  /** A class key or button: the brush's class, or the answer to what is selected. */
  choose(value) {
    if (!this.model || document.querySelector('dialog[open]')) return;
    if (value !== VOID && value !== OPEN) this.current = value;
    if (this.toolKind?.holdsClass) {
      this.current = value;
      this.showTool();
      return;
    }
    if (this.selection.length) this.answer(this.selection, value);
    else if (this.model.count) this.toast('Select a region first');
    this.showTool();
  }

  /** Label units: what is open of them, or all of them if nothing is. */
  answer(numbers, value, { stay = false } = {}) {
    const { model } = this;
    if (value === OPEN || this.kind === 'segments') {
      const open = numbers.flatMap((number) => model.openPixels(number));
      const pixels = value !== OPEN && open.length ? open : numbers.flatMap((number) => model.units[number].pixels);
      const region = model.units[numbers[0]].region;
      const whole = numbers.length === 1 && value !== OPEN && pixels.length === model.byRegion.get(region).length;
      if (whole) this.emit(value === VOID ? 'void' : 'label', { region, value });
      else if (value === OPEN) this.emit('paint', { value, runs: runsOf(model.flatOf(pixels)) });
      else this.emit(value === VOID ? 'void' : 'label', { region: numbers.length === 1 ? region : 0, value, runs: runsOf(model.flatOf(pixels)) });
    } else {
      for (const number of numbers) this.emit(value === VOID ? 'void' : 'label', { region: model.units[number].region, value });
    }
    this.announce(this.names.get(value));
    if (!stay) this.advance(numbers[0]);
    else if (!this.openCount()) this.showBanner();
  }

  paint(pixels, value) {
    this.emit('paint', { value, runs: runsOf(this.model.flatOf(pixels)) });
    this.select([]);
    this.showBanner();
  }

  /** Cut `pixels` off their units, then select the units inside `wanted`. */
  split(pixels, wanted) {
    if (pixels.length) this.emit('split', { runs: runsOf(this.model.flatOf(pixels)) });
    const inside = new Set(wanted);
    const numbers = [...new Set(wanted.map((k) => this.model.unitOf[k]))].filter((number) => this.model.units[number].pixels.every((k) => inside.has(k)));
    const open = numbers.filter((number) => this.model.isOpen(number));
    this.select(open.length ? open : numbers);
    if (!wanted.length) this.toast('No asked pixels there');
  }

  emit(kind, { region = 0, value = null, runs = null, undoes = null, image = this.model.image } = {}) {
    const now = performance.now();
    const seconds = Math.min(IDLE, (now - this.since) / 1000);
    this.since = now;
    const clicks = kind === 'skip' || kind === 'undo' ? 0 : 1;
    const event = { event_id: newId(), image, kind, region, value, runs, undoes, seconds: Math.round(seconds * 1000) / 1000, clicks };
    if (kind === 'undo') this.history = this.history.filter((other) => other.event_id !== undoes);
    else this.history.push({ event_id: event.event_id, image, kind, region });
    this.outbox.add(this.who, event);
    this.channel.postMessage({ who: this.who, event });
    this.take(event);
    queueMicrotask(() => this.stopAtBudget()); // after what the answer leads to on the page
  }

  take(event) {
    if (!this.model || event.image !== this.model.image || this.model.has(event.event_id)) return;
    this.model.apply(event);
    this.view.labelsChanged();
    if (event.kind === 'split' || event.kind === 'undo') this.select(this.selection.filter((number) => number < this.model.units.length));
    this.showContext();
  }

  skip() {
    if (!this.model || this.loading || document.querySelector('dialog[open]')) return;
    if (this.points && this.selection.length) {
      this.emit('skip', { region: this.model.units[this.selection[0]].region });
      this.queue.shift();
      this.advance();
    } else {
      if (!this.points && this.openCount()) this.emit('skip');
      this.next();
    }
  }

  async undo() {
    if (this.loading) return;
    const last = this.history.at(-1);
    if (!last) {
      this.toast('Nothing to undo');
      return;
    }
    this.emit('undo', { undoes: last.event_id, image: last.image, region: last.region });
    this.announce('undone');
    $('done').close();
    if (last.image !== this.model?.image) {
      await this.next({ image: last.image, region: last.region });
    } else if (this.points) {
      this.queue = [last.region, ...this.queue.filter((region) => region !== last.region)];
      this.advance();
    } else {
      $('banner').hidden = true;
      const number = this.model.units.findIndex((unit, i) => unit.region === last.region && this.model.isOpen(i));
      this.select(number < 0 ? [] : [number], true);
    }
  }

  // ---- tools --------------------------------------------------------------------------------------------------

  useTool(id) {
    this.tool?.cancel();
    this.toolKind = this.tools.find((Kind) => Kind.id === id) ?? this.toolKind;
    this.cursor = null;
    if (!this.toolKind.holdsClass && (this.current === VOID || this.current === OPEN)) this.current = this.package.classes[0].id;
    if (this.toolKind.holdsClass) this.select([]);
    else if (this.model && !this.selection.length && this.openCount()) this.advance();
    this.showTool();
    this.showContext();
    this.view.changed();
  }

  resizeBrush(change) {
    this.brushRadius = Math.max(0, Math.min(20, this.brushRadius + change));
    $('brush-size').value = this.brushRadius * 2;
    $('brush-size-value').textContent = this.brushRadius ? `${2 * this.brushRadius} px` : '1 px';
    this.view.changed();
  }

  togglePeek() {
    this.view.peek = !this.view.peek;
    $('peek').setAttribute('aria-pressed', String(this.view.peek));
    this.view.changed();
  }
}

Object.assign(App.prototype, display, sharing);

const app = new App();
app.start().catch((error) => app.toast(error.message, true));
