import type { ConversationId, Message } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useEffect, useState } from "react";

export interface Found {
  messages: readonly Message[];
  busy: boolean;
  /** Only this device was asked: the server was not there. */
  isLocal: boolean;
}

const WAIT_MS = 150;
export const SEARCH_MIN = 3;

/** Messages with the text: those on this device at once, then those only the server has; newest first, each once. */
export function useSearch(text: string, conversation?: ConversationId): Found {
  const client = useTertulia();
  const [found, setFound] = useState<Found>({ messages: [], busy: false, isLocal: false });
  useEffect(() => {
    if (text.length < SEARCH_MIN) {
      setFound({ messages: [], busy: false, isLocal: false });
      return;
    }
    let over = false;
    const options = conversation === undefined ? { limit: 50 } : { conversation, limit: 50 };
    const take = (more: readonly Message[], rest: Partial<Found>) => {
      if (!over) setFound((before) => ({ ...before, ...rest, messages: merged(before.messages, more) }));
    };
    setFound({ messages: [], busy: true, isLocal: false });
    const timer = setTimeout(async () => {
      await client.search(text, options).then((here) => take(here, {}), () => {});
      await client.rest.searchMessages(text, options).then((all) => take(all, { busy: false }), () => take([], { busy: false, isLocal: true }));
    }, WAIT_MS);
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [client, text, conversation]);
  return found;
}

function merged(a: readonly Message[], b: readonly Message[]): readonly Message[] {
  const all = new Map<string, Message>();
  for (const message of [...b, ...a]) if (message.id !== null && message.deletedAt === null) all.set(message.id, message);
  return [...all.values()].sort((x, y) => y.createdAt - x.createdAt);
}
