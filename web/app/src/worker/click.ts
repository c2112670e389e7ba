import type { Kept } from "./kept";
import { answer } from "./replies";
import { dataOf, REPLY } from "./push";
import { ask, windowsOf, type Scope, type WindowClient } from "./scope";

/** A page that was put to sleep wakes when it is looked at, and takes its time. */
const WAKE_MS = 3000;

/** Places of this origin that are no pages of the app. */
const ELSEWHERE = /^\/(api|auth|docs|health|messages|metrics|socket\.io)(\/|$)/;

interface Click {
  notification: Notification;
  action: string;
  reply?: string | null;
}

export async function onClick(scope: Scope, kept: Kept, { notification, action, reply }: Click): Promise<void> {
  const { link, conversationId } = dataOf(notification);
  notification.close();
  const body = action === REPLY ? (reply ?? "").trim() : "";
  // Without text, as where a notification has buttons alone, the answer is written in the app.
  if (body === "" || conversationId === null) await open(scope, link);
  else if (!(await answer(scope, kept, conversationId, body))) await open(scope, link);
}

/** In a window that there is, else in a new one. */
export async function open(scope: Scope, link: string): Promise<void> {
  const window = await windowFor(scope);
  if (window !== null) {
    // Refused where the click is no longer fresh: it goes there all the same.
    await window.focus().catch(() => {});
    if ((await ask(window, { t: "open", link }, WAKE_MS)) !== null) return;
  }
  await scope.clients.openWindow(link).catch(() => {});
}

/** One that answers, rather than one that may be asleep; one that somebody sees, rather than another. */
async function windowFor(scope: Scope): Promise<WindowClient | null> {
  const windows = (await windowsOf(scope)).filter((window) => !ELSEWHERE.test(new URL(window.url).pathname));
  const places = await Promise.all(windows.map((window) => ask(window, { t: "where" })));
  const worth = (window: WindowClient, at: number) => Number(places[at] !== null) * 4 + Number(window.focused) * 2 + Number(window.visibilityState === "visible");
  const ranked = windows.map((window, at) => ({ window, worth: worth(window, at) })).sort((a, b) => b.worth - a.worth);
  return ranked[0]?.window ?? null;
}
