// SPDX-License-Identifier: Apache-2.0
// Other tabs, other people, and the server's view of it all: methods of the app in main.js.

import { post } from './api.js';

const POLL = 15000; // milliseconds between two looks at the progress
const ACTIVE = 120000; // milliseconds without an answer after which tasks are no longer kept for this person
const $ = (id) => document.getElementById(id);

export const sharing = {
  watch() {
    setInterval(() => this.poll(), POLL);
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.refresh(); });
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
      await this.outbox.flush();
      const { image } = this.model;
      const { task, progress } = await post('tasks', { who: this.who, image });
      if (this.model.image !== image || this.outbox.pending) return;
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
      const { progress } = await post('progress', { who: this.who, hold: active && this.model ? [this.model.image] : [] });
      this.showProgress(progress);
      if ($('done').open && progress.regions.done < progress.regions.asked) this.next(); // somebody may have left something
      if (!this.outbox.pending) this.showSaved(0, null);
    } catch (error) {
      this.showSaved(this.outbox.pending, error);
    }
  },
};
