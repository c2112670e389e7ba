import { NOTHING_KNOWN, type Kept } from "./kept";
import type { Reply } from "./messages";
import { show } from "./push";
import { ask, windowsOf, type Scope } from "./scope";
import { textsFor } from "./texts";

/** The name under which the browser wakes the worker once there is a network. */
export const SYNC = "replies";

const REQUEST_MS = 15_000;
const OUTBOX_MS = 3000;

/**
 * Takes an answer that was typed into a notification: into the outbox of an open window, else to the server. It is kept first, under the name that it has
 * whatever way it goes, so it is neither lost nor there twice. `false`: it could not be kept, and the person has to be asked again.
 */
export async function answer(scope: Scope, kept: Kept, conversationId: string, body: string): Promise<boolean> {
  const { account } = await kept.known().catch(() => NOTHING_KNOWN);
  if (account === null) return false;
  const reply: Reply = { name: crypto.randomUUID(), account, conversationId, body, at: Date.now(), isRefused: false };
  try {
    await kept.keep(reply);
  } catch {
    return false;
  }
  for (const window of await windowsOf(scope)) {
    if (await ask(window, { t: "reply", reply }, OUTBOX_MS)) {
      await kept.drop(reply.name);
      return true;
    }
  }
  if (!(await deliver(scope, kept))) await tryLater(scope);
  return true;
}

/** Sends what waits, in order. Whether nothing waits any more that a later try could send. */
export async function deliver(scope: Scope, kept: Kept): Promise<boolean> {
  const waiting = (await kept.replies()).filter((reply) => !reply.isRefused);
  if (waiting.length === 0) return true;
  const me = await whoAmI(scope);
  if (me === null) return false;
  for (const reply of waiting) {
    // Another's session: theirs it is not to send. The app takes it over when its owner is back.
    if (reply.account !== me) continue;
    switch (await send(scope, reply)) {
      case "sent":
        await kept.drop(reply.name);
        break;
      case "refused":
        await kept.keep({ ...reply, isRefused: true });
        await tellRefused(scope, kept, reply);
        break;
      case "later":
        return false;
    }
  }
  return true;
}

async function whoAmI(scope: Scope): Promise<string | null> {
  try {
    const answer = await scope.fetch("/api/v1/me", { signal: AbortSignal.timeout(REQUEST_MS) });
    return answer.ok ? ((await answer.json()) as { id: string }).id : null;
  } catch {
    return null;
  }
}

/** By the session's cookie, which is the worker's as well as the page's; a browser names the origin with each such request. */
async function send(scope: Scope, { conversationId, name, body }: Reply): Promise<"sent" | "refused" | "later"> {
  try {
    const { ok, status } = await scope.fetch(`/api/v1/conversations/${encodeURIComponent(conversationId)}/messages`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ clientMsgId: name, body }),
      signal: AbortSignal.timeout(REQUEST_MS),
    });
    if (ok) return "sent";
    const passes = status >= 500 || status === 401 || status === 408 || status === 429;
    return passes ? "later" : "refused";
  } catch {
    return "later";
  }
}

/** Without Background Sync: with the next push, or when the app is opened. */
export async function tryLater(scope: Scope): Promise<void> {
  await scope.registration.sync?.register(SYNC).catch(() => {});
}

async function tellRefused(scope: Scope, kept: Kept, { conversationId }: Reply): Promise<void> {
  const { language } = await kept.known().catch(() => NOTHING_KNOWN);
  const texts = textsFor(language, scope.navigator.languages);
  const data = { link: `/c/${encodeURIComponent(conversationId)}`, conversationId, seq: null };
  await show(scope, texts.notSent, { body: texts.notSentText, tag: `reply ${conversationId}`, data });
}
