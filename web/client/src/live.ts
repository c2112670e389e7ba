// Values that change, for `useSyncExternalStore`.

import type { Live, Timeline, TimelineView } from "./api.js";
import type { ConversationId, ListStep, Message, MessageId, TimelineChange, Topic } from "./generated/types.js";
import type { Link } from "./link.js";

/** Messages that the core adds at a time. */
const PAGE = 50;

/** So long it goes on being told what nobody listens to any more: views that come and go ask for the same. */
const GRACE_MS = 1000;

export class Value<T> implements Live<T> {
  readonly #listeners = new Set<() => void>();
  readonly #start: () => () => void;
  #stop: (() => void) | null = null;
  #grace: ReturnType<typeof setTimeout> | undefined;
  #value: T | undefined;

  /** `start` begins to `set`, and returns the end of it. */
  constructor(start: (value: Value<T>) => () => void) {
    this.#start = () => start(this);
  }

  get(): T | undefined {
    return this.#value;
  }

  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) listener();
  }

  subscribe(listener: () => void): () => void {
    // The same function twice is two listeners.
    const own = () => listener();
    this.#listeners.add(own);
    clearTimeout(this.#grace);
    this.#stop ??= this.#start();
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size > 0) return;
      clearTimeout(this.#grace);
      this.#grace = setTimeout(() => this.end(), GRACE_MS);
    };
  }

  /** Whoever listens hears nothing more. */
  end(): void {
    clearTimeout(this.#grace);
    this.#stop?.();
    this.#stop = null;
  }
}

/** A value as it is told. What is told twice, as after another worker leads, is no change. */
export function told<T>(link: Link, topic: Topic): Value<T> {
  let last: string | undefined;
  return new Value<T>((value) => {
    const name = link.subscribe(
      () => topic,
      (now, text) => {
        if (text === last) return;
        last = text;
        value.set(now as T);
      },
    );
    return () => link.unsubscribe(name);
  });
}

/** A list as it is told in steps. Of those that stay the same the objects stay. */
export function toldList<T>(link: Link, topic: Topic, key: (item: T) => unknown): Value<readonly T[]> {
  return new Value<readonly T[]>((value) => {
    const name = link.subscribe(
      () => topic,
      (steps) => value.set(applied(value.get() ?? [], steps as ListStep<T>[], key)),
    );
    return () => link.unsubscribe(name);
  });
}

/** The list after the steps; the same one where they change nothing. */
export function applied<T>(list: readonly T[], steps: readonly ListStep<T>[], key: (item: T) => unknown): readonly T[] {
  let now = [...list];
  for (const step of steps) {
    switch (step.step) {
      case "reset":
        now = kept(now, step.values, key);
        break;
      case "insert":
        now.splice(step.index, 0, step.value);
        break;
      case "set":
        now[step.index] = step.value;
        break;
      case "remove":
        now.splice(step.index, 1);
    }
  }
  const isSame = now.length === list.length && now.every((item, at) => item === list[at]);
  return isSame && (list.length > 0 || steps.length === 0) ? list : now;
}

function kept<T>(old: readonly T[], values: readonly T[], key: (item: T) => unknown): T[] {
  const known = new Map(old.map((item) => [key(item), item]));
  return values.map((value) => {
    const before = known.get(key(value));
    return before !== undefined && JSON.stringify(before) === JSON.stringify(value) ? before : value;
  });
}

const byKey = (message: Message): number => message.key;

export class LiveTimeline implements Timeline {
  readonly #link: Link;
  readonly #value: Value<TimelineView>;
  #name: string | null = null;
  /** Pages asked for before anybody listened. */
  #older = 0;
  #isClosed = false;

  constructor(link: Link, id: ConversationId) {
    this.#link = link;
    this.#value = new Value<TimelineView>((value) => {
      if (this.#isClosed) return () => {};
      const topic = (): Topic => ({ timeline: { id, ...this.#window() } });
      const name = link.subscribe(topic, (change) => value.set(viewOf(value.get(), change as TimelineChange)));
      this.#name = name;
      return () => {
        this.#name = null;
        link.unsubscribe(name);
      };
    });
  }

  get(): TimelineView | undefined {
    return this.#value.get();
  }

  subscribe(listener: () => void): () => void {
    return this.#value.subscribe(listener);
  }

  async loadOlder(): Promise<void> {
    if (this.#name === null) this.#older += 1;
    else await this.#link.call({ loadOlder: { subscription: this.#name } });
  }

  async loadNewer(): Promise<void> {
    if (this.#name !== null) await this.#link.call({ loadNewer: { subscription: this.#name } });
  }

  async jumpTo(message: MessageId): Promise<void> {
    if (this.#name !== null) await this.#link.call({ jumpTo: { subscription: this.#name, message } });
  }

  async jumpToPlace(seq: number): Promise<void> {
    if (this.#name !== null) await this.#link.call({ jumpToPlace: { subscription: this.#name, seq } });
  }

  async jumpToNewest(): Promise<void> {
    this.#older = 0;
    if (this.#name !== null) await this.#link.call({ jumpToNewest: { subscription: this.#name } });
  }

  /** What is on show, in the words of the topic: for whoever leads next. */
  #window(): { at: number | null; older: number; newer: number } {
    const view = this.#value.get();
    const count = view?.messages.length ?? 0;
    const pages = (messages: number) => Math.max(0, Math.ceil(messages / PAGE));
    const at = view?.hasNewer ? (view.messages[count >> 1]?.seq ?? null) : null;
    if (at === null) return { at, older: Math.max(this.#older, pages(count - PAGE)), newer: 0 };
    const half = pages((count - PAGE) / 2);
    return { at, older: half, newer: half };
  }

  close(): void {
    this.#isClosed = true;
    this.#value.end();
  }
}

function viewOf(view: TimelineView | undefined, change: TimelineChange): TimelineView {
  const messages = applied(view?.messages ?? [], change.steps, byKey);
  const { hasOlder, hasNewer } = change;
  if (view && messages === view.messages && hasOlder === view.hasOlder && hasNewer === view.hasNewer) return view;
  return { messages, hasOlder, hasNewer };
}
