import { NOTHING_KNOWN, type Kept } from "./kept";
import { toldIn, type Told } from "./payload";
import { ask, windowsOf, type Scope, type WindowClient } from "./scope";
import { textsFor, type WorkerTexts } from "./texts";

export const REPLY = "reply";

/** What a notification bears, for whoever clicks it or takes it away. */
export interface Data {
  link: string;
  conversationId: string | null;
  seq: number | null;
}

/** TypeScript's `NotificationOptions` are those that all browsers have. */
interface Options extends NotificationOptions {
  renotify?: boolean;
  timestamp?: number;
  actions?: { action: string; type?: "text"; title: string; placeholder?: string }[];
}

/**
 * Something is shown for every push, whatever is in it: browsers take the permission away, or show a line of their own, where one does not. So nothing before
 * `showNotification` may fail.
 */
export function onPush(scope: Scope, kept: Kept, text: string | null): Promise<void> {
  const turn = Promise.race([last, after(TURN_MS)]);
  const shown = turn.then(() => showPush(scope, kept, text));
  last = shown.catch(() => {});
  return shown;
}

/** How long a push waits for the one before it, whatever keeps that one. */
const TURN_MS = 3000;

/** How long is waited for what a notification can do without: a database that never opens may not keep it from being shown. */
const SOON_MS = 1000;

function soon<T>(wanted: Promise<T>, otherwise: T): Promise<T> {
  return Promise.race([wanted.catch(() => otherwise), after(SOON_MS).then(() => otherwise)]);
}

/** One after the other: of two at a time the older one could be shown last, in the place of the newer. */
let last: Promise<void> = Promise.resolve();

function after(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

async function showPush(scope: Scope, kept: Kept, text: string | null): Promise<void> {
  const known = await soon(kept.known(), NOTHING_KNOWN);
  const texts = textsFor(known.language, scope.navigator.languages);
  const told = toldIn(text, scope.location.origin, texts);
  const windows = await soon(windowsOf(scope), []);
  const [isBeforeEyes, shown] = await Promise.all([soon(showsNow(windows, told.conversationId), false), soon(shownOf(scope, told), null)]);
  const shownSeq = shown === null ? null : dataOf(shown).seq;
  const isLate = shownSeq !== null && told.seq !== null && shownSeq >= told.seq;
  if (shown !== null && isLate) {
    // What is on the screen already is newer: it stays what it is, and makes no noise again.
    await show(scope, shown.title, { ...optionsOf(told, texts, true), body: shown.body, data: dataOf(shown) });
  } else {
    await show(scope, told.title, optionsOf(told, texts, told.silent || isBeforeEyes));
  }
  // How much was unread before the newer one is no news either.
  const isOld = isLate && shownSeq !== told.seq;
  if (told.badge !== null && !isOld) await setBadge(scope, told.badge);
  for (const window of windows) window.postMessage({ t: "shown" });
}

export function dataOf(notification: Pick<Notification, "data">): Data {
  const { link, conversationId, seq } = (notification.data ?? {}) as Partial<Data>;
  return { link: link ?? "/", conversationId: conversationId ?? null, seq: seq ?? null };
}

/** The picture beside every notification. */
const ICON = "/icons/icon-192.png";
/** What stands for it in Android's bar: its shape alone. */
const BADGE = "/icons/badge-96.png";

function optionsOf(told: Told, texts: WorkerTexts, silent: boolean): Options {
  const data: Data = { link: told.link, conversationId: told.conversationId, seq: told.seq };
  return {
    body: told.body,
    // What is told of one conversation stands in one place.
    tag: tagOf(told),
    renotify: !silent,
    silent,
    icon: ICON,
    badge: BADGE,
    data,
    ...(told.sentAt === null ? {} : { timestamp: told.sentAt }),
    // Where there are no fields in notifications it is a button, and leads into the conversation.
    ...(told.conversationId === null ? {} : { actions: [{ action: REPLY, type: "text", title: texts.reply, placeholder: texts.replyHint }] }),
  };
}

function tagOf(told: Told): string {
  return told.conversationId ?? told.kind;
}

export async function show(scope: Scope, title: string, options: Options): Promise<void> {
  try {
    await scope.registration.showNotification(title, options);
  } catch {
    // An option that this browser does not have. Without the permission this fails too, and nothing can be done.
    const { body, tag, data } = options;
    await scope.registration.showNotification(title, { body, tag, data }).catch(() => {});
  }
}

async function shownOf(scope: Scope, told: Told): Promise<Notification | null> {
  const all = await scope.registration.getNotifications({ tag: tagOf(told) }).catch(() => []);
  return all[0] ?? null;
}

async function showsNow(windows: readonly WindowClient[], conversationId: string | null): Promise<boolean> {
  if (conversationId === null) return false;
  const looking = windows.filter((window) => window.focused && window.visibilityState === "visible");
  const places = await Promise.all(looking.map((window) => ask(window, { t: "where" })));
  return places.some((place) => place !== null && place.isLooking && place.conversationId === conversationId);
}

async function setBadge({ navigator }: Scope, badge: number): Promise<void> {
  const setting = badge > 0 ? navigator.setAppBadge?.(badge) : navigator.clearAppBadge?.();
  await setting?.catch(() => {});
}
