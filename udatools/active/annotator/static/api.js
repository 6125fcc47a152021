// SPDX-License-Identifier: Apache-2.0
// Talking to the server, and the outbox: an answer is in the browser's storage before it is sent, and leaves it only when the
// server has confirmed that it is on disk. So a reload, a crash or a lost connection loses nothing.

export class ApiError extends Error {
  /** @param {string} served the request that the server has instead of the one that was meant */
  constructor(status, message, served) {
    super(message);
    Object.assign(this, { status, served });
  }
}

async function reply(response) {
  if (response.ok) return response;
  let content = {};
  try {
    content = await response.json();
  } catch { /* no JSON: the status has to do */ }
  throw new ApiError(response.status, content.error ?? `${response.status} ${response.statusText}`, content.request_id);
}

export async function getPackage() {
  return (await reply(await fetch('/api/package'))).json();
}

/** The server, asked about one request only. */
export class Server {
  /** @param {function} otherRequest called when the server has another request now */
  constructor(requestId, otherRequest) {
    Object.assign(this, { requestId, otherRequest });
  }

  async ask(path, options) {
    try {
      return await reply(await fetch(path, options));
    } catch (error) {
      if (error.served) this.otherRequest();
      throw error;
    }
  }

  async post(name, content) {
    const response = await this.ask(`/api/${name}`, {
      method: 'POST', headers: { 'Content-Type': 'application/json', 'X-Udatools-Annotator': '1' },
      body: JSON.stringify({ request_id: this.requestId, ...content }),
    });
    return response.json();
  }

  async image(number, what) {
    return this.ask(`/api/requests/${this.requestId}/images/${number}/${what}`);
  }
}

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Web storage may be switched off; then memory has to do, and the page says so. */
class Storage {
  constructor() {
    this.memory = new Map();
    this.durable = true;
  }

  set(key, value) {
    try {
      localStorage.setItem(key, value);
      this.memory.delete(key);
    } catch {
      this.durable = false;
      this.memory.set(key, value);
    }
  }

  get(key) {
    try {
      return this.memory.get(key) ?? localStorage.getItem(key);
    } catch {
      return this.memory.get(key) ?? null;
    }
  }

  remove(key) {
    this.memory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch { /* it was in memory */ }
  }

  keys(prefix) {
    let stored = [];
    try {
      stored = Object.keys(localStorage);
    } catch { /* memory only */ }
    return [...new Set([...stored, ...this.memory.keys()])].filter((key) => key.startsWith(prefix)).sort();
  }
}

export const storage = new Storage();

const OUTBOX = 'udatools.outbox.';
const BATCH = 32;
const BATCH_CHARACTERS = 1 << 20;

export class Outbox {
  /**
   * @param {Server} server of the request that all entries belong to
   * @param {object} on callbacks: state(pending, error), stored(result, event), progress(numbers)
   */
  constructor(server, session, on) {
    Object.assign(this, { server, session, on, delay: 0, serial: 0, current: null });
    this.prefix = `${OUTBOX}${server.requestId}.`;
    this.refusedPrefix = `udatools.refused.${server.requestId}.`;
    window.addEventListener('online', () => this.flush());
  }

  entries() {
    return storage.keys(this.prefix).map((key) => ({ key, ...JSON.parse(storage.get(key) ?? 'null') })).filter((entry) => entry.event);
  }

  get pending() {
    return storage.keys(this.prefix).length;
  }

  /** Events of other requests that wait in this browser until theirs is served again. */
  get elsewhere() {
    return storage.keys(OUTBOX).length - this.pending;
  }

  refused() {
    return storage.keys(this.refusedPrefix).map((key) => JSON.parse(storage.get(key)));
  }

  /** Events of a person on an image that the server may not have yet, oldest first. */
  waitingFor(who, image) {
    return this.entries().filter((entry) => entry.who === who && entry.event.image === image).map((entry) => entry.event);
  }

  add(who, event) {
    // Keys sort by time, then by the order in this tab; every entry has a key of its own, so tabs cannot lose each other's.
    const key = `${this.prefix}${String(Date.now()).padStart(15, '0')}.${String(this.serial++).padStart(9, '0')}.${event.event_id}`;
    storage.set(key, JSON.stringify({ who, session: this.session, event }));
    this.on.state(this.pending, null);
    this.flush();
  }

  /** Send what is waiting; resolves when it is sent or could not be. */
  flush() {
    this.current ??= this.send().finally(() => {
      this.current = null;
      // Something may have been added between the last look and here.
      if (this.pending && !this.delay) this.flush();
    });
    return this.current;
  }

  async send() {
    clearTimeout(this.timer);
    try {
      for (let entries = this.entries(); entries.length; entries = this.entries()) {
        const { who, session } = entries[0], batch = [];
        let size = 0;
        for (const entry of entries) {
          size += JSON.stringify(entry.event).length;
          if (entry.who !== who || entry.session !== session || batch.length === BATCH || (batch.length && size > BATCH_CHARACTERS)) break;
          batch.push(entry);
        }
        const { results, progress } = await this.server.post('events', { who, session, events: batch.map((entry) => entry.event) });
        batch.forEach((entry, i) => {
          if (results[i].error) {
            storage.set(this.refusedPrefix + entry.event.event_id, JSON.stringify({ ...entry, why: results[i].error }));
          }
          storage.remove(entry.key);
          this.on.stored(results[i], entry.event);
        });
        this.on.progress(progress);
      }
      this.delay = 0;
      this.on.state(this.pending, null);
    } catch (error) {
      this.delay = Math.min(15000, this.delay * 2 || 1000);
      this.on.state(this.pending, error);
      this.timer = setTimeout(() => this.flush(), this.delay);
    }
  }
}
