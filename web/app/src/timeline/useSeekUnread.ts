import type { Timeline, TimelineView } from "@tertulia/client";
import { useEffect, useState, type RefObject } from "react";
import type { VirtualizerHandle } from "virtua";
import type { Row } from "./rows";

interface Seek {
  /** Reading stopped above what is loaded. */
  isAbove: boolean;
  seek(): void;
}

/** Loads older pages, when asked, until the place where reading stopped is there, and shows it. */
export function useSeekUnread(rows: readonly Row[], unreadAfter: number | null, view: TimelineView, timeline: Timeline, handle: RefObject<VirtualizerHandle | null>, atEnd: RefObject<boolean>): Seek {
  const [isSeeking, setIsSeeking] = useState(false);
  const first = rows[0]?.message;
  const isAbove = unreadAfter !== null && unreadAfter > 0 && view.hasOlder && first?.seq != null && first.seq > unreadAfter + 1;
  useEffect(() => {
    if (!isSeeking) return;
    if (isAbove) {
      timeline.loadOlder().catch(() => setIsSeeking(false));
      return;
    }
    setIsSeeking(false);
    const at = rows.findIndex((row) => row.unread);
    if (at < 0) return;
    atEnd.current = false;
    handle.current?.scrollToIndex(at, { align: "start", offset: -24 });
  }, [isSeeking, isAbove, rows, timeline, handle, atEnd]);
  return { isAbove, seek: () => setIsSeeking(true) };
}
