import type { Conversation } from "@tertulia/client";
import { useTertulia } from "@tertulia/react";
import { useCallback, useEffect, useRef, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import type { Row } from "./rows";

const WAIT_MS = 120;
/** So much of a row must be in sight. */
const IN_SIGHT_PX = 12;

/** Read is what has been on a screen that somebody was looking at. The result is called whenever that may have changed. */
export function useMarkRead(conversation: Conversation, rows: readonly Row[], handle: RefObject<VirtualizerHandle | null>): () => void {
  const client = useTertulia();
  const timer = useRef<number | null>(null);
  const latest = useRef({ conversation, rows });
  const marked = useRef(0);
  useEffect(() => {
    latest.current = { conversation, rows };
  });

  const look = useCallback(() => {
    if (timer.current !== null) return;
    timer.current = window.setTimeout(() => {
      timer.current = null;
      const list = handle.current;
      const { conversation, rows } = latest.current;
      if (list === null || document.visibilityState !== "visible" || !document.hasFocus() || rows.length === 0) return;
      let at = Math.min(list.findItemIndex(list.scrollOffset + list.viewportSize - IN_SIGHT_PX), rows.length - 1);
      while (at > 0 && rows[at]?.message.seq == null) at--;
      const seq = rows[at]?.message.seq ?? 0;
      if (seq <= Math.max(conversation.readSeq, marked.current)) return;
      marked.current = seq;
      client.markRead(conversation.id, seq).catch(() => {
        marked.current = 0;
      });
    }, WAIT_MS);
  }, [client, handle]);

  useEffect(() => {
    addEventListener("focus", look);
    document.addEventListener("visibilitychange", look);
    return () => {
      removeEventListener("focus", look);
      document.removeEventListener("visibilitychange", look);
      if (timer.current !== null) clearTimeout(timer.current);
      timer.current = null;
    };
  }, [look]);
  return look;
}
