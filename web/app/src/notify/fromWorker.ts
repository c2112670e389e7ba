import type { Tertulia } from "@tertulia/client";
import { codeOf } from "../errors";
import { navigate, routeOf } from "../shell/router";
import type { Asked, Reply, ToPage } from "../worker/messages";
import { kept } from "./device";

/** What the service worker asks of this window. To be called before anything is drawn: what it says meanwhile waits for that. */
export function listenToWorker(client: Tertulia): void {
  navigator.serviceWorker?.addEventListener("message", ({ data, ports }: MessageEvent<ToPage>) => {
    const tell = (answer: Asked[ToPage["t"]]) => ports[0]?.postMessage(answer);
    switch (data.t) {
      case "where": {
        const route = routeOf(new URL(location.href));
        tell({ conversationId: route.at === "conversation" ? route.id : null, isLooking: document.visibilityState === "visible" && document.hasFocus() });
        break;
      }
      case "open":
        navigate(routeOf(new URL(data.link, location.origin)));
        tell(true);
        break;
      case "reply":
        void sendReply(client, data.reply).then(tell, () => tell(false));
        break;
    }
  });
  navigator.serviceWorker?.startMessages();
}

/** What the outbox says of an answer that it will never take. */
const FINAL = new Set(["forbidden", "not_found", "invalid", "too_large", "conflict", "gone"]);

function isFinal(error: unknown): boolean {
  return FINAL.has(codeOf(error));
}

async function sendReply(client: Tertulia, { name, account, conversationId, body }: Reply): Promise<boolean> {
  if (client.account.get()?.id !== account) return false;
  await client.send(conversationId, body, { name });
  return true;
}

/** Answers that were typed into notifications and have not reached the server: into the outbox, which has the last word. */
export async function takeReplies(client: Tertulia, account: string, refused: (error: unknown) => void): Promise<void> {
  for (const reply of await kept.replies()) {
    if (reply.account !== account) continue;
    try {
      await client.send(reply.conversationId, reply.body, { name: reply.name });
    } catch (error) {
      refused(error);
      // Nothing is wrong with the answer itself: it is kept for the next start.
      if (!isFinal(error)) continue;
    }
    await kept.drop(reply.name);
  }
}
