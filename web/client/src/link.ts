// A page's way to the worker that leads: what is asked and what is listened to, kept here until it is answered or ended, and sent again whenever another
// worker leads or this tab's own had to be started anew.

import type { Call, Failure, Topic } from "./generated/types.js";
import { TertuliaError } from "./error.js";
import { newId } from "./protocol.js";
import type { ToLeader, ToPage, ToWorker } from "./protocol.js";

/** Its name. */
export function methodOf(call: Call): string {
  return typeof call === "string" ? call : (Object.keys(call)[0] ?? "");
}

/** Calls that may not be done twice, and that nobody can tell were done: they end with the worker that had them. */
const ONCE: ReadonlySet<string> = new Set(["register", "createGroup"]);

/** A call that was under way when so many workers ended is what ended them. */
const SENDS_MAX = 6;

/** A worker that ends is started again at once, and the next one later and later. */
const RESPAWN_MIN_MS = 100;
const RESPAWN_MAX_MS = 5000;
const LIVES_LONG_MS = 10_000;

/** What failed for reasons outside is tried again. */
const REOPEN_MS = 5000;

/** How long closing waits for the worker's goodbye. */
const CLOSE_MS = 2000;

interface Pending {
  call: Call;
  sends: number;
  resolve(value: string): void;
  reject(error: Error): void;
}

export interface Opening {
  server: string;
  store: string;
  byCookie: boolean;
  /** `refused`: one that the server did not take. */
  token(refused: string | null): Promise<string | null>;
}

export class Link {
  /** Called when another worker leads, before anything is sent to it again. */
  onLeader: () => void = () => {};
  /** Another tab is newer; this page has to be reloaded. */
  onOutdated: () => void = () => {};

  readonly #opening: Opening;
  readonly #page = newId();
  readonly #pending = new Map<number, Pending>();
  readonly #subscriptions = new Map<string, { topic: () => Topic; told: (value: unknown, text: string) => void }>();
  #worker: Worker | null = null;
  #leader: string | null = null;
  #number = 0;
  #respawns = 0;
  #spawnedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Why nothing can be asked. */
  #failure: TertuliaError | null = null;
  #isAsleep = false;
  #isClosed = false;
  #onClosed: () => void = () => {};

  constructor(opening: Opening) {
    this.#opening = opening;
    this.#spawn();
  }

  async call<T>(call: Call): Promise<T> {
    if (this.#failure) throw this.#failure;
    const text = await new Promise<string>((resolve, reject) => {
      const n = ++this.#number;
      this.#pending.set(n, { call, sends: 0, resolve, reject });
      if (this.#leader !== null) this.#send(n);
    });
    return JSON.parse(text) as T;
  }

  /** `topic` is asked anew whenever it is sent. Returns the name. */
  subscribe(topic: () => Topic, told: (value: unknown, text: string) => void): string {
    const name = `${this.#page}:${++this.#number}`;
    this.#subscriptions.set(name, { topic, told });
    if (this.#leader !== null) this.#post({ t: "subscribe", name, topic: JSON.stringify(topic()) });
    return name;
  }

  unsubscribe(name: string): void {
    this.#subscriptions.delete(name);
    if (this.#leader !== null) this.#post({ t: "unsubscribe", name });
  }

  /** Lets another tab lead, as when this one is put to sleep. */
  sleep(): void {
    this.#isAsleep = true;
    this.#terminate();
  }

  wake(): void {
    if (!this.#isAsleep) return;
    this.#isAsleep = false;
    this.#spawn();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#worker) {
      const closed = new Promise<void>((resolve) => (this.#onClosed = resolve));
      this.#tell({ t: "close" });
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, CLOSE_MS))]);
    }
    this.#terminate();
    this.#subscriptions.clear();
    this.#fail(new TertuliaError("closed", "the client is closed"));
  }

  #spawn(): void {
    if (this.#isAsleep || this.#isClosed || this.#worker) return;
    this.#spawnedAt = performance.now();
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "tertulia" });
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<ToPage>) => {
      if (worker === this.#worker) this.#hear(data);
    };
    // As when its script can't be loaded.
    worker.onerror = (event) => {
      if (worker === this.#worker) this.#respawn(event.message || "the worker can't be started");
    };
    const { server, store, byCookie } = this.#opening;
    this.#tell({ t: "open", server, store, byCookie });
  }

  #terminate(): void {
    clearTimeout(this.#timer);
    this.#worker?.terminate();
    this.#worker = null;
    this.#leader = null;
  }

  #respawn(why: string): void {
    console.warn(`the worker is started again: ${why}`);
    this.#respawns = performance.now() - this.#spawnedAt > LIVES_LONG_MS ? 0 : this.#respawns + 1;
    this.#terminate();
    const wait = this.#respawns <= 1 ? 0 : Math.min(RESPAWN_MAX_MS, RESPAWN_MIN_MS * 2 ** this.#respawns);
    this.#timer = setTimeout(() => this.#spawn(), wait);
  }

  #tell(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  #post(message: ToLeader): void {
    this.#tell(message);
  }

  #send(n: number): void {
    const pending = this.#pending.get(n);
    if (!pending) return;
    const again = pending.sends > 0;
    const isOnce = again && ONCE.has(methodOf(pending.call));
    if (isOnce || pending.sends >= SENDS_MAX) {
      this.#pending.delete(n);
      pending.reject(
        isOnce
          ? new TertuliaError("unreachable", "it is not known whether it was done")
          : new TertuliaError("unavailable", "it could not be done"),
      );
      return;
    }
    pending.sends += 1;
    this.#post({ t: "call", n, call: JSON.stringify(pending.call), again });
  }

  #hear(message: ToPage): void {
    switch (message.t) {
      case "leader":
        this.#lead(message.id);
        break;
      case "answer":
        this.#settle(message.n, message);
        break;
      case "told": {
        const subscription = this.#subscriptions.get(message.name);
        if ("value" in message) subscription?.told(JSON.parse(message.value), message.value);
        // The next change may be readable again.
        else console.error(`tertulia: ${message.failure}`);
        break;
      }
      case "askToken":
        void this.#giveToken(message.n, message.refused);
        break;
      case "failed":
        this.#fail(errorOf(message.failure));
        this.#terminate();
        if (this.#failure?.code !== "invalid") this.#timer = setTimeout(() => this.#reopen(), REOPEN_MS);
        break;
      case "fatal":
        this.#respawn(message.why);
        break;
      case "outdated":
        this.#terminate();
        this.#fail(new TertuliaError("newer_version", "another tab runs a newer version: reload this one"));
        this.onOutdated();
        break;
      case "closed":
        this.#onClosed();
    }
  }

  #lead(id: string): void {
    this.#leader = id;
    const waiting = [...this.#pending.keys()];
    this.onLeader();
    for (const n of waiting) this.#send(n);
    for (const [name, { topic }] of this.#subscriptions) {
      this.#post({ t: "subscribe", name, topic: JSON.stringify(topic()) });
    }
  }

  #settle(n: number, answer: ToPage & { t: "answer" }): void {
    const pending = this.#pending.get(n);
    this.#pending.delete(n);
    if ("ok" in answer) pending?.resolve(answer.ok);
    else pending?.reject(errorOf(answer.failure));
  }

  async #giveToken(n: number, refused: string | null): Promise<void> {
    try {
      this.#tell({ t: "token", n, token: await this.#opening.token(refused) });
    } catch {
      this.#tell({ t: "token", n, failed: true });
    }
  }

  #reopen(): void {
    this.#failure = null;
    this.#spawn();
  }

  #fail(error: TertuliaError): void {
    this.#failure = error;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}

function errorOf(text: string): TertuliaError {
  const failure = JSON.parse(text) as Failure;
  return new TertuliaError(failure.code, failure.detail, failure.retryAfterMs);
}
