import type { Message } from "@tertulia/client";
import { useEffect, useRef, useState } from "react";
import { useText } from "../i18n/useText";
import { useMe } from "../shell/me";

/** Reads out what others write while the conversation is open. */
export function Announcer({ messages }: { messages: readonly Message[] | undefined }) {
  const { t } = useText();
  const me = useMe();
  const heard = useRef<number | null>(null);
  const [said, setSaid] = useState<readonly { seq: number; text: string }[]>([]);
  useEffect(() => {
    const newest = messages?.findLast((message) => message.seq !== null)?.seq;
    if (messages === undefined || newest == null) return;
    const from = heard.current;
    heard.current = Math.max(from ?? 0, newest);
    if (from === null) return;
    const fresh = messages.filter((message) => message.seq !== null && message.seq > from && message.senderId !== me.id && message.deletedAt === null);
    if (fresh.length > 0) setSaid(fresh.slice(-3).map((message) => ({ seq: message.seq!, text: t("newMessageFrom", { name: message.senderName, body: message.body }) })));
  }, [messages, me.id, t]);
  return (
    <div role="log" aria-live="polite" aria-relevant="additions" className="sr-only" data-testid="announcer">
      {said.map(({ seq, text }) => <p key={seq}>{text}</p>)}
    </div>
  );
}
