// SPDX-License-Identifier: Apache-2.0
// What the page says in words and numbers: methods of the app in main.js.

import { storage } from './api.js';
import { element } from './legend.js';
import { OPEN, VOID } from './model.js';

const $ = (id) => document.getElementById(id);

export const display = {
  showTool() {
    for (const [id, made] of this.toolButtons) made.setAttribute('aria-pressed', String(id === this.toolKind.id));
    const holds = Boolean(this.toolKind?.holdsClass);
    for (const [id, made] of [...this.legend, [VOID, this.actions.void], [OPEN, this.actions.erase]]) {
      if (!made) continue;
      if (holds) made.setAttribute('aria-pressed', String(id === this.current));
      else made.removeAttribute('aria-pressed');
    }
    if (this.actions.erase) this.actions.erase.hidden = this.toolKind?.id !== 'brush';
    $('brush-size-row').hidden = this.toolKind?.id !== 'brush';
    $('stage').dataset.tool = this.toolKind?.id ?? 'points';
  },

  showContext() {
    const { model } = this, number = this.selection[0], unit = model?.units[number];
    const parts = [];
    if (model && !unit) parts.push(this.toolKind ? this.toolKind.hint : '');
    if (unit && this.selection.length > 1) {
      const pixels = this.selection.reduce((sum, i) => sum + model.units[i].pixels.length, 0);
      parts.push(`${this.selection.length} regions selected`, `${pixels} pixels`);
    } else if (unit) {
      const open = this.openCount(), place = model.units.length - open;
      parts.push(this.points ? `x ${unit.x0}, y ${unit.y0}` : `${unit.pixels.length} pixel${unit.pixels.length > 1 ? 's' : ''} at x ${unit.x0}, y ${unit.y0}`,
        `${place} of ${model.units.length} done here`);
      const labels = new Set(unit.pixels.map((k) => model.labelAt(k)).filter((label) => label !== OPEN));
      if (labels.size) parts.push(`now: ${[...labels].map((label) => this.names.get(label)).join(', ')}`);
      if (this.guess) {
        const votes = new Map();
        for (const k of unit.pixels) votes.set(this.guess[k], (votes.get(this.guess[k]) ?? 0) + 1);
        const [best] = [...votes].sort((a, b) => b[1] - a[1])[0];
        if (this.names.has(best) && best !== OPEN) parts.push(`the model's guess: ${this.names.get(best)}`);
      }
    }
    $('context').textContent = parts.filter(Boolean).join(' · ');
    this.actions.undo.disabled = !this.history?.length;
  },

  showBanner() {
    const open = this.openCount();
    $('banner').hidden = open > 0 || this.points;
    if (open || this.points) return;
    $('banner').replaceChildren('Image finished ', element('button', { class: 'primary', type: 'button', id: 'banner-next', on: { click: () => this.next() } }, 'Next image ', element('kbd', {}, 'Enter')));
    this.announce('Image finished');
  },

  showProgress(progress) {
    const { regions, pixels, images, budget, speed, people, seconds_left: left } = progress;
    this.progress = progress;
    const share = regions.asked ? regions.done / regions.asked : 1;
    $('meter-fill').style.width = `${100 * share}%`;
    $('meter').setAttribute('aria-valuenow', String(Math.floor(100 * share)));
    $('meter').title = `${pixels.done} of ${pixels.asked} pixels, ${images.done} of ${images.asked} images`;
    $('count').textContent = `${regions.done} of ${regions.asked} ${this.points ? 'points' : 'regions'}`;
    $('speed').textContent = speed ? `${speed < 10 ? speed.toFixed(1) : Math.round(speed)} a minute` : '';
    $('budget').textContent = budget ? `${Math.round(budget.spent)} of ${Math.round(budget.limit)} ${budget.unit}` : '';
    const hours = Math.floor((left ?? 0) / 3600), minutes = Math.ceil((left ?? 0) % 3600 / 60);
    $('left').textContent = left === null || share === 1 ? '' : `${hours ? `${hours} h ` : ''}${minutes} min left${people > 1 ? ` for ${people} people` : ''}`;
  },

  showSaved(pending, error) {
    const refused = this.outbox?.refused() ?? [];
    let state = 'saved', text = refused.length ? `${refused.length} not taken` : this.outbox?.elsewhere ? `Saved; ${this.outbox.elsewhere} of another request not sent` : 'All answers saved';
    if (pending) [state, text] = ['sending', `Saving ${pending} …`];
    if (error) [state, text] = ['offline', pending ? `${pending} not sent yet, ${storage.durable ? 'kept in this browser' : 'keep this page open'}` : 'No connection'];
    $('saved').dataset.state = refused.length && !error ? 'offline' : state;
    $('saved-text').textContent = text;
    $('saved').title = error ? error.message : refused.map(({ event, why }) => `image ${event.image}, region ${event.region}: ${why}`).join('\n');
    if (error?.status < 500 && !error.served) this.toast(error.message, true);
  },

  finished({ progress: { regions, budget }, waiting }) {
    this.model = null;
    const open = regions.asked - regions.done, spent = open && this.isBudgetUsedUp();
    $('done-title').textContent = spent ? 'The budget is used up' : open ? 'Nothing free at the moment' : 'Everything is answered';
    const body = open && !spent
      ? [element('p', {}, `${open} are still open, and with: ${waiting.map(({ who, seconds }) => `${who} (at most ${Math.ceil(seconds / 60)} min)`).join(', ') || 'nobody'}. What they leave comes here by itself.`)]
      : [spent ? element('p', {}, `The answers to this request may take ${budget.limit} ${budget.unit}. ${open} are still open and are not handed out any more; what was answered is kept.`) : '',
        element('p', {}, `${regions.done} answers are in ${this.package.store}. Import them and continue the run:`),
        element('pre', {}, `python tools/active/import_answers.py .../${this.package.folder}\npython tools/train.py CONFIG --resume`),
        element('p', { class: 'muted' }, 'You can close this page.')];
    $('done-body').replaceChildren(...body);
    $('done-back').disabled = !this.history.length;
    document.body.dataset.ready = 'done';
    if (!$('done').open) $('done').showModal();
  },

  failed(error) {
    $('banner').hidden = false;
    $('banner').replaceChildren(`${error.message} `, element('button', { class: 'primary', type: 'button', on: { click: () => this.next() } }, 'Try again'));
  },

  toast(text, serious = false) {
    $('toast').textContent = text;
    $('toast').dataset.show = serious ? 'serious' : 'yes';
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => { $('toast').dataset.show = 'no'; }, serious ? 12000 : 4000);
  },

  announce(text) {
    $('announce').textContent = text;
  },
};
