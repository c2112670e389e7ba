import type { Conversation } from "@tertulia/client";
import { useCallback, useEffect, useRef, useState } from "react";

/** Where reading stopped: when the conversation was opened, or when the person looked away last. Answering clears it. */
export function useUnreadMarker(conversation: Conversation): { unreadAfter: number | null; clear(): void } {
  const [unreadAfter, setUnreadAfter] = useState<number | null>(conversation.unread > 0 ? conversation.readSeq : null);
  const readSeq = useRef(conversation.readSeq);
  useEffect(() => {
    readSeq.current = conversation.readSeq;
  }, [conversation.readSeq]);
  useEffect(() => {
    const onBlur = () => setUnreadAfter(readSeq.current);
    addEventListener("blur", onBlur);
    return () => removeEventListener("blur", onBlur);
  }, []);
  return { unreadAfter, clear: useCallback(() => setUnreadAfter(null), []) };
}
