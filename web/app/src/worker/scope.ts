import type { Asked, ToPage } from "./messages";

/** What is used of a service worker's scope: TypeScript knows it only in place of what pages have. */
export interface WindowClient {
  /** Where it was opened; not where its history led it since. */
  readonly url: string;
  readonly focused: boolean;
  readonly visibilityState: DocumentVisibilityState;
  focus(): Promise<unknown>;
  postMessage(message: ToPage, transfer?: Transferable[]): void;
}

export interface Extendable extends Event {
  waitUntil(work: Promise<unknown>): void;
}

export interface PushMessage extends Extendable {
  readonly data: { text(): string } | null;
}

/** `reply`: what was typed, of an action that takes text on a platform that has those. */
export interface NotificationClick extends Extendable {
  readonly notification: Notification;
  readonly action: string;
  readonly reply?: string | null;
}

export interface SubscriptionChange extends Extendable {
  readonly oldSubscription?: PushSubscription | null;
  readonly newSubscription?: PushSubscription | null;
}

export interface SyncTry extends Extendable {
  readonly tag: string;
}

/** Background Sync, which Chromium has. */
export interface Syncing {
  register(tag: string): Promise<void>;
}

interface Events {
  push: PushMessage;
  notificationclick: NotificationClick;
  pushsubscriptionchange: SubscriptionChange;
  sync: SyncTry;
  message: MessageEvent<unknown>;
}

export interface Scope {
  readonly registration: ServiceWorkerRegistration & { readonly sync?: Syncing };
  readonly clients: {
    matchAll(which: { type: "window"; includeUncontrolled: boolean }): Promise<readonly WindowClient[]>;
    openWindow(address: string): Promise<unknown>;
  };
  readonly location: { readonly origin: string };
  readonly navigator: Pick<Navigator, "languages"> & Partial<Pick<Navigator, "setAppBadge" | "clearAppBadge">>;
  fetch(address: string, options?: RequestInit): Promise<Response>;
  skipWaiting(): Promise<void>;
  addEventListener<K extends keyof Events>(name: K, listener: (event: Events[K]) => void): void;
}

/** Long enough for a page that is awake. */
const ANSWER_MS = 500;

export function windowsOf(scope: Scope): Promise<readonly WindowClient[]> {
  return scope.clients.matchAll({ type: "window", includeUncontrolled: true }).catch(() => []);
}

/** `null` where it does not answer: another page than the app, or one that the browser has put to sleep. */
export function ask<T extends ToPage["t"]>(window: WindowClient, message: ToPage & { t: T }, ms = ANSWER_MS): Promise<Asked[T] | null> {
  return new Promise((answered) => {
    const { port1, port2 } = new MessageChannel();
    const finish = (answer: Asked[T] | null) => {
      clearTimeout(late);
      port1.close();
      answered(answer);
    };
    const late = setTimeout(() => finish(null), ms);
    port1.onmessage = ({ data }: MessageEvent<Asked[T]>) => finish(data);
    try {
      window.postMessage(message, [port2]);
    } catch {
      finish(null);
    }
  });
}
