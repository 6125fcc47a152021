// SPDX-License-Identifier: Apache-2.0
// Other tabs, other people, and the server's view of it all: methods of the app in main.js.

import { storage } from './api.js';

const MOVED = 'udatools.moved';
const POLL = 15000; // milliseconds between two looks at the progress
const ACTIVE = 120000; // milliseconds without an answer after which tasks are no longer kept for this person
const $ = (id) => document.getElementById(id);

export const sharing = {
  watch() {
    setInterval(() => this.poll(), POLL);
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.refresh(); });
  },

  /** The server has another request now: show that one. What was not sent yet stays in the browser for its own. */
  otherRequest() {
    if (this.outbox?.pending && !storage.durable) {
      this.toast('Another request is served here now. Answers to this one were not sent and are lost when this page is closed: have this request served here again', true);
      return;
    }
    sessionStorage.setItem(MOVED, 'yes');
    location.reload();
  },

  /** Say that this is another request than a moment ago, and what waits for others. */
  showMoved() {
    const { elsewhere } = this.outbox, said = [];
    if (sessionStorage.getItem(MOVED)) said.push(`Another request is served here now, of round ${this.package.round}; this page shows it.`);
    if (elsewhere) said.push(`Answers to another request that were not sent: ${elsewhere}. They wait in this browser until it is served here again.`);
    sessionStorage.removeItem(MOVED);
    if (said.length) this.toast(said.join(' '), true);
  },

  /** Whether one more answer may go over the budget of the request. */
  isBudgetUsedUp() {
    if (!this.progress?.budget) return false;
    const { unit, left, reserve } = this.progress.budget;
    return left - this.outbox.entries().reduce((sum, { event }) => sum + event[unit], 0) < reserve;
  },

  /** Hand out nothing more once the budget is used up; a stroke that was begun is finished first. */
  stopAtBudget() {
    const drawing = this.tool?.stroke || this.tool?.path?.length;
    if (!this.loading && !drawing && (this.model || $('done').open) && this.isBudgetUsedUp()) this.finished({ progress: this.progress, waiting: [] });
  },

  stored(result, event) {
    if (result.error) this.toast(`Not taken: ${result.error}`, true);
    else if (result.duplicate) this.toast('Somebody else answered this meanwhile; yours is kept as a second opinion');
    if (result.duplicate && event.image === this.model?.image) this.refresh(true);
  },

  /** Another tab of this browser answered. */
  heard({ who, event }) {
    if (who !== this.who) return;
    if (event.kind === 'undo') this.history = this.history.filter((other) => other.event_id !== event.undoes);
    else this.history.push({ event_id: event.event_id, image: event.image, kind: event.kind, region: event.region });
    const before = this.selection.some((number) => this.model?.isOpen(number));
    this.take(event);
    if (before && event.image === this.model?.image && !this.selection.some((number) => this.model.isOpen(number))) this.advance(this.selection[0]);
  },

  /** Look again at what is answered in this image: after a while away others may have been at it. */
  async refresh(now = false) {
    if (!this.model || this.loading || (!now && performance.now() - (this.lastLook ?? 0) < POLL)) return;
    this.lastLook = performance.now();
    try {
      const { image } = this.model;
      await this.outbox.flush();
      const { task, progress } = await this.server.post('tasks', { who: this.who, image });
      if (this.model?.image !== image || this.outbox.pending) return;
      this.model.update(task);
      this.view.labelsChanged();
      this.showProgress(progress);
      if (this.points) this.queue = this.queue.filter((region) => task.units.includes(region));
      if (this.points || !this.selection.some((number) => this.model.units[number] && this.model.isOpen(number))) this.advance();
    } catch (error) {
      this.showSaved(this.outbox.pending, error);
    }
  },

  async poll() {
    if (document.hidden) return;
    const active = performance.now() - this.since < ACTIVE;
    try {
      const { progress } = await this.server.post('progress', { who: this.who, hold: active && this.model ? [this.model.image] : [] });
      this.showProgress(progress);
      this.stopAtBudget();
      if ($('done').open && progress.regions.done < progress.regions.asked) this.next(); // somebody may have left something
      if (!this.outbox.pending) this.showSaved(0, null);
    } catch (error) {
      this.showSaved(this.outbox.pending, error);
    }
  },
};
